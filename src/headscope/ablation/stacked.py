"""The fast form: a BERT-like model scored under many sets of disabled heads, layer by layer.

Below the first disabled head all sets have the same states, which are computed once and kept
(`layer_states`). Above it the sets that begin in the same layer are stacked in one batch.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headscope.ablation.bert_layers import BertLayers, HeadOutputs
from headscope.ablation.forms import Form, Unit
from headscope.ablation.layer_states import LayerStates
from headscope.ablation.rounding_guard import RoundingGuard
from headscope.ablation.sets import NamedSet, SetResult, first_layer
from headscope.axes import Head, HeadSet
from headscope.model.encoding import Encoded
from headscope.model.precision import Precision, scoring_autocast
from headscope.model.tap import Mode

UNIT = 16
"""So many sets are scored together: a stack holds many sets of few examples, which are then of like
length, without padding.
"""
CPU_TOKENS = 1024
"""A processor is slower with larger stacks: what lies between two layers leaves its cache."""


@dataclass(frozen=True)
class StackOutputs:
    """What a batch puts out under each set, and how far the least moved head of the set moved."""

    outputs: Float[Tensor, "set batch output"]
    change: Float[Tensor, "set"]


class Stacked(Form):
    """Scores units of sets by the model's own layers.

    Args:
        layers: The model.
        states: What enters its layers for the examples.
        mode: What a disabled head puts out.
        batch_tokens: How many tokens a stack of batches has at most.
        precision: The number format, without a guard.
        guard: Says which examples bfloat16 leaves in doubt. With one, all is computed in bfloat16
            but what enters the first disabled layer, and what is in doubt again in float32.
    """

    def __init__(
        self,
        layers: BertLayers,
        states: LayerStates,
        mode: Mode,
        *,
        batch_tokens: int,
        precision: Precision,
        guard: RoundingGuard | None,
    ) -> None:
        self.layers, self.states, self.mode, self.guard = layers, states, mode, guard
        self.device = layers.model.hf.device
        on_cpu = self.device.type == "cpu"
        self.batch_tokens = min(batch_tokens, CPU_TOKENS) if on_cpu else batch_tokens
        self.precision: Precision = precision if guard is None else "bf16"

    def plan(self, sets: Sequence[NamedSet]) -> list[Unit]:
        """Units of sets that begin in the same layer, from the first layer on."""
        by_layer: list[list[NamedSet]] = [[] for _ in self.layers.layers]
        for name, heads in sets:
            by_layer[first_layer(heads)].append((name, heads))
        groups = []
        for same in by_layer:
            groups += [same[start : start + UNIT] for start in range(0, len(same), UNIT)]
        largest = max((len(group) for group in groups), default=1)
        tokens = max(1, self.batch_tokens // largest)
        return [Unit(tuple(group), tokens) for group in groups]

    def score(self, unit: Unit) -> list[SetResult]:
        """What every set of a unit puts out."""
        sets = [heads for _, heads in unit.sets]
        stack = Stack(self.layers, sets, self.mode, self.batch_tokens)
        scored = self._pass(stack, unit.batch_tokens)
        # Each failure raises the guard's bound, and above the largest difference none fails.
        while scored is None:
            scored = self._pass(stack, unit.batch_tokens)
        outputs = scored.outputs.cpu().numpy()
        change = scored.change.tolist()
        return [
            SetResult(name, heads, outputs[row], change[row])
            for row, (name, heads) in enumerate(unit.sets)
        ]

    def _pass(self, stack: "Stack", batch_tokens: int) -> StackOutputs | None:
        """The outputs of all examples under each set; None when the guard's bound did not hold."""
        batches = self.states.batches(batch_tokens)
        bound = 0.0 if self.guard is None else self.guard.bound
        # One context for all batches: autocast forgets the weights that it has rounded when its
        # outermost context ends.
        with torch.inference_mode(), scoring_autocast(self.precision, self.device):
            numbers = range(len(batches))
            scored = [self._batch(stack, batch_tokens, number) for number in numbers]
        if self.guard is not None and self.guard.bound != bound:
            return None
        # From the order of the batches to that of the examples.
        order = torch.from_numpy(np.argsort(np.concatenate(batches)))
        outputs = torch.cat([batch.outputs for batch in scored], 1)
        return StackOutputs(outputs[:, order.to(self.device)], scored[0].change)

    def _batch(self, stack: "Stack", batch_tokens: int, number: int) -> StackOutputs:
        """The outputs of one batch under each set, those in doubt in float32."""
        with self._exact():
            states, real = self.states.entering(batch_tokens, number, stack.first)
        is_first = number == 0
        scored = stack.run(states, real, measure=is_first)
        if self.guard is None:
            return scored
        # The first batch always, so that the bound is tried on every unit.
        doubtful = self.guard.doubtful(scored.outputs) | is_first
        if not bool(doubtful.any()):
            return scored
        with self._exact():
            exact = stack.run(states[doubtful], real[doubtful], measure=is_first)
        self.guard.learn(scored.outputs[:, doubtful], exact.outputs)
        scored.outputs[:, doubtful] = exact.outputs
        return StackOutputs(scored.outputs, exact.change)

    def _exact(self) -> AbstractContextManager[object]:
        """Within what a guard lets be rounded, the context that is not."""
        if self.guard is None:
            return nullcontext()
        return torch.autocast(self.device.type, enabled=False)


