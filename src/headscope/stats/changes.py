"""Intervals of the change of a score when heads are disabled, where few predictions flip.

A plain bootstrap resamples the predictions that flipped. Where none did it says [0, 0], where three
did it covers a true change in far fewer than 95% of cases (docs/statistics.md).
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Shaped

from headscope.stats.groups import Groups, case_count, effective_cases, widened
from headscope.stats.means import FEWEST
from headscope.stats.metrics import EXACT, NO_LABEL, Labels, Predictions, Tally, metric_named
from headscope.stats.paired import RESAMPLES, Z, chunks, interval

Array = npt.NDArray[Any]

ADDED = 4
"""Examples that are added before resampling, half of them flipping each way."""
_HALVINGS = 50


def share_change(lost: Array, won: Array, n: Array) -> tuple[Array, Array]:
    """Tango's 95% score interval of the change of a share, on the same cases before and after.

    It holds all changes that McNemar's test (its score form, not the exact one) would not reject.
    Without a flip it is 3.84 / (n + 3.84) either way.

    Args:
        lost: How many cases were hits before and are none after, of any shape.
        won: How many are hits only after, of the same shape.
        n: How many cases there are, of the same shape.

    Returns:
        The lower and the upper end of (won - lost) / n, as fractions.

    Source: Tango (1998), Statistics in Medicine 17.

    >>> low, high = share_change(np.array([7]), np.array([1]), np.array([21]))
    >>> low.round(3).tolist(), high.round(3).tolist()  # as in Fagerland et al. (2014)
    ([-0.517], [-0.026])
    """
    return -_largest_change(won, lost, n), _largest_change(lost, won, n)


def _largest_change(lost: Array, won: Array, n: Array) -> Array:
    """The largest change that is not rejected, by halving the range that holds it."""
    kept, rejected = (won - lost) / n, np.ones(n.shape)
    for _ in range(_HALVINGS):
        change = (kept + rejected) / 2
        is_kept = change_statistic(change, lost, won, n) >= -Z
        kept = np.where(is_kept, change, kept)
        rejected = np.where(is_kept, rejected, change)
    return np.asarray(kept)


def change_statistic(change: Array, lost: Array, won: Array, n: Array) -> Array:
    """How many standard errors the observed change lies above a supposed one.

    Args:
        change: The supposed change of a share, at least 0.
        lost: How many cases were hits before and are none after.
        won: How many are hits only after.
        n: How many cases there are.
    """
    # The likeliest share of losses if the change is as supposed: the root of a quadratic.
    b = (2 * n - won + lost) * change - (won + lost)
    c = -lost * change * (1 - change)
    losses = (np.sqrt(np.maximum(b**2 - 8 * n * c, 0)) - b) / (4 * n)
    variance = n * (2 * losses + change * (1 - change))
    distance = won - lost - n * change
    error = np.sqrt(variance)
    return np.asarray(np.divide(distance, error, out=np.zeros_like(change), where=error > 0))


def resampled_changes(
    metric: str,
    labels: Labels,
    before: Shaped[np.ndarray, "model example *token"],
    after: Shaped[np.ndarray, "model set example *token"],
    seed: int,
    resamples: int = RESAMPLES,
    groups: Groups | None = None,
) -> Float[np.ndarray, "set resample"]:
    """Changes of a score on resampled examples (a smoothed paired bootstrap), in points.

    Four examples are added before resampling in which the prediction flips, two from right to wrong
    and two back, spread over all classes and models: as Agresti and Coull (1998) add two hits and
    two misses. So flips that happened not to occur are not taken for impossible. Scores of a
    regression change without flips, and nothing is added. Where tokens are scored, examples are
    resampled with all their tokens, and an added example has one. An added answer is exact, or
    shares no word with a true one. Groups are resampled whole; an added example is a group that
    counts as often as there are examples to an effective one (`stats.groups`). Of a mean over
    queries those are drawn that it is a mean over, and four are added that change, two each way, by
    as much as the one that changes most.

    Args:
        metric: The name of the metric.
        labels: Classes or scores.
        before: Predictions of one or several models (fine-tunings) as they are.
        after: Their predictions with each set of heads disabled.
        seed: Of the draws.
        resamples: How many.
        groups: Which examples are drawn together; None where each is by itself.

    Returns:
        The mean over the models.
    """
    models, sets, n = after.shape[:3]
    if groups is not None and metric_named(metric).of_queries is not None:
        by_query = _query_changes(metric, labels, before, after, groups)
        return _resampled_means(by_query, seed, resamples)
    if groups is not None and sets > 1 and not metric_named(metric).regression:
        # How often an added example counts is a set's own.
        alone = (after[:, [number]] for number in range(sets))
        given = (metric, labels, before)
        each = [resampled_changes(*given, one, seed, resamples, groups) for one in alone]
        return np.concatenate(each)
    cases = case_count(n, groups)
    weight = 1.0
    flips = np.empty((0, 3), dtype=np.int64)
    if metric_named(metric).of_answers:
        flips = np.array([(EXACT, EXACT, 0), (EXACT, 0, EXACT)], dtype=np.int64)
    elif not metric_named(metric).regression:
        flips = _flips(np.unique(np.concatenate([labels, before, after], axis=None)))
    added = len(flips)
    if groups is not None and added:
        weight = n / float(_effective_flips(labels, before, after, groups).min())
    was, then, now = (_one_token(column, labels) for column in flips.T)
    # The added examples of one model are unchanged in the others: predicted as before.
    labels = np.concatenate([labels, *[was] * models])
    unchanged = np.concatenate([then] * models)
    before = np.concatenate([before, np.broadcast_to(unchanged, (models, *unchanged.shape))], 1)
    of_sets = np.broadcast_to(unchanged, (models, sets, *unchanged.shape))
    after = np.concatenate([after, of_sets], 2)
    for model in range(models):
        start = n + model * added
        after[model, :, start : start + added] = now
    predictions = np.concatenate([before, after.reshape(-1, *labels.shape)])
    if groups is not None:
        own = np.arange(cases, cases + models * added)
        groups = Groups(np.concatenate([groups.number, own]))
    tally = Tally(metric_named(metric), labels, predictions, groups)
    rng = np.random.default_rng(seed)
    changes = []
    for rows in chunks(resamples, len(labels)):
        times = _times_drawn(rng, rows, cases, models * added)
        times[:, cases:] *= weight
        scores = tally.score(times)
        unchanged = scores[:, :models, None]
        disabled = scores[:, models:].reshape(rows, models, sets)
        changes.append((disabled - unchanged).mean(1))
    return np.concatenate(changes).T


def _query_changes(
    metric: str,
    labels: Labels,
    before: Shaped[np.ndarray, "model example"],
    after: Shaped[np.ndarray, "model set example"],
    groups: Groups,
) -> Float[np.ndarray, "set query"]:
    """By how much the score of every query changes, as a fraction; the mean over the models."""
    models, sets, n = after.shape
    rows = np.concatenate([before, after.reshape(-1, n)])
    scores = metric_named(metric).scores_of_queries(labels, rows, groups)
    # The queries that the mean is over.
    scores = scores[:, ~np.isnan(scores[0])]
    changed = scores[models:].reshape(models, sets, -1)
    return np.asarray((changed - scores[:models, None]).mean(0))


def _resampled_means(
    changes: Float[np.ndarray, "set query"], seed: int, resamples: int
) -> Float[np.ndarray, "set resample"]:
    """Means of changes of resampled queries, in points."""
    count = changes.shape[1]
    size = np.abs(changes).max(1)
    values = np.column_stack([changes, size, -size])
    rng = np.random.default_rng(seed)
    drawn = [_times_drawn(rng, rows, count, 2) @ values.T for rows in chunks(resamples, count)]
    return np.asarray(100 * np.concatenate(drawn).T / count)


def _effective_flips(
    labels: Labels,
    before: Shaped[np.ndarray, "model example *token"],
    after: Shaped[np.ndarray, "model set example *token"],
    groups: Groups,
) -> Float[np.ndarray, " set"]:
    """How many examples in no groups would know the change of accuracy as well, model by model."""
    was_right = (before == labels).astype(np.float64)
    change = (after == labels) - was_right[:, None]
    return effective_cases(change.reshape(-1, len(labels)), groups)


def _one_token(
    values: Shaped[np.ndarray, " flip"], labels: Labels
) -> Shaped[np.ndarray, " flip *token"]:
    """Values as examples like others: where those have tokens, each is one token's."""
    if labels.ndim == 1:
        return values
    rows = np.full((len(values), labels.shape[1]), NO_LABEL, dtype=labels.dtype)
    rows[:, 0] = values
    return rows


