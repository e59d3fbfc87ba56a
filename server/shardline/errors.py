"""Tree of errors, each a sentence that its reader can act on.

ShardlineError
├── SettingsError       a setting, a flag or a file of settings cannot be used
├── EngineError         the model cannot answer
│   ├── CheckpointError     it cannot be found, fetched or read
│   ├── PlacementError      it does not fit, or names a device that is not there
│   │   └── NoRoomError         it would fit, but not beside the model that is still loaded
│   ├── GenerationError     it failed while it was computing
│   │   └── PromptError         what it was given to read is nothing that it can read
│   ├── RemoteRefusedError  the server that runs it does not do what it was asked
│   └── NotReadyError       it is still loading
│       └── AwayError           the process or the server that runs it is gone, which may pass
├── StatisticsError     what was counted cannot be read or written
├── ProtocolError       the other side of a language-server connection did not answer as agreed
├── RequestError        a request over HTTP is not answered (http/refusals.py)
└── SupersededError     a newer request took this one's place
"""


class ShardlineError(Exception):
    """The root: `str(error)` is one or more whole sentences, fit to be shown to a user."""


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
    """The request's prompt is nothing that the model can read."""


class RemoteRefusedError(EngineError):
    """The server that runs the model answers with this HTTP `status` instead of doing what it was asked; 0: unknown."""

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status


class NotReadyError(EngineError):
    """The model is still loading."""


class AwayError(NotReadyError):
    """The process or the server that runs the model has ended or cannot be reached: it may be loaded again."""


class StatisticsError(ShardlineError):
    """The counts cannot be read or written."""


class ProtocolError(ShardlineError):
    """The other side of a language-server connection did not answer as agreed."""


class SupersededError(ShardlineError):
    """A newer request for the same document took this one's place."""


def first_line(error: BaseException) -> str:
    """Return the first line of a foreign error, or its name where it is empty, to be put into a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class BadValueError(ValueError):
    """A value that cannot be used; its text says why, or what the value must be."""
