"""Scores sets of disabled heads many at once, from the layer on in which they begin to differ.

What they share below is computed once and kept (`kept_states`). Above it the sets of a unit are
stacked in one batch. In half precision what a guard doubts is scored again in float32, every (set,
example) by itself.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headscope.ablation.forms import Form
from headscope.ablation.kept_states import KeptStates
from headscope.ablation.layered import Batch, Layered, Picked, Removed, Scored, State
from headscope.ablation.plan import Unit, units
from headscope.ablation.rounding_guard import RoundingGuard
from headscope.ablation.sets import NamedSet, SetResult
from headscope.axes import HeadSet
from headscope.errors import HeadscopeError
from headscope.model.kernels import kernels_for_any_shape
from headscope.progress import say

UNIT = 16
"""So many sets are scored together, and saved together."""
LEAST_TOKENS = 256
"""Stacks are not made smaller than this."""
BLOCK = 16
"""Of so many batches what is in doubt is scored again together: of each it is but a few rows."""
RECENT = 64
"""So many of the sets scored last are remembered, to begin where others differ from them."""


@dataclass(frozen=True)
class Precise:
    """How exact numbers are had from half precision.

    Attributes:
        layered: The model in float32.
        guard: Says what half precision leaves in doubt.
    """

    layered: Layered
    guard: RoundingGuard


class Stacked(Form):
    """Scores units of sets from any layer on.

    Args:
        layered: The model, in the precision that all is scored in.
        states: What enters its layers for the examples.
        stack_tokens: Over how many tokens a stack of batches goes at most.
        precise: What is in doubt is scored again by it; None if nothing is.
        note: Is told when a GPU has no room for a stack.

    A GPU without room for a stack gets smaller ones, and smaller batches, from then on.
    """

    def __init__(
        self,
        layered: Layered,
        states: KeptStates,
        *,
        stack_tokens: int,
        precise: Precise | None = None,
        note: Callable[[str], object] = say,
    ) -> None:
        self.layered, self.states, self.precise = layered, states, precise
        self.stack_tokens, self.note = stack_tokens, note
        self._recent: list[HeadSet] = []

    def plan(self, sets: Sequence[NamedSet]) -> list[Unit]:
        """Units of sets that begin alike, from the first layer on."""
        layers = self.layered.model.layers
        planned = units(sets, layers, UNIT, self._recent)
        last = [heads for unit in planned for _, heads in unit.sets]
        self._recent = [*self._recent, *last][-RECENT:]
        return planned

    @torch.inference_mode()
    def score(self, unit: Unit) -> list[SetResult]:
        """What every set of a unit puts out."""
        removed = Removed.of([heads for _, heads in unit.sets], self.layered.model)
        with kernels_for_any_shape():
            scoring = self._scored(unit, removed)
        # From the order of the batches to that of the examples.
        order = np.argsort(self.states.order)
        outputs = scoring.whole().cpu().numpy()[:, order]
        change = scoring.change.tolist()
        return [
            SetResult(name, heads, outputs[row], change[row])
            for row, (name, heads) in enumerate(unit.sets)
        ]

    def _scored(self, unit: Unit, removed: Removed) -> "_Scoring":
        """The unit scored, in stacks for which there is room.

        Raises:
            HeadscopeError: There is none even for a small stack.
        """
        while True:
            scoring = _Scoring(self, unit, removed)
            try:
                scoring.run()
                return scoring
            except torch.OutOfMemoryError as error:
                device = self.layered.model.hf.device
                if self.stack_tokens <= LEAST_TOKENS:
                    raise HeadscopeError(
                        f"{device} has no room for {self.stack_tokens} tokens at once: give a "
                        "smaller --max-length or --memory, or free its memory"
                    ) from error
            self.stack_tokens //= 2
            self.states = self.states.smaller()
            self.note(
                f"{device} has no room for so many tokens at once: {self.stack_tokens} from now on"
            )


class _Scoring:
    """The scoring of one unit: the outputs of every batch, and which of them are float32's."""

    def __init__(self, form: Stacked, unit: Unit, removed: Removed) -> None:
        self.form, self.trunk, self.removed = form, unit.trunk, removed
        self.change = torch.full((len(removed),), torch.inf, device=removed.heads.device)
        self._outputs: list[Float[Tensor, "set batch output"]] = []
        self._exact: list[Bool[Tensor, "set batch"]] = []

    def whole(self) -> Float[Tensor, "set example output"]:
        """The outputs in the order of the batches."""
        return torch.cat(self._outputs, 1)

    def run(self) -> None:
        """Score all batches."""
        numbers = range(len(self.form.states))
        blocks = [numbers[start : start + BLOCK] for start in range(0, len(numbers), BLOCK)]
        for block in blocks:
            entered = [self._enter(number) for number in block]
            for number, (state, batch) in zip(block, entered, strict=True):
                self._first_pass(number, state, batch)
            self._again(block, entered)
        if self.form.precise is None:
            return
        # A bound that a later block raised holds for all, also one that is raised on the way.
        guard, bound = self.form.precise.guard, -1.0
        while guard.bound != bound:
            bound = guard.bound
            for block in blocks:
                self._again(block, None)

    def _enter(self, number: int) -> tuple[State, Batch]:
        return self.form.states.entering(number, self.trunk)

    def _first_pass(self, number: int, state: State, batch: Batch) -> None:
        """Score a batch; the first one in float32 as well, to prove that heads moved and to try the
        guard on every unit.
        """
        precise = self.form.precise
        is_first = number == 0
        if not is_first:
            scored = self._branch(self.form.layered, state, batch)
        else:
            measured = self._measured(
                self.form.layered if precise is None else precise.layered, state, batch
            )
            scored, self.change = measured.outputs, measured.change
            if precise is not None:
                precise.guard.learn(self._branch(self.form.layered, state, batch), scored)
        self._outputs.append(scored)
        is_exact = is_first or precise is None
        self._exact.append(torch.full(scored.shape[:2], is_exact, device=scored.device))

    def _branch(
        self, layered: Layered, state: State, batch: Batch
    ) -> Float[Tensor, "set batch output"]:
        tokens = self.form.stack_tokens
        layer = self.trunk.layer
        scored = layered.branch(
            state, batch, layer, self.removed, stack_tokens=tokens, measure=False
        )
        return scored.outputs

    def _measured(self, layered: Layered, state: State, batch: Batch) -> Scored:
        """The outputs of a batch, and how far heads move: those of the trunk too."""
        layer = self.trunk.layer
        if self.trunk.heads:
            state, layer = layered.enter(batch), 0
        tokens = self.form.stack_tokens
        return layered.branch(state, batch, layer, self.removed, stack_tokens=tokens, measure=True)

    def _again(self, block: Sequence[int], entered: list[tuple[State, Batch]] | None) -> None:
        """Score again in float32 what is in doubt, until nothing is; the bound may rise meanwhile.

        Args:
            block: The batches.
            entered: What enters the trunk's layer for each, where it is at hand.
        """
        precise = self.form.precise
        if precise is None:
            return
        doubtful = [self._doubtful(number, precise.guard) for number in block]
        while any(len(sets) for sets, _ in doubtful):
            if entered is None:
                entered = [self._enter(number) for number in block]
            pending: list[_Pending] = []
            for number, met, pairs in zip(block, entered, doubtful, strict=True):
                pending += _pending(number, *met, *pairs, self.form.stack_tokens)
            for stack in _stacks(pending, self.form.stack_tokens):
                self._settle(stack, precise)
            doubtful = [self._doubtful(number, precise.guard) for number in block]

    def _doubtful(self, number: int, guard: RoundingGuard) -> tuple[Tensor, Tensor]:
        """The sets and examples of a batch that are in doubt, pair by pair."""
        doubts = guard.doubtful(self._outputs[number]) & ~self._exact[number]
        sets, examples = doubts.nonzero(as_tuple=True)
        return sets, examples

    def _settle(self, pending: Sequence["_Pending"], precise: Precise) -> None:
        """Score pairs of sets and examples in float32."""
        removed = self.removed.rows(torch.cat([some.sets for some in pending]))
        picked = [some.picked for some in pending]
        outputs = precise.layered.rows(picked, self.trunk.layer, removed)
        by_batch = torch.split(outputs, [len(some.sets) for some in pending])
        for some, exact in zip(pending, by_batch, strict=True):
            pairs = (some.sets, some.picked.examples)
            precise.guard.learn(self._outputs[some.number][pairs], exact)
            self._outputs[some.number][pairs] = exact
            self._exact[some.number][pairs] = True


