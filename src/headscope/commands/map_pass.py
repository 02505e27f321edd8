"""The pass in which the heads of a model, or of two, are measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headscope.measures.base import MeasureObserver, Measures
from headscope.measures.comparison import NOTEBOOK_WIDTH, ComparisonObserver
from headscope.model.budget import OF_ALL_LAYERS, fitting_tokens
from headscope.model.model import Model
from headscope.model.passes import EncoderPass, run_pair_pass
from headscope.model.resuming import Schedule
from headscope.patterns.classifier import load_classifier
from headscope.patterns.collect import Collector, PairCollector
from headscope.progress import Advance
from headscope.words.align import Aligned


@dataclass(frozen=True)
class Seen:
    """What looks at the maps of one model.

    Attributes:
        measured: Sums up the measures.
        collector: Collects the class of every map; None where no patterns are asked for.
    """

    measured: MeasureObserver
    collector: Collector | None

    @property
    def all(self) -> list[MeasureObserver | Collector]:
        """All that look."""
        return [self.measured, *([self.collector] if self.collector else [])]


@dataclass(frozen=True)
class SeenTwice:
    """What looks at the maps of two models side by side.

    Attributes:
        compared: Sums up the measures of both, and what differs.
        collector: Collects the class of every map of both; None where no patterns are asked for.
    """

    compared: ComparisonObserver
    collector: PairCollector | None

    @property
    def all(self) -> list[ComparisonObserver | PairCollector]:
        """All that look."""
        return [self.compared, *([self.collector] if self.collector else [])]


@dataclass(frozen=True, eq=False)
class MapPass(EncoderPass):
    """What is measured of which examples of one model.

    Attributes:
        words: The words of the examples.
        names: The measures that are made of single maps.
        has_patterns: Whether maps are classified.
        faithful: Compute as the paper's notebook does where it differs.
    """

    words: Sequence[Aligned]
    names: Sequence[str]
    has_patterns: bool
    faithful: bool

    @property
    def measures(self) -> Measures:
        """What is measured."""
        return Measures(list(self.names), self.words, faithful=self.faithful)

    def seen(self) -> Seen:
        """What looks at the maps, and has seen none."""
        shape = (self.layers, self.heads)
        collector = None
        if self.has_patterns:
            collector = Collector(load_classifier(), len(self.encoded), *shape)
        return Seen(MeasureObserver(self.measures, *shape), collector)

    def observers(self) -> Sequence[Any]:
        """The same, one by one."""
        return self.seen().all


class PairPass(MapPass):
    """What is measured of which examples of two models side by side."""

    def seen_twice(self) -> SeenTwice:
        """What looks at the maps of both, and has seen none."""
        shape = (self.layers, self.heads)
        collector = None
        if self.has_patterns:
            collector = PairCollector(load_classifier(), len(self.encoded), *shape)
        compared = ComparisonObserver(self.measures, *shape, padding=self.faithful)
        return SeenTwice(compared, collector)

    def observers(self) -> Sequence[Any]:
        """The same, one by one."""
        return self.seen_twice().all

    def run(
        self,
        models: Sequence[Model],
        observers: Sequence[Any],
        schedule: Schedule | None,
        advance: Advance,
    ) -> None:
        """Pass the examples through both models."""
        before, after = models
        run_pair_pass(
            before,
            after,
            self.encoded,
            observers,
            width=NOTEBOOK_WIDTH if self.faithful else 0,
            batch_tokens=self.batch_tokens,
            precision=self.precision,
            advance=advance,
            keeping=schedule,
        )


def most_tokens(models: Sequence[Model], given: int | None) -> int:
    """The most tokens of a batch, as this process's device fits them: others make the same batches.

    Args:
        models: One model, or two, of which the maps of all layers are held.
        given: What the user asked for.
    """
    if len(models) == 1:
        return fitting_tokens(models[0], given)
    return fitting_tokens(models[0], given, OF_ALL_LAYERS)
