"""The page of tools/pruning_results.py, from the lines that it wrote."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pages import table
from pruning.methods import DRAWS, GREEDY, NAMES, OURS, RANDOM, RANKINGS, SCALED
from pruning.records import Cell, LayerGap, Result, four

SHOWN = (*OURS, *GREEDY, *RANKINGS, SCALED, RANDOM)
SHARES = (99, 95, 90)
PRASANNA = {"mrpc": 47.5, "stsb": 24.2, "sst2": 28.1, "qnli": 53.3, "rte": 33.9}
"""Heads of BERT-base kept at 90% of the metric, per cent (Prasanna et al. 2020): importance of a
head's mask, 14 heads a step, chosen and scored on the validation set."""
AIMED_GAP, AIMED_RANK = 0.01, 0.005


@dataclass(frozen=True)
class Results:
    """The results of one mode of removal."""

    lines: Sequence[Result]

    @property
    def cells(self) -> list[Cell]:
        """The models, each once, in the order of their lines."""
        return list({line.cell.job: line.cell for line in self.lines}.values())

    @property
    def tasks(self) -> list[str]:
        """The tasks in that order."""
        return list(dict.fromkeys(cell.task for cell in self.cells))

    def of(self, task: str, method: str) -> list[Result]:
        """A method's lines of a task, one per seed."""
        return [each for each in self.lines if each.cell.task == task and each.method == method]

    def seeds(self, task: str, methods: Iterable[str]) -> list[int]:
        """The seeds in which all of these methods have a line."""
        found = [{line.cell.seed for line in self.of(task, method)} for method in methods]
        return sorted(set.intersection(*found)) if found else []

    def loss(self, task: str, method: str, size: int, seeds: Sequence[int]) -> float:
        """The mean loss over seeds with so many heads removed."""
        lines = [line for line in self.of(task, method) if line.cell.seed in seeds]
        return float(np.mean([line.losses[line.sizes.index(size)] for line in lines]))


def page(lines: Sequence[Result], gaps: Sequence[LayerGap], jobs: Sequence[str]) -> str:
    """The whole page.

    Args:
        lines: What methods did, one line per cell and method.
        gaps: How near searches came to the optimum of a layer.
        jobs: The cells that are to be done.
    """
    parts = [*_introduction(lines), *_missing(lines, jobs)]
    for mode in dict.fromkeys(line.cell.mode for line in lines):
        results = Results([line for line in lines if line.cell.mode == mode])
        parts.append(f"## Removed heads are replaced by: {mode}")
        parts += _left_out(results)
        for task in results.tasks:
            parts += _of_task(results, task)
        parts += _counts(results)
        parts += _kept(results)
        parts += _time(results)
    parts += _layers(gaps)
    return "\n\n".join(parts) + "\n"


def _introduction(lines: Sequence[Result]) -> list[str]:
    searched = sorted({line.cell.search_examples for line in lines})
    precisions = sorted({line.precision for line in lines})
    return [
        "# Which heads can go: the search and its rivals",
        "Made by `tools/pruning_results.py` from the figures in [pruning.jsonl](pruning.jsonl) and "
        "[pruning_layers.jsonl](pruning_layers.jsonl), where every line has its command, its "
        "device and its versions. all-MiniLM-L6-v2 (72 heads) is fine-tuned (learning rate 1e-4, "
        "three epochs) on all training examples (20,000 of SST-2, 10,000 of QNLI) but up to 1,000, "
        f"and never more than a quarter; heads are chosen on "
        f"{' or '.join(map(str, searched)) or 'some'} of those left out, and the sets are scored "
        "on the whole validation set, without any training after heads have gone. Nothing is "
        "chosen on the validation set.",
        "*Search*: the search of `headscope prune`, by the mean loss as there, or by the "
        "divergence from the whole model's outputs (KL; for a regression the squared difference). "
        "*Greedy*: at each "
        "step the head whose removal leaves the lowest loss (KL) goes, all being tried. *Michel*: "
        "the mean over examples of |dL/dm| of a head's mask m; *Fisher*: the mean of (dL/dm)²; "
        "both from every example's own gradient, in the mode that heads are removed in. *Again*: "
        "after every removal. *Swaps*: heads chosen anew within each layer by its block of the "
        "Fisher information (Kwon et al. 2022). *Scales*: the heads that stay get a scale each by "
        "least squares, so this row is not of removal alone. *Magnitude*: the L2 norm of all "
        "weights of a head. *Entropy*: of its attention. "
        f"*Random*: the mean of {DRAWS} orders. Searches score sets in "
        f"{' or '.join(precisions) or 'auto'} precision; validation losses are float32's.",
    ]


