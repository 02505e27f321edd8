"""The columns on which the rows of a map agree, and what is left of the map without them.

What makes a map vertical is that its rows look at the same columns, one or fifteen, and that these
columns stand out. What lies beside them makes the other classes: a band along the diagonal, squares
of two texts, or neither. Everything here is taken from averages over 16 groups of neighbouring
rows, a sixteenth to a quarter of a map, so it costs little; padding never counts.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

GROUPS = 16
"""Into how many groups neighbouring rows are averaged."""
_LEVELS = (1.0, 2.0, 3.0)
"""How many times an even share a column gets that stands out."""
_STANDING_OUT, _STEADY = 2.0, (0.3, 0.5, 0.7)
"""From which level on, and how steady over the rows, a column's mass counts."""
_AWAY = ((0, 0), (1, 1), (2, 2), (3, 3), (4, 5), (6, 8), (9, 11), (12, 15))
"""From and to how many groups away from the diagonal the rest is summed."""
_FAR = 2
"""So many groups away from the diagonal a cell is not near."""
COLUMN_FEATURES = 2 * len(_LEVELS) + len(_STEADY) + 4
REST_FEATURES = len(_AWAY) + 6


@dataclass(frozen=True)
class Cells:
    """What is known of the cells of 16 x 16 groups of tokens, the same for all maps of an example.

    Attributes:
        columns: The weights that sum columns into groups.
        sums: The weights that sum cells by their distance from the diagonal (`_AWAY`), then those
            that are not near it, of the own text and of the other.
        own: Of all cells and of those that are not near, the part of their pairs of tokens that are
            of one text.
        far_pairs: How many cells are not near, of the own text and of the other.
    """

    columns: Float[Tensor, "batch token group"]
    sums: Float[Tensor, "batch cell sum"]
    own: Float[Tensor, "batch cell 2"]
    far_pairs: Float[Tensor, "batch 2"]

    @classmethod
    def of(
        cls,
        groups: Float[Tensor, "batch group token"],
        lengths: Int[Tensor, " batch"],
        second: Float[Tensor, "batch token"],
    ) -> "Cells":
        """The cells of a batch.

        Args:
            groups: The weights that average rows into groups.
            lengths: The tokens of every example.
            second: Marks the tokens of the second text.
        """
        columns = groups.mT * (lengths / GROUPS)[:, None, None]
        of_second = (groups @ second[..., None])[..., 0]
        row, column = of_second[:, :, None], of_second[:, None]
        own = (row * column + (1 - row) * (1 - column)).flatten(1)
        place = torch.arange(GROUPS, device=groups.device)
        distance = (place[:, None] - place).abs().flatten()
        ranges = [(distance >= low) & (distance <= high) for low, high in _AWAY]
        by_distance = torch.stack(ranges, -1).to(groups.dtype)
        is_far = (distance >= _FAR).to(groups.dtype)
        far = torch.stack([own * is_far, (1 - own) * is_far], -1)
        sums = torch.cat([by_distance.expand(len(groups), -1, -1), far], -1)
        return cls(columns, sums, torch.stack([own, own * is_far], -1), far.sum(1))


@dataclass(frozen=True)
class Averages:
    """Averages over the rows of every map.

    Attributes:
        all: Over all rows, the mean row.
        groups: Over every group of neighbouring rows.
        shared: How much of a column most rows share: its average over groups as a power mean of
            1/2, which a few dark rows cannot lift, and no more than the rows of either text give
            on average.
    """

    all: Float[Tensor, "batch head token"]
    groups: Float[Tensor, "batch head group token"]
    shared: Float[Tensor, "batch head token"]

    @classmethod
    def of(
        cls, maps: Float[Tensor, "batch head query key"], rows: Float[Tensor, "batch kind query"]
    ) -> "Averages":
        """The averages of maps.

        Args:
            maps: The maps.
            rows: The weights of the rows in the averages, as `row_weights` gives them.
        """
        # One product that reads each map once.
        averages = rows[:, None] @ maps
        every, texts, groups = averages[:, :, 0], averages[:, :, 1:3], averages[:, :, 3:]
        over_groups = groups.sqrt().mean(2).square()
        return cls(every, groups, torch.minimum(over_groups, texts.amin(2)))