@dataclass(frozen=True)
class _Pending:
    """Pairs of a set and an example of one batch that are to be scored in float32.

    Attributes:
        number: Which batch.
        sets: The set of every pair.
        picked: The example of every pair.
    """

    number: int
    sets: Tensor
    picked: Picked

    @property
    def length(self) -> int:
        """How many tokens each has, padding included."""
        return self.picked.batch.real.shape[1]


def _pending(
    number: int, state: State, batch: Batch, sets: Tensor, examples: Tensor, stack_tokens: int
) -> list[_Pending]:
    """The pairs of a batch in parts that fit into a stack."""
    if not len(sets):
        return []
    most = max(1, stack_tokens // batch.real.shape[1])
    parts = zip(torch.split(sets, most), torch.split(examples, most), strict=True)
    return [_Pending(number, part, Picked(state, batch, those)) for part, those in parts]


def _stacks(pending: Sequence[_Pending], stack_tokens: int) -> Iterator[list[_Pending]]:
    """Parts of several batches, as many as fit into a stack."""
    stack: list[_Pending] = []
    rows = 0
    for part in pending:
        # Lengths ascend, so this part's would be that of all that stand before it.
        if stack and (rows + len(part.sets)) * part.length > stack_tokens:
            yield stack
            stack, rows = [], 0
        stack.append(part)
        rows += len(part.sets)
    if stack:
        yield stack
