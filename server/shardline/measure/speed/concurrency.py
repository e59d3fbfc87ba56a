"""Tokens per second for several clients with warm documents."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

from shardline.engine import Chunk, Request
from shardline.engine.local.opener import open_runner
from shardline.engine.local.runner import Runner
from shardline.measure.speed.subject import frozen_code
from shardline.settings import ModelSettings

PREFIX, WRITTEN = 400, 128
"""Characters of each document, and tokens written in it."""


def tokens_per_second(settings: ModelSettings, clients: int, repeats: int) -> list[tuple[float, float]]:
    """For each repeat the tokens written per second with one client, and in total with so many at once.

    Tokens are drawn at random, so that the text does not repeat itself. Counted is what comes until the first has
    ended; one round before does not count.
    """
    runner = open_runner(settings, lambda _: None)
    if runner.compilation:
        runner.compilation.join()
    source = frozen_code()
    begins = [number * PREFIX % (len(source) - PREFIX + 1) for number in range(clients)]  # starts over, shifted
    texts = [source[begin : begin + PREFIX] for begin in begins]
    rounds = [(_rate(runner, texts[:1], seed), _rate(runner, texts, seed)) for seed in range(repeats + 1)]
    return rounds[1:]


def _rate(runner: Runner, texts: Sequence[str], seed: int) -> float:
    requests = [
        Request(document=str(number), prefix=text, max_tokens=WRITTEN, temperature=1.0, seed=seed)
        for number, text in enumerate(texts)
    ]
    for request in requests:
        runner.warm(request, threading.Event())
    streams: list[list[Chunk]] = [[] for _ in requests]
    began = time.perf_counter()
    ends: list[Future[None]] = [Future() for _ in requests]
    cancelled = threading.Event()
    for request, stream, ended in zip(requests, streams, ends, strict=True):
        runner.ask(request, report=stream.append, ended=ended, cancelled=cancelled)
    while not any(ended.done() for ended in ends):
        runner.step()
    seconds = time.perf_counter() - began
    cancelled.set()
    runner.step()
    return sum(stream[-1].usage.completion_tokens for stream in streams) / seconds