def _missing(lines: Sequence[Result], jobs: Sequence[str]) -> list[str]:
    done: dict[str, list[str]] = {job: [] for job in jobs}
    for line in lines:
        done.setdefault(line.cell.job, []).append(line.method)
    whole = [job for job, methods in done.items() if set(NAMES) <= set(methods)]
    begun = [
        f"{job} (without {'; '.join(name for name in NAMES if name not in methods)})"
        for job, methods in done.items()
        if methods and job not in whole
    ]
    none = [job for job, methods in done.items() if not methods]
    parts = [f"{len(whole)} of {len(done)} models are done with every method."]
    if begun:
        parts.append(f"Begun: {', '.join(begun)}.")
    if none:
        parts.append(f"Not yet: {', '.join(none)}.")
    return [" ".join(parts)]


def _left_out(results: Results) -> list[str]:
    weak = [cell for cell in results.cells if not cell.beats_majority]
    return [
        f"{cell.job} is left out of the counts: its whole model does not beat the majority "
        f"({cell.whole_metric:.1f} against {cell.majority_metric:.1f} points of {cell.metric}, "
        f"p = {cell.majority_p:.2g}), so nothing can be said of what its heads are needed for."
        for cell in weak
    ]


def _of_task(results: Results, task: str) -> list[str]:
    cells = [cell for cell in results.cells if cell.task == task]
    first = cells[0]
    sizes = four(first.all_heads)
    rows = []
    for method in SHOWN:
        lines = results.of(task, method)
        if lines:
            means = [_mean_cell(lines, size) for size in sizes]
            rows.append((method, len(lines), *means))
    seeds = ", ".join(str(cell.seed) for cell in cells)
    differ = len({len(results.of(task, method)) for method in SHOWN} - {0}) > 1
    return [
        f"### {task}",
        f"Mean validation loss, and {first.metric} in points; n = {first.validation_examples:,}; "
        f"seeds {seeds}. The whole model: {_mean(cells, lambda c: c.whole_loss):.3f}, "
        f"{_mean(cells, lambda c: c.whole_metric):.1f}. The majority: "
        f"{_mean(cells, lambda c: c.majority_loss):.3f}, "
        f"{_mean(cells, lambda c: c.majority_metric):.1f}.",
        *(["Rows of fewer seeds are means over other models than the rest."] if differ else []),
        table(("heads removed", "seeds", *(_share(size, first) for size in sizes)), rows),
    ]


def _mean_cell(lines: Sequence[Result], size: int) -> str:
    losses = [line.losses[line.sizes.index(size)] for line in lines]
    metrics = [line.metrics[line.sizes.index(size)] for line in lines]
    return f"{np.mean(losses):.3f}, {np.mean(metrics):.1f}"


def _share(size: int, cell: Cell) -> str:
    return f"{size} ({100 * size / cell.all_heads:g}%)"


def _mean(cells: Sequence[Cell], of: Callable[[Cell], float]) -> float:
    return float(np.mean([of(cell) for cell in cells]))


def _counts(results: Results) -> list[str]:
    """In how many pairs of a task and a size a search is below its rivals."""
    strong = Results([line for line in results.lines if line.cell.beats_majority])
    rows = []
    for ours in (name for name in OURS if any(line.method == name for line in strong.lines)):
        below = [_below(strong, ours, (rival,)) for rival in (*RANKINGS, SCALED, RANDOM, *GREEDY)]
        rows.append((ours, _below(strong, ours, tuple(RANKINGS)), *below))
    if not rows:
        return ["The search has not been run on these models yet."]
    header = ("", "every ranking", *RANKINGS, SCALED, RANDOM, *GREEDY)
    return [
        "### Who is below whom",
        "In how many of the pairs of a task and a size (25, 50, 75, 87.5% removed) the search's "
        "validation loss, the mean over the seeds that all compared methods have, is below the "
        "rival's (greedy's: at or below). *Every ranking*: below all rankings by importance. A "
        "difference of a pair is no test: validation sets have a few hundred to a few thousand "
        "examples.",
        table(header, rows),
        *_sets(strong),
    ]


def _sets(results: Results) -> list[str]:
    """How many sets a search scores beside greedy's, in the models that both have."""
    sentences = []
    for ours, plain in zip(OURS, GREEDY, strict=True):
        shares = []
        for task in results.tasks:
            its = {line.cell.seed: line.sets for line in results.of(task, plain)}
            own = {line.cell.seed: line.sets for line in results.of(task, ours)}
            shares += [own[seed] / its[seed] for seed in own if seed in its]
        if shares:
            sentences.append(
                f"{ours} scored {np.mean(shares):.0%} of the sets of {plain} (at most "
                f"{max(shares):.0%}; {len(shares)} models)."
            )
    return [" ".join(sentences)] if sentences else []


def _below(results: Results, ours: str, rivals: Sequence[str]) -> str:
    count = total = 0
    for task in results.tasks:
        seeds = results.seeds(task, (ours, *rivals))
        if not seeds:
            continue
        for size in four(results.of(task, ours)[0].cell.all_heads):
            own = results.loss(task, ours, size, seeds)
            best = min(results.loss(task, rival, size, seeds) for rival in rivals)
            count += own < best or (own == best and set(rivals) <= set(GREEDY))
            total += 1
    return f"{count} of {total}" if total else "–"


