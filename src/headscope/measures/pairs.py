"""Token to token: from a verb to its subject and back, between nouns and pronouns (paper, section
4.5), and from a word to the same word in the other text (paper, section 5), each beside a control.

The control is what the paper lacked: the same head's attention to another word at the same
distance, or to another word of the other text. Three measures come of each relation: the attention
over all its pairs, that of the controls, and the `excess` of the pairs that have a control over
theirs.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headscope.measures.base import MEASURES, Preparation, T, Values, WordMeasure
from headscope.model.passes import Batch, LayerMaps
from headscope.words.align import Aligned
from headscope.words.classes import matches

Pair = tuple[int, int]
"""Two words or two tokens of an example: the one that attends, and the one attended to."""

NOUNS = ("NOUN", "PROPN")
PRONOUNS = ("PRON",)
VERBS = ("VERB", "AUX")


@dataclass(frozen=True)
class Pairs:
    """Pairs of tokens of a batch.

    Attributes:
        example: The pair's row in the batch.
        query: The token that attends.
        key: The token attended to.
        weight: What the pair weighs in its example's sum.
    """

    example: Int[Tensor, "pair"]
    query: Int[Tensor, "pair"]
    key: Int[Tensor, "pair"]
    weight: Float[Tensor, "pair"]


Entry = tuple[int, int, int, float]
"""A pair of tokens before it is packed: example, query, key and weight, as in `Pairs`."""


def pack(entries: Sequence[Entry], device: torch.device) -> Pairs:
    """The pairs as tensors."""
    columns = zip(*entries, strict=True) if entries else ((), (), (), ())
    example, query, key, weight = (torch.tensor(column, device=device) for column in columns)
    return Pairs(example.long(), query.long(), key.long(), weight.float())


@dataclass(frozen=True)
class ControlledPairs:
    """The pairs of a relation in a batch: all, those that have a control, and their controls."""

    every: Pairs
    matched: Pairs
    control: Pairs


RelatedPairs = dict[str, ControlledPairs]
"""The pairs of each of `RELATIONS`, by its name."""


# ---- which pairs


def linked(aligned: Aligned, reverse: bool) -> list[Pair]:
    """(verb, its subject) by the dependency that links them, as indices of words; or the other way
    round.
    """
    pairs = []
    for index, (word, governor) in enumerate(zip(aligned.words, aligned.governors, strict=True)):
        if governor is None or not word.is_subject:
            continue
        if aligned.words[governor].upos in VERBS:
            pairs.append((index, governor) if reverse else (governor, index))
    return pairs


def crossed(aligned: Aligned, first: tuple[str, ...], second: tuple[str, ...]) -> list[Pair]:
    """Every two words of one text whose parts of speech are in `first` and in `second`, as indices
    of words.
    """
    tags = [word.upos for word in aligned.words]
    queries = [index for index, tag in enumerate(tags) if tag in first]
    keys = [index for index, tag in enumerate(tags) if tag in second]
    return [
        (query, key)
        for query in queries
        for key in keys
        if query != key and aligned.text[query] == aligned.text[key]
    ]


def token_pairs(aligned: Aligned, pairs: Iterable[Pair]) -> list[Pair]:
    """The pairs of tokens that pairs of words are made of."""
    tokens = aligned.tokens
    return [(query, key) for a, b in pairs for query in tokens[a] for key in tokens[b]]


@dataclass(frozen=True)
class Relation:
    """A relation between words of one text.

    Attributes:
        name: The name of its measure.
        direction: From what word to what word, in words.
        find: The pairs of words of an example that stand in it.
    """

    name: str
    direction: str
    find: Callable[[Aligned], list[Pair]]


RELATIONS = (
    Relation(
        "verb_to_subject",
        "from a verb to its subject",
        lambda aligned: linked(aligned, reverse=False),
    ),
    Relation(
        "subject_to_verb",
        "from a subject to its verb",
        lambda aligned: linked(aligned, reverse=True),
    ),
    Relation(
        "noun_to_pronoun",
        "from a noun to a pronoun of the same text",
        lambda aligned: crossed(aligned, NOUNS, PRONOUNS),
    ),
    Relation(
        "pronoun_to_noun",
        "from a pronoun to a noun of the same text",
        lambda aligned: crossed(aligned, PRONOUNS, NOUNS),
    ),
)


# ---- their controls


def controls(aligned: Aligned, pairs: Sequence[Pair], seed: int) -> list[Pair | None]:
    """For each pair of tokens one of two other words of one text at the same signed distance.

    A control is drawn from the seed, and is never itself a pair of the relation; None where there
    is none.
    """
    word_of = {token: word for word, tokens in enumerate(aligned.tokens) for token in tokens}
    places = np.array(list(word_of), dtype=np.int32)
    # By token: the number of its word and its text, -1 for no word.
    word_at = np.full(places.max(initial=-1) + 1, -1, dtype=np.int32)
    word_at[places] = list(word_of.values())
    text_at = np.array([*aligned.text, -1])[word_at]
    related: dict[int, list[int]] = {}
    for query, key in pairs:
        related.setdefault(key - query, []).append(query)
    rng = random.Random(seed)
    # A long text has millions of candidates: of each only its query is kept, in 4 bytes.
    by_distance: dict[int, npt.NDArray[np.int32]] = {}
    drawn: list[Pair | None] = []
    for query, key in pairs:
        distance = key - query
        if distance not in by_distance:
            is_inside = (places + distance >= 0) & (places + distance < len(word_at))
            queries = places[is_inside]
            keys = queries + distance
            is_other = (word_at[keys] >= 0) & (word_at[keys] != word_at[queries])
            is_other &= text_at[keys] == text_at[queries]
            is_other &= ~np.isin(queries, related[distance])
            by_distance[distance] = queries[is_other]
        token = _drawn(by_distance[distance], rng)
        drawn.append(None if token is None else (int(token), int(token) + distance))
    return drawn


def _drawn(candidates: Sequence[T] | npt.NDArray[Any], rng: random.Random) -> T | None:
    """One of the candidates; None of none, and then nothing is drawn."""
    if not len(candidates):
        return None
    candidate: T = candidates[int(rng.random() * len(candidates))]
    return candidate


def related_tokens(batch: Batch, words: Sequence[Aligned]) -> RelatedPairs:
    """For every relation its pairs of tokens, those that have a control, and the controls."""
    device = batch.real.device
    related = {}
    for relation in RELATIONS:
        every: list[Entry] = []
        matched: list[Entry] = []
        control: list[Entry] = []
        for row, aligned in enumerate(words):
            pairs = token_pairs(aligned, relation.find(aligned))
            drawn = controls(aligned, pairs, seed=int(batch.examples[row]))
            for pair, other in zip(pairs, drawn, strict=True):
                every.append((row, *pair, 1.0))
                if other is not None:
                    matched.append((row, *pair, 1.0))
                    control.append((row, *other, 1.0))
        related[relation.name] = ControlledPairs(
            pack(every, device), pack(matched, device), pack(control, device)
        )
    return related


def same_words(batch: Batch, words: Sequence[Aligned]) -> ControlledPairs:
    """Pairs (word, the same word in the other text), both ways, and for each another word of that
    other text.

    The weights make an example's value the mean over its pairs of the mean over the word's own
    tokens of the sum over the other word's.
    """
    device = batch.real.device
    every: list[Entry] = []
    matched: list[Entry] = []
    control: list[Entry] = []
    for row, aligned in enumerate(words):
        rng = random.Random(int(batch.examples[row]))
        pairs = matches(aligned)
        pairs += [(second, first) for first, second in pairs]
        same: dict[int, set[int]] = {}
        for query, key in pairs:
            same.setdefault(query, set()).add(key)
        drawn = [_drawn(_other_words(aligned, pair, same[pair[0]]), rng) for pair in pairs]
        controlled = [
            (pair, (pair[0], other))
            for pair, other in zip(pairs, drawn, strict=True)
            if other is not None
        ]
        every += _word_entries(row, aligned, pairs)
        matched += _word_entries(row, aligned, [pair for pair, _ in controlled])
        control += _word_entries(row, aligned, [other for _, other in controlled])
    return ControlledPairs(pack(every, device), pack(matched, device), pack(control, device))


def _word_entries(row: int, aligned: Aligned, pairs: Sequence[Pair]) -> list[Entry]:
    """The tokens of pairs of words, weighted for the mean that `same_words` describes."""
    return [
        (row, *tokens, 1.0 / len(pairs) / len(aligned.tokens[pair[0]]))
        for pair in pairs
        for tokens in token_pairs(aligned, [pair])
    ]


def _other_words(aligned: Aligned, pair: Pair, same: set[int]) -> list[int]:
    """The words of the text that `pair` points to that are not of the `same` words, but
    punctuation.
    """
    _, match = pair
    return [
        index
        for index, text in enumerate(aligned.text)
        if text == aligned.text[match]
        and index not in same
        and aligned.tokens[index]
        and aligned.words[index].upos != "PUNCT"
    ]


# ---- what a head gives them


def at_pairs(maps: LayerMaps, pairs: Pairs) -> Float[Tensor, "pair head"]:
    """The attention of every head at every pair."""
    return maps.maps[pairs.example, :, pairs.query, pairs.key]


def largest(maps: LayerMaps, pairs: Pairs) -> Values:
    """The maximum over an example's pairs; NaN where it has none."""
    shape = maps.maps.shape[:2]
    index = pairs.example[:, None].expand(-1, shape[1])
    most = maps.maps.new_full(shape, -1.0)
    most = most.scatter_reduce(0, index, at_pairs(maps, pairs), "amax")
    return torch.where(most < 0, torch.nan, most)


