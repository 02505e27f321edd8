"""Many sets of heads at once against one at a time with model.disabled, over all families."""

# mypy: disable-error-code="index, union-attr"

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import families
from headscope.ablation import effects, variants
from headscope.ablation import encoder as parts
from headscope.ablation.effects import disabled_logits, parse_sets, variant_logits
from headscope.ablation.guard import FACTOR, Guard
from headscope.axes import Head, HeadSet, all_heads, set_name
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.model.attention import MODES, Mode
from headscope.model.encoding import Encoded, batches, encode
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.passes import logits

LIKE_BERT = ("bert", "roberta", "electra", "xlm-roberta", "camembert", "ernie", "data2vec-text")
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


def compare(model: Model, encoded: Encoded, mode: Mode, **options: Any) -> None:
    """Every set's outputs and proof of change equal those of model.disabled."""
    sets = some_sets()
    notes: list[str] = []
    scored = list(
        variant_logits(model, encoded, sets, mode, precision="fp32", note=notes.append, **options)
    )
    assert sorted(one.name for one in scored) == sorted(name for name, _ in sets)
    assert notes == []
    heads = dict(sets)
    for one in scored:
        slow, change = disabled_logits(model, encoded, heads[one.name], mode, precision="fp32")
        np.testing.assert_allclose(one.logits, slow, atol=2e-5, rtol=2e-5, err_msg=one.name)
        assert one.change > 0
        if model.family not in LIKE_BERT:
            assert one.change == change


@pytest.mark.parametrize("mode", MODES)
def test_equal_to_one_set_at_a_time(model: Model, mode: Mode) -> None:
    encoded = examples(model)
    with_means(model, encoded)
    assert (variants.known(model, encoded, mode) is not None) == (model.family in LIKE_BERT)
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
    monkeypatch.setattr(variants, "CPU_TOKENS", 10**6)
    encoded = examples(bert)
    compare(with_means(bert, encoded), encoded, mode, batch_tokens=batch_tokens, memory=memory)


@pytest.mark.parametrize("unit", [1, 2])
def test_units_are_finished_one_by_one(
    bert: Model, monkeypatch: pytest.MonkeyPatch, unit: int
) -> None:
    monkeypatch.setattr(variants, "UNIT", unit)
    encoded = examples(bert)
    compare(bert, encoded, "uniform")
    seen: list[str] = []
    sets = parse_sets("each", bert.layers, bert.heads)[::-1]

    def advance(steps: int = 1, note: str = "") -> None:
        seen.append(note)

    run = variant_logits(bert, encoded, sets, "zero", advance=advance)
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
    whole = {
        one.name: one for one in variant_logits(model, encoded, sets, "uniform", precision="fp32")
    }
    done = [name for name, _ in sets[::2]]
    rest = list(variant_logits(model, encoded, sets, "uniform", precision="fp32", done=done))
    assert sorted(one.name for one in rest) == sorted(whole.keys() - set(done))
    for one in rest:
        assert np.array_equal(one.logits, whole[one.name].logits)
        assert one.change == whole[one.name].change
    assert list(variant_logits(model, encoded, sets, "uniform", done=list(whole))) == []


@pytest.mark.parametrize("labels", [1, 3])
def test_single_sentences_regression_and_classes(tmp_path: Path, labels: int) -> None:
    for family in ("bert", "roberta"):
        model = load(families.make(family, tmp_path / family, labels))
        compare(model, examples(model, pairs=False), "uniform")


def test_the_proof_is_that_of_the_first_batch(bert: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "CPU_TOKENS", 10**6)
    encoded = examples(bert)
    heads = dict(some_sets())
    for one in variant_logits(
        bert, encoded, list(heads.items()), "uniform", batch_tokens=10**6, precision="fp32"
    ):
        expected = disabled_logits(bert, encoded, heads[one.name], "uniform", batch_tokens=10**6)[1]
        assert one.change == pytest.approx(expected, rel=1e-4)


