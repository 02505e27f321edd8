"""`headscope annotate`: label attention maps by looking at them."""

import shlex
from dataclasses import dataclass

from headscope.commands import options
from headscope.commands.outcome import Outcome
from headscope.commands.settings import Settings, TaskSettings, command
from headscope.commands.study import STUDY_EXAMPLES
from headscope.errors import HeadscopeError
from headscope.progress import say_notes


@dataclass(frozen=True, kw_only=True)
class Annotating(Settings):
    """What `headscope annotate` is asked."""

    command = "annotate"

    out: options.AnnotationOut
    model: options.OwnModel = None
    task: options.OwnTask = None
    data: options.DataDir = None
    count: options.Count = 100
    family: options.Family = None
    annotator: options.Annotator = "me"
    round: options.Round = 1
    agreement: options.Agreement = False
    seed: options.Seed = 0
    max_length: options.MaxLength = 128
    port: options.Port = 8377
    browser: options.Browser = True


@command(Annotating)
def annotate(asked: Annotating) -> Outcome:
    """Label attention maps by looking at them, on a local page.

    Maps of MODEL on TASK are added to the set in OUT; without them the set is shown as it is. Every
    label is on the disk before the next map is shown. Ctrl-C ends the server.

    For example:
    headscope annotate --model minilm --task builtin --count 50 --out labelled
    headscope annotate --out labelled --annotator ann --round 2
    """
    from headscope.commands import labelling
    from headscope.commands.session import open_session

    if (asked.model is None) != (asked.task is None):
        raise HeadscopeError(
            "to draw maps give both --model and --task; to label what OUT holds give neither"
        )
    if asked.model is None:
        drawing = ("data", "count", "family", "seed", "max_length")
        say_notes(
            asked.without_effect(drawing, "maps are drawn with --model and --task only"),
            quiet=asked.quiet,
        )
    if asked.agreement:
        serving = ("annotator", "round", "port", "browser")
        say_notes(asked.without_effect(serving, "--agreement shows no page"), quiet=asked.quiet)
    if asked.model is not None and asked.task is not None:
        settings = TaskSettings(
            task=asked.task,
            out=asked.out,
            data=asked.data,
            seed=asked.seed,
            max_length=asked.max_length,
            quiet=asked.quiet,
        )
        session = open_session(
            settings, asked.model, at_most=STUDY_EXAMPLES, needs_head=False, needs_train=False
        )
        labelling.add_maps(session, asked.out, asked.count, asked.family)
    again = shlex.join(["headscope", "annotate", "--out", str(asked.out)])
    if asked.agreement:
        return Outcome(asked.out, labelling.agreement_lines(asked.out), again)
    labelling.serve(
        asked.out,
        port=asked.port,
        annotator=asked.annotator,
        round=asked.round,
        browser=asked.browser,
        quiet=asked.quiet,
    )
    return Outcome(asked.out, labelling.agreement_lines(asked.out), f"{again} --round 2")
