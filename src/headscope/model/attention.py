"""The attention function that transformers calls for every layer: it observes maps and replaces
heads.

`attach(hf_model)` switches a model to it and returns the model's `Tap`, the place where observers
and edits are named. While nothing is named, the function is transformers' own SDPA, bit for bit,
with the full attention of an encoder.
An adapter of a family that does not let others replace its attention calls `open_tap` once and
`attend` in every layer.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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
_TAP = "_headscope_tap"

Mode = Literal["uniform", "zero", "mean"]
MODES: tuple[Mode, ...] = ("uniform", "zero", "mean")


class Call:
    """One call of attention: one layer of one batch. Nothing is computed before it is asked for.

    Attributes:
        module: The module that calls.
        layer: Which call it is within the forward pass, from 0.
        query: [batch, head, query, d], as `key` and `value` with keys in place of queries.
        real: The tokens that are not padding, [batch, key].
    """

    # `options` is what transformers hands to its attention functions: each family adds its own.
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
        self.module = module
        self.layer = layer
        self.real = real
        # Grouped-query attention: several heads share a key and a value.
        groups = int(getattr(module, "num_key_value_groups", 1))
        self.query = query
        self.key = repeat_kv(key, groups)
        self.value = repeat_kv(value, groups)
        self._arguments = (query, key, value, mask)
        self._options = options

    @cached_property
    def maps(self) -> Float[Tensor, "batch head query key"]:
        """The attention weights: fraction of a row's mass on each key. Rows sum to 1, padding gets
        nothing.
        """
        if self._options.get("softcap") is not None:
            raise InterventionError(
                "this model caps its attention scores, which headscope does not measure"
            )
        scaling = self._options.get("scaling")
        if scaling is None:
            scaling = self.query.shape[-1] ** -0.5
        scores = self.query @ self.key.transpose(-1, -2) * scaling
        bias = self._options.get("position_bias")
        if bias is not None:
            scores = scores + bias
        mask = self._arguments[-1]
        if mask is not None:
            # The most negative number, not -inf: a padded query of a local layer may see no key at
            # all.
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        return torch.softmax(scores, -1)

    @cached_property
    def output(self) -> Float[Tensor, "batch query head d"]:
        """The heads' outputs before the output projection."""
        # Where the maps are known, no second product of queries and keys.
        if "maps" in self.__dict__:
            return (self.maps @ self.value).transpose(1, 2).contiguous()
        return sdpa_attention_forward(self.module, *self._arguments, **self._options)[0]


Observer = Callable[[Call], None]


@dataclass
class Edit:
    """Heads whose output is replaced, and the proof that it was.

    Attributes:
        heads: Layer (from 0) -> its heads (from 0).
        mode: What replaces the output.
        means: The heads' mean outputs, for the mode "mean".
        change: How far each head's output moved on the first batch, relative to its norm (0 = not
            at all).
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
        real = call.real[:, None, :, None].to(call.value.dtype)  # [batch, 1, key, 1]
        total = (call.value[:, heads] * real).sum(2)  # [batch, head, d]
        return (total / real.sum(2))[:, None]

    def apply(self, call: Call, output: Tensor) -> Tensor:
        """`output` with this edit's heads replaced; `output` itself if none lies in this layer."""
        heads = self.heads.get(call.layer)
        if heads is None:
            return output
        edited = output.clone()
        edited[:, :, heads] = self.replacement(call, heads)
        names = [Head.at(call.layer, int(head)) for head in heads]
        if not self.change.keys() >= set(names):
            before = output.detach()[:, :, heads].float()[call.real]  # [real token, head, d]
            difference = edited.detach()[:, :, heads].float()[call.real] - before
            relative = difference.norm(dim=(0, 2)) / before.norm(dim=(0, 2)).clamp_min(1e-30)
            self.change.update(zip(names, relative.tolist(), strict=True))
        return edited


