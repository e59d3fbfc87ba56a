"""Whatever the document, the cursor, the language and the model's text are: a suggestion or none, and no exception."""

from hypothesis import given
from hypothesis import strategies as st

from shardline.completion import Source
from shardline.completion.code.languages import LANGUAGES
from shardline.completion.completer import Completer
from shardline.engine.scripted import ScriptedEngine
from shardline.lsp.documents import split_lines
from shardline.settings import CompletionSettings, Settings

NAMES = st.sampled_from([*(language.name for language in LANGUAGES), "plaintext", "nothing", ""])
BRACKETS = ["}", "{", "(", ")", "[", "]", "${"]
TEXTS = ['"""', '"', "'", "`", "#", "//", "/*", "*/", "\\"]
SPACES = ["\n", "\r\n", "\r", "    ", "\t", "\f", "\u2028", "\x00"]
WORDS = ["x", "else", "end", ":", ";", "ß", "🙂", "\ud800"]
CODE = st.lists(st.sampled_from([*BRACKETS, *TEXTS, *SPACES, *WORDS])).map("".join)
ANY = st.one_of(CODE, st.text())


async def suggest(before: str, after: str, language: str, says: str, wish: CompletionSettings) -> str:
    """Return the document after the suggestion."""
    lines = split_lines(before + after)
    start = split_lines(before)
    source = Source(document="d", language=language, lines=lines, line=len(start) - 1, column=len(start[-1]))
    completer = Completer(ScriptedEngine(lambda _: says), Settings(completion=wish))
    suggestion = await completer.suggest(source)
    assert list(suggestion.repeats) == sorted(set(suggestion.repeats))
    assert len(suggestion.repeats) <= len(source.after)
    assert not suggestion.text or suggestion.text.strip()
    return suggestion.text


@given(ANY, ANY, NAMES, ANY, st.builds(CompletionSettings, multiline=st.sampled_from(["auto", "always", "never"])))
async def test_any_document_any_cursor_any_text(
    before: str, after: str, language: str, says: str, wish: CompletionSettings
) -> None:
    await suggest(before, after, language, says, wish)


async def test_a_huge_line() -> None:
    text = await suggest(
        "x = [" + "1, (2), " * 100_000, "3]" + ", 4" * 100_000, "python", "5, 6]", CompletionSettings()
    )
    assert text == "5, 6"


async def test_a_huge_document() -> None:
    block = "def f():\n    return {'a': [1, 2]}\n\n"
    text = await suggest(block * 20_000 + "x = ", "\n" + block * 20_000, "python", "f()\ny = 1\n", CompletionSettings())
    assert text == "f()"


async def test_a_binary_file() -> None:
    noise = bytes(range(256)).decode("latin-1") * 100
    assert await suggest(noise, noise, "python", "x", CompletionSettings()) in ("x", "")
