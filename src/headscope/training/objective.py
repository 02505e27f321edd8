"""The loss of a model on a task's training examples, and its gradient."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from headscope.errors import HeadscopeError
from headscope.examples import Labels
from headscope.model.encoding import Encoded
from headscope.model.kernels import kernels_for_any_shape
from headscope.model.model import Model
from headscope.model.precision import Precision, training_autocast
from headscope.model.span_scores import window_losses
from headscope.model.token_marks import IGNORED, LABELS
from headscope.tasks.base import Task
from headscope.tasks.outputs import targets, training_loss
from headscope.training.state import random_state, set_random_state


@dataclass(frozen=True)
class Objective:
    """Mean cross entropy, or for a regression the mean squared error. Of questions, the examples
    are windows.

    Attributes:
        model: Its gradients are added up in its parameters.
        examples: The training examples.
        targets: Class indices, or scores for a regression, on the model's device. Not read where
            the examples have labels of their tokens.
        task: Its loss is taken.
        precision: Which number format to compute in.
    """

    model: Model
    examples: Encoded
    targets: Shaped[Tensor, " example *token"]
    task: Task
    precision: Precision

    @classmethod
    def of(
        cls, model: Model, task: Task, examples: Encoded, labels: Labels, precision: Precision
    ) -> "Objective":
        """The objective of a task with these labels."""
        return cls(model, examples, targets(task, labels, model.hf.device), task, precision)

    def add_gradients(self, rows: list[int], part_size: int) -> float:
        """Add the gradient of the mean loss over the examples `rows` to that of the parameters, in
        parts of at most `part_size` examples.

        Returns:
            The loss.
        """
        device = self.model.hf.device
        total = 0.0
        every = self._scored(rows)
        for start in range(0, len(rows), part_size):
            part_rows = rows[start : start + part_size]
            with kernels_for_any_shape(), training_autocast(self.precision, device):
                inputs = self.examples.batch(part_rows, device)
                of_tokens = inputs.pop(LABELS, None)
                outputs = self.model.hf(**inputs)
            if of_tokens is None:
                of_tokens = self.targets[part_rows]
            loss = self._mean_loss(outputs, of_tokens)
            # The mean over all is the sum of the parts' means, each by its share.
            loss = loss * (self._scored(part_rows) / every)
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        return total

    def _mean_loss(self, outputs: Any, target: Shaped[Tensor, " example *token"]) -> Tensor:
        if self.task.of_answers:
            return window_losses(outputs, target).mean()
        return training_loss(self.task, outputs.logits.float(), target, "mean")

    def _scored(self, rows: Sequence[int]) -> int:
        """Over how many examples, or tokens of them, the mean is taken; of questions, windows."""
        labels = self.examples.columns.get(LABELS)
        if labels is None or self.task.of_answers:
            return len(rows)
        return sum(label != IGNORED for row in rows for label in labels[row])

    def add_fitting_gradients(self, rows: list[int], part_size: int) -> tuple[float, int]:
        """As `add_gradients`, in parts of half the size as often as a GPU's memory is too small.

        Returns:
            The loss, and the size of the parts.

        Raises:
            HeadscopeError: The memory is too small for a single example.
        """
        hf = self.model.hf
        random = random_state(hf.device)
        while True:
            try:
                return self.add_gradients(rows, part_size), part_size
            except torch.OutOfMemoryError:
                if min(part_size, len(rows)) == 1:
                    raise HeadscopeError(
                        f"the GPU's memory is too small to train {self.model.name} on a single "
                        f"example of {self.examples.lengths[rows].max()} tokens: take a smaller "
                        "--max-length, a smaller model, or a GPU with more memory"
                    ) from None
            # Out of the handler, whose traceback would keep what the failed pass had allocated.
            part_size = (min(part_size, len(rows)) + 1) // 2
            hf.zero_grad(set_to_none=True)
            if hf.device.type == "cuda":
                torch.cuda.empty_cache()
            set_random_state(random)
