"""Models in Hugging Face's own cache, as if they had been fetched."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COMMIT = "c0ffee0000000000000000000000000000000000"


def put(home: Path, name: str, files: Path | Mapping[str, Any]) -> dict[str, str]:
    """Put the model `name` into the cache below `home`: a folder's files, or values of JSON files.

    Returns the environment of whoever shall find it there, without asking the hub.
    """
    repository = home / "hub" / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    if isinstance(files, Path):
        shutil.copytree(files, snapshot)
    else:
        snapshot.mkdir(parents=True)
        for file, values in files.items():
            (snapshot / file).write_text(json.dumps(values))
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    return {**kept, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
