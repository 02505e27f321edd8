"""Who observes a model's attention and which heads are replaced, however the model is tapped.

A tapped model shows its tap every call of attention, one a layer, as a `Call`. Observers look at
it; edits replace the outputs of heads. How a family is brought to do so is said by its
`families.Tapping`.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from headscope.axes import Head
from headscope.errors import InterventionError

Mode = Literal["uniform", "zero", "mean"]
MODES: tuple[Mode, ...] = ("uniform", "zero", "mean")
_TAP = "_headscope_tap"


class Call(ABC):
    """One call of attention: one layer of one batch. Nothing is computed before it is asked for.

    Attributes:
        layer: Which call it is within the forward pass, from 0.
        value: What is weighted, [batch, head, key, d].
        real: The tokens that are not padding, [batch, key].
    """

    def __init__(self, layer: int, value: Tensor, real: Bool[Tensor, "batch key"]) -> None:
        self.layer = layer
        self.value = value
        self.real = real

    @abstractmethod
    def maps_of(self, heads: slice) -> Float[Tensor, "batch head query key"]:
        """The attention weights of some heads, as `maps`; nothing is kept."""

    @cached_property
    def maps(self) -> Float[Tensor, "batch head query key"]:
        """The attention weights: fraction of a row's mass on each key. Rows sum to 1, padding gets
        nothing.
        """
        return self.maps_of(slice(None))

    @property
    @abstractmethod
    def output(self) -> Float[Tensor, "batch query head d"]:
        """The heads' outputs before the output projection."""


Observer = Callable[[Call], None]
Edits = TypeVar("Edits", "Edit", "RowsEdit")


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
        real = call.real[:, None, :, None]  # [batch, 1, key, 1]
        total = (call.value[:, heads] * real).sum(2)  # [batch, head, d]
        # Half precision cannot count to more than a few hundred.
        count = real.sum(2, dtype=torch.float32)
        return (total / count).to(total.dtype)[:, None]

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

    def missed(self) -> list[Head]:
        """The heads whose attention was not met."""
        wanted = {Head.at(layer, int(h)) for layer, heads in self.heads.items() for h in heads}
        return sorted(wanted - self.change.keys())


@dataclass
class RowsEdit:
    """Heads whose output is replaced, others in every row of a batch, and the proof that it was.

    Attributes:
        removed: Whether a head is replaced in a row.
        layers: The layers, from 0, in which a head of any row is.
        mode: What replaces the output.
        means: The heads' mean outputs, for the mode "mean".
        moved: By layer, how far each head's output would move if it were replaced in all rows of a
            set, relative to its norm, [set, head]; filled where `sets` is given.
        sets: Of how many sets of equally many rows `moved` is told; 0 for none.
        met: The layers that were met.
    """

    removed: Bool[Tensor, "row layer head"]
    layers: frozenset[int]
    mode: Mode
    means: Float[Tensor, "layer head d"] | None = None
    sets: int = 0
    moved: dict[int, Tensor] = field(default_factory=dict)
    met: set[int] = field(default_factory=set)

    def apply(self, call: Call, output: Tensor) -> Tensor:
        """`output` with every row's heads replaced."""
        if call.layer not in self.layers:
            return output
        self.met.add(call.layer)
        every = torch.arange(output.shape[2], device=output.device)
        # As for one set, so that the two cannot differ in what stands for a head.
        one = Edit({}, self.mode, self.means)
        replacement = one.replacement(call, every).expand_as(output)
        if self.sets:
            self.moved[call.layer] = relative_change(output, replacement, call.real, self.sets)
        here = self.removed[:, call.layer, None, :, None]
        return torch.where(here, replacement.to(output.dtype), output)

    def missed(self) -> list[Head]:
        """The heads that should have been replaced, in a layer that was not met."""
        layers = sorted(self.layers - self.met)
        return [Head.at(layer, 0) for layer in layers]


def relative_change(
    output: Float[Tensor, "row query head d"],
    other: Float[Tensor, "row query head d"],
    real: Bool[Tensor, "row token"],
    sets: int,
) -> Float[Tensor, "set head"]:
    """How far `other` lies from `output` over the real tokens, relative to its norm."""
    weight = real[:, :, None, None].float()

    def norm(values: Tensor) -> Tensor:
        by_set = (values.float() * weight).view(sets, -1, *values.shape[1:])
        return by_set.square().sum((1, 2, 4)).sqrt()

    return norm(other - output) / norm(output).clamp_min(1e-30)


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
        undo: What takes the tap out of the model again.
    """

    observers: list[Observer] = field(default_factory=list)
    edits: list[Edit | RowsEdit] = field(default_factory=list)
    calls: int = 0
    passes: int = 0
    real: Tensor | None = None
    undo: ExitStack = field(default_factory=ExitStack)

    @property
    def is_idle(self) -> bool:
        """Whether nobody observes and nothing is edited."""
        return not self.observers and not self.edits

    @contextmanager
    def observed(self, observer: Observer) -> Iterator[None]:
        """While the context is open, `observer` sees every call of attention."""
        self.observers.append(observer)
        try:
            yield
        finally:
            self.observers.remove(observer)

    @contextmanager
    def edited(self, edit: Edits) -> Iterator[Edits]:
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
        missed = edit.missed()
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

    def next_layer(self) -> int:
        """The number of the call of attention that begins, from 0."""
        layer = self.calls
        self.calls += 1
        return layer

    def met(self, call: Call) -> Float[Tensor, "batch query head d"]:
        """Show a call to the observers; returns what its heads put out, edited."""
        for observer in self.observers:
            observer(call)
        output = call.output
        for edit in self.edits:
            output = edit.apply(call, output)
        return output

    def detach(self) -> None:
        """Take the tap out of its model, which then is as it was before."""
        self.undo.close()


def tap_of(module: nn.Module) -> Tap | None:
    """The tap of the model that a module belongs to."""
    tap: Tap | None = module.__dict__.get(_TAP)
    return tap


def open_tap(hf: PreTrainedModel) -> Tap:
    """Give every module of a model the tap that is returned, in place of any that it has; it takes
    the real tokens of every pass at the encoder's door.
    """
    before = tap_of(hf)
    if before is not None:
        before.detach()
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

    tap.undo.callback(base.register_forward_pre_hook(begin, with_kwargs=True).remove)
    for module in hf.modules():
        module.__dict__[_TAP] = tap
        tap.undo.callback(module.__dict__.pop, _TAP)
    return tap