def row_weights(
    real: Bool[Tensor, "batch token"],
    second: Float[Tensor, "batch token"],
    groups: Float[Tensor, "batch group token"],
) -> Float[Tensor, "batch kind token"]:
    """The weights by which rows are averaged: all rows, those of the first text, those of the
    second (all where there is none), then the groups.
    """
    every = real.float()
    texts = [every * (1 - second), torch.where(second.any(-1, keepdim=True), second, every)]
    kinds = torch.stack([every, *texts], 1)
    return torch.cat([kinds / kinds.sum(-1, keepdim=True).clamp_min(1.0), groups], 1)


def column_features(
    averages: Averages, lengths: Int[Tensor, " batch"]
) -> Float[Tensor, "batch head feature"]:
    """How much mass lies in columns on which rows agree, and how far these stand out.

    Of two forms of a column's share (what most rows share; the mean times its steadiness, 1 where
    all groups of rows give the same and 1/16 where one gives all) what exceeds one, two and three
    times an even share, and the sum; the mass in columns that get twice an even share or more and
    are steady, for three levels of that; over how many of the columns the mean and the shared mass
    are spread (participation ratio).

    Args:
        averages: Averages over rows.
        lengths: The tokens of every example.
    """
    mean, shared = averages.all, averages.shared
    even = 1 / lengths[:, None, None]
    mean_square = averages.groups.square().mean(2)
    steadiness = mean.square() / mean_square.clamp_min(1e-12)
    parts = []
    for form in (shared, mean * steadiness):
        parts += [(form - level * even).clamp_min_(0.0).sum(-1) for level in _LEVELS]
        parts.append(form.sum(-1))
    standing_out = mean * (mean > _STANDING_OUT * even)
    parts += [(standing_out * (steadiness > least)).sum(-1) for least in _STEADY]
    for form in (mean, shared):
        spread = form.sum(-1).square() / form.square().sum(-1).clamp_min(1e-12)
        parts.append(spread * even[..., 0])
    return torch.stack(parts, -1)


def rest_features(averages: Averages, cells: Cells) -> Float[Tensor, "batch head feature"]:
    """Where that lies which groups of rows give to groups of columns beyond what rows share: its
    mass, and the parts of it by distance from the diagonal; of what is not near, how much the own
    and the other text get, and the former's part of both for equally many pairs; over how much of
    the own text it is spread (participation ratio), all of it and what is not near.
    """
    of_columns = averages.groups @ cells.columns[:, None]
    of_shared = averages.shared[:, :, None] @ cells.columns[:, None]
    rest = (of_columns - of_shared).clamp_min_(0.0).flatten(2)
    # [batch, head, sum]
    sums = rest @ cells.sums
    by_distance, far = sums[..., : len(_AWAY)], sums[..., len(_AWAY) :]
    mass = by_distance.sum(-1, keepdim=True)
    own_rate, other_rate = (far / cells.far_pairs[:, None].clamp_min(1e-6)).unbind(-1)
    own_share = own_rate / (own_rate + other_rate).clamp_min(1e-9)
    is_pair = cells.far_pairs[:, None, 1] > 0
    on_own = rest @ cells.own
    on_own_squares = rest.square() @ cells.own
    pairs = cells.own.sum(1)[:, None]
    evenness = on_own.square() / (on_own_squares * pairs).clamp_min(1e-12)
    return torch.cat(
        [
            mass / GROUPS,
            by_distance / mass.clamp_min(1e-6),
            far / GROUPS,
            (own_share * is_pair)[..., None],
            evenness,
        ],
        -1,
    )
