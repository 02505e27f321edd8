"""Run the heavy studies on real data and write their tables under docs/results. Called by `make results`.

    HEADSCOPE_DATA=DIR python tools/results.py [mrpc] [rates]      (default: both)

DIR holds GLUE as docs/tasks.md describes. Runs are kept under runs/results and resumed; about half an
hour on two cores.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

import headscope
from headscope.store import read_json

ROOT = Path(__file__).parents[1]
RUNS, PAGES = ROOT / "runs" / "results", ROOT / "docs" / "results"
RATES = (2e-5, 1e-4, 2e-4)
SEEDS = (0,)


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def interval(row: dict[str, Any], sign: str = "") -> str:
    """Value with its interval: `80.1 (75.9 to 83.7)`."""
    value = row["delta"] if sign else row["value"]
    return f"{value:{sign}.1f} ({row['low']:{sign}.1f} to {row['high']:{sign}.1f})"


def made_by(run: Path) -> str:
    """The command and the versions behind a table."""
    record = read_json(run / "run.json")
    versions = ", ".join(f"{name} {record['versions'][name]}" for name in ("headscope", "torch", "transformers"))
    command = record["repeat"].replace(str(ROOT) + "/", "")
    return f"`{command}` ({versions}; {record['seconds'] / 60:.0f} minutes on two cores)"


def mrpc() -> None:
    """MRPC with MiniLM: scores, and every head disabled in turn."""
    run = RUNS / "mrpc"
    headscope.study(model="minilm", task="mrpc", out=run)
    scores = pl.read_parquet(run / "scores.parquet").to_dicts()
    disabled = pl.read_parquet(run / "disabled.parquet").filter(metric="accuracy").sort("delta")
    rows = disabled.to_dicts()
    page = [
        "# MRPC, all-MiniLM-L6-v2, every head disabled in turn",
        f"Made by {made_by(run)}, through `make results`. Points; 95% intervals; n = {rows[0]['n']}.",
        table(
            ("configuration", "metric", "score", "majority"),
            [(r["configuration"], r["metric"], interval(r), f"{r['majority']:.1f}") for r in scores],
        ),
        f"Of {len(rows)} heads, {sum(r['p_corrected'] < 0.05 for r in rows)} change the accuracy by more than noise "
        "(exact McNemar, Holm over all heads, p < 0.05). All of them, by the change in accuracy:",
        table(
            ("head", "change in accuracy", "p", "corrected p"),
            [(r["set"], interval(r, "+"), f"{r['p']:.3f}", f"{r['p_corrected']:.3f}") for r in rows],
        ),
    ]
    (PAGES / "mrpc.md").write_text("\n\n".join(page) + "\n")


def rates() -> None:
    """MRPC with MiniLM at several learning rates: why `study` takes 1e-4 for an encoder of this width."""
    rows = []
    run, accuracy = RUNS, {"majority": 0.0}
    for rate in RATES:
        for seed in SEEDS:
            run = RUNS / f"mrpc-{rate:g}-{seed}"
            headscope.finetune(model="minilm", task="mrpc", lr=rate, seed=seed, out=run)
            accuracy, f1 = pl.read_parquet(run / "scores.parquet").to_dicts()
            rows.append((f"{rate:g}", seed, interval(accuracy), interval(f1)))
    page = [
        "# The learning rate of a small encoder",
        "MRPC, all-MiniLM-L6-v2 (hidden size 384), 3 epochs, validation set. Majority class: accuracy "
        f"{accuracy['majority']:.1f}. Intervals over examples. The paper's grid ends at 5e-5.",
        table(("learning rate", "seed", "accuracy", "F1"), rows),
        f"Each row made by {made_by(run)} with its learning rate and seed, through `make results`.",
    ]
    (PAGES / "rates.md").write_text("\n\n".join(page) + "\n")


if __name__ == "__main__":
    PAGES.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or ("mrpc", "rates"):
        {"mrpc": mrpc, "rates": rates}[name]()
