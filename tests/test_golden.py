"""The tables of every command are what they were: the format of run folders and what is in them, pinned."""

from pathlib import Path

import polars as pl
import pytest

import golden_runs
from headscope.pruning import speed

TOLERANCE = 2e-4
"""Relative and absolute: another processor adds in another order, and training carries that on."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    with pytest.MonkeyPatch.context() as patched:
        # So many that speeds have intervals, as in every real run: a column of nulls would have another type.
        patched.setattr(speed, "_MOST", 10)
        golden_runs.make(folder)
    return folder


@pytest.mark.slow
def test_columns_and_their_types_are_pinned_to_the_byte(made: Path) -> None:
    assert golden_runs.columns(made) == (golden_runs.PINNED / golden_runs.COLUMNS).read_text()


@pytest.mark.slow
def test_the_values_of_every_table_are_pinned(made: Path) -> None:
    names = set()
    for name, frame in golden_runs.tables(made):
        if not golden_runs.is_pinned(name):
            continue
        names.add(name)
        pinned = pl.read_parquet(golden_runs.PINNED / f"{name}.parquet")
        assert not golden_runs.difference(name, pinned, golden_runs.in_float32(frame), TOLERANCE)
    there = {
        path.relative_to(golden_runs.PINNED).with_suffix("").as_posix()
        for path in golden_runs.PINNED.rglob("*.parquet")
    }
    assert names == there


def test_the_comparison_can_fail() -> None:
    one = pl.DataFrame(
        {"set": ["L1H1"], "value": [1.0], "p": [None]},
        {"set": pl.String, "value": pl.Float32, "p": pl.Float32},
    )
    assert golden_runs.difference("t", one, one) == ""
    assert "value differs by up to 0.5" in golden_runs.difference(
        "t", one, one.with_columns(pl.col("value") + 0.5), 1e-4
    )
    assert "set has other values" in golden_runs.difference(
        "t", one, one.with_columns(set=pl.lit("L1H2"))
    )
    assert "p differs" in golden_runs.difference(
        "t", one, one.with_columns(p=pl.lit(0.5, pl.Float32)), 1e-4
    )
    assert "2 rows" in golden_runs.difference("t", one, pl.concat([one, one]))
    assert "rows of" in golden_runs.difference("t", one, one.rename({"p": "p_corrected"}))
    drawn = one.with_columns(p=pl.lit(0.5, pl.Float32))
    for draws, is_same in ((1, True), (2, False)):
        other = one.with_columns(p=pl.lit(0.5 + draws / 2001, pl.Float32))
        assert (golden_runs.difference("t", drawn, other, 1e-4) == "") == is_same
        assert "p differs" in golden_runs.difference("t", drawn, other)
