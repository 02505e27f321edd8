"""Token to token: from a verb to its subject and back, between nouns and pronouns (paper, section
4.5), and from a word to the same word in the other sentence (paper, section 5), each beside a
control.

The control is what the paper lacked: the same head's attention to another word at the same
distance, or to another word of the other sentence. Three measures come of each relation: the
attention over all its pairs, that of the controls, and the `excess` of the pairs that have a
control over theirs.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headscope.examples import Word
from headscope.measures.base import MEASURES, Measure
from headscope.model.passes import Batch, LayerMaps
from headscope.words.align import Aligned, matches

Values = Float[Tensor, "batch head"]
Relation = Callable[[Word, Word], bool]
WordPair = tuple[int, int]


class Pairs(NamedTuple):
    """Pairs of tokens of a batch: which example, query and key, and what each weighs in its
    example's mean.
    """

    example: Int[Tensor, "pair"]
    query: Int[Tensor, "pair"]
    key: Int[Tensor, "pair"]
    weight: Float[Tensor, "pair"]


def _is_subject_of(verb: Word, other: Word) -> bool:
    return other.is_subject and verb.upos in ("VERB", "AUX")


def linked(aligned: Aligned, reverse: bool) -> list[WordPair]:
    """(verb, its subject) by the dependency that links them, as indices of words; or the other way
    round.
    """
    found = []
    first = _first_of_text(aligned)
    for at, word in enumerate(aligned.words):
        governor = first[aligned.text[at]] + word.head
        if word.head >= 0 and _is_subject_of(aligned.words[governor], word):
            found.append((at, governor) if reverse else (governor, at))
    return found


def _first_of_text(aligned: Aligned) -> dict[int, int]:
    first: dict[int, int] = {}
    for at, text in enumerate(aligned.text):
        first.setdefault(text, at)
    return first


def crossed(aligned: Aligned, one: tuple[str, ...], other: tuple[str, ...]) -> list[WordPair]:
    """Every (word of `one`'s part of speech, word of `other`'s) of the same text, as indices of
    words.
    """
    tags = [word.upos for word in aligned.words]
    return [
        (a, b)
        for a, tag in enumerate(tags)
        if tag in one
        for b, against in enumerate(tags)
        if against in other and a != b and aligned.text[a] == aligned.text[b]
    ]


NOUNS, PRONOUNS = ("NOUN", "PROPN"), ("PRON",)
RELATIONS: dict[str, tuple[str, Callable[[Aligned], list[WordPair]]]] = {
    "verb_to_subject": ("from a verb to its subject", lambda a: linked(a, reverse=False)),
    "subject_to_verb": ("from a subject to its verb", lambda a: linked(a, reverse=True)),
    "noun_to_pronoun": (
        "from a noun to a pronoun of the same text",
        lambda a: crossed(a, NOUNS, PRONOUNS),
    ),
    "pronoun_to_noun": (
        "from a pronoun to a noun of the same text",
        lambda a: crossed(a, PRONOUNS, NOUNS),
    ),
}


def token_pairs(aligned: Aligned, pairs: Iterable[WordPair]) -> list[WordPair]:
    """The pairs of tokens that pairs of words are made of."""
    return [(q, k) for a, b in pairs for q in aligned.tokens[a] for k in aligned.tokens[b]]


def controls(aligned: Aligned, pairs: Sequence[WordPair], seed: int) -> list[WordPair | None]:
    """For each pair of tokens one of two other words of one text at the same signed distance, drawn
    from the seed.

    None where there is none. A control is never itself a pair of the relation.
    """
    place = {t: (at, aligned.text[at]) for at, own in enumerate(aligned.tokens) for t in own}
    related, rng = set(pairs), random.Random(seed)
    by_distance: dict[int, list[WordPair]] = {}
    out: list[WordPair | None] = []
    for query, key in pairs:
        distance = key - query
        if distance not in by_distance:
            by_distance[distance] = [
                (q, q + distance)
                for q, (word, text) in place.items()
                if (other := place.get(q + distance)) is not None
                and other[1] == text
                and other[0] != word
                and (q, q + distance) not in related
            ]
        candidates = by_distance[distance]
        out.append(candidates[int(rng.random() * len(candidates))] if candidates else None)
    return out


def pack(batch: Batch, rows: Sequence[Sequence[tuple[int, int, float]]]) -> Pairs:
    """(query, key, weight) per example -> tensors on the batch's device."""
    flat = [(e, q, k, w) for e, row in enumerate(rows) for q, k, w in row]
    device = batch.real.device
    example, query, key = (
        torch.tensor([f[i] for f in flat], dtype=torch.long, device=device) for i in range(3)
    )
    return Pairs(example, query, key, torch.tensor([float(f[3]) for f in flat], device=device))


def related_tokens(batch: Batch, words: Sequence[Aligned]) -> Mapping[str, Any]:
    """For every relation its pairs of tokens, those that have a control, and the controls."""
    extra: dict[str, Any] = {}
    for name, (_, find) in RELATIONS.items():
        every, matched, control = [], [], []
        for at, aligned in enumerate(words):
            pairs = token_pairs(aligned, find(aligned))
            drawn = controls(aligned, pairs, seed=int(batch.examples[at]))
            every.append([(q, k, 1.0) for q, k in pairs])
            matched.append(
                [(q, k, 1.0) for (q, k), c in zip(pairs, drawn, strict=True) if c is not None]
            )
            control.append([(*c, 1.0) for c in drawn if c is not None])
        for kind, rows in (("", every), ("/matched", matched), ("/control", control)):
            extra[f"pairs/{name}{kind}"] = pack(batch, rows)
    return extra


