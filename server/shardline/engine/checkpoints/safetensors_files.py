"""Weight files of a folder, accepted and refused."""

from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from shardline.engine.checkpoints.json_file import read_object
from shardline.errors import CheckpointError

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
INDEX = "model.safetensors.index.json"


def safetensors_files(folder: Path) -> list[Path]:
    """Return the weight files that the folder's index names, else `model.safetensors`; they may be missing."""
    index = folder / INDEX
    if not index.exists():
        return [folder / "model.safetensors"]
    names = read_object(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) and Path(name).name for name in names.values()):
        raise CheckpointError(f"model.name: {index} is damaged; fetch the model again.")
    return [folder / Path(name).name for name in sorted(set(names.values()))]


def has_safetensors(folder: Path) -> bool:
    """Whether all the weights of `folder` are there, as safetensors."""
    return all(file.exists() for file in safetensors_files(folder))


def refuse_missing(name: str, files: Iterable[str]) -> NoReturn:
    """Raise `CheckpointError` for a model with no safetensors among `files`."""
    pickles = [file for file in files if file.endswith(PICKLES)]
    if pickles:
        raise CheckpointError(
            f"model.name: {name} has its weights only as pickle ({pickles[0]}), which can run code when it is read; "
            "Shardline reads safetensors and GGUF. Choose a converted copy of the model."
        )
    raise CheckpointError(f"model.name: {name} has no weights (*.safetensors or *.gguf).")
