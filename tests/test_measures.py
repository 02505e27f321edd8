"""Measures against plain loops over eager maps, on real sentence pairs and on maps worked by hand."""

# mypy: disable-error-code="union-attr, index, type-arg"

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from transformers import AutoModelForSequenceClassification

import families
from headscope.errors import HeadscopeError
from headscope.examples import Split, Word
from headscope.measures import MEASURES, measure
from headscope.measures.base import Measures, Moments, Prepared
from headscope.measures.comparison import compare, cosine
from headscope.measures.controls import TokenPairs, WordPlaces, shifts_of_sets
from headscope.measures.features import class_masks, notebook_masks, notebook_words
from headscope.measures.pairs import (
    crossed,
    linked,
    same_words,
    token_pairs,
)
from headscope.measures.rows import last_layers_rows
from headscope.model.encoding import Encoded, encode, only
from headscope.model.layer_maps import Batch, LayerMaps
from headscope.model.loading import load
from headscope.tasks import find
from headscope.tasks.files import load_data
from headscope.words.align import Aligned, align
from headscope.words.classes import CLASSES
from headscope.words.sources import tag

Values = dict[str, np.ndarray]


def word(form: str, upos: str, relation: str = "dep", head: int = 0, lemma: str = "") -> Word:
    return Word(form, lemma or form.lower(), 0, len(form), upos, relation, head)


# [CLS] nurses thank her . [SEP] she thanked nurses [SEP]; "nurses" is two tokens in the first text.
HAND = Aligned(
    words=(
        word("nurses", "NOUN", "nsubj", 1, "nurse"),
        word("thank", "VERB", "root", -1, "thank"),
        word("her", "PRON", "obj", 1, "she"),
        word(".", "PUNCT", "punct", 1),
        word("she", "PRON", "nsubj", 1, "she"),
        word("thanked", "VERB", "root", -1, "thank"),
        word("nurses", "NOUN", "obj", 1, "nurse"),
    ),
    text=(0, 0, 0, 0, 1, 1, 1),
    tokens=((1, 2), (3,), (4,), (5,), (7,), (8,), (9,)),
)
LENGTH = 11
# The second piece of the first "nurses" is the whole of the second one's.
PIECES = [0, 11, 12, 13, 14, 4, 2, 15, 16, 12, 2]


def by_hand(maps: Tensor) -> LayerMaps:
    """A batch of one: the hand-made example with this map for one head."""
    special = torch.zeros(1, LENGTH, dtype=torch.bool)
    special[0, [0, 6, 10]] = True
    segment = torch.tensor([[0] * 7 + [1] * 4])
    ids = torch.tensor([PIECES])
    batch = Batch(np.array([3]), torch.ones(1, LENGTH, dtype=torch.bool), special, segment, ids)
    return LayerMaps(0, batch, maps[None, None], torch.ones(1, 1, LENGTH, 2))


def value(name: str, maps: Tensor, example: Aligned = HAND) -> float:
    layer = by_hand(maps)
    return float(MEASURES.get(name).values(layer, Prepared(layer.batch, [example]))[0, 0])


# [CLS] today nurses often thank her again here . [SEP]; "nurses" is two tokens.
ROOMY = Aligned(
    words=(
        word("today", "ADV", "advmod", 3),
        word("nurses", "NOUN", "nsubj", 3, "nurse"),
        word("often", "ADV", "advmod", 3),
        word("thank", "VERB", "root", -1),
        word("her", "PRON", "obj", 3, "she"),
        word("again", "ADV", "advmod", 3),
        word("here", "ADV", "advmod", 3),
        word(".", "PUNCT", "punct", 3),
    ),
    text=(0,) * 8,
    tokens=((1,), (2, 3), (4,), (5,), (6,), (7,), (8,), (9,)),
)


