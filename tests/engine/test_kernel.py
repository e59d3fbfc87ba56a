"""The compiled step says what torch says, is made in the background, and is never used where it says something else."""

import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from shardline.engine.models.llama.compilation import compile_step
from shardline.engine.models.llama.model import LlamaModel
from shardline.engine.models.llama.native import build, library_cache
from shardline.engine.weights.linear import int4_block
from tests.engine.llamas import CAPACITY, PROMPT, fill, load, make, read_alone_and_together

COMPILER = build.compiler() or ""
INNER = 128
"""A width that torch's blocks of 4-bit weights divide."""

pytestmark = [pytest.mark.skipif(not COMPILER, reason="needs Linux on x86-64 and g++"), pytest.mark.slow]


@pytest.fixture(scope="module")
def library() -> Path:
    library_cache.open_folder()
    if not library_cache.find():
        assert build.build(COMPILER) == ""
    return build.library()


@pytest.fixture
def copied(library: Path, own_cache: Path) -> Path:
    """Return the library in a cache of this test alone, as it was made."""
    library_cache.open_folder()
    for file in (library, library.with_suffix(".so.sha256")):
        shutil.copy2(file, build.library().parent)
    return build.library()


def read(model: LlamaModel, sizes: list[int]) -> torch.Tensor:
    """Return the logits after each token, read in parts of these sizes."""
    memory, rows, at = model.new_memory(), [], 0
    for size in sizes:
        rows.append(model.forward(PROMPT[at : at + size], memory, every=True))
        at += size
    return torch.cat(rows)


@pytest.mark.parametrize("quantization", ["none", "int8", "int4"])
@pytest.mark.parametrize("family", ["llama", "llama, tied", "codellama", "biases", "wide heads", "qwen2"])
def test_compiled_equals_torch(tmp_path: Path, library: Path, family: str, quantization: str) -> None:
    model = load(make(tmp_path, family, intermediate_size=INNER), dtype="bfloat16", quantization=quantization)
    sizes = [1, 2, 3, 1, 4, 1]
    expected = read(model, sizes)
    model.compile(library)
    found = read(model, sizes)
    assert (found - expected).norm() < 0.02 * expected.norm()
    assert not torch.equal(found, expected)  # it rounds less: else torch would still answer


def test_what_it_read_torch_can_go_on_with(tmp_path: Path, library: Path) -> None:
    model = load(make(tmp_path, "llama", intermediate_size=INNER), dtype="bfloat16")
    expected = read(model, [12])
    model.compile(library)
    found = read(model, [3, 9])  # nine are more than a step takes
    assert (found - expected).norm() < 0.02 * expected.norm()


@pytest.mark.parametrize("ids", [[96], [-1], [1, 1]])
def test_nothing_outside_the_tensors_is_read_or_written(tmp_path: Path, library: Path, ids: list[int]) -> None:
    model = load(make(tmp_path, "llama", intermediate_size=INNER), dtype="bfloat16")
    model.compile(library)
    memory = model.new_memory()
    for _ in range(CAPACITY - 1):
        model.forward([1], memory)
    with pytest.raises(IndexError):
        model.forward(ids, memory)
    model.forward([1], memory)
    assert memory.length == CAPACITY


def test_what_was_never_written_is_never_seen(tmp_path: Path, library: Path) -> None:
    model = load(make(tmp_path, "llama", intermediate_size=INNER), dtype="bfloat16")
    model.compile(library)
    memory = model.new_memory()
    fill(memory, math.nan)
    logits = [model.forward(PROMPT[at : at + size], memory, every=True) for at, size in ((0, 8), (8, 1), (9, 3))]
    assert torch.cat(logits).isfinite().all()


