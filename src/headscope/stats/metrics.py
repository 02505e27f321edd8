"""Metrics as functions of sums over examples, in points (0 to 100).

A metric needs a few numbers that add up over the examples, such as how many are right. A resample,
a half or an exchange of predictions is then a weight per example, and thousands of them cost one
matrix product. The tests hold every metric against scikit-learn's and SciPy's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Shaped

from headscope.errors import HeadscopeError, unknown
from headscope.stats import queries
from headscope.stats.groups import Groups, case_count
from headscope.stats.ranking import AVERAGE_PRECISION, ROC_AUC, Ranking, rarer

Array = npt.NDArray[Any]
Labels = Shaped[np.ndarray, "example *token"]
"""Classes or scores; of an example's tokens a row of classes, filled up with `NO_LABEL`."""
Predictions = Shaped[np.ndarray, "set example *token"]
"""Those of several models, or of one with several sets of heads disabled."""
Weights = Float[np.ndarray, "draw case"]
"""How many times every independent case counts: an example, or a group of them."""
Points = Float[np.ndarray, "draw set"]
"""Scores, or changes of a score."""
Sums = Mapping[str, npt.NDArray[np.float64]]
"""Sums over examples by name, [draw, set], with the classes in front if there is one per class.

What examples add to them is [set, example]. Where predictions do not matter there is 1 set.
"""

NO_LABEL = -1
"""Stands where an example has no further tokens to score."""
EXACT = 2.0
"""Stands for an answer whose words are those of a true one; F1 counts it as 1. Other answers have
the F1 of their words, 0 to 1.
"""
_ROUNDING = 1e-12
"""What may be left, relative to its mean square, of the variance of a constant."""


@dataclass(frozen=True)
class Metric:
    """A metric as a function of named sums over examples.

    Attributes:
        title: The metric's name in a sentence.
        regression: Whether labels and predictions are scores, not classes.
        added: What every example adds to the sums, from labels [example] and predictions
            [set, example], or both with an axis of tokens behind; truth values count as 0 and 1.
        points: The score from the sums, 0 where it is not defined.
        ranked: Whether the score is of ranks, which depend on the weights of all examples.
        of_tokens: Whether every example has a row of labels, one a token, or one a question.
        of_answers: Whether they say how right answers are; the labels are then `EXACT`.
        ranking: How scores of two classes, 0 and 1, are judged by their order. The sums are then of
            the shares that examples have in it, which stand for their predictions.
        of_queries: What it gives every query, which is a group of documents with labels 0 and 1;
            the score is the mean over the queries that have both. `added` is not used then.
    """

    title: str
    regression: bool
    added: Callable[[Array, Array], Mapping[str, Array]]
    points: Callable[[Sums], Array]
    ranked: bool = False
    of_tokens: bool = False
    of_answers: bool = False
    ranking: Ranking | None = None
    of_queries: queries.PerQuery | None = None

    @property
    def fits(self) -> str:
        """What kind of label it is for, in words."""
        if self.of_answers:
            return "answers to questions"
        if self.of_tokens:
            return "tags of words"
        if self.ranking is not None or self.of_queries is not None:
            return (
                "pairs of two classes whose cosine is scored (--as embedding), which have it anyway"
            )
        return "a regression" if self.regression else "classes"

    def count(self, labels: Labels, groups: Groups | None) -> int:
        """How many it is a mean over: examples, or queries with documents of both classes."""
        if self.of_queries is not None and groups is not None:
            return int(queries.judged(labels, groups).sum())
        return len(labels)

    def cases(self, labels: Labels, groups: Groups | None = None) -> int:
        """How many cases its spread is known from: all that it counts, or of two classes the
        examples of the rarer; and no more than there are groups.
        """
        counted = self.count(labels, groups) if self.ranking is None else rarer(labels)
        return counted if groups is None else min(counted, len(groups))

    def terms(self, labels: Labels, predictions: Predictions, groups: Groups | None = None) -> Sums:
        """What every case adds to each sum; ranks are those of all examples, counted once.

        Raises:
            HeadscopeError: As `scores_of_queries`, of a metric of queries.
        """
        if self.of_queries is not None:
            shares = self.scores_of_queries(labels, predictions, groups)
            is_known = ~np.isnan(shares[:1])
            return {"n": is_known.astype(np.float64), "share": np.where(is_known, shares, 0.0)}
        added = self.added(labels, predictions)
        terms = {name: np.atleast_2d(term).astype(np.float64) for name, term in added.items()}
        if groups is None:
            return terms
        return {name: groups.sums(term) for name, term in terms.items()}

    def scores_of_queries(
        self, labels: Labels, predictions: Predictions, groups: Groups | None
    ) -> Float[np.ndarray, "set query"]:
        """What a metric of queries gives each query, as a fraction; NaN for one whose documents are
        all of one class, which has nothing to rank.

        Raises:
            HeadscopeError: There are no groups, or none has documents of both classes.
        """
        if self.of_queries is None or groups is None:
            raise HeadscopeError(
                f"{self.title} is a mean over queries: name their column with --group"
            )
        is_judged = queries.judged(labels, groups)
        if not is_judged.any():
            raise HeadscopeError(
                f"{self.title} needs a query with relevant documents and others, and none of these "
                f"{len(groups)} has both: give more examples, or leave out --group"
            )
        each = [self.of_queries(labels, row, groups) for row in predictions]
        return np.where(is_judged, np.stack(each), np.nan)

    def score(self, labels: Labels, predictions: Labels, groups: Groups | None = None) -> float:
        """The score of some predictions, in points; metrics of queries need groups, others do not
        see them.

        >>> METRICS["f1"].score(np.array([1, 1, 0, 0]), np.array([1, 0, 1, 0]))
        50.0
        """
        if self.of_queries is None:
            groups = None
        once = np.ones((1, case_count(len(labels), groups)))
        return float(Tally(self, labels, predictions[None], groups).score(once)[0, 0])


