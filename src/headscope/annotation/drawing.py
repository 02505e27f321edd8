"""Draw maps at random in strata: third of the layers x length of the example, evenly."""

from dataclasses import dataclass

import numpy as np
import torch

from headscope.annotation.records import AnnotatedMap, quantise
from headscope.axes import Head
from headscope.errors import HeadscopeError
from headscope.model.encoding import Encoded, only
from headscope.model.model import Model
from headscope.model.passes import LayerMaps, stream
from headscope.patterns.map_features import PROFILES, Frame, edge, row_profiles

LENGTHS = ((8, 16), (17, 32), (33, 64), (65, 128))
"""The strata of lengths, in tokens, both ends included."""
_CANDIDATE_EXAMPLES, _A_HEAD = 40, 4
_EDGE, _MASS, _INSIDE, _IN_BAND, _IN_STRIPES = 0.2, 0.06, 0.6, 0.5, 0.5


@dataclass(frozen=True)
class Origin:
    """Where maps come from: the model's name, the pre-trained weights it descends from, and the
    task or treebank.
    """

    model: str
    family: str
    source: str


def draw(
    model: Model, encoded: Encoded, origin: Origin, count: int, seed: int
) -> list[AnnotatedMap]:
    """About `count` maps of distinct heads and examples, spread evenly over the strata that have
    examples.

    Raises HeadscopeError if no example has 8 to 128 tokens.
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
    thirds = [
        part for part in np.array_split(np.arange(model.layers), min(3, model.layers)) if len(part)
    ]
    cells = [(rows, layers) for rows in strata for layers in thirds]
    chosen: dict[tuple[int, int, int], None] = {}
    order = rng.permutation(len(cells))
    for at in range(20 * count):
        rows, layers = cells[order[at % len(cells)]]
        chosen[int(rng.choice(rows)), int(rng.choice(layers)), int(rng.integers(model.heads))] = (
            None
        )
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
        i for i, own in enumerate(encoded.segments) if len(set(own)) > 1 and 8 <= len(own) <= 128
    ]
    rng = np.random.default_rng(seed)
    rows = sorted(rng.permutation(pairs)[:_CANDIDATE_EXAMPLES].tolist())
    found: list[tuple[int, int, int]] = []

    def see(maps: LayerMaps) -> None:
        batch = maps.batch
        frame = Frame.of(batch.real, batch.special, batch.segment)
        contrast, least, mass = edge(maps.maps, frame).unbind(-1)
        profiles = row_profiles(maps.maps, frame)
        named = dict(zip(PROFILES, profiles.unbind(-1), strict=True))
        near, stripes = (
            named[name].sum(-1) / batch.real.sum(-1)[:, None] for name in ("wide_band", "stripes")
        )
        own, other = named["own_text"], named["other_text"]
        second = frame.second[:, None]
        inside = torch.stack(
            [(own * text).sum(-1) / ((own + other) * text).sum(-1) for text in (second, 1 - second)]
        )
        block = (
            (contrast > _EDGE) & (least > _EDGE / 2) & (mass > _MASS) & (inside.amin(0) > _INSIDE)
        )
        block &= (near < _IN_BAND) & (stripes < _IN_STRIPES)
        found.extend((rows[batch.examples[b]], maps.layer, h) for b, h in block.nonzero().tolist())

    stream(model, only(encoded, rows), see)
    chosen: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for at in rng.permutation(len(found)).tolist():
        own = chosen.setdefault(found[at][1:], [])
        if len(own) < _A_HEAD:
            own.append(found[at])
    drawn = [one for own in chosen.values() for one in own]
    picked = rng.permutation(len(drawn))[:count].tolist()
    return _take(model, encoded, origin, [drawn[at] for at in picked], "block candidate")


def _take(
    model: Model, encoded: Encoded, origin: Origin, chosen: list[tuple[int, int, int]], drawn: str
) -> list[AnnotatedMap]:
    rows = sorted({example for example, _, _ in chosen})
    wanted: dict[tuple[int, int], list[int]] = {}
    for example, layer, head in chosen:
        wanted.setdefault((example, layer), []).append(head)
    out: list[AnnotatedMap] = []

    def see(maps: LayerMaps) -> None:
        for b, at in enumerate(maps.batch.examples.tolist()):
            example = rows[at]
            tokens = len(encoded.segments[example])
            for head in wanted.get((example, maps.layer), ()):
                name = Head.at(maps.layer, head)
                out.append(
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
                        quantised=quantise(maps.maps[b, head, :tokens, :tokens].cpu().numpy()),
                    )
                )

    stream(model, only(encoded, rows), see)
    return out
