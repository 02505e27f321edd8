"""What the scripts that write docs/results share: where runs and pages are, tables, the command
behind a run.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headscope.results.record import read_json

ROOT = Path(__file__).parents[1]
RUNS, PAGES = ROOT / "runs" / "results", ROOT / "docs" / "results"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = []
    for cells in (header, ["---"] * len(header), *rows):
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def interval(row: Mapping[str, Any], sign: str = "") -> str:
    """The value of a row, or with `sign="+"` its change, with the interval.

    >>> interval({"value": 80.1, "low": 75.9, "high": 83.7})
    '80.1 (75.9 to 83.7)'
    """
    value = row["delta"] if sign else row["value"]
    if row["low"] is None or row["high"] is None:
        return f"{value:{sign}.1f} (no interval)"
    return f"{value:{sign}.1f} ({row['low']:{sign}.1f} to {row['high']:{sign}.1f})"


def made_by(run: Path) -> str:
    """The command and the versions behind a table."""
    record = read_json(run / "run.json")
    names = ("headscope", "torch", "transformers")
    versions = ", ".join(f"{name} {record['versions'][name]}" for name in names)
    command = record["repeat"].replace(f"{ROOT}/", "")
    return f"`{command}` ({versions}; {record['seconds'] / 60:.0f} minutes on two cores)"
