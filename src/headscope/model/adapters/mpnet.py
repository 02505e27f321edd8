"""MPNet: BERT's attention with a bias for relative positions, the same in every layer."""

from typing import Any

from torch import Tensor

from headscope.model.adapters.replaced import Replaced, attended


def _forward(
    module: Any,
    hidden_states: Tensor,
    attention_mask: Tensor | None = None,  # noqa: ARG001 - it says less than the tap knows.
    position_bias: Tensor | None = None,
    **_options: Any,
) -> tuple[Tensor, None]:
    """MPNet's attention.

    Args:
        module: An `MPNetSelfAttention`.
        hidden_states: [batch, token, hidden].
        attention_mask: Not used.
        position_bias: [batch, head, query, key].

    Returns:
        The projected outputs of the heads, [batch, token, hidden], and None in place of the maps.
    """
    query, key, value = (
        linear(hidden_states).unflatten(-1, (module.num_attention_heads, -1)).transpose(1, 2)
        for linear in (module.q, module.k, module.v)
    )
    scaling = module.attention_head_size**-0.5
    return module.o(attended(module, query, key, value, position_bias, scaling)), None


MPNET = Replaced("MPNetSelfAttention", _forward)
