"""Seconds by the clock and of processor time, of things that take turns within one run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch


@dataclass
class Seconds:
    """What something took, by the clock and of processor time.

    The second is the steadier of the two on a machine that does other work; for what runs on a GPU
    it says little.
    """

    clock: float = 0.0
    processor: float = 0.0

    @contextmanager
    def more(self) -> Iterator[None]:
        """Add what the block takes, a GPU's work included."""
        _finish()
        clock, processor = time.perf_counter(), time.process_time()
        yield
        _finish()
        self.clock += time.perf_counter() - clock
        self.processor += time.process_time() - processor

    def times(self, factor: float) -> "Seconds":
        """So many times this."""
        return Seconds(factor * self.clock, factor * self.processor)

    def over(self, other: "Seconds") -> "Seconds":
        """The ratios to another."""
        return Seconds(self.clock / other.clock, self.processor / other.processor)


def _finish() -> None:
    """Wait for what a GPU has been given to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
