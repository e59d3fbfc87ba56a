"""The progress bars of other libraries, told to a `Report` instead of being drawn."""

from typing import Any

from tqdm import tqdm

from shardline.engine import Progress, Report


def bar_class(activity: str, unit: str, report: Report) -> type[Any]:
    """A class to hand to a library that draws with tqdm: its bars report `activity` in `unit`, and draw nothing."""

    class ReportingBar(tqdm):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)  # huggingface_hub names its bars
            super().__init__(*args, **{**kwargs, "disable": False})

        def display(self, *_: Any, **__: Any) -> None:
            if self.total:
                report(Progress(activity=activity, done=int(self.n), total=int(self.total), unit=unit))

    return ReportingBar
