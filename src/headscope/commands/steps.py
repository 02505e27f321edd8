"""The steps that commands are made of: each does one thing to a session and writes it into the run
folder.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load_file

from headscope.ablation.effects import (
    Logits,
    effects,
    score_rows_of,
    selection_rows,
    top_heads,
    variant_logits,
)
from headscope.ablation.variants import MEMORY
from headscope.axes import HeadSet, all_heads, set_name
from headscope.commands.kept_examples import example_maps, example_rows, shown
from headscope.commands.session import Session, cut_note
from headscope.engine import local
from headscope.errors import HeadscopeError
from headscope.measures import OWN_PASS
from headscope.measures.base import MeasureObserver, Measuring, Moments
from headscope.measures.comparison import NOTEBOOK_WIDTH, ComparisonObserver
from headscope.measures.gradient import IMPORTANCE, gradient_importance
from headscope.measures.rows import (
    HeadRow,
    LikenessRow,
    change_rows,
    head_rows,
    importance_rows,
    likeness_rows,
    values_by_head,
)
from headscope.measures.similarity import LIKENESS, clusters, likeness
from headscope.model.attention import Mode
from headscope.model.encoding import batches, encode, only
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.passes import logits, run_pair_pass, run_pass
from headscope.names import AFTER, AS_GIVEN, BEFORE
from headscope.patterns.classifier import load_classifier
from headscope.patterns.collect import Collector
from headscope.patterns.rows import PATTERNS, heterogeneous_rows, pattern_rows
from headscope.progress import progress, say
from headscope.results.run import Run
from headscope.stats.proxies import predictors
from headscope.training.checkpoint import CHECKPOINT_DONE, save_checkpoint
from headscope.training.loop import train
from headscope.training.recipe import Recipe

LIKENESS_EXAMPLES, CLUSTERS = 100, 8


def train_checkpoint(
    session: Session, recipe: Recipe, checkpoint: Path, run: Run, *, none: bool = False
) -> tuple[str, ...]:
    """Fine-tune the session's model into `checkpoint`; where an earlier run left one, take up its
    weights.

    none: write the model as it is, with its new head. Returns notes.
    """
    encoded = encode(session.train, session.model.tokenizer, session.encoded.max_length)
    notes = [*cut_note(encoded, "training")]
    if (checkpoint / CHECKPOINT_DONE).is_file():
        done = load(checkpoint, labels=session.task.outputs, device=str(session.model.hf.device))
        session.model.hf.load_state_dict(done.hf.state_dict())
        return tuple(notes)
    state = run.path / "training.safetensors"
    if not none:
        steps = recipe.epochs * -(-len(encoded) // recipe.batch_size)

        def tell_split(size: int) -> None:
            note = f"the GPU's memory is too small for {recipe.batch_size} examples at once: trained in parts of {size}"
            notes[:] = [n for n in notes if "trained in parts" not in n] + [
                f"{note}, the gradients added up"
            ]
            say(f"note: {notes[-1]}", quiet=session.settings.quiet)

        with progress("fine-tuning", steps, quiet=session.settings.quiet) as advance:
            train(
                session.model,
                session.task,
                encoded,
                session.train.labels,
                recipe,
                state=state,
                advance=advance,
                on_resume=lambda step: say(
                    f"resuming training at step {step} of {steps}", quiet=session.settings.quiet
                ),
                on_split=tell_split,
            )
    save_checkpoint(session.model, session.task, checkpoint)
    state.unlink(missing_ok=True)
    return tuple(notes)


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


def measure_heads(
    session: Session, run: Run, names: list[str], *, faithful: bool = False
) -> tuple[str, ...]:
    """Write `heads`: every named measure of every head, one pass for all; and the tables of
    `likeness` and `patterns` if named. Returns notes.
    """
    model = session.model
    measuring = Measuring(_one_pass(names), session.words(), faithful=faithful)
    measures = MeasureObserver(measuring, model.layers, model.heads)
    patterns = _collectors(session, names)
    with progress("measuring heads", len(session.encoded), quiet=session.settings.quiet) as advance:
        run_pass(
            model,
            session.encoded,
            [measures, *patterns],
            batch_tokens=session.settings.batch_tokens,
            precision=session.settings.precision,
            advance=advance,
        )
    measured = measures.moments()
    rows = _write_heads(session, model, run, names, measured)
    for collector in patterns:
        _write_patterns(session, run, {AS_GIVEN: collector.classes}, rows)
    return _empty_note(measured)


def compare_heads(
    session: Session,
    before: Model,
    after: Model,
    run: Run,
    names: list[str],
    *,
    faithful: bool = False,
) -> tuple[str, ...]:
    """Write `heads`, the measures of `after`, and `change`, what differs from `before`. Returns
    notes.
    """
    measuring = Measuring(_one_pass(names), session.words(), faithful=faithful)
    measures = ComparisonObserver(measuring, after.layers, after.heads, padding=faithful)
    patterns_before, patterns_after = _collectors(session, names), _collectors(session, names)
    with progress("measuring heads", len(session.encoded), quiet=session.settings.quiet) as advance:
        run_pair_pass(
            before,
            after,
            session.encoded,
            [measures],
            of_before=patterns_before,
            of_after=patterns_after,
            width=NOTEBOOK_WIDTH if faithful else 0,
            batch_tokens=session.settings.batch_tokens,
            precision=session.settings.precision,
            advance=advance,
        )
    comparison = measures.comparison()
    rows = _write_heads(session, after, run, names, comparison.after)
    run.table("change", change_rows(comparison), **session.names)
    for first, second in zip(patterns_before, patterns_after, strict=True):
        classes = {BEFORE: first.classes, AFTER: second.classes}
        _write_patterns(session, run, classes, rows)
    return _empty_note(comparison.after)


def _collectors(session: Session, names: list[str]) -> list[Collector]:
    """An observer of patterns if they are named, else none."""
    if PATTERNS not in names:
        return []
    model = session.model
    return [Collector(load_classifier(), len(session.encoded), model.layers, model.heads)]


def _one_pass(names: list[str]) -> list[str]:
    return [name for name in names if name not in OWN_PASS]


def _write_heads(
    session: Session, model: Model, run: Run, names: list[str], measured: Mapping[str, Moments]
) -> list[HeadRow]:
    """Write `heads`, and `likeness` if named. Returns the rows of `heads`."""
    rows = head_rows(measured)
    if IMPORTANCE in names:
        rows += _importance(session, model)
    run.table("heads", rows, **session.names)
    if LIKENESS in names:
        run.table("likeness", _likeness(session, model), **session.names)
    return rows


def _write_patterns(
    session: Session,
    run: Run,
    classes: Mapping[str, npt.NDArray[np.int8]],
    measured: Sequence[HeadRow],
) -> None:
    """Write `patterns` and, of the last state, `heterogeneous`; keep the classes of all maps."""
    rows = pattern_rows(classes, load_classifier().groups, session.settings.seed)
    run.arrays(PATTERNS, {state.replace(" ", "_"): found for state, found in classes.items()})
    run.table(PATTERNS, rows, **session.names)
    groups = heterogeneous_rows(rows, list(classes)[-1], values_by_head(measured))
    if groups:
        run.table("heterogeneous", groups, **session.names)


def _importance(session: Session, model: Model) -> list[HeadRow]:
    """The `heads` rows of gradient importance; none without a trained head."""
    if not model.trained_head or model.hf.config.num_labels != session.task.outputs:
        return []
    with progress(
        "gradient importance", len(session.encoded), quiet=session.settings.quiet
    ) as advance:
        moments = gradient_importance(
            model,
            session.task,
            session.encoded,
            session.validation.labels,
            batch_tokens=session.settings.batch_tokens,
            precision=session.settings.precision,
            advance=advance,
        )
    return importance_rows(moments, "squared error" if session.task.is_regression else "nats")


def _likeness(session: Session, model: Model) -> list[LikenessRow]:
    """The `likeness` rows: the divergence of every two heads' maps, on up to 100 examples."""
    limit = min(LIKENESS_EXAMPLES, len(session.encoded))
    with progress("how alike heads are", limit, quiet=session.settings.quiet) as advance:
        distances = likeness(
            model, session.encoded, limit=limit, seed=session.settings.seed, advance=advance
        )
    heads = all_heads(model.layers, model.heads)
    return likeness_rows(distances, clusters(distances, min(CLUSTERS, len(heads))), heads, limit)


