"""The class of every map of a pass over the data."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from headscope.model.layer_maps import Batch, LayerMaps, PairMaps
from headscope.model.transfer import to_host
from headscope.names import CLASSES
from headscope.patterns.classifier import PLAUSIBLE, Classifier
from headscope.patterns.map_features import Frame, features

FEWEST = 5
"""Examples of fewer tokens have no class: everything is a stripe, and next to everything."""


_BITS = 1 << np.arange(len(CLASSES))


@dataclass(frozen=True)
class Classified:
    """What the classifier says of all maps.

    Attributes:
        classes: The most probable class of every map as an index in `CLASSES`, -1 for no class.
        plausible: The plausible classes of every map, none where there is no class.
    """

    classes: Int[np.ndarray, "example layer head"]
    plausible: Bool[np.ndarray, "example layer head class"]

    @classmethod
    def of(
        cls,
        classes: Int[np.ndarray, "example layer head"],
        plausible: UInt8[np.ndarray, "example layer head"],
    ) -> "Classified":
        """From a collector's `classes` and `plausible`."""
        return cls(classes, (plausible[..., None] & _BITS) > 0)


@dataclass(frozen=True)
class CollectedBatch:
    """What the classifier needs of a batch, and which examples of the batch are long enough."""

    frame: Frame
    long_enough: Bool[Tensor, " batch"]


@dataclass(frozen=True)
class _Seen:
    """What was seen of one layer: the features of its maps, still on the device."""

    examples: Int[np.ndarray, " batch"]
    layer: int
    heads: slice
    features: Float[Tensor, "batch head feature"]
    long_enough: Bool[Tensor, " batch"]


class Collector:
    """The class of every map: vertical, diagonal, vertical+diagonal, block or heterogeneous (paper,
    section 4.1), as the classifier of docs/patterns.md tells them apart. A share is the fraction of
    a head's maps, one an example; examples of fewer than five tokens are left out.

    Attributes:
        classes: The classes as indices in `CLASSES`, [example, layer, head]; -1 for no class.
        plausible: The plausible classes as the sum of 2 to the power of their indices, [example,
            layer, head]; 0 for no class.
    """

    heads_by_themselves = True

    def __init__(self, classifier: Classifier, examples: int, layers: int, heads: int) -> None:
        self.classes: npt.NDArray[np.int8] = np.full((examples, layers, heads), -1, np.int8)
        self.plausible: npt.NDArray[np.uint8] = np.zeros((examples, layers, heads), np.uint8)
        self._classifier = classifier
        self._seen: list[_Seen] = []

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """What was collected, for a pass that is to be resumed."""
        return {"classes": self.classes, "plausible": self.plausible}

    def classified(self) -> Classified:
        """What was collected."""
        return Classified.of(self.classes, self.plausible)

    def prepare(self, batch: Batch) -> CollectedBatch:
        """The frame of the batch."""
        frame = Frame.of(batch.real, batch.special, batch.segment)
        return CollectedBatch(frame, batch.real.sum(-1) >= FEWEST)

    @torch.inference_mode()
    def see(self, maps: LayerMaps, prepared: CollectedBatch) -> None:
        """Take the features of one layer of one batch."""
        of_maps = features(maps.maps, prepared.frame)
        examples = maps.batch.examples
        seen = _Seen(examples, maps.layer, maps.heads, of_maps, prepared.long_enough)
        self._seen.append(seen)

    @torch.inference_mode()
    def finish(self) -> None:
        """Classify all layers of the batch."""
        seen, self._seen = self._seen, []
        if not seen:
            return
        flat = torch.cat([layer.features.flatten(0, 1) for layer in seen])
        scores = self._classifier.scores_of(flat)
        bits = torch.from_numpy(_BITS).to(scores.device)
        plausible = ((scores >= math.log(PLAUSIBLE)) * bits).sum(-1)
        # [map, kind]
        both = torch.stack([scores.argmax(-1), plausible], -1).to(torch.int8)
        sizes = [layer.features.shape[:2] for layer in seen]
        parts = torch.split(both, [examples * heads for examples, heads in sizes])
        no_class = torch.tensor([-1, 0], dtype=torch.int8, device=both.device)
        found = [
            torch.where(layer.long_enough[:, None, None], part.view(*size, 2), no_class)
            for layer, part, size in zip(seen, parts, sizes, strict=True)
        ]
        for layer, of_layer in zip(seen, to_host(found), strict=True):
            place = layer.examples, layer.layer, layer.heads
            self.classes[place] = of_layer[..., 0]
            self.plausible[place] = of_layer[..., 1]


class PairCollector:
    """The classes of the maps of two models, before and after fine-tuning.

    Attributes:
        before: What was collected of the first model.
        after: What was collected of the second.
    """

    def __init__(self, classifier: Classifier, examples: int, layers: int, heads: int) -> None:
        self.before = Collector(classifier, examples, layers, heads)
        self.after = Collector(classifier, examples, layers, heads)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """What was collected, for a pass that is to be resumed."""
        return {
            f"{name}_{kind}": array
            for name, collector in (("before", self.before), ("after", self.after))
            for kind, array in collector.state().items()
        }

    def prepare(self, batch: Batch) -> CollectedBatch:
        """The frame of the batch, the same for both models."""
        return self.before.prepare(batch)

    def see(self, maps: PairMaps, prepared: CollectedBatch) -> None:
        """Classify one layer of one batch."""
        self.before.see(maps.before, prepared)
        self.after.see(maps.after, prepared)

    def finish(self) -> None:
        """Classify all layers of the batch."""
        self.before.finish()
        self.after.finish()
