"""`headscope compare`: what fine-tuning changed in every head."""

from dataclasses import dataclass

from headscope.commands import options
from headscope.commands.outcome import Outcome, ending_lines, report_command
from headscope.commands.settings import EngineSettings, MeasureSettings, command
from headscope.names import AFTER, BEFORE


@dataclass(frozen=True, kw_only=True)
class Comparing(MeasureSettings, EngineSettings):
    """What `headscope compare` is asked."""

    command = "compare"

    before: options.Before
    after: options.After


@command(Comparing)
def compare(asked: Comparing) -> Outcome:
    """Compare every head before and after fine-tuning: its maps' cosine, and every measure.

    For example:
    headscope compare --before minilm --after CKPT --text texts.txt --out runs/diff
    headscope compare --before minilm --after CKPT --task reviews.csv --out runs/own
    """
    from headscope.commands.engine import check_engine, opened
    from headscope.commands.kept_examples import example_rows, kept_maps
    from headscope.commands.measuring import check_asked, compare_heads
    from headscope.commands.session import begin, open_session
    from headscope.measures import known
    from headscope.measures.comparison import COSINE, check_comparable
    from headscope.model.fingerprint import fingerprint
    from headscope.model.loading import load

    check_engine(asked)
    names = known(asked.measures)
    session = open_session(asked, asked.after, source=asked, needs_head=False, needs_train=False)
    before = load(asked.before)
    after = session.model
    check_comparable(before, after, faithful=asked.faithful)
    check_asked(session, after, names, asked.measures)
    request = session.request(
        before=before.hash,
        **{f"before_{name}": value for name, value in fingerprint(before).items()},
        measures=names,
        faithful=asked.faithful,
        **session.word_request,
    )
    inputs = (*session.inputs, before.path)
    with begin(asked, request, inputs) as run:
        if not run.is_complete:
            with opened(asked, session) as shared:
                measured = compare_heads(shared, before, after, names, run, faithful=asked.faithful)
            measured.check(asked.measures)
            measured.write(run, session)
            maps = kept_maps(session, before, BEFORE) | kept_maps(session, after, AFTER)
            run.arrays("maps", maps)
            run.table("examples", example_rows(session, after), **session.names)
            run.finish(session.record(request, after, measured.notes, measures=[*names, COSINE]))
        lines = ending_lines(run)
    return Outcome(asked.out / "change.parquet", lines, report_command(asked.out))
