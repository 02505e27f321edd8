"""What lies below the first disabled head is the same for every set: for any family it is
computed once a batch, by letting the model's own layers return what they returned.

The layers below the first disabled one all return what the last of them returned, in the model's
own forward pass; embeddings, what lies between layers, and the head run as they are. Where that
does not give the model's own outputs, to the bit, on a few examples, nothing is left out.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from headscope.axes import Head
from headscope.model.encoding import Encoded
from headscope.model.layers import left_out, returned
from headscope.model.model import Model
from headscope.model.tap import Mode


@dataclass(frozen=True)
class _Kept:
    """What the layer before `depth` returned for a batch."""

    depth: int
    output: Any
    size: int


class LowerLayers:
    """What the lower layers of a model returned, batch by batch.

    Args:
        model: The model. While something is kept its weights must not change.
        memory: How many bytes are kept; for what does not fit, all layers run.
    """

    def __init__(self, model: Model, memory: int) -> None:
        self._model = model
        self._modules = model.layer_modules
        self._memory = memory
        self._kept: dict[tuple[int, ...], _Kept] = {}

    @contextmanager
    def below(self, layer: int, rows: tuple[int, ...]) -> Iterator[None]:
        """While the context is open, the model runs for the examples `rows` alone, and the layers
        below `layer` (from 0), in which nothing may be edited, run only if what they return is not
        known.
        """
        kept = self._kept.get(rows)
        if not self._modules or (kept is not None and kept.depth > layer):
            yield
            return
        with ExitStack() as stack:
            depth = 0
            if kept is not None:
                depth = kept.depth
                stack.enter_context(left_out(self._modules[:depth], kept.output, self._model.tap))
            if layer > depth:

                def keep(output: Any) -> None:
                    self._keep(rows, layer, output)

                stack.enter_context(returned(self._modules[layer - 1], keep))
            yield

    def _keep(self, rows: tuple[int, ...], depth: int, output: Any) -> None:
        size = _bytes_of(output)
        others = sum(kept.size for key, kept in self._kept.items() if key != rows)
        if others + size <= self._memory:
            self._kept[rows] = _Kept(depth, output, size)


def _bytes_of(output: Any) -> int:
    """How much memory what a layer returns takes."""
    if isinstance(output, Tensor):
        return output.numel() * output.element_size()
    if isinstance(output, tuple | list):
        return sum(_bytes_of(part) for part in output)
    return 0


@torch.inference_mode()
def lower_layers(model: Model, few: Encoded, mode: Mode, memory: int) -> LowerLayers | None:
    """The lower layers of a model; None where they are no modules of their own, or where leaving
    them out changes its outputs on a few examples.
    """
    if not len(few) or not model.layer_modules:
        return None
    layers = LowerLayers(model, memory)
    every = tuple(range(len(few)))
    # The examples together, with padding, and the last one without: other code may run.
    for rows in (every, every[-1:]):
        inputs = few.batch(rows, model.hf.device)
        # From the first layer on, so that what is kept for one is used for the next.
        for layer in range(1, model.layers):
            with model.disabled(Head(layer + 1, 1), mode):
                whole = model.hf(**inputs)[0]
                with layers.below(layer, rows):
                    first = model.hf(**inputs)[0]
                with layers.below(layer, rows):
                    again = model.hf(**inputs)[0]
            if not (torch.equal(first, whole) and torch.equal(again, whole)):
                return None
    return LowerLayers(model, memory)
