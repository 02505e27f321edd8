"""Means over links with sentences as clusters: the sums that they need, by group and head.

The links of a sentence are not independent cases, so a standard error that took them for such would
be too small. The sums of two shards of a corpus add up to the sums of the whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from scipy.stats import t as student
from torch import Tensor

from headscope.stats.changes import share_change
from headscope.stats.means import FEWEST
from headscope.stats.paired import wilson

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Clustered:
    """Sums over links. The links of one sentence and group form a cluster.

    Attributes:
        n: Number of links, [group].
        n_squared: Sum over clusters of the squared size, [group].
        clusters: Number of clusters, [group].
        total: Sum of the values, [group, layer, head].
        squares: Sum over clusters of the squared total, [group, layer, head].
        cross: Sum over clusters of total times size, [group, layer, head].
    """

    n: Array
    n_squared: Array
    clusters: Array
    total: Array
    squares: Array
    cross: Array

    @classmethod
    def zero(cls, groups: int, layers: int, heads: int) -> "Clustered":
        """The sums over no links."""
        shape = (groups, layers, heads)
        return cls(
            n=np.zeros(groups),
            n_squared=np.zeros(groups),
            clusters=np.zeros(groups),
            total=np.zeros(shape),
            squares=np.zeros(shape),
            cross=np.zeros(shape),
        )

    def __add__(self, other: "Clustered") -> "Clustered":
        added = {name: array + getattr(other, name) for name, array in vars(self).items()}
        return Clustered(**added)

    @property
    def mean(self) -> Array:
        """Mean over links, [group, layer, head]; NaN for a group without links."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.total / self.n[:, None, None]

    @property
    def error(self) -> Array:
        """Standard error of the mean, [group, layer, head]; NaN for fewer than two clusters.

        The sandwich estimate for a ratio: with S a cluster's total, k its size and c the number of
        clusters, the variance is the sum of (S - mean k)^2 over n^2, times c / (c - 1).
        """
        n = self.n[:, None, None]
        clusters = self.clusters[:, None, None]
        mean = self.mean
        # The sum of (S - mean k)^2, multiplied out so that sums of S^2, S k and k^2 are enough.
        spread = self.squares - 2 * mean * self.cross + mean**2 * self.n_squared[:, None, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = np.maximum(spread, 0.0) / n**2 * clusters / (clusters - 1)
        return np.where(clusters > 1, np.sqrt(variance), np.nan)

    def interval(self) -> tuple[Array, Array]:
        """Student's t 95% interval of the mean: lower and upper end, each [group, layer, head].

        NaN for fewer than `FEWEST` clusters, and where all links have the same value.
        """
        mean, error = self.mean, self.error
        clusters = self.clusters[:, None, None]
        is_known = (clusters >= FEWEST) & (error > 0)
        half = student.ppf(0.975, clusters - 1) * np.where(is_known, error, np.nan)
        return mean - half, mean + half

    def share_interval(self) -> tuple[Array, Array]:
        """Wilson's 95% interval for a mean of zeros and ones, with the effective number of cases.

        That is how many independent cases would have the same standard error, at most `n`, times
        Korn and Graubard's factor for an error that is known from few clusters; where all values
        are equal, the number of clusters takes its place.

        Returns:
            The lower and the upper end, each [group, layer, head].

        Source: Korn & Graubard (1998), Survey Methodology 24.
        """
        mean, error = self.mean, self.error
        n = np.broadcast_to(self.n[:, None, None], mean.shape)
        clusters = np.broadcast_to(self.clusters[:, None, None], mean.shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            # A single case has the variance mean (1 - mean), their mean that over their number.
            cases = np.where(error > 0, np.minimum(mean * (1 - mean) / error**2, n), clusters)
            # One cluster is one case, whose error nothing tells.
            few = (student.ppf(0.975, n - 1) / student.ppf(0.975, clusters - 1)) ** 2
            cases = np.where(clusters > 1, cases * few, cases)
            return wilson(mean * cases, cases)

    def share_change_interval(self) -> tuple[Array, Array]:
        """As `interval`, for the difference of two means of zeros and ones over the same links.

        Where all links have the same value it is Tango's score interval, a cluster being a case.
        """
        low, high = self.interval()
        mean = self.mean
        clusters = np.broadcast_to(self.clusters[:, None, None], mean.shape)
        is_alike = (clusters >= FEWEST) & (self.error == 0)
        # Placeholders where there is a spread.
        cases = np.where(is_alike, clusters, 1.0)
        change = np.where(is_alike, mean, 0.0)
        won, lost = np.maximum(change, 0) * cases, np.maximum(-change, 0) * cases
        alike_low, alike_high = share_change(lost, won, cases)
        return np.where(is_alike, alike_low, low), np.where(is_alike, alike_high, high)

    def less_interval(self, control: "Clustered") -> tuple[Array, Array]:
        """The 95% interval of a share less the mean of its control, over the same links.

        The ends of both intervals are put together as those of independent means are, with the
        share's own interval: where no link is hit it is wide, and that of the difference is not.
        NaN for fewer than `FEWEST` clusters.

        Source: Newcombe (1998), Statistics in Medicine 17, method 10; Zou & Donner (2008), same
        journal 27.
        """
        share, other = self.mean, control.mean
        share_low, share_high = self.share_interval()
        # A control that is the same in all sentences is taken for known.
        control_low, control_high = np.where(control.error > 0, control.interval(), other)
        low = share - other - np.hypot(share - share_low, control_high - other)
        high = share - other + np.hypot(share_high - share, other - control_low)
        is_known = self.clusters[:, None, None] >= FEWEST
        return np.where(is_known, low, np.nan), np.where(is_known, high, np.nan)

    def p_values(self) -> Array:
        """p-value that the mean is not above 0 (Student's t), [group, layer, head].

        It is twice the one-sided one: above 0 that of the two-sided test, below 0 it is 1. A mean
        below 0 is not tested, since hits are rare: where none occurred, those that would have
        widened the error did not occur either, and a test finds too many such means. NaN for fewer
        than `FEWEST` clusters; and never below 2 / 2^clusters, the least that a test can give which
        only asks how likely so many clusters have the same sign.
        """
        clusters = self.clusters[:, None, None]
        mean, error = self.mean, self.error
        # Without spread t is infinite, unless the mean is 0.
        t = np.where(mean == 0, 0.0, np.copysign(np.inf, mean))
        np.divide(mean, error, out=t, where=error > 0)
        p = np.maximum(2 * student.sf(t, clusters - 1), 2.0 ** (1 - clusters))
        return np.where(clusters >= FEWEST, np.minimum(p, 1.0), np.nan)

    def arrays(self, name: str) -> dict[str, Array]:
        """The sums as named arrays, for a file; `from_arrays` is the way back."""
        return {f"{name}/{field}": array for field, array in vars(self).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], name: str) -> "Clustered":
        """The sums that `arrays(name)` made into named arrays."""
        return cls(**{field.name: arrays[f"{name}/{field.name}"] for field in fields(cls)})

    def groups(self, indices: npt.ArrayLike) -> "Clustered":
        """The groups with these indices, in this order."""
        rows = np.asarray(indices)
        return Clustered(**{name: array[rows] for name, array in vars(self).items()})


def add_layer(
    sums: Clustered,
    layer: int,
    values: Float[Tensor, "link head"],
    cluster: Int[Tensor, " link"],
    group: Int[Tensor, " link"],
) -> None:
    """Add the values of one quantity, as `add_layers` does."""
    add_layers([sums], layer, values[:, None], cluster, group)


def add_layers(
    sums: Sequence[Clustered],
    layer: int,
    values: Float[Tensor, "link quantity head"],
    cluster: Int[Tensor, " link"],
    group: Int[Tensor, " link"],
) -> None:
    """Add the values of one layer to the sums of several quantities, in place.

    Args:
        sums: What is added to, a quantity each. Links and clusters are counted with layer 0.
        layer: Index of the layer, from 0.
        values: A value for each link, quantity and head. NaN is no value; of a quantity a link has
            one for all heads or for none.
        cluster: Number of the cluster of each link, from 0 within this call.
        group: Index of the group of each link.
    """
    if not len(values):
        return
    is_known = ~torch.isnan(values[:, :, 0])  # [link, quantity]
    known = torch.where(is_known[..., None], values, 0.0).double()
    # Sums of each cluster: size is [cluster, quantity], total [cluster, quantity, head].
    count = int(cluster.max()) + 1
    size = known.new_zeros(count, len(sums)).index_add_(0, cluster, is_known.double())
    total = known.new_zeros(count, *known.shape[1:])
    # Flat, since rows are added faster than tables.
    total.flatten(1).index_add_(0, cluster, known.flatten(1))
    # All links of a cluster are of one group.
    group_of = torch.zeros(count, dtype=torch.long, device=group.device)
    group_of.index_put_((cluster,), group)
    # Then sums over the clusters of each group, [group, moment, quantity, head].
    moments = torch.stack([total, total**2, total * size[..., None]], 1)
    by_group = moments.new_zeros(len(sums[0].n), *moments.shape[1:])
    by_group.flatten(1).index_add_(0, group_of, moments.flatten(1))
    added = by_group.cpu().numpy()
    for quantity, of_quantity in enumerate(sums):
        of_quantity.total[:, layer] += added[:, 0, quantity]
        of_quantity.squares[:, layer] += added[:, 1, quantity]
        of_quantity.cross[:, layer] += added[:, 2, quantity]
    if layer == 0:
        groups, sizes = group_of.cpu().numpy(), size.cpu().numpy()
        for of_quantity, of_size in zip(sums, sizes.T, strict=True):
            np.add.at(of_quantity.n, groups, of_size)
            np.add.at(of_quantity.n_squared, groups, of_size**2)
            np.add.at(of_quantity.clusters, groups, of_size > 0)
