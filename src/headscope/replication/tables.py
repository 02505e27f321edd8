"""The tables of the whole run: those of all parts put together, the published numbers beside, means
over seeds, and the claims.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headscope.replication.plan import Part, Role

if TYPE_CHECKING:
    import polars as pl

    from headscope.replication.rows import SeedsDisabledRow
    from headscope.results.run import Run

TABLES: Mapping[Role, tuple[str, ...]] = {
    Role.SCORES: ("scores",),
    Role.COMPARISON: ("heads", "change", "patterns", "heterogeneous"),
    Role.HEAD_EFFECTS: ("disabled", "selection"),
    Role.LAYER_EFFECTS: ("disabled", "selection"),
    Role.PATH: ("pruned",),
    Role.FRAMES: ("relations", "span_heads", "span_examples"),
}
"""The tables of a part that are put together as they are, by its role."""
_BY_SEED = (Role.HEAD_EFFECTS, Role.HEAD_EFFECTS_OF_ANOTHER_SEED)
_COMPARISONS = (Role.COMPARISON, Role.COMPARISON_OF_ANOTHER_SEED)


def write(run: Run, model: str, parts: Sequence[Part], names: Sequence[str]) -> None:
    """Put the tables of the parts together in the run folder, with the claims.

    Args:
        run: Where they are written; the folders of the parts are within.
        model: The name of the model.
        parts: The parts, all of them done.
        names: The tasks.
    """
    import polars as pl

    from headscope.replication.claims import verdicts
    from headscope.replication.rows import over_seeds, with_paper

    tables = tables_of_parts(run.path, parts)
    dispensable = []
    for role in (Role.FRAME_HEADS_DISABLED, Role.RANDOM_HEADS_DISABLED):
        is_drawn = pl.lit(role == Role.RANDOM_HEADS_DISABLED)
        for folder in [part.folder for part in parts if part.role == role]:
            frame = pl.read_parquet(run.path / folder / "disabled.parquet", glob=False)
            dispensable.append(frame.with_columns(drawn=is_drawn))
    if dispensable:
        tables["dispensable"] = pl.concat(dispensable, how="diagonal_relaxed")
    for name, frame in tables.items():
        run.frame(name, frame)
    scores = tables["scores"]
    run.frame("table1", with_paper(scores, model))
    if (last := last_layers(run.path, parts)) is not None:
        tables["last_layers"] = run.frame("last_layers", last)
    if seeds := over_seeds(scores):
        run.table("seeds", seeds, model=model, task="")
    if signals := [row for name in names for row in signal_rows(tables, name)]:
        run.table("predictors", signals, model=model, task="")
    rows = []
    for name in names:
        by_seed = [part for part in parts if part.task == name and part.role in _BY_SEED]
        if len(by_seed) > 1:
            rows += rows_over_seeds(name, [run.path / part.folder for part in by_seed])
    if rows:
        run.table("seeds_disabled", rows, model=model, task="")
    run.table("claims", verdicts(tables), model=model, task=names[0])


def rows_over_seeds(name: str, folders: Sequence[Path]) -> list[SeedsDisabledRow]:
    """The `seeds_disabled` rows of a task, from the folder of each fine-tuning's disabled heads."""
    import polars as pl

    from headscope.commands.ablation import kept_outputs
    from headscope.replication.rows import effects_over_seeds
    from headscope.tasks import find

    disabled = [pl.read_parquet(folder / "disabled.parquet", glob=False) for folder in folders]
    sets = disabled[0]["set"].unique(maintain_order=True).to_list()
    kept = [kept_outputs(folder, sets) for folder in folders]
    return effects_over_seeds(find(name), disabled, kept)


def tables_of_parts(root: Path, parts: Sequence[Part]) -> dict[str, pl.DataFrame]:
    """The tables of all parts that are there, put together by name."""
    import polars as pl

    frames: dict[str, list[pl.DataFrame]] = {}
    for part in parts:
        for name in TABLES.get(part.role, ()):
            path = root / part.folder / f"{name}.parquet"
            if path.is_file():
                frames.setdefault(name, []).append(pl.read_parquet(path, glob=False))
    return {name: pl.concat(own, how="diagonal_relaxed") for name, own in frames.items()}


def last_layers(root: Path, parts: Sequence[Part]) -> pl.DataFrame | None:
    """How the last two layers changed beside the others, in every fine-tuning; None where no
    comparison tells, such as in models of two layers.
    """
    import polars as pl

    frames = []
    for part in parts:
        path = root / part.folder / "last_layers.parquet"
        if part.role in _COMPARISONS and path.is_file():
            frame = pl.read_parquet(path, glob=False)
            frames.append(frame.with_columns(seed=pl.lit(part.seed, pl.Int64)))
    return pl.concat(frames, how="diagonal_relaxed") if frames else None


def signal_rows(tables: Mapping[str, pl.DataFrame], task: str) -> list[dict[str, object]]:
    """The `predictors` rows of one task."""
    import polars as pl

    from headscope.results.run import as_columns
    from headscope.stats.proxies import predictors

    own = {
        name: frame.filter(pl.col("task") == task)
        for name, frame in tables.items()
        if "task" in frame.columns
    }
    return [{"task": task, **as_columns(row)} for row in predictors(own)]
