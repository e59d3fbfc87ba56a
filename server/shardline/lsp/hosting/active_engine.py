"""An engine that is ready, with the completer in front of it."""

from collections import deque
from collections.abc import Callable

from shardline.completion import Source
from shardline.completion.completer import Answer, Completer
from shardline.engine import Engine, Usage
from shardline.lsp.hosting import slow_model
from shardline.settings import Settings, of_engine, with_engine_of


class Serving:
    """Answers with `engine`, which was opened by `settings`; knows what its last answers have cost."""

    def __init__(self, engine: Engine, settings: Settings, on_usage: Callable[[Usage, bool], None]) -> None:
        self.engine = engine
        self.opened_by = of_engine(settings)
        self.completer = Completer(engine, settings, on_usage=on_usage)
        self._costs: deque[Usage] = deque(maxlen=slow_model.ANSWERS)

    async def answer(self, source: Source, *, by_hand: bool) -> Answer:
        """Suggest what follows the cursor, the best first; raises `SupersededError` and `EngineError`."""
        answer = await self.completer.answer(source, by_hand=by_hand)
        if usage := answer.suggestions[0].usage:
            self._costs.append(usage)
        return answer

    def use(self, settings: Settings) -> None:
        """Work by these settings from now on, but for those of the engine."""
        self.completer.settings = with_engine_of(settings, self.opened_by)

    def advice(self) -> str:
        """What would make it faster; empty where it keeps up with typing."""
        return slow_model.advice(self._costs, self.completer.settings, self.engine.placement)

    def forget(self, document: str) -> None:
        """Free what is kept for a document that was closed, and end what is being made for it."""
        self.completer.forget(document)
        self.engine.forget(document)

    def close(self) -> None:
        """End all work, and let the model go."""
        self.completer.cancel_all()
        self.engine.close()
