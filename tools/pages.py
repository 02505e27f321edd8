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
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def interval(row: Mapping[str, Any], sign: str = "") -> str:
    """Value with its interval: `80.1 (75.9 to 83.7)`."""
    value = row["delta"] if sign else row["value"]
    return f"{value:{sign}.1f} ({row['low']:{sign}.1f} to {row['high']:{sign}.1f})"


def made_by(run: Path) -> str:
    """The command and the versions behind a table."""
    record = read_json(run / "run.json")
    versions = ", ".join(
        f"{name} {record['versions'][name]}" for name in ("headscope", "torch", "transformers")
    )
    command = record["repeat"].replace(str(ROOT) + "/", "")
    return f"`{command}` ({versions}; {record['seconds'] / 60:.0f} minutes on two cores)"
