"""Metrics of requests and generation, for Prometheus and the page."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from shardline.engine import Usage
from shardline.http.admission import Admission
from shardline.http.recent_activity import History

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SPEEDS = (1, 5, 10, 20, 50, 100, 200, 500, 1000)


class Metrics:
    """The metrics of one server, in a registry of their own, and its last two minutes."""

    def __init__(self, admission: Admission) -> None:
        self.registry = registry = CollectorRegistry()
        self.history = History()
        self.requests = Counter(
            "shardline_http_requests", "Requests that were answered.", ["route", "status"], registry=registry
        )
        running = Gauge("shardline_requests_running", "Requests that the engine works on.", registry=registry)
        running.set_function(lambda: admission.running)
        waiting = Gauge("shardline_requests_waiting", "Requests that wait for their turn.", registry=registry)
        waiting.set_function(lambda: admission.waiting)
        self._prompt = Counter("shardline_prompt_tokens", "Tokens of prompts.", registry=registry)
        self._cached = Counter(
            "shardline_cached_tokens", "Tokens of prompts that were in a KV cache already.", registry=registry
        )
        self._generated = Counter("shardline_generated_tokens", "Tokens that were generated.", registry=registry)
        self._first = Histogram(
            "shardline_time_to_first_token_seconds",
            "From the engine's start of a request to its first token.",
            buckets=SECONDS,
            registry=registry,
        )
        self._speed = Histogram(
            "shardline_decode_tokens_per_second",
            "Tokens per second of a request after its first.",
            buckets=SPEEDS,
            registry=registry,
        )

    def generated(self, tokens: int) -> None:
        """Count tokens generated just now."""
        self._generated.inc(tokens)
        self.history.generated(tokens)

    def ended(self, usage: Usage) -> None:
        """Count the usage of a request that has ended, complete or not."""
        self._prompt.inc(usage.prompt_tokens)
        self._cached.inc(usage.cached_tokens)
        self._first.observe(usage.time_to_first_token)
        if usage.tokens_per_second is not None:
            self._speed.observe(usage.tokens_per_second)
        self.history.ended(usage)

    def answer(self) -> Response:
        """Return all metrics in Prometheus' format."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)
