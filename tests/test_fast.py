"""Many sets of heads at once against one at a time with model.disabled, over all families."""

# mypy: disable-error-code="index, union-attr"

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import families
from headscope.ablation import scorer as scoring
from headscope.ablation import stacked
from headscope.ablation.bert_layers import BertLayers
from headscope.ablation.forms import OneByOne, Unit
from headscope.ablation.rounding_guard import FACTOR, RoundingGuard
from headscope.ablation.scorer import Scorer, score_together
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

LIKE_BERT = ("bert", "roberta", "electra", "xlm-roberta", "camembert", "ernie", "data2vec-text")
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
        if model.family not in LIKE_BERT:
            assert one.activation_change == slow.activation_change


@pytest.mark.parametrize("mode", MODES)
def test_equal_to_one_set_at_a_time(model: Model, mode: Mode) -> None:
    encoded = examples(model)
    with_means(model, encoded)
    assert Scorer(model, encoded, mode).is_stacked == (model.family in LIKE_BERT)
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
    monkeypatch.setattr(stacked, "CPU_TOKENS", 10**6)
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
    assert seen == ["L1H5"]
    rest = [one.name for one in run]
    assert rest[-1] == "L3H1"
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
    monkeypatch.setattr(stacked, "CPU_TOKENS", 10**6)
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


@pytest.mark.parametrize("what", ["close", "classify", "_first_token", "enter"])
def test_parts_that_do_not_fit_are_noticed(
    bert: Model, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    original = getattr(BertLayers, what)

    def wrong(self: BertLayers, *given: Any) -> Any:
        out = original(self, *given)
        if isinstance(out, torch.Tensor):
            return out * 1.01
        return replace(out, output=out.output * 1.01)

    monkeypatch.setattr(BertLayers, what, wrong)
    encoded, sets = examples(bert), some_sets()[:3]
    notes: list[str] = []
    for one in Scorer(bert, encoded, note=notes.append).score(sets):
        slow = slowly(bert, encoded, dict(sets)[one.name], "uniform")
        np.testing.assert_array_equal(one.outputs, slow.outputs)
    assert len(notes) == 1
    assert "its outputs differ by" in notes[0]


def test_parts_that_cannot_be_run_are_noticed(bert: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: BertLayers, *given: Any) -> Any:
        raise TypeError("no such argument")

    monkeypatch.setattr(BertLayers, "enter", broken)
    notes: list[str] = []
    scorer = Scorer(bert, examples(bert), "zero", note=notes.append)
    assert len(list(scorer.score(some_sets()[:2]))) == 2
    assert "cannot be run by its layers (no such argument)" in notes[0]
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
    monkeypatch.setattr(scoring, "has_bf16", lambda _: True)
    guards: list[RoundingGuard] = []

    def spied(*given: Any) -> RoundingGuard:
        guards.append(RoundingGuard(*given))
        # A bound that is far too low is found out by what is scored twice.
        guards[0].bound = guards[0].bound if first_bound is None else first_bound
        return guards[0]

    monkeypatch.setattr(scoring, "RoundingGuard", spied)
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
    monkeypatch.setattr(scoring, "has_bf16", lambda _: True)
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
    assert guard.doubtful(rounded).tolist() == [True, False, False]
    assert guard.learn(rounded, rounded + torch.tensor([0.05, 0.0]))
    assert not guard.learn(rounded, rounded + torch.tensor([0.07, 0.0]))
    assert guard.bound == pytest.approx(FACTOR * 0.07)
    assert guard.doubtful(rounded).tolist() == [True, False, True]
    # A not-a-number is never beyond doubt.
    assert guard.doubtful(rounded * torch.nan).all()


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
    encoded, sets = examples(bert), parse_sets("each", 3, 5)
    options: dict[str, Any] = {"precision": "fp32", "batch_tokens": 120}
    # One set is scored in other batches than three.
    groups = [sets[start : start + size] for size in (1, 3) for start in range(0, 15, size)]
    fresh = [list(Scorer(bert, encoded, memory=0, **options).score(group)) for group in groups]
    scorer = Scorer(bert, encoded, memory=memory, layers_kept=layers_kept, **options)
    for number in np.random.default_rng(5).permutation(len(groups)):
        for one, other in zip(scorer.score(groups[number]), fresh[number], strict=True):
            np.testing.assert_array_equal(one.outputs, other.outputs)
            assert one.activation_change == other.activation_change
        kept = kept_states(scorer)
        assert sum(states.nbytes for _, states in kept) <= memory
    assert bool(kept) == (memory > 0)
    if memory == 10**9:
        batch_count = sum(len(cut) for cut in scorer_cuts(scorer))
        assert len(kept) == batch_count * (layers_kept or 3)


def scorer_cuts(scorer: Scorer) -> list[list[Any]]:
    """The cuts into batches of which a scorer keeps states."""
    assert scorer._stacked is not None
    return list(scorer._stacked.states._cuts.values())


def kept_states(scorer: Scorer) -> list[tuple[int, torch.Tensor]]:
    """The layers and the states that a scorer keeps."""
    batches = [batch for cut in scorer_cuts(scorer) for batch in cut]
    return [kept for batch in batches for kept in batch.states.items()]


def test_several_scorers_give_the_results_of_one(bert: Model) -> None:
    encoded = examples(bert)
    sets = some_sets()
    one, two, three = (Scorer(bert, encoded, precision="fp32") for _ in range(3))
    expected = {result.name: result for result in one.score(sets)}
    done = [sets[0][0], sets[-1][0]]
    results = list(score_together([two], sets, done=done))
    assert sorted(result.name for result in results) == sorted(expected.keys() - set(done))
    for result in results:
        np.testing.assert_array_equal(result.outputs, expected[result.name].outputs)
    assert list(score_together([two, three], sets, done=list(expected))) == []


def test_the_unchanged_model_is_run_once(bert: Model) -> None:
    encoded = examples(bert)
    scorer = Scorer(bert, encoded, precision="fp32")
    calls = count_calls(bert, 0)
    np.testing.assert_array_equal(scorer.unchanged, logits(bert, encoded, precision="fp32"))
    seen = calls[0]
    assert scorer.unchanged is scorer.unchanged
    assert calls[0] == seen
