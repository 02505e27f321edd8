"""Retrieval, query by query: the documents of each query are ranked by their scores.

A query is a group of examples, its documents, with labels 1 (relevant) and 0. Documents with the
same score share their places, as in scikit-learn's `average_precision_score` and `ndcg_score`,
which the tests compare.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Shaped

from headscope.stats.groups import Groups

Array = npt.NDArray[Any]
Labels = Shaped[np.ndarray, " document"]
Values = Float[np.ndarray, " query"]

CUT = 10
"""How many of the first documents count in nDCG@10."""


@dataclass(frozen=True, eq=False)
class Ranked:
    """The documents of all queries, query by query and the highest score first.

    Attributes:
        query: The query of every place.
        place: The place in its query, from 0.
        relevant: Whether the document there is relevant.
        first: Where the steps of equal scores of one query begin.
        step: The step of every place.
    """

    query: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    relevant: Float[np.ndarray, " document"]
    first: npt.NDArray[np.int64]
    step: npt.NDArray[np.int64]

    @classmethod
    def of(cls, labels: Labels, predictions: Array, groups: Groups) -> "Ranked":
        """Rank documents by their predictions."""
        order = np.lexsort((-predictions, groups.number))
        query, score = groups.number[order], predictions[order]
        begins = np.append(True, (query[1:] != query[:-1]) | (score[1:] != score[:-1]))
        sizes = groups.sizes
        place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        relevant = (labels[order] == 1).astype(np.float64)
        return cls(query, place, relevant, np.flatnonzero(begins), np.cumsum(begins) - 1)


def judged(labels: Labels, groups: Groups) -> Bool[np.ndarray, " query"]:
    """Which queries have relevant documents and others: only those have something to rank."""
    relevant = groups.sums((labels == 1).astype(np.int64))
    return np.asarray((relevant > 0) & (relevant < groups.sizes))


def average_precision(labels: Labels, predictions: Array, groups: Groups) -> Values:
    """The average precision of every query; 0 for one without relevant documents.

    >>> groups = Groups.of("aaab")
    >>> average_precision(np.array([1, 0, 1, 1]), np.array([3.0, 2, 1, 0]), groups).round(3)
    array([0.833, 1.   ])
    """
    ranked = Ranked.of(labels, predictions, groups)
    new = np.add.reduceat(ranked.relevant, ranked.first)
    # Where the steps end, so many were retrieved for their query, and so many of them relevant.
    last = np.append(ranked.first[1:], len(ranked.query)) - 1
    retrieved = ranked.place[last] + 1.0
    found = _within(ranked.relevant, ranked)[last]
    query = ranked.query[last]
    total = np.bincount(query, new * found / retrieved, len(groups))
    relevant = np.bincount(query, new, len(groups))
    return np.divide(total, relevant, out=np.zeros(len(groups)), where=relevant > 0)


def ndcg(labels: Labels, predictions: Array, groups: Groups) -> Values:
    """nDCG@10 of every query; 0 for one without relevant documents.

    >>> groups = Groups.of("aaa")
    >>> ndcg(np.array([0, 1, 0]), np.array([3.0, 2, 1]), groups).round(3)  # 1 / log2(3)
    array([0.631])

    Source: Jarvelin & Kekalainen (2002), ACM Transactions on Information Systems 20; ties as in
    McSherry & Najork (2008), ECIR.
    """
    ranked = Ranked.of(labels, predictions, groups)
    discount = np.where(ranked.place < CUT, 1 / np.log2(ranked.place + 2), 0.0)
    # Documents with one score take the mean of their places' discounts.
    sizes = np.diff(np.append(ranked.first, len(ranked.query)))
    shared = (np.add.reduceat(discount, ranked.first) / sizes)[ranked.step]
    gain = np.bincount(ranked.query, ranked.relevant * shared, len(groups))
    relevant = groups.sums((labels == 1).astype(np.int64))
    is_first = ranked.place < relevant[ranked.query]
    ideal = np.bincount(ranked.query, discount * is_first, len(groups))
    return np.divide(gain, ideal, out=np.zeros(len(groups)), where=ideal > 0)


def _within(values: Float[np.ndarray, " document"], ranked: Ranked) -> Array:
    """Running sums that begin anew with every query."""
    running = np.cumsum(values)
    begins = ranked.place == 0
    before = (running - values)[begins]
    return np.asarray(running - np.repeat(before, np.bincount(ranked.query)))


PerQuery = Callable[[Labels, Array, Groups], Values]
"""What a metric gives every query, as a fraction, from labels and predictions of documents."""
