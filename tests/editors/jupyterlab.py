"""JupyterLab with jupyterlab-lsp, shown in Chromium."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Locator, Page, expect

from tests.editors import install
from tests.editors.cases import Case
from tests.editors.home import Home
from tests.editors.vscode import GUARD_MILLISECONDS, WINDOW
from tests.editors.waiting import until

SERVER = "/lsp/ws/shardline"


class JupyterLab:
    """A tab of the browser that shows JupyterLab."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self._address = address

    def begin(self, home: Home, case: Case) -> None:
        """Open the file of a case, and type until the server has the text."""
        file = home.write(case)
        with self.page.expect_websocket(lambda socket: SERVER in socket.url) as socket:
            self.page.goto(f"{self._address}/lab/tree/{file.name}?reset")
        expect(self.page.locator(".lsp-statusbar-item")).to_contain_text("Fully initialized")
        home.until_ready()
        self.page.locator(".jp-FileEditor .cm-content").click()
        self.press("Control+Home", *["ArrowDown"] * (case.line - 1), "End")
        typed = json.dumps(case.prefix, ensure_ascii=False)[1:-1]
        with socket.value.expect_event("framesent", lambda frame: "didChange" in frame and typed in frame):
            self.page.keyboard.type(case.typed)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    @property
    def popup(self) -> Locator:
        """The chosen item of the pop-up."""
        return self.page.locator(".jp-Completer .jp-mod-active")


@contextmanager
def opened(chromium: Browser, address: str) -> Iterator[JupyterLab]:
    """Yield a tab that is closed whatever is unsaved in it."""
    page = chromium.new_page(viewport=WINDOW, device_scale_factor=2)
    page.set_default_timeout(GUARD_MILLISECONDS)
    yield JupyterLab(page, address)
    page.close()


@contextmanager
def serving(home: Home) -> Iterator[str]:
    """JupyterLab over the project, with the server set up as the README says: its address."""
    home.configure("jupyterlab.json", ".jupyter/jupyter_server_config.d/shardline.json")
    options = [f"--ServerApp.root_dir={home.project}", "--ServerApp.port=0", "--IdentityProvider.token="]
    command = [str(install.JUPYTERLAB), "--no-browser", "--allow-root", *options]
    log = home.folder / "jupyter.log"
    with log.open("wb") as written, subprocess.Popen(command, env=home.environment, stderr=written) as process:
        try:
            until(lambda: bool(_addresses(log.read_text())))
            yield _addresses(log.read_text())[0]
        finally:
            process.kill()  # asked to end, jupyter-lsp may wait for a server that has ended already


def _addresses(log: str) -> list[str]:
    return re.findall(r"(http://localhost:\d+)/lab", log)
