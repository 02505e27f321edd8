"""Fine-tune an encoder on a task: Devlin et al.'s recipe, batches of like length, resumable to the
bit.

AdamW with decoupled decay (none on biases and normalisation), warm-up over the first 10% of the
steps, linear decay to 0, gradients clipped to norm 1 (Devlin et al. 2019, appendix A; paper,
section 4.3).
"""

import ctypes
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import safetensors
import torch
from jaxtyping import Int
from safetensors.torch import load_file, save_file
from torch import Tensor

from headscope.errors import HeadscopeError
from headscope.examples import Labels
from headscope.files import move, replacing
from headscope.model.encoding import Encoded
from headscope.model.loading import Model
from headscope.model.precision import Precision, training_autocast
from headscope.progress import Advance, silent
from headscope.tasks.base import Task

CHECKPOINT_DONE = "config.json"
"""The file that is written last into a checkpoint's folder."""
_POOL = 32
_SAVE_EVERY_SECONDS = 60.0


@dataclass(frozen=True)
class Recipe:
    """How to train. `lr` is the peak learning rate; the defaults are Devlin et al.'s."""

    epochs: int = 3
    batch_size: int = 32
    lr: float = 2e-5
    seed: int = 0
    precision: Precision = "auto"
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "lr"):
            if not getattr(self, name) > 0:
                raise HeadscopeError(f"{name} must be larger than 0, got {getattr(self, name)}")


def usual_lr(hidden: int) -> float:
    """A learning rate that suits an encoder of this width: 2e-5 at BERT-base's 768, more for
    smaller ones.

    The paper's grid (2e-5 to 5e-5) is for 768; small encoders are under-trained by it in three
    epochs (docs/decisions.md has the numbers).
    """
    return 2e-5 if hidden >= 768 else 1e-4 if hidden >= 256 else 2e-4


