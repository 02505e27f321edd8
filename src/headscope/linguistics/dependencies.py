"""Dependencies and heads: how often a head's arg max is the word that a relation links to, and what
distance explains.

By Clark et al. 2019 (section 4.2): of a word and its governor, does the word attend the most to the
governor (`to_head`), and of all words, does the governor attend the most to it (`from_head`)?
Beside it stands a control that they lacked: how often the same head's arg max falls at the same
signed distance for other words of the sentence, pairs of the same relation left out. What a head
finds beyond that, it does not find by distance.

The syntactic head of a word is called its governor here: a head is an attention head.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headscope.linguistics.clustered import Clustered, add_layers
from headscope.linguistics.word_attention import (
    Tokens,
    WordFrame,
    count_distances,
    count_pairs,
    diagonal_sums,
    largest_places,
    word_maps,
)
from headscope.model.layer_maps import Batch, LayerMaps

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
"""What is summed in both directions. `control` is the mean over other words at the same distance
(of attention, what a piece of these gets, times the pieces of the linked word), `matched` the value
of the links that have a control, `excess` their difference; `over_offset` is how much more often
the arg max hits the word than the best fixed offset does.
"""
LONGEST_OFFSET = 10

Sums = dict[tuple[str, str], Clustered]
"""Sums by direction and quantity."""
Arrays = Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class WordLinks:
    """The links between single words of one sentence.

    Attributes:
        dependent: Index of the word that depends.
        governor: Index of the word that it depends on.
        relation: Number of the relation.
    """

    dependent: Int[np.ndarray, " link"]
    governor: Int[np.ndarray, " link"]
    relation: Int[np.ndarray, " link"]


@dataclass(frozen=True)
class _BatchLinks:
    """The links of a batch of sentences.

    Attributes:
        row: Which row of the batch a link's sentence is.
        dependent: Index of the word that depends.
        governor: Index of the word that it depends on.
        group: Which sums the link is added to: half * relations + relation.
        cluster: A number for each sentence and relation.
        peers: A number for each sentence, relation and signed distance.
        offset_hits: 1 where the best fixed offset of the relation is that of the governor, else 0.
    """

    row: Int[Tensor, " link"]
    dependent: Int[Tensor, " link"]
    governor: Int[Tensor, " link"]
    group: Int[Tensor, " link"]
    cluster: Int[Tensor, " link"]
    peers: Int[Tensor, " link"]
    offset_hits: Float[Tensor, " link"]

    @classmethod
    def of(
        cls,
        links: Sequence[WordLinks],
        half: Int[np.ndarray, " batch"],
        best_offset: Int[np.ndarray, " relation"],
        device: torch.device,
    ) -> "_BatchLinks":
        sizes = [len(sentence.relation) for sentence in links]
        row = np.repeat(np.arange(len(links)), sizes)
        dependent = np.concatenate([sentence.dependent for sentence in links])
        governor = np.concatenate([sentence.governor for sentence in links])
        relation = np.concatenate([sentence.relation for sentence in links])
        distance = governor - dependent
        relations = len(best_offset)
        # Numbers that are the same for the same sentence and relation, and for the same distance.
        cluster = row * relations + relation
        reach = int(np.abs(distance).max(initial=0))
        peers = cluster * (2 * reach + 1) + distance + reach

        tensor = partial(torch.as_tensor, device=device)
        return cls(
            row=tensor(row),
            dependent=tensor(dependent),
            governor=tensor(governor),
            group=tensor(np.repeat(half, sizes) * relations + relation),
            cluster=tensor(np.unique(cluster, return_inverse=True)[1]),
            peers=tensor(np.unique(peers, return_inverse=True)[1]),
            offset_hits=tensor(distance == best_offset[relation]).float(),
        )


@dataclass(frozen=True)
class LinkedBatch:
    """What is known of a batch before its maps.

    Attributes:
        frame: The words.
        links: The links between them.
        receives: Which words may be attended to in a control: those that are no punctuation.
        pairs: How many pairs of a word and one that may be attended to are at a signed distance.
    """

    frame: WordFrame
    links: _BatchLinks
    receives: Bool[Tensor, "batch word"]
    pairs: Float[Tensor, "batch distance"]


@dataclass(frozen=True)
class _Direction:
    """One direction of a layer's maps: from dependents to governors, or the transposed maps.

    Attributes:
        attention: Attention between words, the word that depends first.
        target: The word of a link's arg max, for the word that depends.
        at_distance: Sums of what a piece of a word gets, over the pairs of a control at a distance.
        hits: How often these pairs are those of an arg max.
        pairs: How many these pairs are.
        attended: The word of each link that is attended to.
    """

    attention: Float[Tensor, "batch head word attended"]
    target: Int[Tensor, "batch head word"]
    at_distance: Float[Tensor, "batch head distance"]
    hits: Float[Tensor, "batch head distance"]
    pairs: Float[Tensor, "batch distance"]
    attended: Int[Tensor, " link"]


class Dependencies:
    """Observes a pass over a treebank and sums up every quantity.

    Args:
        words: The tokens of every word of every sentence.
        punctuation: The tokens of punctuation of every sentence.
        links: The links of every sentence.
        half: Which half a sentence belongs to, 0 or 1.
        best_offset: The best fixed offset of each relation.
        layers: Number of layers.
        heads: Number of heads of a layer.

    Attributes:
        sums: By direction and quantity; a group is a half of the sentences and a relation, with the
            index half * relations + relation.
        offsets: How many words have a head's arg max at a distance of -10 to 10, [layer, head, 21].
    """

    def __init__(
        self,
        words: Sequence[Tokens],
        punctuation: Sequence[Set[int]],
        links: Sequence[WordLinks],
        half: Int[np.ndarray, " sentence"],
        best_offset: Int[np.ndarray, " relation"],
        layers: int,
        heads: int,
    ) -> None:
        self._words = words
        self._punctuation = punctuation
        self._links = links
        self._half = half
        self._best_offset = best_offset
        self.sums: Sums = {
            key: Clustered.zero(2 * len(best_offset), layers, heads)
            for key in product(DIRECTIONS, QUANTITIES)
        }
        self.offsets: npt.NDArray[np.float64] = np.zeros((layers, heads, 2 * LONGEST_OFFSET + 1))

    def prepare(self, batch: Batch) -> LinkedBatch:
        """The words and links of the batch."""
        device = batch.real.device
        words = [self._words[i] for i in batch.examples]
        links = [self._links[i] for i in batch.examples]
        frame = WordFrame.of(words, batch.real.shape[1], device)
        is_mark = np.zeros(frame.has_tokens.shape, dtype=bool)
        for row, sentence in enumerate(batch.examples.tolist()):
            marks = self._punctuation[sentence]
            own = [not marks.isdisjoint(pieces) for pieces in self._words[sentence]]
            is_mark[row, : len(own)] = own
        receives = frame.has_tokens & ~torch.as_tensor(is_mark, device=device)
        return LinkedBatch(
            frame,
            _BatchLinks.of(links, self._half[batch.examples], self._best_offset, device),
            receives,
            count_pairs(frame.has_tokens, receives),
        )

    def see(self, maps: LayerMaps, prepared: LinkedBatch) -> None:
        """Add one layer of one batch."""
        frame, links = prepared.frame, prepared.links
        between = word_maps(maps.maps, frame)
        attends_to = largest_places(between, -1)  # [batch, head, word]
        counts = count_distances(attends_to, frame.has_tokens[:, None])
        self._count_offsets(maps.layer, counts)
        if not len(links.row):
            return
        for direction, seen in _directions(between, attends_to, prepared):
            quantities = _quantities(seen, prepared)
            of_quantities = [self.sums[direction, quantity] for quantity in quantities]
            values = torch.stack(list(quantities.values()), 1)  # [link, quantity, head]
            add_layers(of_quantities, maps.layer, values, links.cluster, links.group)

    def _count_offsets(self, layer: int, counts: Float[Tensor, "batch head distance"]) -> None:
        # Long sentences have longer distances than are counted, short ones have fewer.
        middle = counts.shape[-1] // 2
        reach = min(middle, LONGEST_OFFSET)
        near = counts.sum(0)[:, middle - reach : middle + reach + 1].cpu().numpy()
        self.offsets[layer, :, LONGEST_OFFSET - reach : LONGEST_OFFSET + reach + 1] += near

    def arrays(self) -> dict[str, npt.NDArray[np.float64]]:
        """The sums and the counted offsets as named arrays; `merged` is the way back."""
        arrays = {"offsets": self.offsets}
        for key, sums in self.sums.items():
            arrays |= sums.arrays("/".join(key))
        return arrays


def _directions(
    between: Float[Tensor, "batch head word attended"],
    attends_to: Int[Tensor, "batch head word"],
    batch: LinkedBatch,
) -> list[tuple[str, _Direction]]:
    """Both directions of the attention between words, whose arg max is known."""
    frame, links, receives = batch.frame, batch.links, batch.receives[:, None]
    # A word of more pieces gets more attention from a head that knows nothing of words.
    at_distance = diagonal_sums(between, batch.receives / frame.pieces.clamp_min(1))
    receives = receives.expand_as(attends_to)
    has_target = frame.has_tokens[:, None] & receives.gather(-1, attends_to)
    to_head = _Direction(
        attention=between,
        target=attends_to,
        at_distance=at_distance,
        hits=count_distances(attends_to, has_target),
        pairs=batch.pairs,
        attended=links.governor,
    )
    # From the governor is to it in the transposed map, where distances have the other sign.
    attended_by = largest_places(between, -2)
    from_head = _Direction(
        attention=between.transpose(-1, -2),
        target=attended_by,
        at_distance=at_distance.flip(-1),
        hits=count_distances(attended_by, receives),
        pairs=batch.pairs.flip(-1),
        attended=links.dependent,
    )
    return list(zip(DIRECTIONS, (to_head, from_head), strict=True))


def _quantities(seen: _Direction, batch: LinkedBatch) -> dict[str, Float[Tensor, "link head"]]:
    """Every quantity of every link, from the dependent to its governor."""
    links = batch.links
    row, dependent, governor = links.row, links.dependent, links.governor
    distance = governor - dependent + seen.attention.shape[-1] - 1
    pairs = seen.pairs[row, distance]
    # A link to punctuation is none of the pairs that a control is made of.
    is_pair = batch.receives[row, seen.attended]
    hit = (seen.target[row, :, dependent] == governor[:, None]).float()
    pieces = batch.frame.pieces[row, seen.attended][:, None]
    quantities = {"accuracy_over_offset": hit - links.offset_hits[:, None]}
    for name, value, everywhere, parts in (
        ("accuracy", hit, seen.hits, torch.ones_like(pieces)),
        ("attention", seen.attention[row, :, dependent, governor], seen.at_distance, pieces),
    ):
        of_pairs = everywhere[row, :, distance]
        control = parts * _control(value / parts, is_pair, of_pairs, pairs, links.peers)
        quantities[name] = value
        quantities[f"{name}_matched"] = value.masked_fill(torch.isnan(control), torch.nan)
        quantities[f"{name}_control"] = control
        quantities[f"{name}_excess"] = value - control
    return quantities


def _control(
    value: Float[Tensor, "link head"],
    is_pair: Bool[Tensor, " link"],
    everywhere: Float[Tensor, "link head"],
    pairs: Float[Tensor, " link"],
    peers: Int[Tensor, " link"],
) -> Float[Tensor, "link head"]:
    """The mean over the sentence's other pairs of words at a link's signed distance.

    Args:
        value: The value of the link itself.
        is_pair: Whether it is in `everywhere` and `pairs`.
        everywhere: The sum over all pairs of the sentence at that distance.
        pairs: How many these are.
        peers: A number for each sentence, relation and distance: pairs of a link's own relation are
            left out.

    Returns:
        The mean; NaN where no pair is left.
    """
    count = int(peers.max()) + 1
    counted = is_pair.to(value.dtype)
    of_peers = value.new_zeros(count, value.shape[1])
    of_peers = of_peers.index_add_(0, peers, value * counted[:, None])
    others = pairs - torch.bincount(peers, counted, minlength=count)[peers]
    mean = (everywhere - of_peers[peers]) / others[:, None].clamp_min(1)
    return torch.where(others[:, None] > 0, mean, torch.nan)


def merged(shards: Sequence[Arrays]) -> tuple[Sums, npt.NDArray[np.float64]]:
    """The sums and the counted offsets of several `Dependencies.arrays`, added up."""
    sums: Sums = {}
    for key in product(DIRECTIONS, QUANTITIES):
        first, *others = [Clustered.from_arrays(shard, "/".join(key)) for shard in shards]
        sums[key] = sum(others, first)
    return sums, np.sum([shard["offsets"] for shard in shards], axis=0)


def of_half(sums: Sums, half: int) -> Sums:
    """The sums over one half of the sentences; a group is a relation."""
    chosen: Sums = {}
    for key, of_both in sums.items():
        relations = len(of_both.n) // 2
        chosen[key] = of_both.groups(range(half * relations, (half + 1) * relations))
    return chosen


def of_direction(sums: Sums, direction: str) -> dict[str, Clustered]:
    """The sums of one direction by quantity."""
    return {quantity: sums[direction, quantity] for quantity in QUANTITIES}


def of_both_halves(sums: Sums) -> Sums:
    """The sums over all sentences; a group is a relation."""
    first, second = of_half(sums, 0), of_half(sums, 1)
    return {key: first[key] + second[key] for key in sums}
