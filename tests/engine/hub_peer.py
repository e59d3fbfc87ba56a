"""A Hugging Face hub on this machine: serves folders as repositories, the way the real hub answers."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType

COMMIT = "c0ffee0000000000000000000000000000000000"


class _Handler(BaseHTTPRequestHandler):
    repositories: Mapping[str, Path]
    held: Mapping[str, threading.Event]

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0].strip("/")
        for name, folder in self.repositories.items():
            if path in (f"api/models/{name}", f"api/models/{name}/revision/main"):
                return self._json(self._model(name, folder))
            if path.startswith(f"api/models/{name}/tree/"):
                return self._json(self._tree(folder))
            for revision in ("main", COMMIT):
                if path.startswith(f"{name}/resolve/{revision}/"):
                    return self._file(folder / path.partition(f"{revision}/")[2], with_body=with_body)
        return self._missing("RepoNotFound")

    def _model(self, name: str, folder: Path) -> object:
        siblings = [{"rfilename": file.name, "size": file.stat().st_size} for file in sorted(folder.iterdir())]
        return {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}

    def _tree(self, folder: Path) -> object:
        return [
            {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": _etag(file)}
            for file in sorted(folder.iterdir())
        ]

    def _json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _file(self, file: Path, *, with_body: bool) -> None:
        if not file.exists():
            return self._missing("EntryNotFound")
        body = file.read_bytes()
        self.send_response(200)
        self.send_header("ETag", f'"{_etag(file)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            if file.name in self.held:
                self.held[file.name].wait()
            with suppress(ConnectionError):  # whoever asked may have gone
                self.wfile.write(body)
        return None

    def _missing(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _etag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()


@contextmanager
def serving(
    repositories: Mapping[str, Path], held: Mapping[str, threading.Event] = MappingProxyType({})
) -> Iterator[str]:
    """Serve `repositories` on loopback; hands out the address for `HF_ENDPOINT`.

    The contents of files with names in `held` come when the event is set.
    """
    handler = type("Handler", (_Handler,), {"repositories": repositories, "held": held})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
