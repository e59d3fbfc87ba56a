"""VS Code with the extension of editor-config/vscode: ghost text, accepted whole and by words, and the pop-up."""

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.editors import vscode
from tests.editors.cases import CASES, LINE, LINES, Case
from tests.editors.home import Home
from tests.editors.vscode import VSCode

SHAPES = """import math


class Circle:
    def __init__(self, radius):
        self.radius = radius

    def area(self):
        return math.pi * self.radius**2


|
"""

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with vscode.browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("vscode") / "home")


@pytest.fixture(scope="module")
def window(browser: Browser, home: Home) -> Iterator[VSCode]:
    with vscode.opened(browser, home) as window:
        yield window


def expect_accepted(window: VSCode, home: Home, case: Case) -> None:
    """Check that the suggestion is in the saved file, and that nothing more is suggested."""
    expect(window.ghost_text).to_have_count(0)
    window.press("Control+s")
    home.expect_accepted(case)


@every_case
def test_ghost_text_is_on_the_screen_and_tab_accepts_it(window: VSCode, home: Home, case: Case) -> None:
    window.begin(home, case)
    window.until_shown(case.shown)
    expect(window.ghost_text.first).to_be_visible()
    window.screenshot(f"ghost-text-{case.name}")
    window.press("Tab")
    expect_accepted(window, home, case)


def test_ghost_text_is_accepted_by_words(window: VSCode, home: Home) -> None:
    words = replace(LINE, name="words")
    window.begin(home, words)
    window.until_shown(words.shown)
    window.press("Control+ArrowRight", "Control+ArrowRight", "Control+s")
    home.expect_accepted(replace(words, suggested=" a"))
    window.until_shown(words.shown)
    expect(window.ghost_text.first).to_be_visible()
    window.screenshot("ghost-text-by-words")
    window.press("Tab")
    expect_accepted(window, home, words)


def test_ghost_text_stays_while_it_is_typed(window: VSCode, home: Home) -> None:
    typed = replace(LINES, name="typed")
    window.begin(home, typed)
    window.until_shown(typed.shown)
    window.press("Enter")
    window.page.keyboard.type("if not ")
    window.until_shown(typed.shown)
    expect(window.ghost_text.first).to_be_visible()
    window.press("Tab")
    expect_accepted(window, home, typed)


def test_a_cell_of_a_notebook_is_completed(window: VSCode, home: Home) -> None:
    before, _, _ = LINE.opened.partition("|")
    cell: dict[str, Any] = {"cell_type": "code", "source": [before], "metadata": {}, "outputs": []}
    python = {"language_info": {"name": "python"}}
    notebook = {"cells": [cell], "metadata": python, "nbformat": 4, "nbformat_minor": 2}
    (home.project / "cells.ipynb").write_text(json.dumps(notebook))
    window.open("cells.ipynb")
    window.page.locator(".cell .view-lines").click()
    window.press("Control+End")
    window.page.keyboard.type(LINE.typed)
    window.until_shown(LINE.shown)
    expect(window.ghost_text.first).to_be_visible()
    window.screenshot("ghost-text-notebook")
    window.press("Tab")
    expect(window.ghost_text).to_have_count(0)
    window.until_shown(LINE.shown)


def test_a_page_tells_what_became_of_the_last_suggestions(window: VSCode, home: Home) -> None:
    told = replace(LINES, name="told")
    window.begin(home, told)
    window.until_shown(told.shown)
    window.press("F1")
    window.page.keyboard.type("Shardline: Why nothing showed")
    expect(window.page.get_by_role("option", name="Shardline: Why nothing showed")).to_be_visible()
    window.press("Enter")
    newest = window.page.frame_locator("iframe.webview >> nth=-1")  # a notebook that was left keeps its own
    page = newest.frame_locator("iframe")
    expect(page.get_by_role("heading")).to_have_text("What became of the last requests")
    expect(page.get_by_role("row").filter(has_text="if not self.items:").first).to_contain_text("ghost text")
    window.screenshot("why-nothing-showed")
    window.press("Control+w")


def test_the_status_bar_says_that_the_model_is_ready(window: VSCode) -> None:
    window.status.click()
    expect(window.page.get_by_role("dialog").filter(has_text="is ready.")).to_be_visible()


def test_where_ghost_text_is_off_the_pop_up_has_the_suggestion(browser: Browser, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with vscode.opened(browser, home, **{"editor.inlineSuggest.enabled": False}) as window:
        for case in CASES:
            window.begin(home, case)
            window.press("Control+Space")
            expect(window.popup).to_contain_text("Shardline")
            window.screenshot(f"pop-up-{case.name}")
            window.press("Enter")
            expect_accepted(window, home, case)


def test_a_folder_that_is_not_trusted_shapes_suggestions_and_chooses_nothing(browser: Browser, tmp_path: Path) -> None:
    home = Home(tmp_path / "home", server=("-m", "shardline"))
    chosen = home.folder / "chosen"
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        folder = {
            "shardline.command": ["touch", str(chosen)],
            "shardline.model.name": "/nowhere",
            "shardline.engine.mode": "remote",
            "shardline.remote.baseUrl": f"http://127.0.0.1:{elsewhere.getsockname()[1]}",
            "shardline.completion.excludePaths": ["*.py"],
            "shardline.completion.maxLines": 1,
        }
        (home.project / ".vscode").mkdir()
        (home.project / ".vscode" / "settings.json").write_text(json.dumps(folder))
        shapes = Case("shapes", SHAPES, "class Rectangle:", "\n    def __init__(self, width, height):")
        with vscode.opened(browser, home, **{"security.workspace.trust.enabled": True}) as window:
            expect(window.page.locator(".statusbar").get_by_text("Restricted Mode")).to_be_visible()
            expect(window.status).to_have_attribute("aria-label", re.compile("SmolLM2"))
            window.begin(home, shapes)
            window.until_shown(shapes.shown)
            expect(window.ghost_text.first).to_be_visible()
            window.screenshot("not-trusted")
            window.press("Tab")
            window.press("Control+s")
            home.expect_accepted(shapes)
        assert not chosen.exists()
        with pytest.raises(BlockingIOError):
            elsewhere.accept()


def test_smollm2_writes_a_class_as_ghost_text(browser: Browser, tmp_path: Path) -> None:
    """The picture of the README is its screenshot."""
    home = Home(tmp_path / "home", server=("-m", "shardline"))
    shapes = Case("shapes", SHAPES, "class Rectangle:", "\n    def __init__(self, width, height):")
    with vscode.opened(browser, home, **{"workbench.activityBar.location": "hidden"}) as window:
        window.begin(home, shapes)
        window.press("Control+b")
        window.until_shown(shapes.shown)
        expect(window.page.get_by_role("treeitem")).to_have_count(0)
        window.screenshot("ghost-text")
        window.press("Tab")
        expect(window.ghost_text).to_have_count(0)
        window.until_shown(shapes.shown)
