"""`headscope disable`: what it costs to disable sets of heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headscope.commands import engine_options, options
from headscope.commands.outcome import Outcome, ending_lines, report_command
from headscope.commands.settings import EngineSettings, KindSettings, command, training_line
from headscope.errors import HeadscopeError
from headscope.names import AS_GIVEN
from headscope.progress import say_notes

if TYPE_CHECKING:
    from headscope.commands.path import PathSettings
    from headscope.commands.session import Session

GIBIBYTE = 2**30


@dataclass(frozen=True, kw_only=True)
class Disabling(KindSettings, EngineSettings):
    """What `headscope disable` is asked."""

    command = "disable"

    model: options.ModelName
    heads: options.HeadsSpec = "each"
    measured: options.Measured = None
    mode: options.Mode = "uniform"
    part: options.Part = "validation"
    memory: options.Memory = 2.0
    devices: engine_options.Devices = None


@command(Disabling)
def disable(asked: Disabling) -> Outcome:
    """Disable sets of heads of a fine-tuned model in turn, and test what each costs or gains.

    For example:
    headscope disable --model CKPT --task mrpc --data glue --out runs/disabled
    headscope disable --model CKPT --task reviews.csv --label stars --out runs/own
    """
    from headscope.ablation.sets import parse_sets
    from headscope.commands.ablation import (
        Scoring,
        disable_sets,
        named_heads,
        write_effects,
    )
    from headscope.commands.class_names import trust_note
    from headscope.commands.engine import check_engine, named_devices, opened
    from headscope.commands.kinds import open_scored
    from headscope.commands.scoring import score
    from headscope.commands.session import begin
    from headscope.commands.together import parse_together, write_together

    check_engine(asked, asked.devices)
    heads = named_heads(asked.heads, asked.measured)
    together = parse_together(heads)
    session = open_scored(asked, asked.model, part=asked.part, needs_train=False)
    check_head(session, asked)
    unnamed = () if session.marker else trust_note(session.model, session.task)
    say_notes(unnamed, quiet=asked.quiet)
    model = session.model
    if together is None:
        sets = parse_sets(heads, model.layers, model.heads, seed=asked.seed)
    else:
        heads, sets = together.spec, together.sets(model, asked.seed)
    request = session.request(heads=heads, mode=asked.mode, part=asked.part)
    devices = () if asked.devices is None else named_devices(asked.devices)
    if len(devices) == 1:
        model = session.outputs.load(model.path, devices[0])
    inputs = session.inputs if asked.measured is None else (*session.inputs, str(asked.measured))
    with begin(asked, request, inputs) as run:
        if not run.is_complete:
            notes = unnamed
            memory = int(asked.memory * GIBIBYTE)
            # A cluster that is not there is told before anything is scored.
            with opened(asked, session, devices, most=len(sets)) as shared:
                rows, before = score(session, model, AS_GIVEN)
                run.table("scores", rows, **session.names)
                if together is None:
                    results = disable_sets(
                        shared, model, run, sets, before, asked.mode, memory=memory
                    )
                    write_effects(session, run, results, before, asked.mode)
                else:
                    precision = asked.precision
                    scoring = Scoring(shared, model, before, asked.mode, precision, memory)
                    notes = (*notes, *write_together(scoring, run, together))
            run.finish(session.record(request, model, notes))
        lines = ending_lines(run)
    table = "disabled" if together is None else together.table
    return Outcome(asked.out / f"{table}.parquet", lines, report_command(asked.out))


def check_head(session: Session, asked: Disabling | PathSettings) -> None:
    """Check that the model has a head that was trained on this task, or is an embedder.

    Raises:
        HeadscopeError: It has none, or one of another task.
    """
    from headscope.commands.class_names import foreign_labels

    if session.joining is not None or session.marker is not None:
        return
    if not session.model.trained_head:
        are_pairs = len(session.task.columns) == 2 and session.task.outputs <= 2
        vectors = ", or score the cosine of its vectors (--as embedding)" if are_pairs else ""
        raise HeadscopeError(
            f"{asked.model} has no classification head, so there is no score to lose: fine-tune it "
            f"first with {training_line(asked, asked.model)}{vectors}"
        )
    if wrong := foreign_labels(session.model, session.task):
        raise HeadscopeError(
            f"{asked.model} is of another task: {wrong}; fine-tune one on {asked.task}, or name "
            "its own task"
        )
