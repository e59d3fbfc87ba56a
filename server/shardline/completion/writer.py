"""Generation, truncation and trimming of the candidates for one cursor."""

import dataclasses
import math
from collections.abc import Callable
from contextlib import aclosing

from shardline.completion import Cut, Source, Suggestion, postprocess, truncation
from shardline.engine import Chunk, Engine, FinishReason, Request, Usage
from shardline.settings import Settings


class Writer:
    """The candidates for the cursor of `source`, generated from `prefix` and `suffix`."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        source: Source,
        *,
        prefix: str,
        suffix: str,
        healing: bool,
        trimming: bool,
    ) -> None:
        self._engine = engine
        self._options = settings.completion
        self._source = source
        self._trimming = trimming
        self.text = ""
        """The text of the first candidate so far."""
        self._last: Chunk | None = None
        self.usages: dict[int, Usage] = {}
        """The usage of each candidate so far."""
        generation = settings.generation
        self._request = Request(
            document=source.document,
            prefix=prefix,
            suffix=suffix,
            infilling=self._options.infilling,
            healing=healing,
            max_tokens=generation.max_tokens,
            temperature=generation.temperature,
            top_p=generation.top_p,
            top_k=generation.top_k,
            seed=generation.seed,
            stop=(*truncation.stop_sequences(source, self._options), *generation.stop),
        )

    async def warm(self) -> None:
        """Prefill the prompt."""
        await self._engine.warm(self._request)

    @property
    def ready(self) -> Suggestion | None:
        """The complete lines of the first candidate so far, or None."""
        lines, line_feed, _ = self.text.rpartition("\n")
        suggestion = self._finished(lines, self._last) if line_feed and lines.strip() else None
        return suggestion if suggestion and suggestion.text else None

    async def several(self, count: int, on_growth: Callable[[], None]) -> list[Suggestion]:
        """Return at most `count` different suggestions, the most probable first; at least one, perhaps empty.

        Calls `on_growth` whenever the first candidate grows.
        """
        suggestions = [await self._one(choice, on_growth) for choice in range(count)]
        by_text: dict[str, Suggestion] = {}
        for suggestion in suggestions:
            if suggestion.text:
                by_text.setdefault(suggestion.text, suggestion)
        different = sorted(by_text.values(), key=lambda suggestion: suggestion.logprob, reverse=True)
        return different or suggestions[:1]

    async def _one(self, choice: int, on_growth: Callable[[], None]) -> Suggestion:
        raw, text, last = "", "", None
        end = truncation.EndFinder(self._source, self._options)
        request = dataclasses.replace(self._request, choice=choice)
        async with aclosing(self._engine.complete(request)) as stream:
            async for chunk in stream:
                self.usages[choice] = chunk.usage
                raw += chunk.text
                text = raw.replace("\r\n", "\n").replace("\r", "\n")
                last = chunk
                if not choice:
                    self.text, self._last = text, last
                    on_growth()
                at = end.find(text, finished=chunk.finish_reason is not None)
                if at is not None:
                    text = text[:at]
                    break
                if chunk.finish_reason is FinishReason.LENGTH:
                    text = truncation.whole_lines(text)
        return self._finished(text, last)

    def _finished(self, text: str, last: Chunk | None) -> Suggestion:
        text, repeats, cuts = postprocess.trim(self._source, text) if self._trimming else (text, (), ())
        if last is None:
            return Suggestion(text=text, repeats=repeats, cuts=cuts)
        confidence = math.exp(last.logprob / max(1, last.usage.completion_tokens))
        if confidence < self._options.min_confidence:
            text, repeats, cuts = "", (), (Cut.CONFIDENCE,)
        return Suggestion(
            text=text, repeats=repeats, usage=last.usage, logprob=last.logprob, confidence=confidence, cuts=cuts
        )
