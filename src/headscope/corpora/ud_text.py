"""Where the tokens of a CoNLL-U sentence stand in its text."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from conllu import Token

Span = tuple[int, int]
"""Character offsets into a text, the end exclusive."""


@dataclass(frozen=True)
class WrittenToken:
    """A token as it is written: a word, or a multiword token.

    Attributes:
        words: The numbers of its words, from 1.
        form: How it is written.
        gap: What follows it: a space or nothing.
    """

    words: tuple[int, ...]
    form: str
    gap: str


def written(parsed: Sequence[Token]) -> list[WrittenToken]:
    """The tokens of a sentence as they are written; words of a multiword token stand for none."""
    tokens: list[WrittenToken] = []
    covered = 0
    for row in parsed:
        number = row["id"]
        numbers: tuple[int, ...] = ()
        if isinstance(number, int):
            numbers = (number,) if number > covered else ()
        elif number[1] == "-":
            covered = number[2]
            numbers = tuple(range(number[0], covered + 1))
        if numbers:
            gap = "" if "SpaceAfter=No" in row["misc"].split("|") else " "
            tokens.append(WrittenToken(numbers, row["form"].strip(), gap))
    return tokens


def put_together(tokens: Sequence[WrittenToken]) -> tuple[str, list[Span]]:
    """A text made of the tokens, and where they stand in it."""
    text = ""
    spans: list[Span] = []
    for token in tokens:
        spans.append((len(text), len(text) + len(token.form)))
        text += token.form + token.gap
    return text.rstrip(), spans


def places(text: str, forms: Sequence[str]) -> list[Span] | None:
    """Where forms stand in a text, one after the other.

    Returns:
        The characters of each; None if one is missing, or if anything but white space is left over.
    """
    spans: list[Span] = []
    position = 0
    for form in forms:
        start = _past_space(text, position)
        end = _end(text, start, form)
        if end is None:
            return None
        spans.append((start, end))
        position = end
    return spans if _past_space(text, position) == len(text) else None


def _past_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _end(text: str, start: int, form: str) -> int | None:
    """Where a form ends that begins at `start`; None if it does not stand there.

    White space within it matches any, and a character any of its normal forms.
    """
    if text.startswith(form, start):
        return start + len(form)
    position = start
    for number, piece in enumerate(form.split()):
        if number:
            after_space = _past_space(text, position)
            if after_space == position:
                return None
            position = after_space
        begin = position
        wanted = unicodedata.normalize("NFD", piece)
        # As many characters as have the length of the piece when they are decomposed.
        length = 0
        while length < len(wanted) and position < len(text):
            length += len(unicodedata.normalize("NFD", text[position]))
            position += 1
        if unicodedata.normalize("NFD", text[begin:position]) != wanted:
            return None
    return position if form.split() else None