def test_uniform_attention_by_hand() -> None:
    uniform = torch.full((LENGTH, LENGTH), 1 / LENGTH)
    assert value("entropy", uniform) == pytest.approx(np.log(LENGTH))
    # Mean of |i - j| over all ordered pairs of 11 positions: (n^2 - 1) / 3n.
    assert value("distance", uniform) == pytest.approx((LENGTH**2 - 1) / (3 * LENGTH))
    for name in ("noun", "verb", "pronoun", "subject", "object", "punctuation", "cls", "sep"):
        assert value(f"attention_to_{name}", uniform) == pytest.approx(1 / LENGTH)
        assert value(f"from_cls_to_{name}", uniform) == pytest.approx(1 / LENGTH)
    for relation in ("verb_to_subject", "subject_to_verb", "noun_to_pronoun", "pronoun_to_noun"):
        assert value(relation, uniform) == pytest.approx(1 / LENGTH)
        assert value(f"{relation}_excess", uniform, ROOMY) == pytest.approx(0, abs=1e-7)
    # No verb and subject of these two short texts can be moved to both sides.
    assert np.isnan(value("verb_to_subject_excess", uniform))
    assert np.isnan(value("attention_to_negation", uniform))


def test_identity_by_hand() -> None:
    identity = torch.eye(LENGTH)
    assert value("entropy", identity) == 0
    assert value("distance", identity) == 0
    assert value("attention_to_noun", identity) == pytest.approx(1 / LENGTH)
    assert value("from_cls_to_cls", identity) == 1
    assert value("from_cls_to_sep", identity) == 0
    assert value("verb_to_subject", identity) == 0
    assert value("same_word_across", identity) == 0


def test_one_stripe_by_hand() -> None:
    stripe = torch.zeros(LENGTH, LENGTH)
    stripe[:, 2] = 0.75
    stripe[:, 6] = 0.25
    assert value("attention_to_noun", stripe) == pytest.approx(0.75)
    assert value("attention_to_subject", stripe) == pytest.approx(0.75)
    assert value("attention_to_sep", stripe) == pytest.approx(0.25)
    assert value("attention_to_special", stripe) == pytest.approx(0.25)
    assert value("attention_to_verb", stripe) == 0
    # thank (3) -> nurses (1, 2); the second verb's subject is she (7).
    assert value("verb_to_subject", stripe) == pytest.approx(0.75)
    assert value("subject_to_verb", stripe) == 0


def test_both_seps_count_among_the_special_tokens() -> None:
    stripes = torch.zeros(LENGTH, LENGTH)
    stripes[:, 0], stripes[:, 6], stripes[:, 10], stripes[:, 3] = 0.1, 0.3, 0.4, 0.2
    assert value("attention_to_sep", stripes) == pytest.approx(0.4)
    assert value("attention_to_special", stripes) == pytest.approx(0.8)


def test_the_same_word_across_by_hand() -> None:
    assert linked(HAND, reverse=False) == [(1, 0), (5, 4)]
    assert linked(HAND, reverse=True) == [(0, 1), (4, 5)]
    assert crossed(HAND, ("NOUN",), ("PRON",)) == [(0, 2), (6, 4)]
    assert token_pairs(HAND, [(1, 0)]) == [(3, 1), (3, 2)]
    maps = torch.zeros(LENGTH, LENGTH)
    # "nurses" of the first text (1, 2) -> "nurses" of the second (9): mean over its own tokens (0.5 + 0.1) / 2 = 0.3.
    maps[1, 9], maps[2, 9] = 0.5, 0.1
    # Back: sum over the other's tokens 0.2 + 0.3 = 0.5.
    maps[9, 1], maps[9, 2] = 0.2, 0.3
    # thank (3) -> thanked (8): 0.6, back 0. Both pairs, both ways: (0.3 + 0.5 + 0.6 + 0) / 4.
    maps[3, 8] = 0.6
    assert value("same_word_across", maps) == pytest.approx(0.35)


def controls(aligned: Aligned, pairs: list[tuple[int, int]], seed: int) -> list:
    """The pair that each pair of tokens is compared with, or None."""
    shifts = shifts_of_sets(WordPlaces.of([aligned]), TokenPairs.of([pairs]), [seed]).tolist()
    moved = zip(pairs, shifts, strict=True)
    return [(query + by, key + by) if by else None for (query, key), by in moved]


