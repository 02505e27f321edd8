"""The steps that commands are made of: each does one thing to a session and writes it into the run
folder.
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headscope.ablation.effects import (
    Logits,
    effects,
    score_rows_of,
    selection_rows,
    top_heads,
    variant_logits,
)
from headscope.ablation.variants import MEMORY
from headscope.axes import HeadSet, set_name
from headscope.commands.session import Session
from headscope.engine import local
from headscope.errors import HeadscopeError
from headscope.model.attention import Mode
from headscope.model.encoding import batches
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.passes import logits
from headscope.progress import say
from headscope.results.run import Run
from headscope.stats.proxies import predictors


def score(
    session: Session, model: Model, configuration: str
) -> tuple[list[dict[str, Any]], Logits]:
    """The `scores` rows of a model on the session's validation examples, and its outputs."""
    out = logits(
        model,
        session.encoded,
        batch_tokens=session.settings.batch_tokens,
        precision=session.settings.precision,
    )
    train_labels, labels = session.train.labels, session.validation.labels
    rows = score_rows_of(
        session.task,
        train_labels,
        labels,
        out,
        configuration=configuration,
        seed=session.settings.seed,
    )
    return rows, out


def disable_sets(
    session: Session,
    model: Model,
    run: Run,
    sets: list[tuple[str, HeadSet]],
    before: Logits,
    mode: Mode,
    *,
    memory: int = MEMORY,
    replicas: Sequence[Model] = (),
) -> None:
    """Score the model with each set disabled, saving set by set, and write the `disabled` table.

    before: the outputs of the whole model. memory: how many bytes of states to keep. replicas: the
    model on the devices that share the work; by default the model alone. Sets that an earlier run
    finished are not scored again.
    """
    replicas = replicas or (model,)
    if mode == "mean":
        rows = batches(session.encoded.lengths, session.settings.batch_tokens)
        means = model.measure_means(session.encoded.batch(r, model.hf.device) for r in rows)
        for one in replicas:
            one.means = means.to(one.hf.device)
    # A long list of heads makes no file name.
    file = {
        name: name if len(name) < 100 else hashlib.sha256(name.encode()).hexdigest()[:16]
        for name, _ in sets
    }

    finished = run.finished_parts("disabled")
    done = {name for name in file if file[name] in finished}

    def work(left: Sequence[tuple[str, HeadSet]], *, replica: Model) -> Iterator[str]:
        own = {name for name, _ in left}
        scored = variant_logits(
            replica,
            session.encoded,
            sets,
            mode,
            # All sets, so that they are stacked alike whatever is left and however many share the
            # work.
            done=[name for name, _ in sets if name not in own],
            batch_tokens=session.settings.batch_tokens,
            precision=session.settings.precision,
            memory=memory,
            before=before,
            note=lambda text: say(text, quiet=session.settings.quiet),
        )
        for name, out, change in scored:
            run.part("disabled", file[name], {"logits": out, "change": np.array([change])})
            yield name

    local.run(
        sets,
        [partial(work, replica=one) for one in replicas],
        done=done,
        label="disabling heads",
        kind=lambda heads: min(heads).layer,
        quiet=session.settings.quiet,
    )
    parts = run.finished_parts("disabled")
    after = {
        name: (parts[file[name]]["logits"], float(parts[file[name]]["change"][0]))
        for name, _ in sets
    }
    table = effects(
        session.task,
        session.validation.labels,
        before,
        after,
        sets,
        mode=mode,
        seed=session.settings.seed,
    )
    run.table("disabled", table, model=session.model.name, task=session.task.name)
    if len(sets) > 1:
        outputs = {name: logits for name, (logits, _) in after.items()}
        tested = selection_rows(
            session.task, session.validation.labels, before, outputs, seed=session.settings.seed
        )
        run.table("selection", tested, model=session.model.name, task=session.task.name)


def replicas(session: Session, devices: str | None) -> list[Model]:
    """The session's model on every device of a list joined by commas. Raises HeadscopeError for one
    that is missing.
    """
    found = []
    for name in (devices or "").split(",") if devices is not None else ():
        try:
            device = str(torch.device(name.strip()))
            found.append(load(session.model.path, labels=session.task.outputs, device=device))
        except (RuntimeError, AssertionError) as error:
            reason = str(error).strip().split("\n")[0].rstrip(".")
            raise HeadscopeError(
                f"--devices {devices!r}: {name.strip()!r} cannot be used ({reason}): name devices "
                "that torch has, as in cuda:0,cuda:1, or cpu"
            ) from error
    return found


def write_predictors(session: Session, run: Run) -> None:
    """Write `predictors`: which measures of a head go with what disabling it costs."""
    tables = {
        name: frame
        for name in ("heads", "patterns", "disabled")
        if (frame := run.read(name)) is not None
    }
    if rows := predictors(tables, session.settings.seed):
        run.table("predictors", rows, model=session.model.name, task=session.task.name)


def named_heads(spec: str, measured: Path | None) -> str:
    """`--heads` with top:MEASURE:COUNT put into the names of those heads, by the `heads` table of
    the run `measured`.

    Raises HeadscopeError when the run or the measure is not there, or when one is given without the
    other.
    """
    if not spec.startswith("top:"):
        if measured is not None:
            raise HeadscopeError(
                f"--measured goes with --heads top:MEASURE:COUNT, and --heads is {spec!r}"
            )
        return spec
    _, *parts = spec.split(":")
    if len(parts) != 2 or not parts[1].isdecimal():
        raise HeadscopeError(
            f"--heads {spec!r} is not understood: write top:MEASURE:COUNT, as in top:entropy:5"
        )
    frame = None if measured is None else Run(measured).read("heads")
    if frame is None:
        where = (
            "--measured RUN is needed" if measured is None else f"{measured} holds no heads.parquet"
        )
        raise HeadscopeError(
            f"{where}: give the folder of headscope measure or compare, whose heads {spec} goes by"
        )
    return set_name(top_heads(frame.to_dicts(), parts[0], int(parts[1])))