def _flips(classes: Shaped[np.ndarray, "class"]) -> Shaped[np.ndarray, "flip 3"]:
    """Every flip between right and wrong as (label, before, after)."""
    flips = []
    classes = classes[classes != NO_LABEL]
    for label in classes.tolist():
        for other in classes.tolist():
            if other != label:
                flips += [(label, label, other), (label, other, label)]
    return np.array(flips, dtype=np.int64).reshape(-1, 3)


def _times_drawn(
    rng: np.random.Generator, rows: int, n: int, added: int
) -> Float[np.ndarray, "row example"]:
    """How often each example is drawn in `n` draws, those added together as often as `ADDED`."""
    drawn = rng.integers(0, n + (ADDED if added else 0), (rows, n))
    is_added = drawn >= n
    drawn[is_added] = n + rng.integers(0, max(added, 1), int(is_added.sum()))
    examples = n + added
    # One count over all rows, each row with its own numbers.
    numbered = drawn + examples * np.arange(rows)[:, None]
    times = np.bincount(numbered.ravel(), minlength=rows * examples).reshape(rows, examples)
    return times.astype(np.float64)


def change_intervals(
    metric: str,
    labels: Labels,
    before: Labels,
    after: Predictions,
    seed: int,
    groups: Groups | None = None,
) -> list[tuple[float, float]]:
    """The 95% interval of the change of a score by each set, in points.

    Tango's score interval for accuracy, the percentiles of `resampled_changes` for other metrics;
    NaN where all resamples are equal, and for a metric other than accuracy and F1 on fewer than
    `FEWEST` examples (of a ranking, of either class), of which resamples say too little. Where
    examples have groups, Tango's interval has the effective number of examples (`stats.groups`),
    resamples are of groups, and fewer groups than `FEWEST` have none, whatever the metric.

    Args:
        metric: The name of the metric.
        labels: Classes or scores.
        before: Predictions of the model as it is.
        after: Predictions with each set disabled.
        seed: Of the draws.
        groups: Which examples are of one case; None where each is its own.
    """
    if is_untold(metric, labels, groups):
        return [(math.nan, math.nan)] * len(after)
    if metric == "accuracy":
        low, high = share_change(*flips_of(labels, before, after, groups))
        return list(zip((100 * low).tolist(), (100 * high).tolist(), strict=True))
    drawn = resampled_changes(metric, labels, before[None], after[None], seed, groups=groups)
    cases = resampled_cases(metric, labels, groups)
    return [interval(widened(of_set, cases)) for of_set in drawn]


