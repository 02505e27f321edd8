"""Does disabling heads help on a task (claim C5; paper, section 4.6)? The verdict in words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from headscope.errors import HeadscopeError
from headscope.names import VerdictWord
from headscope.stats.best_of_many import BestGain, HonestGain, SetGains
from headscope.stats.metrics import METRICS

HELPS = 0.5
"""Points. Where no set can gain as much, disabling does not help; another seed moves more."""
_NAMED = 5


@dataclass(frozen=True)
class Verdict:
    """A verdict and its numbers.

    Attributes:
        word: The verdict.
        p: The smallest adjusted p-value of a gain.
        significant: The names of the sets whose gain is significant, the largest gain first.
        at_least: What each of these gains at least, in points; None without such a set.
        at_most: What no set gains more than, in points; None where that is not known.
        text: The verdict in sentences.
    """

    word: VerdictWord
    p: float
    significant: tuple[str, ...]
    at_least: float | None
    at_most: float | None
    text: str


def verdict(
    metric: str,
    names: Sequence[str],
    gains: SetGains,
    highs: Float[np.ndarray, "set"],
    best: BestGain,
    honest: HonestGain,
) -> Verdict:
    """Whether disabling one of the sets helps on this task.

    Supported: the gain of a set is significant. Contradicted: no gain is, and the 95% interval of
    every set ends below `HELPS`. Else not supported, which does not show that no set helps.

    If a set truly gains anything, "supported" has no error; if none does, it is said in 5% of the
    cases at most. If a set truly gains `HELPS`, its own interval ends below that in 2.5%, so
    "contradicted" needs no adjustment for the number of sets.

    Args:
        metric: The name of the metric.
        names: The name of each set.
        gains: What each set changes, tested.
        highs: The upper ends of the 95% intervals of the changes; NaN where there is none.
        best: The largest gain, beside that under the null hypothesis.
        honest: What a choice is worth.

    Raises:
        HeadscopeError: Not one name and one interval for every set.
    """
    if not len(names) == len(gains.p) == len(highs):
        raise HeadscopeError("a verdict needs one name and one interval for every set")
    significant = gains.significant
    # The largest of all is not known where one is not.
    at_most = float(highs.max())
    word: VerdictWord = "not supported"
    if significant:
        word = "supported"
    elif at_most < HELPS:
        word = "contradicted"
    sentences = (
        _tested(metric, names, gains),
        _bounded(highs, word),
        _largest(names, best),
        _chosen(honest),
    )
    return Verdict(
        word=word,
        p=float(gains.p.min()),
        significant=tuple(names[at] for at in significant),
        at_least=float(gains.at_least[significant].min()) if significant else None,
        at_most=None if np.isnan(at_most) else at_most,
        text=" ".join(sentences),
    )


def _tested(metric: str, names: Sequence[str], gains: SetGains) -> str:
    title, sets = METRICS[metric].title, _sets(len(names))
    significant = gains.significant
    if not significant:
        clearest = int(gains.p.argmin())
        return (
            f"No gain in {title} is significant; the smallest p-value, adjusted for {sets}, is "
            f"{gains.p[clearest]:.2g} ({names[clearest]})."
        )
    listed = [
        f"{names[at]} {gains.change[at]:+.2f} points (at least {gains.at_least[at]:+.2f}, "
        f"p = {gains.p[at]:.2g})"
        for at in significant[:_NAMED]
    ]
    more = len(significant) - _NAMED
    others = f"; and {more} more" if more > 0 else ""
    return (
        f"Significant gains in {title}: {'; '.join(listed)}{others}. The p-values are adjusted "
        f"for {sets}, and the lower bounds hold for all at once (95%)."
    )


def _bounded(highs: Float[np.ndarray, "set"], word: VerdictWord) -> str:
    if unknown := int(np.isnan(highs).sum()):
        return (
            f"How much a set gains at most is not known: {unknown} of {len(highs)} have no "
            "interval."
        )
    text = f"No set gains more than {highs.max():+.2f} points (95%)"
    if word == "contradicted":
        return f"{text}, which is less than {HELPS}."
    return f"{text}."


def _largest(names: Sequence[str], best: BestGain) -> str:
    return (
        f"The largest change is {best.gain:+.2f} points, of {names[best.index]}; under the null "
        f"hypothesis, the largest of {_sets(len(names))} would be {best.null_mean:+.2f} on "
        f"average (95th percentile: {best.null_high:+.2f})."
    )


def _chosen(honest: HonestGain) -> str:
    interval = f"95% interval {honest.low:+.2f} to {honest.high:+.2f}"
    if np.isnan(honest.low):
        interval = "the same on all halves, so no interval"
    return (
        f"Choosing the best set on half of the examples is worth {honest.gain:+.2f} points on the "
        f"other half ({interval}; {honest.apparent:+.2f} where it was chosen). That is of the "
        "choice: halves choose different sets."
    )


def _sets(count: int) -> str:
    return "1 set" if count == 1 else f"{count} sets"
