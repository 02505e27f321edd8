"""Measure every head of a model, or of two: one pass over the examples for all measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import polars as pl

from headscope.axes import all_heads
from headscope.commands.class_names import has_head_for, trust_note
from headscope.commands.engine import run_pass_of
from headscope.commands.kept_examples import coarse_note
from headscope.commands.map_pass import MapPass, PairPass, most_tokens
from headscope.commands.session import Session
from headscope.errors import HeadscopeError
from headscope.measures import OWN_PASS, needs_tags
from headscope.measures.base import Moments
from headscope.measures.comparison import Comparison
from headscope.measures.gradient import IMPORTANCE, ImportancePass
from headscope.measures.rows import (
    ChangeRow,
    HeadRow,
    LastLayersRow,
    LikenessRow,
    change_rows,
    head_rows,
    importance_rows,
    last_layers_rows,
    likeness_rows,
    values_by_head,
)
from headscope.measures.similarity import LIKENESS, LikenessPass, clusters, comparable
from headscope.model.encoding import only
from headscope.model.model import Model
from headscope.model.resuming import Keeping
from headscope.model.shards import PassWork
from headscope.names import AFTER, AS_GIVEN, BEFORE, LEFT_OUT
from headscope.patterns.collect import Classified
from headscope.patterns.rows import (
    PATTERNS,
    HeterogeneousRow,
    PatternRow,
    heterogeneous_rows,
    pattern_rows,
)
from headscope.progress import progress, say_notes
from headscope.results.run import Parts, Run
from headscope.stats.means import FEWEST
from headscope.words.align import Aligned

AnyPass = TypeVar("AnyPass", bound=MapPass)

LIKENESS_EXAMPLES = 100
CLUSTERS = 8
PASSES = "passes"
"""The group of the parts in which the passes keep what they have done."""

Classes = Mapping[str, Classified]
"""By state of the model: the class of every map, [example, layer, head]."""


@dataclass(frozen=True)
class HeadTables:
    """What was measured of every head, as the rows of tables.

    Attributes:
        heads: The measures.
        change: What differs from another model; none where there is one model.
        last_layers: How much less other layers differ from it than the last two.
        likeness: How far the maps of every two heads diverge, where it was asked for.
        patterns: The shares of the patterns, where they were asked for.
        heterogeneous: The groups of heterogeneous heads.
        classes: The patterns of single maps, by state of the model.
        notes: What the user must know: which measures no example has.
    """

    heads: list[HeadRow]
    change: list[ChangeRow]
    last_layers: list[LastLayersRow]
    likeness: list[LikenessRow]
    patterns: list[PatternRow]
    heterogeneous: list[HeterogeneousRow]
    classes: Classes
    notes: tuple[str, ...]

    def check(self, spec: str) -> None:
        """Raises HeadscopeError if measures were asked for by name and no example has any."""
        if spec != "all" and not (self.heads or self.likeness or self.patterns):
            raise HeadscopeError(
                f"--measures {spec}: no example has what these measures look at, so there is "
                "nothing to write: choose other measures, or another task"
            )

    def write(self, run: Run, session: Session) -> dict[str, pl.DataFrame]:
        """Write the tables that have rows, and the classes of single maps.

        Returns:
            The tables by name.
        """
        if self.classes:
            arrays = {
                state.replace(" ", "_"): of_maps.classes for state, of_maps in self.classes.items()
            }
            run.arrays(PATTERNS, arrays)
        tables = {"heads": run.table("heads", self.heads, **session.names)}
        for name, rows in (
            ("change", self.change),
            ("last_layers", self.last_layers),
            ("likeness", self.likeness),
            (PATTERNS, self.patterns),
            ("heterogeneous", self.heterogeneous),
        ):
            if rows:
                tables[name] = run.table(name, rows, **session.names)
        return tables


def check_asked(session: Session, model: Model, names: Sequence[str], spec: str) -> None:
    """Check that measures which were asked for by name can be computed.

    Args:
        session: The examples.
        model: The model that is measured.
        names: The measures.
        spec: What `--measures` says; of "all" it is noted what is left out.

    Raises:
        HeadscopeError: A measure needs tags that the words do not have, or a head for the task.
    """
    if spec == "all":
        return
    if IMPORTANCE in names and not session.task.has_labels:
        raise HeadscopeError(
            f"--measures {IMPORTANCE} needs labels, and the texts of --text have none: give "
            "--task, or leave the measure out"
        )
    if IMPORTANCE in names and not has_head_for(model, session.task):
        raise HeadscopeError(
            f"--measures {IMPORTANCE} needs a model with a head that was trained on "
            f"{session.task.name}: fine-tune {model.name} first, or leave the measure out"
        )
    tagged = [name for name in names if needs_tags(name)]
    if tagged and not any(map(_has_tags, session.words)):
        source = session.source
        raise HeadscopeError(
            f"--measures {','.join(tagged)}: parts of speech and relations are needed, and the "
            f"words (--words {source.words} --language {source.language}) have none: for English "
            "run pip install 'headscope[words]', for another language install its spaCy pipeline "
            "and give --words spacy:PIPELINE"
        )


def _has_tags(aligned: Aligned) -> bool:
    return any(word.relation or word.upos not in ("X", "PUNCT") for word in aligned.words)


def measure_heads(session: Session, names: list[str], run: Run, *, faithful: bool) -> HeadTables:
    """Measure the session's model.

    Args:
        session: The model and the examples.
        names: The measures (`headscope.measures.known`).
        run: Where the passes keep what they have done.
        faithful: Compute as the paper's notebook does where it differs.
    """
    model = session.model
    settings = session.settings
    parts = Parts(run, PASSES, quiet=settings.quiet)
    work = _map_pass(MapPass, session, [model], names, faithful=faithful)
    seen = work.seen()
    _run(work, [model], seen.all, session, Keeping("heads", parts), "measuring heads")
    collector = seen.collector
    classes = {AS_GIVEN: collector.classified()} if collector else {}
    return _tables(session, model, names, seen.measured.moments(), None, classes, parts)


def compare_heads(
    session: Session, before: Model, after: Model, names: list[str], run: Run, *, faithful: bool
) -> HeadTables:
    """Measure two models on the same examples: `after`, and what differs from `before`.

    Args:
        session: The examples.
        before: A model.
        after: A model of the same shape.
        names: The measures (`headscope.measures.known`).
        run: Where the passes keep what they have done.
        faithful: Compute as the paper's notebook does where it differs.
    """
    settings = session.settings
    parts = Parts(run, PASSES, quiet=settings.quiet)
    models = [before, after]
    work = _map_pass(PairPass, session, models, names, faithful=faithful)
    seen = work.seen_twice()
    _run(work, models, seen.all, session, Keeping("heads", parts), "measuring heads")
    comparison = seen.compared.comparison()
    classes: Classes = {}
    if seen.collector:
        both = seen.collector
        classes = {BEFORE: both.before.classified(), AFTER: both.after.classified()}
    return _tables(session, after, names, comparison.after, comparison, classes, parts)


def _map_pass(
    kind: type[AnyPass],
    session: Session,
    models: Sequence[Model],
    names: Sequence[str],
    *,
    faithful: bool,
) -> AnyPass:
    settings = session.settings
    return kind(
        encoded=session.encoded,
        words=session.words,
        names=_of_maps(names),
        has_patterns=PATTERNS in names,
        faithful=faithful,
        layers=models[-1].layers,
        heads=models[-1].heads,
        batch_tokens=most_tokens(models, settings.batch_tokens),
        precision=settings.precision,
    )


def _run(
    work: PassWork,
    models: Sequence[Model],
    observers: Sequence[Any],
    session: Session,
    keeping: Keeping,
    label: str,
) -> None:
    """Pass the examples of `work`, here or elsewhere, and show how far it is."""
    examples = sum(map(len, work.batches))
    with progress(label, examples, quiet=session.settings.quiet) as advance:
        run_pass_of(work, models, observers, session.engine, keeping=keeping, advance=advance)


def _tables(
    session: Session,
    model: Model,
    names: Sequence[str],
    measured: Mapping[str, Moments],
    comparison: Comparison | None,
    classes: Classes,
    parts: Parts,
) -> HeadTables:
    """Put together what one pass measured, and make the passes that other measures need."""
    heads = head_rows(measured)
    if IMPORTANCE in names:
        heads += _importance(session, model, parts)
    patterns = pattern_rows(classes, session.settings.seed)
    groups: list[HeterogeneousRow] = []
    if classes:
        last_state = list(classes)[-1]
        groups = heterogeneous_rows(patterns, last_state, values_by_head(heads))
    notes = (
        *_empty_note(measured),
        *_few_note(measured),
        *session.word_notes(),
        *coarse_note(session.encoded, model.layers * model.heads),
    )
    if IMPORTANCE in names and not session.task.has_labels:
        notes += (
            f"{IMPORTANCE} needs a label of every text, and these have none, so it is {LEFT_OUT}",
        )
    elif IMPORTANCE in names and not has_head_for(model, session.task):
        notes += (f"{IMPORTANCE} needs a trained head of the task, so it is {LEFT_OUT}",)
    elif IMPORTANCE in names:
        notes += trust_note(model, session.task)
    short = comparable(model, session.encoded)
    if LIKENESS in names and len(short) < len(session.encoded):
        notes += (
            f"{LIKENESS} compares all heads of an example, so {len(session.encoded) - len(short)} "
            f"of {len(session.encoded)} examples, whose maps are too large for that, are "
            f"{LEFT_OUT}",
        )
    say_notes(notes, quiet=session.settings.quiet)
    return HeadTables(
        heads=heads,
        change=change_rows(comparison) if comparison else [],
        last_layers=last_layers_rows(comparison) if comparison else [],
        likeness=_likeness(session, model, short, parts) if LIKENESS in names and short else [],
        patterns=patterns,
        heterogeneous=groups,
        classes=classes,
        notes=notes,
    )


def _of_maps(names: Sequence[str]) -> list[str]:
    """The measures that are made of single maps."""
    return [name for name in names if name not in OWN_PASS]


def _importance(session: Session, model: Model, parts: Parts) -> list[HeadRow]:
    """The rows of gradient importance; none without a head that was trained on the task."""
    if not has_head_for(model, session.task):
        return []
    settings = session.settings
    work = ImportancePass.of(
        model,
        session.task,
        session.encoded,
        session.validation.labels,
        batch_tokens=settings.batch_tokens,
        precision=settings.precision,
    )
    (sums,) = work.observers()
    _run(work, [model], [sums], session, Keeping(IMPORTANCE, parts), "gradient importance")
    moments = sums.moments()[IMPORTANCE]
    return importance_rows(moments, "squared error" if session.task.is_regression else "nats")


def _likeness(
    session: Session, model: Model, short: Sequence[int], parts: Parts
) -> list[LikenessRow]:
    """How far the maps of every two heads diverge, on at most 100 of the examples `short`."""
    limit = min(LIKENESS_EXAMPLES, len(short))
    examples = only(session.encoded, short)
    settings = session.settings
    work = LikenessPass.of(
        model, examples, limit=limit, seed=settings.seed, precision=settings.precision
    )
    (observer,) = work.observers()
    _run(work, [model], [observer], session, Keeping(LIKENESS, parts), "how alike heads are")
    distances = work.mean(observer)
    heads = all_heads(model.layers, model.heads)
    return likeness_rows(distances, clusters(distances, min(CLUSTERS, len(heads))), heads, limit)


def _few_note(measured: Mapping[str, Moments]) -> tuple[str, ...]:
    """Which measures have a mean without an interval for want of examples."""
    few = [name for name, moments in measured.items() if 0 < moments.n.max() < FEWEST]
    if not few:
        return ()
    which = "the measures" if len(few) == len(measured) else ", ".join(few)
    return (f"fewer than {FEWEST} examples have a value of {which}, so there are no intervals",)


def _empty_note(measured: Mapping[str, Moments]) -> tuple[str, ...]:
    empty = [name for name, moments in measured.items() if not moments.n.any()]
    if not empty:
        return ()
    is_untagged = "attention_to_noun" in empty and "attention_to_verb" in empty
    hint = "; for parts of speech run pip install 'headscope[words]'" if is_untagged else ""
    return (
        f"no example has what these measures look at, so they are {LEFT_OUT}: "
        f"{', '.join(empty)}{hint}",
    )
