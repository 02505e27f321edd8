"""Maps made by a recipe, with a known answer: they help training and never count in a score.

A map is a mixture of stripes, a diagonal, mass on words of the own text, and a rest (curtains,
grain, clouds, lines in other places). The shares of the four say what it is; mixtures near a border
between classes are not made.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from headscope.names import (
    BLOCK,
    CLASSES,
    DIAGONAL,
    HETEROGENEOUS,
    VERTICAL,
    VERTICAL_DIAGONAL,
)
from headscope.patterns.columns import GROUPS

Matrix = Float[np.ndarray, "query key"]
_SHORTEST = {VERTICAL_DIAGONAL: 8, BLOCK: 9, HETEROGENEOUS: 8}
"""The fewest tokens that show some classes."""


@dataclass(frozen=True)
class LabelledMap:
    """A map with the kinds of its tokens and its class.

    Attributes:
        weights: The attention weights, rows summing to 1.
        special: Which tokens are [CLS] or [SEP].
        segments: Which text a token belongs to, 0 or 1.
        label: The class.
    """

    weights: Matrix
    special: tuple[bool, ...]
    segments: tuple[int, ...]
    label: str


def synthetic_set(per_class: int, lengths: tuple[int, int], seed: int) -> list[LabelledMap]:
    """`per_class` maps of every class, their lengths spread evenly over the logarithm."""
    rng = np.random.default_rng(seed)
    low, high = np.log(lengths[0]), np.log(lengths[1] + 1)
    maps = []
    for label in CLASSES:
        for _ in range(per_class):
            tokens = int(np.exp(rng.uniform(low, high)))
            maps.append(synthetic(label, max(tokens, _SHORTEST.get(label, 0)), rng))
    return maps


def synthetic(label: str, n: int, rng: np.random.Generator) -> LabelledMap:
    """A map of `n` tokens of the class `label`, strengths and details drawn at random."""
    pair = label == BLOCK or bool(n >= 8 and rng.random() < 0.6)
    special, segments = tokens_of(n, pair, rng)
    text = np.array(segments)
    shares = _shares(label, rng)
    parts = (
        _stripes(n, np.flatnonzero(special), rng),
        _diagonal(n, rng),
        _inside(text, rng) if pair else _rest(text, rng),
        _rest(text, rng),
    )
    # Rows differ in how they mix: a dotted diagonal beside a broken stripe is both. [query, part]
    evenness = np.exp(rng.uniform(np.log(1.5), np.log(60)))
    mix = rng.gamma(evenness, size=(n, 4)) * shares
    mix /= mix.sum(1, keepdims=True)
    # The mixing noise must not move the shares over a border.
    mix *= shares / np.maximum(mix.mean(0), 1e-9)
    mixture = sum(mix[:, index, None] * part for index, part in enumerate(parts))
    weights = _normalised(mixture + 1e-9)
    return LabelledMap(weights.astype(np.float32), special, segments, label)


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
        shares = rng.dirichlet((0.7, 0.7, 0.5, 0.7))
        stripes, diagonal, inside, rest = shares
        is_clear = {
            VERTICAL: stripes >= 0.48 and diagonal <= 0.04,
            DIAGONAL: diagonal >= 0.5 and stripes <= 0.12,
            VERTICAL_DIAGONAL: (stripes >= 0.22 and diagonal >= 0.12 and stripes + diagonal >= 0.6),
            BLOCK: inside >= 0.5 and stripes <= 0.36 and diagonal <= 0.15 and rest <= 0.2,
            HETEROGENEOUS: stripes <= 0.36 and diagonal <= 0.12 and inside <= 0.25,
        }
        if is_clear[label]:
            return np.asarray(shares)


def _stripes(n: int, special: npt.NDArray[np.int64], rng: np.random.Generator) -> Matrix:
    """One to three columns, mostly of special tokens, or in a third of the maps up to fifteen
    anywhere; uneven over the rows.
    """
    if rng.random() < 1 / 3:
        most = max(1, min(15, n // 5))
        places = rng.permutation(n)[: int(rng.integers(1, most + 1))]
    else:
        places = rng.permutation(special)[: max(1, min(int(rng.integers(1, 4)), n // 4))]
    weights = np.zeros((n, n))
    grain = rng.gamma(rng.uniform(1, 6), size=(n, len(places)))
    strengths = rng.gamma(2, size=len(places))
    weights[:, places] = grain * strengths + 1e-6
    return _normalised(weights)


def _diagonal(n: int, rng: np.random.Generator) -> Matrix:
    """A line beside or on the diagonal, or in two fifths of the maps a band that wanders, up to a
    tenth of the tokens wide and no farther off.
    """
    position = np.arange(n)
    reach = max(1.0, n / 20)
    is_band = rng.random() < 0.4
    drift = np.cumsum(rng.normal(0, 0.35, n)) if is_band else np.zeros(n)
    wander = np.round(drift).clip(-reach, reach)
    away = np.abs(position[None] - position[:, None] - rng.integers(-1, 2) - wander[:, None])
    falloff = np.exp(-away / rng.uniform(0.05, reach / 2 if is_band else 0.7))
    return _normalised(falloff * rng.uniform(0.4, 1, (n, n)) + 1e-9)


def _inside(text: npt.NDArray[np.int64], rng: np.random.Generator) -> Matrix:
    """Mass on the own text, more or less even and more or less near."""
    n = len(text)
    grain = rng.gamma(rng.uniform(0.3, 4), size=(n, n))
    grain = grain * (rng.gamma(2, size=n)[None] if rng.random() < 0.4 else 1)
    near = np.exp(-_distances(n) / (n * rng.uniform(0.1, 1)))
    return _normalised((grain * near + 1e-6) * np.equal.outer(text, text))


def _rest(text: npt.NDArray[np.int64], rng: np.random.Generator) -> Matrix:
    """What is none of the other three: a curtain, grain, a cloud, lines in other places, or a
    mixture.
    """
    n = len(text)
    grain = rng.gamma(rng.uniform(0.1, 3), size=(n, n)) + 1e-6
    curtain = rng.gamma(rng.uniform(0.8, 3), size=n)[None] * rng.gamma(3, size=(n, n)) + 1e-6
    # Columns that less than half of the rows see.
    seen = rng.random((GROUPS, n)) < rng.uniform(0.15, 0.4)
    curtain = curtain * (np.repeat(seen, -(-n // GROUPS), axis=0)[:n] + 0.1)
    cloud = np.exp(-_distances(n) / max(4.0, n * rng.uniform(0.08, 0.3))) * grain
    lines = np.full((n, n), 1e-4)
    for _ in range(int(rng.integers(1, 4))):
        offset = int(rng.integers(4, max(5, n - 1))) * int(rng.choice([-1, 1]))
        lines += np.eye(n, k=offset) * (rng.random((n, 1)) < 0.6)
    kinds = [_normalised(kind) for kind in (grain, curtain, cloud, lines + 0.02)]
    # In short maps a cloud is a diagonal, and a line in another place is not far.
    allowed = np.array([1, 1, 1, 1]) if n >= 16 else np.array([1, 0.5, 0, 0])
    mix = rng.dirichlet(np.full(4, 0.4)) * allowed
    shares = mix / mix.sum()
    mixture = sum(share * kind for share, kind in zip(shares, kinds, strict=True))
    return _normalised(mixture + 1e-9)


def _distances(n: int) -> Matrix:
    position = np.arange(float(n))
    return np.asarray(np.abs(position[None] - position[:, None]))


def _normalised(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The weights with rows summing to 1."""
    return np.asarray(weights / weights.sum(1, keepdims=True))
