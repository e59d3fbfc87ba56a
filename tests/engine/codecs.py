"""Codecs of model families."""

from pathlib import Path

from tokenizers import AddedToken

from shardline.engine.tokenization.tokenizer import Codec
from tests import tiny

BASE = Path("no-such-folder")  # nothing is read from it


FIM = ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"]


def codec_of(*added: str, special: bool = True) -> Codec:
    tokenizer = tiny.tokenizer()
    tokens = [AddedToken(name, special=special, normalized=False) for name in added]
    (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(tokens)
    tokenizer.encode_special_tokens = True
    return Codec(tokenizer, tiny.config(vocab_size=400 + len(added)).to_dict(), BASE)


PLAIN, STARCODER = codec_of(), codec_of(*FIM)
