"""Tree of errors, each a sentence that its reader can act on.

ShardlineError
├── SettingsError       a setting, a flag or a file of settings cannot be used
├── EngineError         the model cannot answer
│   ├── CheckpointError     its checkpoint cannot be found, fetched or read
│   ├── PlacementError      it does not fit, or names a device that is not there
│   │   └── NoRoomError         it would fit, but not beside the model that is still loaded
│   ├── GenerationError     it failed while it was computing
│   │   └── PromptError         the prompt is too long or has unknown token ids
│   ├── RemoteRefusedError  the server that runs it refuses the request
│   └── NotReadyError       it is still loading
│       └── AwayError           its process or server is gone, and may come back
├── StatisticsError     the counts cannot be read or written
├── ProtocolError       the other end of a language-server connection broke the protocol
├── RequestError        a request over HTTP is refused (http/error_responses.py)
└── SupersededError     a newer request replaced this one
"""


class ShardlineError(Exception):
    """Root of the tree; `str(error)` is one or more whole sentences for a user."""


class SettingsError(ShardlineError):
    """A setting, a flag or a file of settings cannot be used."""


class EngineError(ShardlineError):
    """The model cannot answer."""


class CheckpointError(EngineError):
    """The model cannot be found, fetched or read."""


class PlacementError(EngineError):
    """The model does not fit its devices, or a device is not there."""


class NoRoomError(PlacementError):
    """The model fits its devices, but not beside another one that is still loaded."""


class GenerationError(EngineError):
    """The model failed while it was computing."""


class PromptError(GenerationError):
    """The prompt is too long or has unknown token ids."""


class RemoteRefusedError(EngineError):
    """The server that runs the model refuses the request with this HTTP `status`; 0: unknown."""

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status


class NotReadyError(EngineError):
    """The model is still loading."""


class AwayError(NotReadyError):
    """The process or server that runs the model is gone; it may come back."""


class StatisticsError(ShardlineError):
    """The counts cannot be read or written."""


class ProtocolError(ShardlineError):
    """The other end of a language-server connection broke the protocol."""


class SupersededError(ShardlineError):
    """A newer request for the same document replaced this one."""


def first_line(error: BaseException) -> str:
    """Return the first line of a foreign error, or its name where it is empty, to be put into a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class BadValueError(ValueError):
    """A value that cannot be used; its text says why, or what the value must be."""