@given(st.integers(0, 10_000))
def test_the_control_is_the_whole_relation_moved_to_a_side(seed: int) -> None:
    verb_to_subject = token_pairs(ROOMY, linked(ROOMY, reverse=False))
    assert verb_to_subject == [(5, 2), (5, 3)]
    # Two tokens to the left there is no word any more.
    assert controls(ROOMY, verb_to_subject, seed) in ([(4, 1), (4, 2)], [(6, 3), (6, 4)])
    to_verb = [(key, query) for query, key in verb_to_subject]
    assert controls(ROOMY, to_verb, seed) in ([(1, 4), (2, 4)], [(3, 6), (4, 6)])
    # To "here" one token further on, but not to the "." two further on.
    to_again = token_pairs(ROOMY, [(4, 5)])
    assert controls(ROOMY, to_again, seed) in ([(5, 6)], [(7, 8)], [(6, 7)])
    assert (8, 9) not in controls(ROOMY, to_again, seed)
    # Moved by one, "nurses" (2) -> "nurses" (3) would be within a word.
    assert (2, 3) not in controls(ROOMY, token_pairs(ROOMY, [(2, 3)]), seed)


def test_both_sides_are_drawn_and_the_excess_is_that_of_the_pairs_that_can_be_moved() -> None:
    pairs = token_pairs(ROOMY, linked(ROOMY, reverse=False))
    drawn = [tuple(controls(ROOMY, pairs, seed)) for seed in range(200)]
    to_left = drawn.count(((4, 1), (4, 2)))
    assert to_left + drawn.count(((6, 3), (6, 4))) == 200
    assert 70 < to_left < 130
    maps = torch.zeros(LENGTH, LENGTH)
    maps[5, 2], maps[5, 3] = 0.3, 0.7
    maps[4, 1], maps[6, 4] = 0.1, 0.1
    assert value("verb_to_subject_excess", maps, ROOMY) == pytest.approx(0.7 - 0.1)
    assert value("verb_to_subject_control", maps, ROOMY) == pytest.approx(0.1)


@given(st.integers(0, 10_000))
def test_the_control_of_the_same_word_is_two_other_words_as_far_from_each_other(seed: int) -> None:
    batch = by_hand(torch.eye(LENGTH)).batch
    pairs_of = same_words(
        Batch(np.array([seed]), batch.real, batch.special, batch.segment, batch.ids), [HAND]
    )
    text = {t: (w, HAND.text[w]) for w, own in enumerate(HAND.tokens) for t in own}
    every, matched, control = pairs_of.kinds
    pairs = {
        (text[q][0], text[k][0])
        for q, k in zip(every.query.tolist(), every.key.tolist(), strict=True)
    }
    assert pairs == {(0, 6), (6, 0), (1, 5), (5, 1)}
    assert matched.example.tolist() == control.example.tolist()
    distance = matched.key - matched.query
    assert torch.equal(control.key - control.query, distance)
    assert torch.equal(control.weight, matched.weight)
    for q, k in zip(control.query.tolist(), control.key.tolist(), strict=True):
        assert text[q][1] != text[k][1]
        assert (text[q][0], text[k][0]) not in pairs
        assert HAND.words[text[k][0]].upos != "PUNCT"
        assert HAND.words[text[q][0]].form != HAND.words[text[k][0]].form
    assert len(control.query)
    for own in (every, matched):
        # A pair weighs 1 / pairs / the word's own tokens, and stands once for each token of the other word.
        shares = zip(own.weight.tolist(), own.key.tolist(), strict=True)
        assert sum(w / len(HAND.tokens[text[k][0]]) for w, k in shares) == pytest.approx(1)


# ------------------------------------------------------------------- against plain loops, on real text


