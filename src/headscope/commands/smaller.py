"""What `prune` makes of a set that it recommends: checkpoints, repaired and trained-on models, and
how large and fast they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from headscope.axes import all_heads
from headscope.commands.checkpoint import make_checkpoint
from headscope.errors import HeadscopeError
from headscope.model.budget import device_batches
from headscope.model.embedder import encoder_of
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.outputs import logits
from headscope.model.removal import Removal
from headscope.progress import say
from headscope.pruning.card import Cost, Subject, card
from headscope.pruning.full import write_full
from headscope.pruning.onnx import write_onnx
from headscope.pruning.repair import Repair, refit
from headscope.pruning.rows import REFIT, TRAINED, PathSet, PrunedRow, Validation, pruned_rows
from headscope.pruning.small import write_small
from headscope.pruning.speed import SizeRow, measure_speed
from headscope.results.contents import FULL, SMALL, TRAINING_STATE, TUNED
from headscope.tasks.outputs import Logits
from headscope.training.recipe import Recipe, usual_lr

if TYPE_CHECKING:
    from headscope.commands.prune import Pruning
    from headscope.commands.searching import SearchData
    from headscope.commands.session import Session


@dataclass(frozen=True, eq=False)
class WrittenModels:
    """What was made of a set.

    Attributes:
        rows: Of the table `pruned`, for the models that were repaired or trained on.
        sizes: How large and how fast the checkpoint small is.
        notes: What the user must know: a checkpoint that this family cannot have.
    """

    rows: list[PrunedRow]
    sizes: list[SizeRow]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ModelWriter:
    """Makes smaller models of the sets of one run.

    Attributes:
        asked: What `prune` was asked.
        session: The model, its task and examples.
        data: The training examples that a repair may look at.
        validation: What models are judged by.
    """

    asked: Pruning
    session: Session
    data: SearchData
    validation: Validation

    @property
    def model(self) -> Model:
        """The model that is written: of an embedder, its encoder."""
        model = self.session.model
        return model if self.session.pooling is None else encoder_of(model)

    def write(self, path_set: PathSet, rows: Sequence[PrunedRow], folder: Path) -> WrittenModels:
        """Write the checkpoints of a set and measure them.

        Args:
            path_set: The set.
            rows: What it costs, a row per metric.
            folder: Where the folders full, small and tuned go.

        Raises:
            HeadscopeError: Heads of this family cannot be removed.
        """
        model, task, pooling = self.model, self.session.task, self.session.pooling
        say(f"writing the model with {len(path_set.kept)} heads", quiet=self.asked.quiet)
        removed = frozenset(all_heads(model.layers, model.heads)) - path_set.kept
        removal = Removal.of(model, removed, self.asked.mode)
        made, repair = list(rows), None
        if self.asked.repair:
            repair = self._refit(removal)
            with repair.applied(model), removal.applied(model):
                made = self._rows(path_set, REFIT, self._outputs(model))
        costs = costs_of(made)
        notes = self._full(removal, folder / FULL, costs, repair)
        write_small(model, removal, task, folder / SMALL, costs, repair, pooling)
        labels = task.outputs if pooling is None else None
        small = load(folder / SMALL, labels=labels, device=str(model.hf.device))
        if self.asked.onnx:
            write_onnx(small, folder / SMALL)
        sizes = measure_speed(model, small)
        extra = made if self.asked.repair else []
        if self.asked.finetune:
            notes += self._train(small, folder)
            trained = self._rows(path_set, TRAINED, self._outputs(small))
            self._describe(small, removal, repair, trained, folder / TUNED)
            extra = [*extra, *trained]
        return WrittenModels(extra, sizes, notes)

    def _outputs(self, model: Model) -> Logits:
        asked = self.asked
        return logits(
            model, self.session.encoded, batch_tokens=asked.batch_tokens, precision=asked.precision
        )

    def _rows(self, path_set: PathSet, repair: str, outputs: Logits) -> list[PrunedRow]:
        return pruned_rows(
            [replace(path_set, repair=repair)], outputs[None], [None], self.validation
        )

    def _refit(self, removal: Removal) -> Repair:
        model, encoded = self.session.model, self.data.search.encoded
        return refit(model, removal, device_batches(model, encoded, self.asked.batch_tokens))

    def _full(
        self, removal: Removal, folder: Path, costs: tuple[Cost, ...], repair: Repair | None
    ) -> tuple[str, ...]:
        """Write the checkpoint full; a note where the weights of this family cannot hold it."""
        try:
            task, pooling = self.session.task, self.session.pooling
            write_full(self.model, removal, task, folder, costs, repair, pooling)
        except HeadscopeError as error:
            if self.asked.mode != "uniform":
                raise
            note = f"there is no checkpoint full: {error}"
            say(f"note: {note}", quiet=self.asked.quiet)
            return (note,)
        return ()

    def _train(self, small: Model, folder: Path) -> tuple[str, ...]:
        """Train a model on without the removed heads, and write it."""
        asked = self.asked
        hidden = int(small.hf.config.hidden_size)
        recipe = Recipe(
            epochs=asked.finetune, lr=usual_lr(hidden), seed=asked.seed, precision=asked.precision
        )
        session = replace(self.session, model=small)
        return make_checkpoint(session, recipe, folder / TUNED, folder / TRAINING_STATE)

    def _describe(
        self,
        small: Model,
        removal: Removal,
        repair: Repair | None,
        rows: Sequence[PrunedRow],
        folder: Path,
    ) -> None:
        """Write the model card of a model that was trained on."""
        subject = Subject(
            model=self.session.model,
            removal=removal,
            task=self.session.task,
            form="small",
            costs=costs_of(rows),
            repair=repair,
            epochs=self.asked.finetune,
        )
        parameters = sum(tensor.numel() for tensor in small.hf.parameters())
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        text = card(subject, parameters, size)
        (folder / "README.md").write_text(text, encoding="utf-8")


def costs_of(rows: Sequence[PrunedRow]) -> tuple[Cost, ...]:
    """What a removal costs, for a model card."""
    costs = []
    for row in rows:
        cost = Cost(row.metric, row.baseline, row.value, row.low, row.high, row.n, row.unit)
        costs.append(cost)
    return tuple(costs)
