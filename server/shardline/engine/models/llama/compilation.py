"""Compilation of the decode step in the background; torch answers meanwhile."""

import logging
import threading
import weakref
from pathlib import Path

from shardline import threads
from shardline.engine.models.llama.model import LlamaModel
from shardline.engine.models.llama.native import build, library_cache
from shardline.errors import ShardlineError, first_line

log = logging.getLogger(__name__)


def compile_step(model: LlamaModel) -> threading.Thread | None:
    """Let `model` run its steps in compiled code: at once if the library is in the cache, else when it is compiled.

    Returns the thread that compiles it, if one does.
    """
    if not build.supported() or not model.can_be_compiled:
        return None
    try:
        library_cache.open_folder()
        library = library_cache.find()
    except OSError as error:
        log.warning("The decode step is not compiled (%s: %s).", error.filename, error.strerror)
        return None
    if library_cache.failures() >= library_cache.MAX_FAILURES:
        log.warning(
            "The decode step is not compiled: it failed, see %s; remove that file to try again.",
            library_cache.failures_file(),
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
        with library_cache.making() as lock:
            complaint = "" if library_cache.find() else build.build(compiler, lock=lock)
            library = library_cache.find()
    except (OSError, ShardlineError) as error:
        complaint = str(error)
    if complaint:
        log.warning("The decode step is not compiled: %s complains (%s).", compiler, complaint.splitlines()[0])
    elif library and (model := reference()):
        _use(model, library)


def _use(model: LlamaModel, library: Path) -> bool:
    """Return whether the library loads, even if this model cannot use it."""
    try:
        with library_cache.tried():
            model.compile(library)
    except (OSError, ValueError) as error:
        log.warning("The decode step is not compiled (%s).", first_line(error))
        return isinstance(error, ValueError)
    log.info("The decode step is compiled.")
    return True
