"""Fine-tune an encoder on a task, resumable to the bit."""

import ctypes
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from headscope.errors import HeadscopeError
from headscope.examples import Labels
from headscope.model.encoding import Encoded
from headscope.model.model import Model
from headscope.progress import Advance, silent
from headscope.tasks.base import Task
from headscope.tasks.outputs import known_labels
from headscope.training.checkpoint import not_finite
from headscope.training.objective import Objective
from headscope.training.recipe import Batches, Recipe, learning_rate
from headscope.training.state import Position, random_state, resume, save_state, saved_step

_SAVE_EVERY_SECONDS = 60.0
_SHOWN_LOSSES = 50


def check_labels(task: Task, labels: Labels) -> None:
    """Refuse training examples that leave nothing to learn. Answers to questions do not.

    Raises:
        HeadscopeError: They all have the same label.
    """
    if task.of_answers:
        return
    known = known_labels(task, labels)
    if len(known) and bool((known == known[0]).all()):
        label = f"{known[0]:g}" if task.is_regression else repr(task.labels[int(known[0])])
        raise HeadscopeError(
            f"all {len(labels)} training examples of {task.name} have the label {label}, so there "
            "is nothing to learn: give training data with at least two labels, or more of it "
            "with --train-examples"
        )


def train(
    model: Model,
    task: Task,
    encoded: Encoded,
    labels: Labels,
    recipe: Recipe,
    *,
    state: Path | None = None,
    advance: Advance = silent,
    on_resume: Callable[[int], None] | None = None,
    on_split: Callable[[int], None] | None = None,
    save_every: float = _SAVE_EVERY_SECONDS,
) -> list[float]:
    """Train the model in place.

    When a GPU's memory is too small for a batch, this batch and all that follow are computed in
    parts of half the size, and the gradients added up.

    Args:
        model: A model with a classification head.
        task: What it learns.
        encoded: The training examples.
        labels: Their labels, [example].
        recipe: How to train.
        state: A file that holds the run in progress; a run that finds it goes on from there and
            ends with the same weights as an unbroken one.
        advance: Called with every step done, and with the number of steps done before.
        on_resume: Called with the number of steps done before, if there were any.
        on_split: Called with the size of the parts of a batch, also by a run that resumes with it.
        save_every: After how many seconds the state is written, once the weights have given a
            finite loss and gradient on the next batch.

    Returns:
        The loss of every step that this call made.

    Raises:
        HeadscopeError: All labels are the same; the loss, its gradient or the trained weights are
            not finite (the state stays as it was when all was well); or the memory is too small
            for a single example.
    """
    check_labels(task, labels)
    batches = Batches(encoded.lengths, recipe)
    objective = Objective.of(model, task, encoded, labels, recipe.precision)
    optimiser = _optimiser(model, recipe)
    device = model.hf.device
    torch.manual_seed(recipe.seed)
    position = Position(0, recipe.batch_size)
    if state is not None and state.exists():
        position = resume(state, model, optimiser, recipe)
        if position.step:
            if on_resume is not None:
                on_resume(position.step)
            advance(position.step)
        if position.part_size < recipe.batch_size and on_split is not None:
            on_split(position.part_size)
    part_size = position.part_size
    _return_free_memory()
    model.hf.train()
    losses: list[float] = []
    saved = time.monotonic()
    try:
        for step in range(position.step, len(batches)):
            random = random_state(device)
            loss, fitting = objective.add_fitting_gradients(batches[step], part_size)
            if fitting < part_size:
                part_size = fitting
                if on_split is not None:
                    on_split(part_size)
            norm = float(torch.nn.utils.clip_grad_norm_(model.hf.parameters(), recipe.clip))
            if not (np.isfinite(loss) and np.isfinite(norm)):
                what = "its gradient" if np.isfinite(loss) else "the loss"
                raise _diverged(step, len(batches), f"{what} is", recipe, state)
            if state is not None and time.monotonic() - saved > save_every:
                # Before the update: these weights are known to be good.
                save_state(state, model, optimiser, recipe, Position(step, part_size), random)
                _return_free_memory()
                # A big model on a slow disk must not spend its time saving.
                saved = time.monotonic()
            _update(optimiser, learning_rate(recipe, step, len(batches)))
            losses.append(loss)
            advance(1, f"loss {np.mean(losses[-_SHOWN_LOSSES:]):.3f}")
        if not_finite(model) is not None:
            # No step follows whose loss would show it.
            raise _diverged(
                len(batches) - 1, len(batches), "the weights after it are", recipe, state
            )
    finally:
        model.hf.train(False)
        optimiser.zero_grad(set_to_none=True)
    return losses


def _optimiser(model: Model, recipe: Recipe) -> torch.optim.AdamW:
    trained = [parameter for parameter in model.hf.parameters() if parameter.requires_grad]
    # Biases and normalisation weights are the vectors among the parameters.
    matrices = [parameter for parameter in trained if parameter.dim() > 1]
    vectors = [parameter for parameter in trained if parameter.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.999), eps=1e-8, fused=True)


def _update(optimiser: torch.optim.AdamW, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate
    try:
        optimiser.step()
    except torch.OutOfMemoryError:
        raise HeadscopeError(
            "the GPU's memory is too small for the optimiser's moments, which take twice the "
            "room of the weights: take a smaller model, or a GPU with more memory"
        ) from None
    optimiser.zero_grad(set_to_none=True)


def _diverged(
    step: int, steps: int, what: str, recipe: Recipe, state: Path | None
) -> HeadscopeError:
    kept = ""
    if state is not None and state.exists():
        kept = (
            f" ({state} keeps the run as of step {saved_step(state)}; the same command would go on "
            "there and end the same way)"
        )
    return HeadscopeError(
        f"training diverged at step {step + 1} of {steps} ({what} not finite): take a learning "
        f"rate under {recipe.lr:g} with --lr, and another --out or --overwrite{kept}"
    )


def _return_free_memory() -> None:
    """Let glibc return what it holds free: texts being encoded and batches of many shapes leave it
    scattered.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
