"""Means over links with their intervals and tests, for every relation and attention head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from headscope.axes import all_heads
from headscope.linguistics.clustered import Clustered
from headscope.linguistics.rows import RelationRow
from headscope.stats.means import known
from headscope.stats.paired import holm

WORDS = "fraction of words"
MASS = "fraction of mass"
_UNITS = {"accuracy": WORDS, "attention": MASS, "score": MASS}
_SHARES = ("accuracy", "accuracy_matched")
"""Quantities that are 0 or 1 for a link."""
_SHARE_CHANGES = ("accuracy_over_offset",)
"""Quantities that are the difference of two such."""
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimates:
    """A quantity of all relations and heads.

    Attributes:
        mean: Mean over links, [relation, layer, head].
        low: Lower end of its 95% interval, [relation, layer, head].
        high: Upper end, [relation, layer, head].
        p: p-value that the mean is not above 0, [relation, layer, head].
        n: Links, [relation].
        sentences: Sentences with such a link, [relation].
    """

    mean: Array
    low: Array
    high: Array
    p: Array
    n: Array
    sentences: Array

    @classmethod
    def of(cls, quantity: str, sums: Clustered) -> "Estimates":
        """The estimates of a quantity from its sums, in which a group is a relation."""
        if quantity in _SHARES:
            low, high = sums.share_interval()
        elif quantity in _SHARE_CHANGES:
            low, high = sums.share_change_interval()
        else:
            low, high = sums.interval()
        return cls(sums.mean, low, high, sums.p_values(), sums.n, sums.clusters)

    def p_corrected(self, relation: int) -> Array:
        """The p-values of a relation, corrected over the heads by Holm's method, [layer, head]; NaN
        where there is none.
        """
        p = self.p[relation]
        return corrected(p.ravel()).reshape(p.shape)


def estimates_of(sums: Mapping[str, Clustered]) -> dict[str, Estimates]:
    """The estimates of every quantity; the interval of an excess of hits is made of those of the
    hits and of their control.
    """
    estimates = {quantity: Estimates.of(quantity, of_it) for quantity, of_it in sums.items()}
    if "accuracy_excess" in estimates:
        low, high = sums["accuracy_matched"].less_interval(sums["accuracy_control"])
        estimates["accuracy_excess"] = replace(estimates["accuracy_excess"], low=low, high=high)
    return estimates


def corrected(p: Array) -> Array:
    """Holm's correction of the p-values of a family, one of which may be NaN: it stays so.

    Such a case was looked at too, so it counts in the family, with p = 1.
    """
    return np.where(np.isnan(p), np.nan, holm(np.nan_to_num(p, nan=1.0)))


def relation_rows(
    sums: Mapping[str, Clustered], relations: Sequence[str], direction: str = ""
) -> list[RelationRow]:
    """A row per quantity, relation and head; a quantity named `excess` is tested.

    Args:
        sums: Sums by quantity, in which a group is a relation.
        relations: The names of the relations.
        direction: What the column `direction` says.
    """
    rows: list[RelationRow] = []
    for quantity, estimates in estimates_of(sums).items():
        for number, relation in enumerate(relations):
            if estimates.n[number]:
                rows += _rows_of_heads(estimates, quantity, number, relation, direction)
    return rows


def _rows_of_heads(
    estimates: Estimates, quantity: str, number: int, relation: str, direction: str
) -> list[RelationRow]:
    is_tested = quantity.endswith("excess")
    p_corrected = estimates.p_corrected(number)
    rows = []
    for head in all_heads(*p_corrected.shape):
        place = (number, *head.index)
        row = RelationRow(
            relation=relation,
            direction=direction,
            layer=head.layer,
            head=head.head,
            measure=quantity,
            value=estimates.mean[place],
            low=known(estimates.low[place]),
            high=known(estimates.high[place]),
            n=int(estimates.n[number]),
            sentences=int(estimates.sentences[number]),
            unit=_UNITS[quantity.split("_")[0]],
            p=known(estimates.p[place]) if is_tested else None,
            p_corrected=known(p_corrected[head.index]) if is_tested else None,
        )
        rows.append(row)
    return rows
