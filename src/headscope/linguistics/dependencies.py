"""Dependencies and heads: how often a head's arg max is the word that a relation links to, and what
distance explains.

By Clark et al. 2019 (section 4.2): of a word with its governor, does the word attend the most to
the governor (`to_head`), and of all words, does the governor attend the most to it (`from_head`)?
Beside it stands a control that they lacked: how often the same head's arg max falls at the same
signed distance for other words of the sentence, pairs of the same relation left out. What a head
finds beyond that, it does not find by distance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headscope.linguistics.clustered import Clustered, add_layer
from headscope.linguistics.word_attention import (
    WordFrame,
    at_distance,
    diagonal_sums,
    pairs_at,
    word_maps,
)
from headscope.model.passes import Batch, LayerMaps

DIRECTIONS = ("to_head", "from_head")
QUANTITIES = (
    "accuracy",
    "accuracy_matched",
    "accuracy_control",
    "accuracy_excess",
    "accuracy_over_offset",
    "attention",
    "attention_matched",
    "attention_control",
    "attention_excess",
)
"""What is summed, for both directions. `matched` is over the links that have a control, `excess`
over it; `over_offset` is how much more often the arg max hits than the best fixed offset does on
the same words.
"""
LONGEST_OFFSET = 10


@dataclass(frozen=True)
class WordLinks:
    """The links of one sentence between single words: dependents, their heads, and the relation of
    each, as numbers.
    """

    dependent: Int[np.ndarray, "link"]
    head: Int[np.ndarray, "link"]
    relation: Int[np.ndarray, "link"]


@dataclass(frozen=True)
class _Links:
    """The links of a batch, and for each which sentence and relation, and which distance besides,
    it shares.
    """

    example: Int[Tensor, "link"]
    dependent: Int[Tensor, "link"]
    head: Int[Tensor, "link"]
    group: Int[Tensor, "link"]
    cluster: Int[Tensor, "link"]
    alike: Int[Tensor, "link"]
    by_offset: Float[Tensor, "link"]

    @classmethod
    def of(
        cls,
        rows: Sequence[tuple[int, WordLinks, int]],
        offsets: Int[np.ndarray, "relation"],
        device: torch.device,
    ) -> "_Links":
        count = len(offsets)
        place = np.concatenate([np.full(len(own.head), at) for at, own, _ in rows])
        word, governor, relation = (
            np.concatenate([getattr(own, name) for _, own, _ in rows])
            for name in ("dependent", "head", "relation")
        )
        half = np.concatenate([np.full(len(own.head), half) for _, own, half in rows])
        distance = governor - word
        together = np.unique(place * count + relation, return_inverse=True)[1]
        far = int(np.abs(distance).max(initial=0)) * 2 + 1
        same = np.unique(
            (place * count + relation) * far + distance + far // 2, return_inverse=True
        )[1]
        numbers = (place, word, governor, half * count + relation, together, same)
        tensors = [torch.as_tensor(x.astype(np.int64), device=device) for x in numbers]
        hits = torch.as_tensor((distance == offsets[relation]).astype(np.float32), device=device)
        example, dependent, head, group, cluster, alike = tensors
        return cls(example, dependent, head, group, cluster, alike, hits)


@dataclass(frozen=True)
class PreparedLinks:
    """What `Dependencies` needs of a batch: its words, its links, and how many pairs of words there
    are at every distance.
    """

    words: WordFrame
    links: _Links
    pairs: Float[Tensor, "batch distance"]


class Dependencies:
    """Sums of all quantities while a pass runs. `sums[direction, quantity]` is `Clustered` with a
    group for each half of the sentences and relation: group half * relations + relation.

    `offsets` counts over all words how often a head's arg max lies at a distance of -10 to 10:
    [layer, head, 21].
    """

    def __init__(
        self,
        words: Sequence[Sequence[Sequence[int]]],
        links: Sequence[WordLinks],
        half: Int[np.ndarray, "sentence"],
        best_offset: Int[np.ndarray, "relation"],
        layers: int,
        heads: int,
    ) -> None:
        """words: the tokens of every word of every sentence; half: 0 or 1 for every sentence."""
        self._words, self._links, self._half, self._best = words, links, half, best_offset
        groups = 2 * len(best_offset)
        self.sums = {
            (d, q): Clustered.zero(groups, layers, heads) for d in DIRECTIONS for q in QUANTITIES
        }
        self.offsets: npt.NDArray[np.float64] = np.zeros((layers, heads, 2 * LONGEST_OFFSET + 1))

    def prepare(self, batch: Batch) -> PreparedLinks:
        """The words and links of the batch."""
        device = batch.real.device
        frame = WordFrame.of([self._words[i] for i in batch.examples], batch.real.shape[1], device)
        rows = [(at, self._links[i], int(self._half[i])) for at, i in enumerate(batch.examples)]
        links = _Links.of(rows, self._best, device)
        return PreparedLinks(frame, links, pairs_at(frame.there))

    def see(self, maps: LayerMaps, prepared: PreparedLinks) -> None:
        """Add one layer of one batch."""
        frame, links, pairs = prepared.words, prepared.links, prepared.pairs
        between = word_maps(maps.maps, frame)
        attends, attended = between.argmax(-1), between.argmax(-2)
        counts = at_distance(attends, frame.there)
        self._count_offsets(maps.layer, counts)
        if not len(links.head):
            return
        sums = diagonal_sums(between)
        b, dep, head = links.example, links.dependent, links.head
        for direction, mass, found, at_mass, at_hits in (
            ("to_head", between[b, :, dep, head], attends, head - dep, counts),
            (
                "from_head",
                between[b, :, head, dep],
                attended,
                dep - head,
                at_distance(attended, frame.there),
            ),
        ):
            hit = (found[b, :, dep] == head[:, None]).float()
            middle = between.shape[-1] - 1
            # The arg max is sought from the dependent in both directions, so its distance has the
            # one sign.
            hits = self._beside(
                hit, at_hits[b, :, head - dep + middle], pairs[b, head - dep + middle], links
            )
            masses = self._beside(
                mass, sums[b, :, at_mass + middle], pairs[b, at_mass + middle], links
            )
            named = {
                "accuracy": hit,
                "attention": mass,
                "accuracy_over_offset": hit - links.by_offset[:, None],
            }
            for name, own, control in (("accuracy", hit, hits), ("attention", mass, masses)):
                none = torch.isnan(control)
                named[f"{name}_matched"] = own.masked_fill(none, torch.nan)
                named[f"{name}_control"], named[f"{name}_excess"] = control, own - control
            for quantity in QUANTITIES:
                add_layer(
                    self.sums[direction, quantity],
                    maps.layer,
                    named[quantity],
                    links.cluster,
                    links.group,
                )

    @staticmethod
    def _beside(
        own: Float[Tensor, "link head"],
        everywhere: Float[Tensor, "link head"],
        pairs: Float[Tensor, "link"],
        links: _Links,
    ) -> Float[Tensor, "link head"]:
        """The mean over the sentence's other pairs of words at the same distance, but those of the
        same relation; NaN where there are none.
        """
        count = int(links.alike.max()) + 1
        same = own.new_zeros(count, own.shape[1]).index_add_(0, links.alike, own)[links.alike]
        left = pairs - torch.bincount(links.alike, minlength=count)[links.alike]
        return torch.where(
            left[:, None] > 0, (everywhere - same) / left[:, None].clamp_min(1), torch.nan
        )

    def _count_offsets(self, layer: int, counts: Float[Tensor, "batch head distance"]) -> None:
        middle = counts.shape[-1] // 2
        reach = min(middle, LONGEST_OFFSET)
        seen = counts.sum(0)[:, middle - reach : middle + reach + 1].cpu().numpy()
        self.offsets[layer, :, LONGEST_OFFSET - reach : LONGEST_OFFSET + reach + 1] += seen

    def arrays(self) -> dict[str, npt.NDArray[np.float64]]:
        """What a file keeps of the sums."""
        out = {"offsets": self.offsets}
        for (direction, quantity), sums in self.sums.items():
            out |= sums.arrays(f"{direction}/{quantity}")
        return out


Sums = dict[tuple[str, str], Clustered]


def merged(
    parts: Sequence[Mapping[str, npt.NDArray[np.float64]]],
) -> tuple[Sums, npt.NDArray[np.float64]]:
    """The sums and the counted offsets of several `Dependencies.arrays`, added up."""
    sums = {}
    for direction in DIRECTIONS:
        for quantity in QUANTITIES:
            found = [Clustered.of(part, f"{direction}/{quantity}") for part in parts]
            sums[direction, quantity] = sum(found[1:], found[0])
    return sums, np.sum([part["offsets"] for part in parts], axis=0)
