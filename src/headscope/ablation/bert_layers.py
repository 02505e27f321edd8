"""A classifier that is built like BERT, by its own layers: the attention of the layer in which sets
begin is computed once for all of them, and the last layer for the first token alone.

What is added to the model's own modules is the order of calls within a layer. Embeddings and the
classification head are the model's own forward pass without its layers. Whether the outputs are
the model's is checked on the data at hand (`checked.difference_from_model`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from headscope.ablation.bert_parts import BertLayer, HalvedLayer, stream_format
from headscope.ablation.layered import Batch, Layered, Picked, Removed, Scored
from headscope.axes import HeadSet
from headscope.errors import InterventionError
from headscope.model.families import family_of
from headscope.model.layers import LayerCall, instead
from headscope.model.model import Model
from headscope.model.tap import Mode, relative_change


@dataclass(frozen=True)
class _State:
    """What enters a layer.

    Attributes:
        hidden: [row, token, hidden].
        bias: What every layer adds to its scores for the distance of two tokens, [1, head, query,
            key]; None where nothing is.
        real: Which tokens are no padding.
        is_padded: Whether any is.
    """

    hidden: Tensor
    bias: Tensor | None
    real: Bool[Tensor, "row token"]
    is_padded: bool

    def repeated(self, sets: int) -> "_State":
        """The same for several sets, one behind the other, without its hidden states."""
        return replace(self, real=self.real.repeat(sets, 1))


@dataclass(frozen=True)
class _HeadOutputs:
    """What the heads of a layer put out, and what each would put out if it were disabled.

    Attributes:
        output: [row, query, head, d].
        disabled: Computes the same when it is called, each head disabled by itself.
    """

    output: Tensor
    disabled: Callable[[], Tensor]


class BertLayers(Layered):
    """A model for which `fits` holds.

    Args:
        model: The model.
        mode: What a disabled head puts out.
        layers: Its layers in another format; by default its own.
    """

    def __init__(self, model: Model, mode: Mode, layers: Sequence[BertLayer] | None = None) -> None:
        self.model, self.mode = model, mode
        self._parts = family_of(model.family).layer_parts
        if layers is None:
            if self._parts is None:
                raise InterventionError(f"the parts of a layer of {model.family} are not known")
            parts = self._parts
            layers = [BertLayer(module, parts, model.heads) for module in model.layer_modules]
        self.layers = list(layers)
        self.last = len(self.layers) - 1

    @staticmethod
    def fits(model: Model) -> bool:
        """Whether a model has a head and layers of the parts that its family names."""
        parts = family_of(model.family).layer_parts
        modules = model.layer_modules
        if parts is None or not model.has_head or not modules:
            return False
        return all(BertLayer.fits(module, parts) for module in modules)

    def enter(self, batch: Batch) -> _State:
        """What enters the first layer."""
        entered: list[Tensor] = []
        biases: list[Tensor] = []
        place = None if self._parts is None else self._parts.bias

        def run(call: LayerCall) -> Any:
            hidden = call.argument("hidden_states", 0)
            if call.layer == 0:
                entered.append(hidden)
                if place is not None:
                    biases.append(call.argument("position_bias", place)[:1])
            return self._returned(hidden)

        with instead(self.model.layer_modules, self.model.tap, run):
            self.model.hf.base_model(**batch.columns)
        bias = biases[0] if biases else None
        return _State(entered[0], bias, batch.real, batch.is_padded)

    def advance(
        self, state: _State, batch: Batch, start: int, stop: int, heads: HeadSet = frozenset()
    ) -> _State:
        """What enters layer `stop`."""
        removed = Removed.of([heads] if heads else [], self.model)
        rows = removed.each(len(batch.rows))
        hidden = state.hidden.to(self.stream)
        mask = self._mask(state)
        for layer in range(start, stop):
            hidden = self._run(layer, hidden, state, mask, rows)
        return replace(state, hidden=hidden)

    def branch(
        self,
        state: _State,
        batch: Batch,
        start: int,
        removed: Removed,
        *,
        stack_tokens: int,
        measure: bool,
    ) -> Scored:
        """What a batch puts out under several sets."""
        layer = self.layers[start]
        entering = state.hidden.to(self.stream)
        heads = self._attend(start, entering, state, self._mask(state), measure)
        attended = layer.project(heads.output, entering)
        here = removed.heads[:, start]
        change = torch.full((len(removed),), torch.inf, device=here.device)
        difference = None
        if start in removed.layers:
            disabled = heads.disabled().expand_as(heads.output)
            difference = disabled - heads.output
            if measure:
                moved = relative_change(heads.output, disabled, state.real, 1)
                change = torch.where(here, moved, torch.inf).amin(1)
        # So many sets of this batch fit into a stack.
        most = max(1, stack_tokens // max(1, batch.tokens))
        finals, changes = [], []
        for first in range(0, len(removed), most):
            piece = slice(first, first + most)
            size = removed.most[start]
            edited = _edited(layer, attended, difference, here[piece], size)
            hidden = layer.close(edited.flatten(0, 1))  # [set * batch, query, hidden]
            stack = _Stack(removed.rows(piece), state.repeated(len(edited)), change[piece], measure)
            hidden = self._climb(hidden, stack, start + 1)
            finals.append(hidden[:, 0])
            changes.append(stack.change)
        outputs = self._classify(torch.cat(finals), batch)
        return Scored(outputs.view(len(removed), len(batch.rows), -1), torch.cat(changes))

    def rows(
        self, picked: Sequence[Picked], start: int, removed: Removed
    ) -> Float[Tensor, "row output"]:
        """What examples of some batches put out, each under a set of its own."""
        width = max(some.state.hidden.shape[1] for some in picked)
        hidden, real = [], []
        for some in picked:
            beyond = width - some.state.hidden.shape[1]
            hidden.append(functional.pad(some.state.hidden[some.examples], (0, 0, 0, beyond)))
            real.append(functional.pad(some.state.real[some.examples], (0, beyond)))
        longest = max(picked, key=lambda some: some.state.hidden.shape[1])
        is_padded = len({some.state.hidden.shape[1] for some in picked}) > 1
        is_padded = is_padded or any(some.state.is_padded for some in picked)
        state = _State(torch.cat(hidden), longest.state.bias, torch.cat(real), is_padded)
        current, mask = state.hidden.to(self.stream), self._mask(state)
        for layer in range(start, self.last + 1):
            only_first = layer == self.last
            current = self._run(layer, current, state, mask, removed, only_first=only_first)
        return self._classify(current[:, 0], longest.batch)

    def rounded(self, dtype: torch.dtype) -> "BertLayers":
        """The same model computing in half precision."""
        stream = stream_format(self.model.hf.device, dtype)
        halves = [HalvedLayer(layer, dtype, stream) for layer in self.layers]
        return BertLayers(self.model, self.mode, halves)

    @property
    def stream(self) -> torch.dtype:
        """The format of what is added up from layer to layer."""
        return self.layers[0].stream

    def size(self, state: _State) -> int:
        """How many bytes a state takes."""
        return state.hidden.nbytes

    def _climb(self, hidden: Tensor, stack: "_Stack", start: int) -> Tensor:
        """From layer `start` to the last, the stack's sets disabled."""
        batch = len(hidden) // len(stack.removed)
        rows = stack.removed.each(batch)
        mask = self._mask(stack.state)
        for layer in range(start, self.last + 1):
            only_first = layer == self.last and not stack.measure
            hidden = self._run(layer, hidden, stack.state, mask, rows, stack, only_first=only_first)
        return hidden

    def _run(
        self,
        layer: int,
        hidden: Float[Tensor, "row token hidden"],
        state: _State,
        mask: Tensor | None,
        rows: Removed,
        stack: "_Stack | None" = None,
        *,
        only_first: bool = False,
    ) -> Float[Tensor, "row query hidden"]:
        """One layer, each row's heads disabled."""
        heads = self._attend(layer, hidden, state, mask, measure=not only_first)
        output = heads.output
        if layer in rows.layers:
            disabled = heads.disabled()
            if stack is not None and stack.measure:
                stack.learn(layer, output, disabled.expand_as(output))
            output = torch.where(rows.heads[:, layer, None, :, None], disabled, output)
        own = self.layers[layer]
        return own.close(own.project(output, hidden))

    def _attend(
        self, layer: int, hidden: Tensor, state: _State, mask: Tensor | None, measure: bool
    ) -> _HeadOutputs:
        """The attention of a layer: for all tokens, or in the last for the first one alone, which
        is all that the head reads.
        """
        if layer == self.last and not measure:
            return self._first_token(layer, hidden, state)
        own = self.layers[layer]
        query, key, value = own.query_key_value(hidden)
        output = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)

        def disabled() -> Tensor:
            if self.mode == "uniform":
                weight = state.real[:, None, :, None]
                # Half precision cannot count to more than a few hundred.
                count = weight.sum(2, dtype=torch.float32)
                return ((value * weight).sum(2) / count).to(value.dtype)[:, None]
            return self._constant(layer, output.transpose(1, 2))

        return _HeadOutputs(output.transpose(1, 2), disabled)

    def _mask(self, state: _State) -> Tensor | None:
        """What is added to the scores, or which keys are seen; None for all. The same for every
        layer.
        """
        seen = state.real[:, None, None] if state.is_padded else None
        if state.bias is None:
            return seen
        bias = state.bias.to(self.layers[0].dtype)
        return bias if seen is None else bias.masked_fill(~seen, torch.finfo(bias.dtype).min)

    def _first_token(self, layer: int, hidden: Tensor, state: _State) -> _HeadOutputs:
        """The attention of the first token, without keys and values of the others.

        One query meets all tokens, so its projections are moved: q (K x + b) is (q K) x + qb, with
        qb the same for all keys, and a sum of values with weights that sum to 1 is the value of the
        sum.
        """
        own = self.layers[layer]
        query = own.one_query(hidden[:, 0]).transpose(0, 1)  # [head, row, d]
        states = hidden.to(query.dtype)
        scaling = query.shape[-1] ** -0.5
        scores = (query @ own.key_weight).transpose(0, 1) @ states.mT  # [row, head, token]
        scores = scores.float() * scaling
        if state.bias is not None:
            scores = scores + state.bias[:, :, 0]
        if state.is_padded:
            scores = scores.masked_fill(~state.real[:, None], -torch.inf)
        weights = scores.softmax(-1).to(states.dtype)
        attended = (weights @ states).transpose(0, 1)  # [head, row, hidden]
        output = (attended @ own.value_weight.mT).transpose(0, 1) + own.value_bias

        def disabled() -> Tensor:
            if self.mode == "uniform":
                # Uniform attention puts out the mean of the values, the value of the mean.
                whole = torch.promote_types(hidden.dtype, torch.float32)
                share = state.real.to(whole) / state.real.sum(1, keepdim=True)
                return own.values_of((share[:, None] @ hidden.to(whole))[:, 0])[:, None]
            return self._constant(layer, output[:, None])

        return _HeadOutputs(output[:, None], disabled)

    def _constant(self, layer: int, output: Float[Tensor, "row query head d"]) -> Tensor:
        """What heads put out in the modes zero and mean."""
        if self.mode == "zero":
            return torch.zeros_like(output[:, :1])
        if self.model.means is None:
            raise InterventionError(
                "the mode mean needs the heads' mean outputs: call model.measure_means first"
            )
        return self.model.means[layer].to(output).expand_as(output[:, :1])

    def _classify(
        self, first: Float[Tensor, "row hidden"], batch: Batch
    ) -> Float[Tensor, "row output"]:
        """The model's own head, given the first token's states after the last layer."""
        hidden = first[:, None].float()

        def run(_call: LayerCall) -> Any:
            return self._returned(hidden)

        columns = {
            name: column[:1, :1].expand(len(first), 1) for name, column in batch.columns.items()
        }
        with instead(self.model.layer_modules, self.model.tap, run):
            outputs: Tensor = self.model.hf(**columns).logits
        return outputs.float()

    def _returned(self, hidden: Tensor) -> Any:
        """The states as a layer of this model returns them."""
        return (hidden,) if self._parts is not None and self._parts.in_tuple else hidden


