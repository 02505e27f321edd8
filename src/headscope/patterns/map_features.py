"""What the classifier sees of a map: how its rows spread their mass over the places that define the
patterns.

A map is never scaled, which would blur a diagonal that is one token wide: every quantity is taken
from the rows of the map as they are. Then 16 groups of neighbouring rows are averaged, so that maps
of any size become comparable, and what is kept of the groups is their mean, their spread and their
quartiles: a stripe that only half of the rows see has the same mean as a pale one that all see, but
not the same quartiles. Padding never counts.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

GROUPS = 16
PROFILES = (
    "band",
    "wide_band",
    "best_offset",
    "crest",
    "strongest",
    "second",
    "third",
    "fourth",
    "stripes",
    "special",
    "own_text",
    "other_text",
    "own_share",
    "spread",
    "far",
    "evenness",
    "maximum",
)
"""What is taken from every row: see `row_profiles`."""
FEATURES = 5 * len(PROFILES) + 5
_STRIPES = 4
"""How many of the strongest columns count as stripes in short maps."""
_WIDE = 3
"""How many tokens the wide band reaches to either side."""


@dataclass(frozen=True)
class Frame:
    """What is known of the tokens of a batch, the same for all maps of it.

    Attributes:
        real: Which tokens are not padding.
        groups: The weights that average rows into groups.
        kinds: Marks words of the first text, words of the second, and [CLS] and [SEP]; then the
            place of a word and its square, as fractions of the length.
        second: Marks the tokens of the second text.
        place: Where a row is, as a fraction of the length.
        stripes: How many columns count as stripes.
        fixed: The length and whether the example is a pair.
        border: The weights by which `edge` sums the cells of a map: of rows of the first and of
            the second text the mirror images minus the pairs of words on both sides of the border
            (`mirrors`), then both together; None where no example is a pair.
    """

    real: Bool[Tensor, "batch token"]
    groups: Float[Tensor, "batch group token"]
    kinds: Float[Tensor, "batch token 5"]
    second: Float[Tensor, "batch token"]
    place: Float[Tensor, "batch token"]
    stripes: Int[Tensor, "batch"]
    fixed: Float[Tensor, "batch 2"]
    border: Float[Tensor, "batch 4 cell"] | None

    @classmethod
    def of(
        cls,
        real: Bool[Tensor, "batch token"],
        special: Bool[Tensor, "batch token"],
        segment: Int[Tensor, "batch token"],
    ) -> "Frame":
        """The frame of a batch.

        Args:
            real: Which tokens are not padding.
            special: Which tokens are [CLS] or [SEP].
            segment: Which text a token belongs to, 0 or 1.
        """
        lengths = real.sum(-1)
        token = torch.arange(real.shape[1], device=real.device)
        second = ((segment > 0) & real).float()
        is_word = real & ~special
        word = is_word.float()
        place = token / lengths[:, None]
        kinds = [
            word * (1 - second),
            word * second,
            (special & real).float(),
            word * place,
            word * place.square(),
        ]
        border = _border(is_word, segment) if bool(second.any()) else None
        return cls(
            real=real,
            groups=_row_groups(real, lengths, token),
            kinds=torch.stack(kinds, -1),
            second=second,
            place=place,
            stripes=torch.maximum(lengths.clamp_max(_STRIPES), (lengths / 20).ceil().long()),
            fixed=torch.stack([lengths.log2() / 9, second.amax(-1)], -1),
            border=border,
        )


def _row_groups(
    real: Bool[Tensor, "batch token"], lengths: Int[Tensor, "batch"], token: Int[Tensor, "token"]
) -> Float[Tensor, "batch group token"]:
    """The weights that average the rows of a map into groups of neighbouring rows."""
    # By area: a group covers n/16 rows, fractions included, so that short maps work too.
    width = lengths[:, None, None] / GROUPS
    group = torch.arange(GROUPS, device=real.device)[:, None]
    start, end = group * width, (group + 1) * width
    overlap = torch.minimum(token + 1, end) - torch.maximum(token, start)
    return overlap.clamp_min(0.0) * real[:, None] / width


def _border(
    word: Bool[Tensor, "batch token"], segment: Int[Tensor, "batch token"]
) -> Float[Tensor, "batch 4 cell"]:
    """The weights of `Frame.border`."""
    across, mirrored = mirrors(word, segment)
    examples, tokens = word.shape
    # Written in place: for 8,192 tokens this takes a GiB.
    border = torch.empty(examples, 4, tokens, tokens, device=word.device)
    texts = (segment == 0, segment > 0)
    for text, is_in_text in enumerate(texts):
        rows = is_in_text[:, :, None]
        border[:, text] = mirrored & rows
        border[:, text] -= (across & rows).float()
        border[:, 2 + text] = (mirrored | across) & rows
    return border.flatten(2)


def mirrors(
    word: Bool[Tensor, "batch token"], segment: Int[Tensor, "batch token"]
) -> tuple[Bool[Tensor, "batch query key"], Bool[Tensor, "batch query key"]]:
    """Pairs of words of different texts, and the words of the query's own text on its other side,
    as far away.

    Only pairs for which there is such a word: the two masks hold equally many ones, at equal
    distances.
    """
    tokens = word.shape[1]
    position = torch.arange(tokens, device=word.device)
    # [query, key]: the place of the key's mirror image.
    image = 2 * position[:, None] - position
    is_inside = (image >= 0) & (image < tokens)
    image = image.clamp_(0, tokens - 1)
    both_words = word[:, :, None] & word[:, None]
    same_text = (segment[:, :, None] == segment[:, None]) & both_words
    other_text = both_words & ~same_text
    # Mirroring twice gives the row back, so one index serves both directions.
    image = image.expand_as(same_text)
    across = other_text & same_text.gather(2, image) & is_inside
    mirrored = same_text & other_text.gather(2, image) & is_inside
    return across, mirrored


def edge(
    maps: Float[Tensor, "batch head query key"], frame: Frame
) -> Float[Tensor, "batch head 3"]:
    """Is there an edge at the border of the texts? A cloud around the diagonal has none, a block
    has.

    Words of the other text against words of the own at the same distance (`mirrors`): the
    difference of what they get as a fraction of their sum (-1 to 1), the least of the two texts',
    and the sum as a fraction of mass; 0 for single texts.
    """
    if frame.border is None:
        return maps.new_zeros(*maps.shape[:2], 3)
    # One product that reads each map once: [text, batch, head], twice.
    weighted = (maps.flatten(2) @ frame.border.mT).movedim(-1, 0)
    differences, sums = weighted[:2], weighted[2:]
    total = sums.sum(0)
    contrast = differences.sum(0) / total.clamp_min(1e-6)
    least = (differences / sums.clamp_min(1e-6)).amin(0)
    mass = total / frame.real.sum(-1)[:, None]
    return torch.stack([contrast, least, mass], -1)


def features(
    maps: Float[Tensor, "batch head query key"], frame: Frame
) -> Float[Tensor, "batch head feature"]:
    """Of every profile of `row_profiles` the mean, standard deviation, quartiles and median over 16
    groups of rows; the edge between two texts (`edge`); the length (as a binary logarithm, in
    ninths) and whether the map is of a pair.
    """
    by_profile = row_profiles(maps, frame).movedim(-1, 1)  # [batch, profile, head, query]
    grouped = by_profile.flatten(1, 2) @ frame.groups.mT
    # [batch, head, profile, group]
    grouped = grouped.view(*by_profile.shape[:3], GROUPS).movedim(1, 2)
    ordered = _in_order(grouped)
    mean = grouped.mean(-1)
    variance = (grouped - mean[..., None]).square().sum(-1) / (GROUPS - 1)
    # Of 16 groups: the lower quartile, the median and the upper quartile.
    quartiles = [ordered[..., 3], ordered[..., 8], ordered[..., 12]]
    fixed = frame.fixed[:, None].expand(*maps.shape[:2], 2)
    return torch.cat([mean, variance.sqrt(), *quartiles, edge(maps, frame), fixed], -1)


def _in_order(values: Float[Tensor, "*shape value"]) -> Float[Tensor, "*shape value"]:
    """The values of every row, in ascending order."""
    if values.device.type != "cpu":
        return values.sort(-1).values
    # NumPy sorts short rows eight times as fast.
    return torch.from_numpy(np.sort(values.numpy(), -1))


def row_profiles(
    maps: Float[Tensor, "batch head query key"], frame: Frame
) -> Float[Tensor, "batch head query profile"]:
    """What is taken from every row, `PROFILES`; fractions of mass where nothing else is said, 0 for
    padding.

    band: on the previous, the same and the next token; wide_band: up to three tokens away;
    best_offset: on the one of the three that holds most in the whole map; crest: whether the row's
    largest weight is in the band (0 or 1). strongest to fourth: on each of the four columns that
    receive most; stripes: on all four, or one in twenty of all columns if that is more. special: on
    [CLS] and [SEP]; own_text, other_text: on words of the token's own and of the other text;
    own_share: the own text's part of the mass on words; spread: the root of the mass on words times
    their square distance, as a fraction of the length; far: the same divided by the root of their
    mass, the root mean square distance of the words attended to; evenness: over how much of the own
    text its mass is spread, 1 where all its words get the same (the participation ratio: squared
    sum over sum of squares, by its number of words); maximum: the row's largest weight.
    """
    real = frame.real[:, None].to(maps.dtype)
    maximum = maps.amax(-1)

    # Diagonals: [offset, batch, head, query], and of the inner three the one that holds most.
    wide = _diagonals(maps)
    inner = wide[_WIDE - 1 : _WIDE + 2]
    best = (inner * real).sum(-1).argmax(0)
    on_best = inner.gather(0, best[None, ..., None].expand(1, *maps.shape[:3]))[0]

    # Stripes: the weights on the columns that receive most, the strongest first, [..., stripe].
    received = (real[:, :, None] @ maps)[:, :, 0]
    # Not the most of all examples, which only the device knows: as many as the width allows.
    most = _stripes_of(maps.shape[-1])
    top = received.topk(most, -1).indices
    is_stripe = torch.arange(most, device=maps.device) < frame.stripes[:, None]
    columns = maps.gather(-1, top[:, :, None].expand(*maps.shape[:3], most))
    columns = columns * is_stripe[:, None, None]
    four = nn.functional.pad(columns[..., :_STRIPES], (0, max(0, _STRIPES - most)))

    # Mass on words, and how far away they are: sum_j a_ij (i - j)^2, by its binomial terms.
    by_kind = (maps.flatten(1, 2) @ frame.kinds).view(*maps.shape[:3], frame.kinds.shape[-1])
    first, second, special, place, square = by_kind.unbind(-1)
    words = first + second
    query_place = frame.place[:, None]
    squared_distance = square - 2 * query_place * place + query_place.square() * words
    distance = squared_distance.clamp_min(0.0).sqrt()

    # Of the query's own text: the mass on its words, their squared weights and their number.
    in_second = frame.second[:, None]
    of_texts = maps.square().flatten(1, 2) @ frame.kinds[:, :, :2]
    first_squares, second_squares = of_texts.view(*maps.shape[:3], 2).unbind(-1)
    first_count, second_count = frame.kinds[:, :, :2].sum(1)[:, None, None].unbind(-1)
    inside = first * (1 - in_second) + second * in_second
    inside_squares = first_squares * (1 - in_second) + second_squares * in_second
    inside_count = first_count * (1 - in_second) + second_count * in_second
    evenness = inside.square() / (inside_squares * inside_count).clamp_min(1e-12)

    profiles = [
        inner.sum(0),
        wide.sum(0),
        on_best,
        (inner.amax(0) >= maximum).to(maps.dtype),
        *four.unbind(-1),
        columns.sum(-1),
        special,
        inside,
        words - inside,
        inside / words.clamp_min(1e-6),
        distance,
        (distance / words.clamp_min(1e-6).sqrt()).clamp_max(1.0),
        evenness.clamp_max(1.0),
        maximum,
    ]
    # Side by side in memory, as `features` reads them.
    stacked = torch.stack(profiles, 1).mul_(real[:, None])
    return stacked.movedim(1, -1)


def _stripes_of(length: int) -> int:
    """How many columns count as stripes in a map of this length."""
    return min(length, max(_STRIPES, math.ceil(length / 20)))


def _diagonals(
    maps: Float[Tensor, "batch head query key"],
) -> Float[Tensor, "offset batch head query"]:
    """The weight that every token gives each of the tokens up to `_WIDE` places away, from the left
    to the right; 0 where there is none.
    """
    diagonals = maps.new_zeros(2 * _WIDE + 1, *maps.shape[:3])
    length = maps.shape[-1]
    for offset in range(-_WIDE, _WIDE + 1):
        if abs(offset) < length:
            line = diagonals[offset + _WIDE]
            line[..., max(0, -offset) : length - max(0, offset)] = maps.diagonal(offset, -2, -1)
    return diagonals
