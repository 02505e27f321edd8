"""How right an answer to a question is, by SQuAD's rules."""

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from headscope.stats.metrics import EXACT, NO_LABEL

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def words_of(answer: str) -> list[str]:
    """The words of an answer that count: in lower case, without ASCII punctuation and articles.

    >>> words_of("The  U.S. Army, an army!")
    ['us', 'army', 'army']
    """
    bare = answer.lower().translate(_WITHOUT_PUNCTUATION)
    return _ARTICLES.sub(" ", bare).split()


def rightness(answer: str, true: Sequence[str]) -> float:
    """How right an answer is: `EXACT` if its words are those of a true one, else the largest F1 of
    its words and those of a true one, 0 to 1.

    Where there is no answer, the one true answer is empty, and only an empty one is right.

    Args:
        answer: What was answered.
        true: The true answers; none stands for the empty one.

    Source: Rajpurkar et al. (2016), EMNLP, section 6.1; Rajpurkar, Jia & Liang (2018), ACL.

    >>> rightness("the green park", ["Green Park", "a park"])
    2.0
    >>> rightness("the park", ["Green Park", "the old green park gate"])
    0.6666666666666666
    """
    words = words_of(answer)
    every = [words_of(one) for one in true or ("",)]
    if words in every:
        return EXACT
    return max(_f1(words, one) for one in every)


def true_labels(questions: Sequence[int], width: int) -> npt.NDArray[np.float64]:
    """The labels of texts, [text, width]: what a true answer gets.

    Args:
        questions: How many questions there are about every text.
        width: The most questions about a text.

    >>> true_labels([1, 2], 2).tolist()
    [[2.0, -1.0], [2.0, 2.0]]
    """
    counts = np.array(questions, dtype=np.int64)
    return np.where(np.arange(width) < counts[:, None], EXACT, float(NO_LABEL))


def _f1(first: Sequence[str], second: Sequence[str]) -> float:
    """F1 of two bags of words."""
    shared = (Counter(first) & Counter(second)).total()
    return 2 * shared / (len(first) + len(second)) if shared else 0.0