def epoch_batches(
    lengths: Int[np.ndarray, "example"], recipe: Recipe, epoch: int
) -> list[list[int]]:
    """The batches of one epoch, from the seed and the epoch alone: every example once, like lengths
    together.

    Examples are shuffled, sorted within pools of 32 batches, cut, and the batches shuffled: nearly
    no padding, and nearly the randomness of a full shuffle.
    """
    rng = np.random.default_rng([recipe.seed, epoch])
    order = rng.permutation(len(lengths))
    size, pool = recipe.batch_size, recipe.batch_size * _POOL
    batches = []
    for start in range(0, len(order), pool):
        part = order[start : start + pool]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[at : at + size].tolist() for at in range(0, len(part), size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of a step (from 0): up linearly over the warm-up, then down linearly to
    0.
    """
    warmup = round(recipe.warmup * steps)
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    return recipe.lr * (steps - step) / max(1, steps - warmup)


def _optimiser(model: Model, recipe: Recipe) -> torch.optim.AdamW:
    named = [(n, p) for n, p in model.hf.named_parameters() if p.requires_grad]
    # Biases and normalisation weights are the vectors among the parameters.
    groups = [
        {"params": [p for _, p in named if p.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for _, p in named if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.999), eps=1e-8, fused=True)


def check_labels(task: Task, labels: Labels) -> None:
    """Raises HeadscopeError when all training examples have the same label: there is nothing to
    learn.
    """
    if len(labels) and bool((labels == labels[0]).all()):
        label = f"{labels[0]:g}" if task.is_regression else repr(task.labels[int(labels[0])])
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
    """Train the model in place; returns the loss of every step that this call made.

    state: a file that holds the run in progress (weights, optimiser, random state, position); a run
    that finds it goes on from there and ends with the same weights as an unbroken one. Written
    about every `save_every` seconds, once the weights have given a finite loss and gradient on the
    next batch.

    When a GPU's memory is too small for a batch, this batch and all that follow are computed in
    parts of half the size, and the gradients added up; `on_split` is called with that size, also by
    a run that resumes with it.

    Raises HeadscopeError when all labels are the same, when the loss or its gradient is no longer
    finite (the state stays as it was when all was well), and when the memory is too small for a
    single example.
    """
    check_labels(task, labels)
    plan = [
        b for epoch in range(recipe.epochs) for b in epoch_batches(encoded.lengths, recipe, epoch)
    ]
    optimiser = _optimiser(model, recipe)
    device = model.hf.device
    target = torch.tensor(
        labels, dtype=torch.float32 if task.is_regression else torch.long, device=device
    )
    torch.manual_seed(recipe.seed)
    start, size = 0, recipe.batch_size
    if state is not None and state.exists():
        start, size = _resume(state, model, optimiser, recipe)
        if start:
            if on_resume is not None:
                on_resume(start)
            advance(start)
        if size < recipe.batch_size and on_split is not None:
            on_split(size)
    _give_back_memory()
    model.hf.train()
    losses: list[float] = []
    saved = time.monotonic()
    try:
        for step in range(start, len(plan)):
            random_state = _random_state(device)
            loss, smaller = _fitting_gradients(
                model, task, encoded, target, plan[step], recipe, size
            )
            if smaller < size:
                size = smaller
                if on_split is not None:
                    on_split(size)
            norm = float(torch.nn.utils.clip_grad_norm_(model.hf.parameters(), recipe.clip))
            if not (np.isfinite(loss) and np.isfinite(norm)):
                raise _diverged(step, len(plan), loss, recipe, state)
            if state is not None and time.monotonic() - saved > save_every:
                # Before the update: these weights are known to be good.
                _save(state, model, optimiser, recipe, step, size, random_state)
                _give_back_memory()
                # A big model on a slow disk must not spend its time saving.
                saved = time.monotonic()
            _update(optimiser, learning_rate(recipe, step, len(plan)))
            losses.append(loss)
            advance(1, f"loss {np.mean(losses[-50:]):.3f}")
    finally:
        model.hf.train(False)
        optimiser.zero_grad(set_to_none=True)
    return losses


def _fitting_gradients(
    model: Model,
    task: Task,
    encoded: Encoded,
    target: Tensor,
    rows: list[int],
    recipe: Recipe,
    size: int,
) -> tuple[float, int]:
    """As `_gradients`, in parts of at most `size` or of the size that the memory lets pass; returns
    that size too.
    """
    random_state = _random_state(model.hf.device)
    while True:
        try:
            return _gradients(model, task, encoded, target, rows, recipe, size), size
        except torch.OutOfMemoryError:
            if min(size, len(rows)) == 1:
                raise HeadscopeError(
                    f"the GPU's memory is too small to train {model.name} on a single example of "
                    f"{encoded.lengths[rows].max()} tokens: take a smaller --max-length, a "
                    "smaller model, or a GPU with more memory"
                ) from None
        # Out of the handler, whose traceback would keep what the failed pass had allocated.
        size = (min(size, len(rows)) + 1) // 2
        model.hf.zero_grad(set_to_none=True)
        if model.hf.device.type == "cuda":
            torch.cuda.empty_cache()
        _set_random_state(random_state)


def _gradients(
    model: Model,
    task: Task,
    encoded: Encoded,
    target: Tensor,
    rows: list[int],
    recipe: Recipe,
    size: int,
) -> float:
    """Add the gradient of the mean loss over `rows` to that of the parameters, in parts of at most
    `size` rows.

    Returns the loss.
    """
    total = 0.0
    for at in range(0, len(rows), size):
        part = rows[at : at + size]
        with training_autocast(recipe.precision, model.hf.device):
            out = model.hf(**encoded.batch(part, model.hf.device)).logits
        if task.is_regression:
            loss = torch.nn.functional.mse_loss(out.float()[:, 0], target[part])
        else:
            loss = torch.nn.functional.cross_entropy(out.float(), target[part])
        loss = loss * (len(part) / len(rows))
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    return total


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
    step: int, steps: int, loss: float, recipe: Recipe, state: Path | None
) -> HeadscopeError:
    what = "its gradient" if np.isfinite(loss) else "the loss"
    kept = ""
    if state is not None and state.exists():
        with safetensors.safe_open(state, "pt") as file:
            good = file.metadata()["step"]
        kept = f" ({state} keeps the run as of step {good}; the same command would go on there and end the same way)"
    return HeadscopeError(
        f"training diverged at step {step + 1} of {steps} ({what} is not finite): take a learning "
        f"rate under {recipe.lr:g} with --lr, and another --out or --overwrite{kept}"
    )


def _random_state(device: torch.device) -> dict[str, Tensor]:
    state = {"rng": torch.get_rng_state()}
    if device.type == "cuda":
        state["rng.cuda"] = torch.cuda.get_rng_state(device)
    return state


def _set_random_state(state: dict[str, Tensor]) -> None:
    torch.set_rng_state(state["rng"].cpu())
    if "rng.cuda" in state:
        torch.cuda.set_rng_state(state["rng.cuda"].cpu())


def _save(
    path: Path,
    model: Model,
    optimiser: torch.optim.AdamW,
    recipe: Recipe,
    step: int,
    size: int,
    random_state: dict[str, Tensor],
) -> None:
    tensors = dict(random_state)
    for name, parameter in model.hf.named_parameters():
        tensors[f"weight.{name}"] = parameter.detach()
        for key, value in optimiser.state.get(parameter, {}).items():
            tensors[f"{key}.{name}"] = value
    about = {"step": str(step), "recipe": repr(asdict(recipe)), "part": str(size)}
    with replacing(path) as unfinished:
        try:
            # Straight from the tensors: bytes in between would take the state's size twice over.
            save_file(tensors, unfinished, about)
        except safetensors.SafetensorError as error:
            raise OSError(f"the state of the training could not be written: {error}") from error


def _resume(
    path: Path, model: Model, optimiser: torch.optim.AdamW, recipe: Recipe
) -> tuple[int, int]:
    """Take up the state in `path`; returns how many steps were done, and the size of the parts of a
    batch.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata()
        tensors = load_file(path, device=str(model.hf.device))
    except safetensors.SafetensorError as error:
        raise HeadscopeError(
            f"the state of the training in {path} is damaged ({error}): remove it"
        ) from error
    if metadata["recipe"] != repr(asdict(recipe)):
        raise HeadscopeError(
            f"{path} is the state of a run with another recipe: remove it, or use another --out"
        )
    with torch.no_grad():
        for name, parameter in model.hf.named_parameters():
            parameter.copy_(tensors[f"weight.{name}"])
            keys = {k.split(".", 1)[0] for k in tensors if k.endswith(f".{name}")} - {"weight"}
            if keys:
                optimiser.state[parameter] = {
                    # AdamW counts its steps in a tensor on the processor unless it is fused on a
                    # GPU.
                    k: tensors[f"{k}.{name}"]
                    for k in sorted(keys)
                    if f"{k}.{name}" in tensors
                }
    _set_random_state({name: tensors[name] for name in ("rng", "rng.cuda") if name in tensors})
    return int(metadata["step"]), int(metadata.get("part", recipe.batch_size))


def _give_back_memory() -> None:
    """Let glibc return what it holds free: texts being encoded and batches of many shapes leave it
    scattered.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def save_checkpoint(model: Model, task: Task, folder: Path) -> None:
    """Write a plain Hugging Face folder that `from_pretrained` loads anywhere, with the task's
    label names.
    """
    if task.labels:
        model.hf.config.id2label = dict(enumerate(task.labels))
        model.hf.config.label2id = {name: index for index, name in enumerate(task.labels)}
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".saving-") as unfinished:
        try:
            model.hf.save_pretrained(unfinished)
            model.tokenizer.save_pretrained(unfinished)
        except safetensors.SafetensorError as error:
            # The writer in Rust reports a full disk in its own words; the caller expects an
            # OSError.
            raise OSError(f"the checkpoint could not be written: {error}") from error
        # config.json comes last: a folder that has it is whole, also after a kill in the middle of
        # this.
        for file in sorted(Path(unfinished).iterdir(), key=lambda f: f.name == CHECKPOINT_DONE):
            move(file, folder / file.name)
