"""Tokenizers without character offsets: where their tokens stand in a text is found by comparing
characters.

Compared are characters after compatibility normalisation, in small letters, without accents and
spaces, so that a tokenizer may do any of that. A token that the tokenizer does not know ([UNK])
takes the characters up to the next one that it knows, where there is one way to read that.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol, runtime_checkable

Span = tuple[int, int]
# What tokenizers put before or after a piece of a word.
_MARKS = ("##", "\u2581", "\u0120", "@@", "</w>")


@runtime_checkable
class Encoding(Protocol):
    """What is read of the encoding of an example, as `tokenizers` has it.

    Attributes:
        ids: The token ids.
        sequence_ids: Which text a token is of; None for a special token.
        special_tokens_mask: 1 for a special token.
        offsets: A token's start and end in its text, in characters; (0, 0) where it has none.
    """

    ids: list[int]
    sequence_ids: list[int | None]
    special_tokens_mask: list[int]
    offsets: list[Span]


@dataclass
class SlowEncoding:
    """The same of a tokenizer that is written in Python (`Encoding`).

    Attributes:
        is_aligned: Whether the tokens were found in their texts.
    """

    ids: list[int]
    sequence_ids: list[int | None]
    special_tokens_mask: list[int]
    offsets: list[Span]
    is_aligned: bool


def encodings(
    tokenizer: Any, texts: Sequence[Sequence[str] | None], **options: Any
) -> tuple[dict[str, list[list[int]]], list[Encoding]]:
    """Encode examples with a fast tokenizer or a slow one.

    Args:
        tokenizer: A tokenizer of transformers.
        texts: The texts of all examples, and their second texts or None.
        options: Of the call, as `truncation` and `max_length`.

    Returns:
        What the model takes, by name, and the encodings.
    """
    given = [list(column) for column in texts if column is not None]
    if tokenizer.is_fast:
        found = tokenizer(*given, **options)
        return dict(found), list(found.encodings)
    found = tokenizer(*given, return_special_tokens_mask=True, **options)
    masks = found.pop("special_tokens_mask")
    rows = zip(found["input_ids"], masks, *given, strict=True)
    return dict(found), [_encoding(tokenizer, ids, mask, own) for ids, mask, *own in rows]


def _encoding(
    tokenizer: Any, ids: list[int], mask: list[int], texts: Sequence[str]
) -> SlowEncoding:
    sequence_ids: list[int | None] = []
    # Special tokens stand between two texts (`tokenizers.check_tokenizer`), and an empty text has
    # no tokens.
    which = -1 if tokenizer.tokenize(texts[0]) else 0
    for is_special, run in groupby(mask):
        count = len(list(run))
        which += not is_special
        sequence_ids += [None if is_special else which] * count
    offsets: list[Span] = [(0, 0)] * len(ids)
    is_aligned = True
    for number, text in enumerate(texts):
        places = [place for place, sequence in enumerate(sequence_ids) if sequence == number]
        tokens = tokenizer.convert_ids_to_tokens([ids[place] for place in places])
        spans = align(text, tokens, tokenizer.unk_token)
        is_aligned &= spans is not None
        for place, span in zip(places, spans or [], strict=spans is not None):
            offsets[place] = span
    return SlowEncoding(ids, sequence_ids, mask, offsets, is_aligned)


def align(text: str, tokens: Sequence[str], unknown: str | None) -> list[Span] | None:
    """Where tokens stand in the text that they are the beginning of.

    Args:
        text: The text.
        tokens: Its tokens in order.
        unknown: The token that stands for what the tokenizer does not know.

    Returns:
        A span of characters for each token; None if they are not found, or could be in two ways.

    Example:
        >>> align("Der Bär.", ["der", "ba", "##r", "."], "[UNK]")
        [(0, 3), (4, 6), (6, 7), (7, 8)]
    """
    letters, places = _compared(text)
    spans: list[Span] = []
    position = 0
    # Runs of known and unknown tokens in turn.
    waiting = 0
    for is_unknown, run in groupby(tokens, lambda token: token == unknown):
        pieces = list(run)
        if is_unknown:
            waiting = len(pieces)
            continue
        forms = [_form(piece) for piece in pieces]
        start = _only_place(letters, "".join(forms), position, waiting)
        if start is None:
            return None
        spans += _unknown_spans(places, position, start, waiting)
        waiting = 0
        position = start
        for form in forms:
            spans.append(_span(places, position, position + len(form)))
            position += len(form)
    if waiting:
        spans += _unknown_spans(places, position, len(letters), waiting)
    return spans


def _compared(text: str) -> tuple[str, list[Span]]:
    """The characters that are compared, and which character of the text each is of."""
    letters, places = [], []
    for index, character in enumerate(text):
        for letter in _form(character):
            letters.append(letter)
            places.append((index, index + 1))
    return "".join(letters), places


def _form(token: str) -> str:
    for mark in _MARKS:
        if len(token) > len(mark):
            token = token.removeprefix(mark).removesuffix(mark)
    letters = unicodedata.normalize("NFKD", token).casefold()
    return "".join(
        letter
        for letter in letters
        if not letter.isspace() and unicodedata.category(letter) not in ("Mn", "Cc", "Cf")
    )


def _only_place(letters: str, form: str, position: int, waiting: int) -> int | None:
    """Where the next known tokens stand: at once, or behind unknown ones if that is clear."""
    if not waiting:
        return position if letters.startswith(form, position) else None
    first = letters.find(form, position + 1)
    if first < 0 or letters.find(form, first + 1) >= 0:
        return None
    return first


def _span(places: Sequence[Span], start: int, end: int) -> Span:
    if end <= start:
        return (0, 0)
    return (places[start][0], places[end - 1][1])


def _unknown_spans(places: Sequence[Span], start: int, end: int, count: int) -> list[Span]:
    """The characters of unknown tokens; of several in a row each is given all."""
    return [_span(places, start, end)] * count
