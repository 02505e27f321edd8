"""Gradient importance: how much the loss feels each head (Michel et al. 2019, section 5).

I_h is the mean over examples of |sum over tokens and d of z_h * dL/dz_h|, with z_h the head's
output before the output projection. It equals |dL/dg_h| for a gate g_h = 1 that multiplies the
head's output: a first-order guess of what disabling the head costs, for the price of one backward
pass for all heads together.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headscope.errors import HeadscopeError
from headscope.examples import Labels
from headscope.measures.base import Moments, MomentSums
from headscope.model.budget import OF_ALL_LAYERS, fitting_tokens
from headscope.model.encoding import Encoded
from headscope.model.model import Model
from headscope.model.passes import EncoderPass
from headscope.model.precision import Precision, scoring_autocast
from headscope.model.resuming import Schedule, unfinished
from headscope.model.tap import Call
from headscope.progress import Advance, silent
from headscope.tasks.base import Task
from headscope.tasks.outputs import targets, training_loss

IMPORTANCE = "gradient_importance"
Table = Float[np.ndarray, "layer head"]


@dataclass(frozen=True, eq=False)
class ImportancePass(EncoderPass):
    """The pass in which the gradients of heads are looked at. `of` makes one.

    Attributes:
        task: Says which loss.
        labels: The true labels of the examples.
        runs_head: The loss is that of the head.
    """

    task: Task
    labels: Labels
    runs_head: ClassVar[bool] = True

    @classmethod
    def of(
        cls,
        model: Model,
        task: Task,
        encoded: Encoded,
        labels: Labels,
        *,
        batch_tokens: int | None = None,
        precision: Precision = "auto",
    ) -> "ImportancePass":
        """The pass of a model.

        Raises:
            HeadscopeError: As `gradient_importance`.
        """
        _check(model, task, encoded, labels)
        # What generates data may be of a module that other processes do not have.
        sent = replace(task, generate=None)
        tokens = fitting_tokens(model, batch_tokens, OF_ALL_LAYERS)
        return cls(encoded, model.layers, model.heads, tokens, precision, sent, labels)

    def observers(self) -> list[MomentSums]:
        """What adds up the importance of every head, the only observer."""
        return [MomentSums([IMPORTANCE], self.layers, self.heads)]

    def run(
        self,
        models: Sequence[Model],
        observers: Sequence[MomentSums],
        schedule: Schedule | None,
        advance: Advance,
    ) -> None:
        """Pass the examples forward and the gradients of their losses back to the heads."""
        (model,), (sums,) = models, observers
        device = model.hf.device
        target = targets(self.task, self.labels, device)
        with _frozen(model), torch.inference_mode(False), torch.enable_grad():
            for rows in unfinished(self.batches, observers, schedule, advance):
                inputs = self.encoded.batch(rows, device)
                self._add(model, inputs, target[rows], sums)
                advance(len(rows))

    def _add(
        self, model: Model, inputs: dict[str, Tensor], target: Tensor, sums: MomentSums
    ) -> None:
        """Add the importance of all heads for the examples of a batch."""
        outputs = _HeadOutputs()
        with model.observed(outputs.keep), scoring_autocast(self.precision, model.hf.device):
            logits = model.hf(**inputs).logits.float()
        loss = training_loss(self.task, logits, target, "sum")
        gradients = torch.autograd.grad(loss, outputs.by_layer)
        real = inputs["attention_mask"][:, :, None, None]
        layers = zip(outputs.by_layer, gradients, strict=True)
        for layer, (output, gradient) in enumerate(layers):
            # [batch, token, head, d]
            product = output.detach().float() * gradient.float() * real
            sums.add(layer, product.sum((1, 3)).abs()[None])


def gradient_importance(
    model: Model,
    task: Task,
    encoded: Encoded,
    labels: Labels,
    *,
    batch_tokens: int | None = None,
    precision: Precision = "auto",
) -> Moments:
    """The sums over examples of |sum over tokens and d of z * dL/dz|, per layer and head; the unit
    is the loss's.

    L is the example's own loss, cross entropy in nats or, for a regression, the squared error:
    losses are added over a batch, never averaged, so an example's value does not depend on its
    batch. No gradient of a weight is computed.

    Raises:
        HeadscopeError: The model has no classification head, or one for another number of labels;
            the labels are not one per example, or no labels of the task.
    """
    work = ImportancePass.of(
        model, task, encoded, labels, batch_tokens=batch_tokens, precision=precision
    )
    (sums,) = work.observers()
    work.run([model], [sums], None, silent)
    return sums.moments()[IMPORTANCE]


class _HeadOutputs:
    """The outputs of all heads in one forward pass, each [batch, token, head, d]."""

    def __init__(self) -> None:
        self.by_layer: list[Tensor] = []

    def keep(self, call: Call) -> None:
        output = call.output
        # Below the first layer nothing needs a gradient, so there the graph has to begin.
        self.by_layer.append(output if output.requires_grad else output.requires_grad_())


def normalised(mean: Table, low: Table, high: Table) -> tuple[Table, Table, Table]:
    """Importance with each layer divided by the L2 norm of its means over heads (Michel et al.
    2019).

    Layers can be compared then: all have the norm 1, or stay 0 where no head matters. The norm is
    taken as known, so the intervals do not hold its uncertainty.

    Args:
        mean: The mean over examples, with its interval, as from `Moments.compute`.
        low: The interval's lower end.
        high: The interval's upper end.
    """
    norm = np.linalg.norm(mean, axis=1, keepdims=True)
    norm = np.where(norm > 0, norm, 1.0)
    return mean / norm, low / norm, high / norm


@contextmanager
def _frozen(model: Model) -> Iterator[None]:
    """While the context is open: no dropout, and no gradients of weights. Then as it was."""
    training = model.hf.training
    trainable = [p for p in model.hf.parameters() if p.requires_grad]
    try:
        model.hf.train(False)
        for parameter in trainable:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
        model.hf.train(training)


def _check(model: Model, task: Task, encoded: Encoded, labels: Labels) -> None:
    if not model.has_head:
        raise HeadscopeError(
            f"{model.name} has no classification head, so it has no loss to take gradients of: "
            "give a checkpoint fine-tuned on the task (headscope finetune makes one)"
        )
    if (got := model.hf.config.num_labels) != task.outputs:
        raise HeadscopeError(
            f"the head of {model.name} has {got} outputs, the task {task.name} needs {task.outputs}"
        )
    if len(labels) != len(encoded):
        raise HeadscopeError(
            f"there are {len(encoded)} examples and {len(labels)} labels: give one for each"
        )
    if len(labels) and not task.is_regression and (min(labels) < 0 or max(labels) >= task.outputs):
        raise HeadscopeError(
            f"the labels run from {min(labels)} to {max(labels)}, those of {task.name} from 0 to "
            f"{task.outputs - 1}: give a split that has labels"
        )
