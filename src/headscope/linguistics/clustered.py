"""Sums of a value over links, by group and head, with what an interval over sentences needs. They
merge by addition.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

_Z = 1.959963984540054
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Clustered:
    """Sums over links, which come in clusters: those of one sentence and group are no independent
    cases.

    `n`, `n_squared` and `clusters` are [group]: links, the sum of the squared cluster sizes,
    clusters. `total` is [group, layer, head]; `squares` and `cross` sum a cluster's squared total,
    and its total times its size.
    """

    n: Array
    n_squared: Array
    clusters: Array
    total: Array
    squares: Array
    cross: Array

    @classmethod
    def zero(cls, groups: int, layers: int, heads: int) -> "Clustered":
        """No links yet."""
        return cls(
            *(np.zeros(groups) for _ in range(3)),
            *(np.zeros((groups, layers, heads)) for _ in range(3)),
        )

    def __add__(self, other: "Clustered") -> "Clustered":
        return Clustered(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def mean(self) -> Array:
        """The mean over links, [group, layer, head]; NaN where there are none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.total / self.n[:, None, None]

    @property
    def error(self) -> Array:
        """The standard error of the mean with sentences as clusters, [group, layer, head]; NaN
        below two clusters.

        The sandwich estimate of a ratio's variance: the sum of (S - mean n)^2 over clusters, over
        n^2, times c/(c-1).
        """
        n, clusters = self.n[:, None, None], self.clusters[:, None, None]
        mean = self.mean
        spread = self.squares - 2 * mean * self.cross + mean**2 * self.n_squared[:, None, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = np.maximum(spread, 0.0) / n**2 * clusters / (clusters - 1)
        return np.where(clusters > 1, np.sqrt(variance), np.nan)

    def interval(self) -> tuple[Array, Array]:
        """The normal 95% interval of the mean over sentences, each [group, layer, head]."""
        mean, half = self.mean, _Z * self.error
        return mean - half, mean + half

    def share_interval(self) -> tuple[Array, Array]:
        """Wilson's 95% interval for a mean of zeros and ones, with as many cases as the clusters
        are worth.

        The effective number is what a sample of single cases would need for the same standard
        error, at most `n`; where there is no spread at all, the number of clusters.
        """
        mean, error = self.mean, self.error
        n, clusters = (
            np.broadcast_to(x[:, None, None], mean.shape) for x in (self.n, self.clusters)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            worth = np.where(error > 0, np.minimum(mean * (1 - mean) / error**2, n), clusters)
            z2 = _Z**2 / worth
            centre = (mean + z2 / 2) / (1 + z2)
            half = (
                _Z * np.sqrt(np.maximum(mean * (1 - mean), 0.0) / worth + z2 / worth / 4) / (1 + z2)
            )
        return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)

    def p_values(self) -> Array:
        """The two-sided p that the mean is 0, by the normal of mean over standard error."""
        from scipy.stats import norm

        with np.errstate(invalid="ignore", divide="ignore"):
            found: Array = 2 * norm.sf(np.abs(self.mean / self.error))
        # No spread: certain where the mean is not 0.
        return np.where(self.error == 0, (self.mean == 0).astype(float), found)

    def arrays(self, name: str) -> dict[str, Array]:
        """What a file keeps of it."""
        return {f"{name}/{f.name}": getattr(self, f.name) for f in fields(self)}

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[np.float64]], name: str) -> "Clustered":
        """What `arrays` gave to a file."""
        return cls(*(arrays[f"{name}/{f.name}"] for f in fields(cls)))

    def groups(self, chosen: npt.ArrayLike) -> "Clustered":
        """The groups with these indices, in this order."""
        at = np.asarray(chosen)
        return Clustered(*(getattr(self, f.name)[at] for f in fields(self)))


def add_layer(
    sums: Clustered,
    layer: int,
    values: Float[Tensor, "link head"],
    cluster: Int[Tensor, "link"],
    group: Int[Tensor, "link"],
) -> None:
    """Add the values of one layer to `sums`, in place. NaN is no value; a link has one for all
    heads or for none.

    cluster: which sentence and group a link is in, numbered from 0 within this call; group: its
    group.
    """
    there = (
        ~torch.isnan(values[:, 0])
        if values.shape[1]
        else torch.zeros(len(values), dtype=torch.bool)
    )
    values, cluster, group = values[there].double(), cluster[there], group[there]
    if not len(values):
        return
    count = int(cluster.max()) + 1
    size = torch.bincount(cluster, minlength=count).double()
    total = values.new_zeros(count, values.shape[1]).index_add_(0, cluster, values)
    owner = torch.zeros(count, dtype=torch.long, device=group.device).index_put_((cluster,), group)
    for part, per_cluster in (
        (sums.total, total),
        (sums.squares, total**2),
        (sums.cross, total * size[:, None]),
    ):
        into = total.new_zeros(len(sums.n), values.shape[1]).index_add_(0, owner, per_cluster)
        part[:, layer] += into.cpu().numpy()
    if layer == 0:
        owner_of_all = owner.cpu().numpy()
        sizes = size.cpu().numpy()
        np.add.at(sums.n, owner_of_all, sizes)
        np.add.at(sums.n_squared, owner_of_all, sizes**2)
        np.add.at(sums.clusters, owner_of_all, sizes > 0)
