"""Token to token: from a verb to its subject and back, between nouns and pronouns (paper, section
4.5), and from a word to the same word in the other text (paper, section 5), each beside a control.

The control is what the paper lacked: the same head's attention between other words, the pairs moved
along their texts, so that there are as many tokens at the same distances. Three measures come of
each relation: the attention over all its pairs, that of the controls, and the `excess` of the pairs
that have a control over theirs.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headscope.measures.base import MEASURES, Preparation, Values, WordMeasure
from headscope.measures.controls import (
    FoundPairs,
    Pair,
    TokenPairs,
    WordPlaces,
    shifts_of_groups,
    shifts_of_sets,
)
from headscope.model.layer_maps import Batch, LayerMaps
from headscope.model.transfer import on_device
from headscope.words.align import Aligned
from headscope.words.classes import matches, normal_form

NOUNS = ("NOUN", "PROPN")
PRONOUNS = ("PRON",)
VERBS = ("VERB", "AUX")
_EVERY, _MATCHED, _CONTROL = range(3)
_KINDS = 3
"""Of every relation: all pairs, those that have a control, and their controls."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of tokens of a batch.

    Attributes:
        example: The pair's row in the batch.
        query: The token that attends.
        key: The token attended to.
        weight: What the pair weighs in its example's sum.
    """

    example: Int[Tensor, " pair"]
    query: Int[Tensor, " pair"]
    key: Int[Tensor, " pair"]
    weight: Float[Tensor, " pair"]


@dataclass(frozen=True)
class RelatedPairs:
    """The pairs of some relations in a batch: of each relation all, those that have a control, and
    their controls, in `_KINDS` kinds.

    A weight of a map is read once, however many kinds look at it.

    Attributes:
        example: The row in the batch of a pair that is read.
        query: The token that attends in it.
        key: The token attended to.
        source: Which of the pairs that are read an entry is, the entries of a kind side by side.
        place: The kind and the example of an entry: kind * batch + example.
        weight: What the entry weighs in its example's sum.
        ends: Where the entries of each kind end.
        batch: How many examples there are.
    """

    example: Int[Tensor, " pair"]
    query: Int[Tensor, " pair"]
    key: Int[Tensor, " pair"]
    source: Int[Tensor, " entry"]
    place: Int[Tensor, " entry"]
    weight: Float[Tensor, " entry"]
    ends: tuple[int, ...]
    batch: int

    @classmethod
    def of(cls, found: Sequence[FoundPairs], batch: Batch) -> "RelatedPairs":
        """The pairs of some relations, on the device of the batch."""
        read: list[TokenPairs] = []
        sources: list[npt.NDArray[np.int64]] = []
        weights: list[npt.NDArray[np.float64]] = []
        start = 0
        for relation in found:
            read += [relation.every, relation.control]
            every, control = len(relation.every.example), len(relation.control.example)
            source = np.arange(start, start + every + control)
            sources += [source[:every], source[:every][relation.is_matched], source[every:]]
            weights += relation.weights
            start += every + control
        pairs = TokenPairs.joined(read)
        sizes = [len(source) for source in sources]
        source = np.concatenate(sources)
        examples = len(batch.examples)
        place = np.repeat(np.arange(len(sizes)), sizes) * examples + pairs.example[source]
        device = batch.real.device
        stacked = np.stack([pairs.example, pairs.query, pairs.key])
        example, query, key = on_device(stacked, device)
        source_there, place_there = on_device(np.stack([source, place]), device)
        weight = on_device(np.concatenate(weights).astype(np.float32), device)
        ends = (0, *np.cumsum(sizes).tolist())
        return cls(example, query, key, source_there, place_there, weight, ends, examples)

    @property
    def kinds(self) -> list[Pairs]:
        """The pairs of every kind."""
        of_kinds = []
        for start, end in pairwise(self.ends):
            source = self.source[start:end]
            tokens = (self.example[source], self.query[source], self.key[source])
            of_kinds.append(Pairs(*tokens, self.weight[start:end]))
        return of_kinds


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


# ---- with their controls


def related_tokens(batch: Batch, words: Sequence[Aligned]) -> RelatedPairs:
    """For every relation of `RELATIONS` its pairs of tokens, those that have a control, and the
    controls.
    """
    places = WordPlaces.of(words)
    seeds = batch.examples.tolist()
    found = []
    for relation in RELATIONS:
        every = TokenPairs.of([token_pairs(aligned, relation.find(aligned)) for aligned in words])
        shift = shifts_of_sets(places, every, seeds)
        has_control = shift != 0
        ones = np.ones(len(shift))
        weights = (ones, ones[has_control], ones[has_control])
        found.append(FoundPairs(every, has_control, every.moved(shift), weights))
    return RelatedPairs.of(found, batch)


def same_words(batch: Batch, words: Sequence[Aligned]) -> RelatedPairs:
    """Pairs (word, the same word in the other text), both ways, and for each two other words that
    are as far from each other, with as many tokens.

    The weights make an example's value the mean over its pairs of the mean over the word's own
    tokens of the sum over the other word's. A control is no pair of the same words, "the" and "the"
    neither.
    """
    places = WordPlaces.of(words)
    tokens: list[list[Pair]] = []
    # Of every pair of words: its example, the tokens of its first word, and its pairs of tokens.
    examples: list[int] = []
    owns: list[int] = []
    sizes: list[int] = []
    for row, aligned in enumerate(words):
        pairs = matches(aligned)
        pairs += [(second, first) for first, second in pairs]
        tokens.append(token_pairs(aligned, pairs))
        for query, key in pairs:
            examples.append(row)
            owns.append(len(aligned.tokens[query]))
            sizes.append(len(aligned.tokens[query]) * len(aligned.tokens[key]))
    example, own, size = np.array([examples, owns, sizes], dtype=np.int64)
    every = TokenPairs.of(tokens)
    group = np.repeat(np.arange(len(size)), size)
    form = _forms(places, words)
    shift = shifts_of_groups(places, every, group, form, batch.examples.tolist())
    is_matched = shift != 0
    has_control = is_matched[np.cumsum(size) - size]
    of_every = _weights(example, own, size)
    of_matched = _weights(example[has_control], own[has_control], size[has_control])
    weights = (of_every, of_matched, of_matched)
    found = FoundPairs(every, is_matched, every.moved(shift), weights)
    return RelatedPairs.of([found], batch)


def _forms(places: WordPlaces, words: Sequence[Aligned]) -> Int[np.ndarray, "batch token"]:
    """A number for every token, the same for words of the same form."""
    numbers: dict[str, int] = {}
    form_at = np.empty_like(places.word)
    for row, aligned in enumerate(words):
        forms = [numbers.setdefault(normal_form(word.form), len(numbers)) for word in aligned.words]
        # A token of no word, -1, takes the number at the end.
        form_at[row] = np.array([*forms, -1])[places.word[row]]
    return form_at


def _weights(
    example: Int[np.ndarray, " word_pair"],
    own: Int[np.ndarray, " word_pair"],
    size: Int[np.ndarray, " word_pair"],
) -> npt.NDArray[np.float64]:
    """What the pairs of tokens of pairs of words weigh in the mean that `same_words` describes.

    Args:
        example: The row in the batch of a pair of words.
        own: How many tokens the word has that attends.
        size: How many pairs of tokens the two words make.
    """
    return np.repeat(1.0 / np.bincount(example)[example] / own, size)


# ---- what a head gives them


def largest(maps: LayerMaps, pairs: RelatedPairs) -> Float[Tensor, "kind batch head"]:
    """Of every kind the maximum over an example's pairs; NaN where it has none."""
    shape = _shape(maps, pairs)
    at_entries = _at_entries(maps, pairs)
    place = pairs.place[:, None].expand_as(at_entries)
    most = maps.maps.new_full((shape[0] * shape[1], shape[2]), -1.0)
    most = most.scatter_reduce(0, place, at_entries, "amax").view(shape)
    return torch.where(most < 0, torch.nan, most)


