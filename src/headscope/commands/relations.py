"""What `headscope relations` does: which heads carry the relations of a corpus, and which only look
so many words away.

A treebank's links are between single words and are scored by arg max (`links.dependencies`); those
of FrameNet and of one's own file are between spans and are scored by the largest attention
(`links.spans`), as in the paper.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from headscope.commands.options import (
    BatchTokens,
    CorpusName,
    Examples,
    Faithful,
    MaxLength,
    ModelName,
    Out,
    Overwrite,
    Precision,
    Quiet,
    Seed,
)
from headscope.commands.outcome import Outcome
from headscope.errors import HeadscopeError
from headscope.progress import progress, say

if TYPE_CHECKING:
    from headscope.corpora.base import Corpus
    from headscope.results.run import Run


def relations(
    *,
    model: ModelName,
    corpus: CorpusName,
    out: Out,
    faithful: Faithful = False,
    examples: Examples = None,
    seed: Seed = 0,
    precision: Precision = "auto",
    max_length: MaxLength = 128,
    batch_tokens: BatchTokens = 2048,
    quiet: Quiet = False,
    overwrite: Overwrite = False,
) -> Outcome:
    """Find the heads that carry relations between words, beside what distance alone explains.

    The corpus is framenet:DIR (a release), ud:FILE... (treebanks), or tsv:FILE (sentence, span,
    span, relation).
    """
    given = dict(locals())
    from headscope.commands.session import cache_folder, record, repeat
    from headscope.corpora import read
    from headscope.linguistics import passes
    from headscope.linguistics.definitions import definitions
    from headscope.model.loading import load
    from headscope.results.run import Run

    for name in ("examples", "max_length", "batch_tokens"):
        if (value := given[name]) is not None and value < 1:
            raise HeadscopeError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    began = time.monotonic()
    specs = [corpus] if isinstance(corpus, str) else list(corpus)
    found = read(specs, faithful=faithful, cache=cache_folder() / "corpora", quiet=quiet)
    for line in count_lines(found):
        say(line, quiet=quiet)
    the_model = load(model)
    linked = passes.link(the_model, found, examples=examples, seed=seed, max_length=max_length)
    for note in linked.notes:
        say(f"note: {note}", quiet=quiet)
    request = {
        "command": "relations", "model": the_model.hash, "corpus": found.hash, "sentences": len(linked.sentences),
        "faithful": faithful, "max_length": linked.encoded.max_length, "seed": seed, "precision": precision,
    }  # fmt: skip
    run = Run.begin(out, request, overwrite=overwrite)
    if run.is_complete:
        say(
            f"{out} holds the result of this very command already (--overwrite runs it again)",
            quiet=quiet,
        )
    else:
        if run.is_resumed:
            say(f"resuming what was begun in {out}", quiet=quiet)
        run.table(
            "corpus",
            [
                {"what": what, "value": n, "unit": "count"}
                for what, n in (*found.counts, *linked.counts)
            ],
            model=the_model.name,
            task=found.name,
        )
        with progress("looking at linked words", linked.work, quiet=quiet) as advance:
            passing = passes.Passing(precision, batch_tokens, advance)
            if found.kind == "ud":
                passes.dependencies(the_model, linked, run, passing, seed)
            else:
                passes.spans(the_model, linked, run, passing, faithful=faithful)
        run.finish(
            record(
                the_model,
                the_model,
                request,
                task={"name": found.name, "labels": [], "metrics": [], "columns": ["sentence"]},
                data={
                    "source": found.source,
                    "hash": found.hash,
                    "train": 0,
                    "validation": len(linked.sentences),
                },
                notes=linked.notes,
                definitions=definitions(found.kind),
                repeat=repeat("relations", {**given, "corpus": None})
                + "".join(f" --corpus {one}" for one in specs),
                seconds=time.monotonic() - began,
            )
        )
    return Outcome(
        out / "relations.parquet",
        result_lines(run),
        f"headscope report {out} --out {out}/report.html",
    )


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