@dataclass(frozen=True)
class Tally:
    """Examples that a metric is to be scored on many times, with weights.

    Attributes:
        metric: The metric.
        labels: Classes or scores.
        predictions: Of several models.
        groups: Which examples have a weight together; None where each has its own.
    """

    metric: Metric
    labels: Labels
    predictions: Predictions
    groups: Groups | None = None

    @cached_property
    def _terms(self) -> Sums:
        return self.metric.terms(self.labels, self.predictions, self.groups)

    def score(self, weights: Weights) -> Points:
        """The scores in points where every example, or every group, counts `weights` times.

        >>> labels, predictions = np.array([1, 0]), np.array([[1, 1]])
        >>> Tally(METRICS["accuracy"], labels, predictions).score(np.array([[1.0, 1], [3, 1]]))
        array([[50.],
               [75.]])
        """
        ranking = self.metric.ranking
        if not (self.metric.ranked or ranking):
            return self.metric.points(weigh(self._terms, weights))
        if self.groups is not None:
            weights = self.groups.drawn(weights)
        if ranking is not None:
            each = [ranking.score(self.labels, row, weights) for row in self.predictions]
            return 100 * np.stack(each, axis=1)
        labels = _ranks(self.labels, weights)
        scores = []
        for predictions in self.predictions:
            sums = _rank_sums(labels, _ranks(predictions, weights), weights)
            scores.append(self.metric.points(sums))
        return np.stack(scores, axis=1)


def weigh(terms: Sums, weights: Weights) -> Sums:
    """The sums of what weighted cases add."""
    return {name: weights @ np.swapaxes(term, -1, -2) for name, term in terms.items()}


def metric_named(name: str) -> Metric:
    """The metric of that name. Raises HeadscopeError that names the known ones and the nearest."""
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
    return METRICS[name]


def _accuracy_added(labels: Array, predictions: Array) -> Mapping[str, Array]:
    return {"n": np.ones(len(labels)), "right": predictions == labels}


def _accuracy(sums: Sums) -> Array:
    return 100 * _ratio(sums["right"], sums["n"])


def _of_tokens_added(labels: Array, predictions: Array) -> Mapping[str, Array]:
    is_scored = labels != NO_LABEL
    right = (predictions == labels) & is_scored
    return {"n": is_scored.sum(-1), "right": right.sum(-1)}


def _entities_added(labels: Array, predictions: Array) -> Mapping[str, Array]:
    true, predicted = _entities(labels), _entities(predictions)
    both = (true == predicted) & (true != 0)
    return {
        "true": (true != 0).sum(-1),
        "predicted": (predicted != 0).sum(-1),
        "both": both.sum(-1),
    }


