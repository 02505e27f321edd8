"""The steps that commands are made of: each does one thing to a session and writes it into the run folder."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from headscope import engine
from headscope.attention import Mode
from headscope.axes import Head, HeadSet, all_heads
from headscope.disabling import Logits, effects, score_rows_of, selection_rows, variant_logits
from headscope.finetuning import CHECKPOINT_DONE, Recipe, save_checkpoint, train
from headscope.measures import MEASURES, OWN_PASS, Moments
from headscope.measures import measure as run_measures
from headscope.measures.change import COSINE, compare
from headscope.measures.importance import gradient_importance, normalised
from headscope.measures.likeness import clusters, likeness
from headscope.models import Model, load
from headscope.patterns import CLASSES
from headscope.patterns.classifier import load_classifier
from headscope.patterns.collect import Collector
from headscope.patterns.inside import groups
from headscope.patterns.shares import Share, counted, shares
from headscope.progress import progress, say
from headscope.session import Session, cut_note, example_maps, example_rows, shown
from headscope.store import Run
from headscope.stream import logits
from headscope.tasks.encoding import batches, encode

IMPORTANCE, LIKENESS, PATTERNS = "gradient_importance", "likeness", "patterns"
LIKENESS_EXAMPLES, CLUSTERS = 100, 8


def train_checkpoint(
    session: Session, recipe: Recipe, checkpoint: Path, run: Run, *, none: bool = False
) -> tuple[str, ...]:
    """Fine-tune the session's model into `checkpoint`; where an earlier run left one, take up its weights.

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
            notes[:] = [n for n in notes if "trained in parts" not in n] + [f"{note}, the gradients added up"]
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
                on_resume=lambda step: say(f"resuming training at step {step} of {steps}", quiet=session.quiet),
                on_split=tell_split,
            )
    save_checkpoint(session.model, session.task, checkpoint)
    state.unlink(missing_ok=True)
    return tuple(notes)


def score(session: Session, model: Model, configuration: str) -> tuple[list[dict[str, Any]], Logits]:
    """The `scores` rows of a model on the session's validation examples, and its outputs."""
    out = logits(model, session.encoded, batch_tokens=session.batch_tokens, precision=session.precision)
    train_labels, labels = session.train.labels, session.validation.labels
    rows = score_rows_of(session.task, train_labels, labels, out, configuration=configuration, seed=session.seed)
    return rows, out


def measure_heads(session: Session, run: Run, names: list[str], *, faithful: bool = False) -> tuple[str, ...]:
    """Write `heads`: every named measure of every head, one pass for all; and `likeness` if named. Returns notes."""
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
        write_patterns(session, run, {"as given": collector.classes})
    return _empty_note(sums)


def compare_heads(
    session: Session, before: Model, after: Model, run: Run, names: list[str], *, faithful: bool = False
) -> tuple[str, ...]:
    """Write `heads`, the measures of `after`, and `change`, what differs from `before`. Returns notes."""
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
    ids = {"model": session.model.name, "task": session.task.name}
    _write_heads(session, after, run, names, found.after)
    was = {(r["measure"], r["layer"], r["head"]): r["value"] for r in _moment_rows(found.before)}
    now = {(r["measure"], r["layer"], r["head"]): r["value"] for r in _moment_rows(found.after)}
    rows = [{**row, "before": None, "after": None} for row in _moment_rows({COSINE: found.cosine})]
    for row in _moment_rows(found.difference):
        key = (row["measure"], row["layer"], row["head"])
        rows.append({**row, "before": was[key], "after": now[key]})
    run.table("change", rows, **ids)
    if first and second:
        write_patterns(session, run, {"before": first.classes, "after": second.classes})
    return _empty_note(found.after)


def _collector(session: Session, names: list[str]) -> Collector | None:
    if PATTERNS not in names:
        return None
    model = session.model
    return Collector(load_classifier(), len(session.encoded), model.layers, model.heads)


def write_patterns(session: Session, run: Run, classes: Mapping[str, npt.NDArray[np.int8]]) -> None:
    """Write `patterns`: the share of every pattern in the model, its layers and heads, counted and corrected.

    classes: by state of the model ("before", "after", "as given"), the class of every map [example, layer, head]. They
    are kept as `patterns.safetensors`.
    """
    confusion = load_classifier().groups
    rows: list[dict[str, Any]] = []
    for state, found in classes.items():
        _, layers, heads = found.shape
        scopes = [
            (None, None),
            *((layer + 1, None) for layer in range(layers)),
            *((one.layer, one.head) for one in all_heads(layers, heads)),
        ]
        for (layer, head), one in zip(scopes, shares(counted(found), confusion, session.seed), strict=True):
            rows += _share_rows(state, layer, head, one)
    _write_groups(session, run, rows, state)
    run.arrays(PATTERNS, {state.replace(" ", "_"): found for state, found in classes.items()})
    run.table(PATTERNS, rows, model=session.model.name, task=session.task.name)


