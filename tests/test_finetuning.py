"""Training: the plan covers everything once, a killed run ends with the same weights, and divergence is said."""

# mypy: disable-error-code="arg-type"

import doctest
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import families
from headscope import cli
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.model.encoding import Encoded, encode
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.tasks import find
from headscope.tasks.base import Task
from headscope.training import recipe
from headscope.training.checkpoint import save_checkpoint
from headscope.training.loop import _optimiser, check_labels, train
from headscope.training.objective import Objective
from headscope.training.recipe import Batches, Recipe, epoch_batches, learning_rate, usual_lr
from headscope.training.state import resume

TASK = find("sst2")
SPLIT = Split(
    tuple(f"{'not ' * (i % 2)}the nurse thanked{' him' * (i % 7)}." for i in range(53)),
    None,
    np.arange(53, dtype=np.int64) % 2,
)


@given(
    st.lists(st.integers(3, 90), min_size=1, max_size=200), st.integers(1, 17), st.integers(0, 3)
)
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


def test_doctests() -> None:
    found = doctest.testmod(recipe)
    assert found.attempted
    assert not found.failed


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
        train(
            broken, TASK, encoded, SPLIT.labels, recipe, state=state, advance=kill, save_every=0.0
        )
    again, encoded = fresh(tiny)
    resumed: list[int] = []
    rest = train(
        again,
        TASK,
        encoded,
        SPLIT.labels,
        recipe,
        state=state,
        on_resume=resumed.append,
        save_every=0.0,
    )
    # The step in flight when it was killed had not been saved.
    assert resumed == ([at - 1] if at > 1 else [])
    assert rest == losses[at - 1 :]
    for (name, one), two in zip(
        whole.hf.state_dict().items(), again.hf.state_dict().values(), strict=True
    ):
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
        HeadscopeError,
        match=r"training diverged at step \d+ of 21 .*: take a learning rate under 1e\+20",
    ):
        train(model, TASK, encoded, SPLIT.labels, Recipe(batch_size=8, lr=1e20, precision="fp32"))
    assert not model.hf.training


