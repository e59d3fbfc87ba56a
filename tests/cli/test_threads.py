"""Torch's threads have a CPU each where cores are single, and whoever sets that himself has his way."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from shardline import threads
from shardline.threads import MULTITHREADING

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads are left where they are")

ENGINE = """
import json, os, threading
from shardline import threads

threads.settle()
here = os.sched_getaffinity(0)
told = {}

def work():
    import torch
    before = set(os.listdir("/proc/self/task")) - {str(threading.get_native_id())}
    torch.ones(2000, 2000) @ torch.ones(2000, 2000)
    workers = set(os.listdir("/proc/self/task")) - before
    told["workers"] = sorted(sorted(os.sched_getaffinity(int(worker))) for worker in workers)
    threads.use_any_cpu()
    told["freed"] = sorted(os.sched_getaffinity(0))

thread = threading.Thread(target=work)
thread.start()
thread.join()
told |= {"here": sorted(here), "main": sorted(os.sched_getaffinity(0))}
print(json.dumps(told))
"""


def affinities(**environment: str) -> dict[str, Any]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", ENGINE], env={**kept, **environment}, capture_output=True, text=True, check=True
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.skipif(
    not MULTITHREADING.is_file() or MULTITHREADING.read_text().strip() != "0" or len(os.sched_getaffinity(0)) < 2,
    reason="needs several cores that are one CPU each",
)
def test_each_has_a_cpu_and_all_other_threads_have_all() -> None:
    told = affinities()
    assert told["workers"] == [[cpu] for cpu in told["here"]]
    assert told["main"] == told["freed"] == told["here"]


def test_who_sets_it_has_his_way() -> None:
    told = affinities(OMP_PROC_BIND="false")
    assert all(worker == told["here"] for worker in told["workers"])


def test_peers_run_as_they_do_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_PROC_BIND"):
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    threads.settle()
    assert os.environ["GOMP_SPINCOUNT"] == threads.SPINS
    threads.unsettle()
    assert dict(os.environ) == before
