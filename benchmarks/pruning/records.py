"""What a method did on one model, and how near a search comes to the optimum: lines of JSON."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from disabling.records import device_name
from headscope.model.tap import Mode
from headscope.names import SIGNIFICANT


@dataclass(frozen=True)
class Made:
    """Where a line comes from.

    Attributes:
        command: The command line.
        device: The processor or the GPU by name.
        threads: How many threads torch computed in.
        versions: headscope's, torch's and transformers'.
    """

    command: str
    device: str
    threads: int
    versions: dict[str, str]

    @classmethod
    def now(cls, command: str, device: torch.device) -> "Made":
        """A line that this process makes on a device."""
        versions = {name: version(name) for name in ("headscope", "torch", "transformers")}
        return cls(command, device_name(device), torch.get_num_threads(), versions)


@dataclass(frozen=True)
class Cell:
    """A model with its examples and a mode of removal.

    Attributes:
        job: Its name: task, seed, mode.
        task: The task.
        seed: The seed of the fine-tuning and of which examples are held out.
        mode: What stands for a removed head.
        layers: How many layers the model has.
        heads: How many heads a layer has.
        search_examples: On how many held-out training examples heads are chosen.
        validation_examples: On how many the sets are scored: the whole validation set.
        metric: The task's first metric.
        whole_loss: The whole model's mean validation loss, nats or squared error.
        whole_metric: Its metric, in points.
        majority_loss: The loss of always giving the training labels' shares, or their mean.
        majority_metric: The metric of always giving the commonest class, or the mean score.
        majority_p: The p-value of the whole model's metric being no other than the majority's.
    """

    job: str
    task: str
    seed: int
    mode: Mode
    layers: int
    heads: int
    search_examples: int
    validation_examples: int
    metric: str
    whole_loss: float
    whole_metric: float
    majority_loss: float
    majority_metric: float
    majority_p: float

    @property
    def all_heads(self) -> int:
        """How many heads the model has."""
        return self.layers * self.heads

    @property
    def beats_majority(self) -> bool:
        """Whether the whole model has a higher metric than the majority, by more than noise."""
        return self.whole_metric > self.majority_metric and self.majority_p < SIGNIFICANT


@dataclass(frozen=True)
class Result:
    """What a method did in a cell.

    Attributes:
        cell: The cell.
        method: The method.
        sizes: For how many removed heads its sets were scored on the validation set.
        removed: The sets, as `pruning.sets.to_hex` writes them; none for an average over draws.
        losses: The mean validation loss at every size.
        metrics: The metric at every size, in points.
        sets: How many different sets the method scored on the search examples.
        passes: How many times it took gradients or maps of all search examples.
        seconds: Processor seconds that it took to find the path, without scoring it on the
            validation set.
        precision: In which its sets were scored on the search examples.
        made: Where the line comes from.
    """

    cell: Cell
    method: str
    sizes: tuple[int, ...]
    removed: tuple[str, ...]
    losses: tuple[float, ...]
    metrics: tuple[float, ...]
    sets: int
    passes: int
    seconds: float
    precision: str
    made: Made

    def at(self, size: int) -> int | None:
        """The place of a size in the lists; None where it was not scored."""
        return self.sizes.index(size) if size in self.sizes else None


@dataclass(frozen=True)
class LayerGap:
    """How near a search comes to the best sets of a layer's heads, all others being there.

    Attributes:
        job: The cell's name.
        layer: The layer, from 1.
        method: The search.
        whole: The mean search loss with nothing removed.
        best: The lowest loss of all sets of a size, by the number of heads removed, from 0.
        found: That of the search's set.
        rank: How many sets of the size have a lower loss than the search's.
        of: How many sets of the size there are.
        sets: How many different sets the search scored.
        made: Where the line comes from.
    """

    job: str
    layer: int
    method: str
    whole: float
    best: tuple[float, ...]
    found: tuple[float, ...]
    rank: tuple[int, ...]
    of: tuple[int, ...]
    sets: int
    made: Made


def append(file: Path, line: Result | LayerGap) -> None:
    """Add a line to a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(asdict(line)) + "\n")


def results(file: Path) -> list[Result]:
    """The results in a file, in its order; of a method that has several in a cell the last."""
    latest = {}
    for line in _lines(file):
        result = Result(**{**line, "cell": Cell(**line["cell"]), "made": Made(**line["made"])})
        latest[result.cell.job, result.method] = result
    return list(latest.values())


def gaps(file: Path) -> list[LayerGap]:
    """The gaps in a file; of a search that has several in a layer the last."""
    latest = {}
    for line in _lines(file):
        gap = LayerGap(**{**line, "made": Made(**line["made"])})
        latest[gap.job, gap.layer, gap.method] = gap
    return list(latest.values())


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    """The lines, with tuples for lists."""
    if file.exists():
        for text in file.read_text("utf-8").splitlines():
            line = json.loads(text)
            yield {
                key: tuple(each) if isinstance(each, list) else each for key, each in line.items()
            }


def four(heads: int) -> Sequence[int]:
    """The sizes of the tables: 25, 50, 75 and 87.5% of the heads removed.

    >>> four(72)
    [18, 36, 54, 63]
    """
    return [heads * eighths // 8 for eighths in (2, 4, 6, 7)]
