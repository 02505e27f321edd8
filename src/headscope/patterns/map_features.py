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

from headscope.patterns.columns import (
    COLUMN_FEATURES,
    GROUPS,
    REST_FEATURES,
    Averages,
    Cells,
    column_features,
    rest_features,
    row_weights,
)

PROFILES = (
    "band",
    "wide_band",
    "best_offset",
    "strongest",
    "second",
    "third",
    "fourth",
    "stripes",
    "own_text",
    "other_text",
    "own_share",
    "agreement",
    "rest_crest",
    "rest_offset",
    "rest_band",
    "rest_wide",
    "rest_near",
)
"""What is taken from every row: see `row_profiles`."""
FEATURES = 5 * len(PROFILES) + COLUMN_FEATURES + REST_FEATURES + 5
_STRIPES = 4
"""How many of the strongest columns count as stripes in short maps."""
_WIDE = 3
"""How many tokens the wide band reaches to either side."""
_CELLS = 2**18
"""How many cells of maps are looked at together on a processor."""
_TENTH = 20
"""A band of a tenth of the tokens reaches to a twentieth of them on either side."""


@dataclass(frozen=True)
class Frame:
    """What is known of the tokens of a batch, the same for all maps of it.

    Attributes:
        real: Which tokens are not padding.
        lengths: How many tokens are not padding.
        groups: The weights that average rows into groups.
        rows: The weights of `row_weights`.
        cells: What is known of the cells of 16 x 16 groups of tokens.
        kinds: Marks words of the first text and words of the second.
        second: Marks the tokens of the second text.
        stripes: How many columns count as stripes.
        fixed: The length and whether the example is a pair.
        border: The weights by which `edge` sums the cells of a map: of rows of the first and of
            the second text the mirror images minus the pairs of words on both sides of the border
            (`mirrors`), then both together; None where no example is a pair.
    """

    real: Bool[Tensor, "batch token"]
    lengths: Int[Tensor, " batch"]
    groups: Float[Tensor, "batch group token"]
    rows: Float[Tensor, "batch kind token"]
    cells: Cells
    kinds: Float[Tensor, "batch token 2"]
    second: Float[Tensor, "batch token"]
    stripes: Int[Tensor, " batch"]
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
        kinds = torch.stack([word * (1 - second), word * second], -1)
        border = _border(is_word, segment) if bool(second.any()) else None
        groups = _row_groups(real, lengths, token)
        return cls(
            real=real,
            lengths=lengths,
            groups=groups,
            rows=row_weights(real, second, groups),
            cells=Cells.of(groups, lengths, second),
            kinds=kinds,
            second=second,
            stripes=torch.maximum(lengths.clamp_max(_STRIPES), (lengths / 20).ceil().long()),
            fixed=torch.stack([lengths.log2() / 9, second.amax(-1)], -1),
            border=border,
        )


