"""Machine code for a model's decode step, made in the background: until it is there, torch answers."""

import logging
import threading
import weakref

from shardline.engine import devices
from shardline.engine.kernel import build
from shardline.engine.models.llama import LlamaModel
from shardline.errors import first_line

log = logging.getLogger(__name__)


def compile_step(model: LlamaModel) -> threading.Thread | None:
    """Let `model` take its steps in compiled code: at once where the library is kept already, else when it is made.

    Returns the thread that makes it, if one does.
    """
    if not build.supported() or not model.can_be_compiled:
        return None
    if build.library().exists():
        _use(model)
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
    devices.use_any_cpu()
    complaint = build.build(compiler)
    if complaint:
        log.warning("The decode step is not compiled: %s complains (%s).", compiler, complaint.splitlines()[0])
    elif model := reference():
        _use(model)


def _use(model: LlamaModel) -> None:
    try:
        model.compile(build.library())
    except (OSError, ValueError) as error:
        log.warning("The decode step is not compiled (%s).", first_line(error))
    else:
        log.info("The decode step is compiled.")
