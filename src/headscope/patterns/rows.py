"""Write what is known of patterns into the run folder: shares by model, layer and head, and groups
of heads.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from headscope.axes import Head, all_heads
from headscope.patterns import CLASSES
from headscope.patterns.classifier import load_classifier
from headscope.patterns.shares import Share, counted, shares
from headscope.patterns.subgroups import groups
from headscope.results.run import Run

PATTERNS = "patterns"


def write_patterns(
    run: Run, classes: Mapping[str, npt.NDArray[np.int8]], *, model: str, task: str, seed: int
) -> None:
    """Write `patterns`: the share of every pattern in the model, its layers and heads, counted and
    corrected.

    classes: by state of the model ("before", "after", "as given"), the class of every map [example,
    layer, head]. They are kept as `patterns.safetensors`.
    """
    confusion = load_classifier().groups
    rows: list[dict[str, Any]] = []
    for state, found in classes.items():
        _, layers, heads = found.shape
        scopes = [
            (None, None),
            *((layer + 1, None) for layer in range(layers)),
            *((one.layer, one.head) for one in all_heads(layers, heads)),
        ]
        for (layer, head), one in zip(scopes, shares(counted(found), confusion, seed), strict=True):
            rows += _share_rows(state, layer, head, one)
    _write_groups(run, rows, state, model, task)
    run.arrays(PATTERNS, {state.replace(" ", "_"): found for state, found in classes.items()})
    run.table(PATTERNS, rows, model=model, task=task)


def _write_groups(
    run: Run, shares: list[dict[str, Any]], state: str, model: str, task: str
) -> None:
    """Write `heterogeneous`: a row per head most of whose maps are of that class, with its group by
    its measures.
    """
    by_head = [r for r in shares if r["head"] and r["state"] == state and r["measure"] == "share"]
    most: dict[Head, dict[str, Any]] = {}
    for row in by_head:
        head = Head(row["layer"], row["head"])
        if head not in most or row["value"] > most[head]["value"]:
            most[head] = row
    chosen = sorted(head for head, row in most.items() if row["class"] == "heterogeneous")
    values: dict[str, dict[Head, float]] = {}
    for row in run.rows("heads"):
        values.setdefault(row["measure"], {})[Head(row["layer"], row["head"])] = row["value"]
    table = [
        {
            "state": state,
            "layer": head.layer,
            "head": head.head,
            "group": number,
            "name": group.name,
            "measure": group.measure,
            "value": group.deviation,
            "share": most[head]["value"],
            "unit": "standard deviations",
        }
        for number, group in enumerate(groups(values, chosen), 1)
        for head in group.heads
    ]
    if table:
        run.table("heterogeneous", table, model=model, task=task)


def _share_rows(
    state: str, layer: int | None, head: int | None, share: Share
) -> list[dict[str, Any]]:
    kinds = (
        ("share", share.raw, share.raw_low, share.raw_high),
        ("share_corrected", share.corrected, share.low, share.high),
    )
    return [
        {
            "state": state,
            "layer": layer,
            "head": head,
            "class": name,
            "measure": measure,
            "value": float(value[at]),
            "low": float(low[at]),
            "high": float(high[at]),
            "n": share.n,
            "examples": share.examples,
            "unit": "share of maps",
        }
        for measure, value, low, high in kinds
        for at, name in enumerate(CLASSES)
    ]
