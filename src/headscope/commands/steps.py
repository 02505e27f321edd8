"""The steps that commands are made of: each does one thing to a session and writes it into the run
folder.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from headscope.axes import all_heads
from headscope.commands.session import Session, cut_note, example_maps, example_rows, shown
from headscope.measures import MEASURES, OWN_PASS, Moments
from headscope.measures import measure as run_measures
from headscope.measures.comparison import COSINE, compare
from headscope.measures.gradient import gradient_importance, normalised
from headscope.measures.similarity import clusters, likeness
from headscope.model.encoding import encode, only
from headscope.model.loading import Model, load
from headscope.model.passes import logits
from headscope.patterns.classifier import load_classifier
from headscope.patterns.collect import Collector
from headscope.patterns.rows import PATTERNS, write_patterns
from headscope.progress import progress, say
from headscope.results.run import Run
from headscope.stats.proxies import predictors
from headscope.tasks.metrics import Logits
from headscope.tasks.scores import ScoreRow, score_rows_of
from headscope.training.loop import CHECKPOINT_DONE, Recipe, save_checkpoint, train

IMPORTANCE, LIKENESS = "gradient_importance", "likeness"
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
            say(f"note: {notes[-1]}", quiet=session.quiet)

        with progress("fine-tuning", steps, quiet=session.quiet) as advance:
            train(
                session.model,
                session.task,
                encoded,
                session.train.labels,
                recipe,
                state=state,
                advance=advance,
                on_resume=lambda step: say(
                    f"resuming training at step {step} of {steps}", quiet=session.quiet
                ),
                on_split=tell_split,
            )
    save_checkpoint(session.model, session.task, checkpoint)
    state.unlink(missing_ok=True)
    return tuple(notes)


def score(session: Session, model: Model, configuration: str) -> tuple[list[ScoreRow], Logits]:
    """The `scores` rows of a model on the session's validation examples, and its outputs."""
    out = logits(
        model, session.encoded, batch_tokens=session.batch_tokens, precision=session.precision
    )
    train_labels, labels = session.train.labels, session.validation.labels
    rows = score_rows_of(
        session.task, train_labels, labels, out, configuration=configuration, seed=session.seed
    )
    return rows, out


def measure_heads(
    session: Session, run: Run, names: list[str], *, faithful: bool = False
) -> tuple[str, ...]:
    """Write `heads`: every named measure of every head, one pass for all; and `likeness` if named.
    Returns notes.
    """
    words = session.words()
    collector = _collector(session, names)
    with progress("measuring heads", len(session.encoded), quiet=session.quiet) as advance:
        sums = run_measures(
            session.model,
            session.encoded,
            _one_pass(names),
            words=words,
            faithful=faithful,
            also=collector.see if collector else None,
            batch_tokens=session.batch_tokens,
            precision=session.precision,
            advance=advance,
        )
    _write_heads(session, session.model, run, names, sums)
    if collector:
        write_patterns(run, {"as given": collector.classes}, **_named(session), seed=session.seed)
    return _empty_note(sums)


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
    words = session.words()
    first, second = _collector(session, names), _collector(session, names)
    with progress("measuring heads", len(session.encoded), quiet=session.quiet) as advance:
        found = compare(
            before,
            after,
            session.encoded,
            _one_pass(names),
            words=words,
            faithful=faithful,
            also=(first.see, second.see) if first and second else None,
            batch_tokens=session.batch_tokens,
            precision=session.precision,
            advance=advance,
        )
    ids = _named(session)
    _write_heads(session, after, run, names, found.after)
    was = {(r["measure"], r["layer"], r["head"]): r["value"] for r in _moment_rows(found.before)}
    now = {(r["measure"], r["layer"], r["head"]): r["value"] for r in _moment_rows(found.after)}
    rows = [{**row, "before": None, "after": None} for row in _moment_rows({COSINE: found.cosine})]
    for row in _moment_rows(found.difference):
        key = (row["measure"], row["layer"], row["head"])
        rows.append({**row, "before": was[key], "after": now[key]})
    run.table("change", rows, **ids)
    if first and second:
        classes = {"before": first.classes, "after": second.classes}
        write_patterns(run, classes, **_named(session), seed=session.seed)
    return _empty_note(found.after)


def _collector(session: Session, names: list[str]) -> Collector | None:
    if PATTERNS not in names:
        return None
    model = session.model
    return Collector(load_classifier(), len(session.encoded), model.layers, model.heads)


def _named(session: Session) -> dict[str, str]:
    return {"model": session.model.name, "task": session.task.name}


