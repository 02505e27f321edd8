"""`headscope measure`: what every head attends to."""

from __future__ import annotations

from headscope.commands.common import begin, open_session
from headscope.commands.options import (
    BatchTokens,
    DataDir,
    Examples,
    Faithful,
    Language,
    MaxLength,
    Measures,
    ModelName,
    Out,
    Overwrite,
    Precision,
    Quiet,
    Seed,
    TaskName,
    WordsFrom,
)
from headscope.commands.outcome import Outcome


def measure(
    *,
    model: ModelName,
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
    """Measure what every head attends to: one pass over the validation data, a row per head and
    measure.
    """
    given = dict(locals())
    from headscope.commands import steps
    from headscope.measures import known

    names = known(measures)
    session = open_session(given, examples=examples, needs_head=False)
    request = session.request(
        "measure", measures=names, words=words, language=language, faithful=faithful
    )
    run, complete = begin(session, out, request, overwrite)
    if not complete:
        notes = steps.measure_heads(session, run, names, faithful=faithful)
        steps.keep_maps(session, session.model, run, "given")
        run.finish(session.record(request, session.model, given, notes))
    return Outcome(out / "heads.parquet", (), f"headscope report {out} --out {out}/report.html")
