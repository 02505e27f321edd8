"""What an example is: texts with a label, and the words of a text with their tags, or
questions about a text.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64] | npt.NDArray[np.float64]
"""Class indices, or scores for a regression, [example]; class indices of tokens, [example, token],
or how right the answers to questions are, [example, question], filled up with -1.
"""

Role = Literal["", "predicate", "agent", "patient", "place", "time"]


@dataclass(frozen=True)
class Word:
    """A word of a text with its tags, in the terms of Universal Dependencies 2.

    Attributes:
        form: As it stands in the text.
        lemma: Its base form.
        start: Offset of its first character in the text.
        end: Offset after its last character.
        upos: Its part of speech.
        relation: Its relation to its governor (`nsubj`, `nsubj:pass`, `obj`, ...).
        head: The index of its governor in the same text, -1 for the root.
        negation: Whether it negates.
        role: Its semantic role in the event of the clause, where it is known.
    """

    form: str
    lemma: str
    start: int
    end: int
    upos: str
    relation: str
    head: int
    negation: bool = False
    role: Role = ""

    @property
    def is_subject(self) -> bool:
        """A nominal or clausal subject, active or passive."""
        return self.relation.split(":")[0] in ("nsubj", "csubj")

    @property
    def is_object(self) -> bool:
        """A direct or indirect object."""
        return self.relation.split(":")[0] in ("obj", "iobj")


@dataclass(frozen=True)
class Answer:
    """A true answer to a question.

    Attributes:
        text: The answer, as it stands in the text that is asked about.
        start: Where its first character stands there.
    """

    text: str
    start: int

    @property
    def end(self) -> int:
        """Where it ends in the text: the place after its last character."""
        return self.start + len(self.text)


@dataclass(frozen=True)
class Question:
    """A question about a text.

    Attributes:
        id: Its name in the data.
        text: The question.
        answers: The true answers; none where the text has none.
    """

    id: str
    text: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Split:
    """The rows of one split, in columns of the same length.

    Attributes:
        first: The first texts.
        second: The second texts; None for single sentences.
        labels: Class indices, or scores for a regression.
        spans: For every example, where each of its words begins and ends in the text, where every
            word has a label; labels are then [example, word].
        words: For every example, the tagged words of each of its texts, where there is a gold
            annotation.
        questions: For every example, what is asked about its text; labels are then [example,
            question].
        groups: For every example, which document, query or the like it is of: examples of one are
            not independent.
        notes: What was left out on the way, for the run's record.
    """

    first: tuple[str, ...]
    second: tuple[str, ...] | None
    labels: Labels
    words: tuple[tuple[tuple[Word, ...], ...], ...] | None = None
    spans: tuple[tuple[tuple[int, int], ...], ...] | None = None
    questions: tuple[tuple[Question, ...], ...] | None = None
    groups: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: npt.NDArray[np.int64]) -> "Split":
        """The rows with these indices, in this order."""
        return replace(
            self,
            first=tuple(self.first[i] for i in rows),
            second=None if self.second is None else tuple(self.second[i] for i in rows),
            labels=self.labels[rows],
            words=None if self.words is None else tuple(self.words[i] for i in rows),
            spans=None if self.spans is None else tuple(self.spans[i] for i in rows),
            questions=None if self.questions is None else tuple(self.questions[i] for i in rows),
            groups=None if self.groups is None else tuple(self.groups[i] for i in rows),
        )

    def sample(self, n: int | None, seed: int) -> "Split":
        """At most `n` rows, drawn without replacement, in their old order; all if `n` is None.

        Of rows in groups whole groups are drawn, but where the first one is larger.
        """
        if n is None or n >= len(self):
            return self
        return self.take(self.drawn(n, seed))

    def drawn(self, n: int, seed: int) -> npt.NDArray[np.int64]:
        """The indices of the rows that `sample` takes, in order."""
        if n >= len(self):
            return np.arange(len(self))
        rng = np.random.default_rng(seed)
        if self.groups is None:
            return np.sort(rng.choice(len(self), n, replace=False))
        number = np.unique(self.groups, return_inverse=True)[1]
        places = rng.permutation(number.max() + 1)[number]
        order = np.argsort(places, kind="stable")
        # The group that does not fit as a whole, unless it is the first.
        cut = places[order[n]]
        whole = order[:n][places[order[:n]] != cut]
        return np.sort(whole if len(whole) else order[:n])
