"""Processes of real servers with SmolLM2."""

import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.editors.waiting import until
from tests.http.servers import SERVE
from tests.remote import install

START_SECONDS = 240
CONTEXT = 2048


class RealServer:
    """A server on a free port of this machine."""

    ready = "/health"
    """What it answers when it has its model."""
    api_key_env = ""
    """The environment variable with the key that it wants, for it too."""
    keys_per_second = 10
    """How fast one may type in front of it and still see something."""

    def __init__(self, command: Sequence[str], log: Path, folder: Path | None = None, **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._command = [*command, "--port", str(self.port)]
        self._log, self._folder, self._environment = log, folder, environment
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self._log.open("ab") as log:
            environment = {**os.environ, **self._environment}
            environment.pop("PYTHONPATH", None)  # it is no part of this project
            self.process = subprocess.Popen(
                self._command, cwd=self._folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        until(lambda: self.is_ready() or self.process.poll() is not None, START_SECONDS)
        assert self.is_ready(), self._log.read_text()[-2000:]

    def kill(self) -> None:
        """End it and its children, as by kill -9."""
        os.killpg(self.process.pid, 9)
        self.process.wait()

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}{self.ready}", timeout=5) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def get(self, path: str) -> str:
        headers = {"Authorization": f"Bearer {os.environ[self.api_key_env]}"} if self.api_key_env else {}
        request = urllib.request.Request(f"{self.url}{path}", headers=headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            said: bytes = answer.read()
            return said.decode()

    def running(self) -> int:
        """How many requests it works on."""
        raise NotImplementedError


class Serve(RealServer):
    """`shardline serve`."""

    api_key_env = "SHARDLINE_API_KEY"

    def __init__(self, log: Path) -> None:
        super().__init__([sys.executable, *SERVE, "--set", f"model.contextTokens={CONTEXT}"], log)

    def running(self) -> int:
        return int(json.loads(self.get("/engine/figures"))["running"])


class Vllm(RealServer):
    """vLLM's CPU build."""

    def __init__(self, log: Path) -> None:
        command = [str(install.VLLM / "bin" / "vllm"), "serve", str(install.model()), "--host", "127.0.0.1"]
        command += ["--served-model-name", "smollm2", "--dtype", "bfloat16", "--max-model-len", str(CONTEXT)]
        command += ["--max-num-seqs", "4", "--enforce-eager"]
        command += ["--block-size", "32"]  # what is left of a block of the prompt is read again
        cores = f"0-{(os.cpu_count() or 1) - 1}"  # by itself it leaves one of them to others
        cpu = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": cores}
        quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
        super().__init__(command, log, None, **cpu, **quiet)

    def running(self) -> int:
        counts = re.findall(r"^vllm:num_requests_(?:running|waiting)\{.*\} (\S+)$", self.get("/metrics"), re.MULTILINE)
        assert counts
        return round(sum(map(float, counts)))


class LlamaCpp(RealServer):
    """llama.cpp's own server."""

    def __init__(self, log: Path) -> None:
        command = [str(install.LLAMA_SERVER), "--host", "127.0.0.1", "--model", str(install.gguf())]
        command += ["--ctx-size", str(CONTEXT), "--parallel", "1", "--threads", "2"]
        super().__init__(command, log, install.LLAMA_BACKENDS)

    def running(self) -> int:
        slots: list[dict[str, Any]] = json.loads(self.get("/slots"))
        return sum(slot["is_processing"] for slot in slots)


class LlamaCppPython(RealServer):
    """llama-cpp-python's server, which speaks as OpenAI's: it takes text alone, and does not tell how busy it is."""

    ready = "/v1/models"
    keys_per_second = 2  # it computes the logits of all tokens of a prompt

    def __init__(self, log: Path) -> None:
        command = [str(install.LLAMA_CPP_PYTHON / "bin" / "python"), "-m", "llama_cpp.server", "--host", "127.0.0.1"]
        command += ["--model", str(install.gguf()), "--n_ctx", str(CONTEXT), "--n_threads", "2"]
        super().__init__(command, log)
