"""Predicts the loss with a set of heads removed from the sets that were scored already.

A Gaussian process whose prior says what a removed set costs: what each of its heads costs, plus
what each pair of them costs on top. So heads that stand in for each other are learnt from a few
sets that hold both.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import solve_triangular

Sets = Bool[np.ndarray, "set head"]
"""A row per set; True where a head is removed."""

_PAIRS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Prior variances of what a pair costs, relative to that of a head."""
_NOISE = (1e-4, 1e-3, 1e-2, 1e-1)
"""Variances of what heads and pairs do not explain, relative to the mean variance of a set."""


@dataclass(frozen=True)
class Prior:
    """What is believed of the cost of sets before any is scored.

    Attributes:
        pairs: The variance of what a pair of heads costs, relative to that of a head.
        noise: The variance of the rest, relative to the mean variance of the scored sets.
    """

    pairs: float
    noise: float

    def covariance(self, overlap: Float[np.ndarray, "*sets"]) -> Float[np.ndarray, "*sets"]:
        """Of the costs of sets that have so many heads in common."""
        # Sets with c heads in common have c (c - 1) / 2 pairs in common.
        return np.asarray(overlap + self.pairs * overlap * (overlap - 1) / 2)


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A Gaussian process that was fitted to scored sets. Use `Surrogate.fit`.

    Attributes:
        prior: The prior that makes the scored costs most likely.
        evidence: The logarithm of that likelihood, less a constant.
    """

    prior: Prior
    evidence: float
    _sets: Sets
    _scale: float
    _cholesky: Float[np.ndarray, "set set"]
    _weights: Float[np.ndarray, "set"]

    @classmethod
    def fit(
        cls, sets: Sets, costs: Float[np.ndarray, "set"], prior: Prior | None = None
    ) -> "Surrogate":
        """A surrogate of these costs.

        Args:
            sets: Sets that were scored, at least one.
            costs: How much higher the loss was with each.
            prior: Where it is known; by default the likeliest of a grid (type-II maximum
                likelihood).

        Source: Rasmussen & Williams (2006), Gaussian Processes for Machine Learning, algorithm 2.1
        and section 5.4.
        """
        overlap = _overlap(sets, sets)
        if prior is not None:
            return cls._fitted(sets, costs, overlap, prior)
        grid = [Prior(pairs, noise) for pairs in _PAIRS for noise in _NOISE]
        fitted = [cls._fitted(sets, costs, overlap, one) for one in grid]
        return max(fitted, key=lambda surrogate: surrogate.evidence)

    @classmethod
    def _fitted(
        cls,
        sets: Sets,
        costs: Float[np.ndarray, "set"],
        overlap: Float[np.ndarray, "set set"],
        prior: Prior,
    ) -> "Surrogate":
        covariance = prior.covariance(overlap)
        noise = prior.noise * max(float(np.diag(covariance).mean()), 1e-12)
        covariance[np.diag_indices(len(covariance))] += noise
        cholesky = np.linalg.cholesky(covariance)
        white = solve_triangular(cholesky, costs, lower=True)
        # The variance of a head's cost that makes the costs most likely, in closed form.
        scale = max(float(white @ white) / len(costs), 1e-30)
        evidence = -len(costs) * np.log(scale) / 2 - np.log(np.diag(cholesky)).sum()
        weights = solve_triangular(cholesky, white, lower=True, trans=1)
        return cls(prior, float(evidence), sets, scale, cholesky, weights)

    def predict(self, sets: Sets) -> tuple[Float[np.ndarray, "set"], Float[np.ndarray, "set"]]:
        """The expected costs of sets, and their standard deviations."""
        shared = self.prior.covariance(_overlap(sets, self._sets))
        expected = shared @ self._weights
        white = solve_triangular(self._cholesky, shared.T, lower=True)
        before = self.prior.covariance(sets.sum(1).astype(np.float64))
        variance = self._scale * np.maximum(before - (white**2).sum(0), 0.0)
        return expected, np.sqrt(variance)


def _overlap(one: Sets, other: Bool[np.ndarray, "other head"]) -> Float[np.ndarray, "set other"]:
    """How many heads two sets have in common."""
    return one.astype(np.float64) @ other.astype(np.float64).T
