"""Where nothing is suggested, and why: each reason names the setting that would change it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardline.completion import scope
from shardline.settings import SECRETS, CompletionSettings
from tests.completion.cursor import at_cursor


def objection(
    uri: str = "file:///work/a.py",
    text: str = "x = ‸",
    *,
    language: str = "python",
    by_hand: bool = False,
    deleted: bool = False,
    **wish: Any,
) -> str | None:
    source = at_cursor(text, language, document=uri)
    return scope.objection(source, CompletionSettings(**wish), by_hand=by_hand, deleted=deleted)


@pytest.mark.parametrize("uri", ["file:///work/a.py", "untitled:Untitled-1", "vscode-notebook-cell:/work/a.ipynb#W0"])
def test_code_that_somebody_writes_is_completed(uri: str) -> None:
    assert objection(uri) is None


@pytest.mark.parametrize("uri", ["git:/work/a.py?ref=HEAD", "output:tasks", "vscode-settings://x", "debug:1"])
def test_what_nobody_writes_is_not(uri: str) -> None:
    assert "are not completed" in (objection(uri) or "")


@pytest.mark.parametrize("name", [".env", ".env.local", "server.pem", "id_rsa", "id_ed25519.pub", "credentials.json"])
def test_files_that_may_hold_secrets_are_skipped_wherever_they_are(name: str) -> None:
    for folder in ("", "a/", "a/b%20c/"):
        assert "completion.secretPaths" in (objection(f"file:///{folder}{name}") or "")
    assert objection(f"file:///a/{name}", secret_paths=()) is None


@pytest.mark.parametrize("path", ["/home/me/.ssh/config", "/home/me/.aws/anything"])
def test_folders_of_secrets_are_skipped(path: str) -> None:
    assert "completion.secretPaths" in (objection(f"file://{path}") or "")


@pytest.mark.parametrize("name", ["environment.py", "keyboard.py", "env", "monkey.py", "secretary.py"])
def test_code_with_a_name_alike_is_completed(name: str) -> None:
    assert objection(f"file:///work/{name}") is None


@pytest.mark.parametrize(
    ("pattern", "excluded"),
    [("*.min.js", "lib/x.min.js"), ("vendor/*", "vendor/a/b.c"), ("/work/x/*", "x/a.py"), ("*/gen/*", "gen/a.py")],
)
def test_paths_can_be_excluded(pattern: str, excluded: str) -> None:
    assert "completion.excludePaths" in (objection(f"file:///work/{excluded}", exclude_paths=(pattern,)) or "")
    assert objection("file:///work/other.py", exclude_paths=(pattern,)) is None


def test_languages_can_be_excluded() -> None:
    assert "completion.excludeLanguages" in (objection(language="markdown", exclude_languages=("markdown",)) or "")
    assert objection(exclude_languages=("markdown",)) is None


def test_long_documents_are_skipped() -> None:
    assert "completion.maxDocumentCharacters" in (objection(text="x\n" * 10 + "‸", max_document_characters=19) or "")
    assert objection(text="x\n" * 10 + "‸", max_document_characters=20) is None


@pytest.mark.parametrize(
    ("trigger", "by_hand", "silent"),
    [
        ("automatic", False, False),
        ("automatic", True, False),
        ("manual", False, True),
        ("manual", True, False),
        ("off", False, True),
        ("off", True, True),
    ],
)
def test_the_trigger_decides(trigger: str, by_hand: bool, silent: bool) -> None:
    assert (objection(trigger=trigger, by_hand=by_hand) is not None) is silent


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("x = 'a‸b'", "string"),
        ('"""a\n‸\n"""', "string"),
        ("# a‸", "comment"),
        ("x = 1  # a ‸b", "comment"),
        ("x = 'a‸", "string"),
        ('x = f("a‸\ny = 1', "string"),
        ("x = ‸'a'", None),
        ("x = 'a'‸", None),
        ("x‸ # a", None),
    ],
)
def test_strings_and_comments_can_be_left_out(text: str, kind: str | None) -> None:
    why = objection(text=text, in_strings=False, in_comments=False)
    assert why is None if kind is None else kind in (why or "")
    assert objection(text=text) is None


def test_what_was_deleted_can_be_left_alone_but_not_by_hand() -> None:
    assert "completion.afterDeletion" in (objection(deleted=True, after_deletion=False) or "")
    assert objection(deleted=True, after_deletion=False, by_hand=True) is None
    assert objection(deleted=False, after_deletion=False) is None


@given(uri=st.text(max_size=30), patterns=st.lists(st.text("*?[]!/.a", max_size=6) | st.sampled_from(SECRETS)))
def test_any_address_and_any_pattern_has_an_answer(uri: str, patterns: list[str]) -> None:
    for address in (uri, f"file://{uri}", f"file://[{uri}"):
        why = objection(address, exclude_paths=tuple(patterns))
        assert why is None or "completed" in why or "completion." in why
