"""Training: the plan covers everything once, a killed run ends with the same weights, and divergence is said."""

# mypy: disable-error-code="arg-type"

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import families
from headscope.errors import HeadscopeError
from headscope.finetuning import Recipe, epoch_batches, learning_rate, save_checkpoint, train, usual_lr
from headscope.models import Model, load
from headscope.tasks import find
from headscope.tasks.base import Split
from headscope.tasks.encoding import Encoded, encode

TASK = find("sst2")
SPLIT = Split(
    tuple(f"{'not ' * (i % 2)}the nurse thanked{' him' * (i % 7)}." for i in range(53)),
    None,
    np.arange(53, dtype=np.int64) % 2,
)


@given(st.lists(st.integers(3, 90), min_size=1, max_size=200), st.integers(1, 17), st.integers(0, 3))
def test_an_epoch_takes_every_example_once(lengths: list[int], size: int, epoch: int) -> None:
    recipe = Recipe(batch_size=size)
    plan = epoch_batches(np.array(lengths), recipe, epoch)
    assert sorted(itertools.chain(*plan)) == list(range(len(lengths)))
    assert max(map(len, plan)) <= size
    assert plan == epoch_batches(np.array(lengths), recipe, epoch)


def test_epochs_and_seeds_differ_and_batches_have_like_lengths() -> None:
    lengths = np.random.default_rng(0).integers(5, 100, 1000)
    plan = epoch_batches(lengths, Recipe(), 0)
    assert plan != epoch_batches(lengths, Recipe(), 1)
    assert plan != epoch_batches(lengths, Recipe(seed=1), 0)
    padded = sum(len(b) * lengths[b].max() for b in plan)
    assert padded / lengths.sum() < 1.06


def test_the_learning_rate_by_hand() -> None:
    recipe = Recipe(lr=1.0)
    rates = [learning_rate(recipe, step, 20) for step in range(20)]
    assert rates[:3] == pytest.approx([0.5, 1.0, 1.0])
    assert rates[-1] == pytest.approx(1 / 18)
    assert max(rates) == 1.0
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert (usual_lr(768), usual_lr(384)) == (2e-5, 1e-4)


def fresh(folder: Path) -> tuple[Model, Encoded]:
    model = load(folder)
    return model, encode(SPLIT, model.tokenizer)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", [1, 5, 11])
def test_a_killed_run_ends_with_the_same_weights(tiny: Path, tmp_path: Path, at: int) -> None:
    recipe = Recipe(batch_size=8, lr=3e-3, precision="fp32")
    whole, encoded = fresh(tiny)
    losses = train(whole, TASK, encoded, SPLIT.labels, recipe)
    assert len(losses) == 21
    steps = 0

    def kill(count: float = 1, note: str = "") -> None:
        nonlocal steps
        steps += int(count)
        if steps == at:
            raise Killed

    broken, encoded = fresh(tiny)
    state = tmp_path / "state.safetensors"
    with pytest.raises(Killed):
        train(broken, TASK, encoded, SPLIT.labels, recipe, state=state, advance=kill, save_every=0.0)
    again, encoded = fresh(tiny)
    resumed: list[int] = []
    rest = train(again, TASK, encoded, SPLIT.labels, recipe, state=state, on_resume=resumed.append, save_every=0.0)
    # The step in flight when it was killed had not been saved.
    assert resumed == ([at - 1] if at > 1 else [])
    assert rest == losses[at - 1 :]
    for (name, one), two in zip(whole.hf.state_dict().items(), again.hf.state_dict().values(), strict=True):
        assert torch.equal(one, two), name


def test_a_state_of_another_recipe_is_refused(tiny: Path, tmp_path: Path) -> None:
    model, encoded = fresh(tiny)
    state = tmp_path / "state.safetensors"
    train(model, TASK, encoded, SPLIT.labels, Recipe(epochs=1), state=state, save_every=0.0)
    with pytest.raises(HeadscopeError, match="another recipe"):
        train(model, TASK, encoded, SPLIT.labels, Recipe(epochs=2), state=state)


def test_divergence_is_said(tiny: Path) -> None:
    model, encoded = fresh(tiny)
    with pytest.raises(
        HeadscopeError, match=r"training diverged at step \d+ of 21 .*: take a learning rate under 1e\+20"
    ):
        train(model, TASK, encoded, SPLIT.labels, Recipe(batch_size=8, lr=1e20, precision="fp32"))
    assert not model.hf.training


def test_training_learns_and_the_checkpoint_loads_anywhere(tiny: Path, tmp_path: Path) -> None:
    model, encoded = fresh(tiny)
    losses = train(model, TASK, encoded, SPLIT.labels, Recipe(epochs=20, batch_size=16, lr=5e-3, precision="fp32"))
    assert np.mean(losses[-4:]) < 0.3 * np.mean(losses[:4])
    save_checkpoint(model, TASK, tmp_path / "checkpoint")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "checkpoint").eval()
    assert plain.config.id2label == {0: "negative", 1: "positive"}
    assert plain.config._attn_implementation == "sdpa"
    batch = AutoTokenizer.from_pretrained(tmp_path / "checkpoint")(list(SPLIT.first), padding=True, return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(plain(**batch).logits, model.hf(**batch).logits, atol=1e-5, rtol=1e-5)


def test_decay_spares_vectors(tiny: Path) -> None:
    from headscope.finetuning import _optimiser

    model = load(tiny)
    decayed, spared = _optimiser(model, Recipe()).param_groups
    names = {id(p): n for n, p in model.hf.named_parameters()}
    assert decayed["weight_decay"] == 0.01
    assert spared["weight_decay"] == 0.0
    assert all(n.endswith("bias") or "LayerNorm" in n for n in (names[id(p)] for p in spared["params"]))
    assert not any(n.endswith("bias") or "LayerNorm" in n for n in (names[id(p)] for p in decayed["params"]))


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch_size": -1}, {"lr": 0.0}])
def test_a_recipe_that_makes_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(HeadscopeError, match="must be larger than 0"):
        Recipe(**wrong)


def test_families_have_a_regression_too(tmp_path: Path) -> None:
    stsb = find("stsb")
    model = load(families.make("distilbert", tmp_path / "model", labels=1), labels=1)
    scores = Split(SPLIT.first, None, np.linspace(0, 5, len(SPLIT)))
    losses = train(model, stsb, encode(scores, model.tokenizer), scores.labels, Recipe(epochs=2, precision="fp32"))
    assert np.isfinite(losses).all()
