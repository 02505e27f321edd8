"""The steps that commands are made of: each does one thing to a session and writes it into the run folder."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from headscope import engine
from headscope.attention import Mode
from headscope.axes import HeadSet, all_heads
from headscope.disabling import Logits, disabled_logits, effects, score_rows_of
from headscope.finetuning import CHECKPOINT_DONE, Recipe, save_checkpoint, train
from headscope.measures import MEASURES
from headscope.measures import measure as run_measures
from headscope.models import Model
from headscope.progress import progress, say
from headscope.session import Session, cut_note, example_maps, example_rows, shown
from headscope.store import Run
from headscope.stream import logits
from headscope.tasks.encoding import batches, encode


def train_checkpoint(
    session: Session, recipe: Recipe, checkpoint: Path, run: Run, *, none: bool = False
) -> tuple[str, ...]:
    """Fine-tune the session's model into `checkpoint`, unless an earlier run left one there; returns notes.

    none: write the model as it is, with its new head.
    """
    encoded = encode(session.train, session.model.tokenizer, session.encoded.max_length)
    notes = cut_note(encoded, "training")
    if (checkpoint / CHECKPOINT_DONE).is_file():
        return notes
    state = run.path / "training.safetensors"
    if not none:
        steps = recipe.epochs * -(-len(encoded) // recipe.batch_size)
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
            )
    save_checkpoint(session.model, session.task, checkpoint)
    state.unlink(missing_ok=True)
    return notes


def score(session: Session, model: Model, configuration: str) -> tuple[list[dict[str, Any]], Logits]:
    """The `scores` rows of a model on the session's validation examples, and its outputs."""
    out = logits(model, session.encoded, batch_tokens=session.batch_tokens, precision=session.precision)
    train_labels, labels = session.train.labels, session.validation.labels
    rows = score_rows_of(session.task, train_labels, labels, out, configuration=configuration, seed=session.seed)
    return rows, out


def measure_heads(session: Session, model: Model, run: Run, names: list[str]) -> None:
    """Write the `heads` table: every named measure of every head, in one pass."""
    with progress("measuring heads", len(session.encoded), quiet=session.quiet) as advance:
        sums = run_measures(
            model,
            session.encoded,
            names,
            batch_tokens=session.batch_tokens,
            precision=session.precision,
            advance=advance,
        )
    rows = []
    for name, moments in sums.items():
        mean, low, high = moments.compute()
        for head in all_heads(model.layers, model.heads):
            at = head.index
            rows.append(
                {
                    "layer": head.layer,
                    "head": head.head,
                    "measure": name,
                    "value": mean[at],
                    "low": low[at],
                    "high": high[at],
                    "n": int(moments.n[at]),
                    "unit": MEASURES.get(name).unit,
                }
            )
    run.table("heads", rows, model=session.model.name, task=session.task.name)


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

    def work(item: tuple[str, HeadSet]) -> None:
        name, heads = item
        out, change = disabled_logits(
            model, session.encoded, heads, mode, batch_tokens=session.batch_tokens, precision=session.precision
        )
        run.part("disabled", file[name], {"logits": out, "change": np.array([change])})

    finished = run.finished_parts("disabled")
    done = {name for name in file if file[name] in finished}
    items = [(name, (name, heads)) for name, heads in sets]
    engine.run(items, work, done=done, label="disabling heads", quiet=session.quiet)
    parts = run.finished_parts("disabled")
    after = {name: (parts[file[name]]["logits"], float(parts[file[name]]["change"][0])) for name, _ in sets}
    table = effects(session.task, session.validation.labels, before, after, sets, mode=mode, seed=session.seed)
    run.table("disabled", table, model=session.model.name, task=session.task.name)


def keep_maps(session: Session, model: Model, run: Run, state: str, out: Logits | None = None) -> None:
    """Keep the maps of the examples that the report shows; with the outputs `out` also their table."""
    rows = shown(len(session.encoded), session.seed)
    kept = load_file(run.path / "maps.safetensors") if run.has("maps.safetensors") else {}
    kept |= {f"{state}/{row}": maps for row, maps in example_maps(model, session.encoded, rows).items()}
    run.arrays("maps", kept)
    if out is not None:
        run.table("examples", example_rows(session, rows, out), model=session.model.name, task=session.task.name)
