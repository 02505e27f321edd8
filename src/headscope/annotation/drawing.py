"""Draw maps at random in strata: third of the layers x length of the example, evenly."""

from dataclasses import dataclass

import numpy as np

from headscope.annotation.records import AnnotatedMap, quantise
from headscope.axes import Head
from headscope.errors import HeadscopeError
from headscope.models import Model
from headscope.stream import LayerMaps, stream
from headscope.tasks.encoding import Encoded, only

LENGTHS = ((8, 16), (17, 32), (33, 64), (65, 128))
"""The strata of lengths, in tokens, both ends included."""
_CANDIDATE_EXAMPLES, _INSIDE, _IN_BAND, _A_HEAD = 40, 0.8, 0.35, 4


@dataclass(frozen=True)
class Origin:
    """Where maps come from: the model's name, the pre-trained weights it descends from, and the task or treebank."""

    model: str
    family: str
    source: str


def draw(model: Model, encoded: Encoded, origin: Origin, count: int, seed: int) -> list[AnnotatedMap]:
    """About `count` maps of distinct heads and examples, spread evenly over the strata that have examples.

    Raises HeadscopeError if no example has 8 to 128 tokens.
    """
    rng = np.random.default_rng(seed)
    lengths = encoded.lengths
    strata = [rows for low, high in LENGTHS if len(rows := np.flatnonzero((lengths >= low) & (lengths <= high)))]
    if not strata:
        raise HeadscopeError("no example has between 8 and 128 tokens: choose another task")
    thirds = [part for part in np.array_split(np.arange(model.layers), min(3, model.layers)) if len(part)]
    cells = [(rows, layers) for rows in strata for layers in thirds]
    chosen: dict[tuple[int, int, int], None] = {}
    order = rng.permutation(len(cells))
    for at in range(20 * count):
        rows, layers = cells[order[at % len(cells)]]
        chosen[int(rng.choice(rows)), int(rng.choice(layers)), int(rng.integers(model.heads))] = None
        if len(chosen) == count:
            break
    return _take(model, encoded, origin, list(chosen), "random")


def draw_blocks(model: Model, encoded: Encoded, origin: Origin, count: int, seed: int) -> list[AnnotatedMap]:
    """Candidates for block, which is rare: words give words of their own text most of what they give to words.

    Of at most 40 pairs, drawn from the maps in which words get half of all mass, 0.8 of it within their own text, and
    the diagonal band less than 0.35; at most 4 maps a head.
    """
    pairs = [i for i, own in enumerate(encoded.segments) if len(set(own)) > 1 and 8 <= len(own) <= 128]
    rng = np.random.default_rng(seed)
    rows = sorted(rng.permutation(pairs)[:_CANDIDATE_EXAMPLES].tolist())
    found: list[tuple[int, int, int]] = []

    def see(maps: LayerMaps) -> None:
        batch = maps.batch
        word = batch.real & ~batch.special
        both = word[:, :, None] & word[:, None]
        same = (batch.segment[:, :, None] == batch.segment[:, None]) & both
        inside = (maps.maps * same[:, None]).sum((-2, -1))
        all_words = (maps.maps * both[:, None]).sum((-2, -1))
        # Rows of padding hold weights too, and the first of them lies beside the last token.
        real = maps.maps * batch.real[:, None, :, None]
        near = sum(real.diagonal(offset, -2, -1).sum(-1) for offset in (-1, 0, 1))
        rows_of = word.sum(-1)[:, None]
        block = (inside >= _INSIDE * all_words) & (all_words >= 0.5 * rows_of) & (near < _IN_BAND * rows_of)
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