def weighted_sum(maps: LayerMaps, pairs: Pairs) -> Values:
    """The weighted sum over an example's pairs; NaN where it has none."""
    shape = maps.maps.shape[:2]
    weighted = at_pairs(maps, pairs) * pairs.weight[:, None]
    sums = maps.maps.new_zeros(shape).index_add(0, pairs.example, weighted)
    has_pair = torch.zeros(shape[0], dtype=torch.bool, device=sums.device)
    has_pair = has_pair.index_fill(0, pairs.example, True)
    return torch.where(has_pair[:, None], sums, torch.nan)


def _register(
    name: str,
    direction: str,
    formula: str,
    control: str,
    source: str,
    reduce: Callable[[LayerMaps, Pairs], Values],
    preparation: Preparation[T],
    pairs_of: Callable[[T], ControlledPairs],
) -> None:
    """Register the three measures of a relation."""

    def attention(maps: LayerMaps, prepared: T) -> Values:
        return reduce(maps, pairs_of(prepared).every)

    def control_attention(maps: LayerMaps, prepared: T) -> Values:
        return reduce(maps, pairs_of(prepared).control)

    def excess(maps: LayerMaps, prepared: T) -> Values:
        pairs = pairs_of(prepared)
        return reduce(maps, pairs.matched) - reduce(maps, pairs.control)

    attention.__doc__ = (
        f"Attention {direction}: {formula}, a fraction of mass; mean over the examples that have "
        f"one ({source})."
    )
    control_attention.__doc__ = (
        f"The same for {control}, drawn at random: what the head does without the relation."
    )
    excess.__doc__ = (
        f"Attention {direction} minus that of its control, over the pairs that have one."
    )
    for suffix, update in (
        ("", attention),
        ("_control", control_attention),
        ("_excess", excess),
    ):
        measure = WordMeasure("fraction of mass", update, preparation)
        MEASURES.register(f"{name}{suffix}")(measure)


for _relation in RELATIONS:
    _register(
        name=_relation.name,
        direction=_relation.direction,
        formula="max over the pairs (i, j) of a_ij",
        control="two other words at the same distance",
        source="paper, section 4.5",
        reduce=largest,
        preparation=related_tokens,
        pairs_of=itemgetter(_relation.name),
    )
_register(
    name="same_word_across",
    direction="from a word to the same word in the other text",
    formula="sum over the other word's tokens j of the mean over its own tokens i of a_ij, mean "
    "over such words of both texts",
    control="another word of the other text",
    source="paper, section 5",
    reduce=weighted_sum,
    preparation=same_words,
    pairs_of=lambda pairs: pairs,
)