def weighted_sums(maps: LayerMaps, pairs: RelatedPairs) -> Float[Tensor, "kind batch head"]:
    """Of every kind the weighted sum over an example's pairs; NaN where it has none."""
    shape = _shape(maps, pairs)
    weighted = _at_entries(maps, pairs) * pairs.weight[:, None]
    sums = maps.maps.new_zeros(shape[0] * shape[1], shape[2])
    sums = sums.index_add(0, pairs.place, weighted)
    has_pair = torch.zeros(len(sums), dtype=torch.bool, device=sums.device)
    has_pair = has_pair.index_fill(0, pairs.place, True)
    return torch.where(has_pair[:, None], sums, torch.nan).view(shape)


def _at_entries(maps: LayerMaps, pairs: RelatedPairs) -> Float[Tensor, "entry head"]:
    """The attention of every head at every entry."""
    return maps.maps[pairs.example, :, pairs.query, pairs.key][pairs.source]


def _shape(maps: LayerMaps, pairs: RelatedPairs) -> tuple[int, int, int]:
    """How many kinds, examples and heads there are."""
    return len(pairs.ends) - 1, pairs.batch, maps.maps.shape[1]


def _register(
    name: str,
    direction: str,
    formula: str,
    control: str,
    source: str,
    reduce: Callable[[LayerMaps, RelatedPairs], Float[Tensor, "kind batch head"]],
    preparation: Preparation[RelatedPairs],
    number: int,
) -> None:
    """Register the three measures of a relation, which has this number among its preparation's."""

    def of_kind(maps: LayerMaps, pairs: RelatedPairs, kind: int) -> Values:
        return maps.shared(reduce, pairs)[_KINDS * number + kind]

    def attention(maps: LayerMaps, pairs: RelatedPairs) -> Values:
        return of_kind(maps, pairs, _EVERY)

    def control_attention(maps: LayerMaps, pairs: RelatedPairs) -> Values:
        return of_kind(maps, pairs, _CONTROL)

    def excess(maps: LayerMaps, pairs: RelatedPairs) -> Values:
        return of_kind(maps, pairs, _MATCHED) - of_kind(maps, pairs, _CONTROL)

    attention.__doc__ = (
        f"Attention {direction}: {formula}, a fraction of mass; mean over the examples that have "
        f"one ({source})."
    )
    control_attention.__doc__ = f"The same with {control}: what the head does without the relation."
    excess.__doc__ = (
        f"Attention {direction} minus that of its control, over the pairs that have one; n counts "
        "the examples with such a pair."
    )
    for suffix, update in (
        ("", attention),
        ("_control", control_attention),
        ("_excess", excess),
    ):
        measure = WordMeasure("fraction of mass", update, preparation)
        MEASURES.register(f"{name}{suffix}")(measure)


for _number, _relation in enumerate(RELATIONS):
    _register(
        name=_relation.name,
        direction=_relation.direction,
        formula="max over the pairs (i, j) of a_ij",
        control="the pairs that have room on both sides moved along their text, all by one number "
        "of tokens to one side, both drawn, and to no punctuation that is attended to",
        source="paper, section 4.5",
        reduce=largest,
        preparation=related_tokens,
        number=_number,
    )
_register(
    name="same_word_across",
    direction="from a word to the same word in the other text",
    formula="sum over the other word's tokens j of the mean over its own tokens i of a_ij, mean "
    "over such words of both texts",
    control="the tokens of each pair of words moved along both texts by one number, which is "
    "drawn, to no equal words and to no punctuation that is attended to",
    source="paper, section 5",
    reduce=weighted_sums,
    preparation=same_words,
    number=0,
)
