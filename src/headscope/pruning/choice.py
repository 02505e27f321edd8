"""How many heads are kept: the fewest whose score stays within the margin, or a share of all."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from headscope.errors import HeadscopeError


def fewest_kept(scores: Float[np.ndarray, " removed"], margin: float) -> int:
    """How many heads can be removed so that the score stays within a margin of the whole model's.

    The scores of the path rise and fall with its examples. Taken one by one, the last that happens
    to lie within the margin would be chosen; so a falling curve is fitted first (isotonic
    regression), and the curve is compared with the whole model's own score.

    Args:
        scores: On examples that the search did not see, by the number of removed heads from 0 on,
            in points.
        margin: In points.

    Returns:
        The number of removed heads; 0 where no set is within the margin.

    >>> fewest_kept(np.array([90.0, 89.0, 91.0, 80.0, 89.5, 50.0]), margin=1.0)
    2
    """
    from sklearn.isotonic import isotonic_regression

    curve = isotonic_regression(scores, increasing=False)
    # Rounding must not decide.
    within = np.flatnonzero(curve >= scores[0] - margin - 1e-9)
    return int(within.max(initial=0))


def kept_counts(shares: Sequence[float], heads: int) -> list[int]:
    """How many heads are kept for each share, to the nearest whole number, each once.

    Raises:
        HeadscopeError: A share keeps all heads of the model, or none.

    >>> kept_counts([0.5, 0.25], 72)
    [36, 18]
    """
    counts = [round(share * heads) for share in shares]
    for share, count in zip(shares, counts, strict=True):
        if not 0 < count < heads:
            raise HeadscopeError(
                f"--keep {share:g} keeps {count} of {heads} heads: give shares that keep at least "
                f"one head and remove at least one, from {1 / heads:.2f} to {1 - 1 / heads:.2f}"
            )
    return list(dict.fromkeys(counts))


def shares_of(spec: str) -> list[float]:
    """The shares that `--keep` lists.

    Raises:
        HeadscopeError: One is not a number between 0 and 1.

    >>> shares_of("0.5, 0.25")
    [0.5, 0.25]
    """
    shares = []
    for word in spec.split(","):
        try:
            share = float(word)
        except ValueError:
            share = float("nan")
        if not 0 < share < 1:
            raise HeadscopeError(
                f"--keep {spec!r} is not understood: give shares of the heads between 0 and 1, "
                "joined by commas, as in 0.5,0.25"
            )
        shares.append(share)
    return shares
