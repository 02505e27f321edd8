"""Heads at linked words: a six-word sentence worked by hand, slow explicit forms, and laws."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from headscope.corpora.base import Link, Sentence
from headscope.examples import Word
from headscope.linguistics.baselines import best_offsets, halves, random_head, shuffled
from headscope.linguistics.clustered import Clustered, add_layer
from headscope.linguistics.dependencies import (
    DIRECTIONS,
    QUANTITIES,
    Dependencies,
    WordLinks,
    merged,
)
from headscope.linguistics.spans import Spans, link_pairs, shifts
from headscope.linguistics.word_attention import (
    WordFrame,
    count_distances,
    count_pairs,
    diagonal_sums,
    word_maps,
)
from headscope.model.layer_maps import Batch, LayerMaps
from simulations.controls import HEADS
from simulations.linked import DependenciesByWords, Linked, SpansByWords, span_excess, word_excess

# [CLS] The old dog chased cats away [SEP]; "chased" is two pieces. Words 0 to 5, tokens 0 to 8.
TOKENS = [[1], [2], [3], [4, 5], [6], [7]]
LINKS = {"det": (0, 2), "amod": (1, 2), "nsubj": (2, 3), "obj": (4, 3), "advmod": (5, 3)}


def attention(rows: dict[int, dict[int, float]]) -> torch.Tensor:
    """A map of nine tokens from the entries that matter; the rest of a row goes to [CLS]."""
    out = torch.zeros(9, 9)
    for query in range(9):
        given = rows.get(query, {})
        for key, value in given.items():
            out[query, key] = value
        out[query, 0] += 1 - sum(given.values())
    return out


NEXT = attention(
    {
        1: {2: 0.9},
        2: {3: 0.8},
        3: {4: 0.5, 5: 0.1},
        4: {6: 0.4},
        5: {6: 0.2},
        6: {7: 0.6},
        7: {6: 0.1},
    }
)
"""A head that looks one word on, from the last word to the one before."""
OBJECT = attention(
    {
        1: {2: 0.3},
        2: {3: 0.3},
        3: {2: 0.5},
        4: {1: 0.2, 7: 0.1},
        5: {7: 0.5},
        6: {4: 0.3, 5: 0.4},
        7: {3: 0.5},
    }
)
"""A head that goes from the object to its verb, and elsewhere where the distance would not tell."""


def batch_of(maps: Sequence[torch.Tensor]) -> tuple[Batch, torch.Tensor]:
    """A batch of one sentence with these heads."""
    tokens = maps[0].shape[-1]
    real = torch.ones(1, tokens, dtype=torch.bool)
    special = torch.zeros_like(real)
    special[0, 0] = special[0, -1] = True
    return Batch(np.array([0]), real, special, real.long() * 0, real.long()), torch.stack(
        list(maps)
    )[None]


def seen(accumulator: Any, maps: Sequence[torch.Tensor]) -> None:
    batch, stacked = batch_of(maps)
    layer = LayerMaps(0, batch, stacked, torch.zeros(1, len(maps), len(maps[0]), 1))
    accumulator.see(layer, accumulator.prepare(batch))


def dependencies() -> Dependencies:
    dependent, head = (np.array([pair[i] for pair in LINKS.values()]) for i in (0, 1))
    links = WordLinks(dependent, head, np.arange(len(LINKS)))
    return Dependencies(
        [TOKENS], [set()], [links], np.array([0]), np.array([1, 1, 1, -1, -1]), layers=1, heads=2
    )


def test_word_attention_worked_by_hand() -> None:
    frame = WordFrame.of([TOKENS], 9, torch.device("cpu"))
    words = word_maps(torch.stack([NEXT, OBJECT])[None], frame)[0]
    assert words[0, 2, 3].item() == pytest.approx(0.6)  # Both pieces of the word attended to.
    assert words[0, 3, 4].item() == pytest.approx(
        0.3
    )  # The mean of 0.4 and 0.2 over the pieces that attend.
    assert words[1, 3, 5].item() == pytest.approx(0.3)  # The mean of 0.1 and 0.5.
    assert words[1, 3, 0].item() == pytest.approx(0.1)
    assert words[:, range(6), range(6)].abs().max() == 0


def test_dependencies_worked_by_hand() -> None:
    found = dependencies()
    seen(found, [NEXT, OBJECT])
    mean = {key: sums.mean[:5, 0] for key, sums in found.sums.items()}
    # det is two words on and missed; amod and nsubj are hit by the head that looks on; obj and advmod look back.
    assert mean["to_head", "accuracy"][:, 0].tolist() == [0, 1, 1, 0, 0]
    # The other head: "dog" attends to "old", not to its verb; "cats" to its verb; "away" to "dog".
    assert mean["to_head", "accuracy"][:, 1].tolist() == [0, 1, 0, 1, 0]
    # Who attends the most to "The", "old", "dog", "cats", "away": of the first head nobody (the first word, for want of
    # any), The, old, chased, cats; the head is right for "cats" alone.
    assert mean["from_head", "accuracy"][:, 0].tolist() == [0, 0, 0, 1, 0]
    # nsubj is one word on. Of the four other words with a next word (The, old, chased, cats) all look there.
    assert mean["to_head", "accuracy_control"][2, 0] == 1
    assert mean["to_head", "accuracy_excess"][2, 0] == 0
    # obj is one word back. Of the four other words with one before (old, dog, chased, away) the second head looks
    # there from "dog" alone: 1/4. It is at the object in 1 of 1.
    assert mean["to_head", "accuracy_control"][3, 1] == 0.25
    assert mean["to_head", "accuracy_excess"][3, 1] == 0.75
    # advmod and obj go by the offset -1: advmod is at -2, so the offset misses it and hits obj.
    assert mean["to_head", "accuracy_over_offset"][:, 1].tolist() == [0, 0, -1, 0, 0]
    # det: 0.9 next, to "dog" nothing. The others two on: old-chased, dog-cats, chased-away.
    assert mean["to_head", "attention"][0, 0] == 0
    # obj, first head: from "cats" to "chased" nothing; from "chased" to "cats" 0.3.
    assert mean["from_head", "attention"][3, 0] == pytest.approx(0.3)
    # Other words to the next: 0.9, 0.8, 0.6 and 0.6, of which one 0.6 is for two pieces. A piece gets 0.65 on average,
    # and "cats" is one.
    assert mean["from_head", "attention_control"][3, 0] == pytest.approx(0.65)
    assert mean["from_head", "attention_excess"][3, 0] == pytest.approx(-0.35)
    # From a word to "chased", which has two pieces: obj is one word back, and of the others 0.1 of the first head's.
    others = [0, 0, 0, 0.1]
    assert mean["to_head", "attention_control"][3, 0] == pytest.approx(2 * np.mean(others))
    # The first head's arg max lies one word on for five of six words, and one back for the last.
    assert found.offsets[0, 0, 10 + 1] == 5
    assert found.offsets[0, 0, 10 - 1] == 1


def slowly(
    words: np.ndarray[Any, Any],
    sizes: np.ndarray[Any, Any],
    is_mark: np.ndarray[Any, Any],
    links: list[tuple[int, int, int]],
) -> dict[tuple[str, str, int], float]:
    """The quantities of one head and sentence with loops, mean over the links of each relation."""
    n = len(words)
    there = sizes > 0
    words = words.copy()
    for i in range(n):
        words[i, i] = 0
    out: dict[tuple[str, str, int], list[float]] = {}
    for dep, head, relation in links:
        d = head - dep
        same = {(a, b) for a, b, r in links if r == relation}
        others = [
            (i, i + d)
            for i in range(n)
            if 0 <= i + d < n and there[i] and there[i + d] and (i, i + d) not in same
        ]
        for direction in DIRECTIONS:

            def mass(a: int, b: int, direction: str = direction) -> float:
                return float(words[a, b] if direction == "to_head" else words[b, a])

            def hit(a: int, b: int, direction: str = direction) -> float:
                row = words[a] if direction == "to_head" else words[:, a]
                return float(int(row.argmax()) == b)

            for name, value in (("accuracy", hit), ("attention", mass)):
                out.setdefault((direction, name, relation), []).append(value(dep, head))
                attended = 1 if direction == "to_head" else 0
                kept = [pair for pair in others if not is_mark[pair[attended]]]
                if kept:
                    # Attention is compared for as many pieces as the word has.
                    counts = sizes if name == "attention" else np.ones(n)
                    of_piece = [value(*pair) / counts[pair[attended]] for pair in kept]
                    control = float(np.mean(of_piece) * counts[(dep, head)[attended]])
                    out.setdefault((direction, f"{name}_control", relation), []).append(control)
                    out.setdefault((direction, f"{name}_excess", relation), []).append(
                        value(dep, head) - control
                    )
    return {key: float(np.mean(values)) for key, values in out.items()}


@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_dependencies_are_those_of_loops(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    tokens: list[list[int]] = []
    at = 1
    for _ in range(count):
        size = int(rng.integers(0, 3))
        tokens.append(list(range(at, at + size)))
        at += size
    maps = torch.tensor(rng.dirichlet(np.ones(at + 1), (2, at + 1)), dtype=torch.float32)
    there = np.array([bool(own) for own in tokens])
    heads = [
        (d, int(h), int(rng.integers(3)))
        for d, h in enumerate(rng.integers(0, count, count))
        if d != h
    ]
    links = [(d, h, r) for d, h, r in heads if there[d] and there[h]]
    arrays = (np.array([link[i] for link in links], dtype=np.int64) for i in range(3))
    is_mark = rng.random(count) < 0.2
    marks = {token for own, mark in zip(tokens, is_mark, strict=True) if mark for token in own}
    one = Dependencies(
        [tokens], [marks], [WordLinks(*arrays)], np.array([1]), np.array([1, -1, 2]), 1, 2
    )
    seen(one, list(maps))
    frame = WordFrame.of([tokens], at + 1, torch.device("cpu"))
    for head in range(2):
        raw = frame.averaging[0].numpy() @ maps[head].numpy() @ frame.summing[0].numpy()
        expected = slowly(raw, np.array([len(own) for own in tokens]), is_mark, links)
        for (direction, quantity), sums in one.sums.items():
            for relation in range(3):
                value = sums.mean[3 + relation, 0, head]
                key = (direction, quantity, relation)
                if quantity in ("accuracy", "attention") or quantity.endswith(
                    ("control", "excess")
                ):
                    assert np.isnan(value) == (key not in expected), key
                    if key in expected:
                        assert value == pytest.approx(expected[key], abs=2e-6), key


def test_sums_of_shards_are_those_of_the_whole() -> None:
    def shard(maps: Sequence[torch.Tensor]) -> Dependencies:
        found = dependencies()
        seen(found, maps)
        return found

    whole = dependencies()
    seen(whole, [NEXT, OBJECT])
    seen(whole, [OBJECT, NEXT])
    sums, offsets = merged([shard([NEXT, OBJECT]).arrays(), shard([OBJECT, NEXT]).arrays()])
    np.testing.assert_array_equal(offsets, whole.offsets)
    for direction in DIRECTIONS:
        for quantity in QUANTITIES:
            one, other = sums[direction, quantity], whole.sums[direction, quantity]
            np.testing.assert_array_equal(one.mean, other.mean)
            np.testing.assert_array_equal(one.error, other.error)


def test_results_do_not_depend_on_padding() -> None:
    short, long = dependencies(), dependencies()
    seen(short, [NEXT, OBJECT])
    batch, maps = batch_of([NEXT, OBJECT])
    wide = torch.nn.functional.pad(maps, (0, 3, 0, 3))
    # What padded rows hold is nobody's business.
    wide[:, :, 9:] = 1 / 12
    real, special, segment, ids = (
        torch.nn.functional.pad(x, (0, 3))
        for x in (batch.real, batch.special, batch.segment, batch.ids)
    )
    padded = Batch(batch.examples, real, special, segment, ids)
    long.see(LayerMaps(0, padded, wide, torch.zeros(1, 2, 12, 1)), long.prepare(padded))
    for key, sums in short.sums.items():
        np.testing.assert_allclose(sums.mean, long.sums[key].mean, err_msg=str(key))


@given(hnp.arrays(np.float32, (2, 3, 7, 7), elements=st.floats(0, 1, width=32)))
def test_sums_along_diagonals(values: np.ndarray[Any, Any]) -> None:
    weight = torch.tensor([[1.0] * 7, [0, 1, 2, 3, 4, 5, 6]])
    found = diagonal_sums(torch.tensor(values), weight)
    values = values * weight.numpy()[:, None, None]
    for d in range(-6, 7):
        expected = np.trace(values, offset=d, axis1=2, axis2=3)
        np.testing.assert_allclose(found[..., d + 6], expected, rtol=1e-5, atol=1e-6)


def test_counts_at_distances_leave_out_words_without_tokens() -> None:
    there = torch.tensor([[True, False, True]])
    counts = count_distances(torch.tensor([[[1, 0, 0]]]), there[:, None])
    assert counts[0, 0].tolist() == [
        1,
        0,
        0,
        1,
        0,
    ]  # word 2 at -2, word 0 at 1; word 1 is not there.
    assert count_pairs(there, there)[0].tolist() == [1, 0, 2, 0, 1]
    assert count_pairs(there, there & torch.tensor([True, True, False]))[0].tolist() == [
        1,
        0,
        1,
        0,
        0,
    ]


def test_spans_worked_by_hand() -> None:
    # "The old" is an element of "cats", and "away" of "dog": both two words or more from it.
    links = [Link("e", (0, 1), (4,)), Link("e", (5,), (2,))]
    assert link_pairs(TOKENS, links[0]) == [(1, 6), (2, 6)]
    assert link_pairs(TOKENS, links[0], faithful=True) == [(1, 6)]
    pairs = [link_pairs(TOKENS, link) for link in links]
    related = {pair for of_link in pairs for pair in of_link}
    assert pairs[1] == [(7, 3)]
    assert shifts(TOKENS, pairs[0], related, set()) == [1]
    assert shifts(TOKENS, pairs[1], related, set()) == [-2, -1]
    # A pair of a link is no control of another, and no control attends to punctuation.
    assert shifts(TOKENS, pairs[0], {*related, (3, 7)}, set()) == []
    assert shifts(TOKENS, pairs[0], related, {7}) == []
    assert shifts(TOKENS, pairs[0], related, {6, 7}) == [1]
    # Moved by one, "cats" would be the second piece of "chased" beside its first.
    assert shifts(TOKENS, [(5, 6)], set(), set()) == [-4, -3, -2, 1]
    head = attention(
        {
            1: {6: 0.1},
            2: {6: 0.3, 7: 0.2},
            3: {7: 0.6},
            5: {1: 0.05},
            6: {2: 0.2},
            7: {3: 0.5},
            4: {1: 0.25},
        }
    )
    found = Spans([TOKENS], [set()], [links], ["e"], layers=1, heads=1)
    seen(found, [head])
    mean = {name: float(sums.mean[0, 0, 0]) for name, sums in found.sums.items()}
    assert mean["score"] == pytest.approx(0.5)  # The larger of 0.3 and 0.5.
    assert mean["attention"] == pytest.approx(0.4)
    # The first link, one token on: the larger of old-away 0.2 and dog-away 0.6. The second: from the second piece of
    # "chased" to "The" 0.05, and cats-old 0.2, 0.125 on average.
    assert mean["attention_control"] == pytest.approx((0.6 + 0.125) / 2)
    assert mean["attention_excess"] == pytest.approx(0.4 - 0.3625)
    assert found.scores.shape == (1, 1, 1, 1)
    faithful = Spans([TOKENS], [set()], [links], ["e"], layers=1, heads=1, faithful=True)
    seen(faithful, [head])
    assert faithful.sums["score"].mean[0, 0, 0] == pytest.approx(0.5)
    assert faithful.sums["attention"].mean[0, 0, 0] == pytest.approx((0.1 + 0.5) / 2)


def test_clustered_standard_errors_worked_by_hand() -> None:
    sums = Clustered.zero(1, 1, 1)
    # Three sentences: hits 1 of 1, 1 of 2, 0 of 1; the mean is 2 of 4.
    values = torch.tensor([[1.0], [1.0], [0.0], [0.0]])
    add_layer(sums, 0, values, torch.tensor([0, 1, 1, 2]), torch.zeros(4, dtype=torch.long))
    assert sums.mean[0, 0, 0] == 0.5
    assert (sums.n[0], sums.clusters[0], sums.n_squared[0]) == (4, 3, 6)
    # Residuals 0.5, 0 and -0.5: their squares sum to 0.5, over 4 squared, times 3/2.
    assert sums.error[0, 0, 0] == pytest.approx((0.5 / 16 * 1.5) ** 0.5)
    low, high = sums.share_interval()
    assert 0 < low[0, 0, 0] < 0.5 < high[0, 0, 0] < 1


def test_clustered_intervals_cover() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        sums = Clustered.zero(1, 1, 1)
        sizes = rng.integers(1, 6, 60)
        # Links of a sentence are alike: its own share of hits.
        share = np.repeat(rng.beta(2, 2, 60), sizes)
        hits = torch.tensor((rng.random(len(share)) < share).astype(np.float32))[:, None]
        cluster = torch.tensor(np.repeat(np.arange(60), sizes))
        add_layer(sums, 0, hits, cluster, torch.zeros(len(cluster), dtype=torch.long))
        low, high = sums.share_interval()
        covered += int(low[0, 0, 0] <= 0.5 <= high[0, 0, 0])
    assert 0.91 < covered / 400 < 0.985


def test_the_best_offset_is_that_of_the_chosen_half() -> None:
    links = [
        WordLinks(np.array([0, 1, 5]), np.array([2, 3, 4]), np.array([0, 0, 1])),
        WordLinks(np.array([3, 4]), np.array([2, 3]), np.array([0, 0])),
    ]
    assert best_offsets(links, np.array([True, False]), 3).tolist() == [2, -1, 1]
    assert best_offsets(links, np.array([False, True]), 3).tolist() == [-1, 1, 1]
    far = [WordLinks(np.array([0]), np.array([30]), np.array([0]))]
    assert best_offsets(far, np.array([True]), 1).tolist() == [1]


def test_halves_are_of_like_size_and_the_seeds() -> None:
    assert sorted(halves(7, 0).tolist()) == [0] * 4 + [1] * 3
    assert halves(50, 1).tolist() == halves(50, 1).tolist() != halves(50, 2).tolist()


def word(form: str, start: int, head: int) -> Word:
    return Word(form, form, start, start + len(form), "NOUN", "dep", head)


def test_shuffled_words_keep_their_links() -> None:
    forms = ("the", "old", "dog", "barks")
    words = tuple(
        word(form, start, head)
        for form, start, head in zip(forms, (0, 4, 8, 12), (2, 2, 3, -1), strict=True)
    )
    sentence = Sentence(
        "s", "the old dog barks", words, (Link("det", (0,), (2,)), Link("nsubj", (2,), (3,)))
    )
    moved = shuffled(sentence, 3)
    assert sorted(moved.text.split()) == sorted(forms)
    assert moved.text != sentence.text
    for own in moved.words:
        assert moved.text[own.start : own.end] == own.form
    named = {
        (one.relation, moved.words[one.source[0]].form, moved.words[one.target[0]].form)
        for one in moved.links
    }
    assert named == {("det", "the", "dog"), ("nsubj", "dog", "barks")}
    assert moved.words[[w.form for w in moved.words].index("dog")].head == [
        w.form for w in moved.words
    ].index("barks")


def test_a_head_drawn_at_random() -> None:
    mean, low, high = random_head(np.array([0.0, 0.5, np.nan, 1.0]))
    assert mean == 0.5
    assert 0 <= low < mean < high <= 1
    assert np.isnan(random_head(np.array([np.nan]))[0])


# ---- heads that know of no relation


@pytest.fixture(scope="module")
def made() -> Linked:
    """Sentences of 14 words, two in five punctuation; linked words have more pieces, and stand
    two words apart.
    """
    rng = np.random.default_rng(0)
    tokens, punctuation, links = [], [], []
    for _ in range(400):
        is_mark = rng.random(14) < 0.4
        dependent = int(rng.integers(3, 9))
        is_mark[[dependent, dependent + 2]] = False
        place, words = 1, []
        for word in range(14):
            pieces = 1 + int(rng.random() < (0.6 if word in (dependent, dependent + 2) else 0.1))
            words.append(tuple(range(place, place + pieces)))
            place += pieces
        tokens.append(words)
        marks = [words[word] for word in np.flatnonzero(is_mark).tolist()]
        punctuation.append(frozenset(token for pieces in marks for token in pieces))
        links.append([Link("r", (dependent,), (dependent + 2,))])
    return Linked(tokens, punctuation, links)


CASES = ("uniform", "vertical", "diagonal")


def test_heads_without_a_relation_have_no_excess_between_words(made: Linked) -> None:
    heads = [HEADS[name] for name in CASES]
    uniform, vertical, diagonal = word_excess(made, heads, 0)["r"]
    assert uniform.value == pytest.approx(0, abs=1e-3)
    assert abs(vertical.value) < 12
    # Its further pieces get less than those that are nearer: less than 0, and no relation.
    assert -35 < diagonal.value < 0
    # Where attention to words of any number of pieces is compared, and punctuation is a word:
    uniform, vertical, _ = word_excess(made, heads, 0, DependenciesByWords)["r"]
    assert uniform.value > 30
    assert vertical.value < -20


def test_heads_without_a_relation_have_no_excess_between_spans(made: Linked) -> None:
    heads = [HEADS[name] for name in CASES]
    uniform, vertical, diagonal = span_excess(made, heads, 0)["r"]
    assert uniform.value == pytest.approx(0, abs=1e-3)
    assert abs(vertical.value) < 15
    assert abs(diagonal.value) < 8
    assert uniform.share > 0.95
    # Moved by words, punctuation included:
    _, vertical, _ = span_excess(made, heads, 0, SpansByWords)["r"]
    assert vertical.value < -25
