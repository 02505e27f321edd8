"""The loops that people write to disable heads, for any classifier of transformers.

The model is transformers' own, as `from_pretrained` gives it. For every set of heads hooks replace
what the output projection of a layer reads, and the whole model runs over all examples. Knows
nothing of headscope.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from disabling.places import Layer, find_layers

Mode = Literal["uniform", "zero"]
Outputs = npt.NDArray[np.float32]
Heads = Mapping[int, Sequence[int]]
"""The heads that are disabled, by layer; both counted from 0."""
MakeBatch = Callable[[Sequence[int]], dict[str, Tensor]]
"""The model's arguments for some examples, padded to the longest."""
LOOP_BATCH = 32


@dataclass(frozen=True)
class Batches:
    """The examples as a rival takes them, made before it is timed.

    Attributes:
        rows: Which examples every batch has.
        inputs: The model's arguments for each.
    """

    rows: list[list[int]]
    inputs: list[dict[str, Tensor]]


def in_order(count: int, batch: MakeBatch) -> Batches:
    """32 examples at a time in the order of the data, as most people do."""
    rows = [
        list(range(start, min(start + LOOP_BATCH, count))) for start in range(0, count, LOOP_BATCH)
    ]
    return Batches(rows, [batch(few) for few in rows])


def by_length(lengths: Sequence[int], tokens: int, batch: MakeBatch) -> Batches:
    """Batches of examples of like length with at most so many tokens, padding included."""
    rows: list[list[int]] = []
    for row in np.argsort(np.asarray(lengths), kind="stable").tolist():
        if rows and (len(rows[-1]) + 1) * lengths[row] <= tokens:
            rows[-1].append(row)
        else:
            rows.append([row])
    return Batches(rows, [batch(few) for few in rows])


def best_tokens(device: torch.device) -> int:
    """How many tokens a batch of the skilled loop has: what fills a GPU, or a processor's cache."""
    return 65_536 if device.type == "cuda" else 2_048


class Plain:
    """A classifier of transformers whose heads are disabled by hooks.

    Attributes:
        hf: The model.
        layers: Its layers.
        heads: How many heads a layer has.
        mode: What a disabled head puts out: the mean of its values over the real tokens, or zero.
            Zero in any case where the projection to values cannot be hooked.
    """

    def __init__(self, folder: Path | str, mode: Mode, device: torch.device) -> None:
        auto: Any = AutoModelForSequenceClassification
        hf: Any = auto.from_pretrained(folder, dtype=torch.float32)
        self.hf = hf.eval().to(device)
        self.layers = find_layers(hf)
        # ConvBERT replaces a part of its heads by a convolution.
        self.heads = hf.config.num_attention_heads // getattr(hf.config, "head_ratio", 1)
        knows_values = all(layer.values is not None for layer in self.layers)
        self.mode: Mode = mode if knows_values else "zero"
        self._real = torch.empty(0)
        self._called = 0

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.hf.device
        return device

    @torch.no_grad()
    def outputs(self, batches: Batches, heads: Heads) -> Outputs:
        """What the model puts out for every example with some heads disabled, [example, output]."""
        outputs: list[Tensor] = []
        with self.disabled(heads):
            for inputs in batches.inputs:
                self._real, self._called = inputs["attention_mask"][..., None], 0
                outputs.append(self.hf(**inputs).logits)
        order = [row for rows in batches.rows for row in rows]
        scored = torch.cat(outputs).float().cpu().numpy()
        return np.asarray(scored[np.argsort(order)])

    @torch.no_grad()
    def skilled(self, batches: Batches, sets: Sequence[Heads]) -> list[Outputs]:
        """The same for many sets in bfloat16, with one context, so that weights are cast once."""
        with torch.autocast(self.device.type, torch.bfloat16):
            return [self.outputs(batches, heads) for heads in sets]

    @contextmanager
    def disabled(self, heads: Heads) -> Iterator[None]:
        """While the context is open, the heads put out their mean value, or nothing."""
        hooks = []
        if len(self.layers) < self.hf.config.num_hidden_layers:
            # ALBERT calls a module for several layers.
            for layer in self.layers:
                hooks += self._hook(layer, lambda: heads.get(self._called, ()))
        else:
            for index in heads:
                hooks += self._hook(self.layers[index], partial(heads.__getitem__, index))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _hook(self, layer: Layer, now: Callable[[], Sequence[int]]) -> list[Any]:
        values: list[Tensor] = []
        is_transposed = isinstance(layer.reader, nn.Conv1d)

        def keep(_module: nn.Module, _given: Any, output: Any) -> None:
            projected = output[0] if isinstance(output, tuple) else output
            projected = projected.transpose(1, 2) if is_transposed else projected
            width = projected.shape[-1] // layer.parts
            values[:] = [projected[..., -width:]]

        def replace(_module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
            chosen = now()
            self._called += 1
            # [batch, token, head * d]; SqueezeBERT's tokens stand last.
            states = given[0].transpose(1, 2) if is_transposed else given[0]
            states = states.clone()
            for head in chosen:
                part = self._part(layer, head)
                states[..., part] = self._mean(values[0][..., part]) if values else 0.0
            return (states.transpose(1, 2) if is_transposed else states, *given[1:])

        hooks = [layer.reader.register_forward_pre_hook(replace)]
        if self.mode == "uniform":
            hooks.append(layer.values.register_forward_hook(keep))
        return hooks

    def _part(self, layer: Layer, head: int) -> slice:
        """Where a head's outputs stand in what the reader reads."""
        width = layer.reader.weight.shape[1]
        if layer.values is not None:
            # ConvBERT's reader reads the outputs of a convolution behind those of the heads.
            width = layer.values.weight.shape[0] // layer.parts
        size = width // self.heads
        return slice(head * size, (head + 1) * size)

    def _mean(self, values: Tensor) -> Tensor:
        return (values * self._real).sum(1, keepdim=True) / self._real.sum(1, keepdim=True)
