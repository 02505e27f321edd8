"""Which tokens of an example are scored, and what the truth is of each: a label a word, or the
token itself where it is masked.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.model.classes import OF_MASKED_TOKENS, OF_TOKENS
from headscope.model.encoding import Encoded, only
from headscope.model.windows import Windows
from headscope.stats.metrics import NO_LABEL

LABELS = "labels"
"""The column of the true labels, under the name that transformers gives it."""
IGNORED = -100
"""Stands there for a token that is not scored, as in transformers."""
MASKED = 0.15
"""The share of a text's tokens that are masked (Devlin et al. 2019)."""


@dataclass(frozen=True, eq=False)
class Marked:
    """Examples whose tokens are scored.

    Attributes:
        split: The examples; their labels are [example, width], one for each scored token and then
            `NO_LABEL`. Those without a scored token are left out: their loss would be nothing.
        encoded: The same with a column of labels, as the model's head counts them.
        notes: What is not scored.
        joining: Which windows are of one text, where questions are read in windows.
    """

    split: Split
    encoded: Encoded
    notes: tuple[str, ...] = ()
    joining: Windows | None = None

    @property
    def tokens(self) -> int:
        """How many tokens are scored."""
        return int((self.split.labels != NO_LABEL).sum())


@dataclass(frozen=True)
class WordMarker:
    """Marks the first token of every word with the word's label.

    Attributes:
        kind: What `--as` calls it.
        head: Which kind of head says it.
        unit: What the examples are called.
        scored: What is scored of them.
        of_head: For every label of the task its number among the head's outputs.
        classes: For every output of the head the label of the task.
        width: The most words of an example.
    """

    kind: ClassVar = "tokens"
    head: ClassVar = OF_TOKENS
    unit: ClassVar = "sentences"
    scored: ClassVar = "words"

    of_head: tuple[int, ...]
    classes: tuple[int, ...]
    width: int

    def mark(self, split: Split, encoded: Encoded, called: str) -> Marked:
        """As `mark_words`."""
        return mark_words(split, encoded, self.of_head, called)


@dataclass(frozen=True)
class Masker:
    """Masks tokens, whose labels are the tokens themselves.

    Attributes:
        kind: What `--as` calls it.
        head: Which kind of head says it.
        unit: What the examples are called.
        scored: What is scored of them.
        classes: None, since what counts as the class is whether the head is right.
        tokenizer: The model's.
        seed: Of the draws.
        width: The most tokens of an example that are masked.
    """

    kind: ClassVar = "mlm"
    head: ClassVar = OF_MASKED_TOKENS
    unit: ClassVar = "texts"
    scored: ClassVar = "masked tokens"
    classes: ClassVar = None

    tokenizer: Any
    seed: int
    width: int

    def mark(self, split: Split, encoded: Encoded, called: str) -> Marked:
        """As `mask_tokens`."""
        return mask_tokens(split, encoded, self.tokenizer, self.seed, self.width, called)


TokenMarker = WordMarker | Masker


def mark_words(split: Split, encoded: Encoded, of_head: Sequence[int], called: str) -> Marked:
    """Mark the first token of every word with the word's label.

    Args:
        split: The examples, with the places and the labels of their words.
        encoded: The same as token ids.
        of_head: For every label of the task its number among the head's outputs; `IGNORED` where it
            has none.
        called: What a note calls the examples.

    Raises:
        HeadscopeError: No word has a token.
    """
    if split.spans is None:
        raise HeadscopeError("tags are of words, and nothing says where the words are")
    labels = np.full(split.labels.shape, NO_LABEL, dtype=np.int64)
    column = []
    words = cut = 0
    for row, spans in enumerate(split.spans):
        marks = [IGNORED] * len(encoded.segments[row])
        firsts = _first_tokens(encoded, row, split.first[row], spans)
        words += len(spans)
        cut += len(spans) - len(firsts)
        for place, (word, token) in enumerate(firsts):
            label = int(split.labels[row, word])
            labels[row, place] = label
            marks[token] = of_head[label]
        column.append(marks)
    if words == cut:
        raise HeadscopeError(
            f"no word of the {len(split)} {called} has a token of the tokenizer's own: it does not "
            "say where its tokens stand in a text, so take a model with a fast tokenizer"
        )
    notes: tuple[str, ...] = ()
    if cut:
        notes = (
            f"{cut:,} of {words:,} words of the {len(split)} {called} have no token of their own "
            "(their sentence was cut, or the tokenizer drops them) and are not scored",
        )
    return _marked(replace(split, labels=labels), with_labels(encoded, column), notes, called)