def _write_groups(session: Session, run: Run, shares: list[dict[str, Any]], state: str) -> None:
    """Write `heterogeneous`: a row per head most of whose maps are of that class, with its group by its measures."""
    by_head = [r for r in shares if r["head"] and r["state"] == state and r["measure"] == "share"]
    most: dict[Head, dict[str, Any]] = {}
    for row in by_head:
        head = Head(row["layer"], row["head"])
        if head not in most or row["value"] > most[head]["value"]:
            most[head] = row
    chosen = sorted(head for head, row in most.items() if row["class"] == "heterogeneous")
    values: dict[str, dict[Head, float]] = {}
    for row in run.rows("heads"):
        values.setdefault(row["measure"], {})[Head(row["layer"], row["head"])] = row["value"]
    table = [
        {
            "state": state,
            "layer": head.layer,
            "head": head.head,
            "group": number,
            "name": group.name,
            "measure": group.measure,
            "value": group.deviation,
            "share": most[head]["value"],
            "unit": "standard deviations",
        }
        for number, group in enumerate(groups(values, chosen), 1)
        for head in group.heads
    ]
    if table:
        run.table("heterogeneous", table, model=session.model.name, task=session.task.name)


def _share_rows(state: str, layer: int | None, head: int | None, share: Share) -> list[dict[str, Any]]:
    kinds = (
        ("share", share.raw, share.raw_low, share.raw_high),
        ("share_corrected", share.corrected, share.low, share.high),
    )
    return [
        {
            "state": state,
            "layer": layer,
            "head": head,
            "class": name,
            "measure": measure,
            "value": float(value[at]),
            "low": float(low[at]),
            "high": float(high[at]),
            "n": share.n,
            "examples": share.examples,
            "unit": "share of maps",
        }
        for measure, value, low, high in kinds
        for at, name in enumerate(CLASSES)
    ]


def _one_pass(names: list[str]) -> list[str]:
    return [name for name in names if name not in OWN_PASS]


def _write_heads(session: Session, model: Model, run: Run, names: list[str], sums: Mapping[str, Moments]) -> None:
    rows = _moment_rows(sums)
    if IMPORTANCE in names:
        rows += importance_rows(session, model)
    run.table("heads", rows, model=session.model.name, task=session.task.name)
    if LIKENESS in names:
        alike(session, model, run)


def importance_rows(session: Session, model: Model) -> list[dict[str, Any]]:
    """The `heads` rows of gradient importance, plain and with layers normalised alike; none without a trained head."""
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
    return rows + _rows_of(f"{IMPORTANCE}_normalised", "share of the layer's norm", moments.n, *normalised(*plain))


def alike(session: Session, model: Model, run: Run) -> None:
    """Write `likeness`: the divergence of every two heads' maps, on up to 100 examples, and each head's cluster."""
    limit = min(LIKENESS_EXAMPLES, len(session.encoded))
    with progress("how alike heads are", limit, quiet=session.quiet) as advance:
        distances = likeness(model, session.encoded, limit=limit, seed=session.seed, advance=advance)
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


def _rows_of(measure: str, unit: str, n: Any, mean: Any, low: Any, high: Any) -> list[dict[str, Any]]:
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
    return (f"no example has what these measures look at, so they are left out: {', '.join(empty)}{hint}",)


def disable_sets(
    session: Session, model: Model, run: Run, sets: list[tuple[str, HeadSet]], before: Logits, mode: Mode
) -> None:
    """Score the model with each set disabled, saving set by set, and write the `disabled` table.

    before: the outputs of the whole model. Sets that an earlier run finished are not scored again.
    """
    if mode == "mean":
        rows = batches(session.encoded.lengths, session.batch_tokens)
        model.measure_means(session.encoded.batch(r, model.hf.device) for r in rows)
    # A long list of heads makes no file name.
    file = {name: name if len(name) < 100 else hashlib.sha256(name.encode()).hexdigest()[:16] for name, _ in sets}

    def work(left: Sequence[tuple[str, HeadSet]]) -> Iterator[str]:
        scored = variant_logits(
            model,
            session.encoded,
            left,
            mode,
            batch_tokens=session.batch_tokens,
            precision=session.precision,
            before=before,
            note=lambda text: say(text, quiet=session.quiet),
        )
        for name, out, change in scored:
            run.part("disabled", file[name], {"logits": out, "change": np.array([change])})
            yield name

    finished = run.finished_parts("disabled")
    done = {name for name in file if file[name] in finished}
    engine.run(sets, work, done=done, label="disabling heads", quiet=session.quiet)
    parts = run.finished_parts("disabled")
    after = {name: (parts[file[name]]["logits"], float(parts[file[name]]["change"][0])) for name, _ in sets}
    table = effects(session.task, session.validation.labels, before, after, sets, mode=mode, seed=session.seed)
    run.table("disabled", table, model=session.model.name, task=session.task.name)
    if len(sets) > 1:
        outputs = {name: logits for name, (logits, _) in after.items()}
        tested = selection_rows(session.task, session.validation.labels, before, outputs, seed=session.seed)
        run.table("selection", tested, model=session.model.name, task=session.task.name)


def keep_maps(session: Session, model: Model, run: Run, state: str, out: Logits | None = None) -> None:
    """Keep the maps of the examples that the report shows; with the outputs `out` also their table."""
    rows = shown(len(session.encoded), session.seed)
    kept = load_file(run.path / "maps.safetensors") if run.has("maps.safetensors") else {}
    kept |= {f"{state}/{row}": maps for row, maps in example_maps(model, session.encoded, rows).items()}
    run.arrays("maps", kept)
    if out is not None:
        run.table("examples", example_rows(session, rows, out), model=session.model.name, task=session.task.name)
