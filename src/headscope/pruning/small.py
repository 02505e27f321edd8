"""The checkpoint small: heads are really gone, and the model is smaller and faster.

What stands for the removed heads costs nothing a token: nothing in the mode zero; in the mode mean
a constant in the output's bias; in the mode uniform one matrix applied to the mean of the layer's
states, once a text, since the mean of the values is the value of the mean.
"""

from collections.abc import Sequence
from pathlib import Path

from headscope.model.model import Model
from headscope.model.pooling import Pooling
from headscope.model.reduced_files import Reduced, as_reduced, save_reduced
from headscope.model.reduced_weights import reduced_copy
from headscope.model.removal import Removal
from headscope.pruning.card import Cost, Subject
from headscope.pruning.checkpoint import Checkpoint, refuse_shared_layers, write
from headscope.pruning.names import name_labels
from headscope.pruning.repair import Repair, repaired
from headscope.tasks.base import Task


def write_small(
    model: Model,
    removal: Removal,
    task: Task,
    folder: Path,
    costs: Sequence[Cost] = (),
    repair: Repair | None = None,
    pooling: Pooling | None = None,
) -> Checkpoint:
    """Write a checkpoint from which heads are removed, and check that its outputs are those of the
    model with the same heads disabled.

    `headscope.load` reads it; its `hf` is an ordinary model of transformers for pipelines and
    training. transformers alone cannot read it, and says so.

    >>> write_small(model, Removal.of(model, "L1H2", "zero"), task, folder)     # doctest: +SKIP

    Args:
        model: The whole model.
        removal: What is removed.
        task: The task of its classification head; gives the labels' names.
        folder: Where the checkpoint goes. One that is there is replaced.
        costs: What the removal costs, for the model card.
        repair: Output projections that were fitted again, which the checkpoint gets.
        pooling: How the states of an embedder become vectors, which the checkpoint says too; None
            for a model with a head.

    Raises:
        HeadscopeError: Heads of this family are not removed, or the checkpoint is not the same.
        OSError: It could not be written.
    """
    refuse_shared_layers(model)
    with repaired(model, repair):
        hf = reduced_copy(model, removal)
        kept = removal.kept(model.layers, model.heads)
        as_reduced(hf, Reduced.of(kept, removal.mode, model.heads))
        if pooling is None:
            name_labels(hf.config, task)

        def save(target: Path) -> None:
            save_reduced(hf, target)

        subject = Subject(
            model, removal, task, "small", tuple(costs), repair=repair, pooling=pooling
        )
        return write(subject, folder, save)
