"""Whole processes: `headscope disable`, and a script with the loop, from start to end."""

import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from disabling.agreement import scores
from disabling.records import Record
from disabling.setting import Setting
from disabling.timing import Seconds
from headscope.tasks.outputs import predictions

SCRIPT = Path(__file__).parents[1] / "plain_loop.py"


def time_processes(setting: Setting, record: Record, data: Path | None, rounds: int) -> None:
    """Start both by turns and compare what they take and what they find."""
    if not setting.model.trained_head:
        raise SystemExit("--processes needs a checkpoint with a trained head: headscope finetune")
    if setting.asked.heads != "each":
        raise SystemExit("--processes disables every head in turn: leave --heads out")
    with TemporaryDirectory() as folder:
        texts, outputs = Path(folder) / "texts.parquet", Path(folder) / "outputs.npy"
        columns = {"first": setting.split.first}
        if setting.split.second is not None:
            columns["second"] = setting.split.second
        pl.DataFrame(columns).write_parquet(texts)
        loop = [str(SCRIPT), str(setting.folder), str(texts), setting.mode, str(outputs)]
        runs = {
            precision: Path(folder) / f"run-{precision}" for precision in setting.asked.precisions
        }
        taken: dict[str, list[Seconds]] = {name: [] for name in (*runs, "loop")}
        for _ in range(rounds):
            for precision, run in runs.items():
                command = ["-m", "headscope", *_disable(setting, precision, data, run)]
                taken[precision].append(_timed(command))
            taken["loop"].append(_timed(loop))
        _put(record, taken, rounds)
        for precision, run in runs.items():
            equal = _equal_metrics(setting, run, np.load(outputs))
            record.figures[f"{precision} sets with equal metrics"] = equal
            record.figures["sets"] = len(setting.sets)
            print(
                f"{precision:>10}: every metric is that of the loop for {equal} of "
                f"{len(setting.sets)} sets"
            )


def _disable(setting: Setting, precision: str, data: Path | None, run: Path) -> list[str]:
    options = {
        "model": setting.folder,
        "task": setting.task.folder or setting.task.name,
        "mode": setting.mode,
        "precision": precision,
        "examples": len(setting.split),
        "out": run,
    }
    if data is not None:
        options["data"] = data
    if setting.asked.batch_tokens is not None:
        options["batch-tokens"] = setting.asked.batch_tokens
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return ["disable", *words, "--overwrite", "--quiet"]


def _timed(command: list[str]) -> Seconds:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    clock = time.perf_counter()
    words = [sys.executable, *command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    clock = time.perf_counter() - clock
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return Seconds(clock, user + system)


def _put(record: Record, taken: dict[str, list[Seconds]], rounds: int) -> None:
    record.say(f"whole processes by turns, the median of {rounds} each")
    medians = {
        name: Seconds(
            median(each.clock for each in times), median(each.processor for each in times)
        )
        for name, times in taken.items()
    }
    for name, seconds in medians.items():
        record.figures[f"{name} s"] = seconds.clock
        record.figures[f"{name} processor s"] = seconds.processor
        ratio = medians["loop"].over(seconds)
        record.figures[f"loop / {name}"] = ratio.clock
        record.figures[f"loop / {name} by processor"] = ratio.processor
        print(
            f"{name:>10}: {seconds.clock:8.2f} s by the clock, {seconds.processor:8.2f} s of "
            f"processor time; {ratio.clock:.2f} and {ratio.processor:.2f} times as fast as the loop"
        )


def _equal_metrics(setting: Setting, run: Path, outputs: np.ndarray) -> int:
    """For how many sets every metric in the run's table is that of the loop's outputs."""
    table = pl.read_parquet(run / "disabled.parquet")
    metrics = setting.task.metrics
    equal = 0
    for (name, _), by_loop in zip(setting.sets, outputs, strict=True):
        rows = table.filter(set=name)
        found = {row["metric"]: row["value"] for row in rows.to_dicts()}
        expected = scores(setting.task, setting.split.labels, predictions(setting.task, by_loop))
        equal += bool(np.allclose([found[metric] for metric in metrics], expected, atol=1e-9))
    return equal
