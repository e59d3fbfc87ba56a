"""A streaming detokenizer that knows about token healing."""

from tokenizers.decoders import DecodeStream

from shardline.engine.tokenization.prompt import Prompt
from shardline.engine.tokenization.tokenizer import Codec

CONTEXT = 8
"""Prompt tokens shown to the stream, so that it knows which spaces belong to the text."""


class Detokenizer:
    """Turns the tokens that follow `prompt` into text, without the end of the prompt that they repeat."""

    def __init__(self, prompt: Prompt, codec: Codec) -> None:
        self._tokenizer = codec.tokenizer
        self._stream = DecodeStream(ids=prompt.ids[-CONTEXT:], skip_special_tokens=False)
        self._repeated = len(prompt.removed)

    def add(self, token: int) -> str:
        """Take the next token; returns the text it completes, empty inside a character."""
        text = self._stream.step(self._tokenizer, token) or ""
        new, self._repeated = text[self._repeated :], max(0, self._repeated - len(text))
        return new
