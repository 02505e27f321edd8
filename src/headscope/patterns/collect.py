"""The class of every map of a pass over the data."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscope.model.passes import Batch, LayerMaps, PairMaps
from headscope.patterns.classifier import Classifier
from headscope.patterns.map_features import Frame

FEWEST = 5
"""Examples of fewer tokens have no class: everything is a stripe, and next to everything."""


@dataclass(frozen=True)
class CollectedBatch:
    """What the classifier needs of a batch, and which rows of the batch are long enough."""

    frame: Frame
    long_enough: npt.NDArray[np.bool_]


class Collector:
    """The class of every map: vertical, diagonal, vertical+diagonal, block or heterogeneous (paper,
    section 4.1), as the classifier of docs/patterns.md tells them apart. A share is the fraction of
    a head's maps, one an example; examples of fewer than five tokens are left out.

    Attributes:
        classes: The classes as indices in `CLASSES`, [example, layer, head]; -1 for no class.
    """

    heads_by_themselves = True

    def __init__(self, classifier: Classifier, examples: int, layers: int, heads: int) -> None:
        self.classes: npt.NDArray[np.int8] = np.full((examples, layers, heads), -1, np.int8)
        self._classifier = classifier

    def state(self) -> dict[str, npt.NDArray[np.int8]]:
        """The classes, for a pass that is to be resumed."""
        return {"classes": self.classes}

    def prepare(self, batch: Batch) -> CollectedBatch:
        """The frame of the batch."""
        frame = Frame.of(batch.real, batch.special, batch.segment)
        long_enough = batch.real.sum(-1) >= FEWEST
        return CollectedBatch(frame, long_enough.cpu().numpy())

    def see(self, maps: LayerMaps, prepared: CollectedBatch) -> None:
        """Classify one layer of one batch."""
        scores = self._classifier.scores(maps.maps, prepared.frame)
        # [batch, head]
        classes = scores.argmax(-1).cpu().numpy().astype(np.int8)
        rows = prepared.long_enough
        self.classes[maps.batch.examples[rows], maps.layer, maps.heads] = classes[rows]


class PairCollector:
    """The classes of the maps of two models, before and after fine-tuning.

    Attributes:
        before: What was collected of the first model.
        after: What was collected of the second.
    """

    def __init__(self, classifier: Classifier, examples: int, layers: int, heads: int) -> None:
        self.before = Collector(classifier, examples, layers, heads)
        self.after = Collector(classifier, examples, layers, heads)

    def state(self) -> dict[str, npt.NDArray[np.int8]]:
        """The classes, for a pass that is to be resumed."""
        return {"before": self.before.classes, "after": self.after.classes}

    def prepare(self, batch: Batch) -> CollectedBatch:
        """The frame of the batch, the same for both models."""
        return self.before.prepare(batch)

    def see(self, maps: PairMaps, prepared: CollectedBatch) -> None:
        """Classify one layer of one batch."""
        self.before.see(maps.before, prepared)
        self.after.see(maps.after, prepared)
