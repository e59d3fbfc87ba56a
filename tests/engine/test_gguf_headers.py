"""A GGUF file that announces more than it has is refused in words, in little time and memory."""

import json
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from gguf import GGUFValueType as Type

from tests.engine.gguf_files import write_gguf

pytestmark = pytest.mark.slow

SCRIPT = """
import json, sys
from shardline.engine.checkpoints import checkpoint
from shardline.errors import CheckpointError
from shardline.settings import ModelSettings
for file in sys.argv[1:]:
    try:
        checkpoint.find(ModelSettings(name=file), lambda _: None)
        print(json.dumps(""))
    except CheckpointError as error:
        print(json.dumps(str(error)))
"""
KILOBYTES = 6 * 2**20
"""Of addresses that it may take: imports alone reserve a third."""
GUARD_SECONDS = 120


def number(value: int, kind: str = "Q") -> bytes:
    return struct.pack(f"<{kind}", value)


def string(text: str) -> bytes:
    return number(len(text)) + text.encode()


def field(name: str, kind: Type, value: bytes) -> bytes:
    return string(name) + number(kind, "I") + value


def array(kind: Type, count: int, items: bytes = b"") -> bytes:
    return number(kind, "I") + number(count) + items


def header(tensors: int = 0, fields: int = 0, rest: bytes = b"", version: int = 3) -> bytes:
    return b"GGUF" + number(version, "I") + number(tensors) + number(fields) + rest


def tensor(*sizes: int, kind: int = 0, offset: int = 0, dimensions: int | None = None) -> bytes:
    count = number(len(sizes) if dimensions is None else dimensions, "I")
    return string("x") + count + b"".join(map(number, sizes)) + number(kind, "I") + number(offset)


HEADERS: Mapping[str, bytes] = {
    "tensors": header(tensors=2**60),
    "fields": header(fields=2**60),
    "tensors and a megabyte": header(tensors=2**60, rest=bytes(2**20)),
    "fields and a megabyte": header(fields=2**60, rest=bytes(2**20)),
    "an array of bytes": header(fields=1, rest=field("x", Type.ARRAY, array(Type.UINT8, 2**60))),
    "an array of texts": header(fields=1, rest=field("x", Type.ARRAY, array(Type.STRING, 2**60))),
    "an array that is there": header(fields=1, rest=field("x", Type.ARRAY, array(Type.UINT8, 2**24, bytes(2**24)))),
    "arrays in arrays": header(fields=1, rest=field("x", Type.ARRAY, array(Type.ARRAY, 1) * 10_000)),
    "a text": header(fields=1, rest=field("x", Type.STRING, number(2**62))),
    "the name of a field": header(fields=1, rest=number(2**62)),
    "the name of a tensor": header(tensors=1, rest=number(2**62)),
    "a type of nothing": header(fields=1, rest=field("x", Type.UINT8, b"\0").replace(number(0, "I"), number(99, "I"))),
    "dimensions": header(tensors=1, rest=tensor(dimensions=2**31)),
    "no dimension": header(tensors=1, rest=tensor() + bytes(100)),
    "sizes": header(tensors=1, rest=tensor(2**32, 2**32)),
    "a size of 0": header(tensors=1, rest=tensor(32, 0)),
    "half a block": header(tensors=1, rest=tensor(33, kind=2)),
    "a kind of nothing": header(tensors=1, rest=tensor(32, kind=10_000)),
    "an offset": header(tensors=1, rest=tensor(32, offset=2**62) + bytes(1000)),
    "more data than there is": header(tensors=1, rest=tensor(1000) + bytes(1000)),
    "no alignment": header(fields=1, rest=field("general.alignment", Type.UINT32, number(0, "I"))),
    "an alignment": header(fields=1, rest=field("general.alignment", Type.UINT32, number(2**31, "I"))) + bytes(100),
    "another format": b"GGML" + bytes(100),
    "an old version": header(version=1),
    "a version of another CPU": header(version=3 << 24),
    "nothing": b"",
    "nothing but zeros": bytes(2**20),
}


@pytest.fixture(scope="module")
def answers(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Return what one process, with a limit of memory, says to all of these files, and to a good one at the end."""
    folder = tmp_path_factory.mktemp("headers")
    files = {name: folder / f"{number}.gguf" for number, name in enumerate(HEADERS)}
    for name, file in files.items():
        file.write_bytes(HEADERS[name])
    for key, value in (("num_hidden_layers", 2**31 - 1), ("num_hidden_layers", 0), ("vocab_size", 2**31)):
        files[f"{key} {value}"] = folder / f"{key}-{value}.gguf"
        write_gguf(tiny_folder, files[f"{key} {value}"], **{key: value})
    files["good"] = folder / "good.gguf"
    write_gguf(tiny_folder, files["good"])
    limited = ["/bin/sh", "-c", f'ulimit -v {KILOBYTES} && exec "$@"', "sh", sys.executable, "-P", "-c", SCRIPT]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        done = subprocess.run(
            [*limited, *map(str, files.values())], capture_output=True, text=True, timeout=GUARD_SECONDS, check=False
        )
    assert done.returncode == 0, done.stderr
    left = [path.name for path in (folder / "cache" / "shardline" / "unpacked").iterdir() if path.is_dir()]
    assert len(left) == 1  # of the good one
    return dict(zip(files, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("name", HEADERS)
def test_a_file_that_announces_what_it_does_not_have_is_refused(answers: Mapping[str, str], name: str) -> None:
    assert "cannot be read as a GGUF model" in answers[name]
    assert answers["good"] == ""


def test_a_file_of_sizes_that_no_model_has_is_refused(answers: Mapping[str, str]) -> None:
    assert "num_hidden_layers, which must be a whole number" in answers[f"num_hidden_layers {2**31 - 1}"]
    assert "num_hidden_layers, which must be a whole number" in answers["num_hidden_layers 0"]
    assert "vocab_size, which must be a whole number" in answers[f"vocab_size {2**31}"]
