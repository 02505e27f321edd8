"""What `headscope relations` does: which heads carry the relations of a corpus, and which only look
so many words away.

A treebank's links are between single words and are scored by arg max (`links.dependencies`); those
of FrameNet and of one's own file are between spans and are scored by the largest attention
(`links.spans`), as in the paper.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headscope.commands import options
from headscope.commands.outcome import Outcome, report_command
from headscope.commands.settings import RunSettings, command
from headscope.progress import progress, say

if TYPE_CHECKING:
    from headscope.corpora.base import Corpus
    from headscope.results.run import Run


@dataclass(frozen=True, kw_only=True)
class Relations(RunSettings):
    """What `headscope relations` is asked."""

    command = "relations"

    model: options.ModelName
    corpus: options.CorpusName
    faithful: options.Faithful = False


@command(Relations)
def relations(asked: Relations) -> Outcome:
    """Find the heads that carry relations between words, beside what distance alone explains.

    The corpus is framenet:DIR (a release), ud:FILE... (treebanks), or tsv:FILE (sentence, span,
    span, relation).
    """
    from headscope.commands.record import record
    from headscope.commands.session import begin, cache_folder
    from headscope.corpora import read
    from headscope.linguistics import passes
    from headscope.linguistics.definitions import definitions
    from headscope.model.loading import load
    from headscope.results.record import DataRecord, TaskRecord

    began = time.monotonic()
    quiet = asked.quiet
    specs = [asked.corpus] if isinstance(asked.corpus, str) else list(asked.corpus)
    corpus = read(specs, faithful=asked.faithful, cache=cache_folder() / "corpora", quiet=quiet)
    for line in count_lines(corpus):
        say(line, quiet=quiet)
    model = load(asked.model)
    linked = passes.link(
        model, corpus, examples=asked.examples, seed=asked.seed, max_length=asked.max_length
    )
    for note in linked.notes:
        say(f"note: {note}", quiet=quiet)
    request = {
        "command": asked.command,
        "model": model.hash,
        "corpus": corpus.hash,
        "sentences": len(linked.sentences),
        "faithful": asked.faithful,
        "max_length": linked.encoded.max_length,
        "seed": asked.seed,
        "precision": asked.precision,
    }
    run = begin(asked, request)
    if not run.is_complete:
        counts = [
            {"what": what, "value": n, "unit": "count"}
            for what, n in (*corpus.counts, *linked.counts)
        ]
        run.table("corpus", counts, model=model.name, task=corpus.name)
        with progress("looking at linked words", linked.work, quiet=quiet) as advance:
            passing = passes.Passing(asked.precision, asked.batch_tokens, advance)
            if corpus.kind == "ud":
                passes.dependencies(model, linked, run, passing, asked.seed)
            else:
                passes.spans(model, linked, run, passing, faithful=asked.faithful)
        run.finish(
            record(
                model,
                model,
                request,
                task=TaskRecord(corpus.name, (), (), ("sentence",)),
                data=DataRecord(corpus.source, corpus.hash, 0, len(linked.sentences)),
                notes=linked.notes,
                definitions=definitions(corpus.kind),
                repeat=asked.command_line(),
                seconds=time.monotonic() - began,
            )
        )
    return Outcome(asked.out / "relations.parquet", result_lines(run), report_command(asked.out))


def count_lines(corpus: Corpus) -> list[str]:
    """What was read and what every filter left, a line each."""
    return [f"{what}: {n:,}" for what, n in corpus.counts]


def result_lines(run: Run, count: int = 12) -> tuple[str, ...]:
    """What a run found, in a few lines: the best head of each relation, or the heads with the
    largest scores.
    """
    best = run.rows("relations_best")
    if best:
        best.sort(key=lambda row: -row["n"])
        lines = [
            f"{row['relation']}: {row['set']} {row['direction'].replace('_', ' ')} "
            f"{100 * row['value']:.1f}% (95% {100 * row['low']:.1f} to {100 * row['high']:.1f}, n "
            f"= {row['n']}); offset {row['offset']:+d} gives {100 * row['offset_accuracy']:.1f}%, "
            f"the same distance {100 * row['control']:.1f}%: {row['verdict']}"
            for row in best[:count]
        ]
        more = len(best) - count
        return (
            *lines,
            *([f"and {more} more relations in relations_best.parquet"] if more > 0 else ()),
        )
    heads = [row for row in run.rows("span_heads") if row["rank"] <= 3]
    return tuple(
        f"{row['relation']}: {row['set']} {row['value']:.3f} (95% {row['low']:.3f} to "
        f"{row['high']:.3f}, n = {row['n']}; 99th percentile of all heads "
        f"{row['percentile_99']:.3f}); beyond other words at the same distance "
        f"{row['excess']:+.3f} (corrected p {row['p_corrected']:.2g})"
        for row in heads
    )
