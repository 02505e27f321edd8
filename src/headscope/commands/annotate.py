"""`headscope annotate`: label attention maps by looking at them."""

from __future__ import annotations

from headscope.commands.common import STUDY_EXAMPLES, open_session
from headscope.commands.options import (
    Agreement,
    AnnotationOut,
    Annotator,
    Browser,
    Count,
    DataDir,
    Family,
    MaxLength,
    OwnModel,
    OwnTask,
    Port,
    Quiet,
    Round,
    Seed,
)
from headscope.commands.outcome import Outcome
from headscope.errors import HeadscopeError


def annotate(
    *,
    out: AnnotationOut,
    model: OwnModel = None,
    task: OwnTask = None,
    data: DataDir = None,
    count: Count = 100,
    family: Family = None,
    annotator: Annotator = "me",
    round: Round = 1,
    agreement: Agreement = False,
    seed: Seed = 0,
    max_length: MaxLength = 128,
    port: Port = 8377,
    browser: Browser = True,
    quiet: Quiet = False,
) -> Outcome:
    """Label attention maps by looking at them, on a local page: a set of your own for a language or
    a model.

    Maps of MODEL on TASK are added to the set in OUT; without them the set is shown as it is. Every
    label is on the disk before the next map is shown. Ctrl-C ends the server.
    """
    from headscope.commands import labelling as annotation

    if (model is None) != (task is None):
        raise HeadscopeError(
            "to draw maps give both --model and --task; to label what OUT holds give neither"
        )
    if model is not None and task is not None:
        given = {**locals(), "batch_tokens": 2048, "precision": "auto"}
        annotation.add_maps(
            open_session(given, examples=None, at_most=STUDY_EXAMPLES, needs_head=False),
            out,
            count,
            family,
        )
    if agreement:
        return Outcome(out, annotation.agreement_lines(out), f"headscope annotate --out {out}")
    annotation.serve(out, port=port, annotator=annotator, round=round, browser=browser, quiet=quiet)
    return Outcome(
        out, annotation.agreement_lines(out), f"headscope annotate --out {out} --round 2"
    )