def _one_pass(names: list[str]) -> list[str]:
    return [name for name in names if name not in OWN_PASS]


def _write_heads(
    session: Session, model: Model, run: Run, names: list[str], sums: Mapping[str, Moments]
) -> None:
    rows = _moment_rows(sums)
    if IMPORTANCE in names:
        rows += importance_rows(session, model)
    run.table("heads", rows, model=session.model.name, task=session.task.name)
    if LIKENESS in names:
        alike(session, model, run)


def importance_rows(session: Session, model: Model) -> list[dict[str, Any]]:
    """The `heads` rows of gradient importance, plain and with layers normalised alike; none without
    a trained head.
    """
    if not model.trained_head or model.hf.config.num_labels != session.task.outputs:
        return []
    with progress("gradient importance", len(session.encoded), quiet=session.quiet) as advance:
        moments = gradient_importance(
            model,
            session.task,
            session.encoded,
            session.validation.labels,
            batch_tokens=session.batch_tokens,
            precision=session.precision,
            advance=advance,
        )
    unit = "squared error" if session.task.is_regression else "nats"
    plain = moments.compute()
    rows = _rows_of(IMPORTANCE, unit, moments.n, *plain)
    return rows + _rows_of(
        f"{IMPORTANCE}_normalised", "share of the layer's norm", moments.n, *normalised(*plain)
    )


def alike(session: Session, model: Model, run: Run) -> None:
    """Write `likeness`: the divergence of every two heads' maps, on up to 100 examples, and each
    head's cluster.
    """
    limit = min(LIKENESS_EXAMPLES, len(session.encoded))
    with progress("how alike heads are", limit, quiet=session.quiet) as advance:
        distances = likeness(
            model, session.encoded, limit=limit, seed=session.seed, advance=advance
        )
    heads = all_heads(model.layers, model.heads)
    groups = clusters(distances, min(CLUSTERS, len(heads)))
    rows = [
        {
            "layer": one.layer,
            "head": one.head,
            "other_layer": other.layer,
            "other_head": other.head,
            "cluster": int(groups[a]),
            "other_cluster": int(groups[b]),
            "measure": "jensen_shannon",
            "value": float(distances[a, b]),
            "n": limit,
            "unit": "nats",
        }
        for a, one in enumerate(heads)
        for b, other in enumerate(heads)
        if a < b
    ]
    run.table("likeness", rows, model=session.model.name, task=session.task.name)


def _moment_rows(sums: Mapping[str, Moments]) -> list[dict[str, Any]]:
    """A row per head and measure; measures that no example has are left out."""
    rows = []
    for name, moments in sums.items():
        if moments.n.any():
            unit = "cosine" if name == COSINE else MEASURES.get(name).unit
            rows += _rows_of(name, unit, moments.n, *moments.compute())
    return rows


def _rows_of(
    measure: str, unit: str, n: Any, mean: Any, low: Any, high: Any
) -> list[dict[str, Any]]:
    return [
        {
            "layer": head.layer,
            "head": head.head,
            "measure": measure,
            "value": mean[head.index],
            "low": low[head.index],
            "high": high[head.index],
            "n": int(n[head.index]),
            "unit": unit,
        }
        for head in all_heads(*mean.shape)
    ]


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


def write_predictors(session: Session, run: Run) -> None:
    """Write `predictors`: which measures of a head go with what disabling it costs."""
    tables = {
        name: frame
        for name in ("heads", "patterns", "disabled")
        if (frame := run.read(name)) is not None
    }
    if rows := predictors(tables, session.seed):
        run.table("predictors", rows, model=session.model.name, task=session.task.name)


def keep_maps(
    session: Session, model: Model, run: Run, state: str, out: Logits | None = None
) -> None:
    """Keep the maps of the examples that the report shows; and, but for the state before, their
    table.

    out: the outputs of `model`, where they are there already.
    """
    rows = shown(len(session.encoded), session.seed)
    kept = load_file(run.path / "maps.safetensors") if run.has("maps.safetensors") else {}
    kept |= {
        f"{state}/{row}": maps for row, maps in example_maps(model, session.encoded, rows).items()
    }
    run.arrays("maps", kept)
    if state == "before":
        return
    own = out[rows] if out is not None else None
    if own is None and model.trained_head and model.hf.config.num_labels == session.task.outputs:
        own = logits(model, only(session.encoded, rows.tolist()), batch_tokens=session.batch_tokens)
    run.table(
        "examples",
        example_rows(session, rows, own),
        model=session.model.name,
        task=session.task.name,
    )
