"""C6: vertical attention is attention to [CLS] and [SEP]."""

import polars as pl

from headscope.names import SIGNIFICANT, VERTICAL, VerdictWord
from headscope.replication.claims.base import Judgement, is_known, lacking, of_parts, shown
from headscope.reporting.estimates import p_text
from headscope.results.tables import Tables
from headscope.stats.summaries import FEWEST_CLUSTERS, Tested, clustered_contrast

MOST = 0.5
"""A head most of whose maps are vertical is a vertical head; tokens that receive more than this
share of the attention receive most of it.
"""
SPECIAL = "attention_to_special"
_HEAD = ("task", "layer", "head")
_CAVEAT = (
    "A head counts once per task. Heads of a layer are not independent: intervals and p-values are "
    "Student's t with the jackknife over layers. All special tokens count, both [SEP] of a pair."
)


def vertical_is_special(tables: Tables) -> Judgement:
    """C6: special tokens receive most of the attention of vertical heads, and more than that of the
    other heads.

    Each is contradicted where its interval lies on the other side.
    """
    for name, columns in (
        ("patterns", ("task", "state", "layer", "head", "class", "measure", "value")),
        ("heads", (*_HEAD, "measure", "value")),
    ):
        if reason := lacking(tables, name, columns):
            return Judgement("not tested", reason)
    special = tables["heads"].filter(measure=SPECIAL).select(*_HEAD, special="value")
    special = special.drop_nulls().filter(pl.col("special").is_not_nan())
    if not special.height:
        return Judgement(
            "not tested",
            f"The runs hold no measure {SPECIAL}, which older versions do not have; the larger of "
            "two [SEP] is less than both.",
        )
    heads = _vertical_shares(tables["patterns"]).join(special, on=_HEAD)
    is_vertical = heads["vertical"] > MOST
    count = int(is_vertical.sum())
    if not count:
        return Judgement("not tested", "No head has mostly vertical maps.")
    contrast = clustered_contrast(
        heads["special"].to_numpy(), is_vertical.to_numpy(), heads["layer"].to_numpy()
    )
    if contrast is None:
        return Judgement(
            "not tested",
            f"Heads with mostly vertical maps: {count} of {heads.height}. One kind is in "
            f"fewer than {FEWEST_CLUSTERS} layers, which are too few to compare them.",
            _CAVEAT,
        )
    inside, difference = contrast.inside, contrast.difference
    receives = _share(inside, count)
    beside = _share(contrast.outside, heads.height - count)
    more = shown(difference.value, difference.low, difference.high, None, "+.2f")
    return Judgement(
        of_parts([_receive_most(inside), _receive_more(difference)]),
        f"[CLS] and every [SEP] together receive {receives} of the attention of the heads whose "
        f"maps are mostly vertical, and {beside} of that of the others: a difference of {more}, "
        f"{p_text(difference.p)} over {contrast.clusters} layers.",
        _CAVEAT,
    )


def _share(mean: Tested, heads: int) -> str:
    """A share of attention, which is none below 0 and none above 1, with its interval."""
    return shown(mean.value, max(mean.low, 0.0), min(mean.high, 1.0), heads, ".2f")


def _receive_most(inside: Tested) -> VerdictWord:
    if not is_known(inside.low):
        return "not tested"
    if inside.low > MOST:
        return "supported"
    return "contradicted" if inside.high < MOST else "not supported"


def _receive_more(difference: Tested) -> VerdictWord:
    if not is_known(difference.p):
        return "not tested"
    if difference.p >= SIGNIFICANT:
        return "not supported"
    return "supported" if difference.value > 0 else "contradicted"


def _vertical_shares(patterns: pl.DataFrame) -> pl.DataFrame:
    """By task and head, the counted share of vertical maps in the last state."""
    shares = patterns.filter(
        pl.col("head").is_not_null(),
        pl.col("measure") == "share",
        pl.col("class") == VERTICAL,
        pl.col("state") == patterns["state"].last(),
    )
    return shares.select(*_HEAD, vertical="value").drop_nulls()
