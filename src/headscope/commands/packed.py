"""Results of thousands of sets of heads in a run folder: many in a file."""

import time
from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
import numpy.typing as npt

from headscope.ablation.sets import NamedSet, SetResult
from headscope.axes import Head, HeadSet, set_name
from headscope.commands.ablation import Scoring
from headscope.errors import HeadscopeError
from headscope.model.resuming import SAVE_EVERY_SECONDS, Arrays, fits
from headscope.progress import progress
from headscope.results.run import Parts, Run

_KEPT = "packed"
PACK = 64
"""So many results are saved together; a run that is killed scores no more than these again."""


class Packs:
    """The results of sets, by the set, in files of `PACK` each.

    Args:
        run: Where they are saved. What an earlier run saved there is read.
        scoring: The model and the examples.
    """

    def __init__(self, run: Run, scoring: Scoring) -> None:
        self._run, self._scoring = run, scoring
        self._results: dict[HeadSet, SetResult] = {}
        self._asked: set[HeadSet] = set()
        self._unsaved: list[SetResult] = []
        self._saved = time.monotonic()
        parts = Parts(run, _KEPT, quiet=scoring.session.settings.quiet)
        # A damaged file's name is free: what is made again takes its place.
        self._taken = {name for name in parts.names if self._take(parts, name)}

    def score(self, sets: Sequence[NamedSet], label: str) -> list[SetResult]:
        """The results of sets under their names, in their order. They are saved as they come.

        Args:
            sets: The sets.
            label: What the progress is called.
        """
        quiet = self._scoring.session.settings.quiet
        # All that was not asked for before, also what is saved: which sets are scored together must
        # not depend on where a run was killed, so that its results are the same to the bit.
        new = [(name, heads) for name, heads in sets if heads not in self._asked]
        self._asked |= {heads for _, heads in new}
        done = {name for name, heads in new if heads in self._results}
        try:
            with progress(label, len(new), quiet=quiet, done=len(done)) as advance:
                for result in self._scoring.score(new, done):
                    self._add(result)
                    advance(1)
        finally:
            self._save()
        results = []
        for name, heads in sets:
            known = self._results[heads]
            results.append(SetResult(name, heads, known.outputs, known.activation_change))
        return results

    def _add(self, result: SetResult) -> None:
        if not np.isfinite(result.outputs).all():
            raise HeadscopeError(
                f"with {result.name} disabled the outputs of {self._scoring.model.name} are not "
                "finite, so there is no loss: take another --mode, or --precision fp32"
            )
        self._results[result.heads] = result
        self._unsaved.append(result)
        is_late = time.monotonic() - self._saved >= SAVE_EVERY_SECONDS
        if len(self._unsaved) >= PACK or is_late:
            self._save()

    def _save(self) -> None:
        if not self._unsaved:
            return
        name = next(name for name in _names() if name not in self._taken)
        self._taken.add(name)
        arrays: Arrays = {
            "heads": np.stack([self._mask(result.heads) for result in self._unsaved]),
            "logits": np.stack([result.outputs for result in self._unsaved]),
            "change": np.array([result.activation_change for result in self._unsaved]),
        }
        self._unsaved = []
        self._run.part(_KEPT, name, arrays)
        self._saved = time.monotonic()

    def _take(self, parts: Parts, name: str) -> bool:
        """Read a file of an earlier run; whether it is of this model and these examples."""
        arrays = parts.get(name) or {}
        size = len(arrays["change"]) if "change" in arrays else 0
        if not fits(arrays, self._expected(size)) or not np.isfinite(arrays["logits"]).all():
            parts.refuse(name)
            return False
        self._results |= {result.heads: result for result in _unpacked(arrays)}
        return True

    def _expected(self, size: int) -> Arrays:
        model = self._scoring.model
        shape = (size, *self._scoring.unchanged.shape)
        return {
            "heads": np.zeros((size, model.layers, model.heads), np.uint8),
            "logits": np.zeros(shape, np.float32),
            "change": np.zeros(size),
        }

    def _mask(self, heads: HeadSet) -> npt.NDArray[np.uint8]:
        """Which heads are in a set, [layer, head]."""
        mask = np.zeros((self._scoring.model.layers, self._scoring.model.heads), np.uint8)
        for head in heads:
            mask[head.index] = 1
        return mask


def packed_results(run: Run) -> list[SetResult]:
    """The results of all sets that a run saved."""
    files = run.finished_parts(_KEPT).values()
    return [result for arrays in files for result in _unpacked(arrays)]


def _unpacked(arrays: Arrays) -> Iterator[SetResult]:
    for mask, logits, change in zip(
        arrays["heads"], arrays["logits"], arrays["change"], strict=True
    ):
        heads = frozenset(Head.at(int(layer), int(head)) for layer, head in np.argwhere(mask))
        yield SetResult(set_name(heads), heads, logits, float(change))


def _names() -> Iterator[str]:
    return (f"{number:05d}" for number in count(1))
