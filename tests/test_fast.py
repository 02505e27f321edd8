"""Many sets of heads at once against one at a time with model.disabled, over all families."""

# mypy: disable-error-code="index, union-attr"

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import families
from headscope.ablation import half, stacked
from headscope.ablation import scorer as scoring
from headscope.ablation.any_layers import AnyLayers
from headscope.ablation.bert_layers import BertLayers
from headscope.ablation.bert_parts import BertLayer
from headscope.ablation.forms import OneByOne
from headscope.ablation.layered import Layered
from headscope.ablation.plan import Trunk, Unit
from headscope.ablation.rounding_guard import FACTOR, RoundingGuard
from headscope.ablation.scorer import Scorer
from headscope.ablation.sets import SetResult, parse_sets
from headscope.axes import Head, HeadSet, all_heads, set_name
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.model.encoding import BATCH_TOKENS, Encoded, batches, encode
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.outputs import logits
from headscope.model.precision import Precision
from headscope.model.tap import MODES, Mode

LIKE_BERT = (
    "bert", "roberta", "electra", "xlm-roberta", "camembert", "ernie", "data2vec-text",
    "distilbert", "albert", "mpnet",
)  # fmt: skip
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "auto")
TEXTS = (
    "The nurse thanked the pilot.",
    "No, it was the old pilot who thanked her on that very long day in May!",
    "Ah.",
    "Oh!",
    "The pilot was thanked by the nurse, not by him.",
)
PAIRS = (
    "Not him.",
    "The pilot was thanked.",
    "It was by the nurse that he was thanked, they say, in 1999.",
    "I.",
    "No.",
)


def examples(model: Model, pairs: bool = True) -> Encoded:
    return encode(
        Split(TEXTS, PAIRS if pairs else None, np.zeros(len(TEXTS), dtype=np.int64)),
        model.tokenizer,
    )


def some_sets() -> list[tuple[str, HeadSet]]:
    """Single heads, whole layers, all heads, and random sets that span the layers."""
    layers, heads = families.LAYERS, families.HEADS
    every = all_heads(layers, heads)
    rng = np.random.default_rng(3)
    drawn = [
        frozenset(every[i] for i in rng.choice(len(every), size, replace=False))
        for size in (2, 4, 7, 9)
    ]
    named = [(set_name(one), one) for one in [*drawn, frozenset([Head(1, 2), Head(3, 5)])]]
    single = parse_sets("each", layers, heads)
    return [
        *named,
        *single[::3],
        single[-1],
        *parse_sets("layers", layers, heads),
        ("all", frozenset(every)),
    ]


@pytest.fixture(scope="module", params=list(families.OWN))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(families.make(request.param, tmp_path_factory.mktemp("models") / request.param))


@pytest.fixture
def bert(tiny: Path) -> Model:
    return load(tiny)


def with_means(model: Model, encoded: Encoded) -> Model:
    model.measure_means(encoded.batch(rows) for rows in batches(encoded.lengths, 512))
    return model


def slowly(
    model: Model, encoded: Encoded, heads: HeadSet, mode: Mode, batch_tokens: int = BATCH_TOKENS
) -> SetResult:
    """A set by model.disabled."""
    return OneByOne(model, encoded, mode, batch_tokens, "fp32").score_set("x", heads)


def layered(scorer: Scorer) -> Layered:
    """What a scorer scores with."""
    assert scorer._stacked is not None
    return scorer._stacked.layered


def compare(model: Model, encoded: Encoded, mode: Mode, **options: Any) -> None:
    """Every set's outputs and proof of change equal those of model.disabled."""
    sets = some_sets()
    notes: list[str] = []
    scorer = Scorer(model, encoded, mode, precision="fp32", note=notes.append, **options)
    scored = list(scorer.score(sets))
    assert sorted(one.name for one in scored) == sorted(name for name, _ in sets)
    assert notes == []
    heads = dict(sets)
    for one in scored:
        slow = slowly(model, encoded, heads[one.name], mode)
        np.testing.assert_allclose(
            one.outputs, slow.outputs, atol=2e-5, rtol=2e-5, err_msg=one.name
        )
        assert one.activation_change > 0


