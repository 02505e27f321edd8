"""Compare ways to choose which heads go and write docs/results/pruning.md.

    HEADSCOPE_DATA=DIR PYTHONPATH=benchmarks python tools/pruning_results.py [JOB]...
        [--methods NAME...] [--layers N...] [--search-examples 500] [--precision auto]

A job is TASK-SEED-MODE, as in mrpc-0-zero; by default all of them, in order. It fine-tunes MiniLM
on all training examples but some held out, chooses heads on those by every method, scores the sets
on the whole validation set, and adds a line per method to docs/results/pruning.jsonl; methods that
have one are left out. `--layers` does something else with the job's model: all sets of a layer's
heads are scored on the search examples, compared with what the searches by the loss find among
them, and lines added to docs/results/pruning_layers.jsonl (the last layer takes minutes, the first
hours). The page is written anew after every line, and with `--page` alone. A job that is killed
goes on where it was: checkpoints and scores are kept under runs/pruning. Four hours a job on a
core, most of them greedy's; one process at a time for a job.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np

from headscope.model.precision import Precision
from headscope.model.tap import MODES, Mode
from headscope.stats.exchange import permutation
from headscope.stats.metrics import METRICS
from headscope.stats.paired import mcnemar
from headscope.tasks import find
from headscope.tasks.base import Task
from headscope.tasks.files import Data, load_data
from headscope.tasks.outputs import Logits, majority, predictions
from pages import PAGES, ROOT
from pruning import methods
from pruning.checkpoints import make_checkpoint, parts
from pruning.layers import gap
from pruning.methods import GREEDY, OURS, SCALED, Bench, Found
from pruning.records import Cell, LayerGap, Made, Result, append, four, gaps, results
from pruning.scales import fitted_scales, scaled
from pruning.scoring import SetScores
from pruning.sets import Set, to_hex
from pruning.setting import Setting, mean_loss, metric_of
from pruning_page import page

FIGURES, LAYERS = PAGES / "pruning.jsonl", PAGES / "pruning_layers.jsonl"
KEPT = ROOT / "runs" / "pruning"
TASKS = ("mrpc", "stsb", "sst2", "qnli", "rte")
SEEDS = (0, 1, 2)
MODE: Mode = "zero"
JOBS = [f"{task}-{seed}-{MODE}" for seed, task in product(SEEDS, TASKS)]


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("jobs", nargs="*", metavar="JOB")
    parser.add_argument("--methods", nargs="+", choices=methods.NAMES, default=methods.NAMES)
    parser.add_argument("--layers", nargs="+", type=int, default=[])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--search-examples", type=int, default=500)
    parser.add_argument("--precision", choices=get_args(Precision), default="auto")
    parser.add_argument("--page", action="store_true", help="only write the page")
    return parser.parse_args()


def main() -> None:
    """Do what is asked for and is not done, and write the page."""
    given = arguments()
    if not given.page:
        for job in given.jobs or JOBS:
            Job(job, given).run()
    write_page()


def write_page() -> None:
    """The page from the lines of both files."""
    text = page(results(FIGURES), gaps(LAYERS), JOBS)
    (PAGES / "pruning.md").write_text(text, "utf-8")


class Job:
    """A model, a mode, and what is to be done with it.

    Raises:
        SystemExit: There is no such job.
    """

    def __init__(self, name: str, given: argparse.Namespace) -> None:
        task, _, rest = name.partition("-")
        seed, _, mode = rest.partition("-")
        if task not in TASKS or not seed.isdecimal() or mode not in MODES:
            raise SystemExit(f"no job {name}: write a task, a seed and a mode, as in {JOBS[0]}")
        self.name, self.given = name, given
        self.task, self.seed = find(task), int(seed)
        self.mode: Mode = next(known for known in MODES if known == mode)
        self.folder = KEPT / f"{task}-{seed}"

    def run(self) -> None:
        """Do what has no line yet."""
        methods_left, layers_left = self._methods_left(), self._layers_left()
        if not methods_left and not layers_left:
            return
        data = load_data(self.task, self.given.data)
        make_checkpoint(self.task, data, self.seed, self.folder)
        setting = self._setting(data)
        scores = self._scores(setting, "search", self.given.precision)
        for layer, names in layers_left.items():
            for each in self._gaps(scores, layer, names):
                append(LAYERS, each)
            write_page()
        if methods_left:
            self._compare(methods_left, setting, scores, data)

    def _methods_left(self) -> list[str]:
        done = {(line.cell.job, line.method) for line in results(FIGURES)}
        asked = () if self.given.layers else self.given.methods
        return [method for method in asked if (self.name, method) not in done]

    def _layers_left(self) -> dict[int, list[str]]:
        """The layers, and the searches that are not compared in them yet."""
        done = {(line.job, line.layer, line.method) for line in gaps(LAYERS)}
        named = [name for name, _ in methods.SEARCHES_BY_LOSS if name in self.given.methods]
        left = {
            layer: [name for name in named if (self.name, layer, name) not in done]
            for layer in self.given.layers
        }
        return {layer: names for layer, names in left.items() if names}

    def _compare(
        self, names: Sequence[str], setting: Setting, scores: SetScores, data: Data
    ) -> None:
        bench = Bench(setting, scores, self.seed)
        validation = self._scores(setting, "validation", "fp32")
        cell = self._cell(setting, data)
        for method in names:
            found = methods.run(method, bench)
            line = self._result(cell, method, found, setting, validation)
            append(FIGURES, line)
            print(f"{self.name}, {method}: {_in_short(line)}", flush=True)
            write_page()

    def _setting(self, data: Data) -> Setting:
        held_out = parts(self.task, data.train, self.seed).held_out
        count = min(self.given.search_examples, len(held_out))
        search = held_out.take(np.arange(count))
        return Setting(self.folder, self.task, search, data.validation, self.mode)

    def _scores(self, setting: Setting, which: str, precision: Precision) -> SetScores:
        examples = setting.search if which == "search" else setting.validation
        # What is kept is of these examples, this mode and this precision alone. In the mode mean
        # the validation scores depend on the search examples too.
        name = f"{which}-{self.mode}-{len(setting.search)}-{precision}.jsonl"
        return SetScores(setting, examples, precision, self.folder / name)

    def _made(self, setting: Setting) -> Made:
        command = " ".join(["python", "tools/pruning_results.py", *sys.argv[1:]])
        return Made.now(command, setting.model.hf.device)

    def _cell(self, setting: Setting, data: Data) -> Cell:
        scorer = setting.scorer(setting.validation, "fp32")
        whole, labels = scorer.unchanged, setting.validation.labels
        trained = parts(self.task, data.train, self.seed).trained.labels
        guess = majority(self.task, trained, labels)
        metric = self.task.metrics[0]
        return Cell(
            job=self.name,
            task=self.task.name,
            seed=self.seed,
            mode=self.mode,
            layers=setting.layers,
            heads=setting.model.heads,
            search_examples=len(setting.search),
            validation_examples=len(labels),
            metric=metric,
            whole_loss=mean_loss(self.task, labels, whole),
            whole_metric=metric_of(self.task, labels, whole),
            majority_loss=mean_loss(self.task, labels, _shares(self.task, trained, len(labels))),
            majority_metric=METRICS[metric].score(labels, guess),
            majority_p=_p(self.task, labels, guess, predictions(self.task, whole)),
        )

    def _result(
        self, cell: Cell, method: str, found: Found, setting: Setting, validation: SetScores
    ) -> Result:
        sizes = sizes_of(method, cell.all_heads)
        sets = np.concatenate([path[list(sizes)] for path in found.paths])
        if method == SCALED:
            scored = [self._with_scales(setting, removed) for removed in sets]
        else:
            scored = [(score.loss, score.metric) for score in validation.of(sets)]
        # [path, size, (loss, metric)] -> [size, (loss, metric)]
        means = np.array(scored).reshape(len(found.paths), len(sizes), 2).mean(0)
        return Result(
            cell=cell,
            method=method,
            sizes=tuple(sizes),
            removed=tuple(map(to_hex, sets)) if len(found.paths) == 1 else (),
            losses=tuple(means[:, 0].tolist()),
            metrics=tuple(means[:, 1].tolist()),
            sets=found.sets,
            passes=found.passes,
            seconds=found.seconds,
            precision=self.given.precision,
            made=self._made(setting),
        )

    def _with_scales(self, setting: Setting, removed: Set) -> tuple[float, float]:
        """The validation loss and metric of a set with fitted scales for the heads that stay."""
        scales = fitted_scales(setting, setting.search, removed)
        with scaled(setting, scales):
            scorer = setting.scorer(setting.validation, "fp32")
            (result,) = scorer.score([setting.named(removed)])
        labels = setting.validation.labels
        loss = mean_loss(self.task, labels, result.outputs)
        return loss, metric_of(self.task, labels, result.outputs)

    def _gaps(self, scores: SetScores, layer: int, names: Sequence[str]) -> Sequence[LayerGap]:
        setting = scores.setting
        if not 1 <= layer <= setting.layers:
            raise SystemExit(f"there is no layer {layer}: the model has {setting.layers}")
        made = self._made(setting)
        searches = [(name, find) for name, find in methods.SEARCHES_BY_LOSS if name in names]
        return gap(scores, "loss", self.name, layer - 1, searches, made)


def sizes_of(method: str, heads: int) -> Sequence[int]:
    """For how many removed heads the sets of a method are scored on the validation set.

    Four for a ranking; more for a search: every third while more than a quarter is there, then all.
    """
    if method not in (*GREEDY, *OURS):
        return four(heads)
    quarter = heads * 3 // 4
    return sorted({*range(0, quarter, 3), *range(quarter, heads + 1), *four(heads)})


def _shares(task: Task, labels: np.ndarray, n: int) -> Logits:
    """Outputs that say of every example what the training labels say: their shares, or the mean."""
    if task.is_regression:
        return np.full((n, 1), labels.mean(), np.float32)
    counts = np.bincount(labels.astype(np.int64), minlength=task.outputs)
    return np.tile(np.log(counts / counts.sum()).astype(np.float32), (n, 1))


def _p(task: Task, labels: np.ndarray, guess: np.ndarray, predicted: np.ndarray) -> float:
    """The p-value of the model being no other than the majority."""
    if task.metrics[0] == "accuracy":
        return mcnemar(labels, guess, predicted)
    return permutation(task.metrics[0], labels, guess, predicted, 0)


def _in_short(line: Result) -> str:
    """The loss and the metric at the four sizes, in a line."""
    rows = [line.at(size) for size in four(line.cell.all_heads)]
    found = [f"{line.losses[row]:.3f} {line.metrics[row]:.1f}" for row in rows if row is not None]
    return f"{'; '.join(found)} ({line.sets} sets, {line.seconds:.0f} s)"


if __name__ == "__main__":
    main()
