"""Norm-weighted attention: what a head moves, not where its weights lie (Kobayashi et al. 2020,
section 3).

A head adds to token i the sum over j of a_ij f(x_j), with f(x_j) = value_j W_O^h. A token with a
large weight and a short f(x_j), often [CLS] or [SEP], adds little. Since ||a f|| = a ||f||, the
lengths come from the maps and one norm a token; no vector is ever weighted.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from headscope.measures.base import MEASURES, Measure, Values
from headscope.measures.tokens import most_in
from headscope.model.layer_maps import LayerMaps


def norm_attention_to_cls(maps: LayerMaps) -> Values:
    """Mean over the real rows i of ||a_ij f(x_j)|| / sum_k ||a_ik f(x_k)|| for j = [CLS], where
    f(x_j) is the token's value after the head's output projection: the share of what the head moves
    (Kobayashi et al. 2020).
    """
    return most_in(_received(maps), maps.batch.is_cls)


def norm_attention_to_sep(maps: LayerMaps) -> Values:
    """Mean over the real rows i of ||a_ij f(x_j)|| / sum_k ||a_ik f(x_k)|| for j = [SEP], the
    larger of the two in a pair, where f(x_j) is the token's value after the head's output
    projection (Kobayashi et al. 2020).
    """
    return most_in(_received(maps), maps.batch.separators)


def norm_entropy(maps: LayerMaps) -> Values:
    """Mean over the real rows i of -sum_j p_ij ln p_ij, in nats, where p_ij is ||a_ij f(x_j)|| /
    sum_k ||a_ik f(x_k)|| and f(x_j) the token's value after the head's output projection; ln n when
    all n tokens move alike.
    """
    moved = _moved(maps)
    total = moved.sum(-1)
    # With p = m / s: -sum p ln p = ln s - (sum m ln m) / s. The logarithm of a clamped number is
    # faster than entr.
    logarithms = moved.clamp_min(torch.finfo(moved.dtype).tiny).log_()
    entropies = total.log() - (logarithms * moved).sum(-1) / total
    # A padded row may move nothing, and NaN times 0 is NaN.
    return maps.over_queries(entropies.masked_fill(~maps.real[:, None], 0.0))


def _moved(maps: LayerMaps) -> Float[Tensor, "batch head query key"]:
    """||a_ij f(x_j)||, on a scale of the head's own that keeps logarithms small; NaN for a head
    that moves nothing.
    """
    norms = maps.value_norms / maps.value_norms.amax(-1, keepdim=True)
    return maps.maps * norms[..., None, :]


def _received(maps: LayerMaps) -> Float[Tensor, "batch head key"]:
    """The column means over the real rows of the normalised lengths."""
    moved = _moved(maps)
    real = maps.real[:, None]
    weight = torch.where(real, 1.0 / moved.sum(-1), 0.0) / real.sum(-1, keepdim=True)
    return (weight[..., None, :] @ moved)[..., 0, :]


MEASURES.register("norm_attention_to_cls")(Measure("fraction of norm", norm_attention_to_cls))
MEASURES.register("norm_attention_to_sep")(Measure("fraction of norm", norm_attention_to_sep))
MEASURES.register("norm_entropy")(Measure("nats", norm_entropy))
