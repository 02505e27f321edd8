"""Fine-tune an encoder on a task: Devlin et al.'s recipe, batches of like length, resumable to the bit.

AdamW with decoupled decay (none on biases and normalisation), warm-up over the first 10% of the steps, linear decay
to 0, gradients clipped to norm 1 (Devlin et al. 2019, appendix A; paper, section 4.3).
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import safetensors
import torch
from jaxtyping import Int
from safetensors.torch import load_file, save
from torch import Tensor

from headscope.errors import HeadscopeError
from headscope.models import Model
from headscope.precision import Precision, training_autocast
from headscope.progress import Advance, silent
from headscope.tasks.base import Labels, Task
from headscope.tasks.encoding import Encoded

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
    """A learning rate that suits an encoder of this width: 2e-5 at BERT-base's 768, more for smaller ones.

    The paper's grid (2e-5 to 5e-5) is for 768; small encoders are under-trained by it in three epochs
    (docs/decisions.md has the numbers).
    """
    return 2e-5 if hidden >= 768 else 1e-4 if hidden >= 256 else 2e-4


def epoch_batches(lengths: Int[np.ndarray, "example"], recipe: Recipe, epoch: int) -> list[list[int]]:
    """The batches of one epoch, from the seed and the epoch alone: every example once, like lengths together.

    Examples are shuffled, sorted within pools of 32 batches, cut, and the batches shuffled: nearly no padding, and
    nearly the randomness of a full shuffle.
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
    """The learning rate of a step (from 0): up linearly over the warm-up, then down linearly to 0."""
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
    save_every: float = _SAVE_EVERY_SECONDS,
) -> list[float]:
    """Train the model in place; returns the loss of every step that this call made.

    state: a file that holds the run in progress (weights, optimiser, random state, position); a run that finds it
    goes on from there and ends with the same weights as an unbroken one. Written about every `save_every` seconds
    and after Ctrl-C.

    Raises HeadscopeError when the loss is no longer finite; the state keeps the last good step.
    """
    plan = [b for epoch in range(recipe.epochs) for b in epoch_batches(encoded.lengths, recipe, epoch)]
    optimiser = _optimiser(model, recipe)
    target = torch.tensor(labels, dtype=torch.float32 if task.is_regression else torch.long, device=model.hf.device)
    torch.manual_seed(recipe.seed)
    start = _resume(state, model, optimiser, recipe) if state is not None and state.exists() else 0
    if start:
        if on_resume is not None:
            on_resume(start)
        advance(start)
    model.hf.train()
    losses: list[float] = []
    saved = time.monotonic()
    step = start
    try:
        for step in range(start, len(plan)):
            loss = _step(model, task, encoded, target, plan[step], optimiser, recipe, step, len(plan))
            if not np.isfinite(loss):
                raise HeadscopeError(
                    f"training diverged at step {step + 1} of {len(plan)} (the loss is {loss}): "
                    f"take a learning rate under {recipe.lr:g}"
                )
            losses.append(loss)
            advance(1, f"loss {np.mean(losses[-50:]):.3f}")
            if state is not None and time.monotonic() - saved > save_every:
                _save(state, model, optimiser, recipe, step + 1)
                # A big model on a slow disk must not spend its time saving.
                saved = time.monotonic()
    finally:
        model.hf.train(False)
        optimiser.zero_grad(set_to_none=True)
    return losses


def _step(
    model: Model,
    task: Task,
    encoded: Encoded,
    target: Tensor,
    rows: list[int],
    optimiser: torch.optim.AdamW,
    recipe: Recipe,
    step: int,
    steps: int,
) -> float:
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(recipe, step, steps)
    with training_autocast(recipe.precision, model.hf.device):
        out = model.hf(**encoded.batch(rows, model.hf.device)).logits
    if task.is_regression:
        loss = torch.nn.functional.mse_loss(out.float()[:, 0], target[rows])
    else:
        loss = torch.nn.functional.cross_entropy(out.float(), target[rows])
    value = float(loss.detach())
    if np.isfinite(value):
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.hf.parameters(), recipe.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return value


def _save(path: Path, model: Model, optimiser: torch.optim.AdamW, recipe: Recipe, step: int) -> None:
    tensors: dict[str, Tensor] = {"rng": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    for name, parameter in model.hf.named_parameters():
        tensors[f"weight.{name}"] = parameter.detach()
        for key, value in optimiser.state.get(parameter, {}).items():
            tensors[f"{key}.{name}"] = value
    unfinished = path.with_suffix(".tmp")
    unfinished.write_bytes(save(tensors, {"step": str(step), "recipe": repr(asdict(recipe))}))
    unfinished.replace(path)


def _resume(path: Path, model: Model, optimiser: torch.optim.AdamW, recipe: Recipe) -> int:
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    if metadata["recipe"] != repr(asdict(recipe)):
        raise HeadscopeError(f"{path} is the state of a run with another recipe: remove it, or use another --out")
    tensors = load_file(path, device=str(model.hf.device))
    with torch.no_grad():
        for name, parameter in model.hf.named_parameters():
            parameter.copy_(tensors[f"weight.{name}"])
            keys = {k.split(".", 1)[0] for k in tensors if k.endswith(f".{name}")} - {"weight"}
            if keys:
                optimiser.state[parameter] = {
                    # AdamW counts its steps in a tensor on the processor unless it is fused on a GPU.
                    k: tensors[f"{k}.{name}"]
                    for k in sorted(keys)
                    if f"{k}.{name}" in tensors
                }
    torch.set_rng_state(tensors["rng"].cpu())
    if "rng.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["rng.cuda"].cpu())
    return int(metadata["step"])


def save_checkpoint(model: Model, task: Task, folder: Path) -> None:
    """Write a plain Hugging Face folder that `from_pretrained` loads anywhere, with the task's label names."""
    if task.labels:
        model.hf.config.id2label = dict(enumerate(task.labels))
        model.hf.config.label2id = {name: index for index, name in enumerate(task.labels)}
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".saving-") as unfinished:
        try:
            model.hf.save_pretrained(unfinished)
            model.tokenizer.save_pretrained(unfinished)
        except safetensors.SafetensorError as error:
            # The writer in Rust reports a full disk in its own words; the caller expects an OSError.
            raise OSError(f"the checkpoint could not be written: {error}") from error
        # config.json comes last: a folder that has it is whole, also after a kill in the middle of this.
        for file in sorted(Path(unfinished).iterdir(), key=lambda f: f.name == CHECKPOINT_DONE):
            file.replace(folder / file.name)
