"""A model run from one of its layers on: what runs, what is kept, what half precision leaves in doubt."""

# mypy: disable-error-code="no-untyped-call"

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import families
import zoo
from family_checks import FIRST, SECOND
from headscope.ablation import bert_layers, half, stacked
from headscope.ablation.any_layers import AnyLayers
from headscope.ablation.bert_layers import BertLayers
from headscope.ablation.checked import depends_on_padding
from headscope.ablation.forms import OneByOne
from headscope.ablation.layered import Batch, Layered, Picked, Removed
from headscope.ablation.rounding_guard import RoundingGuard
from headscope.ablation.scorer import Scorer
from headscope.ablation.sets import parse_sets
from headscope.axes import Head, HeadSet, all_heads
from headscope.examples import Split
from headscope.model.encoding import Encoded, encode
from headscope.model.halved import halved
from headscope.model.layers import layer_modules
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.precision import Precision
from headscope.model.tap import Mode

# By its own layers, with relative positions, with one module for all layers; by its own pass with
# rotated positions and local windows, with a tuple of biases, pooled by the mean.
FAMILIES = ("bert", "mpnet", "albert", "modernbert", "deberta-v2", "esm")


def encoded(model: Model) -> Encoded:
    return encode(
        Split(tuple(FIRST * 3), tuple(SECOND * 3), np.zeros(9, np.int64)), model.tokenizer
    )


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(zoo.folder_of(request.param, tmp_path_factory.mktemp(request.param)))


@pytest.fixture
def any_model(tmp_path: Path) -> Model:
    return load(families.make("modernbert", tmp_path))


@pytest.fixture
def half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half, "has_bf16", lambda _: True)
    monkeypatch.setattr(half, "MOST_DOUBTS", 1.0)


def some_sets(model: Model) -> list[tuple[str, HeadSet]]:
    every = list(all_heads(model.layers, model.heads))
    rng = np.random.default_rng(1)
    drawn = []
    for number in range(10):
        chosen = rng.choice(len(every), int(rng.integers(2, 9)), replace=False)
        drawn.append((f"drawn {number}", frozenset(every[row] for row in chosen)))
    return [*drawn, *parse_sets("each", model.layers, model.heads)[::2]]


def by_the_model(model: Model, data: Encoded, mode: Mode, heads: HeadSet) -> np.ndarray[Any, Any]:
    return OneByOne(model, data, mode, 64, "fp32").score_set("x", heads).outputs


@contextmanager
def runs(model: Model) -> Iterator[list[int]]:
    """Counts how often each layer runs: the first linear layer within it."""
    by_layer = [0] * model.layers

    hooks = []
    for layer, module in enumerate(model.layer_modules):
        inner = next(part for part in module.modules() if isinstance(part, nn.Linear))

        def hook(*_: Any, layer: int = layer) -> None:
            by_layer[layer] += 1

        hooks.append(inner.register_forward_hook(hook))
    yield by_layer
    for one in hooks:
        one.remove()


@pytest.mark.usefixtures("half_precision")
@pytest.mark.parametrize("mode", ["uniform", "mean"])
def test_half_precision_predicts_what_the_model_predicts(model: Model, mode: Mode) -> None:
    data = encoded(model)
    model.measure_means([data.batch(range(len(data)))])
    scorer = Scorer(model, data, mode, batch_tokens=64)
    results = list(scorer.score(some_sets(model)))
    assert scorer._stacked is not None
    precise = scorer._stacked.precise
    assert precise is not None
    apart = 0.0
    for one in results:
        expected = by_the_model(model, data, mode, one.heads)
        np.testing.assert_array_equal(one.outputs.argmax(1), expected.argmax(1))
        apart = max(apart, float(np.abs(one.outputs - expected).max()))
    # Something was rounded, and no more than the guard allows.
    assert 1e-5 < apart <= precise.guard.bound


