"""The loaded engine with its completer."""

from collections import deque
from collections.abc import Callable

from shardline.completion.completer import Completer
from shardline.engine import Engine, Usage
from shardline.lsp.hosting import slow_model
from shardline.settings import Settings, of_engine, with_engine_of


class ActiveEngine:
    """The engine opened with `settings`, its completer and the usage of its last answers."""

    def __init__(self, engine: Engine, settings: Settings, on_usage: Callable[[Usage, bool], None]) -> None:
        self.engine = engine
        self.opened_by = of_engine(settings)
        self.completer = Completer(engine, settings, on_usage=on_usage)
        self.usages: deque[Usage] = deque(maxlen=slow_model.ANSWERS)

    def use(self, settings: Settings) -> None:
        """Use these settings from now on, except those of the engine."""
        self.completer.settings = with_engine_of(settings, self.opened_by)

    def advice(self) -> str:
        """Return what would make it faster; empty if it keeps up with typing."""
        return slow_model.advice(self.usages, self.completer.settings, self.engine.placement)

    def close_document(self, document: str) -> None:
        """End the work for a document that was closed and free its KV cache."""
        self.completer.close_document(document)
        self.engine.forget(document)

    def close(self) -> None:
        """End all work and close the engine."""
        self.completer.cancel_all()
        self.engine.close()