class Case:
    """A model with encoded, tagged examples."""

    def __init__(self, folder: Path, split: Split) -> None:
        self.model, self.split, self.folder = load(folder), split, folder
        self.encoded = encode(split, self.model.tokenizer)
        self.words = align(self.encoded, split, tag(split, "gold"))


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = families.make("bert", tmp_path_factory.mktemp("models") / "bert")
    return Case(folder, load_data(find("builtin"), sizes=(1, 13)).validation)


def eager_maps(folder: Path, encoded: Encoded) -> list[np.ndarray]:
    """Per example [layer, head, query, key], one example at a time, by plain Hugging Face."""
    hf = AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation="eager"
    ).eval()
    out = []
    for i in range(len(encoded)):
        with torch.no_grad():
            attentions = hf(**encoded.batch([i]), output_attentions=True).attentions
        out.append(torch.stack(attentions)[:, 0].double().numpy())
    return out


def slow(name: str, a: np.ndarray, encoded: Encoded, row: int, aligned: Aligned) -> float:
    """One value of one head's map of one example, by loops."""
    n, special = len(a), encoded.special[row]
    received = [sum(a[i][j] for i in range(n)) / n for j in range(n)]
    seps = [j for j in range(1, n) if special[j]]
    if name == "entropy":
        return float(
            -sum(a[i][j] * np.log(a[i][j]) for i in range(n) for j in range(n) if a[i][j] > 0) / n
        )
    if name == "distance":
        return float(sum(a[i][j] * abs(i - j) for i in range(n) for j in range(n)) / n)
    if name == "attention_to_special":
        return float(sum(received[j] for j in [0, *seps]))
    for prefix, source in (("attention_to_", received), ("from_cls_to_", list(a[0]))):
        if name.startswith(prefix):
            kind = name.removeprefix(prefix)
            tokens = [0] if kind == "cls" else seps if kind == "sep" else []
            if kind in CLASSES:
                tokens = [
                    t
                    for w, own in zip(aligned.words, aligned.tokens, strict=True)
                    if CLASSES[kind](w)
                    for t in own
                ]
            return max((source[t] for t in tokens), default=float("nan"))
    if name in ("noun_to_pronoun", "pronoun_to_noun"):
        kinds = {"noun": ("NOUN", "PROPN"), "pronoun": ("PRON",)}
        giver, taker = name.split("_to_")
        found = [
            a[i][j]
            for x, w in enumerate(aligned.words)
            for y, v in enumerate(aligned.words)
            if w.upos in kinds[giver]
            and v.upos in kinds[taker]
            and x != y
            and aligned.text[x] == aligned.text[y]
            for i in aligned.tokens[x]
            for j in aligned.tokens[y]
        ]
        return max(found, default=float("nan"))
    if name.startswith("verb_to_subject_"):
        pairs = token_pairs(aligned, linked(aligned, reverse=False))
        both = [
            (p, c)
            for p, c in zip(pairs, controls(aligned, pairs, row), strict=True)
            if c is not None
        ]
        if not both:
            return float("nan")
        control = max(a[q][k] for _, (q, k) in both)
        return float(
            control if name.endswith("_control") else max(a[q][k] for (q, k), _ in both) - control
        )
    if name in ("verb_to_subject", "subject_to_verb"):
        best = float("nan")
        for at, w in enumerate(aligned.words):
            if not w.is_subject or w.head < 0:
                continue
            verb = w.head + (0 if aligned.text[at] == 0 else aligned.text.index(1))
            if aligned.words[verb].upos not in ("VERB", "AUX"):
                continue
            for s in aligned.tokens[at]:
                for v in aligned.tokens[verb]:
                    best = np.fmax(best, a[v][s] if name == "verb_to_subject" else a[s][v])
        return float(best)
    assert name == "same_word_across"
    shares = []
    closed = {"DET", "ADP", "AUX", "PUNCT", "PART", "CCONJ", "SCONJ", "PRON", "SYM"}
    for x, one in enumerate(aligned.words):
        for y, two in enumerate(aligned.words):
            if aligned.text[x] == aligned.text[y] or {one.upos, two.upos} & closed:
                continue
            if one.form.casefold() == two.form.casefold() or one.lemma == two.lemma:
                own, other = aligned.tokens[x], aligned.tokens[y]
                if not own or not other:
                    continue
                shares.append(np.mean([sum(a[i][j] for j in other) for i in own]))
    return float(np.mean(shares)) if shares else float("nan")