def same_words(batch: Batch, words: Sequence[Aligned]) -> Mapping[str, Any]:
    """Pairs (word, the same word in the other text), both ways, and for each another word of that
    other text.

    The weights make an example's value the mean over its pairs of the mean over the word's own
    tokens of the sum over the other word's.
    """
    every, matched, control = [], [], []
    for at, aligned in enumerate(words):
        rng = random.Random(int(batch.examples[at]))
        found = [p for p in matches(aligned) if aligned.tokens[p[0]] and aligned.tokens[p[1]]]
        both = [*found, *((b, a) for a, b in found)]
        other: list[WordPair | None] = []
        for a, b in both:
            same = {y for x, y in both if x == a}
            rest = [
                w
                for w, text in enumerate(aligned.text)
                if text == aligned.text[b]
                and w not in same
                and aligned.tokens[w]
                and aligned.words[w].upos != "PUNCT"
            ]
            other.append((a, rest[int(rng.random() * len(rest))]) if rest else None)
        every.append(_weighted(aligned, both))
        matched.append(
            _weighted(aligned, [p for p, c in zip(both, other, strict=True) if c is not None])
        )
        control.append(_weighted(aligned, [c for c in other if c is not None]))
    kinds = (("", every), ("/matched", matched), ("/control", control))
    return {f"pairs/same_word_across{kind}": pack(batch, rows) for kind, rows in kinds}


def _weighted(aligned: Aligned, pairs: Sequence[WordPair]) -> list[tuple[int, int, float]]:
    return [
        (q, k, 1.0 / len(pairs) / len(aligned.tokens[a]))
        for a, b in pairs
        for q in aligned.tokens[a]
        for k in aligned.tokens[b]
    ]


def at_pairs(maps: LayerMaps, pairs: Pairs) -> Float[Tensor, "pair head"]:
    """The attention of every head at every pair."""
    return maps.maps[pairs.example, :, pairs.query, pairs.key]


def largest(maps: LayerMaps, pairs: Pairs) -> Values:
    """The maximum over an example's pairs; NaN where it has none."""
    out = maps.maps.new_full(maps.maps.shape[:2], -1.0)
    index = pairs.example[:, None].expand(-1, out.shape[1])
    out = out.scatter_reduce(0, index, at_pairs(maps, pairs), "amax")
    return torch.where(out < 0, torch.nan, out)


def weighted_mean(maps: LayerMaps, pairs: Pairs) -> Values:
    """The weighted sum over an example's pairs; NaN where it has none."""
    out = maps.maps.new_zeros(maps.maps.shape[:2])
    out = out.index_add(0, pairs.example, at_pairs(maps, pairs) * pairs.weight[:, None])
    has = torch.zeros(len(out), dtype=torch.bool, device=out.device).index_fill(
        0, pairs.example, True
    )
    return torch.where(has[:, None], out, torch.nan)


Reduce = Callable[[LayerMaps, Pairs], Values]


def _value(reduce: Reduce, key: str, doc: str) -> Callable[[LayerMaps], Values]:
    def update(maps: LayerMaps) -> Values:
        return reduce(maps, maps.batch.extra[key])

    update.__doc__ = doc
    return update


def _excess(reduce: Reduce, key: str, doc: str) -> Callable[[LayerMaps], Values]:
    def update(maps: LayerMaps) -> Values:
        return reduce(maps, maps.batch.extra[f"{key}/matched"]) - reduce(
            maps, maps.batch.extra[f"{key}/control"]
        )

    update.__doc__ = doc
    return update


def _register(
    name: str, what: str, how: str, control: str, reduce: Reduce, prepare: Any, source: str
) -> None:
    key = f"pairs/{name}"
    docs = {
        name: f"Attention {what}: {how}, a fraction of mass; mean over the examples that have one ({source}).",
        f"{name}_control": f"The same for {control}, drawn at random: what the head does without the relation.",
        f"{name}_excess": f"Attention {what} less that of its control, over the pairs that have one.",
    }
    updates = {
        name: _value(reduce, key, docs[name]),
        f"{name}_control": _value(reduce, f"{key}/control", docs[f"{name}_control"]),
        f"{name}_excess": _excess(reduce, key, docs[f"{name}_excess"]),
    }
    for own, update in updates.items():
        MEASURES.register(own)(Measure("fraction of mass", update, prepare))


for _name, (_what, _) in RELATIONS.items():
    _register(
        _name,
        _what,
        "max over the pairs (i, j) of a_ij",
        "two other words at the same distance",
        largest,
        related_tokens,
        "paper, section 4.5",
    )
_register(
    "same_word_across",
    "from a word to the same word in the other text",
    "sum over the other word's tokens j of the mean over its own tokens i of a_ij, mean over "
    "such words of both texts",
    "another word of the other text",
    weighted_mean,
    same_words,
    "paper, section 5",
)