@pytest.mark.parametrize("mode", MODES)
def test_equal_to_one_set_at_a_time(model: Model, mode: Mode) -> None:
    encoded = examples(model)
    with_means(model, encoded)
    kind = BertLayers if model.family in LIKE_BERT else AnyLayers
    assert isinstance(layered(Scorer(model, encoded, mode, precision="fp32")), kind)
    compare(model, encoded, mode)


@pytest.mark.parametrize(
    ("mode", "batch_tokens", "memory"),
    [
        ("uniform", 1, 3_000),
        ("mean", 60, 0),
        ("uniform", 300, 0),
        ("zero", 100_000, 3_000),
        ("mean", 100_000, 0),
    ],
)
def test_whatever_the_batches_and_the_memory(
    bert: Model, monkeypatch: pytest.MonkeyPatch, mode: Mode, batch_tokens: int, memory: int
) -> None:
    # Batches with padding, without, of one example, and stacks of one set and of all.
    monkeypatch.setattr(scoring, "CPU_TOKENS", 10**6)
    encoded = examples(bert)
    compare(with_means(bert, encoded), encoded, mode, batch_tokens=batch_tokens, memory=memory)


@pytest.mark.parametrize("unit", [1, 2])
def test_units_are_finished_one_by_one(
    bert: Model, monkeypatch: pytest.MonkeyPatch, unit: int
) -> None:
    monkeypatch.setattr(stacked, "UNIT", unit)
    encoded = examples(bert)
    compare(bert, encoded, "uniform")
    seen: list[str] = []
    sets = parse_sets("each", bert.layers, bert.heads)[::-1]
    original = Scorer.score_unit

    def spied(self: Scorer, unit: Unit) -> list[SetResult]:
        seen.append(unit.sets[0][0])
        return original(self, unit)

    monkeypatch.setattr(Scorer, "score_unit", spied)
    run = Scorer(bert, encoded, "zero").score(sets)
    assert seen == []
    next(run)
    assert seen == ["L1H1"]
    rest = [one.name for one in run]
    assert rest[-1] == "L3H5"
    assert len(rest) == len(sets) - 1


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_what_is_done_is_left_out_and_changes_no_bit_of_the_rest(
    family: str, tmp_path: Path
) -> None:
    model = load(families.make(family, tmp_path / family))
    encoded, sets = examples(model), some_sets()
    scorer = Scorer(model, encoded, precision="fp32")
    whole = {one.name: one for one in scorer.score(sets)}
    done = [name for name, _ in sets[::2]]
    for again in (scorer, Scorer(model, encoded, precision="fp32")):
        rest = list(again.score(sets, done=done))
        assert sorted(one.name for one in rest) == sorted(whole.keys() - set(done))
        for one in rest:
            assert np.array_equal(one.outputs, whole[one.name].outputs)
            assert one.activation_change == whole[one.name].activation_change
        assert list(again.score(sets, done=list(whole))) == []


@pytest.mark.parametrize("labels", [1, 3])
def test_single_sentences_regression_and_classes(tmp_path: Path, labels: int) -> None:
    for family in ("bert", "roberta"):
        model = load(families.make(family, tmp_path / family, labels))
        compare(model, examples(model, pairs=False), "uniform")


def test_the_proof_is_that_of_the_first_batch(bert: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "CPU_TOKENS", 10**6)
    encoded = examples(bert)
    heads = dict(some_sets())
    scorer = Scorer(bert, encoded, batch_tokens=10**6, precision="fp32")
    for one in scorer.score(list(heads.items())):
        expected = slowly(bert, encoded, heads[one.name], "uniform", 10**6).activation_change
        assert one.activation_change == pytest.approx(expected, rel=1e-4)


