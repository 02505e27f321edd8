"""`headscope compare`: what fine-tuning changed in every head."""

from __future__ import annotations

from headscope.commands.common import begin, open_session
from headscope.commands.options import (
    After,
    BatchTokens,
    Before,
    DataDir,
    Examples,
    Faithful,
    Language,
    MaxLength,
    Measures,
    Out,
    Overwrite,
    Precision,
    Quiet,
    Seed,
    TaskName,
    WordsFrom,
)
from headscope.commands.outcome import Outcome


def compare(
    *,
    before: Before,
    after: After,
    task: TaskName,
    out: Out,
    data: DataDir = None,
    measures: Measures = "all",
    words: WordsFrom = "auto",
    language: Language = "en",
    faithful: Faithful = False,
    examples: Examples = None,
    seed: Seed = 0,
    precision: Precision = "auto",
    max_length: MaxLength = 128,
    batch_tokens: BatchTokens = 2048,
    quiet: Quiet = False,
    overwrite: Overwrite = False,
) -> Outcome:
    """Compare every head before and after fine-tuning: the cosine of its maps, and every measure's
    difference.
    """
    given = dict(locals())
    from headscope.commands import steps
    from headscope.measures import known
    from headscope.model.loading import load

    names = known(measures)
    session = open_session({**given, "model": after}, examples=examples, needs_head=False)
    first = load(before)
    request = session.request(
        "compare",
        before=first.hash,
        measures=names,
        words=words,
        language=language,
        faithful=faithful,
    )
    run, complete = begin(session, out, request, overwrite)
    if not complete:
        notes = steps.compare_heads(session, first, session.model, run, names, faithful=faithful)
        steps.keep_maps(session, first, run, "before")
        steps.keep_maps(session, session.model, run, "after")
        run.finish(session.record(request, session.model, given, notes))
    return Outcome(out / "change.parquet", (), f"headscope report {out} --out {out}/report.html")
