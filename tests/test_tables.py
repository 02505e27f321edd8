"""Tables: one registry that the golden runs agree with, a writer that refuses the rest, and a reader."""

import doctest
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import golden_runs
import headscope
import runs
from headscope.errors import HeadscopeError
from headscope.results import saved
from headscope.results.run import Run
from headscope.results.saved import open_run
from headscope.results.schema import Table
from headscope.results.tables import TABLES

OLD = Path(__file__).parent / "run-0.1.0"
"""A run of `disable --heads layers` as version 0.1.0 wrote it, without columns that came later."""


def pinned() -> Iterator[tuple[str, dict[str, str]]]:
    """Every Parquet table of the golden runs: its name, and its columns with their types."""
    for line in (golden_runs.PINNED / golden_runs.COLUMNS).read_text().splitlines():
        path, _, columns = line.partition(": ")
        if " " not in path and not path.endswith(".csv"):
            yield (
                path.rpartition("/")[2],
                dict(column.split(" ", 1) for column in columns.split(", ")),
            )


def disagreement(table: Table, columns: dict[str, str]) -> str:
    """What a definition and the columns of a file disagree in; empty where they agree."""
    if columns.keys() != table.schema.keys():
        return f"{sorted(columns.keys() ^ table.schema.keys())}"
    wrong = [
        column.name
        for column in table.columns
        if columns[column.name] not in (str(column.dtype), "Null" if column.nullable else "")
    ]
    return ", ".join(wrong)


def test_every_table_of_the_golden_runs_is_as_it_is_defined() -> None:
    written = list(pinned())
    assert {name for name, _ in written} == TABLES.keys()
    for name, columns in written:
        assert disagreement(TABLES[name], columns) == "", name


def test_the_comparison_with_the_golden_runs_can_fail() -> None:
    table, columns = TABLES["scores"], {k: str(v) for k, v in TABLES["scores"].schema.items()}
    assert disagreement(table, columns) == ""
    assert disagreement(table, {**columns, "n": "Float64"}) == "n"
    assert disagreement(table, {**columns, "value": "Null"}) == "value"
    assert disagreement(table, {**columns, "more": "Int64"}) == "['more']"
    del columns["majority"]
    assert disagreement(table, columns) == "['majority']"


def test_the_golden_tables_pass_the_check_of_the_writer() -> None:
    for path in golden_runs.PINNED.rglob("*.parquet"):
        name = path.stem
        if name.endswith(".csv"):
            continue
        table, frame = TABLES[name], pl.read_parquet(path)
        prose = [c for c in golden_runs.PROSE if c in table.schema and c not in frame.columns]
        full = frame.with_columns(pl.col(pl.Float32).cast(pl.Float64)).with_columns(
            pl.lit("").alias(column) for column in prose
        )
        table.check(full)


def test_definitions_are_whole() -> None:
    for table in TABLES.values():
        assert table.meaning.endswith(".")
        assert len(table.schema) == len(table.columns), f"{table.name} has a column twice"
        assert {*table.required, *table.hidden} <= table.schema.keys()
        assert {*table.always} <= {*table.commands} <= COMMANDS
        for column in table.columns:
            assert column.meaning.endswith("."), f"{table.name}.{column.name}"
            assert not (column.nullable and column.name in ("value", "n", "unit"))
            assert bool(column.unit) or not column.dtype.is_numeric() or column.name in UNITLESS


COMMANDS = {
    "study",
    "prune",
    "finetune",
    "measure",
    "compare",
    "disable",
    "relations",
    "paper",
    "annotate",
}
UNITLESS = {"seed", "cluster", "other_cluster"}


