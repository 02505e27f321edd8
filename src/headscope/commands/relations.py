"""`headscope relations`: which heads carry the relations of a corpus, and which only look so many
words away.

A treebank's links are between single words and are scored by arg max; those of FrameNet and of a
file of the user's own are between spans and are scored by the largest attention, as in the paper.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from headscope.commands import options
from headscope.commands.outcome import Outcome, report_command
from headscope.commands.settings import EngineSettings, TextSettings, WordSource, command
from headscope.errors import HeadscopeError
from headscope.names import AS_GIVEN, CARRIES
from headscope.progress import progress, say, say_notes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import polars as pl

    from headscope.corpora.base import Corpus
    from headscope.linguistics.linked import LinkedCorpus
    from headscope.linguistics.passes import DependencyResults, SpanResults
    from headscope.linguistics.rows import BestHead, SpanHead
    from headscope.model.model import Model
    from headscope.results.record import Record
    from headscope.results.run import Run

_SHOWN_RELATIONS, _SHOWN_RANKS = 4, 3


@dataclass(frozen=True, kw_only=True)
class Relations(TextSettings, WordSource, EngineSettings):
    """What `headscope relations` is asked.

    Raises:
        HeadscopeError: There is neither a corpus nor a text, or both.
    """

    command = "relations"

    model: options.ModelName
    corpus: options.CorpusName = None
    text: options.ParsedText = None
    faithful: options.Faithful = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.corpus is None) == (self.text is None):
            got = "neither" if self.text is None else "both"
            raise HeadscopeError(
                "give --corpus for annotated relations, or --text FILE for those that a parser "
                f"finds: they exclude each other, got {got}"
            )


@dataclass(frozen=True)
class Request:
    """What was asked: two runs with equal requests give equal results."""

    command: str
    headscope: str
    model: str
    config: str
    tokenizer: str
    corpus: str
    sentences: int
    faithful: bool
    max_length: int
    seed: int
    precision: str


@command(Relations)
def relations(asked: Relations) -> Outcome:
    """Find the heads that carry relations between words, beside what distance alone explains.

    The corpus is framenet:DIR (a release), ud:FILE... (treebanks), or tsv:FILE (sentence, span,
    span, relation); in place of one, --text FILE takes the relations that a parser finds.

    For example:
    headscope relations --model minilm --corpus ud:dev.conllu --out runs/ewt
    headscope relations --model minilm --text sentences.txt --out runs/texts
    """
    from headscope.commands.engine import check_engine
    from headscope.commands.session import begin
    from headscope.corpora import kind_and_paths
    from headscope.model.fingerprint import fingerprint
    from headscope.model.loading import load

    began = time.monotonic()
    check_engine(asked)
    corpus = _read(asked)
    model = load(asked.model)
    linked = _link(asked, model, corpus)
    request = Request(
        command=asked.command,
        headscope=version("headscope"),
        model=model.hash,
        **fingerprint(model),
        corpus=corpus.hash,
        sentences=len(linked.sentences),
        faithful=asked.faithful,
        max_length=linked.encoded.max_length,
        seed=asked.seed,
        precision=asked.precision,
    )
    paths = [asked.text] if asked.text is not None else kind_and_paths(_specs(asked))[1]
    with begin(asked, asdict(request), [model.path, *paths]) as run:
        if run.is_complete:
            lines = _saved_lines(run)
        else:
            results = _pass(asked, model, linked, run)
            _write(run, results, model, linked)
            run.finish(_record(asked, request, model, linked, time.monotonic() - began))
            lines = result_lines(results)
    return Outcome(asked.out / "relations.parquet", lines, report_command(asked.out))


def _specs(asked: Relations) -> Sequence[str]:
    return [asked.corpus] if isinstance(asked.corpus, str) else asked.corpus or ()


def _read(asked: Relations) -> Corpus:
    from headscope.cache import cache_folder
    from headscope.corpora import read

    if asked.text is not None:
        corpus = _parsed(asked, asked.text)
    else:
        of_text = asked.without_effect(("columns", "words", "language"), "they are of --text")
        say_notes(of_text, quiet=asked.quiet)
        cache = cache_folder() / "corpora"
        corpus = read(_specs(asked), faithful=asked.faithful, cache=cache, quiet=asked.quiet)
    if corpus.kind == "ud":
        why = "the notebook has no treebanks"
        say_notes(asked.without_effect(("faithful",), why), quiet=asked.quiet)
    for what, count in corpus.counts:
        say(f"{what}: {count:,}", quiet=asked.quiet)
    return corpus


def _parsed(asked: Relations, path: Path) -> Corpus:
    """The texts of a file, and the links that a parser finds between their words."""
    from headscope.cache import cache_folder
    from headscope.corpora.parsed import parsed_corpus
    from headscope.tasks.texts import read_texts
    from headscope.words.sources import resolved, tag

    task, texts = read_texts(path, asked.named_columns)
    # Before the costly parser: only so many texts are asked for.
    texts = texts.sample(asked.examples, asked.seed)
    words = tag(
        texts,
        asked.words,
        language=asked.language,
        cache=cache_folder() / "words",
        quiet=asked.quiet,
    )
    parser = resolved(texts, asked.words, asked.language)
    return parsed_corpus(texts, words, name=task.name, source=str(path.resolve()), parser=parser)


def _link(asked: Relations, model: Model, corpus: Corpus) -> LinkedCorpus:
    from headscope.linguistics.linked import link

    linked = link(
        model, corpus, examples=asked.examples, seed=asked.seed, max_length=asked.max_length
    )
    say_notes((*model.notes, *linked.notes), quiet=asked.quiet)
    return linked


def _pass(
    asked: Relations, model: Model, linked: LinkedCorpus, run: Run
) -> DependencyResults | SpanResults:
    """Pass the corpus through the model; what is finished is kept in the run."""
    from headscope.commands.engine import workers
    from headscope.linguistics.passes import dependencies, sentences_to_pass, spans
    from headscope.linguistics.treebank import PassSettings
    from headscope.model.resuming import Keeping
    from headscope.results.run import Parts

    parts = Parts(run, "relations", quiet=asked.quiet)
    work = sentences_to_pass(linked)
    with (
        workers(asked) as engine,
        progress("looking at linked words", work, quiet=asked.quiet) as advance,
    ):
        executor = None if engine is None else engine.executor
        settings = PassSettings(asked.precision, asked.batch_tokens, advance, executor)
        if linked.corpus.kind == "ud":
            return dependencies(model, linked, settings, seed=asked.seed, blocks=parts)
        keeping = Keeping("spans", parts)
        return spans(model, linked, settings, faithful=asked.faithful, keeping=keeping)


def _write(
    run: Run, results: DependencyResults | SpanResults, model: Model, linked: LinkedCorpus
) -> None:
    from headscope.linguistics.passes import DependencyResults
    from headscope.linguistics.rows import CorpusCount

    corpus = linked.corpus
    write = partial(run.table, model=model.name, task=corpus.name)
    write("corpus", [CorpusCount(what, n) for what, n in (*corpus.counts, *linked.counts)])
    write("relations", results.relations)
    if isinstance(results, DependencyResults):
        write("relations_best", results.relations_best)
        write("offsets", results.offsets)
        write("patterns", results.patterns)
        run.arrays("patterns", {AS_GIVEN.replace(" ", "_"): results.classes})
        if results.explained:
            write("explained", results.explained)
    else:
        write("heads", results.heads)
        write("span_heads", results.span_heads)
        write("span_examples", results.span_examples)
        run.arrays("span_scores", {"scores": results.scores})


def _record(
    asked: Relations, request: Request, model: Model, linked: LinkedCorpus, seconds: float
) -> Record:
    from headscope.commands.record import record
    from headscope.linguistics.definitions import definitions
    from headscope.results.record import DataRecord, TaskRecord

    corpus = linked.corpus
    return record(
        model,
        model,
        asdict(request),
        seed=asked.seed,
        task=TaskRecord(corpus.name, labels=(), metrics=(), columns=("sentence",)),
        data=DataRecord(corpus.source, corpus.hash, train=0, validation=len(linked.sentences)),
        notes=(*model.notes, *linked.notes),
        definitions=definitions(corpus.kind),
        repeat=asked.command_line(),
        seconds=seconds,
    )


def result_lines(results: DependencyResults | SpanResults) -> tuple[str, ...]:
    """What the results say, in a few lines."""
    from headscope.linguistics.passes import DependencyResults

    if isinstance(results, DependencyResults):
        return dependency_lines(results.relations_best)
    return span_lines(results.span_heads)


def _saved_lines(run: Run) -> tuple[str, ...]:
    """The same of a run that is complete."""
    from headscope.linguistics.rows import BestHead, SpanHead

    heads, best = run.read("span_heads"), run.read("relations_best")
    if heads is not None:
        return span_lines([SpanHead(**row) for row in _rows(heads)])
    return () if best is None else dependency_lines([BestHead(**row) for row in _rows(best)])


def _rows(table: pl.DataFrame) -> Iterator[Mapping[str, Any]]:
    """The rows of a table without the columns that every table begins with."""
    return table.drop("model", "task").iter_rows(named=True)


def dependency_lines(best: list[BestHead]) -> tuple[str, ...]:
    """How many relations are carried, and the best head of the most frequent ones."""
    from headscope.linguistics.dependency_rows import FEWEST
    from headscope.results.numbers import interval

    if not best:
        return (f"no relation has {FEWEST} links in each half of the sentences: none is scored",)
    ordered = sorted(best, key=lambda row: -row.n)
    carried = sum(row.verdict == CARRIES for row in best)
    lines = [
        f"{carried} of {len(best)} relations {'is' if carried == 1 else 'are'} carried by a head "
        "beyond what distance and the best fixed offset explain"
    ]
    for row in ordered[:_SHOWN_RELATIONS]:
        control = "" if row.control is None else f", the same distance {100 * row.control:.1f}%"
        lines.append(
            f"{row.relation}: {row.set} {row.direction.replace('_', ' ')} {100 * row.value:.1f}% "
            f"({interval(row.low, row.high, 1, scale=100.0)}, n = {row.n}); offset "
            f"{row.offset:+d} gives {100 * row.offset_accuracy:.1f}%{control}: {row.verdict}"
        )
    more = len(ordered) - _SHOWN_RELATIONS
    if more > 0:
        lines.append(f"and {more} more relations in relations_best.parquet")
    return tuple(lines)


def span_lines(heads: list[SpanHead]) -> tuple[str, ...]:
    """The heads with the largest scores for each relation, a line each."""
    from headscope.reporting.ending import MOST
    from headscope.results.numbers import interval
    from headscope.stats.means import FEWEST

    lines = []
    # Of many relations, the first head of each.
    ranks = _SHOWN_RANKS if len({row.relation for row in heads}) * _SHOWN_RANKS <= MOST else 1
    shown = [row for row in heads if row.rank <= ranks]
    for row in shown if len(shown) <= MOST else shown[: MOST - 1]:
        line = (
            f"{row.relation}: {row.set} {row.value:.3f} ({interval(row.low, row.high, 3)}, "
            f"n = {row.n}; 99th percentile of all heads {row.percentile_99:.3f})"
        )
        if row.excess is not None:
            test = f"not tested: fewer than {FEWEST} sentences"
            if row.p_corrected is not None:
                test = f"adjusted p {row.p_corrected:.2g}"
            line += f"; beyond other words at the same distance {row.excess:+.3f} ({test})"
        lines.append(line)
    if len(shown) > len(lines):
        lines.append(f"and {len(shown) - len(lines)} more in span_heads.parquet")
    return tuple(lines)
