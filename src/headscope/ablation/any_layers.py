"""A model of any family, run from any layer on by its own forward pass: the layers below return
what they returned before.

Embeddings, what lies between layers, and the head are the model's own code. What a layer returns is
taken as it is, whatever it holds; along which axis its tensors hold the examples is found by
running it for two examples and for three.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from headscope.ablation.layered import Batch, Layered, Picked, Removed, Scored, State
from headscope.axes import HeadSet
from headscope.errors import InterventionError
from headscope.model.halved import halved
from headscope.model.layers import LayerCall, instead
from headscope.model.model import Model
from headscope.model.tap import Mode, RowsEdit

Change = Callable[[Tensor, int | None], Tensor]
"""Makes of a tensor and its axis of examples another tensor; the axis is None where it has none."""


class AnyLayers(Layered):
    """A model by its own forward pass.

    A state is what the layer below returned, None for the first layer.

    Args:
        model: The model, which must have `layer_modules`.
        mode: What a disabled head puts out.
        hf: What is run: the model's own, or a copy of it in another format.
        axes: What `axes_of` found; by default it is asked.

    Raises:
        InterventionError: No axis of what a layer returns holds the examples, or several do.
    """

    def __init__(
        self,
        model: Model,
        mode: Mode,
        hf: PreTrainedModel | None = None,
        axes: list[list[int | None]] | None = None,
    ) -> None:
        self.model, self.mode, self.hf = model, mode, model.hf if hf is None else hf
        names = {id(module): name for name, module in model.hf.named_modules()}
        self._modules = [self.hf.get_submodule(names[id(module)]) for module in model.layer_modules]
        self._dtype = next(self.hf.base_model.parameters()).dtype
        self._axes = self.axes_of() if axes is None else axes

    def enter(self, batch: Batch) -> State:  # noqa: ARG002 - the model begins with the batch.
        """What enters the first layer: nothing that need be kept."""
        return None

    def advance(
        self, state: State, batch: Batch, start: int, stop: int, heads: HeadSet = frozenset()
    ) -> State:
        """What layer `stop - 1` returns, given what layer `start - 1` did."""
        reached: Any = state

        def run(call: LayerCall) -> Any:
            nonlocal reached
            if start <= call.layer < stop:
                reached = call.own()
            # Above, what was reached goes through to the head, which makes of it what it can.
            return reached

        chosen = frozenset(head for head in heads if start <= head.index[0] < stop)
        edited = self.model.disabled(chosen, self.mode) if chosen else nullcontext()
        with edited, instead(self._modules, self.model.tap, run):
            self.hf.base_model(**batch.columns)
        return reached

    def branch(
        self,
        state: State,
        batch: Batch,
        start: int,
        removed: Removed,
        *,
        stack_tokens: int,
        measure: bool,
    ) -> Scored:
        """What a batch puts out under several sets."""
        most = max(1, stack_tokens // max(1, batch.tokens))
        pieces = -(-len(removed) // most)
        outputs, changes = [], []
        for number in range(pieces):
            piece = removed.rows(slice(number * most, (number + 1) * most))
            sets = len(piece)
            edit = self._edit(piece.each(len(batch.rows)), start, sets if measure else 0)
            columns = {name: column.repeat(sets, 1) for name, column in batch.columns.items()}
            scored = self._from(start, self._repeated(state, start, sets), columns, edit)
            outputs.append(scored.view(sets, len(batch.rows), -1))
            changes.append(_least_moved(edit, piece, outputs[-1].device))
        return Scored(torch.cat(outputs), torch.cat(changes))

    def rows(
        self, picked: Sequence[Picked], start: int, removed: Removed
    ) -> Float[Tensor, "row output"]:
        """What examples of some batches put out, each under a set of its own."""
        outputs = []
        first = 0
        # What layers return cannot be padded, so every batch goes by itself.
        for some in picked:
            rows = removed.rows(slice(first, first + len(some.examples)))
            first += len(some.examples)
            columns = {name: column[some.examples] for name, column in some.batch.columns.items()}
            state = self._chosen(some.state, start, some.examples)
            outputs.append(self._from(start, state, columns, self._edit(rows, start, 0)))
        return torch.cat(outputs)

    def rounded(self, dtype: torch.dtype) -> "AnyLayers":
        """The same model computing in half precision."""
        return AnyLayers(self.model, self.mode, halved(self.model, dtype), self._axes)

    def size(self, state: State) -> int:
        """How many bytes a state takes."""
        return sum(tensor.nbytes for tensor in _tensors(state))

    def axes_of(self) -> list[list[int | None]]:
        """For every layer, along which axis each tensor that it returns holds the examples."""
        shapes: list[list[list[torch.Size]]] = []
        for examples in (2, 3):
            ids = torch.full((examples, 7), _some_token(self.model), device=self.hf.device)
            returned: list[list[torch.Size]] = []

            def keep(call: LayerCall, returned: list[list[torch.Size]] = returned) -> Any:
                output = call.own()
                returned.append([tensor.shape for tensor in _tensors(output)])
                return output

            with instead(self._modules, self.model.tap, keep), self.model.tap.set_aside():
                self.hf.base_model(input_ids=ids, attention_mask=torch.ones_like(ids))
            shapes.append(returned)
        return [_axes(two, three) for two, three in zip(*shapes, strict=True)]

    def _from(
        self, start: int, state: State, columns: dict[str, Tensor], edit: RowsEdit
    ) -> Float[Tensor, "row output"]:
        """The whole model, of which the layers below `start` return the state."""

        def run(call: LayerCall) -> Any:
            return state if call.layer < start else call.own()

        tap = self.model.tap
        with tap.edited(edit), instead(self._modules, tap, run):
            outputs: Tensor = self.hf(**columns).logits
        return outputs.float()

    def _edit(self, removed: Removed, start: int, sets: int) -> RowsEdit:
        layers = frozenset(layer for layer in removed.layers if layer >= start)
        return RowsEdit(removed.heads, layers, self.mode, self.model.means, sets)

    def _repeated(self, state: State, start: int, times: int) -> State:
        """A state for `times` sets, one behind the other."""

        def repeat(tensor: Tensor, axis: int | None) -> Tensor:
            return tensor if axis is None else torch.cat([tensor] * times, axis)

        return self._changed(state, start, repeat)

    def _chosen(self, state: State, start: int, examples: Tensor) -> State:
        """A state for some of the examples."""

        def choose(tensor: Tensor, axis: int | None) -> Tensor:
            return tensor if axis is None else tensor.index_select(axis, examples)

        return self._changed(state, start, choose)

    def _changed(self, state: State, start: int, change: Change) -> State:
        """A state in the format of this copy, every tensor changed."""
        if start == 0:
            return None
        axes = iter(self._axes[start - 1])

        def one(tensor: Tensor) -> Tensor:
            changed = change(tensor, next(axes))
            return changed.to(self._dtype) if changed.is_floating_point() else changed

        return _mapped(state, one)


def _some_token(model: Model) -> int:
    """The id of a token that is not the padding."""
    return int(model.tokenizer("a")["input_ids"][0])


def _tensors(state: State) -> list[Tensor]:
    """The tensors of what a layer returns, in order."""
    if isinstance(state, Tensor):
        return [state]
    if not isinstance(state, tuple | list):
        return []
    found: list[Tensor] = []
    for part in state:
        found += _tensors(part)
    return found


def _mapped(state: State, change: Callable[[Tensor], Tensor]) -> State:
    """What a layer returns with every tensor changed."""
    if isinstance(state, Tensor):
        return change(state)
    if isinstance(state, tuple | list):
        return type(state)([_mapped(part, change) for part in state])
    return state


def _axes(two: list[torch.Size], three: list[torch.Size]) -> list[int | None]:
    """Where the shapes for two examples differ from those for three."""
    axes: list[int | None] = []
    for one, other in zip(two, three, strict=True):
        apart = [axis for axis in range(len(one)) if one[axis] != other[axis]]
        # Several heads may share an axis with the examples; such a state cannot be repeated.
        if len(one) != len(other) or len(apart) > 1:
            raise InterventionError("what its layers return has no axis for the examples alone")
        if apart and (one[apart[0]], other[apart[0]]) != (2, 3):
            raise InterventionError("what its layers return mixes the examples with other things")
        axes.append(apart[0] if apart else None)
    return axes


def _least_moved(edit: RowsEdit, removed: Removed, device: torch.device) -> Float[Tensor, "set"]:
    """How far the least moved of the disabled heads moved in every set."""
    change = torch.full((len(removed),), torch.inf, device=device)
    for layer, moved in edit.moved.items():
        here = removed.heads[:, layer]
        change = torch.minimum(change, torch.where(here, moved, torch.inf).amin(1))
    return change