def test_the_model_is_left_as_it_was(bert: Model) -> None:
    encoded = examples(bert)
    before, weights = logits(bert, encoded), {n: w.clone() for n, w in bert.hf.state_dict().items()}
    run = Scorer(bert, encoded).score(some_sets())
    next(run)
    np.testing.assert_array_equal(logits(bert, encoded), before)
    run.close()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(logits(bert, encoded), before)
    assert not bert.tap.edits
    assert not bert.tap.observers
    assert all(torch.equal(w, weights[n]) for n, w in bert.hf.state_dict().items())
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize(
    ("part", "what"),
    [(BertLayer, "close"), (BertLayers, "_classify"), (BertLayers, "_first_token"),
     (BertLayers, "enter"), (BertLayer, "project"), (BertLayers, "rows")],
)  # fmt: skip
def test_parts_that_do_not_fit_are_noticed(
    bert: Model, monkeypatch: pytest.MonkeyPatch, part: type[Any], what: str
) -> None:
    original = getattr(part, what)

    def wrong(*given: Any, **options: Any) -> Any:
        out = original(*given, **options)
        if isinstance(out, torch.Tensor):
            return out * 1.01
        name = "hidden" if what == "enter" else "output"
        return replace(out, **{name: getattr(out, name) * 1.01})

    monkeypatch.setattr(part, what, wrong)
    encoded, sets = examples(bert), some_sets()[:3]
    scorer = Scorer(bert, encoded, precision="fp32")
    # Its own forward pass is right.
    assert isinstance(layered(scorer), AnyLayers)
    for one in scorer.score(sets):
        slow = slowly(bert, encoded, dict(sets)[one.name], "uniform")
        np.testing.assert_allclose(one.outputs, slow.outputs, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("what", ["advance", "branch", "rows", "_repeated"])
def test_a_form_that_gives_other_outputs_is_not_used(
    bert: Model, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    original = getattr(AnyLayers, what)

    def wrong(*given: Any, **options: Any) -> Any:
        out = original(*given, **options)
        if isinstance(out, torch.Tensor):
            return out * 1.01
        return out if out is None else replace(out, outputs=out.outputs * 1.01)

    monkeypatch.setattr(BertLayers, "fits", lambda _: False)
    monkeypatch.setattr(AnyLayers, what, wrong)
    encoded, sets = examples(bert), some_sets()[:3]
    notes: list[str] = []
    scorer = Scorer(bert, encoded, precision="fp32", note=notes.append)
    for one in scorer.score(sets):
        slow = slowly(bert, encoded, dict(sets)[one.name], "uniform")
        np.testing.assert_array_equal(one.outputs, slow.outputs)
    assert len(notes) == 1
    assert "gives other outputs, by" in notes[0]


def test_parts_that_cannot_be_run_are_noticed(bert: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Layered, *given: Any) -> Any:
        raise TypeError("no such argument")

    monkeypatch.setattr(BertLayers, "enter", broken)
    monkeypatch.setattr(AnyLayers, "enter", broken)
    notes: list[str] = []
    scorer = Scorer(bert, examples(bert), "zero", note=notes.append)
    assert len(list(scorer.score(some_sets()[:2]))) == 2
    assert "cannot be run from one of its layers on (no such argument)" in notes[0]
    # It is said once, however often the scorer is asked.
    list(scorer.score(some_sets()[:2]))
    assert len(notes) == 1


def test_within_a_disabled_context_the_general_path_holds(bert: Model) -> None:
    encoded = examples(bert)
    sets = some_sets()[:2]
    scorer = Scorer(bert, encoded)
    before = list(scorer.score(sets))
    with bert.disabled("L2H2"):
        assert not scorer.is_stacked
        inside = list(scorer.score(sets))
    outside = list(scorer.score(sets))
    assert scorer.is_stacked
    assert not np.allclose(inside[0].outputs, outside[0].outputs, atol=1e-4)
    np.testing.assert_array_equal(before[0].outputs, outside[0].outputs)


def test_other_means_are_not_scored_with_what_was_kept(bert: Model) -> None:
    """Neither a remembered result nor a trunk of lower layers outlives the means it was made with."""
    encoded = examples(bert)
    low, both = frozenset([Head(1, 1)]), frozenset([Head(1, 1), Head(3, 2)])
    sets = [("L1H1", low), ("L1H1,L3H2", both)]
    scorer = Scorer(with_means(bert, encoded), encoded, "mean", precision="fp32")
    before = {one.name: one.outputs for one in scorer.score(sets)}
    bert.measure_means([encoded.batch([0])])
    for after in scorer.score(sets):
        slow = slowly(bert, encoded, dict(sets)[after.name], "mean")
        np.testing.assert_allclose(after.outputs, slow.outputs, atol=2e-5)
        assert np.abs(after.outputs - before[after.name]).max() > 1e-4


def test_wrong_requests_are_refused_at_once(bert: Model) -> None:
    encoded = examples(bert)
    with pytest.raises(HeadscopeError, match="L4H1 does not exist"):
        Scorer(bert, encoded).score([("x", frozenset([Head(4, 1)]))])
    with pytest.raises(HeadscopeError, match="the list of heads is empty"):
        Scorer(bert, encoded).score([("x", frozenset())])
    with pytest.raises(HeadscopeError, match="call model.measure_means"):
        Scorer(bert, encoded, "mean")
    assert list(Scorer(bert, encoded).score([])) == []


def centred(model: Model, encoded: Encoded) -> None:
    """Move the classifier's bias so that half of the examples lie on either side: margins around zero."""
    out = logits(model, encoded)
    hf: Any = model.hf
    hf.classifier.bias.data[1] += float(np.median(out[:, 0] - out[:, 1]))


@pytest.mark.parametrize("first_bound", [None, 1e-9])
def test_auto_predicts_what_float32_predicts(
    bert: Model, monkeypatch: pytest.MonkeyPatch, first_bound: float | None
) -> None:
    monkeypatch.setattr(half, "has_bf16", lambda _: True)
    monkeypatch.setattr(half, "MOST_DOUBTS", 1.0)
    guards: list[RoundingGuard] = []

    def spied(*given: Any) -> RoundingGuard:
        guards.append(RoundingGuard(*given))
        # A bound that is far too low is found out by what is scored twice.
        guards[0].bound = guards[0].bound if first_bound is None else first_bound
        return guards[0]

    monkeypatch.setattr(half, "RoundingGuard", spied)
    encoded = examples(bert)
    centred(bert, encoded)
    sets = some_sets()
    exact, rounded, auto = (
        {one.name: one.outputs for one in Scorer(bert, encoded, precision=precision).score(sets)}
        for precision in PRECISIONS
    )
    assert guards[0].bound > 0
    assert any(np.abs(rounded[name] - exact[name]).max() > 1e-4 for name in exact)
    for name, out in auto.items():
        np.testing.assert_array_equal(out.argmax(1), exact[name].argmax(1), err_msg=name)
        assert np.abs(out - exact[name]).max() <= guards[0].bound


def test_auto_scores_regressions_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(half, "has_bf16", lambda _: True)
    model = load(families.make("bert", tmp_path / "m", 1))
    encoded, sets = examples(model), some_sets()
    auto = Scorer(model, encoded).score(sets)
    exact = Scorer(model, encoded, precision="fp32").score(sets)
    for one, other in zip(auto, exact, strict=True):
        np.testing.assert_array_equal(one.outputs, other.outputs)


def test_the_bound_by_hand() -> None:
    exact = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    guard = RoundingGuard(exact + torch.tensor([[0.01, -0.01], [0.01, 0.01]]), exact)
    assert guard.bound == pytest.approx(FACTOR * 0.02)
    rounded = torch.tensor(
        [[[0.5, 0.45], [3.0, 0.0], [0.5, 0.4]], [[0.5, 0.4], [0.0, 3.0], [0.5, 0.4]]]
    )
    assert guard.doubtful(rounded).tolist() == [[True, False, False], [False] * 3]
    guard.learn(rounded, rounded + torch.tensor([0.05, 0.0]))
    assert guard.bound == pytest.approx(FACTOR * 0.02)
    guard.learn(rounded, rounded + torch.tensor([0.07, 0.0]))
    assert guard.bound == pytest.approx(FACTOR * 0.07)
    assert guard.doubtful(rounded).tolist() == [[True, False, True], [True, False, True]]
    # What is no number, or too large for one, is never beyond doubt.
    assert guard.doubtful(rounded * torch.nan).all()
    infinite = rounded.clone()
    infinite[1, 1, 1] = torch.inf
    assert guard.doubtful(infinite)[1, 1]
    # And it says nothing of the others.
    guard.learn(infinite, rounded)
    assert guard.bound == pytest.approx(FACTOR * 0.07)


def count_calls(model: Model, layer: int) -> list[int]:
    """Counts, from now on, how often the query projection of a layer is called."""
    calls = [0]

    def count(*given: object) -> None:
        calls[0] += 1

    hf: Any = model.hf
    hf.base_model.encoder.layer[layer].attention.self.query.register_forward_hook(count)
    return calls


@pytest.mark.parametrize(("memory", "again"), [(10**9, False), (0, True)])
def test_lower_layers_are_not_run_again_for_other_sets(
    bert: Model, memory: int, again: bool
) -> None:
    encoded = examples(bert)
    scorer = Scorer(bert, encoded, precision="fp32", memory=memory)
    first = list(scorer.score([("L3H1", frozenset([Head(3, 1)]))]))
    lower = [count_calls(bert, 0), count_calls(bert, 1)]
    upper = count_calls(bert, 2)
    second = list(scorer.score([("L3H2", frozenset([Head(3, 2)]))]))
    assert all((calls[0] > 0) == again for calls in lower)
    assert upper[0] > 0
    assert not np.allclose(first[0].outputs, second[0].outputs)


@pytest.mark.parametrize(
    ("memory", "layers_kept"), [(0, None), (10_000, None), (10**9, 1), (10**9, None)]
)
def test_whatever_was_scored_before_and_is_kept(
    bert: Model, memory: int, layers_kept: int | None
) -> None:
    encoded = examples(bert)
    sets = [*parse_sets("each", 3, 5), *some_sets()[:5]]
    expected = {name: slowly(bert, encoded, heads, "uniform") for name, heads in sets}
    options: dict[str, Any] = {"precision": "fp32", "batch_tokens": 120}
    groups = [sets[start : start + size] for size in (1, 3) for start in range(0, 20, size)]
    scorer = Scorer(bert, encoded, memory=memory, layers_kept=layers_kept, **options)
    for number in np.random.default_rng(5).permutation(len(groups)):
        for one in scorer.score(groups[number]):
            slow = expected[one.name]
            np.testing.assert_allclose(one.outputs, slow.outputs, atol=2e-5, rtol=2e-5)
            assert one.activation_change > 0
        kept = kept_states(scorer)
        assert sum(size for _, size in kept) <= memory
    assert bool(kept) == (memory > 0)
    if layers_kept == 1:
        assert scorer._stacked is not None
        assert len(kept) == len(scorer._stacked.states)


def kept_states(scorer: Scorer) -> list[tuple[Trunk, int]]:
    """The trunks whose states a scorer keeps, batch by batch, and how large they are."""
    assert scorer._stacked is not None
    states = scorer._stacked.states
    kept = [item for entry in states._entries for item in entry.states.items()]
    return [(trunk, states.layered.size(state)) for trunk, state in kept]


def test_the_unchanged_model_is_run_once(bert: Model) -> None:
    encoded = examples(bert)
    scorer = Scorer(bert, encoded, precision="fp32")
    calls = count_calls(bert, 0)
    np.testing.assert_array_equal(scorer.unchanged, logits(bert, encoded, precision="fp32"))
    seen = calls[0]
    assert scorer.unchanged is scorer.unchanged
    assert calls[0] == seen
