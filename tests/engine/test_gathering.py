"""Chunks that are gathered are the same stream."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from shardline.engine import NOTHING_SPENT, Chunk, FinishReason, Token
from shardline.engine.local.chunk_coalescing import Coalescing

TEXTS = st.lists(st.text("ab\n ", max_size=3), min_size=1)


def stream_of(texts: list[str]) -> list[Chunk]:
    chunks = [
        Chunk(
            text=text,
            usage=replace(NOTHING_SPENT, completion_tokens=number),
            logprob=-float(number),
            tokens=(Token(text, -1.0, ()),),
        )
        for number, text in enumerate(texts)
    ]
    return [*chunks[:-1], replace(chunks[-1], finish_reason=FinishReason.STOP)]


def gather(chunks: list[Chunk], seconds: float) -> list[Chunk]:
    gathering = Coalescing(seconds)
    return [gathered for now, chunk in enumerate(chunks) if (gathered := gathering.add(chunk, now))]


@given(TEXTS)
def test_nothing_is_lost(texts: list[str]) -> None:
    chunks = stream_of(texts)
    found = gather(chunks, seconds=3600)
    assert "".join(chunk.text for chunk in found) == "".join(texts)
    assert [token for chunk in found for token in chunk.tokens] == [token for chunk in chunks for token in chunk.tokens]
    assert replace(found[-1], text="", tokens=()) == replace(chunks[-1], text="", tokens=())


def test_lines_are_told_as_they_end_and_begin() -> None:
    texts = ["", " a", " +", " b", "\n", "    ", "de", "f", " c", "(", ")", ":\n", "x", "=", " 1", ""]
    told = [chunk.text for chunk in gather(stream_of(texts), seconds=3600)]
    assert told == ["", " a + b\n", "    ", "de", "f", " c", "():\n", "x", "=", " 1"]


def test_it_may_end_where_its_first_line_does_until_the_next_shows_its_first_word() -> None:
    gathering = Coalescing(seconds=0)
    texts = [" a", "\n", "\n", "de", "f", " c", "\n", "x", "=", ""]
    ends = [chunk.text for chunk in stream_of(texts) if gathering.add(chunk, 0) and gathering.may_end]
    assert ends == ["\n", "\n", "de", "f", " c"]
    (last,) = stream_of(["\n"])
    gathering = Coalescing()
    assert gathering.add(last, 0)
    assert not gathering.may_end


@given(TEXTS)
def test_what_comes_slowly_is_told_as_it_comes(texts: list[str]) -> None:
    assert gather(stream_of(texts), seconds=0) == stream_of(texts)
