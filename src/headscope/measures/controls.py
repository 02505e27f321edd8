"""Controls of pairs of tokens: the same pairs at another place of the text. All examples of a batch
are moved at once.

Pairs that a maximum is taken over are moved together, by one shift. So the control has as many
distinct rows and columns as the relation, at the same distances: over a head whose maps are alike
wherever one looks (vertical, diagonal, uniform, or both at once) the largest weight of the control
is distributed as that of the relation. Pairs that are drawn one by one have more distinct columns
than a relation whose pairs share one, and so a larger maximum.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int

from headscope.words.align import Aligned

Pair = tuple[int, int]
"""Two words or two tokens of an example: the one that attends, and the one attended to."""

_TRIED = 16
"""How many shifts are tried for pairs that move together; of fewer, all."""
_CELLS = 2**20
"""How many moved pairs are looked at together: a long text has millions."""


@dataclass(frozen=True)
class WordPlaces:
    """Which word of which text every token of a batch belongs to; -1 for none.

    Attributes:
        word: The number of its word.
        text: The number of its text.
        is_punctuation: Whether its word is punctuation.
    """

    word: Int[np.ndarray, "batch token"]
    text: Int[np.ndarray, "batch token"]
    is_punctuation: Bool[np.ndarray, "batch token"]

    @classmethod
    def of(cls, words: Sequence[Aligned]) -> "WordPlaces":
        """The places of the words of a batch, an entry an example."""
        last = [tokens[-1] for aligned in words for tokens in aligned.tokens if tokens]
        shape = (len(words), max(last, default=-1) + 1)
        word_at = np.full(shape, -1, dtype=np.int32)
        text_at = np.full(shape, -1, dtype=np.int32)
        punctuation_at = np.zeros(shape, dtype=bool)
        for row, aligned in enumerate(words):
            sizes = [len(tokens) for tokens in aligned.tokens]
            places = [token for tokens in aligned.tokens for token in tokens]
            word = np.repeat(np.arange(len(sizes)), sizes)
            word_at[row, places] = word
            text_at[row, places] = np.array(aligned.text)[word]
            is_punctuation = np.array([of_word.upos == "PUNCT" for of_word in aligned.words])
            punctuation_at[row, places] = is_punctuation[word]
        return cls(word_at, text_at, punctuation_at)


@dataclass(frozen=True)
class TokenPairs:
    """Pairs of tokens of the examples of a batch.

    Attributes:
        example: The pair's row in the batch.
        query: The token that attends.
        key: The token attended to.
    """

    example: Int[np.ndarray, " pair"]
    query: Int[np.ndarray, " pair"]
    key: Int[np.ndarray, " pair"]

    @classmethod
    def of(cls, pairs: Sequence[Sequence[Pair]]) -> "TokenPairs":
        """The pairs of a batch, a list an example."""
        example = np.repeat(np.arange(len(pairs)), [len(of_example) for of_example in pairs])
        flat = [token for of_example in pairs for pair in of_example for token in pair]
        query, key = np.array(flat, dtype=np.int64).reshape(-1, 2).T
        return cls(example, query, key)

    @classmethod
    def joined(cls, parts: Sequence["TokenPairs"]) -> "TokenPairs":
        """The pairs of all parts, one part after the other."""
        return cls(
            np.concatenate([part.example for part in parts]),
            np.concatenate([part.query for part in parts]),
            np.concatenate([part.key for part in parts]),
        )

    def where(self, chosen: Bool[np.ndarray, " pair"]) -> "TokenPairs":
        """Some of the pairs."""
        return TokenPairs(self.example[chosen], self.query[chosen], self.key[chosen])

    def moved(self, shift: Int[np.ndarray, " pair"]) -> "TokenPairs":
        """The pairs that have a shift (not 0), both tokens of each that many tokens further on."""
        return TokenPairs(self.example, self.query + shift, self.key + shift).where(shift != 0)

    def cells(self, shape: tuple[int, int]) -> Bool[np.ndarray, "batch token token"]:
        """Which cells of the maps the pairs are, of a batch of this shape."""
        is_pair = np.zeros((*shape, shape[1]), dtype=bool)
        is_pair[self.example, self.query, self.key] = True
        return is_pair


@dataclass(frozen=True)
class FoundPairs:
    """The pairs of one relation in a batch, as they are found on the host.

    Attributes:
        every: All pairs.
        is_matched: Which of them have a control.
        control: The controls.
        weights: What a pair of `every`, of those matched and of `control` weighs.
    """

    every: TokenPairs
    is_matched: Bool[np.ndarray, " pair"]
    control: TokenPairs
    weights: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]


class _Movable:
    """Groups of pairs that move together, and whether a pair can be moved by a shift.

    It can where both tokens then belong to two different words of the same texts as before, the
    one attended to is no punctuation (as it is in no relation), and they are no pair of the
    relation.

    Args:
        places: Where the words of the batch are.
        pairs: The pairs of one relation.
        group: The group of every pair, numbered from 0.
        difference: A number for every token, in which the two of a control differ: of its word, or
            of its form.

    Attributes:
        first: The first pair of each group, [group].
    """

    def __init__(
        self,
        places: WordPlaces,
        pairs: TokenPairs,
        group: Int[np.ndarray, " pair"],
        difference: Int[np.ndarray, "batch token"],
    ) -> None:
        self._pairs = pairs
        self._is_related = pairs.cells(places.word.shape)
        self.group = group
        self.first = np.unique(group, return_index=True)[1]
        # With as many empty places on both sides no shift leads out of the arrays.
        width = places.word.shape[1]
        sides = ((0, 0), (width, width))
        self._difference = np.pad(difference, sides, constant_values=-1).ravel()
        self._text = np.pad(places.text, sides, constant_values=-1).ravel()
        receiving = np.where(places.is_punctuation, -1, places.text)
        self._receiving = np.pad(receiving, sides, constant_values=-1).ravel()
        start = pairs.example * 3 * width + width
        self._query = (start + pairs.query)[:, None]
        self._key = (start + pairs.key)[:, None]
        self._text_of_query = self._text[self._query]
        self._text_of_key = self._text[self._key]

    def fits(self, shift: Int[np.ndarray, "pair tried"]) -> Bool[np.ndarray, "pair tried"]:
        """Which pairs can be moved by which of these shifts, none of them 0."""
        query, key = self._query + shift, self._key + shift
        is_free = self._text[query] == self._text_of_query
        is_free &= self._receiving[key] == self._text_of_key
        is_free &= self._difference[query] != self._difference[key]
        pair, tried = np.nonzero(is_free)
        by = shift[pair, tried]
        example = self._pairs.example[pair]
        tokens = (self._pairs.query[pair] + by, self._pairs.key[pair] + by)
        is_free[pair, tried] = ~self._is_related[example, *tokens]
        return np.asarray(is_free)

    def count(
        self,
        shifts: Int[np.ndarray, "group tried"],
        fits: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.bool_]],
    ) -> Float[np.ndarray, "group tried"]:
        """How many pairs of each group can be moved by each shift; a shift of 0 is none."""
        groups, tried = shifts.shape
        counts = []
        step = max(1, _CELLS // len(self.group))
        for start in range(0, tried, step):
            some = shifts[:, start : start + step]
            cell = self.group[:, None] * some.shape[1] + np.arange(some.shape[1])
            can_move = fits(some[self.group]).ravel()
            sums = np.bincount(cell.ravel(), can_move, groups * some.shape[1])
            counts.append(sums.reshape(some.shape))
        return np.where(shifts == 0, 0, np.concatenate(counts, axis=1))


def shifts_of_sets(
    places: WordPlaces, pairs: TokenPairs, seeds: Sequence[int]
) -> Int[np.ndarray, " pair"]:
    """By how many tokens each pair is moved, the pairs of a text all by the same number.

    Of the numbers of tokens by which most pairs of the text can be moved to the left as well as to
    the right one is drawn, and then the side. So what rises or falls along a text evens out: a
    head that looks at the beginning has no excess because subjects are there. In a long text 16
    numbers are tried, from the smallest to the largest that any pair has room for.

    Args:
        places: Where the words of the batch are.
        pairs: All pairs of one relation between words of one text, sorted by example.
        seeds: What the shifts of each example are drawn from.

    Returns:
        The shifts, [pair]; 0 for a pair that cannot be moved to both sides by that number.
    """
    if not len(pairs.example):
        return np.empty(0, dtype=np.int64)
    text = places.text[pairs.example, pairs.query]
    # Texts are numbered 0 and 1.
    group = np.unique(2 * pairs.example + text, return_inverse=True)[1]
    movable = _Movable(places, pairs, group, difference=places.word)
    start, end = _ends_of_texts(places)
    before = np.minimum(pairs.query, pairs.key) - start[pairs.example, text]
    after = end[pairs.example, text] - np.maximum(pairs.query, pairs.key)
    room = np.zeros(len(movable.first), dtype=np.int64)
    np.maximum.at(room, group, np.minimum(before, after))
    uniform = _uniform(pairs.example[movable.first], seeds)

    def fits_both_sides(size: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        return np.asarray(movable.fits(size) & movable.fits(-size))

    sizes = _spread(uniform[0], room) + 1
    counts = movable.count(sizes, fits_both_sides)
    size = _drawn_best(sizes, counts, uniform[1])[group]
    can_move = fits_both_sides(size[:, None])[:, 0]
    side = np.where(uniform[2] < 0.5, -1, 1)[group]
    return np.where(can_move, side * size, 0)


def shifts_of_groups(
    places: WordPlaces,
    pairs: TokenPairs,
    group: Int[np.ndarray, " pair"],
    form: Int[np.ndarray, "batch token"],
    seeds: Sequence[int],
) -> Int[np.ndarray, " pair"]:
    """By how many tokens each pair is moved, every group by a shift of its own, as a whole.

    Args:
        places: Where the words of the batch are.
        pairs: Pairs between two texts, sorted by group.
        group: The group of every pair: the tokens of two words.
        form: A number for every token, the same for words of the same form.
        seeds: What the shifts of each example are drawn from.

    Returns:
        The shifts, [pair]; 0 for the pairs of a group that fits nowhere else (of 16 shifts that
        are tried, from the smallest to the largest that it has room for).
    """
    if not len(pairs.example):
        return np.empty(0, dtype=np.int64)
    movable = _Movable(places, pairs, group, difference=form)
    start, end = _ends_of_texts(places)
    before, after = [], []
    for token in (pairs.query, pairs.key):
        text = places.text[pairs.example, token]
        before.append(token - start[pairs.example, text])
        after.append(end[pairs.example, text] - token)
    to_left = np.minimum.reduceat(np.minimum(*before), movable.first)
    to_right = np.minimum.reduceat(np.minimum(*after), movable.first)
    uniform = _uniform(pairs.example[movable.first], seeds)
    # From -to_left to to_right, without 0.
    number = _spread(uniform[0], to_left + to_right)
    shifts = number - to_left[:, None]
    shifts = np.where(number < 0, 0, shifts + (shifts >= 0))
    counts = movable.count(shifts, movable.fits)
    shift = _drawn_best(shifts, counts, uniform[1])
    is_whole = counts.max(1) == np.bincount(group)
    return np.asarray(np.where(is_whole, shift, 0)[group])


def _ends_of_texts(places: WordPlaces) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The first and the last token of the words of both texts, [batch, text]."""
    width = places.text.shape[1]
    is_in_text = np.stack([places.text == 0, places.text == 1], axis=1)
    return is_in_text.argmax(2), width - 1 - is_in_text[:, :, ::-1].argmax(2)


