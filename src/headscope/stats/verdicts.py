"""Does disabling heads help on a task (claim C5; paper, section 4.6)? The verdict in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from headscope.errors import HeadscopeError
from headscope.names import SIGNIFICANT
from headscope.stats.best_of_many import BestGain, HonestGain
from headscope.stats.exchange import MaxT
from headscope.stats.metrics import METRICS

Word = Literal["supported", "not supported", "contradicted"]

_NAMED = 5


@dataclass(frozen=True)
class Verdict:
    """A verdict and the sentences that give its numbers."""

    word: Word
    text: str


def verdict(
    metric: str, names: Sequence[str], test: MaxT, best: BestGain, honest: HonestGain
) -> Verdict:
    """Whether disabling one of the sets helps on this task.

    Supported: a gain is significant (max-T, step-down), and the held-out gain is above 0.
    Contradicted: no set gains on all examples, and the one that half of them choose loses on the
    others, its whole interval below 0. Else not supported, which does not show that no head helps.

    Args:
        metric: The name of the metric.
        names: The name of each set.
        test: For the alternative "gain".
        best: The best gain.
        honest: The held-out gain.

    Raises:
        HeadscopeError: A test for another alternative, or not one name for every set.
    """
    if test.alternative != "gain" or len(names) != len(test.p):
        raise HeadscopeError("a verdict needs the test for a gain, and one name for every set")
    significant = [
        name for name, p in zip(names, test.p_step_down, strict=True) if p <= SIGNIFICANT
    ]
    word: Word = "not supported"
    if significant and honest.gain > 0:
        word = "supported"
    elif best.gain <= 0 and honest.high < 0:
        word = "contradicted"
    return Verdict(word, _sentences(METRICS[metric].title, names, significant, best, honest))


def _sentences(
    title: str,
    names: Sequence[str],
    significant: Sequence[str],
    best: BestGain,
    honest: HonestGain,
) -> str:
    name = names[best.index]
    several = len(names) > 1
    null = f"the best of {len(names)} sets" if several else "one set"
    which = f"the best of {len(names)} sets, {name}," if several else name
    listed = ", ".join(significant[:_NAMED])
    more = ", ..." if len(significant) > _NAMED else ""
    gains = f"{len(significant)} ({listed}{more})" if significant else "none"
    return (
        f"On all examples, {which} changes {title} by {best.gain:+.2f} points. Under the null "
        f"hypothesis, {null} would gain {best.null_mean:.2f} points on average (95th percentile: "
        f"{best.null_high:.2f}; p = {best.p:.2g}). Significant gains: {gains}. Chosen on half of "
        f"the examples, the best set changes {title} by {honest.apparent:+.2f} points there and "
        f"by {honest.gain:+.2f} on the other half (95% interval {honest.low:+.2f} to "
        f"{honest.high:+.2f})."
    )
