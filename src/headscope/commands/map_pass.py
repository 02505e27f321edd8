"""The pass in which the heads of a model, or of two, are measured: here, or in parts elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from headscope.commands.engine import Engine
from headscope.engine.executor import Item, Shared
from headscope.measures.base import MeasureObserver, Measures
from headscope.measures.comparison import NOTEBOOK_WIDTH, ComparisonObserver
from headscope.model.budget import OF_ALL_LAYERS, fitting_tokens
from headscope.model.encoding import Encoded, batches
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.passes import run_pair_pass, run_pass
from headscope.model.precision import Precision
from headscope.model.resuming import Schedule
from headscope.model.sent import SentModel
from headscope.model.shards import OfBatch, Part, shared_pass
from headscope.patterns.classifier import load_classifier
from headscope.patterns.collect import Collector, PairCollector
from headscope.progress import Advance, silent
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
class MapPass:
    """What is measured of which examples.

    Attributes:
        encoded: The examples.
        words: Their words.
        names: The measures that are made of single maps.
        has_patterns: Whether maps are classified.
        faithful: Compute as the paper's notebook does where it differs.
        layers: How many layers the models have.
        heads: How many heads a layer has.
        batch_tokens: The most tokens of a batch.
        precision: The number format.
        key: Tells this pass from others.
    """

    encoded: Encoded
    words: Sequence[Aligned]
    names: Sequence[str]
    has_patterns: bool
    faithful: bool
    layers: int
    heads: int
    batch_tokens: int
    precision: Precision
    key: str = field(default_factory=lambda: uuid4().hex)

    @property
    def measures(self) -> Measures:
        """What is measured."""
        return Measures(list(self.names), self.words, faithful=self.faithful)

    def of_one(self) -> Seen:
        """What looks at one model."""
        shape = (self.layers, self.heads)
        collector = None
        if self.has_patterns:
            collector = Collector(load_classifier(), len(self.encoded), *shape)
        return Seen(MeasureObserver(self.measures, *shape), collector)

    def of_two(self) -> SeenTwice:
        """What looks at two models."""
        shape = (self.layers, self.heads)
        collector = None
        if self.has_patterns:
            collector = PairCollector(load_classifier(), len(self.encoded), *shape)
        compared = ComparisonObserver(self.measures, *shape, padding=self.faithful)
        return SeenTwice(compared, collector)

    def run_one(
        self, model: Model, seen: Seen, schedule: Schedule | None, advance: Advance
    ) -> None:
        """Pass the examples through a model."""
        run_pass(
            model,
            self.encoded,
            seen.all,
            batch_tokens=self.batch_tokens,
            precision=self.precision,
            advance=advance,
            keeping=schedule,
        )

    def run_two(
        self,
        before: Model,
        after: Model,
        seen: SeenTwice,
        schedule: Schedule | None,
        advance: Advance,
    ) -> None:
        """Pass the examples through two models."""
        run_pair_pass(
            before,
            after,
            self.encoded,
            seen.all,
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


def pass_of_one(
    work: MapPass, model: Model, engine: Engine | None, schedule: Schedule, advance: Advance
) -> Seen:
    """Measure a model: in this process, or by the workers of an engine."""
    seen = work.of_one()
    if engine is None:
        work.run_one(model, seen, schedule, advance)
    else:
        _share(work, [model], seen.all, engine, schedule, advance)
    return seen


def pass_of_two(
    work: MapPass,
    before: Model,
    after: Model,
    engine: Engine | None,
    schedule: Schedule,
    advance: Advance,
) -> SeenTwice:
    """Measure two models: in this process, or by the workers of an engine."""
    seen = work.of_two()
    if engine is None:
        work.run_two(before, after, seen, schedule, advance)
    else:
        _share(work, [before, after], seen.all, engine, schedule, advance)
    return seen


def _share(
    work: MapPass,
    models: Sequence[Model],
    observers: Sequence[object],
    engine: Engine,
    schedule: Schedule,
    advance: Advance,
) -> None:
    executor = engine.executor
    shared = executor.share(work)
    sent = tuple(engine.sent(model) for model in models)

    def item(first: int, stop: int) -> Item:
        return Item(
            f"batches {first + 1} to {stop}",
            f"{__name__}:{part.__name__}",
            {"work": shared, "models": sent, "first": first, "stop": stop},
            cost=stop - first,
        )

    plan = list(batches(work.encoded.lengths, work.batch_tokens))
    shared_pass(executor, item, plan, observers, advance=advance, keeping=schedule)


_loaded: dict[tuple[str, ...], list[Model]] = {}
"""The models of this process, by the key of their pass and their names."""


def part(
    work: Shared[MapPass], models: tuple[SentModel, ...], first: int, stop: int
) -> dict[int, OfBatch]:
    """What some batches add to the findings, as the function of an item.

    Args:
        work: The pass.
        models: One model, or two.
        first: The first batch.
        stop: The batch after the last one.
    """
    given = work.get()
    key = (given.key, *(model.name for model in models))
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = [model.checked_encoder(load(model.path())) for model in models]
    share = Part(first, stop)
    loaded = _loaded[key]
    if len(loaded) == 1:
        given.run_one(loaded[0], given.of_one(), share, silent)
    else:
        given.run_two(loaded[0], loaded[1], given.of_two(), share, silent)
    return share.found
