"""Where a head's mass goes: entropy, distance, [CLS] and [SEP] (paper, section 4.4; Clark et al.
2019, section 3).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from headscope.measures.base import MEASURES, Measure
from headscope.model.passes import LayerMaps

Values = Float[Tensor, "batch head"]


def entropy(maps: LayerMaps) -> Values:
    """Mean over the real rows i of -sum_j a_ij ln a_ij, in nats: 0 for one token, ln n for uniform
    attention.
    """
    # Twice as fast as torch.special.entr; a weight of 0 gives 0 as it should.
    return maps.over_queries(
        -(maps.maps.clamp_min(torch.finfo(maps.maps.dtype).tiny).log_().mul_(maps.maps)).sum(-1)
    )


def distance(maps: LayerMaps) -> Values:
    """Mean over the real rows i of sum_j a_ij |i - j|, in tokens: 0 for a head that looks at the
    token itself.
    """
    at = torch.arange(maps.maps.shape[-1], device=maps.maps.device, dtype=maps.maps.dtype)
    return maps.over_queries((maps.maps * (at[:, None] - at).abs()).sum(-1))


def attention_to_cls(maps: LayerMaps) -> Values:
    """Mean over the real rows of the attention to [CLS], a fraction of mass (paper, section
    4.4).
    """
    return maps.received[..., 0]


def attention_to_sep(maps: LayerMaps) -> Values:
    """Mean over the real rows of the attention to [SEP]; the larger of the two in a pair (paper,
    section 4.4).
    """
    sep = maps.batch.special.clone()
    sep[:, 0] = False
    received = maps.received.masked_fill(~sep[:, None], -1.0).amax(-1)
    return torch.where(received < 0, torch.nan, received)


MEASURES.register("entropy")(Measure("nats", entropy))
MEASURES.register("distance")(Measure("tokens", distance))
MEASURES.register("attention_to_cls")(Measure("fraction of mass", attention_to_cls))
MEASURES.register("attention_to_sep")(Measure("fraction of mass", attention_to_sep))
