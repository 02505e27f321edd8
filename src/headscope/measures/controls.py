"""Controls of pairs of tokens: for each pair two other words of the same text, at the same signed
distance, that do not stand in the relation. All examples of a batch are drawn at once.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Int

from headscope.words.align import Aligned

Pair = tuple[int, int]
"""Two words or two tokens of an example: the one that attends, and the one attended to."""

_CELLS = 2**20
"""How many candidates are looked at together: a long text has millions."""


@dataclass(frozen=True)
class WordPlaces:
    """Which word of which text every token of a batch belongs to; -1 for none.

    Attributes:
        word: The number of its word.
        text: The number of its text.
    """

    word: Int[np.ndarray, "batch token"]
    text: Int[np.ndarray, "batch token"]

    @classmethod
    def of(cls, words: Sequence[Aligned]) -> "WordPlaces":
        """The places of the words of a batch, an entry an example."""
        last = [tokens[-1] for aligned in words for tokens in aligned.tokens if tokens]
        shape = (len(words), max(last, default=-1) + 1)
        word_at = np.full(shape, -1, dtype=np.int32)
        text_at = np.full(shape, -1, dtype=np.int32)
        for row, aligned in enumerate(words):
            sizes = [len(tokens) for tokens in aligned.tokens]
            places = [token for tokens in aligned.tokens for token in tokens]
            word_at[row, places] = np.repeat(np.arange(len(sizes)), sizes)
            text_at[row, places] = np.repeat(aligned.text, sizes)
        return cls(word_at, text_at)


@dataclass(frozen=True)
class TokenPairs:
    """Pairs of tokens of the examples of a batch.

    Attributes:
        example: The pair's row in the batch.
        query: The token that attends.
        key: The token attended to.
    """

    example: Int[np.ndarray, "pair"]
    query: Int[np.ndarray, "pair"]
    key: Int[np.ndarray, "pair"]

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

    def where(self, chosen: Bool[np.ndarray, "pair"]) -> "TokenPairs":
        """Some of the pairs."""
        return TokenPairs(self.example[chosen], self.query[chosen], self.key[chosen])


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
    is_matched: Bool[np.ndarray, "pair"]
    control: TokenPairs
    weights: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]


def controls(aligned: Aligned, pairs: Sequence[Pair], seed: int) -> list[Pair | None]:
    """For each pair of tokens one of two other words of one text at the same signed distance.

    A control is drawn from the seed, and is never itself a pair of the relation; None where there
    is none.
    """
    of_pairs = TokenPairs.of([pairs])
    tokens = drawn_queries(WordPlaces.of([aligned]), of_pairs, [seed])
    distance = (of_pairs.key - of_pairs.query).tolist()
    drawn = zip(tokens.tolist(), distance, strict=True)
    return [None if query < 0 else (query, query + far) for query, far in drawn]


def drawn_queries(
    places: WordPlaces, pairs: TokenPairs, seeds: Sequence[int]
) -> npt.NDArray[np.int64]:
    """The token that attends in the control of each pair; -1 where there is no control.

    Args:
        places: Where the words of the batch are.
        pairs: All pairs of one relation, sorted by example.
        seeds: What the controls of each example are drawn from.

    Returns:
        The tokens, [pair]; the one attended to is as far away as in the pair itself.
    """
    if not len(pairs.example):
        return np.empty(0, dtype=np.int64)
    width = places.word.shape[1]
    distance = pairs.key - pairs.query
    # Pairs of an example at the same distance have the same candidates: they are a group.
    numbers = pairs.example * (2 * width + 1) + distance + width
    of_group, group = np.unique(numbers, return_inverse=True)
    candidates = _Candidates(places, pairs, of_group, group)
    has_control = candidates.counts[group] > 0
    uniform = _uniform(pairs.example[has_control], seeds)
    chosen = group[has_control]
    queries = np.full(len(group), -1, dtype=np.int64)
    queries[has_control] = candidates.take(
        chosen, (uniform * candidates.counts[chosen]).astype(np.int64)
    )
    return queries


class _Candidates:
    """The tokens that may attend in a control, for each group of pairs.

    Args:
        places: Where the words of the batch are.
        pairs: All pairs of the relation.
        of_group: The example and the distance of every group, as one number.
        group: The group of every pair.

    Attributes:
        counts: How many candidates a group has, [group].
    """

    def __init__(
        self,
        places: WordPlaces,
        pairs: TokenPairs,
        of_group: Int[np.ndarray, "group"],
        group: Int[np.ndarray, "pair"],
    ) -> None:
        self._width = places.word.shape[1]
        self._step = max(1, _CELLS // self._width)
        order = np.argsort(group, kind="stable")
        # A candidate is a bit: a text of 8,192 tokens has a hundred million.
        self._packed: list[npt.NDArray[np.uint8]] = []
        counts: list[npt.NDArray[np.int64]] = []
        for start in range(0, len(of_group), self._step):
            example, distance = divmod(of_group[start : start + self._step], 2 * self._width + 1)
            is_candidate = _other_pairs(places, example, distance - self._width)
            first, end = np.searchsorted(group[order], [start, start + len(example)])
            inside = order[first:end]
            is_candidate[group[inside] - start, pairs.query[inside]] = False
            counts.append(is_candidate.sum(1))
            self._packed.append(np.packbits(is_candidate, axis=1))
        self.counts: npt.NDArray[np.int64] = np.concatenate(counts)

    def take(
        self, group: Int[np.ndarray, "draw"], rank: Int[np.ndarray, "draw"]
    ) -> npt.NDArray[np.int64]:
        """The candidate of a group with this rank, from 0 for its first token."""
        tokens = np.empty(len(group), dtype=np.int64)
        for number, packed in enumerate(self._packed):
            start = number * self._step
            inside = np.flatnonzero((group >= start) & (group < start + len(packed)))
            bits = np.unpackbits(packed, axis=1, count=self._width)
            of_all = np.flatnonzero(bits) % self._width
            counts = self.counts[start : start + len(packed)]
            before = np.cumsum(counts) - counts
            tokens[inside] = of_all[before[group[inside] - start] + rank[inside]]
        return tokens


def _other_pairs(
    places: WordPlaces, example: Int[np.ndarray, "group"], distance: Int[np.ndarray, "group"]
) -> Bool[np.ndarray, "group token"]:
    """Which tokens have a token of another word of the same text at this signed distance."""
    width = places.word.shape[1]
    key = np.arange(width) + distance[:, None]
    is_inside = (key >= 0) & (key < width)
    key = key.clip(0, width - 1)
    word, text = places.word[example], places.text[example]
    word_of_key = np.take_along_axis(word, key, 1)
    text_of_key = np.take_along_axis(text, key, 1)
    is_other = is_inside & (word >= 0) & (word_of_key >= 0) & (word_of_key != word)
    return np.asarray(is_other & (text_of_key == text))


def _uniform(example: Int[np.ndarray, "draw"], seeds: Sequence[int]) -> npt.NDArray[np.float64]:
    """A number from 0 to 1 for every draw; those of an example come from its own seed."""
    counts = np.bincount(example, minlength=len(seeds)).tolist()
    numbers: list[float] = []
    for seed, count in zip(seeds, counts, strict=True):
        if count:
            draw = random.Random(seed).random
            numbers += [draw() for _ in range(count)]
    return np.array(numbers)