def _empty_note(sums: Mapping[str, Moments]) -> tuple[str, ...]:
    empty = [name for name, moments in sums.items() if not moments.n.any()]
    if not empty:
        return ()
    untagged = "attention_to_noun" in empty and "attention_to_verb" in empty
    hint = "; for parts of speech run pip install 'headscope[words]'" if untagged else ""
    return (
        "no example has what these measures look at, so they are left out: "
        f"{', '.join(empty)}{hint}",
    )


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


def keep_maps(
    session: Session, model: Model, run: Run, state: str, out: Logits | None = None
) -> None:
    """Keep the maps of the examples that the report shows; and, but for the state before, their
    table.

    out: the outputs of `model`, where they are there already.
    """
    rows = shown(len(session.encoded), session.settings.seed)
    kept = load_file(run.path / "maps.safetensors") if run.has("maps.safetensors") else {}
    kept |= {
        f"{state}/{row}": maps for row, maps in example_maps(model, session.encoded, rows).items()
    }
    run.arrays("maps", kept)
    if state == "before":
        return
    own = out[rows] if out is not None else None
    if own is None and model.trained_head and model.hf.config.num_labels == session.task.outputs:
        own = logits(
            model, only(session.encoded, rows.tolist()), batch_tokens=session.settings.batch_tokens
        )
    run.table(
        "examples",
        example_rows(session, rows, own),
        model=session.model.name,
        task=session.task.name,
    )
