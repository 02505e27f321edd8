"""Attention that transformers lets others replace: headscope's function for it, and how a model is
switched to that function.

While nobody observes and nothing is edited, the function is transformers' own SDPA, bit for bit,
with the full attention of an encoder. An adapter of a family that computes its attention itself
calls `open_tap` once and `attend` in every layer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from headscope.errors import InterventionError
from headscope.model.tap import Call, Tap, open_tap, tap_of

NAME = "headscope"


class ScoredCall(Call):
    """A call of attention with its queries and keys, from which the maps are computed.

    Args:
        module: The module that calls.
        layer: Which call it is within the forward pass, from 0.
        query: [batch, head, query, d], as `key` and `value` with keys in place of queries.
        key: [batch, head, key, d]; fewer heads where several share a key.
        value: [batch, head, key, d].
        mask: Which keys a query may see, boolean, or what is added to its scores; None for all.
        real: The tokens that are not padding, [batch, key].
        options: What transformers hands to its attention functions: each family adds its own.
    """

    def __init__(
        self,
        module: nn.Module,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        real: Bool[Tensor, "batch key"],
        options: dict[str, Any],
    ) -> None:
        # Grouped-query attention: several heads share a key and a value.
        groups = int(getattr(module, "num_key_value_groups", 1))
        super().__init__(layer, repeat_kv(value, groups), real)
        self._module = module
        self._arguments = (query, key, value, mask)
        self._options = options

    def maps_of(self, heads: slice) -> Float[Tensor, "batch head query key"]:
        """The attention weights of some heads."""
        if self._options.get("softcap") is not None:
            raise InterventionError(
                "this model caps its attention scores, which headscope does not measure"
            )
        query, key, _, mask = self._arguments
        groups = int(getattr(self._module, "num_key_value_groups", 1))
        query, key = query[:, heads], repeat_kv(key, groups)[:, heads]
        scaling = self._options.get("scaling")
        if scaling is None:
            scaling = query.shape[-1] ** -0.5
        # In place: a map of 8,192 tokens takes 256 MiB.
        scores = (query @ key.transpose(-1, -2)).mul_(scaling)
        if mask is not None and mask.dtype == torch.bool:
            # The most negative number, not -inf: a padded query of a local layer may see no key at
            # all.
            scores.masked_fill_(~_heads_of(mask, heads), torch.finfo(scores.dtype).min)
        elif mask is not None:
            scores.add_(_heads_of(mask, heads))
        return torch.softmax(scores, -1)

    @cached_property
    def output(self) -> Float[Tensor, "batch query head d"]:
        """The heads' outputs before the output projection."""
        # Where the maps are known, no second product of queries and keys.
        if "maps" in self.__dict__:
            return (self.maps @ self.value).transpose(1, 2).contiguous()
        return sdpa_attention_forward(self._module, *self._arguments, **self._options)[0]


def _heads_of(mask: Tensor, heads: slice) -> Tensor:
    """The part of a mask that is of some heads; it may be one for all."""
    return mask if mask.shape[1] == 1 else mask[:, heads]


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    position_bias: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """The attention of one layer, observed and edited as the model's tap says.

    Args:
        module: The module that calls; `open_tap` gave it its tap.
        query: [batch, head, query, d].
        key: [batch, head, key, d].
        value: [batch, head, key, d].
        attention_mask: Which keys a query may see, boolean, [batch, 1, query, key]; None for all.
        position_bias: What is added to the scores, [batch, head, query, key], as relative
            positions are.
        options: As for transformers' SDPA: `scaling`, `dropout`.

    Returns:
        The heads' outputs, [batch, query, head, d], and None in place of the maps.
    """
    mask = attention_mask
    if mask is None:
        # In an encoder no mask means full attention. transformers' SDPA would take it as causal
        # where a module does not say otherwise (Splinter), against the family's own attention. A
        # decoder is refused by the check at load, whose maps are then others than its own.
        options["is_causal"] = False
    if position_bias is not None:
        mask = _biased(position_bias, mask)
    tap = tap_of(module)
    if tap is None or tap.real is None:
        return sdpa_attention_forward(module, query, key, value, mask, **options)
    layer = tap.next_layer()
    if tap.is_idle:
        return sdpa_attention_forward(module, query, key, value, mask, **options)
    return tap.met(ScoredCall(module, layer, query, key, value, mask, tap.real, options)), None


def _biased(bias: Tensor, mask: Tensor | None) -> Tensor:
    """What is added to the scores: the bias, and the most negative number where nothing is to be
    seen.
    """
    if mask is None:
        return bias
    if mask.dtype == torch.bool:
        return torch.where(mask, bias, torch.finfo(bias.dtype).min)
    return bias + mask


AttentionInterface.register(NAME, attend)
# Without a mask function of the same name transformers hands over no mask, and padding is attended
# to in silence.
AttentionMaskInterface.register(NAME, sdpa_mask)


def attach(hf: PreTrainedModel) -> Tap:
    """Switch a model to headscope's attention through transformers' interface."""
    before = hf.config._attn_implementation
    tap = open_tap(hf)
    hf.set_attn_implementation(NAME)
    tap.undo.callback(hf.set_attn_implementation, before)
    return tap


@contextmanager
def eager(hf: PreTrainedModel) -> Iterator[None]:
    """While the context is open, a model that `attach` switched runs transformers' eager attention,
    which can return its maps.
    """
    hf.set_attn_implementation("eager")
    try:
        yield
    finally:
        hf.set_attn_implementation(NAME)