def test_rows_do_not_change_each_other(tmp_path: Path, library: Path) -> None:
    model = load(make(tmp_path, "qwen2", intermediate_size=INNER), dtype="bfloat16", quantization="int4")
    model.compile(library)
    torch.testing.assert_close(read(model, [8, 4]), read(model, [1] * 12), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("quantization", ["none", "int8", "int4"])
def test_several_texts_in_one_pass_say_exactly_what_each_says_alone(
    tmp_path: Path, library: Path, quantization: str
) -> None:
    model = load(make(tmp_path, "llama", intermediate_size=INNER), dtype="bfloat16", quantization=quantization)
    model.compile(library)
    texts = [PROMPT[:1], PROMPT[2:5], PROMPT[4:5], PROMPT[5:8]]
    alone, _, said = read_alone_and_together(model, texts)
    assert all(torch.equal(one, other) for one, other in said)
    with pytest.raises(IndexError):
        model.forward_batch([([1], alone[0]), ([96], alone[1])])


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_other_dtypes_stay_with_torch(tmp_path: Path, dtype: str) -> None:
    model = load(make(tmp_path, "llama", intermediate_size=INNER), dtype=dtype)
    assert not model.can_be_compiled


def test_widths_that_do_not_fit_stay_with_torch(tmp_path: Path) -> None:
    assert not load(
        make(tmp_path, "llama", intermediate_size=80), dtype="bfloat16", quantization="int4"
    ).can_be_compiled


def test_a_library_that_computes_something_else_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.so"
    source = Path(build.__file__).parent / "step.cpp"
    block = 32 if int4_block() == 64 else 64
    subprocess.run([COMPILER, *build.FLAGS, f"-DBLOCK={block}", source, "-o", wrong], check=True)
    model = load(make(tmp_path, "llama", intermediate_size=INNER), dtype="bfloat16", quantization="int4")
    expected = read(model, [1, 1])
    with pytest.raises(ValueError, match="logits differ"):
        model.compile(wrong)
    assert torch.equal(read(model, [1, 1]), expected)


@pytest.mark.usefixtures("own_cache")
def test_it_is_made_once_and_then_found(tmp_path: Path) -> None:
    folder = make(tmp_path, "llama", intermediate_size=INNER)
    model = load(folder, dtype="bfloat16")
    before = read(model, [1, 1])
    thread = compile_step(model)
    assert thread
    assert torch.equal(read(model, [1, 1]), before) or build.library().exists()  # torch answers meanwhile
    thread.join()
    assert not torch.equal(read(model, [1, 1]), before)
    name = build.library().name
    kept_files = [build.library().with_suffix(".lock").name, name, f"{name}.sha256"]
    assert sorted(file.name for file in build.library().parent.iterdir()) == kept_files
    again = load(folder, dtype="bfloat16")
    assert compile_step(again) is None
    assert torch.equal(read(again, [1, 1]), read(model, [1, 1]))


@pytest.mark.parametrize("script", [None, "echo 'no such flag' >&2; exit 1"])
def test_without_a_compiler_that_can_torch_goes_on(
    tmp_path: Path,
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    script: str | None,
) -> None:
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for tool in ("nice", "mv", "rm"):
        (bin_folder / tool).symlink_to(shutil.which(tool) or "")
    if script:
        (bin_folder / "g++").write_text(f"#!/bin/sh\n{script}\n")
        (bin_folder / "g++").chmod(0o755)
    monkeypatch.setenv("PATH", str(bin_folder))
    model = load(make(tmp_path, "llama", intermediate_size=INNER), dtype="bfloat16")
    before = read(model, [1, 1])
    with caplog.at_level("INFO", logger="shardline"):
        if thread := compile_step(model):
            thread.join()
    assert torch.equal(read(model, [1, 1]), before)
    assert ("no such flag" if script else "no C++ compiler") in caplog.text
    assert not list(own_cache.rglob("*.so*"))


def halve(library: Path) -> None:
    library.write_bytes(library.read_bytes()[: library.stat().st_size // 2])


def zero(library: Path) -> None:
    library.write_bytes(bytes(library.stat().st_size))


def flip(library: Path) -> None:
    data = bytearray(library.read_bytes())
    data[len(data) // 2] ^= 1
    library.write_bytes(data)


def let_others_write(library: Path) -> None:
    library.chmod(0o666)


def let_others_write_beside(library: Path) -> None:
    library.parent.chmod(0o777)


@pytest.mark.parametrize("damage", [halve, zero, flip, let_others_write, let_others_write_beside])
def test_a_library_that_may_not_be_as_it_was_made_is_made_again(
    tmp_path: Path, copied: Path, damage: Callable[[Path], None]
) -> None:
    made = copied.read_bytes()
    damage(copied)
    model = load(make(tmp_path, "llama", intermediate_size=INNER), dtype="bfloat16")
    thread = compile_step(model)
    assert thread
    assert not copied.exists() or copied.read_bytes() == made
    thread.join()
    assert library_cache.find() == copied
    assert copied.parent.stat().st_mode & 0o077 == 0
    assert compile_step(model) is None


def test_a_library_is_private_whatever_the_umask(tmp_path: Path, own_cache: Path) -> None:
    model = load(make(tmp_path, "llama", intermediate_size=INNER), dtype="bfloat16")
    umask = os.umask(0)
    try:
        thread = compile_step(model)
        assert thread
        thread.join()
    finally:
        os.umask(umask)
    for path in (own_cache, *own_cache.rglob("*")):
        assert path.stat().st_mode & 0o022 == 0, path
    assert library_cache.find()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_not_used(tmp_path: Path, copied: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.chown(copied.parent, 12345, -1)
    check_unused(tmp_path, copied, caplog)


def test_a_folder_that_others_may_exchange_is_not_used(
    tmp_path: Path, copied: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copied.parent.parent.chmod(0o777)
    check_unused(tmp_path, copied, caplog)


def check_unused(tmp_path: Path, copied: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = load(make(tmp_path, "llama", intermediate_size=INNER), dtype="bfloat16")
    before = read(model, [1, 1])
    with caplog.at_level("WARNING", logger="shardline"):
        assert compile_step(model) is None
    assert torch.equal(read(model, [1, 1]), before)
    assert "others may" in caplog.text
    assert copied.exists()


CRASHING = 'extern "C" void *shardline_open(void *) { return *(void **)0; } extern "C" void shardline_close(void *) {}'

USING = """
import sys
from pathlib import Path
from shardline import logs
from shardline.engine.models.llama.compilation import compile_step
from tests.engine.llamas import load
logs.configure("info")
model = load(Path(sys.argv[1]), dtype="bfloat16")
thread = compile_step(model)
if thread:
    thread.join()
"""


def test_a_library_that_crashes_is_made_again_once_and_then_no_more(tmp_path: Path, copied: Path) -> None:
    folder = make(tmp_path, "llama", intermediate_size=INNER)
    compiler = tmp_path / "bin" / "g++"  # makes a library that crashes
    source = tmp_path / "crashing.cpp"
    source.write_text(CRASHING)
    compiler.parent.mkdir()
    compiler.write_text(f'#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\n{COMPILER} -shared -fPIC {source} -o "$2"\n')
    compiler.chmod(0o755)
    copied.unlink()

    def use() -> subprocess.CompletedProcess[str]:
        path = f"{compiler.parent}:{os.environ['PATH']}"
        command = [sys.executable, "-c", USING, str(folder)]
        return subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)

    crashes = [use().returncode for _ in range(2)]
    assert crashes == [-signal.SIGSEGV] * 2
    last = use()
    assert last.returncode == 0
    assert str(library_cache.failures_file()) in last.stderr
    assert "Segmentation fault" in library_cache.failures_file().read_text()


@pytest.mark.parametrize("name", ["with spaces", "näme", "n" * 120])
def test_it_is_made_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
    library_cache.open_folder()
    assert build.build(COMPILER) == ""
    assert library_cache.find()


MAKES_NOTHING = """#!/bin/sh
echo run >> '{runs}'
while [ "$1" != -o ]; do shift; done
echo nothing > "$2"
"""


def test_processes_that_come_while_it_is_made_wait_for_it(tmp_path: Path, own_cache: Path) -> None:
    runs, compiler = tmp_path / "runs", tmp_path / "g++"
    compiler.write_text(MAKES_NOTHING.format(runs=runs))
    compiler.chmod(0o755)
    library_cache.open_folder()
    code = f"from shardline.engine.models.llama.compilation import _make; _make({str(compiler)!r}, lambda: None)"
    several = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [one.wait() for one in several] == [0, 0, 0]
    assert runs.read_text() == "run\n"


def test_without_room_on_the_disk_torch_goes_on(tmp_path: Path, own_cache: Path) -> None:
    folder = make(tmp_path, "llama", intermediate_size=INNER)
    limit = ["/bin/sh", "-c", 'ulimit -f 0; exec "$@"', "sh"]
    command = [*limit, sys.executable, "-c", USING, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "The decode step is not compiled" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(own_cache.rglob("*.so*"))


def test_where_the_folder_cannot_be_made_torch_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    model = load(make(tmp_path, "llama", intermediate_size=INNER), dtype="bfloat16")
    with caplog.at_level("WARNING", logger="shardline"):
        assert compile_step(model) is None
    assert "Not a directory" in caplog.text
