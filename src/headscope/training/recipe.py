"""Devlin et al.'s recipe: what is trained in which order, and how fast.

AdamW with decoupled decay (none on biases and normalisation), warm-up over the first 10% of the
steps, linear decay to 0, gradients clipped to norm 1 (Devlin et al. 2019, appendix A; Kovaleva et
al. 2019, section 4.3).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from headscope.errors import HeadscopeError
from headscope.model.precision import Precision

_POOLED_BATCHES = 32


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are Devlin et al.'s.

    Attributes:
        epochs: How often every example is seen.
        batch_size: How many examples a step takes.
        lr: The peak learning rate.
        seed: Random seed of the order of examples and of dropout.
        precision: Which number format to compute in.
        warmup: Over which fraction of the steps the learning rate rises.
        weight_decay: How much of a matrix decays at a step, times the learning rate.
        clip: The largest norm of a gradient.
    """

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
            value = getattr(self, name)
            if not value > 0:
                raise HeadscopeError(f"{name} must be larger than 0, got {value}")


def usual_lr(hidden: int) -> float:
    """A learning rate that suits an encoder of this width: 2e-5 at BERT-base's 768, more for
    smaller ones.

    The paper's grid (2e-5 to 5e-5) is for 768; small encoders are under-trained by it in three
    epochs (docs/decisions.md has the numbers).

    >>> usual_lr(768), usual_lr(384), usual_lr(128)
    (2e-05, 0.0001, 0.0002)
    """
    if hidden >= 768:
        return 2e-5
    return 1e-4 if hidden >= 256 else 2e-4


def epoch_batches(
    lengths: Int[np.ndarray, " example"], recipe: Recipe, epoch: int
) -> list[list[int]]:
    """The batches of one epoch, from the seed and the epoch alone: every example once, like lengths
    together.

    Examples are shuffled, sorted within pools of 32 batches, cut, and the batches shuffled: nearly
    no padding, and nearly the randomness of a full shuffle.

    Args:
        lengths: Tokens per example.
        recipe: Gives the batch size and the seed.
        epoch: Which epoch, from 0.

    Returns:
        The indices of the examples, batch by batch.
    """
    rng = np.random.default_rng([recipe.seed, epoch])
    order = rng.permutation(len(lengths))
    pool_size = recipe.batch_size * _POOLED_BATCHES
    batches: list[list[int]] = []
    for pool_start in range(0, len(order), pool_size):
        pool = order[pool_start : pool_start + pool_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        for start in range(0, len(pool), recipe.batch_size):
            batches.append(pool[start : start + recipe.batch_size].tolist())
    return [batches[i] for i in rng.permutation(len(batches))]


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of a step (from 0): up linearly over the warm-up, then down linearly to
    0.
    """
    warmup = round(recipe.warmup * steps)
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    return recipe.lr * (steps - step) / max(1, steps - warmup)


class Batches:
    """The batches of a training, those of an epoch made when the first of them is asked for.

    Args:
        lengths: Tokens per example.
        recipe: Gives the number of epochs, the batch size and the seed.
    """

    def __init__(self, lengths: Int[np.ndarray, " example"], recipe: Recipe) -> None:
        self._lengths, self._recipe = lengths, recipe
        self._per_epoch = -(-len(lengths) // recipe.batch_size)
        self._epoch, self._batches = -1, list[list[int]]()

    def __len__(self) -> int:
        return self._per_epoch * self._recipe.epochs

    def __getitem__(self, step: int) -> list[int]:
        """The indices of the examples of a step, from 0."""
        epoch, index = divmod(step, self._per_epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, epoch_batches(self._lengths, self._recipe, epoch)
        return self._batches[index]
