"""Examples that are not independent: those of one document, query or premise form a group.

Where examples have groups, the groups are the independent cases of every interval and test. A mean
over examples stays the mean over examples; what it varies by is the spread between groups.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int
from scipy.stats import t as student

from headscope.errors import HeadscopeError

Array = npt.NDArray[Any]

_NORMAL = 1.959963984540054
"""The 97.5% quantile of the standard normal distribution."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Which group every example is of.

    Attributes:
        number: The number of each example's group, from 0 and without gaps.
    """

    number: Int[np.ndarray, " example"]

    @classmethod
    def of(cls, values: Sequence[Hashable]) -> "Groups":
        """Examples with the same value are a group.

        >>> Groups.of(["a", "b", "a"]).number.tolist()
        [0, 1, 0]
        """
        numbers: dict[Hashable, int] = {}
        return cls(np.array([numbers.setdefault(value, len(numbers)) for value in values]))

    def __len__(self) -> int:
        return int(self.number.max(initial=-1)) + 1

    @property
    def sizes(self) -> Int[np.ndarray, " group"]:
        """How many examples each has."""
        return np.bincount(self.number, minlength=len(self))

    def sums(self, values: Array) -> Array:
        """The sums over the examples of each group.

        Args:
            values: What every example has, [..., example].

        Returns:
            [..., group].
        """
        order = np.argsort(self.number, kind="stable")
        first = np.cumsum(self.sizes) - self.sizes
        return np.asarray(np.add.reduceat(values[..., order], first, axis=-1))

    def take(self, rows: Int[np.ndarray, " row"]) -> "Groups":
        """The groups of the examples with these indices."""
        return Groups(np.unique(self.number[rows], return_inverse=True)[1])

    def drawn(self, weights: Float[np.ndarray, "draw group"]) -> Float[np.ndarray, "draw example"]:
        """The weights of the examples where groups have these."""
        return weights[:, self.number]


def case_count(n: int, groups: Groups | None) -> int:
    """How many independent cases some examples are: each is one where there are no groups."""
    return n if groups is None else len(groups)


def case_values(
    values: Float[np.ndarray, " example *quantity"], groups: Groups | None
) -> Float[np.ndarray, " case *quantity"]:
    """Values of independent cases that have the same mean as those of the examples, and as spread
    of this mean the one that groups leave it.

    With S a group's sum, k its size, n the number of examples and c that of groups, the value of a
    group is the mean plus (S - mean k) c / n. The variance of the mean is then the sandwich
    estimate of a ratio's, sum (S - mean k)^2 / n^2 times c / (c - 1).

    Args:
        values: What every example gives.
        groups: None where each is a case of its own; its values are returned then.

    Source: Cochran (1977), Sampling Techniques, section 2.9 (a ratio of sums over clusters).

    >>> case_values(np.array([1.0, 1.0, 4.0]), Groups.of("aab")).tolist()
    [0.6666666666666667, 3.3333333333333335]
    """
    if groups is None:
        return values
    mean = values.mean(0)
    apart = groups.sums(np.moveaxis(values - mean, 0, -1))
    return np.asarray(mean + np.moveaxis(apart, -1, 0) * len(groups) / len(values))


def widened(
    drawn: Float[np.ndarray, " resample"], cases: int | None
) -> Float[np.ndarray, " resample"]:
    """Resampled values, moved apart as far as few groups make an interval of resamples too narrow.

    Resamples of c groups vary like a mean whose variance was divided by c, not by c - 1, and their
    percentiles are those of a normal distribution where Student's t has c - 1 degrees of freedom.

    Args:
        drawn: The values of resamples.
        cases: How many groups or queries were resampled, two at least; None where it was examples,
            whose values stay as they are.

    >>> widened(np.array([1.0, 3.0]), 10).round(2).tolist()  # sqrt(10 / 9) 2.262 / 1.960
    [0.78, 3.22]
    """
    if cases is None:
        return drawn
    factor = student.ppf(0.975, cases - 1) / _NORMAL * np.sqrt(cases / (cases - 1))
    return np.asarray(drawn.mean() + (drawn - drawn.mean()) * factor)


def effective_cases(
    values: Float[np.ndarray, "set example"], groups: Groups
) -> Float[np.ndarray, " set"]:
    """How many independent examples would know a mean as well as these in groups do.

    That is the variance of a value over that of the mean, at most the number of examples, times
    Korn and Graubard's factor for a spread that is known from few groups. Where all values are
    equal nothing tells how alike a group is, and each group counts as one example.

    Args:
        values: What every example gives, several times over.
        groups: Two at least.

    Raises:
        HeadscopeError: There is only one group.

    Source: Korn & Graubard (1998), Survey Methodology 24.
    """
    n, count = values.shape[1], len(groups)
    if count < 2:
        raise HeadscopeError(
            "all examples are of one group, so nothing tells how much groups differ: take another "
            "--group, or more examples"
        )
    cases = case_values(values.T.astype(np.float64), groups)
    error = cases.var(0, ddof=1) / count
    spread = values.var(1)
    few = (student.ppf(0.975, max(n - 1, 1)) / student.ppf(0.975, count - 1)) ** 2
    # Groups that do not differ while their examples do leave the examples independent.
    alike = np.divide(spread, error, out=np.full(len(values), float(n)), where=error > 0)
    alike = np.where(spread > 0, np.minimum(alike, n), count)
    return np.asarray(alike * few)
