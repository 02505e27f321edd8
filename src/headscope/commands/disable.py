"""`headscope disable`: what it costs to disable sets of heads."""

from __future__ import annotations

from headscope.commands.common import begin, open_session
from headscope.commands.options import (
    BatchTokens,
    DataDir,
    Devices,
    Examples,
    HeadsSpec,
    MaxLength,
    Measured,
    Memory,
    Mode,
    ModelName,
    Out,
    Overwrite,
    Part,
    Precision,
    Quiet,
    Seed,
    TaskName,
)
from headscope.commands.outcome import Outcome, saved_score_lines
from headscope.errors import HeadscopeError
from headscope.names import AS_GIVEN


def disable(
    *,
    model: ModelName,
    task: TaskName,
    out: Out,
    data: DataDir = None,
    heads: HeadsSpec = "each",
    measured: Measured = None,
    mode: Mode = "uniform",
    part: Part = "validation",
    memory: Memory = 2.0,
    devices: Devices = None,
    examples: Examples = None,
    seed: Seed = 0,
    precision: Precision = "auto",
    max_length: MaxLength = 128,
    batch_tokens: BatchTokens = 2048,
    quiet: Quiet = False,
    overwrite: Overwrite = False,
) -> Outcome:
    """Disable sets of heads of a fine-tuned model in turn, and test what each costs or gains."""
    given = dict(locals())
    from headscope.ablation.sets import parse_sets
    from headscope.commands import steps
    from headscope.commands.ablation import disable_sets, named_heads, on_devices
    from headscope.commands.session import foreign_labels

    if not memory > 0:
        raise HeadscopeError(f"--memory must be larger than 0 GiB, got {memory:g}")
    heads = named_heads(heads, measured)
    session = open_session(given, examples=examples, part=part)
    if not session.model.trained_head:
        raise HeadscopeError(
            f"{model} has no classification head, so there is no score to lose: fine-tune it "
            f"first with headscope finetune --model {model} --task {task} --out CKPT"
        )
    if wrong := foreign_labels(session.model, session.task):
        raise HeadscopeError(
            f"{model} is of another task: {wrong}; fine-tune one on {task}, or name its own task"
        )
    sets = parse_sets(heads, session.model.layers, session.model.heads, seed=seed)
    request = session.request("disable", heads=heads, mode=mode, part=part)
    run, complete = begin(session, out, request, overwrite)
    if not complete:
        rows, before = steps.score(session, session.model, AS_GIVEN)
        run.table("scores", rows, model=session.model.name, task=session.task.name)
        models = [session.model] if devices is None else on_devices(session, devices)
        disable_sets(session, models, run, sets, before, mode, memory=int(memory * 2**30))
        run.finish(session.record(request, session.model, given))
    following = f"headscope report {out} --out {out}/report.html"
    return Outcome(out / "disabled.parquet", saved_score_lines(run), following)
