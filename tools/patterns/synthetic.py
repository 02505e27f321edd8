"""Maps made by a recipe, with a known answer: they help training and never count in a score.

A map is a mixture of stripes, a diagonal, mass on words of the own text, and a rest (curtains,
grain, clouds, lines in other places). The shares of the four say what it is; mixtures near a border
between classes are not made.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from headscope.names import CLASSES

Matrix = Float[np.ndarray, "query key"]
_SHORTEST = {"vertical+diagonal": 8, "block": 9, "heterogeneous": 8}


@dataclass(frozen=True)
class SyntheticMap:
    """A map with the kinds of its tokens and its class."""

    weights: Matrix
    special: tuple[bool, ...]
    segments: tuple[int, ...]
    label: str


def synthetic_set(per_class: int, lengths: tuple[int, int], seed: int) -> list[SyntheticMap]:
    """`per_class` maps of every class, their lengths spread evenly over the logarithm."""
    rng = np.random.default_rng(seed)
    low, high = np.log(lengths[0]), np.log(lengths[1] + 1)
    return [
        synthetic(label, max(int(np.exp(rng.uniform(low, high))), _SHORTEST.get(label, 0)), rng)
        for label in CLASSES
        for _ in range(per_class)
    ]


def synthetic(label: str, n: int, rng: np.random.Generator) -> SyntheticMap:
    """A map of `n` tokens of the class `label`, strengths and details drawn at random."""
    pair = label == "block" or bool(n >= 8 and rng.random() < 0.6)
    special, segments = tokens_of(n, pair, rng)
    text = np.array(segments)
    shares = _shares(label, rng)
    parts = (
        _stripes(n, np.flatnonzero(special), rng),
        _diagonal(n, rng),
        _inside(text, rng) if pair else _rest(text, rng),
        _rest(text, rng),
    )
    # Rows differ in how they mix: a dotted diagonal beside a broken stripe is both.
    evenness = np.exp(rng.uniform(np.log(1.5), np.log(60)))
    mix = rng.gamma(evenness, size=(n, 4)) * shares
    mix /= mix.sum(1, keepdims=True)
    # The mixing noise must not move the shares over a border.
    mix *= shares / np.maximum(mix.mean(0), 1e-9)
    weights = _rows(sum(mix[:, k, None] * parts[k] for k in range(4)) + 1e-9)
    return SyntheticMap(weights.astype(np.float32), special, segments, label)


def tokens_of(
    n: int, pair: bool, rng: np.random.Generator
) -> tuple[tuple[bool, ...], tuple[int, ...]]:
    """The kinds of `n` tokens: [CLS] a a [SEP], or [CLS] a a [SEP] b b [SEP] with the border at a
    random place.
    """
    special = np.zeros(n, bool)
    special[[0, -1]] = True
    segments = np.zeros(n, np.int64)
    if pair:
        border = int(np.clip(round(n * rng.uniform(0.25, 0.75)), 3, n - 3))
        special[border - 1] = True
        segments[border:] = 1
    return tuple(special.tolist()), tuple(segments.tolist())


def _shares(label: str, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Shares of stripes, diagonal, own text and rest that make a clear case of the class."""
    while True:
        s, d, i, r = rng.dirichlet((0.7, 0.7, 0.5, 0.7))
        is_label = {
            "vertical": s >= 0.48 and d <= 0.08,
            "diagonal": d >= 0.5 and s <= 0.12,
            "vertical+diagonal": s >= 0.22 and d >= 0.2 and s + d >= 0.6,
            "block": i >= 0.5 and s <= 0.36 and d <= 0.15 and r <= 0.2,
            "heterogeneous": s <= 0.36 and d <= 0.12 and i <= 0.25,
        }[label]
        if is_label:
            return np.array([s, d, i, r])


def _stripes(n: int, special: npt.NDArray[np.int64], rng: np.random.Generator) -> Matrix:
    places = rng.permutation(special)[: max(1, min(int(rng.integers(1, 4)), n // 4))]
    if rng.random() < 0.25:
        places = rng.permutation(n)[: len(places)]
    out = np.zeros((n, n))
    out[:, places] = (
        rng.gamma(rng.uniform(1, 6), size=(n, len(places))) * rng.gamma(2, size=len(places)) + 1e-6
    )
    return _rows(out)


def _diagonal(n: int, rng: np.random.Generator) -> Matrix:
    at = np.arange(n)
    wander = np.round(
        np.cumsum(rng.normal(0, 0.25, n)) if rng.random() < 0.2 else np.zeros(n)
    ).clip(-1, 1)
    away = np.abs(at[None] - at[:, None] - rng.integers(-1, 2) - wander[:, None])
    return _rows(np.exp(-away / rng.uniform(0.05, 0.7)) * rng.uniform(0.4, 1, (n, n)) + 1e-9)


def _inside(text: npt.NDArray[np.int64], rng: np.random.Generator) -> Matrix:
    n = len(text)
    grain = rng.gamma(rng.uniform(0.3, 4), size=(n, n)) * (
        rng.gamma(2, size=n)[None] if rng.random() < 0.4 else 1
    )
    near = np.exp(-np.abs(np.arange(n)[None] - np.arange(n)[:, None]) / (n * rng.uniform(0.1, 1)))
    return _rows((grain * near + 1e-6) * np.equal.outer(text, text))


def _rest(text: npt.NDArray[np.int64], rng: np.random.Generator) -> Matrix:
    """What is none of the other three: a curtain, grain, a cloud, lines in other places, or a
    mixture.
    """
    n = len(text)
    at = np.arange(n)
    grain = rng.gamma(rng.uniform(0.1, 3), size=(n, n)) + 1e-6
    curtain = rng.gamma(rng.uniform(0.8, 3), size=n)[None] * rng.gamma(3, size=(n, n)) + 1e-6
    cloud = np.exp(-np.abs(at[None] - at[:, None]) / max(4.0, n * rng.uniform(0.08, 0.3))) * grain
    lines = np.full((n, n), 1e-4)
    for _ in range(int(rng.integers(1, 4))):
        far = int(rng.integers(4, max(5, n - 1))) * int(rng.choice([-1, 1]))
        lines += np.eye(n, k=far) * (rng.random((n, 1)) < 0.6)
    kinds = [
        _rows(x)
        for x in (grain, np.minimum(curtain, np.quantile(curtain, 0.9)), cloud, lines + 0.02)
    ]
    kept = rng.dirichlet(np.full(4, 0.4)) * (
        np.array([1, 1, 1, 1]) if n >= 16 else np.array([1, 0.5, 0, 0])
    )
    return _rows(sum(w * k for w, k in zip(kept / kept.sum(), kinds, strict=True)) + 1e-9)


def _rows(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(x / x.sum(1, keepdims=True))
