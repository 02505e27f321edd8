"""Windows of texts in which answers to questions are sought, and the answers that come of them."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

from headscope.examples import Question, Split
from headscope.model.encoding import Encoded
from headscope.stats.answers import rightness
from headscope.stats.metrics import NO_LABEL

STEP = 2.0**-13
"""Outputs give the place of a token in this unit: it is exact, and no place is large beside a loss,
by which outputs are compared.
"""
Outputs = Float[np.ndarray, "window 5"]
"""Of `span_scores.SpanScores`."""


@dataclass(frozen=True, eq=False)
class Windows:
    """Questions about texts, each read with one window of its text after the other.

    Attributes:
        split: The texts.
        questions: All questions about them, text by text.
        encoded: The windows as token ids, those of a question one after the other.
        places: For every question the row of its text, and its number among those about it.
        first: For every question its first window.
        has_answer: Whether a window has the true answer, so that its loss counts.
        allows_none: Whether no answer is one.
    """

    split: Split
    questions: tuple[Question, ...]
    encoded: Encoded
    places: tuple[tuple[int, int], ...]
    first: Int[np.ndarray, " question"]
    has_answer: npt.NDArray[np.bool_]
    allows_none: bool
    _rightness: dict[tuple[int, int, int, int], float] = field(default_factory=dict)

    def joined(self, outputs: Outputs) -> npt.NDArray[np.float32]:
        """The losses of every text's questions and then how right the answers are, [text, 2 *
        width], as outputs for tokens are (`token_scores`).

        A question's answer is the best of all its windows; its loss is the mean over the windows
        that have the true answer.
        """
        width = self.split.labels.shape[1]
        joined = np.zeros((len(self.split), 2 * width), dtype=np.float32)
        joined[:, width:] = NO_LABEL
        counted = np.where(self.has_answer, outputs[:, 0].astype(np.float64), 0)
        windows = np.add.reduceat(self.has_answer.astype(np.int64), self.first)
        losses = np.add.reduceat(counted, self.first) / windows
        for number, (row, question) in enumerate(self.places):
            joined[row, question] = losses[number]
            joined[row, width + question] = self._right(number, *self._best(number, outputs))
        return joined

    def answers(self, outputs: Outputs) -> list[str]:
        """The answer to every question, "" where the model says that there is none."""
        return [
            self._text(number, *self._best(number, outputs)) for number in range(len(self.places))
        ]

    def _best(self, number: int, outputs: Outputs) -> tuple[int, int, int]:
        """The window that has a question's best answer, and the answer's first and last token; no
        tokens (0, -1) stand for no answer.
        """
        begin = int(self.first[number])
        of_question = outputs[begin:][: self._count(number)]
        best = int(of_question[:, 1].argmax())
        if self.allows_none and of_question[:, 2].min() > of_question[best, 1]:
            return begin, 0, -1
        first, last = (of_question[best, 3:] / STEP).round().astype(int).tolist()
        return begin + best, first, last

    def _count(self, number: int) -> int:
        """How many windows a question has."""
        is_last = number + 1 == len(self.first)
        end = len(self.encoded) if is_last else self.first[number + 1]
        return int(end - self.first[number])

    def _right(self, number: int, window: int, first: int, last: int) -> float:
        key = (number, window, first, last)
        if key not in self._rightness:
            true = [answer.text for answer in self.questions[number].answers]
            self._rightness[key] = rightness(self._text(*key), true)
        return self._rightness[key]

    def _text(self, number: int, window: int, first: int, last: int) -> str:
        if last < first:
            return ""
        offsets = self.encoded.offsets[window]
        return self.split.first[self.places[number][0]][offsets[first][0] : offsets[last][1]]
