"""Controls of pairs, moved for a whole batch at once, against plain loops over one example; and what
heads that know of no relation give both.
"""

import random
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headscope.examples import Word
from headscope.measures import controls as controls_module
from headscope.measures.controls import Pair, TokenPairs, WordPlaces, shifts_of_sets
from headscope.measures.pairs import (
    RELATIONS,
    RelatedPairs,
    related_tokens,
    same_words,
    token_pairs,
)
from headscope.model.layer_maps import Batch
from headscope.words.align import Aligned
from headscope.words.classes import matches
from simulations.controls import ACROSS, HEADS, NAMES, NEW, OLD, Rule, Texts, values_of

TAGS = ["NOUN", "PRON", "VERB", "DET", "PUNCT"]


WORD = st.tuples(
    st.sampled_from(TAGS),
    st.sampled_from(["nsubj", "obj"]),
    st.integers(-1, 6),
    st.integers(0, 3),
    st.sampled_from("abc"),
)
"""A word: its part of speech, its relation, the word it depends on, how many tokens it has, and its
form.
"""
EXAMPLES = st.lists(
    st.lists(st.lists(WORD, min_size=1, max_size=9), min_size=1, max_size=2),
    min_size=1,
    max_size=4,
)
Sentences = Sequence[Sequence[tuple[str, str, int, int, str]]]
Moved = list[int]
"""By how much each pair of tokens is moved; 0 for not at all."""


def aligned_of(texts: Sentences) -> Aligned:
    """An example of one or two texts."""
    words, numbers, tokens = [], [], []
    place = 1
    for number, text in enumerate(texts):
        for tag, relation, head, pieces, form in text:
            words.append(Word(form, form, 0, 1, tag, relation, min(head, len(text) - 1)))
            numbers.append(number)
            tokens.append(tuple(range(place, place + pieces)))
            place += pieces
        place += 1
    return Aligned(tuple(words), tuple(numbers), tuple(tokens))