SLOW = [
    "entropy", "distance", "attention_to_cls", "attention_to_sep", "attention_to_special", "from_cls_to_cls", "from_cls_to_sep",
    "verb_to_subject", "subject_to_verb", "noun_to_pronoun", "pronoun_to_noun", "verb_to_subject_control",
    "verb_to_subject_excess", "same_word_across",
    *(f"{p}{c}" for p in ("attention_to_", "from_cls_to_") for c in CLASSES),
]  # fmt: skip


def assert_equals_loops(case: Case, names: list[str]) -> None:
    sums = measure(case.model, case.encoded, names, words=case.words, batch_tokens=97)
    maps = eager_maps(case.folder, case.encoded)
    for name in names:
        mean, _, _ = sums[name].compute()
        for layer in range(case.model.layers):
            for head in (0, case.model.heads - 1):
                values = [
                    slow(name, a[layer][head], case.encoded, i, case.words[i])
                    for i, a in enumerate(maps)
                ]
                there = [v for v in values if not np.isnan(v)]
                assert sums[name].n[layer, head] == len(there)
                if there:
                    assert mean[layer, head] == pytest.approx(np.mean(there), abs=1e-5), name


def test_measures_equal_plain_loops(case: Case) -> None:
    assert_equals_loops(case, SLOW)


def test_measures_equal_plain_loops_on_real_mrpc(case: Case, glue: Path) -> None:
    pytest.importorskip("spacy", reason="the extra [words] is not installed")
    split = load_data(find("mrpc"), glue).validation.take(np.arange(2))
    real = Case.__new__(Case)
    real.model, real.folder, real.split = case.model, case.folder, split
    real.encoded = encode(split, case.model.tokenizer)
    real.words = align(real.encoded, split, tag(split, "spacy"))
    assert_equals_loops(real, SLOW)


@settings(deadline=None, max_examples=4)
@given(st.integers(20, 400), st.integers(0, 1000))
def test_independent_of_batches_and_order(case: Case, budget: int, seed: int) -> None:
    names = MEASURES.names()
    whole = measure(case.model, case.encoded, names, words=case.words)
    order = list(range(len(case.encoded)))
    random.Random(seed).shuffle(order)
    # The controls are drawn by an example's number, so the order is checked where nothing is drawn.
    fixed = [n for n in names if not n.endswith(("_control", "_excess"))]
    again = measure(case.model, case.encoded, names, words=case.words, batch_tokens=budget)
    shuffled = measure(
        case.model,
        only(case.encoded, order),
        fixed,
        words=[case.words[i] for i in order],
        batch_tokens=budget,
    )
    for name in names:
        assert_moments_close(whole[name], again[name])
    for name in fixed:
        assert_moments_close(whole[name], shuffled[name])