def _entities(tags: Array) -> Array:
    """For the first token of every entity a number that stands for its type and its end, else 0.

    An entity begins at a B- tag, and at an I- tag that does not go on one of its type; it goes on
    over I- tags of its type. So conlleval and seqeval read tags.

    Source: Tjong Kim Sang & De Meulder (2003), CoNLL.
    """
    inside = tags > OUTSIDE
    kinds = np.where(inside, (tags + 1) // 2, 0)
    before = np.pad(kinds[..., :-1], [(0, 0)] * (tags.ndim - 1) + [(1, 0)])
    begins = inside & ((tags % 2 == 1) | (kinds != before))
    width = tags.shape[-1]
    places = np.arange(width)
    # Where the next entity begins, or this one's tags end, from right to left.
    stops = np.where(begins | ~inside, places, width)
    after = np.minimum.accumulate(stops[..., ::-1], -1)[..., ::-1]
    ends = np.concatenate([after[..., 1:], np.full((*tags.shape[:-1], 1), width)], -1)
    return np.asarray(np.where(begins, kinds * (width + 1) + ends, 0))


def _answers_added(labels: Array, predictions: Array) -> Mapping[str, Array]:
    is_scored = labels != NO_LABEL
    share = np.where(is_scored, np.minimum(predictions, 1), 0)
    return {"n": is_scored.sum(-1), "share": share.sum(-1)}


def _f1_added(labels: Array, predictions: Array) -> Mapping[str, Array]:
    true = labels == 1
    predicted = predictions == 1
    return {"true": true, "predicted": predicted, "both": true & predicted}


def _f1(sums: Sums) -> Array:
    return 100 * _ratio(2 * sums["both"], sums["predicted"] + sums["true"])


def _matthews_added(labels: Array, predictions: Array) -> Mapping[str, Array]:
    classes = np.unique(np.append(labels, predictions))[:, None, None]
    return {
        "n": np.ones(len(labels)),
        "right": predictions == labels,
        "true": labels == classes,
        "predicted": predictions == classes,
    }


def _matthews(sums: Sums) -> Array:
    """For any number of classes. Source: Gorodkin (2004), Computational Biology and Chemistry."""
    n, true, predicted = sums["n"], sums["true"], sums["predicted"]
    covariance = sums["right"] * n - (true * predicted).sum(0)
    spread = np.sqrt(n * n - (true**2).sum(0)) * np.sqrt(n * n - (predicted**2).sum(0))
    return 100 * _ratio(covariance, spread)


def _pearson_added(labels: Array, predictions: Array) -> Mapping[str, Array]:
    # Small sums lose fewer digits.
    y = labels - labels.mean()
    p = predictions - predictions.mean(axis=1, keepdims=True)
    return {"n": np.ones(len(labels)), "y": y, "yy": y * y, "p": p, "pp": p * p, "yp": y * p}


def _correlation(sums: Sums) -> Array:
    n = sums["n"]
    covariance = n * sums["yp"] - sums["y"] * sums["p"]
    spread = _spread(n, sums["y"], sums["yy"]) * _spread(n, sums["p"], sums["pp"])
    return 100 * _ratio(covariance, spread)


def _spread(n: Array, total: Array, squares: Array) -> Array:
    """`n` standard deviations, 0 for a constant."""
    variance = n * squares - total * total
    return np.sqrt(np.where(variance > _ROUNDING * n * squares, variance, 0.0))


def _shares_added(labels: Array, shares: Array) -> Mapping[str, Array]:
    return {"n": np.ones(len(labels)), "share": shares}


def _mean_share(sums: Sums) -> Array:
    return 100 * _ratio(sums["share"], sums["n"])


def _ratio(above: Array, below: Array) -> Array:
    above, below = np.broadcast_arrays(above, below)
    return np.divide(above, below, out=np.zeros(above.shape), where=below > 0)


def _ranks(values: Shaped[np.ndarray, " example"], weights: Weights) -> Weights:
    """Ranks of weighted examples, minus their mean; equal values share one: [draw, example]."""
    _, index, count = np.unique(values, return_inverse=True, return_counts=True)
    first = np.cumsum(count) - count
    # The weight of each different value, in ascending order: [draw, value].
    weight = np.add.reduceat(weights[:, np.argsort(index, kind="stable")], first, axis=1)
    # Half of a value's own weight, and all below it, stand before the middle of its ranks.
    middle = np.cumsum(weight, axis=1) - weight / 2
    centred = middle - weights.sum(1, keepdims=True) / 2
    return np.asarray(centred[:, index])


def _rank_sums(labels: Weights, predictions: Weights, weights: Weights) -> Sums:
    """The sums of the correlation of ranks, [draw]."""
    zero = np.zeros(len(weights))
    return {
        "n": weights.sum(1),
        "y": zero,
        "yy": np.einsum("de,de,de->d", weights, labels, labels),
        "p": zero,
        "pp": np.einsum("de,de,de->d", weights, predictions, predictions),
        "yp": np.einsum("de,de,de->d", weights, labels, predictions),
    }


OUTSIDE = 0
"""The tag of a token that is in no entity; those of the n-th type are 2n - 1 (its beginning, B-)
and 2n (inside, I-).
"""
METRICS = {
    "accuracy": Metric("accuracy", False, _accuracy_added, _accuracy),
    "f1": Metric("F1", False, _f1_added, _f1),
    "matthews": Metric("MCC", False, _matthews_added, _matthews),
    "pearson": Metric("Pearson's r", True, _pearson_added, _correlation),
    "spearman": Metric("Spearman's rho", True, _pearson_added, _correlation, ranked=True),
    "token_accuracy": Metric(
        "accuracy of tokens", False, _of_tokens_added, _accuracy, of_tokens=True
    ),
    "entity_f1": Metric("F1 of entities", False, _entities_added, _f1, of_tokens=True),
    "answer_f1": Metric(
        "F1 of answers", False, _answers_added, _mean_share, of_tokens=True, of_answers=True
    ),
    "exact_match": Metric(
        "exact match", False, _of_tokens_added, _accuracy, of_tokens=True, of_answers=True
    ),
    "average_precision": Metric(
        "average precision", True, _shares_added, _mean_share, ranking=AVERAGE_PRECISION
    ),
    "roc_auc": Metric("ROC AUC", True, _shares_added, _mean_share, ranking=ROC_AUC),
    "mean_average_precision": Metric(
        "MAP", True, _shares_added, _mean_share, of_queries=queries.average_precision
    ),
    "ndcg_at_10": Metric("nDCG@10", True, _shares_added, _mean_share, of_queries=queries.ndcg),
}
"""Metrics by name: GLUE's, those of tokens and of answers, and four of embeddings. F1 is that of
class 1, where nothing else is said.
"""
