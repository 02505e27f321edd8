"""Where a head's mass goes: entropy, distance, [CLS] and [SEP] (paper, section 4.4; Clark et al.
2019, section 3).
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headscope.measures.base import MEASURES, Measure, Values
from headscope.model.layer_maps import LayerMaps


def most_in(
    received: Float[Tensor, "batch head token"], mask: Bool[Tensor, "*kind batch token"]
) -> Float[Tensor, "*kind batch head"]:
    """The largest of `received` over the tokens of a mask, or of every mask of a stack of them; NaN
    for an example that has none.
    """
    most = received.masked_fill(~mask[..., None, :], -1.0).amax(-1)
    return torch.where(most < 0, torch.nan, most)


def entropy(maps: LayerMaps) -> Values:
    """Mean over the real rows i of -sum_j a_ij ln a_ij, in nats: 0 for one token, ln n for uniform
    attention.
    """
    # Twice as fast as torch.special.entr; a weight of 0 gives 0 as it should.
    tiny = torch.finfo(maps.maps.dtype).tiny
    products = maps.maps.clamp_min(tiny).log_().mul_(maps.maps)
    return maps.over_queries(-products.sum(-1))


def distance(maps: LayerMaps) -> Values:
    """Mean over the real rows i of sum_j a_ij |i - j|, in tokens: 0 for a head that looks at the
    token itself.
    """
    weights = maps.maps
    position = torch.arange(weights.shape[-1], device=weights.device, dtype=weights.dtype)
    distances = (position[:, None] - position).abs()
    return maps.over_queries((weights * distances).sum(-1))


def attention_to_cls(maps: LayerMaps) -> Values:
    """Mean over the real rows of the attention to [CLS], a fraction of mass (paper, section
    4.4).
    """
    return most_in(maps.received, maps.batch.is_cls)


def attention_to_sep(maps: LayerMaps) -> Values:
    """Mean over the real rows of the attention to [SEP]; the larger of the two in a pair (paper,
    section 4.4).
    """
    return most_in(maps.received, maps.batch.separators)


def attention_to_special(maps: LayerMaps) -> Values:
    """Mean over the real rows of the attention to all special tokens together, [CLS] and every
    [SEP], a fraction of mass.
    """
    special = maps.batch.special
    mass = maps.received.masked_fill(~special[:, None], 0.0).sum(-1)
    return mass.masked_fill(~special.any(-1, keepdim=True), torch.nan)


MEASURES.register("entropy")(Measure("nats", entropy))
MEASURES.register("distance")(Measure("tokens", distance))
MEASURES.register("attention_to_cls")(Measure("fraction of mass", attention_to_cls))
MEASURES.register("attention_to_sep")(Measure("fraction of mass", attention_to_sep))
MEASURES.register("attention_to_special")(Measure("fraction of mass", attention_to_special))
