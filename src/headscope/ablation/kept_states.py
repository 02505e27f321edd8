"""What enters a layer, kept from call to call: what several sets share is not run again."""

from dataclasses import dataclass, field

from headscope.ablation.layered import Batch, Layered, State
from headscope.ablation.plan import Trunk
from headscope.model.encoding import Encoded, batches


@dataclass
class _Entry:
    """A batch, and what enters layers of it under some trunks, the least recently used first."""

    rows: list[int]
    batch: Batch | None = None
    states: dict[Trunk, State] = field(default_factory=dict)


class KeptStates:
    """What enters the layers of a model for the examples, batch by batch, under trunks.

    Every call passes over all batches, so the state that was used longest ago is the very one that
    is needed next: room is made by the same batch's own states. What does not fit is computed again
    whenever it is needed.

    Args:
        layered: The model.
        encoded: The examples.
        batch_tokens: Over how many tokens a batch goes at most; the first, in which it is proved
            that heads move, over an eighth.
        memory: How many bytes are kept at most.
        most: For how many trunks a batch's states are kept at most. One is enough for a pass that
            goes up the layers once.
    """

    def __init__(
        self, layered: Layered, encoded: Encoded, batch_tokens: int, memory: int, most: int
    ) -> None:
        self.layered, self.encoded = layered, encoded
        self.free, self.most = memory, most
        self._memory, self._tokens = memory, batch_tokens
        self._entries = [_Entry(rows) for rows in _cut(encoded, batch_tokens)]

    def smaller(self) -> "KeptStates":
        """The same with batches of half as many tokens; nothing is kept yet, and what this one kept
        is free.
        """
        for entry in self._entries:
            entry.states.clear()
        tokens = max(1, self._tokens // 2)
        return KeptStates(self.layered, self.encoded, tokens, self._memory, self.most)

    def __len__(self) -> int:
        """How many batches there are."""
        return len(self._entries)

    @property
    def order(self) -> list[int]:
        """The row numbers of the examples in the order of the batches."""
        return [row for entry in self._entries for row in entry.rows]

    def entering(self, number: int, trunk: Trunk) -> tuple[State, Batch]:
        """What enters a layer for a batch.

        Args:
            number: Which batch, from 0.
            trunk: The layer, and what is disabled below it.
        """
        entry = self._entries[number]
        if entry.batch is None:
            entry.batch = Batch.of(self.encoded, entry.rows, self.layered.model.hf.device)
        known = self._highest(entry.states, trunk)
        if known is None:
            state = self.layered.enter(entry.batch)
            start = 0
        else:
            # Put back at the end: it is the most recently used one now.
            state = entry.states.pop(known)
            entry.states[known] = state
            start = known.layer
        if start < trunk.layer:
            state = self.layered.advance(state, entry.batch, start, trunk.layer, trunk.heads)
        if trunk not in entry.states:
            self._keep(entry, trunk, state)
        return state, entry.batch

    @staticmethod
    def _highest(states: dict[Trunk, State], trunk: Trunk) -> Trunk | None:
        """The highest of the trunks that this one goes on from."""
        below_it = [
            known for known in states if known.layer <= trunk.layer and known.holds(trunk.heads)
        ]
        return max(below_it, key=lambda known: known.layer, default=None)

    def _keep(self, entry: _Entry, trunk: Trunk, state: State) -> None:
        size = self.layered.size(state)
        while entry.states and (self.free < size or len(entry.states) >= self.most):
            oldest = next(iter(entry.states))
            self.free += self.layered.size(entry.states.pop(oldest))
        if size <= self.free:
            entry.states[trunk] = state
            self.free -= size


def _cut(encoded: Encoded, batch_tokens: int) -> list[list[int]]:
    """The row numbers of every batch."""
    cut = list(batches(encoded.lengths, batch_tokens))
    if not cut:
        return []
    length = int(encoded.lengths[cut[0]].max())
    few = max(1, batch_tokens // (8 * length))
    return [part for part in (cut[0][:few], cut[0][few:]) if part] + cut[1:]
