"""Models of the Hugging Face hub, in Hugging Face's own cache.

What the cache holds is used without asking the hub again; `model.revision` chooses another version.
"""

from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download, snapshot_download, try_to_load_from_cache
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from shardline.engine import Report
from shardline.engine.checkpoints.safetensors_files import has_safetensors, refuse_missing
from shardline.engine.checkpoints.tqdm_progress import bar_class
from shardline.errors import CheckpointError

OUTLINE = (".json", ".txt", ".model")
"""Endings of files that say what a model is: config, tokenizer, lists of shards."""
WEIGHTS = ".safetensors"
REACH_SECONDS = 5.0


def cached(name: str, revision: str | None, *, weights: bool) -> Path | None:
    """Return the folder of a model whose files are all on this machine, or None."""
    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, EntryNotFoundError, OSError):
        return None
    complete = has_safetensors(folder) if weights else (folder / "config.json").exists()
    return folder if complete else None


def cached_file(name: str, file: str, revision: str | None) -> bool:
    """Whether one file of model `name` is here already."""
    return isinstance(try_to_load_from_cache(name, file, revision=revision), str)


def reachable() -> bool:
    """Whether the hub answers."""
    try:
        HfApi().model_info("gpt2", timeout=REACH_SECONDS, expand=["sha"])
    except Exception:  # noqa: BLE001  any reason is the same answer
        return False
    return True


def fetch(name: str, revision: str | None, report: Report, *, weights: bool) -> Path:
    """Return a folder with the files of model `name`; raises `CheckpointError` with what to do."""
    folder = cached(name, revision, weights=weights)
    if folder is not None:
        return folder
    try:
        files = _wanted_files(name, revision, weights=weights)
        bar = bar_class(f"Downloading {name}", "bytes", report, total=sum(files.values()))
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(files), tqdm_class=bar))
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(_in_words(name, revision, error)) from error


def fetch_file(name: str, file: str, revision: str | None, report: Report) -> Path:
    """Return one file of model `name`, such as a GGUF."""
    bar = bar_class(f"Downloading {file}", "bytes", report)
    try:
        return Path(hf_hub_download(name, file, revision=revision, tqdm_class=bar))
    except Exception as error:
        raise CheckpointError(_in_words(f"{name}/{file}", revision, error)) from error


def _wanted_files(name: str, revision: str | None, *, weights: bool) -> dict[str, int]:
    """Return the files of the repository's top folder that the model needs, with their bytes."""
    siblings = HfApi().model_info(name, revision=revision, files_metadata=True).siblings or []
    files = {sibling.rfilename: sibling.size or 0 for sibling in siblings if "/" not in sibling.rfilename}
    if not weights:
        return {file: size for file, size in files.items() if file.endswith(OUTLINE)}
    kinds = (*OUTLINE, WEIGHTS)
    wanted = {file: size for file, size in files.items() if file.endswith(kinds) and "consolidated" not in file}
    if not any(file.endswith(WEIGHTS) for file in wanted):
        refuse_missing(name, files)
    return wanted


def _in_words(name: str, revision: str | None, error: Exception) -> str:
    match error:
        case GatedRepoError():
            return (
                f"model.name: {name} asks for its licence to be accepted on huggingface.co; accept it there, "
                "then run `hf auth login` or set HF_TOKEN."
            )
        case RevisionNotFoundError():
            return f"model.revision: {name} has no revision {revision!r}."
        case RepositoryNotFoundError() | HFValidationError():
            return (
                f"model.name: there is no model {name!r} on the Hugging Face hub; if it is private, run "
                "`hf auth login` or set HF_TOKEN. The path of a folder or file begins with / or ./ or ~."
            )
        case EntryNotFoundError() if not isinstance(error, LocalEntryNotFoundError):
            return f"model.name: there is no file {name!r} on the Hugging Face hub."
        case OSError(errno=int()) if not isinstance(error, ConnectionError | TimeoutError):
            return (
                f"model.name: {name} cannot be kept in {HF_HUB_CACHE} ({error.strerror}); free space there and make it "
                "writable, or set HF_HOME to another folder."
            )
        case _:
            return (
                f"model.name: {name} is not on this machine and the Hugging Face hub cannot be reached "
                f"({type(error).__name__}). Connect to it, or set model.name to a folder."
            )