class Stack:
    """A batch of examples, many times over: once with each of several sets disabled.

    Args:
        layers: The model.
        sets: The sets.
        mode: What a disabled head puts out.
        batch_tokens: How many tokens are stacked at most.
    """

    def __init__(
        self, layers: BertLayers, sets: Sequence[HeadSet], mode: Mode, batch_tokens: int
    ) -> None:
        self.layers, self.mode, self.batch_tokens = layers, mode, batch_tokens
        self.last = len(layers.layers) - 1
        self.first = min((first_layer(heads) for heads in sets if heads), default=0)
        model = layers.model
        removed = np.zeros((len(sets), model.layers, model.heads), dtype=bool)
        for row, heads in enumerate(sets):
            for head in heads:
                removed[row][head.index] = True
        self.removed = torch.from_numpy(removed).to(model.hf.device)

    def run(
        self,
        states: Float[Tensor, "batch token hidden"],
        real: Bool[Tensor, "batch token"],
        *,
        measure: bool,
    ) -> StackOutputs:
        """The outputs of one batch under each set.

        Args:
            states: What enters the first layer in which a set has a head.
            real: Which tokens are no padding.
            measure: Run the last layer for all tokens, to know how far heads move there too. Else
                it is run for the first token alone, which is all that the classifier reads, and the
                change is infinite.
        """
        layers, first = self.layers, self.first
        heads = self._attend(first, states, real, measure)
        disabled = heads.disabled()
        difference = disabled - heads.output
        attended = layers.project(first, heads.output, states)
        projections = layers.projections(first)
        moved = _relative(heads.output, disabled, real, 1) if measure else None
        # So many sets of this batch fit into a stack.
        most = max(1, self.batch_tokens // max(1, real.numel()))
        pieces = -(-len(self.removed) // most)
        scored = []
        for removed in self.removed.tensor_split(pieces):
            here = removed[:, first]
            change = torch.full((len(removed),), torch.inf, device=states.device)
            if moved is not None:
                change = torch.where(here, moved, torch.inf).amin(1)
            edited = _edited(attended, difference, here, projections)
            scored.append(self._above(edited, change, removed, real, measure))
        return StackOutputs(
            torch.cat([stack.outputs for stack in scored]),
            torch.cat([stack.change for stack in scored]),
        )

    def _above(
        self,
        attended: Float[Tensor, "set batch query hidden"],
        change: Float[Tensor, "set"],
        removed: Bool[Tensor, "set layer head"],
        real: Bool[Tensor, "batch token"],
        measure: bool,
    ) -> StackOutputs:
        """From the edited attention of the first layer to the outputs."""
        layers = self.layers
        sets, batch = attended.shape[:2]
        states = layers.close(self.first, attended.flatten(0, 1))  # [set * batch, query, hidden]
        real = real.repeat(sets, 1)
        for layer in range(self.first + 1, self.last + 1):
            heads = self._attend(layer, states, real, measure)
            output = heads.output
            here = removed[:, layer]
            if bool(here.any()):
                disabled = heads.disabled()
                if measure:
                    moved = _relative(output, disabled, real, sets)
                    least = torch.where(here, moved, torch.inf).amin(1)
                    change = torch.minimum(change, least)
                replaced = here.repeat_interleave(batch, 0)  # [set * batch, head]
                output = torch.where(replaced[:, None, :, None], disabled, output)
            attended = layers.project(layer, output, states)
            states = layers.close(layer, attended)
        outputs = layers.classify(states).float()
        return StackOutputs(outputs.view(sets, batch, -1), change)

    def _attend(self, layer: int, states: Tensor, real: Tensor, measure: bool) -> HeadOutputs:
        first_token = layer == self.last and not measure
        return self.layers.heads(layer, states, real, self.mode, first_token=first_token)


def _relative(
    output: Float[Tensor, "batch query head d"],
    other: Float[Tensor, "batch query head d"],
    real: Bool[Tensor, "batch token"],
    sets: int,
) -> Float[Tensor, "set head"]:
    """How far `other` lies from `output` over the real tokens, relative to its norm."""
    weight = real[:, :, None, None].float()

    def norm(values: Tensor) -> Tensor:
        by_set = (values.float() * weight).view(sets, -1, *values.shape[1:])
        return by_set.square().sum((1, 2, 4)).sqrt()

    return norm(other - output) / norm(output).clamp_min(1e-30)


def _edited(
    attended: Float[Tensor, "batch query hidden"],
    difference: Float[Tensor, "batch query head d"],
    removed: Bool[Tensor, "set head"],
    projections: Float[Tensor, "head d hidden"],
) -> Float[Tensor, "set batch query hidden"]:
    """`attended` for every set: plus W_h (z'_h - z_h), summed over the heads h that the set
    disables in this layer.
    """
    size = int(removed.sum(1).max())
    # The disabled heads first; where a set has fewer than `size`, a head that stays, with a
    # projection of zero.
    chosen = removed.byte().argsort(1, descending=True)[:, :size]
    weights = projections[chosen] * removed.gather(1, chosen)[:, :, None, None]
    moved = difference.flatten(0, 1)[:, chosen]  # [batch * query, set, size, d]
    moved = moved.flatten(-2).transpose(0, 1)  # [set, batch * query, size * d]
    flat = attended.flatten(0, 1).expand(len(removed), -1, -1)
    return torch.baddbmm(flat, moved, weights.flatten(1, 2)).view(-1, *attended.shape)


def difference_from_model(layers: BertLayers, encoded: Encoded, mode: Mode) -> float:
    """How far the outputs of the fast form lie from the model's own, in float32.

    Compared are all examples at once with nothing disabled, with a head of every layer disabled,
    and with a head of the last layer disabled.

    Returns:
        The largest difference of an output, divided by the model's largest output if above 1.
    """
    model = layers.model
    last = model.layers - 1
    one_of_each = frozenset(Head.at(layer, layer % model.heads) for layer in range(model.layers))
    one_of_last = frozenset([Head.at(last, 0)])
    with torch.inference_mode(), torch.autocast(model.hf.device.type, enabled=False):
        inputs = encoded.batch(range(len(encoded)), model.hf.device)
        real = inputs["attention_mask"].bool()
        expected = [model.hf(**inputs).logits]
        for heads in (one_of_each, one_of_last):
            with model.disabled(heads, mode):
                expected.append(model.hf(**inputs).logits)
        states = layers.enter(inputs)
        everything = 2 * real.numel()
        from_first = Stack(layers, [frozenset(), one_of_each], mode, everything)
        scored = [from_first.run(states, real, measure=False).outputs]
        for layer in range(last):
            states = layers.run(layer, states, real)
        from_last = Stack(layers, [one_of_last], mode, everything)
        scored.append(from_last.run(states, real, measure=False).outputs)
        difference = float((torch.cat(scored) - torch.stack(expected)).abs().max())
    return difference / max(1.0, float(expected[0].abs().max()))
