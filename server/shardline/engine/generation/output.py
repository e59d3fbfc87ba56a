"""Chunks of a sequence: text, usage and log-probabilities."""

import time
from collections.abc import Callable

from shardline.engine import Chunk, FinishReason, Request, Token, Usage
from shardline.engine.generation.decoding import Sampled
from shardline.engine.generation.detokenizer import Detokenizer
from shardline.engine.tokenization.prompt import Prompt
from shardline.engine.tokenization.stop_sequences import StopSequences
from shardline.engine.tokenization.tokenizer import Codec


class Output:
    """Takes a sequence's tokens, gives `report` its chunks, and decides where it ends: after `max_tokens` at most."""

    def __init__(
        self,
        request: Request,
        prompt: Prompt,
        codec: Codec,
        report: Callable[[Chunk], None],
        *,
        cached_tokens: int,
        max_tokens: int,
    ) -> None:
        self._began = time.perf_counter()
        self._codec = codec
        self._report = report
        self._max_tokens = max_tokens
        self._max_logprobs = request.logprobs
        self._detokenizer = Detokenizer(prompt, codec)
        self._stop = StopSequences(request.stop)
        self._prompt_tokens = self._cached_tokens = cached_tokens
        self._completion_tokens = 0
        self._time_to_first_token = 0.0
        self._logprob = 0.0
        self._tokens: list[Token] = []

    def prefill(self, count: int) -> None:
        """Count prompt tokens before they are run: a step that has begun is finished even when cancelled."""
        self._prompt_tokens += count
        self._send("")

    def accept(self, sampled: Sampled) -> bool:
        """Take the next token; returns whether another is wanted."""
        self._completion_tokens += 1
        self._logprob += sampled.logprob
        self._time_to_first_token = self._time_to_first_token or time.perf_counter() - self._began
        if sampled.token in self._codec.signals:
            return self._end(FinishReason.STOP)
        if self._max_logprobs is not None:
            self._tokens.append(_with_likeliest(sampled, self._codec, count=self._max_logprobs))
        if safe := self._stop.feed(self._detokenizer.add(sampled.token)):
            self._send(safe)
        if self._stop.stopped:
            return self._end(FinishReason.STOP)
        if self._completion_tokens >= self._max_tokens:
            return self._end(FinishReason.LENGTH)
        return True

    def _end(self, reason: FinishReason) -> bool:
        self._send(self._stop.flush(), reason)
        return False

    def _send(self, text: str, finish_reason: FinishReason | None = None) -> None:
        usage = Usage(
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self._cached_tokens,
            completion_tokens=self._completion_tokens,
            time_to_first_token=self._time_to_first_token,
            total_time=time.perf_counter() - self._began,
        )
        tokens, self._tokens = tuple(self._tokens), []
        self._report(Chunk(text=text, usage=usage, logprob=self._logprob, tokens=tokens, finish_reason=finish_reason))


def _with_likeliest(sampled: Sampled, codec: Codec, *, count: int) -> Token:
    likeliest = sampled.logits.float().log_softmax(-1).topk(count)
    top = zip(map(codec.spell, likeliest.indices.tolist()), likeliest.values.tolist(), strict=True)
    return Token(codec.spell(sampled.token), sampled.logprob, tuple(top))
