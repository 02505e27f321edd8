"""`headscope measure`: what every head attends to."""

from dataclasses import dataclass

from headscope.commands import options
from headscope.commands.outcome import Outcome, ending_lines, report_command
from headscope.commands.settings import EngineSettings, MeasureSettings, command
from headscope.names import GIVEN


@dataclass(frozen=True, kw_only=True)
class Measuring(MeasureSettings, EngineSettings):
    """What `headscope measure` is asked."""

    command = "measure"

    model: options.ModelName


@command(Measuring)
def measure(asked: Measuring) -> Outcome:
    """Measure what every head attends to, in one pass over the validation data, or over texts.

    For example:
    headscope measure --model minilm --text sentences.txt --out runs/texts
    headscope measure --model minilm --task reviews.csv --label stars --out runs/own
    """
    from headscope.commands.engine import check_engine, opened
    from headscope.commands.kept_examples import example_rows, kept_maps
    from headscope.commands.measuring import check_asked, measure_heads
    from headscope.commands.session import begin, open_session
    from headscope.measures import known

    check_engine(asked)
    names = known(asked.measures)
    session = open_session(asked, asked.model, source=asked, needs_head=False, needs_train=False)
    check_asked(session, session.model, names, asked.measures)
    request = session.request(measures=names, faithful=asked.faithful, **session.word_request)
    with begin(asked, request, session.inputs) as run:
        if not run.is_complete:
            with opened(asked, session) as shared:
                measured = measure_heads(shared, names, run, faithful=asked.faithful)
            measured.check(asked.measures)
            measured.write(run, session)
            run.arrays("maps", kept_maps(session, session.model, GIVEN))
            run.table("examples", example_rows(session, session.model), **session.names)
            run.finish(session.record(request, session.model, measured.notes, measures=names))
        lines = ending_lines(run)
    return Outcome(asked.out / "heads.parquet", lines, report_command(asked.out))
