"""The part of a long text that is cut into words: a parser need not read what no token shows."""

from collections.abc import Sequence
from dataclasses import replace

from headscope.examples import Split
from headscope.model.encoding import Encoded

CONTEXT = 500
"""How many characters behind the last token are read: the rest of its sentence decides its tags."""


def beginnings(encoded: Encoded, split: Split) -> tuple[Split, int]:
    """The examples, each text cut some way behind its last token, at the end of a word.

    A text that reaches no further than this, one whose tokens were not found in it, and the gold
    words of an example stay as they are.

    Args:
        encoded: The encoded examples.
        split: The same examples as texts.

    Returns:
        The examples, and how many texts were cut.
    """
    if split.words is not None:
        return split, 0
    first, second, cut = [], [], 0
    for row in range(len(split)):
        ends = [0, 0]
        tokens = zip(encoded.segments[row], encoded.offsets[row], strict=True)
        for which, (_, end) in tokens:
            ends[which] = max(ends[which], end)
        texts = (
            [split.first[row]] if split.second is None else [split.first[row], split.second[row]]
        )
        # Where no token is known to stand in the texts, none is known to be the last.
        parts = texts
        if row not in encoded.unplaced:
            parts = [_beginning(text, end) for text, end in zip(texts, ends, strict=False)]
        cut += _shorter(parts, texts)
        first.append(parts[0])
        second += parts[1:]
    both = None if split.second is None else tuple(second)
    return replace(split, first=tuple(first), second=both), cut


def _beginning(text: str, end: int) -> str:
    """The text up to the first white space some way behind `end`, or to a fixed place without."""
    least = end + CONTEXT
    rest = text[least : least + CONTEXT]
    if not text[least:].strip():
        return text
    word_end = next((i for i, character in enumerate(rest) if character.isspace()), 0)
    return text[: least + word_end]


def _shorter(parts: Sequence[str], texts: Sequence[str]) -> int:
    return sum(len(part) < len(text) for part, text in zip(parts, texts, strict=True))