@dataclass
class Tap:
    """What happens in one model's attention: who observes, which heads are replaced. One forward
    pass at a time.

    Attributes:
        observers: Called with every call of attention, in order.
        edits: Applied to every output, in order.
        calls: How many calls of attention the forward pass in progress has made.
        passes: How many forward passes have begun.
        real: The real tokens of the pass in progress, [batch, token].
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
        """While the context is open, `edit` holds.

        Raises:
            InterventionError: At the end, if the model ran and one of the heads was not met.
        """
        self.edits.append(edit)
        passes = self.passes
        try:
            yield edit
        finally:
            # By identity: two equal edits may be nested.
            self.edits[:] = [other for other in self.edits if other is not edit]
        wanted = {Head.at(layer, int(h)) for layer, heads in edit.heads.items() for h in heads}
        missed = sorted(wanted - edit.change.keys())
        if missed and self.passes > passes:
            raise InterventionError(
                f"{', '.join(map(str, missed))} should have been disabled, but the model ran "
                "without calling that attention: the result is not what was asked for; please "
                "report the model's family"
            )

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """While the context is open nobody observes and nothing is edited. What runs in it counts
        as no pass of the user's.
        """
        before = replace(self)
        self.observers, self.edits = [], []
        try:
            yield
        finally:
            vars(self).update(vars(before))

    def begin(self, real: Bool[Tensor, "batch token"]) -> None:
        """A forward pass starts with these real tokens."""
        self.calls = 0
        self.real = real
        self.passes += 1


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """The attention of one layer, observed and edited as the model's tap says.

    Args:
        module: The module that calls; `open_tap` gave it its tap.
        query: [batch, head, query, d].
        key: [batch, head, key, d].
        value: [batch, head, key, d].
        attention_mask: Which keys a query may see, boolean, [batch, 1, query, key]; None for all.
        options: As for transformers' SDPA: `scaling`, `dropout`, `position_bias`.

    Returns:
        The heads' outputs, [batch, query, head, d], and None in place of the maps.
    """
    if attention_mask is None:
        # In an encoder no mask means full attention. transformers' SDPA would take it as causal
        # where a module does not say otherwise (Splinter), against the family's own attention. A
        # decoder is refused by the check at load, whose maps are then others than its own.
        options["is_causal"] = False
    tap: Tap | None = module.__dict__.get(_TAP)
    if tap is None or tap.real is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    layer = tap.calls
    tap.calls += 1
    if not tap.observers and not tap.edits:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    call = Call(module, layer, query, key, value, attention_mask, tap.real, options)
    for observer in tap.observers:
        observer(call)
    output = call.output
    for edit in tap.edits:
        output = edit.apply(call, output)
    return output, None


AttentionInterface.register(NAME, attend)
# Without a mask function of the same name transformers hands over no mask, and padding is attended
# to in silence.
AttentionMaskInterface.register(NAME, sdpa_mask)


def open_tap(hf: PreTrainedModel) -> Tap:
    """Give every module of a model the tap that is returned; it takes the real tokens of every pass
    at the encoder's door.
    """
    tap = Tap()
    base = hf.base_model
    signature = inspect.signature(base.forward)

    def begin(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        arguments = signature.bind_partial(*args, **kwargs).arguments
        tokens = arguments.get("input_ids")
        if tokens is None:
            tokens = arguments["inputs_embeds"][..., 0]
        mask = arguments.get("attention_mask")
        if mask is not None and mask.dim() != 2:
            raise InterventionError(
                f"attention_mask must be [batch, token], got {mask.dim()} dimensions"
            )
        tap.begin(torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask.bool())

    base.register_forward_pre_hook(begin, with_kwargs=True)
    for module in hf.modules():
        module.__dict__[_TAP] = tap
    return tap


def attach(hf: PreTrainedModel) -> Tap:
    """Switch a model to headscope's attention through transformers' interface."""
    tap = open_tap(hf)
    hf.set_attn_implementation(NAME)
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
