"""`headscope prune`: which heads can go together, and a model without them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headscope.commands import options
from headscope.commands.outcome import Outcome, limit_lines, report_command
from headscope.commands.path import PathSettings, check_count, check_layers
from headscope.commands.settings import command
from headscope.errors import HeadscopeError

if TYPE_CHECKING:
    from headscope.commands.pruning import ScoredPath
    from headscope.commands.searching import SearchData
    from headscope.commands.session import Session
    from headscope.results.run import Run


@dataclass(frozen=True, kw_only=True)
class Pruning(PathSettings):
    """What `headscope prune` is asked."""

    command = "prune"

    keep: options.Keep = None
    search_examples: options.SearchExamples = 500
    repair: options.Repair = False
    finetune: options.TrainedOn = 0
    onnx: options.Onnx = False


@command(Pruning)
def prune(asked: Pruning) -> Outcome:
    """Search for the heads that can go together, and test once what is lost without them.

    The search looks at training examples alone; the test is on the validation examples. Writes the
    model without these heads: full loads with transformers, small is smaller and faster.

    For example:
    headscope prune --model CKPT --task mrpc --data glue --repair --out runs/pruned
    headscope prune --model CKPT --task reviews.csv --keep 0.5,0.25 --out half
    """
    from headscope.commands.class_names import trust_note
    from headscope.commands.engine import check_engine, opened
    from headscope.commands.kinds import open_scored
    from headscope.commands.pruning import check_worth, choose, find_path, score_on_validation
    from headscope.commands.scoring import score
    from headscope.commands.searching import draw_search_data
    from headscope.commands.session import begin
    from headscope.names import AS_GIVEN
    from headscope.progress import say_notes
    from headscope.pruning.choice import kept_counts, shares_of
    from headscope.reporting.ending import shortened
    from headscope.reporting.pruning import recommended, size_lines

    check_count(asked.search_examples)
    check_engine(asked)
    shares = () if asked.keep is None else tuple(shares_of(asked.keep))
    session = open_scored(asked, asked.model)
    check_model(session, asked)
    model = session.model
    kept = kept_counts(shares, model.layers * model.heads)
    data = draw_search_data(session, asked.search_examples, is_choosing=not kept)
    notes = data.notes if session.marker else (*data.notes, *trust_note(model, session.task))
    say_notes(notes, quiet=asked.quiet)
    request = session.request(
        keep=kept,
        within=asked.margin,
        mode=asked.mode,
        search_examples=len(data.search),
        choice_examples=data.choice_n,
        repair=asked.repair,
        finetune=asked.finetune,
        onnx=asked.onnx,
    )
    with begin(asked, request, session.inputs) as run:
        if not run.is_complete:
            with opened(asked, session) as shared:
                rows, unchanged = score(session, model, AS_GIVEN)
                check_worth(asked.model, rows)
                run.table("scores", rows, **session.names)
                path = find_path(asked, shared, data, run)
                chosen = choose(asked, shared, data, run, path, kept)
                scored = score_on_validation(asked, shared, data, run, path, chosen, unchanged)
            notes = (*notes, *write_models(asked, session, data, run, scored))
            run.finish(session.record(request, model, notes))
        table = run.read("pruned")
        costs = () if table is None else tuple(one.sentence for one in recommended(table))
        found = (*costs, *size_lines(run.read("sizes")))
        lines = shortened(found, (*model_lines(asked.out), *limit_lines(run)))
    return Outcome(asked.out / "pruned.parquet", lines, report_command(asked.out))


def write_models(
    asked: Pruning, session: Session, data: SearchData, run: Run, scored: ScoredPath
) -> tuple[str, ...]:
    """Write the checkpoints of the recommended sets, and the tables `pruned` and `sizes`.

    Returns:
        What the user must know.
    """
    from headscope.commands.smaller import ModelWriter

    writer = ModelWriter(asked, session, data, scored.validation)
    rows, sizes = list(scored.rows), []
    notes: list[str] = []
    for number, path_set in enumerate(scored.recommended):
        # Of several sizes, the first that was asked for is the run's own.
        folder = run.path / f"keep-{len(path_set.kept)}" if number else run.path
        written = writer.write(path_set, scored.rows_of(path_set), folder)
        rows += written.rows
        sizes += written.sizes
        notes += written.notes
    run.table("pruned", rows, **session.names)
    if sizes:
        run.table("sizes", sizes, **session.names)
    return tuple(dict.fromkeys(notes))


def model_lines(out: Path) -> tuple[str, ...]:
    """Which models were written, and what loads them."""
    from headscope.model.source import MODULES
    from headscope.results.contents import FULL, SMALL, TUNED

    is_embedder = (out / FULL / MODULES).is_file()
    of_full = "sentence-transformers" if is_embedder else "transformers"
    readers = {FULL: of_full, SMALL: "headscope.load", TUNED: "headscope.load"}
    there = [
        f"{out / name} ({reader})" for name, reader in readers.items() if (out / name).is_dir()
    ]
    return (f"models: {', '.join(there)}",) if there else ()


def check_model(session: Session, asked: Pruning) -> None:
    """Check that heads can be removed from a model that was trained on the task.

    Raises:
        HeadscopeError: It has no head for this task, or one set of heads for all layers; or both a
            share and a margin are asked for.
    """
    from headscope.commands.disable import check_head
    from headscope.model.classes import OF_MASKED_TOKENS
    from headscope.model.reduced import PARTS

    if asked.keep is not None and asked.within is not None:
        raise HeadscopeError(
            "--keep says how many heads are kept, and --within by how much the score may fall: "
            "give one of the two"
        )
    if session.pooling is not None and (asked.repair or asked.finetune or asked.onnx):
        raise HeadscopeError(
            "--repair, --finetune and --onnx are of models with a head: leave them out for "
            "embeddings"
        )
    if session.head is OF_MASKED_TOKENS and asked.finetune:
        raise HeadscopeError(
            "--finetune trains on labels, and masked tokens have none: leave it out, or take "
            "--repair, which trains nothing"
        )
    family = session.model.family
    if family not in PARTS and (asked.finetune or asked.onnx):
        raise HeadscopeError(
            f"--finetune and --onnx are of the checkpoint small, and heads of {asked.model} "
            f"({family}) cannot be removed so that the model is smaller: leave them out, or use a "
            f"model of one of these families: {', '.join(sorted(PARTS))}"
        )
    check_head(session, asked)
    check_layers(session.model)