@pytest.mark.usefixtures("half_precision")
@pytest.mark.parametrize("precision", ["auto", "bf16"])
@pytest.mark.parametrize("mode", ["uniform", "mean"])
@pytest.mark.parametrize("family", ["bert", "mpnet"])
def test_all_in_half_precision_as_on_a_gpu(
    family: str, mode: Mode, precision: Precision, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is added up from layer to layer has the format of the products as well."""
    monkeypatch.setattr(bert_layers, "stream_format", lambda _, dtype: dtype)
    monkeypatch.setattr(half, "formats", lambda _: (torch.float16,))
    model = load(zoo.folder_of(family, tmp_path))
    data = encoded(model)
    model.measure_means([data.batch(range(len(data)))])
    notes: list[str] = []
    scorer = Scorer(model, data, mode, batch_tokens=64, precision=precision, note=notes.append)
    results = list(scorer.score(some_sets(model)))
    form = scorer._stacked
    assert form is not None
    assert isinstance(form.layered, BertLayers)
    half_format = torch.float16 if precision == "auto" else torch.bfloat16
    assert form.layered.stream == half_format
    assert notes == []
    apart = []
    for one in results:
        expected = by_the_model(model, data, mode, one.heads)
        apart.append(float(np.abs(one.outputs - expected).max()))
        if precision == "auto":
            np.testing.assert_array_equal(one.outputs.argmax(1), expected.argmax(1))
    # float16 has eight times the precision of bfloat16.
    assert 1e-5 < np.median(apart) < (0.02 if precision == "auto" else 0.3)


def test_a_search_that_asks_again_and_again(model: Model) -> None:
    """Growing sets, one after the other and several together, in any memory."""
    data = encoded(model)
    every = list(all_heads(model.layers, model.heads))
    rng = np.random.default_rng(7)
    for memory in (0, 20_000, 10**9):
        scorer = Scorer(model, data, precision="fp32", batch_tokens=64, memory=memory)
        now: HeadSet = frozenset()
        for size in (1, 4, 2, 5):
            left = [head for head in every if head not in now]
            picked = rng.choice(len(left), size, replace=False)
            asked = [(str(left[row]), now | {left[row]}) for row in picked]
            for one in scorer.score(asked):
                expected = by_the_model(model, data, "uniform", one.heads)
                np.testing.assert_allclose(one.outputs, expected, atol=1e-4, rtol=1e-4)
            now = asked[0][1]


def test_layers_below_the_first_difference_run_once(any_model: Model) -> None:
    data = encoded(any_model)
    scorer = Scorer(any_model, data, precision="fp32", batch_tokens=64)
    # Whatever is tried at the start is tried now.
    list(scorer.score(parse_sets("L1H1", 3, 5)))
    assert scorer._stacked is not None
    batches = len(scorer._stacked.states)
    with runs(any_model) as by_layer:
        list(scorer.score(parse_sets("L3H1;L3H2;L3H3,L3H4", 3, 5)))
    # Once for all sets below the third layer, and in the third for all of a batch at once.
    assert by_layer[0] == by_layer[1] == batches
    with runs(any_model) as by_layer:
        list(scorer.score(parse_sets("L3H5", 3, 5)))
    assert by_layer[:2] == [0, 0]
    assert by_layer[2] == batches


@pytest.mark.parametrize("family", ["bert", "mpnet"])
@torch.inference_mode()
def test_examples_of_several_batches_go_together(family: str, tmp_path: Path) -> None:
    model = load(zoo.folder_of(family, tmp_path))
    data = encoded(model)
    layered = BertLayers(model, "zero")
    order = np.argsort(data.lengths, kind="stable")
    cut = [
        Batch.of(data, rows, model.hf.device) for rows in (order[:3].tolist(), order[3:].tolist())
    ]
    assert cut[0].real.shape[1] != cut[1].real.shape[1]
    heads: list[HeadSet] = [frozenset([Head(2, 1)]), frozenset([Head(2, 3), Head(3, 2)])]
    picked, sets, expected = [], [], []
    for batch, examples in zip(cut, ([2, 0, 0], [5, 1]), strict=True):
        state = layered.advance(layered.enter(batch), batch, 0, 1)
        picked.append(Picked(state, batch, torch.tensor(examples)))
        for number, example in enumerate(examples):
            sets.append(heads[number % 2])
            row = batch.rows[example]
            expected.append(by_the_model(model, data, "zero", heads[number % 2])[row])
    outputs = layered.rows(picked, 1, Removed.of(sets, model))
    np.testing.assert_allclose(outputs.numpy(), np.array(expected), atol=2e-5)


@pytest.mark.usefixtures("half_precision")
def test_only_what_is_in_doubt_is_scored_again(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(model)
    again = 0
    kind: type[Layered] = BertLayers if Scorer(model, data).way == "layers" else AnyLayers
    original = kind.rows

    def counted(self: Layered, picked: Any, start: int, removed: Removed) -> Tensor:
        nonlocal again
        again += len(removed)
        return original(self, picked, start, removed)

    scorer = Scorer(model, data, batch_tokens=64)
    assert scorer._stacked is not None
    precise = scorer._stacked.precise
    assert precise is not None
    monkeypatch.setattr(kind, "rows", counted)
    results = list(scorer.score(some_sets(model)))
    margins = np.concatenate([np.abs(np.diff(one.outputs[:, :2], axis=1)) for one in results])
    pairs = len(results) * len(data)
    assert again < pairs
    # Beside the first batch of every unit, which is scored in float32 as a whole.
    assert again <= (margins <= 2 * precise.guard.bound).sum() + pairs // 4


@pytest.mark.usefixtures("half_precision")
def test_numbers_too_large_for_a_format_lead_to_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = load(families.make("bert", tmp_path))
    monkeypatch.setattr(half, "formats", lambda _: (torch.float16, torch.bfloat16))
    parts: Any = model.hf.base_model
    # What the first layer puts into its activation is beyond float16, and within bfloat16.
    parts.encoder.layer[0].intermediate.dense.bias.data[0] = 1e5
    notes: list[str] = []
    data = encoded(model)
    scorer = Scorer(model, data, note=notes.append)
    results = list(scorer.score(some_sets(model)))
    assert any("too large for float16" in note for note in notes)
    for one in results:
        expected = by_the_model(model, data, "uniform", one.heads)
        np.testing.assert_array_equal(one.outputs.argmax(1), expected.argmax(1))


@pytest.mark.parametrize("precision", ["auto", "bf16"])
@pytest.mark.usefixtures("half_precision")
def test_a_model_that_cannot_be_run_in_half_precision_is_scored_all_the_same(
    any_model: Model, monkeypatch: pytest.MonkeyPatch, precision: Any
) -> None:
    def broken(self: AnyLayers, dtype: torch.dtype) -> AnyLayers:
        raise RuntimeError(f"no kernel for {dtype}")

    monkeypatch.setattr(AnyLayers, "rounded", broken)
    notes: list[str] = []
    data = encoded(any_model)
    scorer = Scorer(any_model, data, precision=precision, note=notes.append)
    assert scorer.way == ("passes" if precision == "auto" else "whole")
    for one in scorer.score(some_sets(any_model)[:3]):
        expected = by_the_model(any_model, data, "uniform", one.heads)
        np.testing.assert_allclose(one.outputs, expected, atol=1e-4 if precision == "auto" else 0.2)
    assert "cannot be run in bfloat16 (no kernel for torch.bfloat16)" in notes[0]


def test_half_precision_that_doubts_most_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(half, "has_bf16", lambda _: True)
    monkeypatch.setattr(half, "MOST_DOUBTS", -1.0)
    model = load(families.make("bert", tmp_path))
    notes: list[str] = []
    scorer = Scorer(model, encoded(model), note=notes.append)
    list(scorer.score(some_sets(model)))
    assert scorer._stacked is not None
    assert scorer._stacked.precise is None
    assert "bfloat16 leaves" in notes[0]


@pytest.mark.parametrize("family", ["bert", "modernbert"])
@torch.inference_mode()
def test_half_precision_counts_the_tokens_of_long_texts(family: str, tmp_path: Path) -> None:
    """bfloat16 knows no number between 256 and 258: the mean over 257 tokens is of 257."""
    model = load(zoo.folder_of(family, tmp_path, max_position_embeddings=512))
    token = model.tokenizer("a")["input_ids"][0]
    columns = {
        "input_ids": torch.full((1, 257), token),
        "attention_mask": torch.ones(1, 257).long(),
    }
    batch = Batch(rows=[0], columns=columns, real=columns["attention_mask"].bool(), is_padded=False)
    kind = BertLayers if family == "bert" else AnyLayers
    exact = kind(model, "uniform")
    counted: list[Tensor] = []
    original = torch.Tensor.sum

    def counting(tensor: Tensor, *given: Any, **options: Any) -> Tensor:
        total = original(tensor, *given, **options)
        if tensor.dtype == torch.bool:
            counted.append(total)
        return total

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "sum", counting)
        removed = Removed.of([frozenset(all_heads(model.layers, model.heads))], model)
        half_layers = exact.rounded(torch.bfloat16)
        half_layers.branch(exact.enter(batch), batch, 0, removed, stack_tokens=300, measure=False)
    assert counted
    assert all(bool((count == 257).all()) for count in counted)


def test_a_copy_in_half_precision_leaves_the_model_as_it_is(model: Model) -> None:
    before = {name: tensor.clone() for name, tensor in model.hf.state_dict().items()}
    copied = halved(model, torch.bfloat16)
    dtypes = {parameter.dtype for parameter in copied.parameters()}
    assert dtypes == {torch.bfloat16}
    after = model.hf.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    # The copy is tapped by the same tap.
    data = encoded(model)
    layers: list[int] = []
    with torch.no_grad(), model.observed(lambda call: layers.append(call.layer)):
        copied(**data.batch([0]))
    assert layers == list(range(model.layers))


def test_a_model_whose_layers_read_more_than_the_one_below_is_run_whole(tmp_path: Path) -> None:
    model = load(families.make("modernbert", tmp_path))
    states: list[Tensor] = []
    first, last = model.layer_modules[0], model.layer_modules[2]
    inner = next(part for part in first.modules() if isinstance(part, nn.Linear))
    inner.register_forward_hook(lambda _m, _i, output: states.append(output[..., :1]))
    last.register_forward_hook(
        lambda _m, _i, output: torch.cat(
            [output[..., :1] + states[-1][: len(output)], output[..., 1:]], -1
        )
    )
    notes: list[str] = []
    # In the batches of `by_the_model`: in others a processor may add in another order.
    scorer = Scorer(model, encoded(model), batch_tokens=64, precision="fp32", note=notes.append)
    assert scorer.way == "whole"
    assert len(notes) == 1
    for one in scorer.score(some_sets(model)[:3]):
        expected = by_the_model(model, encoded(model), "uniform", one.heads)
        np.testing.assert_array_equal(one.outputs, expected)


def test_outputs_that_depend_on_the_padding_are_those_of_the_model(tmp_path: Path) -> None:
    model = load(zoo.folder_of("convbert", tmp_path))
    data = encoded(model)
    assert depends_on_padding(AnyLayers(model, "zero"), data)
    notes: list[str] = []
    scorer = Scorer(model, data, batch_tokens=64, precision="fp32", note=notes.append)
    for one in scorer.score(some_sets(model)[:4]):
        expected = by_the_model(model, data, "uniform", one.heads)
        np.testing.assert_array_equal(one.outputs, expected)
    assert "other numbers for a text with padding beside it" in notes[0]


def test_whoever_observes_sees_every_layer(any_model: Model) -> None:
    scorer = Scorer(any_model, encoded(any_model), precision="fp32")
    last = parse_sets("L3H1", 3, 5)
    list(scorer.score(last))
    layers: list[int] = []
    with any_model.observed(lambda call: layers.append(call.layer)):
        list(scorer.score(last))
    assert sorted(set(layers)) == [0, 1, 2]
    # And a head that somebody else disables counts.
    with any_model.disabled("L1H1,L1H2,L1H3", "zero"):
        (edited,) = scorer.score(last)
    (alone,) = scorer.score(last)
    assert not np.array_equal(edited.outputs, alone.outputs)


def test_layers_are_found_also_where_they_share_a_module(tmp_path: Path) -> None:
    model = load(families.make("albert", tmp_path))
    modules = layer_modules(model.hf, model.tap, model.tokenizer)
    assert len(modules) == model.layers
    assert len(set(map(id, modules))) == 1


@pytest.mark.usefixtures("half_precision")
def test_a_bound_that_rises_late_holds_for_every_batch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = load(zoo.folder_of("bert", tmp_path))
    monkeypatch.setattr(stacked, "BLOCK", 1)
    scorer = Scorer(model, encoded(model), batch_tokens=64)
    assert scorer._stacked is not None
    precise = scorer._stacked.precise
    assert precise is not None
    learn, run = RoundingGuard.learn, stacked._Scoring.run

    def rising(self: RoundingGuard, *given: Tensor) -> None:
        learn(self, *given)
        # Whatever is scored again shows a somewhat larger error.
        self.bound *= 1.05

    left: list[int] = []

    def watched(self: stacked._Scoring) -> None:
        run(self)
        for outputs, exact in zip(self._outputs, self._exact, strict=True):
            left.append(int((precise.guard.doubtful(outputs) & ~exact).sum()))

    monkeypatch.setattr(RoundingGuard, "learn", rising)
    monkeypatch.setattr(stacked._Scoring, "run", watched)
    for factor in (1, 4, 16, 64):
        precise.guard.bound = factor * 1e-3
        scorer._scored.clear()
        list(scorer.score(some_sets(model)))
    assert len(left) > 8
    assert sum(left) == 0


def test_what_is_in_a_block_is_scored_as_by_itself(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, sets = encoded(model), some_sets(model)
    whole = {one.name: one.outputs for one in Scorer(model, data, batch_tokens=32).score(sets)}
    monkeypatch.setattr(stacked, "BLOCK", 1)
    for one in Scorer(model, data, batch_tokens=32).score(sets):
        np.testing.assert_array_equal(one.outputs.argmax(1), whole[one.name].argmax(1))