class _Stack:
    """Several sets of one batch on their way up, one behind the other.

    Attributes:
        removed: Their heads, a row for each.
        state: What is known of the tokens, for every row.
        change: How far the least moved head of each has moved so far.
        measure: Whether that is measured.
    """

    def __init__(self, removed: Removed, state: _State, change: Tensor, measure: bool) -> None:
        self.removed, self.state, self.change, self.measure = removed, state, change, measure

    def learn(self, layer: int, output: Tensor, disabled: Tensor) -> None:
        """Take in how far a layer's heads move."""
        moved = relative_change(output, disabled, self.state.real, len(self.removed))
        least = torch.where(self.removed.heads[:, layer], moved, torch.inf).amin(1)
        self.change = torch.minimum(self.change, least)


def _edited(
    layer: BertLayer,
    attended: Float[Tensor, "batch query hidden"],
    difference: Float[Tensor, "batch query head d"] | None,
    removed: Bool[Tensor, "set head"],
    size: int,
) -> Float[Tensor, "set batch query hidden"]:
    """`attended` for every set: plus W_h (z'_h - z_h), summed over the heads h that the set
    disables in this layer, at most `size`.
    """
    sets = len(removed)
    if difference is None:
        return attended.expand(sets, *attended.shape)
    # The disabled heads first; where a set has fewer than `size`, a head that stays, with a
    # projection of zero.
    chosen = removed.byte().argsort(1, descending=True)[:, :size]
    weights = layer.projections[chosen] * removed.gather(1, chosen)[:, :, None, None]
    moved = difference.flatten(0, 1)[:, chosen]  # [batch * query, set, size, d]
    moved = moved.flatten(-2).transpose(0, 1)  # [set, batch * query, size * d]
    edited = layer.add(attended.flatten(0, 1), moved, weights.flatten(1, 2))
    return edited.view(sets, *attended.shape)
