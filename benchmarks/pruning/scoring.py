"""What the model loses without sets of heads: scored once, kept in a file, counted per asker."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from headscope.model.precision import Precision
from pruning.sets import Set, Sets, to_hex
from pruning.setting import Examples, Setting, divergence, mean_loss, metric_of

Objective = Literal["loss", "divergence"]


@dataclass(frozen=True)
class SetScore:
    """What a model without a set of heads does on some examples.

    Attributes:
        heads: The set, as `to_hex` writes it.
        loss: Its mean loss, nats or squared error.
        divergence: How far its outputs are from the whole model's, nats or squared difference.
        metric: The task's first metric, in points.
        seconds: Processor seconds that it took to score; of sets scored together the same share.
    """

    heads: str
    loss: float
    divergence: float
    metric: float
    seconds: float


class SetScores:
    """Scores sets on some examples; what the file has is not scored again.

    Args:
        setting: The model, the task and the mode.
        examples: The examples.
        precision: The scorer's.
        file: Where the scores are kept, a line of JSON per set: of this model, these examples, this
            mode and precision alone.
    """

    def __init__(
        self, setting: Setting, examples: Examples, precision: Precision, file: Path
    ) -> None:
        self.setting, self.examples, self.file = setting, examples, file
        self._scorer = setting.scorer(examples, precision)
        self._known = {score.heads: score for score in _read(file)}

    def of(self, sets: Sets) -> list[SetScore]:
        """The scores of sets, in their order."""
        names = [to_hex(removed) for removed in sets]
        new = dict(zip(names, sets, strict=True))
        missing = [removed for name, removed in new.items() if name not in self._known]
        if missing:
            self._keep(self._score(missing))
        return [self._known[name] for name in names]

    def _score(self, sets: list[Set]) -> Iterator[SetScore]:
        start = time.process_time()
        whole = self._scorer.unchanged
        by_name = {}
        for removed in sets:
            name, heads = self.setting.named(removed)
            by_name[name] = (removed, heads)
        # The scorer takes no empty set: without it the model is as it was.
        asked = [(name, heads) for name, (_, heads) in by_name.items() if heads]
        outputs = {"": whole}
        for result in self._scorer.score(asked) if asked else ():
            if not result.activation_change > 0:
                raise SystemExit(f"removing {result.name} changed nothing: no head was removed")
            outputs[result.name] = result.outputs
        task, labels = self.setting.task, self.examples.labels
        seconds = (time.process_time() - start) / len(sets)
        for name, (removed, _) in by_name.items():
            yield SetScore(
                heads=to_hex(removed),
                loss=mean_loss(task, labels, outputs[name]),
                divergence=divergence(task, whole, outputs[name]),
                metric=metric_of(task, labels, outputs[name]),
                seconds=seconds,
            )

    def _keep(self, scores: Iterable[SetScore]) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as lines:
            for score in scores:
                self._known[score.heads] = score
                lines.write(json.dumps(asdict(score)) + "\n")


def _read(file: Path) -> Iterator[SetScore]:
    """The whole lines of the file; a kill may have cut the last, which is taken off."""
    if not file.exists():
        return
    text = file.read_text("utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        file.write_text(whole, "utf-8")
    for line in whole.splitlines():
        yield SetScore(**json.loads(line))


class Asker:
    """The scores of sets as a search asks for them, with a count of what it asked.

    Attributes:
        objective: What is called the score.
    """

    def __init__(self, scores: SetScores, objective: Objective) -> None:
        self._scores, self.objective = scores, objective
        self._seconds: dict[str, float] = {}

    def __call__(self, sets: Sets) -> npt.NDArray[np.float64]:
        """The score of every set."""
        found = self._scores.of(sets)
        self._seconds.update({score.heads: score.seconds for score in found})
        return np.array([getattr(score, self.objective) for score in found])

    @property
    def sets(self) -> int:
        """How many different sets were asked for."""
        return len(self._seconds)

    @property
    def seconds(self) -> float:
        """Processor seconds of scoring them, also of those that another asker had scored."""
        return sum(self._seconds.values())
