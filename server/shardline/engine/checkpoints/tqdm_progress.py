"""Progress bars of other libraries, reported to a `Report`."""

from typing import Any

from tqdm import tqdm

from shardline.engine import Progress, Report


def bar_class(activity: str, unit: str, report: Report, *, total: int = 0) -> type[Any]:
    """Return a class for a library that draws with tqdm: it reports `activity` in `unit`, and draws nothing.

    Where bytes are reported, bars that count something else are not. `total` is the least that there is to be done:
    some bars learn of it only on their way.
    """

    class ReportingBar(tqdm):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)  # huggingface_hub names its bars
            super().__init__(*args, **{**kwargs, "disable": False, "mininterval": 0, "miniters": 1})

        def display(self, *_: Any, **__: Any) -> None:
            pass

        def refresh(self, *_: Any, **__: Any) -> None:
            # Not in `display`: there tqdm holds a lock, which it would never release if `report` ends the work.
            if self.total and (self.unit == "B") == (unit == "bytes"):
                most = max(total, int(self.total))
                report(Progress(activity=activity, done=int(self.n), total=most, unit=unit))

    return ReportingBar
