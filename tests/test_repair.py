"""Output projections fitted again: the closed form, laws that it must keep, and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import removals
import zoo
from families import HEAD_SIZE
from headscope.errors import HeadscopeError
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.removal import Removal
from headscope.model.tap import Call
from headscope.pruning.full import write_full
from headscope.pruning.repair import refit
from headscope.pruning.small import write_small
from removals import MODES, SETS, TASK, TEXTS, outputs

MORE = [
    *TEXTS,
    "not by it, in the nurse?",
    "the pilots thanked 3 nurses, who was on it!",
    "a b c d e f g h",
]


@pytest.fixture
def bert(tmp_path: Path) -> Model:
    return removals.model_of("bert", tmp_path)


def batches(model: Model) -> list[dict[str, Tensor]]:
    return [removals.batch_of(model, MORE[:3]), removals.batch_of(model, MORE[3:])]


def distance(model: Model, removal: Removal, whole: Tensor) -> float:
    return float((outputs(model, removal) - whole).square().mean())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", ["bert", "distilbert", "mpnet", "modernbert"])
def test_a_repaired_model_is_nearer_and_is_written(family: str, mode: Any, tmp_path: Path) -> None:
    model = removals.model_of(family, tmp_path)
    before = {name: tensor.clone() for name, tensor in model.hf.state_dict().items()}
    removal = Removal.of(model, SETS["some"], mode)
    repair = refit(model, removal, batches(model))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.hf.state_dict().items())
    assert all(new <= old + 1e-12 for new, old in zip(repair.after, repair.before, strict=True))
    assert repair.after[0] < repair.before[0]
    hash_before = load(model.path, device="cpu").hash
    with repair.applied(model):
        repaired = outputs(model, removal)
        assert model.hash == hash_before
    for writer, name in ((write_small, "small"), (write_full, "full")):
        if name == "full" and mode == "uniform" and family in ("mpnet", "modernbert"):
            continue
        written = writer(model, removal, TASK, tmp_path / name, repair=repair)
        assert torch.allclose(outputs(load(written.folder, device="cpu")), repaired, atol=1e-5)
        text = (written.folder / "README.md").read_text()
        assert "were fitted again, by least squares" in text
        assert f"on {repair.tokens:,} tokens" in text
    assert (repaired - outputs(model, removal)).abs().max() > 1e-3
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.hf.state_dict().items())


def test_a_head_that_has_a_double_is_made_up_for(bert: Model) -> None:
    """The head that stays puts out the same, so its projection can do the work of both."""
    attention: Any = bert.layer_modules[1].get_submodule("attention.self")
    with torch.no_grad():
        for linear in (attention.query, attention.key, attention.value):
            linear.weight[HEAD_SIZE : 2 * HEAD_SIZE] = linear.weight[:HEAD_SIZE]
            linear.bias[HEAD_SIZE : 2 * HEAD_SIZE] = linear.bias[:HEAD_SIZE]
    whole = outputs(bert)
    removal = Removal.of(bert, "L2H2", "zero")
    assert distance(bert, removal, whole) > 1e-3
    with refit(bert, removal, batches(bert), ridge=1e-9).applied(bert):
        assert distance(bert, removal, whole) < 1e-6


def states(model: Model) -> list[Tensor]:
    seen: list[Tensor] = []

    def look(call: Call) -> None:
        if call.layer == 0:
            seen.append(call.output[call.real].flatten(1))

    with torch.no_grad(), model.observed(look):
        for batch in batches(model):
            model.hf(**batch)
    return seen


def test_the_first_layer_is_the_least_squares_solution(bert: Model) -> None:
    """Against numpy's, over the real tokens of all batches."""
    heads = torch.cat(states(bert)).double().numpy()
    linear = bert.output_layers[0]
    target = heads @ linear.weight.detach().double().numpy().T
    kept = np.r_[0:HEAD_SIZE, 2 * HEAD_SIZE : 5 * HEAD_SIZE]
    design = np.column_stack([heads[:, kept], np.ones(len(heads))])
    solution, residuals, *_ = np.linalg.lstsq(design, target, rcond=None)
    repair = refit(bert, Removal.of(bert, "L1H2", "zero"), batches(bert), ridge=1e-12)
    assert repair.tokens == len(heads)
    weight = repair.projections[0].weight.double().numpy()
    assert np.allclose(weight[:, kept].T, solution[:-1], atol=1e-3)
    # A removed head keeps its weights, which nothing reads.
    gone = slice(HEAD_SIZE, 2 * HEAD_SIZE)
    assert np.array_equal(weight[:, gone], linear.weight.detach().double().numpy()[:, gone])
    constant = repair.projections[0].bias
    assert constant is not None
    found = constant.double().numpy() - linear.bias.detach().double().numpy()
    assert np.allclose(found, solution[-1], atol=1e-3)
    assert np.isclose(repair.after[0], residuals.sum() / np.square(target).sum(), rtol=1e-4)


def test_a_strong_ridge_leaves_the_weights(bert: Model) -> None:
    """Only the constant is not drawn."""
    repair = refit(bert, Removal.of(bert, "L1H2", "zero"), batches(bert), ridge=1e9)
    for projection, linear in zip(repair.projections, bert.output_layers, strict=True):
        assert torch.allclose(projection.weight, linear.weight, atol=1e-5)


def test_drift_is_made_up_for_above_the_removed_head(bert: Model) -> None:
    removal = Removal.of(bert, "L1H2", "zero")
    without = refit(bert, removal, batches(bert), drift=0.0)
    made_up = refit(bert, removal, batches(bert), drift=1.0)
    # Nothing has drifted below the first layer.
    assert torch.equal(without.projections[0].weight, made_up.projections[0].weight)
    assert not torch.equal(without.projections[1].weight, made_up.projections[1].weight)


def test_what_cannot_be_repaired_is_refused(bert: Model, tmp_path: Path) -> None:
    with pytest.raises(HeadscopeError, match="needs at least one batch of examples, got none"):
        refit(bert, Removal.of(bert, "L1H1", "zero"), [])
    albert = load(zoo.folder_of("albert", tmp_path), device="cpu")
    with pytest.raises(HeadscopeError, match="no output projection of its own in every layer"):
        refit(albert, Removal.of(albert, "L1H1", "zero"), batches(albert))
