"""Laws of text that others wrote: in Markdown it is code and nothing else, and as plain text it is one line."""

import unicodedata
from collections.abc import Iterable

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from shardline.completion.markdown import code_block, code_cell, code_span, one_line, plain
from shardline.completion.request_log import Entry, page

MARKDOWN = MarkdownIt("commonmark").enable("table")
texts = st.text(
    st.one_of(
        st.sampled_from(list("``|\\ \n\t\r\x00\x1b[](){}<>&#*_~:!-=+a1\u2028\u202e\ud800\ufffd")),
        st.characters(codec=None),
    ),
    max_size=40,
)


def tokens(markdown: str) -> list[Token]:
    """All that a reader of Markdown finds."""
    return [token for block in MARKDOWN.parse(markdown) for token in (block, *(block.children or []))]


def codes(found: Iterable[Token]) -> list[str]:
    return [token.content for token in found if token.type == "code_inline"]


@given(texts)
@example("a `` b")
@example("`")
@example("` ``` ``")
@example("\n```\n<script>")
def test_a_code_span_holds_its_text_and_nothing_else(text: str) -> None:
    found = tokens(f"before {code_span(text)} behind")
    assert codes(found) == ([one_line(text)] if one_line(text) else [])
    assert {token.type for token in found} <= {"paragraph_open", "inline", "text", "code_inline", "paragraph_close"}


@given(texts, st.text(max_size=10))
def test_a_code_block_holds_its_text_and_nothing_else(text: str, language: str) -> None:
    text = text.replace("\r", "").replace("\x00", "")  # which readers turn into others
    (block,) = MARKDOWN.parse(code_block(text, language))
    assert (block.type, block.content) == ("fence", text + "\n")


@given(texts, texts, texts, texts)
@example("a \\| b", "x || y", "a `` | b", "\\")
def test_the_page_is_a_table_whatever_is_in_it(document: str, text: str, reason: str, status: str) -> None:
    entry = Entry(document=document, line=1, column=1, kind="ghost text", outcome="failed", reason=reason, text=text)
    found = tokens(page([entry, entry], status))
    assert sum(token.type == "td_open" for token in found) == 2 * 8
    assert not {token.type for token in found} & {
        "link_open",
        "image",
        "html_inline",
        "html_block",
        "em_open",
        "softbreak",
    }
    shown = [one_line(text.strip().split("\n")[0]), one_line(reason)]
    cells = [part.replace("\\|", "\\ |") for part in shown if part]
    assert codes(found) == [part for part in (one_line(status), one_line(document)) if part] + cells * 2


@given(texts)
@example("a\ud800b\x1b[2J\u2028\x9b")
def test_a_line_has_no_characters_that_control_a_screen_or_cannot_be_written(text: str) -> None:
    line = one_line(text)
    assert not {unicodedata.category(character) for character in line} & {"Cc", "Cs", "Zl", "Zp"}
    assert line.encode().decode() == line
    assert one_line(line) == line


@given(texts)
def test_plain_text_has_no_link(text: str) -> None:
    assert "](" not in plain(text)


def test_what_is_harmless_stays_as_it_is() -> None:
    for text in ("model.name: there is no model 'x'.", "Grüße, 世界 😀", "a[0](1)"[:4], "https://huggingface.co/x"):
        assert one_line(text) == plain(text) == text
    assert code_cell("a | b") == "` a \\| b `"