def _row_groups(
    real: Bool[Tensor, "batch token"], lengths: Int[Tensor, " batch"], token: Int[Tensor, " token"]
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
    groups of rows; how rows agree on columns (`column_features`), and where the rest lies
    (`rest_features`); the edge between two texts (`edge`); the length (as a binary logarithm, in
    ninths) and whether the map is of a pair.
    """
    averages = Averages.of(maps, frame.rows)
    by_profile = _profiles(maps, averages, frame).movedim(-1, 1)
    grouped = by_profile.flatten(1, 2) @ frame.groups.mT
    # [batch, head, profile, group]
    grouped = grouped.view(*by_profile.shape[:3], GROUPS).movedim(1, 2)
    ordered = _in_order(grouped)
    mean = grouped.mean(-1)
    variance = (grouped - mean[..., None]).square().sum(-1) / (GROUPS - 1)
    parts = [
        mean,
        variance.sqrt(),
        # Of 16 groups: the lower quartile, the median and the upper quartile.
        ordered[..., 3],
        ordered[..., 8],
        ordered[..., 12],
        column_features(averages, frame.lengths),
        rest_features(averages, frame.cells),
        edge(maps, frame),
        frame.fixed[:, None].expand(*maps.shape[:2], 2),
    ]
    return torch.cat(parts, -1)


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
    best_offset: on the one of the three that holds most in the whole map. strongest to fourth: on
    each of the four columns that receive most; stripes: on all four, or one in twenty of all
    columns if that is more. own_text, other_text: on words of the token's own and of the other
    text; own_share: the own text's part of the mass on words.

    agreement: how much of its mass the row has in common with what most rows share of every column
    (`Averages.shared`). What it has beyond that, outside of the strongest columns, is the rest;
    rest_crest: whether the largest weight of the rest is in the band (0 or 1); rest_offset,
    rest_band, rest_wide, rest_near: the part of the rest on the one of three diagonals that holds
    most of it, in either band, and in a band of a tenth of the tokens.
    """
    return _profiles(maps, Averages.of(maps, frame.rows), frame)


def _profiles(
    maps: Float[Tensor, "batch head query key"], averages: Averages, frame: Frame
) -> Float[Tensor, "batch head query profile"]:
    """What `row_profiles` says, for maps whose averages over rows are known."""
    real = frame.real[:, None].to(maps.dtype)

    # Stripes: the weights on the columns that receive most, the strongest first, [..., stripe].
    # Not the most of all examples, which only the device knows: as many as the width allows.
    most = _stripes_of(maps.shape[-1])
    top = averages.all.topk(most, -1).indices
    is_stripe = torch.arange(most, device=maps.device) < frame.stripes[:, None]
    columns = maps.gather(-1, top[:, :, None].expand(*maps.shape[:3], most))
    columns = columns * is_stripe[:, None, None]
    four = nn.functional.pad(columns[..., :_STRIPES], (0, max(0, _STRIPES - most)))

    # What is on stripes beyond what rows share, and what is elsewhere: no weight is above 1.
    on_stripes = (columns - averages.shared.gather(-1, top)[:, :, None]).clamp_min_(0.0)
    stripe = torch.where(is_stripe[:, None], top, top[..., :1])
    shared = averages.shared.scatter(-1, stripe, 1.0)
    rest, maximum = _beyond(maps, shared)
    left = rest.clamp_min(1e-3)

    # Diagonals: [offset, batch, head, query].
    reach = max(_WIDE, maps.shape[-1] // _TENTH)
    diagonals = _diagonals(maps, reach)
    beyond_diagonals = (diagonals - _shifted(shared, reach)).clamp_min_(0.0)
    wide = slice(reach - _WIDE, reach + _WIDE + 1)
    inner = slice(reach - 1, reach + 2)
    offsets = torch.arange(-reach, reach + 1, device=maps.device).abs()
    near = (frame.lengths // _TENTH).clamp_min(1)
    is_near = (offsets[:, None] <= near)[..., None, None]
    beyond_band = beyond_diagonals[inner]

    # Mass on words of the query's own text and of the other.
    by_kind = (maps.flatten(1, 2) @ frame.kinds).view(*maps.shape[:3], frame.kinds.shape[-1])
    first, second = by_kind.unbind(-1)
    words = first + second
    inside = torch.where(frame.second[:, None] > 0, second, first)

    profiles = [
        diagonals[inner].sum(0),
        diagonals[wide].sum(0),
        _best(diagonals[inner], real),
        *four.unbind(-1),
        columns.sum(-1),
        inside,
        words - inside,
        inside / words.clamp_min(1e-6),
        1 - rest - on_stripes.sum(-1),
        (beyond_band.amax(0) >= maximum).to(maps.dtype) * (maximum > 1e-6),
        _best(beyond_band, real) / left,
        beyond_band.sum(0) / left,
        beyond_diagonals[wide].sum(0) / left,
        (beyond_diagonals * is_near).sum(0) / left,
    ]
    # Side by side in memory, as `features` reads them.
    stacked = torch.stack(profiles, 1).mul_(real[:, None])
    return stacked.movedim(1, -1)


def _beyond(
    maps: Float[Tensor, "batch head query key"], columns: Float[Tensor, "batch head key"]
) -> tuple[Float[Tensor, "batch head query"], Float[Tensor, "batch head query"]]:
    """Of what every row gives beyond what belongs to the column: the sum, and the most."""
    examples = len(maps)
    if maps.device.type == "cpu":
        # As many as stay in the cache of a core: twice as fast as all at once.
        examples = max(1, _CELLS // max(1, maps[:1].numel()))
    sums, most = [], []
    for part, of_part in zip(
        torch.split(maps, examples), torch.split(columns, examples), strict=True
    ):
        beyond = (part - of_part[:, :, None]).clamp_min_(0.0)
        sums.append(beyond.sum(-1))
        most.append(beyond.amax(-1))
    return torch.cat(sums), torch.cat(most)


def _shifted(
    columns: Float[Tensor, "batch head key"], reach: int
) -> Float[Tensor, "offset batch head query"]:
    """What belongs to each of the tokens up to `reach` places away, from the left to the right."""
    length = columns.shape[-1]
    padded = nn.functional.pad(columns, (reach, reach))
    return padded.unfold(-1, length, 1).movedim(-2, 0)


def _best(
    diagonals: Float[Tensor, "offset batch head query"], real: Float[Tensor, "batch 1 query"]
) -> Float[Tensor, "batch head query"]:
    """The diagonal that holds most in the whole map."""
    best = (diagonals * real).sum(-1).argmax(0)
    index = best[None, ..., None].expand(1, *diagonals.shape[1:])
    return diagonals.gather(0, index)[0]


def _stripes_of(length: int) -> int:
    """How many columns count as stripes in a map of this length."""
    return min(length, max(_STRIPES, math.ceil(length / 20)))


def _diagonals(
    maps: Float[Tensor, "batch head query key"], reach: int
) -> Float[Tensor, "offset batch head query"]:
    """The weight that every token gives each of the tokens up to `reach` places away, from the left
    to the right; 0 where there is none.
    """
    diagonals = maps.new_zeros(2 * reach + 1, *maps.shape[:3])
    length = maps.shape[-1]
    for offset in range(-reach, reach + 1):
        if abs(offset) < length:
            line = diagonals[offset + reach]
            line[..., max(0, -offset) : length - max(0, offset)] = maps.diagonal(offset, -2, -1)
    return diagonals
