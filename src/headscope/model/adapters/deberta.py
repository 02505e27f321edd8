"""DeBERTa: attention with biases from relative positions to content and from content to relative
positions (He et al. 2021, section 3.1).

Both versions scale the product of content by 1 / sqrt(d * n), n being one more than the kinds of
bias; the modules compute the bias, scaled, themselves.
"""

from typing import Any

from torch import Tensor

from headscope.errors import InterventionError
from headscope.model.adapters.replaced import Replaced, attended


def _forward_v2(
    module: Any,
    hidden_states: Tensor,
    attention_mask: Tensor,  # noqa: ARG001 - it says less than the tap knows.
    output_attentions: bool = False,  # noqa: ARG001 - there are no maps to return.
    query_states: Tensor | None = None,
    relative_pos: Tensor | None = None,
    rel_embeddings: Tensor | None = None,
) -> tuple[Tensor, None]:
    """The attention of DeBERTa v2 and v3.

    Args:
        module: A `DisentangledSelfAttention`.
        hidden_states: [batch, token, hidden].
        attention_mask: Not used.
        output_attentions: Not used.
        query_states: [batch, token, hidden], where queries come from other states.
        relative_pos: The bucket of each distance, [1, query, key].
        rel_embeddings: The embeddings of the buckets, [2 * buckets, hidden].

    Returns:
        The outputs of the heads, [batch, token, hidden], and None in place of the maps.
    """
    heads = module.num_attention_heads
    asking = hidden_states if query_states is None else query_states
    # The module's own form of queries, keys and values: [batch * head, token, d].
    query = module.transpose_for_scores(module.query_proj(asking), heads)
    key = module.transpose_for_scores(module.key_proj(hidden_states), heads)
    value = module.transpose_for_scores(module.value_proj(hidden_states), heads)
    terms = 1 + sum(kind in module.pos_att_type for kind in ("c2p", "p2c"))
    bias = None
    if module.relative_attention and terms > 1:
        bias = module.disentangled_attention_bias(
            query, key, relative_pos, module.pos_dropout(rel_embeddings), terms
        ).unflatten(0, (-1, heads))
    query, key, value = (states.unflatten(0, (-1, heads)) for states in (query, key, value))
    scaling = (query.shape[-1] * terms) ** -0.5
    return attended(module, query, key, value, bias, scaling), None


def _forward_v1(
    module: Any,
    hidden_states: Tensor,
    attention_mask: Tensor,  # noqa: ARG001 - it says less than the tap knows.
    output_attentions: bool = False,  # noqa: ARG001 - there are no maps to return.
    query_states: Tensor | None = None,
    relative_pos: Tensor | None = None,
    rel_embeddings: Tensor | None = None,
) -> tuple[Tensor, None]:
    """The attention of DeBERTa v1 without talking heads; arguments as for v2."""
    if query_states is not None:
        raise InterventionError("it asks with other states than its own, as no encoder does")
    joined = module.transpose_for_scores(module.in_proj(hidden_states))  # [batch, head, token, 3d]
    query, key, value = joined.chunk(3, dim=-1)
    query = query + module.transpose_for_scores(module.q_bias[None, None])
    value = value + module.transpose_for_scores(module.v_bias[None, None])
    terms = 1 + len(module.pos_att_type)
    # The module's bias from content to position takes scaled queries.
    query = query * (query.shape[-1] * terms) ** -0.5
    bias = None
    if module.relative_attention and rel_embeddings is not None and terms > 1:
        bias = module.disentangled_att_bias(
            query, key, relative_pos, module.pos_dropout(rel_embeddings), terms
        )
    return attended(module, query, key, value, bias, 1.0), None


DEBERTA_V2 = Replaced("DisentangledSelfAttention", _forward_v2)
DEBERTA_V1 = Replaced("DisentangledSelfAttention", _forward_v1)


def refuses_talking_heads(config: Any) -> str:
    """Why a configuration of DeBERTa v1 cannot be tapped; "" if it can."""
    if not getattr(config, "talking_head", False):
        return ""
    return "mixes its heads before and after they attend (talking_head)"
