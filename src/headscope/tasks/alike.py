"""Pairs of two classes for an embedder: which class says that the two texts are alike."""

import re
from dataclasses import replace

import numpy as np

from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.tasks.base import Task
from headscope.tasks.files import Data

_ALIKE = {
    "alike", "duplicate", "duplicates", "entailed", "entailment", "entails", "equal", "equivalent",
    "identical", "match", "matching", "paraphrase", "paraphrases", "positive", "relevant",
    "related", "same", "similar", "true", "yes",
}  # fmt: skip
"""Words that say it of a class; "irrelevant" and "unrelated" are other words."""
_NOT = {"no", "non", "not"}


def alike_class(task: Task) -> int:
    """Which of two classes says that texts are alike: the one whose name says it, else class 1.

    >>> from headscope.tasks import find
    >>> alike_class(find("qqp")), alike_class(find("rte"))  # duplicate, entailment
    (1, 0)
    """
    is_alike = [_says_alike(name) for name in task.labels]
    return 0 if is_alike == [True, False] else 1


def _says_alike(name: str) -> bool:
    words = {*re.split(r"[^a-z]+", name.lower())}
    return bool(words & _ALIKE) and not words & _NOT


def alike_note(task: Task) -> str:
    """What was taken for the class of texts that are alike, in a sentence."""
    number = alike_class(task)
    is_said = _says_alike(task.labels[number]) and not _says_alike(task.labels[1 - number])
    why = "as its name says" if is_said else "since it is the second and no name says otherwise"
    return (
        f"pairs of the class {task.labels[number]!r} are taken to be alike, {why}: their cosines "
        f"should be higher than those of {task.labels[1 - number]!r}"
    )


def with_scores(data: Data, task: Task) -> Data:
    """The same rows with scores for classes: 1 for pairs that are alike, 0 for others."""
    alike = alike_class(task)

    def scored(split: Split) -> Split:
        return replace(split, labels=(split.labels == alike).astype(np.float64))

    return replace(data, train=scored(data.train), validation=scored(data.validation))


def check_both(pairs: Split, task: Task) -> None:
    """Check that there are pairs of both classes to tell apart.

    Raises:
        HeadscopeError: All are of one class.
    """
    if len({*pairs.labels.tolist()}) == 1:
        alike = alike_class(task)
        name = task.labels[alike if pairs.labels[0] else 1 - alike]
        raise HeadscopeError(
            f"all {len(pairs)} pairs of {task.name} that are scored are of the class {name!r}, so "
            "no cosine can tell it from the other: give more --examples, or another --part"
        )