def resampled_cases(metric: str, labels: Labels, groups: Groups | None) -> int | None:
    """How many groups or queries were resampled; None where it was examples."""
    if groups is None:
        return None
    is_of_queries = metric_named(metric).of_queries is not None
    return metric_named(metric).count(labels, groups) if is_of_queries else len(groups)


def is_untold(metric: str, labels: Labels, groups: Groups | None) -> bool:
    """Whether there are too few cases to say how much a metric varies.

    Args:
        metric: Its name.
        labels: Classes or scores.
        groups: Which examples are of one case; None where each is its own.
    """
    if groups is None and metric in ("accuracy", "f1"):
        return False
    return metric_named(metric).cases(labels, groups) < FEWEST


def flips_of(
    labels: Labels, before: Labels, after: Predictions, groups: Groups | None
) -> tuple[Float[np.ndarray, " set"], Float[np.ndarray, " set"], Float[np.ndarray, " set"]]:
    """How many examples flip from right to wrong and back by each set, and how many there are.

    Args:
        labels: Classes.
        before: Predictions of the model as it is.
        after: Predictions with each set disabled.
        groups: Which examples are of one case: numbers are then of effective examples; None where
            each is its own.
    """
    was_right, is_right = before == labels, after == labels
    lost = (was_right & ~is_right).sum(1)
    won = (~was_right & is_right).sum(1)
    n = len(labels)
    cases = np.full(len(after), float(n))
    if groups is not None:
        cases = effective_cases(is_right.astype(np.float64) - was_right, groups)
    return lost * (cases / n), won * (cases / n), cases
