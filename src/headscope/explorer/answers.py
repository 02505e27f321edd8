"""What a model says of a text, whole and with heads switched off, by the kind of its outputs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax

from headscope.errors import HeadscopeError
from headscope.model.text_pairs import directions

Kind = Literal["classes", "labels", "score", "vectors", "tags", "masks"]
"""What a model says: one of several classes, any number of labels, a score, vectors of texts, a tag
for every token, or which token stands at [MASK].
"""
Outputs = Sequence[npt.NDArray[np.float64]]
"""Of every row of tokens what the model puts out: [output], or [token, output]."""
MOST = 12
"""So many classes are shown at most, the most probable ones."""
GUESSES = 5
"""So many tokens are shown for a mask, of either model."""


@dataclass(frozen=True)
class Value:
    """One number that a model puts out.

    Attributes:
        name: What it is of: a class, a tag, a token.
        before: The number of the whole model.
        after: The number with heads switched off.
    """

    name: str
    before: float
    after: float


@dataclass(frozen=True)
class Answer:
    """What a model says of a text, or of one of its tokens.

    Attributes:
        token: Which token it is about, from 0; None for the text.
        before: The answer of the whole model in words; "" where a number says it.
        after: The answer with heads switched off.
        unit: What the numbers are: a probability, a score, a cosine.
        values: The numbers, the largest of the whole model first.
        left_out: How many more classes there are.
    """

    token: int | None
    before: str
    after: str
    unit: str
    values: list[Value]
    left_out: int = 0


@dataclass(frozen=True)
class Asked:
    """What is known of the texts and of the model's outputs.

    Attributes:
        outputs: The names of the outputs: classes, tags, the vocabulary's tokens.
        special: Which tokens are [CLS] or [SEP], [row][token].
        masks: Where [MASK] stands in the first row.
        texts: How many texts there are.
    """

    outputs: Sequence[str]
    special: Sequence[Sequence[bool]]
    masks: Sequence[int]
    texts: int


def answers(kind: Kind, before: Outputs, after: Outputs, asked: Asked) -> list[Answer]:
    """What a model says before and after heads are switched off.

    Args:
        kind: What the model's outputs are.
        before: The outputs of the whole model.
        after: Those with heads switched off.
        asked: What they are of.

    Raises:
        HeadscopeError: An output is not finite.
    """
    for row in (*before, *after):
        if not np.isfinite(row).all():
            raise HeadscopeError(
                "what the model puts out for this text is not finite, so its weights are damaged: "
                "use another copy of the checkpoint"
            )
    return _OF_KIND[kind](before, after, asked)


def _classes(before: Outputs, after: Outputs, asked: Asked) -> list[Answer]:
    return [_of_classes(None, softmax(before[0]), softmax(after[0]), asked.outputs, MOST)]


def _labels(before: Outputs, after: Outputs, asked: Asked) -> list[Answer]:
    was, now = expit(before[0]), expit(after[0])
    shown = np.argsort(-was, kind="stable")[:MOST]
    values = [_value(asked.outputs, int(index), was, now) for index in shown]
    left_out = len(was) - len(values)
    answer, changed = _given(was, asked.outputs), _given(now, asked.outputs)
    return [Answer(None, answer, changed, "probability", values, left_out)]


def _given(probabilities: npt.NDArray[np.float64], names: Sequence[str]) -> str:
    """The labels that are more probable than not."""
    return ", ".join(names[int(at)] for at in np.flatnonzero(probabilities > 0.5)) or "none"


def _score(before: Outputs, after: Outputs, asked: Asked) -> list[Answer]:
    value = Value(asked.outputs[0], float(before[0][0]), float(after[0][0]))
    return [Answer(None, "", "", "score", [value])]


def _vectors(before: Outputs, after: Outputs, asked: Asked) -> list[Answer]:
    """The cosine of two texts, and how far each text's vector has turned."""
    values = []
    if asked.texts == 2:
        cosines = [cosine(outputs[0], outputs[-1]) for outputs in (before, after)]
        values.append(Value("the two texts", *cosines))
    for number, (was, now) in enumerate(zip(before, after, strict=True), start=1):
        which = f"text {number}" if asked.texts == 2 else "the text"
        values.append(Value(f"{which} and itself with all heads on", 1.0, cosine(was, now)))
    return [Answer(None, "", "", "cosine", values)]


def _tags(before: Outputs, after: Outputs, asked: Asked) -> list[Answer]:
    was, now = softmax(before[0], axis=-1), softmax(after[0], axis=-1)
    return [
        _of_classes(token, was[token], now[token], asked.outputs, 3)
        for token, is_special in enumerate(asked.special[0])
        if not is_special
    ]


def _masks(before: Outputs, after: Outputs, asked: Asked) -> list[Answer]:
    found = []
    for token in asked.masks:
        was, now = softmax(before[0][token]), softmax(after[0][token])
        found.append(_of_classes(token, was, now, asked.outputs, GUESSES))
    return found


def _of_classes(
    token: int | None,
    was: npt.NDArray[np.float64],
    now: npt.NDArray[np.float64],
    names: Sequence[str],
    most: int,
) -> Answer:
    """Probabilities of classes: the largest of the whole model, and the largest without heads."""
    shown = np.argsort(-was, kind="stable")[:most].tolist()
    likely = np.argsort(-now, kind="stable")[:most].tolist()
    shown += [index for index in likely if index not in shown]
    values = [_value(names, index, was, now) for index in shown]
    best = names[int(was.argmax())], names[int(now.argmax())]
    return Answer(token, *best, "probability", values, len(was) - len(values))


def _value(
    names: Sequence[str],
    index: int,
    was: npt.NDArray[np.float64],
    now: npt.NDArray[np.float64],
) -> Value:
    return Value(names[index], float(was[index]), float(now[index]))


def cosine(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    """The cosine of two vectors; 0 where one has no length.

    >>> cosine(np.array([1.0, 0.0]), np.array([1.0, 1.0])).__round__(3)
    0.707
    """
    one, other = directions(np.stack([first, second]))
    return float(one @ other)


_OF_KIND: Mapping[Kind, Callable[[Outputs, Outputs, Asked], list[Answer]]] = {
    "classes": _classes,
    "labels": _labels,
    "score": _score,
    "vectors": _vectors,
    "tags": _tags,
    "masks": _masks,
}