def _spread(
    uniform: Float[np.ndarray, " group"], count: Int[np.ndarray, " group"]
) -> Int[np.ndarray, "group tried"]:
    """Up to `_TRIED` of the numbers from 0 to count - 1, evenly spread from a drawn one on; -1
    where there are fewer.
    """
    step = np.maximum(1, count // _TRIED)
    number = np.floor(uniform * count).astype(np.int64)[:, None] + np.arange(_TRIED) * step[:, None]
    is_number = np.arange(_TRIED) < count[:, None]
    return np.where(is_number, number % np.maximum(count, 1)[:, None], -1)


def _drawn_best(
    shifts: Int[np.ndarray, "group tried"],
    counts: Float[np.ndarray, "group tried"],
    uniform: Float[np.ndarray, " group"],
) -> Int[np.ndarray, " group"]:
    """Of the shifts by which most pairs can be moved a drawn one; 0 where none can."""
    most = counts.max(1, keepdims=True)
    is_best = (counts == most) & (most > 0)
    rank = np.floor(uniform * is_best.sum(1)) + 1
    chosen = (is_best.cumsum(1) == rank[:, None]).argmax(1)
    return np.where(most[:, 0] > 0, shifts[np.arange(len(shifts)), chosen], 0)


def _uniform(
    example: Int[np.ndarray, " group"], seeds: Sequence[int]
) -> Float[np.ndarray, "3 group"]:
    """Three numbers from 0 to 1 for every group; those of an example come from its own seed."""
    counts = np.bincount(example, minlength=len(seeds)).tolist()
    numbers: list[float] = []
    for seed, count in zip(seeds, counts, strict=True):
        if count:
            draw = random.Random(seed).random
            numbers += [draw() for _ in range(3 * count)]
    return np.array(numbers).reshape(-1, 3).T
