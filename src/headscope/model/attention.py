"""The attention function that transformers calls for every layer: it observes maps and replaces
heads.

`attach(hf_model)` switches a model to it and returns the model's `Tap`, the place where observers
and edits are named. While nothing is named, the function is transformers' own SDPA, bit for bit.
This is the only file that touches queries, keys and values.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from headscope.axes import Head
from headscope.errors import InterventionError

NAME = "headscope"

Mode = Literal["uniform", "zero", "mean"]
MODES: tuple[Mode, ...] = ("uniform", "zero", "mean")


class Call:
    """One call of attention: one layer of one batch. Nothing is computed before it is asked for.

    `layer` counts from 0 within the forward pass. `value` has shape [batch, head, key, d]; `real`
    marks the tokens that are not padding, [batch, key].
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
        groups = int(getattr(module, "num_key_value_groups", 1))
        self.module, self.layer, self.real = module, layer, real
        self.query, self.key, self.value = query, repeat_kv(key, groups), repeat_kv(value, groups)
        self._given, self._mask, self._options = (query, key, value), mask, options

    @cached_property
    def maps(self) -> Float[Tensor, "batch head query key"]:
        """The attention weights: fraction of a row's mass on each key; rows sum to 1, nothing on
        padding.
        """
        if self._options.get("softcap") is not None:
            raise InterventionError(
                "this model caps its attention scores, which headscope does not measure"
            )
        scaling = self._options.get("scaling")
        scaling = self.query.shape[-1] ** -0.5 if scaling is None else scaling
        scores = self.query @ self.key.transpose(-1, -2) * scaling
        if (bias := self._options.get("position_bias")) is not None:
            scores = scores + bias
        if self._mask is not None:
            # The most negative number, not -inf: a padded query of a local layer may see no key at
            # all.
            scores = scores.masked_fill(~self._mask, torch.finfo(scores.dtype).min)
        return torch.softmax(scores, -1)

    @cached_property
    def output(self) -> Float[Tensor, "batch query head d"]:
        """The heads' outputs before the output projection, from the maps where they were asked for,
        else by SDPA.
        """
        if "maps" in self.__dict__:
            return (self.maps @ self.value).transpose(1, 2).contiguous()
        return sdpa_attention_forward(self.module, *self._given, self._mask, **self._options)[0]


Observer = Callable[[Call], None]


@dataclass
class Edit:
    """Heads whose output is replaced, and the proof that it was.

    `heads` maps a layer (from 0) to its heads (from 0). `means`, for the mode "mean", has shape
    [layer, head, d]. `change` says per head how far the first batch's output moved, relative to its
    norm (0 = not at all).
    """

    heads: dict[int, Tensor]
    mode: Mode
    means: Float[Tensor, "layer head d"] | None = None
    change: dict[Head, float] = field(default_factory=dict)

    def replacement(self, call: Call, heads: Tensor) -> Tensor:
        """What the heads put out instead: shape [batch, 1, head, d], the same for every query."""
        if self.mode == "zero":
            return call.output.new_zeros(())
        if self.mode == "mean":
            if self.means is None:
                raise InterventionError(
                    "the mode mean needs the heads' mean outputs: call model.measure_means first"
                )
            return self.means[call.layer, heads].to(call.output)
        # Uniform attention over the n real tokens puts out the mean of their values; no map is
        # needed.
        real = call.real[:, None, :, None].to(call.value.dtype)
        total = (call.value[:, heads] * real).sum(2)
        return (total / real.sum(2))[:, None]

    def apply(self, call: Call, output: Tensor) -> Tensor:
        """`output` with this edit's heads replaced; `output` itself if none lies in this layer."""
        if (heads := self.heads.get(call.layer)) is None:
            return output
        edited = output.clone()
        edited[:, :, heads] = self.replacement(call, heads)
        names = [Head.at(call.layer, int(h)) for h in heads]
        if not self.change.keys() >= set(names):
            before = output.detach()[:, :, heads].float()[call.real]
            moved = edited.detach()[:, :, heads].float()[call.real] - before
            relative = moved.norm(dim=(0, 2)) / before.norm(dim=(0, 2)).clamp_min(1e-30)
            self.change.update(zip(names, relative.tolist(), strict=True))
        return edited


@dataclass
class Tap:
    """What happens in one model's attention: who observes, which heads are replaced. One forward
    pass at a time.
    """

    observers: list[Observer] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    calls: int = 0
    passes: int = 0
    real: Tensor | None = None

    @contextmanager
    def observed(self, observer: Observer) -> Iterator[None]:
        """While the context is open, `observer` sees every call of attention."""
        self.observers.append(observer)
        try:
            yield
        finally:
            self.observers.remove(observer)

    @contextmanager
    def edited(self, edit: Edit) -> Iterator[Edit]:
        """While the context is open, `edit` holds; at the end it must have met every head if the
        model ran at all.
        """
        self.edits.append(edit)
        passes = self.passes
        try:
            yield edit
        finally:
            # By identity: two equal edits may be nested.
            self.edits[:] = [other for other in self.edits if other is not edit]
        wanted = {Head.at(layer, int(h)) for layer, heads in edit.heads.items() for h in heads}
        if self.passes > passes and (missed := sorted(wanted - edit.change.keys())):
            raise InterventionError(
                f"{', '.join(map(str, missed))} should have been disabled, but the model ran "
                "without calling that attention: the result is not what was asked for; please "
                "report the model's family"
            )

    def begin(self, real: Tensor) -> None:
        """A forward pass starts with these real tokens."""
        self.calls, self.real = 0, real
        self.passes += 1


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    tap: Tap | None = module.__dict__.get(_SLOT)
    if tap is None or tap.real is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    layer, tap.calls = tap.calls, tap.calls + 1
    if not tap.observers and not tap.edits:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    call = Call(module, layer, query, key, value, attention_mask, tap.real, options)
    for observer in tap.observers:
        observer(call)
    output = call.output
    for edit in tap.edits:
        output = edit.apply(call, output)
    return output, None


_SLOT = "_headscope_tap"
AttentionInterface.register(NAME, _attend)
# Without a mask function of the same name transformers hands over no mask, and padding is attended
# to in silence.
AttentionMaskInterface.register(NAME, sdpa_mask)


def attach(hf: PreTrainedModel) -> Tap:
    """Switch a Hugging Face model to headscope's attention and return its tap."""
    tap = Tap()
    base = hf.base_model
    signature = inspect.signature(base.forward)

    def begin(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = signature.bind_partial(*args, **kwargs).arguments
        tokens = given.get("input_ids")
        tokens = given["inputs_embeds"][..., 0] if tokens is None else tokens
        mask = given.get("attention_mask")
        if mask is not None and mask.dim() != 2:
            raise InterventionError(
                f"attention_mask must be [batch, token], got {mask.dim()} dimensions"
            )
        tap.begin(torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask.bool())

    base.register_forward_pre_hook(begin, with_kwargs=True)
    for module in hf.modules():
        module.__dict__[_SLOT] = tap
    hf.set_attn_implementation(NAME)
    return tap