def tried(uniform: float, count: int) -> list[int]:
    """The numbers from 0 to count - 1 that are tried: all up to sixteen, else every so many."""
    step = max(1, count // 16)
    return [(int(uniform * count) + step * i) % count for i in range(min(16, count))]


def best(counts: dict[int, int], uniform: float) -> int:
    """Of the shifts with the highest count a drawn one, 0 if the count is 0."""
    most = max(counts.values(), default=0)
    shifts = [shift for shift, count in counts.items() if count == most]
    return shifts[int(uniform * len(shifts))] if most else 0


class Slow:
    """One example by loops."""

    def __init__(self, aligned: Aligned, seed: int) -> None:
        self.aligned = aligned
        self.word = {token: word for word, own in enumerate(aligned.tokens) for token in own}
        self.text = {token: aligned.text[word] for token, word in self.word.items()}
        self.draw = random.Random(seed).random

    def fits(self, pair: Pair, by: int, related: list[Pair], *, forms: bool = False) -> bool:
        query, key = pair[0] + by, pair[1] + by
        if query not in self.word or key not in self.word or (query, key) in related:
            return False
        first, second = (self.aligned.words[self.word[token]] for token in (query, key))
        same = first.form == second.form if forms else self.word[query] == self.word[key]
        texts = [self.text[token] for token in (query, key, *pair)]
        return texts[:2] == texts[2:] and not same and second.upos != "PUNCT"

    def of_sets(self, pairs: list[Pair]) -> Moved:
        moved = [0] * len(pairs)
        texts = sorted({self.text[query] for query, _ in pairs})
        draws = [[self.draw() for _ in range(3)] for _ in texts]
        for text, (first, second, third) in zip(texts, draws, strict=True):
            places = [token for token, own in self.text.items() if own == text]
            inside = [pair for pair in pairs if self.text[pair[0]] == text]
            room = max(min(min(p) - min(places), max(places) - max(p)) for p in inside)
            both = {
                size: [all(self.fits(p, by, pairs) for by in (size, -size)) for p in inside]
                for size in (1 + number for number in tried(first, room))
            }
            size = best({s: sum(fits) for s, fits in both.items()}, second)
            for pair in inside:
                if size and both[size][inside.index(pair)]:
                    moved[pairs.index(pair)] = -size if third < 0.5 else size
        return moved

    def of_words(self, pairs: list[Pair]) -> Moved:
        moved: Moved = []
        related = token_pairs(self.aligned, pairs)
        draws = [[self.draw() for _ in range(3)] for _ in pairs]
        for (first, second, _), pair in zip(draws, pairs, strict=True):
            tokens = token_pairs(self.aligned, [pair])
            left, right = [], []
            for token in (token for of_pair in tokens for token in of_pair):
                places = [t for t, own in self.text.items() if own == self.text[token]]
                left.append(token - min(places))
                right.append(max(places) - token)
            every = [by for by in range(-min(left), min(right) + 1) if by]
            counts = {
                by: sum(self.fits(p, by, related, forms=True) for p in tokens)
                for by in (every[number] for number in tried(first, len(every)))
            }
            by = best(counts, second)
            moved += [by if by and counts[by] == len(tokens) else 0] * len(tokens)
        return moved


def batch_of(words: list[Aligned], seeds: list[int]) -> Batch:
    real = torch.ones(len(words), 64, dtype=torch.bool)
    return Batch(np.array(seeds), real, ~real, real.long(), real.long())


def entries(found: RelatedPairs, number: int) -> Iterator[list[tuple[int, int, int]]]:
    """All pairs of a relation, those that have a control, and the controls."""
    for kind in found.kinds[3 * number : 3 * number + 3]:
        columns = (kind.example.tolist(), kind.query.tolist(), kind.key.tolist())
        yield list(zip(*columns, strict=True))


@pytest.mark.parametrize("cells", [1, 100, 2**20])
@settings(deadline=None, max_examples=20)
@given(examples=EXAMPLES)
def test_the_controls_of_a_batch_are_those_of_plain_loops(
    examples: list[Sentences], cells: int
) -> None:
    words = [aligned_of(texts) for texts in examples]
    seeds = [7 * row + 3 for row in range(len(words))]
    batch = batch_of(words, seeds)
    with pytest.MonkeyPatch.context() as patch:
        # However few candidates are looked at together.
        patch.setattr(controls_module, "_CELLS", cells)
        related, across = related_tokens(batch, words), same_words(batch, words)
    for number in range(len(RELATIONS) + 1):
        every, matched, control = [], [], []
        for row, (aligned, seed) in enumerate(zip(words, seeds, strict=True)):
            slow = Slow(aligned, seed)
            if number < len(RELATIONS):
                pairs = token_pairs(aligned, RELATIONS[number].find(aligned))
                moved = slow.of_sets(pairs)
            else:
                of_words = matches(aligned)
                of_words += [(second, first) for first, second in of_words]
                pairs = token_pairs(aligned, of_words)
                moved = slow.of_words(of_words)
            for (query, key), by in zip(pairs, moved, strict=True):
                every.append((row, query, key))
                if by:
                    matched.append((row, query, key))
                    control.append((row, query + by, key + by))
        found = (related, number) if number < len(RELATIONS) else (across, 0)
        assert list(entries(*found)) == [every, matched, control]


def test_in_a_long_text_small_and_large_shifts_are_tried() -> None:
    """A text of 120 words has room for more than sixteen shifts."""
    tags = [
        "NOUN" if place % 7 == 0 else "PRON" if place % 11 == 0 else "X" for place in range(120)
    ]
    aligned = aligned_of([[(tag, "dep", 0, 1, "a") for tag in tags]])
    pairs = token_pairs(aligned, RELATIONS[2].find(aligned))
    inner = [(query, key) for query, key in pairs if 50 < query < 70 and 50 < key < 70]
    sizes = set()
    for seed in range(20):
        found = TokenPairs.of([inner])
        shift = shifts_of_sets(WordPlaces.of([aligned]), found, [seed])
        assert shift.tolist() == Slow(aligned, seed).of_sets(inner)
        sizes |= set(np.abs(shift).tolist())
    assert min(sizes - {0}) < 15
    assert max(sizes) > 35


@settings(deadline=None, max_examples=20)
@given(examples=EXAMPLES)
def test_the_control_has_as_many_rows_and_columns_at_the_same_distances(
    examples: list[Sentences],
) -> None:
    words = [aligned_of(texts) for texts in examples]
    found = related_tokens(batch_of(words, list(range(len(words)))), words)
    for number in range(len(RELATIONS)):
        every, matched, control = entries(found, number)
        assert set(matched) <= set(every)
        assert not set(control) & set(every)
        for row in range(len(words)):
            texts = {t: n for w, n in enumerate(words[row].text) for t in words[row].tokens[w]}
            for text in (0, 1):
                one = [p for p in matched if p[0] == row and texts[p[1]] == text]
                other = [p for p in control if p[0] == row and texts[p[1]] == text]
                moved = {after[1] - before[1] for before, after in zip(one, other, strict=True)}
                assert len(moved) <= 1
                for axis in (1, 2):
                    distinct = [len({pair[axis] for pair in pairs}) for pairs in (one, other)]
                    assert distinct[0] == distinct[1]


# ---- heads that know of no relation


def made_texts(examples: int) -> Texts:
    """Pairs of sentences of 9 to 16 words; each has two subjects at the beginning, which pronouns
    are too, and half of the words of the first are in the second.
    """
    rng = np.random.default_rng(0)
    words: list[Aligned] = []
    lengths: list[int] = []
    for _ in range(examples):
        texts: list[list[tuple[str, str, int, int, str]]] = []
        for number in (0, 1):
            size = int(rng.integers(9, 17))
            text: list[tuple[str, str, int, int, str]] = []
            for place in range(size):
                tag = str(rng.choice(["NOUN", "NOUN", "NOUN", "DET", "PUNCT"]))
                form = f"{len(words)}.{number}.{place}"
                if number and tag == "NOUN" and rng.random() < 0.5:
                    form = f"{len(words)}.0.{place}"
                # Words that recur have more tokens.
                pieces = int(1 + (rng.random() < (0.4 if tag == "NOUN" else 0.1)))
                text.append((tag, "dep", 4, pieces, form))
            # A pronoun is the subject of the verb, and recurs in no text.
            subject = int(rng.integers(1, 3))
            text[subject] = ("PRON", "nsubj", 4, 1, f"{len(words)}.{number}.pronoun")
            text[4] = ("VERB", "root", -1, 1, f"{len(words)}.{number}.verb")
            texts.append(text)
        words.append(aligned_of(texts))
        lengths.append(max(words[-1].tokens[-1]) + 2)
    return Texts(words, lengths)


@pytest.fixture(scope="module")
def made() -> Texts:
    return made_texts(400)


def excesses(made: Texts, rule: Rule, names: Sequence[str]) -> dict[tuple[str, str], float]:
    """The excess of made heads, per cent of the control, by relation and head."""
    values = values_of(made, rule, [HEADS[name] for name in names], 0)
    return {
        (relation, head): of_relation.excess(number)[0]
        for relation, of_relation in values.items()
        for number, head in enumerate(names)
    }


def test_heads_without_a_relation_have_no_excess(made: Texts) -> None:
    heads = ("uniform", "vertical", "diagonal", "diagonal, across texts", "linear in the position")
    new = excesses(made, NEW, heads)
    # Their own 95% intervals reach about 10 to each side.
    assert {case: value for case, value in new.items() if abs(value) > 15} == {}
    assert max(abs(new[relation, "uniform"]) for relation in NAMES) < 1e-4
    # Of pairs that are drawn one by one the heads have these.
    old = excesses(made, OLD, heads)
    assert old["noun_to_pronoun", "vertical"] < -60
    assert old["pronoun_to_noun", "vertical"] < -30
    assert old["subject_to_verb", "linear in the position"] > 25
    assert old[ACROSS, "uniform"] > 5
    assert old[ACROSS, "diagonal, across texts"] > 100


def test_a_head_that_attends_to_the_relation_has_an_excess(made: Texts) -> None:
    values = values_of(made, NEW, [HEADS["vertical"]], 0, carried=0.1)
    for relation in NAMES:
        value, half = values[relation].excess(0)
        assert value > 5 * half, relation
        # What was added to the weight is what is found.
        found = values[relation].matched - values[relation].control
        tokens = 1.0 if relation != ACROSS else 1.4
        assert np.nanmean(found) == pytest.approx(0.1 * tokens, rel=0.2)
