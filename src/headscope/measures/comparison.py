"""What fine-tuning changes: the cosine of maps before and after (paper, section 4.3), and each
measure's difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from headscope.errors import HeadscopeError
from headscope.measures.base import Moments, See, Tally, find_measures, preparing, values_of
from headscope.model.encoding import Encoded, batches
from headscope.model.model import Model
from headscope.model.passes import BATCH_TOKENS, LayerMaps, batch_of, see_batch
from headscope.model.precision import Precision
from headscope.progress import Advance, silent
from headscope.words.align import Aligned

COSINE = "cosine_to_pretrained"
NOTEBOOK_WIDTH = 200
"""The notebook pads every map to so many tokens, and counts the rows of the padding."""


@dataclass(frozen=True)
class Comparison:
    """Two models on the same examples: every measure before, after, and their paired difference;
    and the cosine.
    """

    before: dict[str, Moments]
    after: dict[str, Moments]
    difference: dict[str, Moments]
    cosine: Moments


def cosine(
    before: LayerMaps, after: LayerMaps, *, padding: bool = False
) -> Float[Tensor, "batch head"]:
    """Cosine of the two maps of a head, flattened: sum_ij a_ij b_ij / (|a| |b|); 1 if nothing
    changed.

    Over real tokens; with `padding` the rows of the padding count too, as in the notebook.
    """
    a, b = before.maps, after.maps
    if not padding:
        rows = before.real[:, None, :, None].to(a.dtype)
        a, b = a * rows, b * rows
    return (a * b).sum((2, 3)) / (a.square().sum((2, 3)).sqrt() * b.square().sum((2, 3)).sqrt())


def compare(
    before: Model,
    after: Model,
    encoded: Encoded,
    names: Sequence[str],
    *,
    words: Sequence[Aligned] | None = None,
    faithful: bool = False,
    also: tuple[See, See] | None = None,
    batch_tokens: int = BATCH_TOKENS,
    precision: Precision = "auto",
    advance: Advance = silent,
) -> Comparison:
    """Run both models over the same batches, one batch at a time; the maps of one batch are held,
    all its layers.

    faithful: the notebook's forms, with maps padded to 200 tokens. also: are shown the same maps,
    before and after. Raises HeadscopeError when the two differ in shape.
    """
    shape = (before.layers, before.heads)
    if shape != (after.layers, after.heads):
        raise HeadscopeError(
            f"{before.name} has {before.layers} x {before.heads} heads, {after.name} "
            f"{after.layers} x {after.heads}: compare a model with its own fine-tuned form"
        )
    chosen = find_measures(names, faithful=faithful)
    prepare = preparing(chosen, words)
    first, second, difference = (Tally(names, *shape) for _ in range(3))
    cosines = Tally([COSINE], *shape)
    for rows in batches(encoded.lengths, batch_tokens):
        width = NOTEBOOK_WIDTH if faithful else 0
        inputs, plain = batch_of(encoded, rows, before.hf.device, width)
        batch = prepare(plain)
        kept: list[LayerMaps] = []
        values: list[Tensor] = []

        def see_before(
            maps: LayerMaps, kept: list[LayerMaps] = kept, values: list[Tensor] = values
        ) -> None:
            kept.append(maps)
            values.append(
                values_of(chosen, maps) if chosen else maps.maps.new_empty(0, *maps.maps.shape[:2])
            )
            first.add(maps.layer, values[-1])
            if also is not None:
                also[0](maps)

        def see_after(
            maps: LayerMaps, kept: list[LayerMaps] = kept, values: list[Tensor] = values
        ) -> None:
            own = values_of(chosen, maps) if chosen else values[maps.layer]
            second.add(maps.layer, own)
            difference.add(maps.layer, own - values[maps.layer])
            cosines.add(maps.layer, cosine(kept[maps.layer], maps, padding=faithful)[None])
            if also is not None:
                also[1](maps)

        with torch.inference_mode():
            see_batch(before, inputs, batch, see_before, precision=precision)
            see_batch(after, inputs, batch, see_after, precision=precision)
        advance(len(rows))
    return Comparison(
        first.moments(), second.moments(), difference.moments(), cosines.moments()[COSINE]
    )
