"""Errors of loading weights, in sentences."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from shardline.engine import panics
from shardline.errors import CheckpointError, EngineError, PlacementError, first_line

if TYPE_CHECKING:
    from shardline.engine.checkpoints.checkpoint import Checkpoint


@contextmanager
def reading(checkpoint: "Checkpoint") -> Iterator[None]:
    """Raise any error inside as an `EngineError` that says what to do."""
    try:
        with panics.as_errors():
            yield
    except EngineError:
        raise
    except torch.OutOfMemoryError as error:
        raise PlacementError(
            f"A device ran out of memory while {checkpoint.name} was loaded: something else uses it too. Lower "
            "model.maxMemory, so that less is put there, or free it."
        ) from error
    except Exception as error:
        raise CheckpointError(
            f"model.name: the weights of {checkpoint.name} in {checkpoint.gguf or checkpoint.folder} cannot be read "
            f"({type(error).__name__}: {first_line(error)}); fetch the model again."
        ) from error


def missing(name: str) -> CheckpointError:
    """Return the error for a weight that is in the config and not in the files."""
    return CheckpointError(f"model.name: the model has no weights for {name}; fetch it again.")


def mismatch(name: str, stored: Sequence[int], expected: Sequence[int]) -> CheckpointError:
    """Return the error for a weight with another shape than in the config."""
    return CheckpointError(
        f"model.name: {name} has the shape {_in_words(stored)} in the model's weights, and by its config "
        f"{_in_words(expected)}; fetch it again."
    )


def _in_words(shape: Sequence[int]) -> str:
    return " x ".join(str(size) for size in shape) or "of a single number"
