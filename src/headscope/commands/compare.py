"""`headscope compare`: what fine-tuning changed in every head."""

from dataclasses import dataclass

from headscope.commands import options
from headscope.commands.outcome import Outcome, report_command
from headscope.commands.settings import MeasureSettings, command
from headscope.names import AFTER, BEFORE


@dataclass(frozen=True, kw_only=True)
class Comparing(MeasureSettings):
    """What `headscope compare` is asked."""

    command = "compare"

    before: options.Before
    after: options.After


@command(Comparing)
def compare(asked: Comparing) -> Outcome:
    """Compare every head before and after fine-tuning: its maps' cosine, and every measure."""
    from headscope.commands import steps
    from headscope.commands.session import begin, open_session
    from headscope.measures import known
    from headscope.model.loading import load

    names = known(asked.measures)
    session = open_session(asked, asked.after, source=asked, needs_head=False)
    before = load(asked.before)
    request = session.request(
        before=before.hash,
        measures=names,
        words=asked.words,
        language=asked.language,
        faithful=asked.faithful,
    )
    run = begin(asked, request)
    if not run.is_complete:
        notes = steps.compare_heads(
            session, before, session.model, run, names, faithful=asked.faithful
        )
        steps.keep_maps(session, before, run, BEFORE)
        steps.keep_maps(session, session.model, run, AFTER)
        run.finish(session.record(request, session.model, notes))
    return Outcome(asked.out / "change.parquet", (), report_command(asked.out))
