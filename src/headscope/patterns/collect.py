"""The class of every map of a pass over the data, gathered while measures see the same maps.

Hand `Collector.see` to a pass; `classes` [example, layer, head] then holds indices in CLASSES, or
-1 for no class.
"""

import weakref

import numpy as np
import numpy.typing as npt

from headscope.model.passes import Batch, LayerMaps
from headscope.patterns.classifier import Classifier
from headscope.patterns.map_features import Frame

FEWEST = 5
"""Examples of fewer tokens have no class: everything is a stripe, and next to everything."""


class Collector:
    """The class of every map: vertical, diagonal, vertical+diagonal, block or heterogeneous (paper,
    section 4.1), as the classifier of docs/patterns.md tells them apart. A share is the fraction of
    a head's maps, one an example; examples of fewer than five tokens are left out.
    """

    def __init__(self, classifier: Classifier, examples: int, layers: int, heads: int) -> None:
        self.classes: npt.NDArray[np.int8] = np.full((examples, layers, heads), -1, np.int8)
        self._classifier = classifier
        self._frame: tuple[weakref.ref[Batch], Frame] | None = None

    def see(self, maps: LayerMaps) -> None:
        """Classify one layer of one batch."""
        batch = maps.batch
        found = (
            self._classifier.scores(maps.maps, self._frame_of(batch))
            .argmax(-1)
            .cpu()
            .numpy()
            .astype(np.int8)
        )
        long_enough = (batch.real.sum(-1) >= FEWEST).cpu().numpy()
        self.classes[batch.examples[long_enough], maps.layer] = found[long_enough]

    def _frame_of(self, batch: Batch) -> Frame:
        if self._frame is None or self._frame[0]() is not batch:
            self._frame = weakref.ref(batch), Frame.of(batch.real, batch.special, batch.segment)
        return self._frame[1]