def kept_heads(line: Result, share: float) -> int:
    """How many heads are left when the path is followed until the metric falls below a share of the
    whole model's; of the sizes that were scored.
    """
    needed = share * line.cell.whole_metric
    kept = line.cell.all_heads
    for size, metric in sorted(zip(line.sizes, line.metrics, strict=True)):
        if metric < needed:
            break
        kept = line.cell.all_heads - size
    return kept


def _kept(results: Results) -> list[str]:
    rows = []
    for task in results.tasks:
        for method in (*OURS, *GREEDY):
            lines = [line for line in results.of(task, method) if line.cell.beats_majority]
            if lines:
                cells = [line.cell for line in lines]
                whole, guess = (
                    _mean(cells, lambda c: c.whole_metric),
                    _mean(cells, lambda c: c.majority_metric),
                )
                found = [_kept_cell(lines, share) for share in SHARES]
                row = (task, method, len(lines), f"{whole:.1f}", f"{guess:.1f}")
                rows.append((*row, *found, f"{PRASANNA[task]:.1f}"))
    if not rows:
        return []
    header = ("", "", "seeds", "whole", "majority", *(f"at {share}%" for share in SHARES))
    return [
        "### Heads kept at a share of the metric",
        "Per cent of all heads, the mean over seeds with the fewest and the most: the path is "
        "followed until the validation metric first falls below that share of the whole model's "
        "(where a quarter of the heads is left or less, at every size; above, at every third). It "
        "says where one model's curve crosses a line; with few examples that is not a proof that "
        "no more is lost. Where the majority is near, little of the metric is the model's. Last: "
        "at 90% for BERT-base, without training after removal (Prasanna et al. 2020), chosen and "
        "scored on the validation set, 14 heads a step.",
        table((*header, "Prasanna et al., at 90%"), rows),
    ]


def _kept_cell(lines: Sequence[Result], share: int) -> str:
    shares = [100 * kept_heads(line, share / 100) / line.cell.all_heads for line in lines]
    if len(shares) == 1:
        return f"{shares[0]:.1f}"
    return f"{np.mean(shares):.1f} ({min(shares):.1f} to {max(shares):.1f})"


def _time(results: Results) -> list[str]:
    rows = []
    for method in SHOWN:
        lines = [line for line in results.lines if line.method == method]
        if lines:
            means = (
                float(np.mean([line.sets for line in lines])),
                float(np.mean([line.passes for line in lines])),
            )
            seconds = [line.seconds for line in lines]
            several = f"{np.mean(seconds):,.0f} ({min(seconds):,.0f} to {max(seconds):,.0f})"
            rows.append((method, len(lines), *(f"{mean:,.0f}" for mean in means), several))
    devices = sorted({line.made.device for line in results.lines})
    return [
        "### What the whole path costs",
        "The mean over models, with the fewest and the most: sets scored on the search examples, "
        "passes that took gradients or maps, and processor seconds, without the validation set. "
        "Processor seconds, since the machine did other work as well; a set that another method "
        "had scored before counts with what it took then. "
        f"On {' and '.join(devices)}; models that shared a GPU waited for each other, and their "
        "waiting is counted.",
        table(("", "models", "sets", "passes", "processor seconds"), rows),
    ]


def _layers(gaps: Sequence[LayerGap]) -> list[str]:
    if not gaps:
        return ["No layer has been searched through yet."]
    rows = []
    for line in sorted(gaps, key=lambda each: (each.job, each.layer, each.method)):
        sizes = range(1, len(line.best) - 1)
        reached = sum(is_near(line, size) for size in sizes)
        found = [_gap_cell(line, size) for size in sizes]
        row = (line.job, f"L{line.layer}", line.method, line.sets, f"{reached} of {len(sizes)}")
        rows.append((*row, *found))
    most = max(len(line.best) for line in gaps)
    header = ("", "layer", "", "sets", "near", *map(str, range(1, most - 1)))
    return [
        "## One layer, all sets of its heads",
        "All other heads being there, the mean search loss of every set of a layer's heads was "
        "computed. By the number of heads removed: how much more the search's set raises the loss "
        "than the best set does, in per cent of the rise of the best (where the best lowers the "
        "loss: the difference of the losses), and in brackets its place among all sets of that "
        f"size. *Near*: at how many sizes the gap is at most {AIMED_GAP:.0%} or the set among the "
        f"best {AIMED_RANK:.1%}.",
        table(header, rows),
    ]


def is_near(line: LayerGap, size: int) -> bool:
    """Whether the search's set of a size is the best, or nearly."""
    rise = line.best[size] - line.whole
    gap = line.found[size] - line.best[size]
    is_close = rise > 0 and gap <= AIMED_GAP * rise
    return is_close or line.rank[size] < max(1.0, AIMED_RANK * line.of[size])


def _gap_cell(line: LayerGap, size: int) -> str:
    rise = line.best[size] - line.whole
    gap = line.found[size] - line.best[size]
    shown = f"{gap / rise:.1%}" if rise > 0 else f"+{gap:.4f}"
    return f"{shown} ({line.rank[size] + 1} of {line.of[size]})"
