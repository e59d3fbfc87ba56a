"""Machine code for a model's decode step, made in the background: until it is there, torch answers."""

import logging
import threading
import weakref
from pathlib import Path

from shardline import threads
from shardline.engine.models.llama.model import LlamaModel
from shardline.engine.models.llama.native import build, kept
from shardline.errors import ShardlineError, first_line

log = logging.getLogger(__name__)


def compile_step(model: LlamaModel) -> threading.Thread | None:
    """Let `model` take its steps in compiled code: at once where the library is kept already, else when it is made.

    Returns the thread that makes it, if one does.
    """
    if not build.supported() or not model.can_be_compiled:
        return None
    try:
        kept.open_folder()
        library = kept.find()
    except OSError as error:
        log.warning("The decode step is not compiled (%s: %s).", error.filename, error.strerror)
        return None
    if kept.failures() >= kept.MAX_FAILURES:
        log.warning(
            "The decode step is not compiled: it failed, as %s tells; remove that to try.", kept.failures_file()
        )
        return None
    if library and _use(model, library):
        return None
    compiler = build.compiler()
    if compiler is None:
        log.info("The decode step is not compiled: no C++ compiler was found. With g++ suggestions come sooner.")
        return None
    thread = threading.Thread(
        target=_make, args=(compiler, weakref.ref(model)), name="shardline-compilation", daemon=True
    )
    thread.start()
    return thread


def _make(compiler: str, reference: "weakref.ref[LlamaModel]") -> None:
    threads.use_any_cpu()
    try:
        with kept.making() as lock:
            complaint = "" if kept.find() else build.build(compiler, lock=lock)
            library = kept.find()
    except (OSError, ShardlineError) as error:
        complaint = str(error)
    if complaint:
        log.warning("The decode step is not compiled: %s complains (%s).", compiler, complaint.splitlines()[0])
    elif library and (model := reference()):
        _use(model, library)


def _use(model: LlamaModel, library: Path) -> bool:
    """Returns whether it could be loaded, though it may be of no use to this model."""
    try:
        with kept.tried():
            model.compile(library)
    except (OSError, ValueError) as error:
        log.warning("The decode step is not compiled (%s).", first_line(error))
        return isinstance(error, ValueError)
    log.info("The decode step is compiled.")
    return True
