"""Sets of heads that a run has found, to be switched off on the page."""

from pathlib import Path

import polars as pl

from headscope.axes import LARGEST, Head, HeadSet, all_heads, head_set
from headscope.errors import HeadscopeError
from headscope.explorer.pages import HeadsFound
from headscope.figures.style import label
from headscope.names import SIGNIFICANT
from headscope.results.record import ModelRecord
from headscope.results.saved import open_run

SHARES = (0.25, 0.5, 0.75)
"""The shares of the heads that are removed in the sets of a path, beside the recommended one."""


def heads_found(folder: Path) -> list[HeadsFound]:
    """The sets of heads that a run removes, or whose effects on the score are significant.

    Args:
        folder: The folder of a run of `prune`, `disable` or `study`.

    Raises:
        HeadscopeError: It holds no run, or one that has neither a path of pruning nor effects of
            heads.
    """
    run = open_run(folder)
    if not {"pruned", "disabled"} & set(run.tables):
        raise HeadscopeError(
            f"{folder} holds no heads that a run found: name a run of headscope prune, disable or "
            "study"
        )
    found = []
    if "pruned" in run.tables:
        found += _removed(run.tables["pruned"], _every(folder, run.record.model))
    if "disabled" in run.tables:
        found += _significant(run.tables["disabled"])
    return found


def _every(folder: Path, model: ModelRecord) -> HeadSet:
    """All heads of the model of a run."""
    layers, heads = model.layers, model.heads
    if not (1 <= layers <= LARGEST and 1 <= heads <= LARGEST):
        raise HeadscopeError(
            f"{folder} says that its model has {layers} layers of {heads} heads, which none has: "
            "run its command again with --overwrite"
        )
    return frozenset(all_heads(layers, heads))


def _removed(pruned: pl.DataFrame, every: HeadSet) -> list[HeadsFound]:
    """What the path of pruning removes of all heads: the recommended set, and some sizes."""
    rows = pruned.unique("removed", keep="first", maintain_order=True)
    sizes = [round(share * len(every)) for share in SHARES]
    recommended = rows.filter(pl.col("chosen"))
    others = rows.filter(pl.col("removed").is_in(sizes), ~pl.col("chosen")).sort("removed")
    titled = {", which the run recommends": recommended, "": others}
    return [
        _named(
            f"the {row['removed']} heads that go together best{said}", every - _kept(row["heads"])
        )
        for said, of_kind in titled.items()
        for row in of_kind.iter_rows(named=True)
        if row["removed"]
    ]


def _kept(names: str) -> HeadSet:
    return head_set(names) if names else frozenset()


def _significant(disabled: pl.DataFrame) -> list[HeadsFound]:
    """The heads whose removal alone lowers the score, and those whose removal raises it."""
    rows = disabled.drop_nulls(["layer", "head", "delta", "p_corrected"])
    rows = rows.filter(pl.col("p_corrected") < SIGNIFICANT)
    found = []
    for (metric,), of_metric in rows.group_by("metric", maintain_order=True):
        for verb, changed in (("lower", pl.col("delta") < 0), ("raise", pl.col("delta") > 0)):
            places = of_metric.filter(changed).select("layer", "head").unique()
            heads = frozenset(Head(*place) for place in places.iter_rows())
            if heads:
                what = "head that" if len(heads) == 1 else f"{len(heads)} heads that"
                forms = f"{verb}s" if len(heads) == 1 else verb
                title = f"the {what} {forms} {label(str(metric))} when disabled alone"
                found.append(_named(title, heads))
    return found


def _named(title: str, heads: HeadSet) -> HeadsFound:
    return HeadsFound(title, [str(head) for head in sorted(heads)])