def assert_moments_close(one: Moments, two: Moments) -> None:
    assert (one.n == two.n).all()
    np.testing.assert_allclose(one.total, two.total, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(one.squares, two.squares, atol=1e-3, rtol=1e-3)


def test_merged_shards_are_the_whole(case: Case) -> None:
    names = ["entropy", "attention_to_noun", "verb_to_subject", "from_cls_to_negation"]
    whole = measure(case.model, case.encoded, names, words=case.words)
    parts = [range(5), range(5, 6), range(6, len(case.encoded))]
    shards = [
        measure(case.model, only(case.encoded, list(p)), names, words=[case.words[i] for i in p])
        for p in parts
    ]
    for name in names:
        assert_moments_close(whole[name], shards[0][name] + shards[1][name] + shards[2][name])


def test_measures_change_nothing_and_do_not_see_padding(case: Case) -> None:
    names = MEASURES.names()
    maps = torch.rand(LENGTH, LENGTH).softmax(-1)
    layer = by_hand(maps)
    before = layer.maps.clone()
    prepared = Prepared(layer.batch, [HAND])
    chosen = Measures([n for n in names if not n.startswith("norm_")], case.words)
    values = chosen.values(layer, prepared)
    assert torch.equal(layer.maps, before)
    assert values.isfinite().any()


def test_words_are_asked_for(case: Case) -> None:
    with pytest.raises(HeadscopeError, match="these measures look at words"):
        measure(case.model, case.encoded, ["attention_to_noun"])


def test_the_notebook_counts_examples_without_the_class_as_nothing(case: Case) -> None:
    names = ["attention_to_pronoun", "attention_to_negation"]
    ours = measure(case.model, case.encoded, names, words=case.words)
    notebook = measure(case.model, case.encoded, names, words=case.words, faithful=True)
    without = sum(not any(CLASSES["pronoun"](w) for w in one.words) for one in case.words)
    assert without
    assert (ours["attention_to_pronoun"].n == len(case.encoded) - without).all()
    assert (notebook["attention_to_pronoun"].n == len(case.encoded)).all()
    # But for negation, which the notebook leaves out as we do.
    assert (notebook["attention_to_negation"].n < len(case.encoded)).all()


def test_the_notebooks_classes_leak_by_hand() -> None:
    batch = by_hand(torch.eye(LENGTH)).batch
    ours, notebook = class_masks(batch, [HAND]), notebook_masks(batch, [HAND])
    # Nouns are tokens 1, 2 and 9. Subjects are "nurses" (1, 2) and "she" (7): piece 12 stands at 9 too.
    assert ours["subject"][0].nonzero().flatten().tolist() == [1, 2, 7]
    assert notebook["subject"][0].nonzero().flatten().tolist() == [1, 2, 7, 9]
    leaky = Aligned((word("north", "NOUN"), word("it", "PRON", "expl")), (0, 0), ((1,), (2,)))
    assert [w.form for w, _ in notebook_words(leaky, "negation")] == ["north"]
    assert [w.form for w, _ in notebook_words(leaky, "subject")] == ["it"]


# ------------------------------------------------------------------- change


def test_the_cosine_equals_plain_loops_in_both_forms(case: Case, tmp_path: Path) -> None:
    other_folder = families.make("bert", tmp_path / "other", initializer_range=0.4)
    other = load(other_folder)
    ours = compare(case.model, other, case.encoded, ["entropy"], batch_tokens=150)
    a, b = eager_maps(case.folder, case.encoded), eager_maps(other_folder, case.encoded)
    slow_cosine = np.mean(
        [
            (x * y).sum((2, 3)) / np.sqrt((x**2).sum((2, 3)) * (y**2).sum((2, 3)))
            for x, y in zip(a, b, strict=True)
        ],
        0,
    )
    np.testing.assert_allclose(ours.cosine.compute()[0], slow_cosine, atol=1e-5)
    # How much less a layer changes than the last two, example by example, [contrast, example].
    layers = np.stack(
        [
            ((x * y).sum((2, 3)) / np.sqrt((x**2).sum((2, 3)) * (y**2).sum((2, 3)))).mean(1)
            for x, y in zip(a, b, strict=True)
        ],
        1,
    )
    contrasts = [layers[0] - layers[1], layers[0] - layers[2], layers[0] - layers[1:].mean(0)]
    found = last_layers_rows(ours)
    assert [(row.layer, row.against) for row in found] == [(1, 2), (1, 3), (None, None)]
    for row, values in zip(found, contrasts, strict=True):
        test = stats.ttest_1samp(values, 0)
        low, high = test.confidence_interval()
        assert (row.value, row.low, row.high) == pytest.approx((values.mean(), low, high), abs=1e-5)
        assert row.p == pytest.approx(test.pvalue, rel=1e-2)
        assert row.n == len(values)
    entropy = measure(other, case.encoded, ["entropy"])["entropy"].compute()[0]
    np.testing.assert_allclose(ours.after["entropy"].compute()[0], entropy, atol=1e-5)
    difference = ours.after["entropy"].compute()[0] - ours.before["entropy"].compute()[0]
    np.testing.assert_allclose(ours.difference["entropy"].compute()[0], difference, atol=1e-5)


def test_the_faithful_cosine_counts_the_padding(case: Case, tmp_path: Path) -> None:
    other_folder = families.make(
        "bert", tmp_path / "other", initializer_range=0.4, max_position_embeddings=211
    )
    same = families.make("bert", tmp_path / "same", max_position_embeddings=211)
    one, two = load(same), load(other_folder)
    encoded = only(case.encoded, [0, 1])
    faithful = compare(one, two, encoded, [], faithful=True).cosine.compute()[0]
    flat = []
    for folder in (same, other_folder):
        hf = AutoModelForSequenceClassification.from_pretrained(
            folder, attn_implementation="eager"
        ).eval()
        with torch.no_grad():
            flat.append(
                torch.stack(
                    hf(**encoded.batch([0, 1], width=200), output_attentions=True).attentions
                )
            )
    a, b = (x.flatten(3) for x in flat)
    slow_form = torch.nn.functional.cosine_similarity(a, b, dim=-1).mean(1)
    np.testing.assert_allclose(faithful, slow_form.numpy(), atol=1e-4)
    assert np.abs(faithful - compare(one, two, encoded, []).cosine.compute()[0]).max() > 1e-3


def test_nothing_changed_is_a_cosine_of_one(case: Case) -> None:
    same = compare(case.model, load(case.folder), case.encoded, ["distance"])
    np.testing.assert_allclose(same.cosine.compute()[0], 1, atol=1e-6)
    np.testing.assert_allclose(same.difference["distance"].total, 0, atol=1e-6)
    rows = last_layers_rows(same)
    assert [row.value for row in rows] == pytest.approx([0, 0, 0], abs=1e-6)
    # What rounding leaves is not tested, however alike it is in all examples.
    left = Moments(*np.tile([[10.0], [1e-6], [1.1e-13]], 3))
    for row in last_layers_rows(replace(same, over_last=left)):
        assert np.isnan([row.low, row.high, row.p]).all()


def test_a_model_of_two_layers_has_no_layers_before_the_last_two(
    case: Case, tmp_path: Path
) -> None:
    one, two = (
        load(families.make("bert", tmp_path / name, num_hidden_layers=2)) for name in ("one", "two")
    )
    assert last_layers_rows(compare(one, two, case.encoded, [])) == []


def test_a_stripe_and_a_diagonal_by_hand() -> None:
    one, two = torch.zeros(LENGTH, LENGTH), torch.eye(LENGTH)
    one[:, 0] = 1
    # They share one cell of 11 each: cosine 1/11.
    assert float(cosine(by_hand(one), by_hand(two))) == pytest.approx(1 / LENGTH)


def test_models_of_other_shapes_cannot_be_compared(case: Case, tmp_path: Path) -> None:
    other = load(families.make("bert", tmp_path / "other", num_hidden_layers=2))
    with pytest.raises(
        HeadscopeError,
        match="has 3 x 5 heads, .* 2 x 5: compare a model with its own fine-tuned form",
    ):
        compare(case.model, other, case.encoded, [])


def test_the_plug_in_of_the_documents_works(case: Case) -> None:
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    assert len(code.splitlines()) < 40
    exec(code, {})  # noqa: S102  (the document's own example)
    value = measure(case.model, case.encoded, ["attention_to_self"])["attention_to_self"].compute()[
        0
    ]
    slow_form = np.mean(
        [np.trace(a, axis1=2, axis2=3) / a.shape[2] for a in eager_maps(case.folder, case.encoded)],
        0,
    )
    np.testing.assert_allclose(value, slow_form, atol=1e-5)
    MEASURES._items.pop("attention_to_self")
