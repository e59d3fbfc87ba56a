"""What can go wrong while weights are read, in sentences."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from shardline.errors import CheckpointError, EngineError, PlacementError, first_line

if TYPE_CHECKING:
    from shardline.engine.checkpoint import Checkpoint


@contextmanager
def reading(checkpoint: "Checkpoint") -> Iterator[None]:
    """Raise what goes wrong inside as an `EngineError` that says what to do."""
    try:
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