@dataclass(frozen=True)
class Count:
    what: str
    value: Any = 3
    unit: str | None = "count"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"what": "links", "value": 3}], "the column 'unit' is missing"),
        ([{"what": "links", "value": 3, "unit": "count", "m": 1}], "it has no column 'm'"),
        ([Count("links", 3.5)], "'value' is Float64, not Int64"),
        ([Count("links", "3")], "'value' is String, not Int64"),
        ([Count("links", None)], "'value' is Null, not Int64"),
        ([Count("links"), Count("links", unit=None)], "'unit' is missing in 1 rows"),
    ],
)
def test_the_writer_refuses_what_is_not_the_table(
    tmp_path: Path, rows: list[Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"'corpus' cannot be written: {message}"):
        Run(tmp_path).table("corpus", rows, model="m", task="t")
    assert not list(tmp_path.iterdir())


def test_the_writer_refuses_a_table_that_nobody_defined(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no table 'corpsu' is defined"):
        Run(tmp_path).table("corpsu", [Count("links")], model="m", task="t")


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    Run(tmp_path).table("relations_best", [], model="m", task="t")
    frame = pl.read_parquet(tmp_path / "relations_best.parquet")
    assert frame.schema == pl.Schema(TABLES["relations_best"].schema)


def test_a_run_whose_folder_is_a_pattern_has_its_own_tables(tmp_path: Path) -> None:
    for name, task in (("run[1]", "right"), ("run1", "wrong")):
        run = Run.begin(tmp_path / name, {"command": "disable"})
        run.table("corpus", [Count("links")], model="m", task=task)
        run.finish(runs.record())
    opened = headscope.open_run(tmp_path / "run[1]")
    assert opened.tables["corpus"]["task"].to_list() == ["right"]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    run = Run.begin(tmp_path / "run", {"command": "disable"})
    run.table("corpus", [Count("links")], model="m", task="t")
    run.finish(runs.record(notes=("a note",)))
    opened = headscope.open_run(str(tmp_path / "run"))
    assert opened.path == tmp_path / "run"
    assert opened.tables["corpus"].to_dicts() == [
        {"model": "m", "task": "t", "what": "links", "value": 3, "unit": "count"}
    ]
    assert opened.tables["corpus"] is opened.tables["corpus"]
    assert opened.record.model == runs.record().model
    assert (opened.record.notes, opened.record.started) == (["a note"], run.started)
    assert list(opened.tables) == ["corpus"]
    assert "disabled" not in opened.tables
    assert opened.tables.get("disabled") is None
    assert repr(open_run(tmp_path / "run")) == (
        f"<run {str(tmp_path / 'run')!r}: disable of tiny-bert on pairs; tables corpus>"
    )


def test_a_run_of_version_0_1_0_is_read() -> None:
    run = headscope.open_run(OLD)
    assert run.record.headscope == "0.1.0"
    assert run.record.data.validation == 40
    disabled = run.tables["disabled"]
    assert disabled.schema == pl.Schema(TABLES["disabled"].schema)
    assert disabled["set"].head(3).to_list() == ["layer 1", "layer 2", "layer 3"]
    assert disabled["loss_change"].to_list() == [None] * 6 == disabled["head"].to_list()
    assert run.tables["scores"].select("metric", "majority").rows() == [
        ("accuracy", 50.0),
        ("f1", 0.0),
    ]
    assert run.tables["selection"]["null_mean"].null_count() == 2


def test_a_column_of_a_later_version_is_left_out(tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    scores = pl.read_parquet(tmp_path / "scores.parquet")
    scores.with_columns(more=pl.lit(1)).write_parquet(tmp_path / "scores.parquet")
    record = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**record, "more": {}}))
    read = headscope.open_run(tmp_path).tables["scores"]
    assert "more" not in read.columns
    assert read.select(scores.columns).equals(scores)


def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(HeadscopeError, match="holds no run: give the folder that a command wrote"):
        headscope.open_run(tmp_path / "nowhere")
    Run.begin(tmp_path / "begun", {"command": "disable"})
    with pytest.raises(HeadscopeError, match="is not complete: the command that began it resumes"):
        headscope.open_run(tmp_path / "begun")
    folder = tmp_path / "run"
    shutil.copytree(OLD, folder)
    tables = headscope.open_run(folder).tables
    with pytest.raises(
        HeadscopeError, match=f"unknown table of {folder} 'disable': did you mean 'disabled'. Known"
    ):
        tables["disable"]
    # The check of types at run time has read the first table already, so this is of another.
    (folder / "selection.parquet").write_bytes(b"PAR1")
    with pytest.raises(HeadscopeError, match="selection.parquet is damaged .the file cannot be"):
        tables["selection"]
    disabled = pl.read_parquet(folder / "disabled.parquet")
    disabled.drop("delta").write_parquet(folder / "disabled.parquet")
    with pytest.raises(HeadscopeError, match="disabled.parquet is damaged .it lacks delta"):
        tables["disabled"]
    disabled.with_columns(pl.lit("x").alias("delta")).write_parquet(folder / "disabled.parquet")
    with pytest.raises(HeadscopeError, match="its column delta is not Float64"):
        tables["disabled"]
    for text in ("{", "[]", '{"command": "disable"}'):
        (folder / "run.json").write_text(text)
        with pytest.raises(HeadscopeError, match="run.json (cannot be read|is damaged)"):
            headscope.open_run(folder)


def test_the_example_of_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(OLD, tmp_path / "runs" / "layers")
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(saved)
    assert (result.failed, result.attempted) == (0, 3)
