"""The run folder: begun, resumed, refused, replaced; whole files only; a full disk loses nothing."""

import errno
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import runs
from headscope.errors import HeadscopeError
from headscope.measures.rows import ChangeRow, HeadRow
from headscope.results.record import read_json
from headscope.results.run import Run, frame_of

REQUEST = {"command": "disable", "model": "abc", "heads": ["L1H1"], "seed": 0}


def test_begun_then_resumed_then_complete(tmp_path: Path) -> None:
    run = Run.begin(tmp_path / "run", REQUEST)
    assert not run.is_complete
    assert not run.is_resumed
    run.part("disabled", "L1H1", {"logits": np.arange(6, dtype=np.float32).reshape(3, 2)})
    again = Run.begin(tmp_path / "run", REQUEST)
    assert again.is_resumed
    assert again.finished_parts("disabled")["L1H1"]["logits"].tolist() == [[0, 1], [2, 3], [4, 5]]
    place = {"layer": 1, "head": 1, "measure": "entropy"}
    number = {"value": 0.5, "low": 0.1, "high": 0.9, "n": 9, "unit": "nats"}
    rows = [{**place, **number, "before": before, "after": 2.5} for before in (None, 1.0)]
    again.table("change", rows, model="m", task="t")
    assert again.has("change")
    again.finish(runs.record())
    assert Run.begin(tmp_path / "run", REQUEST).is_complete
    assert read_json(tmp_path / "run" / "run.json")["started"] == run.started
    table = pl.read_parquet(tmp_path / "run" / "change.parquet")
    assert table.columns == ["model", "task", *rows[0]]
    assert table["before"].to_list() == [None, 1.0]


def test_another_run_is_refused_and_replaced_on_request(tmp_path: Path) -> None:
    Run.begin(tmp_path, REQUEST).finish(runs.record())
    with pytest.raises(
        HeadscopeError,
        match="holds another run .it differs in model, seed.: give another folder, or --overwrite",
    ):
        Run.begin(tmp_path, {**REQUEST, "model": "xyz", "seed": 1})
    run = Run.begin(tmp_path, {**REQUEST, "model": "xyz"}, overwrite=True)
    assert not run.is_complete
    assert not run.is_resumed


def test_files_of_the_user_are_never_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(
        HeadscopeError, match="holds files that are not of a run: give an empty or a new folder"
    ):
        Run.begin(tmp_path, REQUEST)
    with pytest.raises(HeadscopeError, match="so nothing was removed"):
        Run.begin(tmp_path, REQUEST, overwrite=True)
    with pytest.raises(HeadscopeError, match="is a file: give a folder"):
        Run.begin(tmp_path / "thesis.tex", REQUEST)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.begin(tmp_path, REQUEST)
    run.table("corpus", [{"what": "links", "value": 1, "unit": "count"}], model="m", task="t")

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        run.table("corpus", [{"what": "links", "value": 2, "unit": "count"}], model="m", task="t")
    monkeypatch.undo()
    assert pl.read_parquet(tmp_path / "corpus.parquet")["value"].to_list() == [1]
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".tmp")]


def test_a_damaged_record_is_explained(tmp_path: Path) -> None:
    Run.begin(tmp_path, REQUEST)
    (tmp_path / "begun.json").write_text('{"request": ')
    with pytest.raises(
        HeadscopeError, match="cannot be read .*: remove the folder, or use --overwrite"
    ):
        Run.begin(tmp_path, REQUEST)
    for content in ([1], {"request": REQUEST}):
        (tmp_path / "begun.json").write_text(json.dumps(content))
        with pytest.raises(HeadscopeError, match="is damaged"):
            Run.begin(tmp_path, REQUEST)


def test_rows_of_different_kinds_make_no_table() -> None:
    """A column of the second kind would be lost without a word."""
    head = HeadRow(1, 1, "entropy", 1.0, 0.5, 1.5, 2, "nats")
    change = ChangeRow(1, 1, "entropy", 1.0, 0.5, 1.5, 2, "nats", 0.5, 1.5)
    assert frame_of([head, head], {"model": "m"}).height == 2
    with pytest.raises(ValueError, match="rows of different kinds"):
        frame_of([head, change], {"model": "m"})
