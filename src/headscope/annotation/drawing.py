"""Draw maps at random in strata: third of the layers x length of the example, evenly."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from headscope.annotation.records import AnnotatedMap, quantise
from headscope.axes import Head
from headscope.errors import HeadscopeError
from headscope.model.encoding import Encoded, only
from headscope.model.layer_maps import Batch, LayerMaps
from headscope.model.model import Model
from headscope.model.passes import run_pass
from headscope.patterns.map_features import PROFILES, Frame, edge, row_profiles

LENGTHS = ((8, 16), (17, 32), (33, 64), (65, 128))
"""The strata of lengths, in tokens, both ends included."""
_CANDIDATE_EXAMPLES, _A_HEAD = 40, 4
_EDGE, _MASS, _INSIDE, _IN_BAND, _IN_STRIPES = 0.2, 0.06, 0.6, 0.5, 0.5

Place = tuple[int, int, int]
"""Where a map is: example, layer and head, from 0."""


@dataclass(frozen=True)
class Origin:
    """Where maps come from.

    Attributes:
        model: The model's name.
        family: The pre-trained weights that it descends from.
        source: The task or treebank.
    """

    model: str
    family: str
    source: str


def draw(
    model: Model, encoded: Encoded, origin: Origin, count: int, seed: int
) -> list[AnnotatedMap]:
    """Draw maps of distinct heads and examples, spread evenly over the strata that have examples.

    Args:
        model: The model.
        encoded: The examples.
        origin: Where the maps come from.
        count: How many maps to draw; fewer come out where there are not so many.
        seed: Random seed.

    Raises:
        HeadscopeError: No example has 8 to 128 tokens.
    """
    rng = np.random.default_rng(seed)
    lengths = encoded.lengths
    strata = [
        rows
        for low, high in LENGTHS
        if len(rows := np.flatnonzero((lengths >= low) & (lengths <= high)))
    ]
    if not strata:
        raise HeadscopeError("no example has between 8 and 128 tokens: choose another task")
    layers = np.arange(model.layers)
    thirds = [third for third in np.array_split(layers, min(3, model.layers)) if len(third)]
    cells = [(rows, third) for rows in strata for third in thirds]
    order = rng.permutation(len(cells))
    # There are no more maps than this, however many are asked for.
    count = min(count, sum(map(len, strata)) * model.layers * model.heads)
    # A dictionary for its order: the same map may be drawn twice.
    chosen: dict[Place, None] = {}
    for turn in range(20 * count):
        rows, third = cells[order[turn % len(cells)]]
        place = (int(rng.choice(rows)), int(rng.choice(third)), int(rng.integers(model.heads)))
        chosen[place] = None
        if len(chosen) == count:
            break
    return _take(model, encoded, origin, list(chosen), "random")


def draw_blocks(
    model: Model, encoded: Encoded, origin: Origin, count: int, seed: int
) -> list[AnnotatedMap]:
    """Candidates for block, which is rare: words keep to their own text, with an edge at the
    border.

    Of at most 40 pairs, drawn from the maps in which words of either text give 0.6 of what they
    give to words to their own; words of the own text get at least 0.2 more than words of the other
    at the same distance, as a fraction of both (0.1 in either text), which are at least 0.06 of the
    mass; and the seven places around the diagonal and the four strongest columns each get less than
    half. At most 4 maps a head.
    """
    pairs = [
        row
        for row, segments in enumerate(encoded.segments)
        if len(set(segments)) > 1 and 8 <= len(segments) <= 128
    ]
    rng = np.random.default_rng(seed)
    rows = sorted(rng.permutation(pairs)[:_CANDIDATE_EXAMPLES].tolist())
    finder = _BlockFinder()
    run_pass(model, only(encoded, rows), [finder])
    by_head: dict[tuple[int, int], list[Place]] = {}
    for index in rng.permutation(len(finder.places)).tolist():
        example, layer, head = finder.places[index]
        of_head = by_head.setdefault((layer, head), [])
        if len(of_head) < _A_HEAD:
            of_head.append((rows[example], layer, head))
    candidates = [place for places in by_head.values() for place in places]
    picked = rng.permutation(len(candidates))[:count].tolist()
    return _take(model, encoded, origin, [candidates[index] for index in picked], "block candidate")


class _BlockFinder:
    """Finds the maps of a pass that may be blocks, by the thresholds of `draw_blocks`."""

    def __init__(self) -> None:
        self.places: list[Place] = []

    def prepare(self, batch: Batch) -> Frame:
        """The frame of the batch."""
        return Frame.of(batch.real, batch.special, batch.segment)

    def see(self, maps: LayerMaps, prepared: Frame) -> None:
        """Look at one layer of one batch."""
        contrast, least, mass = edge(maps.maps, prepared).unbind(-1)
        profiles = row_profiles(maps.maps, prepared).unbind(-1)
        of_rows = dict(zip(PROFILES, profiles, strict=True))
        tokens = maps.real.sum(-1)[:, None]
        in_band = of_rows["wide_band"].sum(-1) / tokens
        in_stripes = of_rows["stripes"].sum(-1) / tokens
        kept, given_away = of_rows["own_text"], of_rows["other_text"]
        second = prepared.second[:, None]
        # Of what words of either text give to words, the part that stays: [text, batch, head].
        inside = torch.stack(
            [
                (kept * text).sum(-1) / ((kept + given_away) * text).sum(-1)
                for text in (second, 1 - second)
            ]
        )
        is_block = (contrast > _EDGE) & (least > _EDGE / 2) & (mass > _MASS)
        is_block &= inside.amin(0) > _INSIDE
        is_block &= (in_band < _IN_BAND) & (in_stripes < _IN_STRIPES)
        for row, head in is_block.nonzero().tolist():
            self.places.append((int(maps.batch.examples[row]), maps.layer, head))


def _take(
    model: Model, encoded: Encoded, origin: Origin, chosen: list[Place], drawn: str
) -> list[AnnotatedMap]:
    """The maps at the chosen places, to annotate."""
    rows = sorted({example for example, _, _ in chosen})
    taker = _MapTaker((rows.index(example), layer, head) for example, layer, head in chosen)
    run_pass(model, only(encoded, rows), [taker])
    maps = []
    for (index, layer, head), quantised in taker.maps.items():
        name, example = Head.at(layer, head), rows[index]
        maps.append(
            AnnotatedMap(
                id=f"{origin.model}/{origin.source}/{example}/{name}",
                model=origin.model,
                family=origin.family,
                head=name,
                source=origin.source,
                example=example,
                drawn=drawn,
                special=tuple(encoded.special[example]),
                segments=tuple(encoded.segments[example]),
                quantised=quantised,
            )
        )
    return maps


class _MapTaker:
    """Takes the maps at some places from a pass, in 8 bits."""

    def __init__(self, places: Iterable[Place]) -> None:
        self.maps: dict[Place, npt.NDArray[np.uint8]] = {}
        self._heads: dict[tuple[int, int], list[int]] = {}
        for example, layer, head in places:
            self._heads.setdefault((example, layer), []).append(head)

    def prepare(self, batch: Batch) -> list[int]:
        """The number of tokens of each example of the batch."""
        lengths: list[int] = batch.real.sum(-1).tolist()
        return lengths

    def see(self, maps: LayerMaps, prepared: list[int]) -> None:
        """Take what is wanted of one layer of one batch."""
        rows = zip(maps.batch.examples.tolist(), maps.maps, prepared, strict=True)
        for example, of_example, tokens in rows:
            for head in self._heads.get((example, maps.layer), ()):
                weights = of_example[head, :tokens, :tokens].cpu().numpy()
                self.maps[example, maps.layer, head] = quantise(weights)
