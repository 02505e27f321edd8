"""Table 1 of the paper: seven tasks, three configurations, three seeds, and a grid of learning
rates.

    HEADSCOPE_DATA=DIR python tools/table1.py make     fine-tune what is not there yet: more than
    ten hours on two cores python tools/table1.py                            write
    docs/results/table1.md from what there is

Runs are kept under runs/results/table1, one folder each, and resumed. On a GPU, `headscope paper
--seeds 3 --train-examples 100000 --workers 8` makes the same fine-tunings several at once; its
folders TASK/INIT-SEED can be put here as TASK-INIT-SEED.
"""

import sys
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl

import headscope
from headscope.names import CONFIGURATIONS
from headscope.reference import paper_score
from headscope.replication.rows import over_seeds
from headscope.results.record import read_json
from pages import PAGES, RUNS, interval, table

TASKS = ("mrpc", "stsb", "sst2", "qqp", "rte", "qnli", "mnli")
ASKED = {"mrpc": 80, "stsb": 85, "sst2": 90, "qqp": 85, "rte": 55, "qnli": 80, "mnli": 65}
"""What the fine-tuned model should reach in the task's first metric, in points."""
SEEDS, RATE, GRID = 3, "1e-4", ("2e-5", "3e-5", "5e-5", "1e-4")
TRAIN = 100_000
HOME = RUNS / "table1"


def folder(task: str, init: str, seed: int, rate: str = RATE) -> Path:
    """Where a fine-tuning is kept."""
    return HOME / (f"{task}-{init}-{seed}" + ("" if rate == RATE else f"-{rate}"))


def make() -> None:
    """Fine-tune all that is not there."""
    every = [(*one, RATE) for one in product(TASKS, CONFIGURATIONS, range(SEEDS))]
    for task, init, seed, rate in [
        *every,
        *((task, "pretrained", 0, rate) for task in TASKS for rate in GRID),
    ]:
        out: Any = folder(task, init, seed, rate)
        if not (out / "run.json").is_file():
            given: dict[str, Any] = {
                "init": init,
                "seed": seed,
                "lr": float(rate),
                "train_examples": TRAIN,
            }
            headscope.finetune(model="minilm", task=task, out=out, **given)


def scores(task: str, init: str) -> pl.DataFrame | None:
    """The scores of all seeds that are there."""
    there = [folder(task, init, seed) for seed in range(SEEDS)]
    frames = [
        pl.read_parquet(one / "scores.parquet") for one in there if (one / "run.json").is_file()
    ]
    return pl.concat(frames) if frames else None


def page() -> None:
    """Write docs/results/table1.md."""
    lines, missing, reached, devices = [], [], [], set()
    for task, (init, words) in product(TASKS, CONFIGURATIONS.items()):
        found = scores(task, init)
        seeds = 0 if found is None else found["seed"].n_unique()
        if seeds < SEEDS:
            missing.append(f"{task}, {words}: {seeds} of {SEEDS} seeds")
        if found is None:
            continue
        for seed in range(SEEDS):
            if (folder(task, init, seed) / "run.json").is_file():
                record = read_json(folder(task, init, seed) / "run.json")
                devices.add(f"torch {record['versions']['torch']}")
        for at, metric in enumerate(found["metric"].unique(maintain_order=True)):
            own = found.filter(metric=metric)
            score = paper_score(words, task, metric)
            paper = "" if score is None else score
            over = over_seeds(own)
            mean = f"{over[0].value:.1f} ({over[0].low:.1f} to {over[0].high:.1f})" if over else ""
            first = own.to_dicts()[0]
            lines.append(
                (
                    task,
                    words,
                    metric,
                    interval(first),
                    mean,
                    ", ".join(f"{v:.1f}" for v in own["value"]),
                    f"{first['majority']:.1f}",
                    paper,
                    first["n"],
                )
            )
            if init == "pretrained" and at == 0:
                value = float(str(own["value"].mean()))
                reached.append(
                    (
                        task,
                        metric,
                        ASKED[task],
                        f"{value:.1f}",
                        "yes" if value >= ASKED[task] else "no",
                    )
                )
    rates = []
    for task in TASKS:
        cells = []
        for rate in GRID:
            run = folder(task, "pretrained", 0, rate)
            there = (run / "run.json").is_file()
            cells.append(
                interval(pl.read_parquet(run / "scores.parquet").to_dicts()[0]) if there else ""
            )
        if sum(map(bool, cells)) > 1:
            rates.append((task, *cells))
    text = [
        "# Table 1: seven tasks in three configurations, all-MiniLM-L6-v2",
        f"`headscope finetune --model minilm --task TASK --init INIT --seed SEED --lr {RATE} "
        f"--train-examples {TRAIN}`: 3 epochs, batches of 32, written by `python "
        "tools/table1.py`. Points, on the whole validation set. *Seed 0* has a 95% interval over "
        "examples; *mean* one over seeds and examples. Trained on all of MRPC, STS-B, SST-2 and "
        "RTE, samples of QNLI (10,475) and MNLI (20,000), and 100,000 pairs of QQP. What is "
        "pre-trained or random and fine-tuned was made on an H100 by `headscope paper --seeds 3 "
        f"--workers 16`, the rest on two cores ({'; '.join(sorted(devices))}; bfloat16 autocast "
        "to train, float32 to score). The paper's numbers are of bert-base-uncased: another "
        "model, not comparable. Without fine-tuning the head is random, and so is its score; "
        "random weights learn SST-2, and little of sentence pairs.",
        table(
            (
                "task",
                "configuration",
                "metric",
                "seed 0",
                "mean",
                "seeds",
                "majority",
                "paper",
                "n",
            ),
            lines,
        ),
        "## What was to be reached",
        "The mean over seeds of pre-trained and fine-tuned.",
        table(("task", "metric", "asked", "mean", "reached"), reached),
    ]
    if rates:
        text += [
            "## Learning rates",
            "Seed 0, the task's first metric, with its interval over examples. The best rate "
            "is chosen on the data that it is reported on, as in Devlin et al. (2019).",
            table(("task", *GRID), rates),
        ]
    if missing:
        text.append(f"Not run: {'; '.join(missing)}.")
    (PAGES / "table1.md").write_text("\n\n".join(text) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["make"]:
        make()
    page()
