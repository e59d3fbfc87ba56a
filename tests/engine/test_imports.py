"""The engine and its measurements run where neither the server nor the commands are installed."""

import pkgutil
import subprocess
import sys
from collections.abc import Collection
from importlib.util import find_spec

import pytest

from shardline import engine

pytestmark = pytest.mark.slow

ALONE = """
import importlib, sys
from importlib.machinery import PathFinder

absent, modules = sys.argv[1].split(), sys.argv[2].split()

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in absent else super().find_spec(name, path, target)

sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
for module in modules:
    importlib.import_module(module)
"""
SERVER = ["pygls", "lsprotocol", "typer", "rich"]
MORE = ["cattrs", "gguf", "matplotlib", "platformdirs", "pytest", "tree_sitter", "hypothesis"]
ENGINE = {module.name for module in pkgutil.walk_packages(engine.__path__, "shardline.engine.")}
if find_spec("triton") is None:
    ENGINE.remove("shardline.engine.weights.triton_gemv")


@pytest.mark.parametrize(
    ("absent", "modules"), [(SERVER, ENGINE), (SERVER + MORE, {"tests.gpu.measure"})], ids=["engine", "measure"]
)
def test_it_can_be_imported_without_what_it_does_not_need(absent: Collection[str], modules: Collection[str]) -> None:
    words = [" ".join(absent), " ".join(modules)]
    done = subprocess.run([sys.executable, "-c", ALONE, *words], capture_output=True, text=True)
    assert not done.returncode, done.stderr