def _marked(split: Split, encoded: Encoded, notes: tuple[str, ...], called: str) -> Marked:
    """Those of the examples that have a scored token."""
    is_scored = (split.labels != NO_LABEL).any(1)
    if is_scored.all():
        return Marked(split, encoded, notes)
    rows = np.flatnonzero(is_scored)
    left_out = (
        f"{len(split) - len(rows)} of the {len(split)} {called} have no scored token: left out"
    )
    return Marked(split.take(rows), only(encoded, rows.tolist()), (*notes, left_out))


def _first_tokens(
    encoded: Encoded, row: int, text: str, spans: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """The words of an example that have a token of their own, each with its first, in order."""
    if row in encoded.unplaced:
        return []
    places = []
    space = (-1, -1)
    pairs = zip(encoded.offsets[row], encoded.special[row], strict=True)
    for token, ((begin, end), special) in enumerate(pairs):
        # Some tokenizers count the space before a word to its first token.
        start = begin + len(text[begin:end]) - len(text[begin:end].lstrip())
        if special:
            continue
        if end > start:
            # Where the space is a token of its own, it is the word's first, as in `word_ids`.
            is_of_word = space[0] == begin == start
            places.append((start, space[1] if is_of_word else token))
        elif end == 0 or text[end - 1] == " ":
            space = (end, token)
    firsts = []
    at = 0
    for word, (start, end) in enumerate(spans):
        at = bisect_left(places, (start, -1), lo=at)
        if at < len(places) and places[at][0] < end:
            firsts.append((word, places[at][1]))
            # No token is of two words, also where words share characters ("au" is "à" and "le").
            at += 1
    return firsts


def most_masked(length: int) -> int:
    """How many tokens of a text of so many tokens are masked.

    >>> most_masked(2), most_masked(100)
    (1, 15)
    """
    return min(length, max(1, round(MASKED * length)))


def mask_tokens(
    split: Split, encoded: Encoded, tokenizer: Any, seed: int, width: int, called: str
) -> Marked:
    """Put [MASK] in place of some tokens of every text, drawn from the seed; at least one of each.

    The label of a masked token is the token itself. That the head is right is the class 1, so the
    labels of the split are all 1.

    Args:
        split: The texts.
        encoded: The same as token ids.
        tokenizer: The model's.
        seed: Of the draws.
        width: The most tokens of an example that are masked.
        called: What a note calls the texts.

    Raises:
        HeadscopeError: The tokenizer has no [MASK], or no text has a token.
    """
    mask = tokenizer.mask_token_id
    if mask is None:
        raise HeadscopeError(
            "the tokenizer has no mask token, so no token can be masked: take a model that was "
            "trained by masking tokens, as bert-base-uncased"
        )
    rng = np.random.default_rng(seed)
    ids, column, counts = [], [], []
    for given, special in zip(encoded.columns["input_ids"], encoded.special, strict=True):
        words = np.flatnonzero(~np.array(special, dtype=bool))
        count = most_masked(len(words))
        chosen = rng.choice(words, count, replace=False)
        tokens, marks = np.array(given), np.full(len(given), IGNORED)
        marks[chosen] = tokens[chosen]
        tokens[chosen] = mask
        ids.append(tokens.tolist())
        column.append(marks.tolist())
        counts.append(count)
    if len(split) and not any(counts):
        raise HeadscopeError(f"the tokenizer sees no token in any of the {len(split)} {called}")
    labels = _ones(counts, width)
    masked = replace(encoded, columns={**encoded.columns, "input_ids": ids})
    return _marked(replace(split, labels=labels), with_labels(masked, column), (), called)


def _ones(counts: Sequence[int], width: int) -> npt.NDArray[np.int64]:
    """A row of so many ones for every example."""
    numbers = np.array(counts, dtype=np.int64)
    return np.where(np.arange(width) < numbers[:, None], 1, NO_LABEL)


def with_labels(encoded: Encoded, column: list[list[int]]) -> Encoded:
    """The examples with a column of labels."""
    return replace(
        encoded,
        columns={**encoded.columns, LABELS: column},
        pad={**encoded.pad, LABELS: IGNORED},
    )
