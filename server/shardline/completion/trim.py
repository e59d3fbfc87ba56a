"""Finished text turned into text worth showing."""

from shardline.completion import Source


def trim(source: Source, text: str) -> str:
    """Drop white space at the end, what already follows the cursor, and a suggestion that is nothing else."""
    text = text.rstrip()
    after = source.after.rstrip()
    for length in range(min(len(after), len(text)), 0, -1):
        if text.endswith(after[:length]):
            text = text[:-length]
            break
    return text if text.strip() else ""
