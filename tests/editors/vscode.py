"""VS Code as code-server shows it in Chromium, with the extension built from editor-config/vscode."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.editors import install
from tests.editors.cases import Case
from tests.editors.home import Home

GUARD_MILLISECONDS = 60_000
expect.set_options(timeout=GUARD_MILLISECONDS)

CODE = [str(install.NODE / "node"), str(install.CODE_SERVER)]
DATA = ".local/share/code-server"
"""Where it keeps settings and extensions, in a home."""

WINDOW = {"width": 840, "height": 500}

SETTINGS = {
    "chat.disableAIFeatures": True,
    "files.autoSave": "off",
    "security.workspace.trust.enabled": False,
    "extensions.autoCheckUpdates": False,
    "editor.minimap.enabled": False,
    "telemetry.telemetryLevel": "off",
    "workbench.startupEditor": "none",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.tips.enabled": False,
}
"""What keeps welcome pages, questions and other completers away; the rest is as VS Code comes."""


_IS_SHOWN = """text =>
    [...document.querySelectorAll('.editor-instance .view-line, .cell .view-line')]
        .map(line => [line.getBoundingClientRect().top, line.innerText.replaceAll('\\u00a0', ' ')])
        .sort(([one], [other]) => one - other)
        .map(([, line]) => line)
        .join('\\n')
        .includes(text)
"""


class VSCode:
    """A window of VS Code with a folder open."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @property
    def status(self) -> Locator:
        """Shardline's item in the status bar."""
        return self.page.locator("[id='shardline.shardline.shardline.status']")

    def open(self, name: str) -> None:
        """Open a file of the project."""
        self.page.get_by_role("treeitem", name=name, exact=True).dblclick()
        expect(self.page.get_by_role("tab", name=name, selected=True, exact=True)).to_be_visible()

    def begin(self, home: Home, case: Case) -> None:
        """Open the file of a case and type."""
        self.open(home.write(case).name)
        self.page.locator(".editor-instance .view-lines").first.click()
        self.press("Control+Home", *["ArrowDown"] * (case.line - 1), "End", *["ArrowLeft"] * case.behind)
        self.page.keyboard.type(case.typed)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def until_shown(self, text: str) -> None:
        """Wait until `text` stands in the lines of the editor, those of ghost text among them."""
        self.page.wait_for_function(_IS_SHOWN, arg=text)

    @property
    def ghost_text(self) -> Locator:
        """The pieces of ghost text."""
        return self.page.locator(".ghost-text, .ghost-text-decoration")

    @property
    def popup(self) -> Locator:
        """The chosen item of the pop-up."""
        return self.page.locator(".suggest-widget.visible .monaco-list-row.focused")

    def screenshot(self, name: str) -> None:
        """Keep what is seen."""
        install.SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=install.SCREENSHOTS / f"{name}.png")


@contextmanager
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield chromium
        chromium.close()


@contextmanager
def opened(chromium: Browser, home: Home, **settings: Any) -> Iterator[VSCode]:
    """VS Code with the extension installed as the README says, the project open and the model ready."""
    subprocess.run(
        [*CODE, "--install-extension", str(install.EXTENSION)], env=home.environment, check=True, capture_output=True
    )
    with shown(chromium, home, settings) as vscode:
        expect(vscode.status).to_have_attribute("aria-label", re.compile("is ready"))
        yield vscode


@contextmanager
def shown(chromium: Browser, home: Home, settings: Mapping[str, Any]) -> Iterator[VSCode]:
    """VS Code with the extensions that are in the home, and the project open."""
    user = home.folder / DATA / "User" / "settings.json"
    user.parent.mkdir(parents=True, exist_ok=True)
    user.write_text(json.dumps({**SETTINGS, **settings}))
    with _serving(CODE, home.environment) as address:
        page = chromium.new_page(viewport=WINDOW, device_scale_factor=2)
        page.set_default_timeout(GUARD_MILLISECONDS)
        page.goto(f"{address}/?folder={quote(str(home.project))}")
        yield VSCode(page)
        page.close()


@contextmanager
def _serving(code: list[str], environment: Mapping[str, str]) -> Iterator[str]:
    command = [
        *code,
        "--auth",
        "none",
        "--bind-addr",
        "127.0.0.1:0",
        "--disable-update-check",
    ]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment, stdout=pipe, stderr=nothing, text=True)
    with process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if "listening on" in line)
        try:
            yield line.split("listening on")[1].split()[0].rstrip("/")
        finally:
            process.terminate()