def test_the_model_is_left_as_it_was(bert: Model) -> None:
    encoded = examples(bert)
    before, weights = logits(bert, encoded), {n: w.clone() for n, w in bert.hf.state_dict().items()}
    run = variant_logits(bert, encoded, some_sets(), "uniform")
    next(run)
    np.testing.assert_array_equal(logits(bert, encoded), before)
    run.close()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(logits(bert, encoded), before)
    assert not bert.tap.edits
    assert not bert.tap.observers
    assert all(torch.equal(w, weights[n]) for n, w in bert.hf.state_dict().items())
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("what", ["close", "classify", "_first", "enter"])
def test_parts_that_do_not_fit_are_noticed(
    bert: Model, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    original = getattr(parts.Encoder, what)

    def wrong(self: parts.Encoder, *given: Any) -> Any:
        out = original(self, *given)
        return (
            out * 1.01 if isinstance(out, torch.Tensor) else out._replace(output=out.output * 1.01)
        )

    monkeypatch.setattr(parts.Encoder, what, wrong)
    encoded, sets = examples(bert), some_sets()[:3]
    notes: list[str] = []
    for one in variant_logits(bert, encoded, sets, "uniform", note=notes.append):
        np.testing.assert_array_equal(
            one.logits, disabled_logits(bert, encoded, dict(sets)[one.name], "uniform")[0]
        )
    assert len(notes) == 1
    assert "its outputs differ by" in notes[0]


def test_parts_that_cannot_be_run_are_noticed(bert: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: parts.Encoder, *given: Any) -> Any:
        raise TypeError("no such argument")

    monkeypatch.setattr(parts.Encoder, "enter", broken)
    notes: list[str] = []
    assert (
        len(list(variant_logits(bert, examples(bert), some_sets()[:2], "zero", note=notes.append)))
        == 2
    )
    assert "cannot be run by its parts (no such argument)" in notes[0]


def test_within_a_disabled_context_the_general_path_holds(bert: Model) -> None:
    encoded = examples(bert)
    sets = some_sets()[:2]
    with bert.disabled("L2H2"):
        assert variants.known(bert, encoded, "uniform") is None
        inside = list(variant_logits(bert, encoded, sets, "uniform"))
    outside = list(variant_logits(bert, encoded, sets, "uniform"))
    assert not np.allclose(inside[0].logits, outside[0].logits, atol=1e-4)


def test_wrong_requests_are_refused_at_once(bert: Model) -> None:
    encoded = examples(bert)
    with pytest.raises(HeadscopeError, match="L4H1 does not exist"):
        variant_logits(bert, encoded, [("x", frozenset([Head(4, 1)]))], "uniform")
    with pytest.raises(HeadscopeError, match="the list of heads is empty"):
        variant_logits(bert, encoded, [("x", frozenset())], "uniform")
    with pytest.raises(HeadscopeError, match="call model.measure_means"):
        variant_logits(bert, encoded, some_sets(), "mean")
    assert list(variant_logits(bert, encoded, [], "uniform")) == []


def centred(model: Model, encoded: Encoded) -> None:
    """Move the classifier's bias so that half of the examples lie on either side: margins around zero."""
    out = logits(model, encoded)
    hf: Any = model.hf
    hf.classifier.bias.data[1] += float(np.median(out[:, 0] - out[:, 1]))


@pytest.mark.parametrize("first_bound", [None, 1e-9])
def test_auto_predicts_what_float32_predicts(
    bert: Model, monkeypatch: pytest.MonkeyPatch, first_bound: float | None
) -> None:
    monkeypatch.setattr(effects, "has_bf16", lambda _: True)
    guards: list[Guard] = []

    def spied(*given: Any) -> Guard:
        guards.append(Guard(*given))
        # A bound that is far too low is found out by what is scored twice.
        guards[0].bound = guards[0].bound if first_bound is None else first_bound
        return guards[0]

    monkeypatch.setattr(effects, "Guard", spied)
    encoded = examples(bert)
    centred(bert, encoded)
    sets = some_sets()
    exact = {
        one.name: one.logits
        for one in variant_logits(bert, encoded, sets, "uniform", precision="fp32")
    }
    rounded = {
        one.name: one.logits
        for one in variant_logits(bert, encoded, sets, "uniform", precision="bf16")
    }
    auto = {one.name: one.logits for one in variant_logits(bert, encoded, sets, "uniform")}
    assert guards[0].bound > 0
    assert any(np.abs(rounded[name] - exact[name]).max() > 1e-4 for name in exact)
    for name, out in auto.items():
        np.testing.assert_array_equal(out.argmax(1), exact[name].argmax(1), err_msg=name)
        assert np.abs(out - exact[name]).max() <= guards[0].bound


def test_auto_scores_regressions_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effects, "has_bf16", lambda _: True)
    model = load(families.make("bert", tmp_path / "m", 1))
    encoded, sets = examples(model), some_sets()
    auto = variant_logits(model, encoded, sets, "uniform")
    exact = variant_logits(model, encoded, sets, "uniform", precision="fp32")
    for one, other in zip(auto, exact, strict=True):
        np.testing.assert_array_equal(one.logits, other.logits)


def test_the_bound_by_hand() -> None:
    exact = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    guard = Guard(exact + torch.tensor([[0.01, -0.01], [0.01, 0.01]]), exact)
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
