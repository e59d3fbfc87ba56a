"""Requests to a runner, with their chunks."""

import threading
from concurrent.futures import Future

from shardline.engine import Chunk, Request
from shardline.engine.local.runner import Runner


class Asked:
    """A request and its chunks."""

    def __init__(self, runner: Runner, request: Request) -> None:
        self.chunks: list[Chunk] = []
        self.ended: Future[None] = Future()
        self.cancelled = threading.Event()
        runner.ask(request, report=self.chunks.append, ended=self.ended, cancelled=self.cancelled)

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.chunks)

    @property
    def tokens(self) -> int:
        return self.chunks[-1].usage.completion_tokens if self.chunks else 0


def finish(runner: Runner) -> None:
    while not runner.is_idle:
        runner.step()
