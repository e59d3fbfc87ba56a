"""Chunks that are sent together are the same stream, and what tells where a suggestion ends comes at once."""

from collections.abc import AsyncGenerator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from shardline.completion import Source
from shardline.completion.shape import End
from shardline.engine import Chunk, FinishReason, Usage
from shardline.http.gathering import gathered
from shardline.settings import CompletionSettings

PIECES = st.lists(
    st.sampled_from(["a", "b c", " ", "    ", "\n", ")", "(", ".x", "if", ":", "\n    y", "else"]), max_size=30
)


def usage(count: int) -> Usage:
    return Usage(prompt_tokens=1, cached_tokens=0, completion_tokens=count, time_to_first_token=0.0, total_time=0.0)


async def stream(pieces: Sequence[str]) -> AsyncGenerator[Chunk, None]:
    for count, piece in enumerate(pieces, 1):
        yield Chunk(text=piece, usage=usage(count), logprob=-count)
    yield Chunk(text="", usage=usage(len(pieces)), logprob=-len(pieces), finish_reason=FinishReason.STOP)


@given(PIECES)
async def test_the_stream_is_the_same(pieces: list[str]) -> None:
    chunks = [chunk async for chunk in gathered(stream(pieces))]
    assert "".join(chunk.text for chunk in chunks) == "".join(pieces)
    assert chunks[-1].usage == usage(len(pieces))
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == [FinishReason.STOP]


@given(PIECES)
async def test_a_suggestion_ends_no_later(pieces: list[str]) -> None:
    def end() -> End:
        return End(Source(document="d", language="python", lines=["x = "], line=0, column=4), CompletionSettings())

    async def tokens_until_its_end(chunks: AsyncGenerator[Chunk, None]) -> int:
        text, found = "", end()
        async for chunk in chunks:
            text += chunk.text
            if found.find(text) is not None:
                return chunk.usage.completion_tokens
        return len(pieces) + 1

    assert await tokens_until_its_end(gathered(stream(pieces))) == await tokens_until_its_end(stream(pieces))


async def test_the_rest_of_a_line_is_sent_with_what_follows_it() -> None:
    chunks = [chunk async for chunk in gathered(stream(["x", " = ", "a", " + ", "b", "\n", "y"]))]
    assert [chunk.text for chunk in chunks] == ["x", " = ", "a + b\n", "y", ""]
