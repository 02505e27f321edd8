"""Controls of pairs, drawn for a whole batch at once, against plain loops over one example."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headscope.examples import Word
from headscope.measures import controls as controls_module
from headscope.measures.controls import Pair, TokenPairs, WordPlaces, controls, drawn_queries
from headscope.measures.pairs import RELATIONS, related_tokens, token_pairs
from headscope.model.layer_maps import Batch
from headscope.words.align import Aligned

TAGS = ["NOUN", "PRON", "VERB", "DET"]


WORD = st.tuples(
    st.sampled_from(TAGS), st.sampled_from(["nsubj", "obj"]), st.integers(-1, 6), st.integers(0, 3)
)
"""A word: its part of speech, its relation, the word it depends on, and how many tokens it has."""
EXAMPLES = st.lists(
    st.lists(st.lists(WORD, min_size=1, max_size=7), min_size=1, max_size=2),
    min_size=1,
    max_size=4,
)
Texts = list[list[tuple[str, str, int, int]]]


def aligned_of(texts: Texts) -> Aligned:
    """An example of one or two texts."""
    words, numbers, tokens = [], [], []
    place = 1
    for number, text in enumerate(texts):
        for tag, relation, head, pieces in text:
            words.append(Word("a", "a", 0, 1, tag, relation, min(head, len(text) - 1)))
            numbers.append(number)
            tokens.append(tuple(range(place, place + pieces)))
            place += pieces
        place += 1
    return Aligned(tuple(words), tuple(numbers), tuple(tokens))


def slow(aligned: Aligned, pairs: list[Pair], seed: int) -> list[Pair | None]:
    """The controls by loops over all pairs of tokens."""
    word_of = {token: word for word, own in enumerate(aligned.tokens) for token in own}
    draw = random.Random(seed).random
    drawn: list[Pair | None] = []
    for query, key in pairs:
        candidates = [
            (first, second)
            for first in sorted(word_of)
            for second in word_of
            if second - first == key - query
            and word_of[first] != word_of[second]
            and aligned.text[word_of[first]] == aligned.text[word_of[second]]
            and (first, second) not in pairs
        ]
        drawn.append(candidates[int(draw() * len(candidates))] if candidates else None)
    return drawn


def batch_of(words: list[Aligned], seeds: list[int]) -> Batch:
    real = torch.ones(len(words), 64, dtype=torch.bool)
    return Batch(np.array(seeds), real, ~real, real.long(), real.long())


@pytest.mark.parametrize("cells", [1, 100, 2**20])
@settings(deadline=None, max_examples=30)
@given(examples=EXAMPLES)
def test_the_controls_of_a_batch_are_those_of_plain_loops(
    examples: list[Texts], cells: int
) -> None:
    words = [aligned_of(texts) for texts in examples]
    seeds = [7 * row + 3 for row in range(len(words))]
    places = WordPlaces.of(words)
    with pytest.MonkeyPatch.context() as patch:
        # However few candidates are looked at together.
        patch.setattr(controls_module, "_CELLS", cells)
        for relation in RELATIONS:
            pairs = [token_pairs(aligned, relation.find(aligned)) for aligned in words]
            every = TokenPairs.of(pairs)
            queries = drawn_queries(places, every, seeds)
            distance = every.key - every.query
            found = [
                None if query < 0 else (query, query + far)
                for query, far in zip(queries.tolist(), distance.tolist(), strict=True)
            ]
            expected = [
                slow(aligned, of_example, seed)
                for aligned, of_example, seed in zip(words, pairs, seeds, strict=True)
            ]
            assert found == [control for of_example in expected for control in of_example]
            for aligned, of_example, seed in zip(words, pairs, seeds, strict=True):
                assert controls(aligned, of_example, seed) == slow(aligned, of_example, seed)


@settings(deadline=None, max_examples=30)
@given(examples=EXAMPLES)
def test_the_kinds_of_pairs_are_all_those_with_a_control_and_the_controls(
    examples: list[Texts],
) -> None:
    words = [aligned_of(texts) for texts in examples]
    seeds = [11 * row for row in range(len(words))]
    kinds = related_tokens(batch_of(words, seeds), words).kinds
    assert len(kinds) == 3 * len(RELATIONS)
    for number, relation in enumerate(RELATIONS):
        every, matched, control = [], [], []
        for row, (aligned, seed) in enumerate(zip(words, seeds, strict=True)):
            pairs = token_pairs(aligned, relation.find(aligned))
            for pair, other in zip(pairs, slow(aligned, pairs, seed), strict=True):
                every.append((row, *pair))
                if other is not None:
                    matched.append((row, *pair))
                    control.append((row, *other))
        for kind, expected in zip(kinds[3 * number :], (every, matched, control), strict=False):
            columns = zip(
                kind.example.tolist(), kind.query.tolist(), kind.key.tolist(), strict=True
            )
            assert list(columns) == expected
            assert kind.weight.tolist() == [1.0] * len(expected)
