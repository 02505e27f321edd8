"""What a task makes of a model's outputs: predictions, the loss; and what the majority scores."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from headscope.examples import Labels
from headscope.model.token_marks import IGNORED
from headscope.model.token_scores import classes_of_tokens, mean_losses, second_halves
from headscope.stats.metrics import NO_LABEL
from headscope.tasks.base import Task

Logits = npt.NDArray[np.float32]


def predictions(task: Task, logits: Logits) -> Labels:
    """The class with the largest of the outputs [example, output], or the score; of tokens the
    classes that the outputs themselves say (`model.token_scores`), [example, token], and of
    questions how right the answers are (`model.windows`), [example, question].
    """
    if task.of_answers:
        return second_halves(logits)
    if task.of_tokens:
        return classes_of_tokens(logits)
    if task.is_regression:
        return np.asarray(logits[:, 0], dtype=np.float64)
    return np.asarray(logits.argmax(1), dtype=np.int64)


def majority(task: Task, train: Labels, labels: Labels) -> Labels:
    """Predictions of a model that has learnt nothing but the labels of the training data: the
    commonest class, or the mean score.

    Of cosines all metrics see only that they are the same, for which no training data are needed.

    Args:
        task: Says which of the two.
        train: The labels of the training data.
        labels: The true labels of what is predicted: where tokens are scored, they say where.
    """
    if task.is_similarity:
        return np.zeros(len(labels))
    if task.is_regression:
        return np.full(len(labels), train.mean())
    commonest = np.bincount(known_labels(task, train).astype(np.int64)).argmax()
    return np.where(labels == NO_LABEL, NO_LABEL, commonest)


def known_labels(task: Task, labels: Labels) -> Labels:
    """Labels or predictions without what fills up the rows of tokens, in one row."""
    return labels[labels != NO_LABEL] if task.of_tokens else labels


def targets(task: Task, labels: Labels, device: torch.device) -> Tensor:
    """Labels as the loss takes them, [example]."""
    dtype = torch.float32 if task.is_regression else torch.long
    return torch.tensor(labels, dtype=dtype, device=device)


def training_loss(
    task: Task,
    logits: Float[Tensor, "example *token output"],
    target: Tensor,
    reduction: Literal["none", "mean", "sum"],
) -> Tensor:
    """What training minimises: cross entropy in nats, or the squared error of a score.

    Args:
        task: Says which of the two.
        logits: Outputs in the precision in which the loss is to be computed.
        target: What `targets` gives, [example]; of tokens [example, token], `IGNORED` where none is
            scored.
        reduction: Of the losses of the examples.

    Returns:
        [example] without a reduction (of tokens, all of them in a row), else a scalar.
    """
    if task.is_regression:
        return torch.nn.functional.mse_loss(logits[:, 0], target, reduction=reduction)
    if task.of_tokens:
        by_token = logits.flatten(0, 1)
        return torch.nn.functional.cross_entropy(
            by_token, target.flatten(), ignore_index=IGNORED, reduction=reduction
        )
    return torch.nn.functional.cross_entropy(logits, target, reduction=reduction)


def losses(task: Task, labels: Labels, logits: Logits) -> npt.NDArray[np.float64]:
    """The loss of every example [example] from outputs [example, output], in double precision.

    Of a similarity it is the squared distance of the label, scaled to 0 to 1 by the task's limits,
    from the rising line through the cosines that fits the labels of these examples best: a cosine
    ranks pairs, and where it begins and how far it is spread differs between models and is seen by
    no metric. Its mean is (1 - r^2) times the variance of the labels, with Pearson's r of cosines
    and labels, or 0 where that is negative. It is the same for two classes, of which one is 1. Of
    tokens the loss is the mean over those of the example.
    """
    if task.of_tokens:
        return mean_losses(logits)
    if task.is_similarity:
        lowest, highest = task.limits
        scaled = (labels.astype(np.float64) - lowest) / (highest - lowest)
        return _around_a_line(logits[:, 0].astype(np.float64), scaled)
    outputs = torch.tensor(logits, dtype=torch.float64)
    return training_loss(task, outputs, torch.tensor(labels), "none").numpy()


def _around_a_line(
    cosines: Float[np.ndarray, " pair"], labels: Float[np.ndarray, " pair"]
) -> Float[np.ndarray, " pair"]:
    """The squared distances of labels from the rising line of least squares through cosines."""
    moved = cosines - cosines.mean()
    apart = labels - labels.mean()
    spread = moved @ moved
    slope = max(0.0, moved @ apart / spread) if spread > 0 else 0.0
    return np.asarray((apart - slope * moved) ** 2)
