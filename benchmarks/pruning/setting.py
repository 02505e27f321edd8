"""A fine-tuned model with the examples that its heads are chosen on, and a mode of removal."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headscope.ablation.scorer import Scorer
from headscope.ablation.sets import NamedSet
from headscope.axes import set_name
from headscope.examples import Labels, Split
from headscope.model.encoding import BATCH_TOKENS, MAX_LENGTH, Encoded, batches, encode
from headscope.model.loading import load
from headscope.model.precision import Precision
from headscope.model.tap import Mode
from headscope.stats.metrics import METRICS
from headscope.tasks.base import Task
from headscope.tasks.outputs import Logits, losses, predictions
from pruning.sets import Set, heads_of


@dataclass(frozen=True)
class Examples:
    """Examples as token ids, with their labels."""

    encoded: Encoded
    labels: Labels

    def __len__(self) -> int:
        return len(self.encoded)


class Setting:
    """What all rivals share.

    Attributes:
        task: The task.
        model: The model; in the mode mean it knows its heads' means over the search examples.
        mode: What stands for a removed head.
        search: The examples that heads are chosen on.
        validation: The examples that the chosen sets are scored on.
    """

    def __init__(
        self, folder: Path, task: Task, search: Split, validation: Split, mode: Mode
    ) -> None:
        self.task, self.mode = task, mode
        self.model = load(folder, labels=task.outputs)
        # Gradients are of head masks alone.
        self.model.hf.requires_grad_(False)
        self.search = self._examples(search)
        self.validation = self._examples(validation)
        if mode == "mean":
            rows = batches(self.search.encoded.lengths, BATCH_TOKENS)
            device = self.model.hf.device
            self.model.measure_means(self.search.encoded.batch(each, device) for each in rows)

    def _examples(self, split: Split) -> Examples:
        length = min(MAX_LENGTH, self.model.max_length)
        return Examples(encode(split, self.model.tokenizer, length), split.labels)

    @property
    def layers(self) -> int:
        """How many layers the model has."""
        return self.model.layers

    @property
    def heads(self) -> int:
        """How many heads it has in all layers together."""
        return self.model.layers * self.model.heads

    def scorer(self, examples: Examples, precision: Precision) -> Scorer:
        """Scores sets of heads on these examples."""
        return Scorer(self.model, examples.encoded, self.mode, precision=precision)

    def named(self, removed: Set) -> NamedSet:
        """A set as the scorer takes it."""
        heads = heads_of(removed, self.model.heads)
        return set_name(heads), heads


def mean_loss(task: Task, labels: Labels, outputs: Logits) -> float:
    """The mean loss: cross entropy in nats, or the squared error."""
    return float(losses(task, labels, outputs).mean())


def divergence(task: Task, whole: Logits, outputs: Logits) -> float:
    """How far outputs are from those of the whole model, on average.

    KL(whole || pruned) in nats, or for a regression the squared difference.
    """
    if task.is_regression:
        return float(((whole.astype(np.float64) - outputs) ** 2).mean())
    before, after = _log_softmax(whole), _log_softmax(outputs)
    return float((np.exp(before) * (before - after)).sum(1).mean())


def _log_softmax(outputs: Logits) -> np.ndarray:
    wide = outputs.astype(np.float64)
    wide = wide - wide.max(1, keepdims=True)
    return np.asarray(wide - np.log(np.exp(wide).sum(1, keepdims=True)))


def metric_of(task: Task, labels: Labels, outputs: Logits) -> float:
    """The task's first metric, in points."""
    return METRICS[task.metrics[0]].score(labels, predictions(task, outputs))
