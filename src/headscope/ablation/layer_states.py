"""What enters a layer, kept from call to call: lower layers are not run again for other sets."""

from dataclasses import dataclass, field

from torch import Tensor

from headscope.ablation.bert_layers import BertLayers
from headscope.model.encoding import Encoded, batches


@dataclass
class _Batch:
    """A batch of examples, and what enters some layers for it, the least recently used first."""

    rows: list[int]
    real: Tensor | None = None
    states: dict[int, Tensor] = field(default_factory=dict)


class LayerStates:
    """What enters each layer of an unchanged model, batch by batch.

    Every call passes over all batches, so the state that was used longest ago is the very one that
    is needed next. Room is made by other cuts into batches, then by the same batch's layer that was
    used longest ago; what still does not fit is computed again whenever it is needed.

    Args:
        layers: The model.
        encoded: The examples.
        memory: How many bytes are kept at most.
        most_layers: For how many layers a batch's states are kept at most. One is enough for a pass
            that goes up the layers once.
    """

    def __init__(self, layers: BertLayers, encoded: Encoded, memory: int, most_layers: int) -> None:
        self.layers, self.encoded = layers, encoded
        self.free, self.most_layers = memory, most_layers
        # By tokens a batch, the least recently used first.
        self._cuts: dict[int, list[_Batch]] = {}

    def batches(self, batch_tokens: int) -> list[list[int]]:
        """The rows of the examples of every batch of at most `batch_tokens` tokens."""
        return [batch.rows for batch in self._cut(batch_tokens)]

    def entering(self, batch_tokens: int, number: int, layer: int) -> tuple[Tensor, Tensor]:
        """What enters a layer for a batch, and which tokens of the batch are no padding.

        Args:
            batch_tokens: How many tokens the batches have at most.
            number: Which of these batches, from 0.
            layer: Which layer, from 0.

        Returns:
            The states [batch, token, hidden], read only, and the real tokens [batch, token].
        """
        batch = self._cut(batch_tokens)[number]
        below = [kept for kept in batch.states if kept <= layer]
        if batch.real is None or not below:
            inputs = self.encoded.batch(batch.rows, self.layers.model.hf.device)
            batch.real = inputs["attention_mask"].bool()
            states = self.layers.enter(inputs)
            start = 0
        else:
            start = max(below)
            # Put back at the end: it is the most recently used one now.
            states = batch.states.pop(start)
            batch.states[start] = states
        for passed in range(start, layer):
            states = self.layers.run(passed, states, batch.real)
        if layer not in batch.states:
            self._keep(batch, layer, states)
        return states, batch.real

    def _cut(self, batch_tokens: int) -> list[_Batch]:
        cut = self._cuts.pop(batch_tokens, None)
        if cut is None:
            cut = [_Batch(rows) for rows in batches(self.encoded.lengths, batch_tokens)]
        self._cuts[batch_tokens] = cut
        return cut

    def _keep(self, batch: _Batch, layer: int, states: Tensor) -> None:
        size = states.nbytes
        # The cut in use is the last.
        while self.free < size and len(self._cuts) > 1:
            oldest = next(iter(self._cuts))
            for other in self._cuts.pop(oldest):
                self.free += sum(kept.nbytes for kept in other.states.values())
        is_full = self.free < size or len(batch.states) >= self.most_layers
        if is_full and batch.states:
            oldest = next(iter(batch.states))
            self.free += batch.states.pop(oldest).nbytes
        if size <= self.free:
            batch.states[layer] = states
            self.free -= size