def test_training_learns_and_the_checkpoint_loads_anywhere(tiny: Path, tmp_path: Path) -> None:
    model, encoded = fresh(tiny)
    losses = train(
        model,
        TASK,
        encoded,
        SPLIT.labels,
        Recipe(epochs=20, batch_size=16, lr=5e-3, precision="fp32"),
    )
    assert np.mean(losses[-4:]) < 0.3 * np.mean(losses[:4])
    save_checkpoint(model, TASK, tmp_path / "checkpoint")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "checkpoint").eval()
    assert plain.config.id2label == {0: "negative", 1: "positive"}
    assert plain.config._attn_implementation == "sdpa"
    batch = AutoTokenizer.from_pretrained(tmp_path / "checkpoint")(
        list(SPLIT.first), padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        torch.testing.assert_close(
            plain(**batch).logits, model.hf(**batch).logits, atol=1e-5, rtol=1e-5
        )


def test_decay_spares_vectors(tiny: Path) -> None:
    model = load(tiny)
    decayed, spared = _optimiser(model, Recipe()).param_groups
    names = {id(p): n for n, p in model.hf.named_parameters()}
    assert decayed["weight_decay"] == 0.01
    assert spared["weight_decay"] == 0.0
    assert all(
        n.endswith("bias") or "LayerNorm" in n for n in (names[id(p)] for p in spared["params"])
    )
    assert not any(
        n.endswith("bias") or "LayerNorm" in n for n in (names[id(p)] for p in decayed["params"])
    )


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch_size": -1}, {"lr": 0.0}])
def test_a_recipe_that_makes_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(HeadscopeError, match="must be larger than 0"):
        Recipe(**wrong)


def test_families_have_a_regression_too(tmp_path: Path) -> None:
    stsb = find("stsb")
    model = load(families.make("distilbert", tmp_path / "model", labels=1), labels=1)
    scores = Split(SPLIT.first, None, np.linspace(0, 5, len(SPLIT)))
    losses = train(
        model,
        stsb,
        encode(scores, model.tokenizer),
        scores.labels,
        Recipe(epochs=2, precision="fp32"),
    )
    assert np.isfinite(losses).all()


def step_of(state: Path) -> int:
    with safetensors.safe_open(state, "pt") as file:
        return int(file.metadata()["step"])


@pytest.mark.parametrize(
    ("what", "bad"), [("the loss", np.nan), ("the loss", np.inf), ("its gradient", np.inf)]
)
def test_a_diverged_run_keeps_the_last_good_state_and_ends_the_same_way_again(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, bad: float
) -> None:
    recipe = Recipe(batch_size=8, lr=3e-3, precision="fp32")
    state = tmp_path / "state.safetensors"
    passes = 0
    as_it_is = Objective.add_gradients

    def broken(self: Objective, rows: list[int], part_size: int) -> float:
        nonlocal passes
        passes += 1
        loss = as_it_is(self, rows, part_size)
        # From the tenth step on, as after an update that was too large: also when a second run comes there.
        if passes < 10:
            return loss
        if what == "the loss":
            return bad
        next(self.model.hf.parameters()).grad[0, 0] = bad  # type: ignore[index]
        return loss

    monkeypatch.setattr(Objective, "add_gradients", broken)
    model, encoded = fresh(tiny)
    sentence = (
        rf"training diverged at step 10 of 21 \({what} is not finite\): take a learning rate under 0.003 with --lr, and "
        rf"another --out or --overwrite \({state} keeps the run as of step 8; the same command would go on there and"
    )
    with pytest.raises(HeadscopeError, match=sentence):
        train(model, TASK, encoded, SPLIT.labels, recipe, state=state, save_every=0.0)
    assert step_of(state) == 8
    kept = load_file(state)
    # The same command again makes the one step that was good, and ends with the same words.
    passes = 8
    again, _ = fresh(tiny)
    with pytest.raises(HeadscopeError, match=sentence):
        train(again, TASK, encoded, SPLIT.labels, recipe, state=state, save_every=0.0)
    assert passes == 10
    assert all(torch.equal(tensor, kept[name]) for name, tensor in load_file(state).items())
    # What was kept is a run that goes on well where nothing is wrong.
    monkeypatch.setattr(Objective, "add_gradients", as_it_is)
    healed, _ = fresh(tiny)
    assert len(train(healed, TASK, encoded, SPLIT.labels, recipe, state=state)) == 13


def test_no_state_is_saved_of_weights_that_were_not_tried(tiny: Path, tmp_path: Path) -> None:
    model, encoded = fresh(tiny)
    state = tmp_path / "state.safetensors"
    with pytest.raises(HeadscopeError, match="training diverged"):
        train(
            model,
            TASK,
            encoded,
            SPLIT.labels,
            Recipe(lr=1e20, precision="fp32"),
            state=state,
            save_every=0.0,
        )
    other, _ = fresh(tiny)
    resume(state, other, _optimiser(other, Recipe()), Recipe(lr=1e20, precision="fp32"))
    assert all(bool(p.isfinite().all()) for p in other.hf.parameters())


@pytest.mark.parametrize(("task", "labels"), [("sst2", 2), ("stsb", 1)])
@pytest.mark.parametrize("size", [1, 3, 7, 12, 13])
def test_the_gradient_of_the_parts_is_that_of_the_whole(
    tmp_path: Path, task: str, labels: int, size: int
) -> None:
    calm = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = load(families.make("bert", tmp_path / "model", labels, **calm), labels=labels)
    model.hf.train().double()
    encoded = encode(SPLIT, model.tokenizer)
    rows = list(range(4, 17))
    target = torch.tensor(SPLIT.labels, dtype=torch.float if labels == 1 else torch.long)
    found = []
    for parts in (len(rows), size):
        model.hf.zero_grad()
        objective = Objective(model, encoded, target, find(task), "fp32")
        loss = objective.add_gradients(rows, parts)
        found.append(
            (
                loss,
                {n: p.grad.clone() for n, p in model.hf.named_parameters() if p.grad is not None},
            )
        )
    (loss, whole), (same, summed) = found
    assert same == pytest.approx(loss, rel=1e-6)
    assert whole.keys() == summed.keys()
    for name in whole:
        # The loss is taken in float32.
        torch.testing.assert_close(summed[name], whole[name], rtol=1e-4, atol=1e-6, msg=name)


def small_memory(model: Model, rows: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the model's passes fail that have more than `rows` examples; returns the sizes of all passes."""
    seen: list[int] = []
    as_it_is = model.hf.forward

    def forward(**batch: Any) -> Any:
        seen.append(len(batch["input_ids"]))
        out = as_it_is(**batch)
        if len(batch["input_ids"]) > rows:
            torch.rand(3)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return out

    monkeypatch.setattr(model.hf, "forward", forward)
    return seen


def test_a_batch_that_does_not_fit_is_halved_and_said(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(epochs=2, batch_size=16, lr=3e-3, precision="fp32")
    one, encoded = fresh(tiny)
    seen, said = small_memory(one, 5, monkeypatch), list[int]()
    losses = train(one, TASK, encoded, SPLIT.labels, recipe, on_split=said.append)
    assert len(losses) == 8
    # It is halved until it fits, once for the whole run; every example is then seen once an epoch.
    fitting = [rows for rows in seen if rows <= 5]
    assert sum(fitting) == 2 * len(SPLIT)
    assert len(said) == 1
    assert said[0] in (3, 4, 5)
    assert seen.index(fitting[0]) == len(seen) - len(fitting)
    # A killed run goes on with the parts that it had, to the same weights.
    state = tmp_path / "state.safetensors"
    two, _ = fresh(tiny)
    small_memory(two, 5, monkeypatch)

    def kill(count: float = 1, note: str = "") -> None:
        if note and step_of(state) == 4:
            raise Killed

    with pytest.raises(Killed):
        train(two, TASK, encoded, SPLIT.labels, recipe, state=state, advance=kill, save_every=0.0)
    three, _ = fresh(tiny)
    seen, again = small_memory(three, 5, monkeypatch), list[int]()
    rest = train(three, TASK, encoded, SPLIT.labels, recipe, state=state, on_split=again.append)
    assert rest == losses[4:]
    assert max(seen) <= 5
    assert again == said[-1:]
    for (name, weight), other in zip(
        one.hf.state_dict().items(), three.hf.state_dict().values(), strict=True
    ):
        assert torch.equal(weight, other), name


def test_a_memory_too_small_for_one_example_is_said(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, encoded = fresh(tiny)
    small_memory(model, 0, monkeypatch)
    with pytest.raises(
        HeadscopeError,
        match=r"too small to train .* on a single example of \d+ tokens: take a smaller",
    ):
        train(model, TASK, encoded, SPLIT.labels, Recipe(precision="fp32"))
    assert not model.hf.training


def test_a_memory_too_small_for_the_optimiser_is_said(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch.optim.AdamW, "step", fail)
    model, encoded = fresh(tiny)
    with pytest.raises(HeadscopeError, match="too small for the optimiser's moments"):
        train(model, TASK, encoded, SPLIT.labels, Recipe(precision="fp32"))


@pytest.mark.parametrize(
    ("task", "label", "named"),
    [(TASK, 1, "'positive'"), (TASK, 0, "'negative'"), (find("stsb"), 2.5, "2.5")],
)
def test_one_label_in_train_is_refused(task: Task, label: float, named: str) -> None:
    labels = np.full(9, label, np.float64 if task.is_regression else np.int64)
    sentence = f"all 9 training examples of {task.name} have the label {named}, so there is nothing to learn: give"
    with pytest.raises(HeadscopeError, match=sentence):
        check_labels(task, labels)
    labels[3] -= 1 if label else -1
    check_labels(task, labels)


def test_one_label_in_train_is_exit_code_2(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "task.toml").write_text('columns = ["one"]\nlabels = ["no", "yes"]')
    for name, labels in (("train", (1, 1, 1)), ("validation", (0, 1, 1))):
        rows = (f'{{"one": "the nurse", "label": {label}}}' for label in labels)
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
    arguments = [
        "finetune",
        "--model",
        str(tiny),
        "--task",
        str(folder),
        "--out",
        str(tmp_path / "run"),
        "--quiet",
    ]
    assert cli.run(arguments) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert (
        "all 3 training examples of task have the label 'yes', so there is nothing to learn"
        in sentence
    )
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_damaged_state_is_said(tiny: Path, tmp_path: Path) -> None:
    model, encoded = fresh(tiny)
    state = tmp_path / "state.safetensors"
    state.write_bytes(b"")
    with pytest.raises(HeadscopeError, match="is damaged .*: remove it"):
        train(model, TASK, encoded, SPLIT.labels, Recipe(), state=state)


def test_batches_of_an_epoch_are_made_when_they_are_asked_for() -> None:
    recipe = Recipe(epochs=10**6, batch_size=4, seed=3)
    lengths = np.arange(10) % 7 + 3
    batches = Batches(lengths, recipe)
    assert len(batches) == 3 * 10**6
    for epoch in (0, 1, 999_999, 1):
        wanted = epoch_batches(lengths, recipe, epoch)
        assert [batches[3 * epoch + index] for index in range(3)] == wanted
