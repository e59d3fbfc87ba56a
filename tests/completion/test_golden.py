"""Golden cases: what a model says at a cursor, and what the document becomes; each is named for the complaint.

The files in golden/ hold them: `== name (language)`, the document with the cursor as ‸, behind `-- says` the model's
text, and behind `-- becomes` the document with the suggestion accepted as ghost text and the cursor at its end.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from shardline.completion.completer import Completer
from shardline.engine.scripted import ScriptedEngine
from shardline.settings import GenerationSettings, Settings
from tests.completion.cursor import CURSOR, at_cursor

SETTINGS = Settings(generation=GenerationSettings(max_tokens=4096))
LEAST_CASES = 255


@dataclass(frozen=True)
class Case:
    name: str
    language: str
    document: str
    says: str
    becomes: str


def read(path: Path) -> list[Case]:
    cases = []
    for block in re.split(r"^== ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title, _, body = block.partition("\n")
        named = re.fullmatch(r"(.+) \(([\w-]+)\)", title)
        assert named, title
        document, says, becomes = re.split(r"^-- (?:says|becomes)\n", body, flags=re.MULTILINE)
        cases.append(
            Case(
                named[1],
                named[2],
                document.removesuffix("\n"),
                says.removesuffix("\n").replace(r"\r", "\r"),
                becomes.rstrip("\n"),
            )
        )
    return cases


CASES = [case for path in sorted((Path(__file__).parent / "golden").glob("*.txt")) for case in read(path)]


async def accepted(case: Case) -> str:
    """Return the document once the suggestion has been accepted."""
    completer = Completer(ScriptedEngine(lambda _: case.says), SETTINGS)
    suggestion = await completer.suggest(at_cursor(case.document, case.language))
    before, _, after = case.document.partition(CURSOR)
    return before + suggestion.text + CURSOR + after[len(suggestion.repeats) :]


def test_there_are_many_cases_of_many_languages_with_names_of_their_own() -> None:
    assert len(CASES) >= LEAST_CASES
    assert len({case.name for case in CASES}) == len(CASES)
    assert len({case.language for case in CASES}) >= 12


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_document_becomes_what_one_would_have_typed(case: Case) -> None:
    assert await accepted(case) == case.becomes.rstrip("\n")
