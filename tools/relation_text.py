"""What the scripts on relations share: where their data are, and how they write numbers."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from headscope.results.record import read_json

Row = Mapping[str, Any]
"""A row of a table by column."""


def folder(name: str) -> Path:
    """A folder that an environment variable names."""
    if not os.environ.get(name):
        sys.exit(f"set {name}: see the head of tools/relation_results.py")
    return Path(os.environ[name])


def rows(run: Path, table: str) -> list[dict[str, Any]]:
    """The rows of a table of a run."""
    return pl.read_parquet(run / f"{table}.parquet").to_dicts()


def counts(run: Path) -> dict[str, float]:
    """How much of a corpus was read, left out and kept."""
    return {row["what"]: row["value"] for row in rows(run, "corpus")}


def percent(value: float | None, digits: int = 1) -> str:
    """A share in per cent."""
    return "" if value is None or np.isnan(value) else f"{100 * value:.{digits}f}"


def with_interval(row: Row) -> str:
    """A share in per cent with its interval."""
    return f"{percent(row['value'])} ({percent(row['low'])} to {percent(row['high'])})"


def found_by(row: Row) -> str:
    """The best head of a relation and its direction."""
    return f"{row['set']} {row['direction'].replace('_', ' ')}"


def best_offset(row: Row) -> str:
    """The accuracy of the best fixed offset, and the offset."""
    return f"{percent(row['offset_accuracy'])} ({row['offset']:+d})"


def beyond_distance(row: Row) -> str:
    """The excess over other words at the same distance, in points, with its interval."""
    low, high = 100 * row["excess_low"], 100 * row["excess_high"]
    return f"{100 * row['excess']:+.1f} ({low:+.1f} to {high:+.1f})"


def versions(run: Path) -> str:
    """Versions, seconds and device of a run."""
    record = read_json(run / "run.json")
    packages = [
        f"{name} {record['versions'][name]}" for name in ("headscope", "torch", "transformers")
    ]
    return f"{', '.join(packages)}; {record['seconds'] / 60:.1f} minutes, {record['device']}"
