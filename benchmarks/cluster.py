"""What a Ray cluster costs beside processes: the same paper, as many workers, this machine.

    python benchmarks/cluster.py --model minilm --data glue --tasks rte,mrpc --train-examples 1500

Prints the seconds of both, their ratio, and whether the tables are the same to the bit.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

TABLES = ("scores", "heads", "change", "disabled", "claims")


def seconds(engine: list[str], out: Path, given: argparse.Namespace) -> float:
    """How long the paper takes with an engine, the start of the workers included."""
    line = [sys.executable, "-m", "headscope", "paper", "--model", given.model, "--quiet"]
    line += ["--data", given.data, "--tasks", given.tasks, "--epochs", str(given.epochs)]
    line += ["--train-examples", str(given.train_examples), "--examples", str(given.examples)]
    line += ["--precision", "fp32", "--out", str(out), *engine]
    began = time.monotonic()
    # A worker has a processor, and so a thread, with either engine.
    subprocess.run(line, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})  # noqa: S603
    return time.monotonic() - began


def table_of(run: Path, name: str) -> pl.DataFrame:
    """A table of a run, but for the column that names fine-tuned models by their folders."""
    return pl.read_parquet(run / f"{name}.parquet").drop("model")


def main() -> None:
    """The command at the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--data", required=True)
    parser.add_argument("--tasks", default="rte,mrpc")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--train-examples", type=int, default=1500)
    parser.add_argument("--examples", type=int, default=100)
    given = parser.parse_args()
    workers = str(os.cpu_count())
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: Path(folder) / name for name in ("processes", "ray")}
        engines = {"processes": ["--workers", workers], "ray": ["--engine", "ray"]}
        took = {name: seconds(engines[name], out, given) for name, out in runs.items()}
        same = [
            table_of(runs["processes"], table).equals(table_of(runs["ray"], table))
            for table in TABLES
        ]
    print(f"{workers} workers: processes {took['processes']:.0f} s, Ray {took['ray']:.0f} s")
    print(f"ratio {took['ray'] / took['processes']:.3f}")
    told = ", ".join(f"{table} {is_same}" for table, is_same in zip(TABLES, same, strict=True))
    print(f"tables the same to the bit: {told}")


if __name__ == "__main__":
    main()
