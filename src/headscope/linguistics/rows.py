"""Rows for the run folder, made of the sums over links: every head, and the best head of each
relation.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from headscope.axes import Head, all_heads
from headscope.linguistics.baselines import random_head
from headscope.linguistics.clustered import Clustered
from headscope.linguistics.dependencies import DIRECTIONS, LONGEST_OFFSET, Sums
from headscope.reference import reference
from headscope.stats.paired import holm

FEWEST = 20
"""Links that a relation must have in each half to be given a best head."""
_SHARES = ("accuracy", "accuracy_matched")
_UNITS = {
    "accuracy": "fraction of words",
    "attention": "fraction of mass",
    "score": "fraction of mass",
}
PUBLISHED = {
    # UD -> (Penn Treebank's in Clark et al. 2019, whether the same word depends on the same).
    "det": ("det", True),
    "obj": ("dobj", True),
    "case": ("pobj", False),
    "nsubj": ("nsubj", True),
    "amod": ("amod", True),
    "aux": ("aux", True),
    "nmod:poss": ("poss", True),
    "compound:prt": ("prt", True),
}


def every_head(
    sums: Mapping[str, Clustered], relations: Sequence[str], direction: str = ""
) -> list[dict[str, Any]]:
    """A row per relation, head and quantity; those named `excess` have a p, corrected over the
    relation's heads.

    sums: a `Clustered` with a group a relation, by quantity.
    """
    rows = []
    for quantity, own in sums.items():
        low, high = own.share_interval() if quantity in _SHARES else own.interval()
        mean, p = own.mean, own.p_values()
        tested = quantity.endswith("excess")
        for at, relation in enumerate(relations):
            if not own.n[at]:
                continue
            corrected = holm(np.nan_to_num(p[at], nan=1.0).ravel()).reshape(p[at].shape)
            for head in all_heads(*mean.shape[1:]):
                there = (at, *head.index)
                rows.append(
                    {
                        "relation": relation,
                        "direction": direction,
                        "layer": head.layer,
                        "head": head.head,
                        "measure": quantity,
                        "value": float(mean[there]),
                        "low": float(low[there]),
                        "high": float(high[there]),
                        "n": int(own.n[at]),
                        "sentences": int(own.clusters[at]),
                        "unit": _UNITS[quantity.split("_")[0]],
                        "p": float(p[there]) if tested else None,
                        "p_corrected": float(corrected[head.index]) if tested else None,
                    }
                )
    return rows


def best_heads(
    sums: Sums,
    shuffled: Sums | None,
    relations: Sequence[str],
    offsets: npt.NDArray[np.int64],
    looks: npt.NDArray[np.float64],
) -> list[dict[str, Any]]:
    """A row per relation: the head and direction that hit the most in half 0, scored on half 1,
    beside the baselines.

    shuffled: the same sums over sentences whose words were shuffled. offsets: the best fixed offset
    of each relation by half 0. looks: how often a head's arg max lies at each offset, [layer, head,
    offset]. p is that the head hits no more often than at the same distance for other words,
    corrected over the relations (Holm).
    """
    count, rows = len(relations), []
    published = reference("relations")
    for at, relation in enumerate(relations):
        half, other = [at], [count + at]
        first = np.stack([sums[d, "accuracy"].groups(half).mean[0] for d in DIRECTIONS])
        n = [int(sums["to_head", "accuracy"].n[group]) for group in (at, count + at)]
        if min(n) < FEWEST:
            continue
        which, layer, head = (int(x) for x in np.unravel_index(first.argmax(), first.shape))
        direction, name = DIRECTIONS[which], Head(layer + 1, head + 1)
        where = (0, layer, head)

        def scored(quantity: str, share: bool = False) -> tuple[float, float, float]:
            own = sums[direction, quantity].groups(other)  # noqa: B023
            low, high = own.share_interval() if share else own.interval()
            return float(own.mean[where]), float(low[where]), float(high[where])  # noqa: B023

        accuracy, low, high = scored("accuracy", share=True)
        over, over_low, over_high = scored("accuracy_over_offset")
        excess, excess_low, excess_high = scored("accuracy_excess")
        control, _, _ = scored("accuracy_control")
        everyone = np.stack([sums[d, "accuracy"].groups(other).mean[0] for d in DIRECTIONS]).ravel()
        drawn = random_head(everyone)
        told, same = PUBLISHED.get(relation, ("", True))
        known: Mapping[str, Any] = published.get(told, {})
        own_offset = int(looks[layer, head].argmax()) - LONGEST_OFFSET
        rows.append(
            {
                "relation": relation,
                "set": str(name),
                "layer": name.layer,
                "head": name.head,
                "direction": direction,
                "measure": "accuracy",
                "value": accuracy,
                "low": low,
                "high": high,
                "n": n[1],
                "unit": "fraction of words",
                "chosen_on": float(first[which, layer, head]),
                "chosen_n": n[0],
                "offset": int(offsets[at]),
                "offset_accuracy": accuracy - over,
                "over_offset": over,
                "over_offset_low": over_low,
                "over_offset_high": over_high,
                "random_head": drawn[0],
                "random_low": drawn[1],
                "random_high": drawn[2],
                **_of_shuffled(shuffled, direction, at, count, where),
                "control": control,
                "excess": excess,
                "excess_low": excess_low,
                "excess_high": excess_high,
                "p": float(sums[direction, "accuracy_excess"].groups(other).p_values()[where]),
                "looks_at": own_offset,
                "looks_share": float(looks[layer, head].max() / max(looks[layer, head].sum(), 1)),
                "published_relation": told + ("" if same else ", the other way round")
                if told
                else None,
                "published_head": known.get("head"),
                "published_accuracy": known.get("accuracy"),
                "published_offset": known.get("offset"),
            }
        )
    if rows:
        corrected = holm(np.nan_to_num([row["p"] for row in rows], nan=1.0))
        for row, p in zip(rows, corrected, strict=True):
            row["p_corrected"] = float(p)
            row["verdict"] = verdict(row)
    return rows


def _of_shuffled(
    shuffled: Sums | None, direction: str, at: int, count: int, where: tuple[int, int, int]
) -> dict[str, Any]:
    """The head's accuracy on shuffled words, over both halves."""
    if shuffled is None or not (shuffled[direction, "accuracy"].n[[at, count + at]]).any():
        return {"shuffled": None, "shuffled_low": None, "shuffled_high": None, "shuffled_n": 0}
    both = together(shuffled[direction, "accuracy"], count).groups([at])
    low, high = both.share_interval()
    return {
        "shuffled": float(both.mean[where]),
        "shuffled_low": float(low[where]),
        "shuffled_high": float(high[where]),
        "shuffled_n": int(both.n[0]),
    }


def together(sums: Clustered, count: int) -> Clustered:
    """Both halves as one, a group a relation."""
    return sums.groups(range(count)) + sums.groups(range(count, 2 * count))


def verdict(row: Mapping[str, Any]) -> str:
    """What the best head of a relation does, in words: does it carry the relation, or only look so
    many words away?
    """
    beyond = row["p_corrected"] < 0.05 and row["excess"] > 0
    if beyond and row["over_offset_low"] > 0:
        return "carries the relation"
    if beyond:
        return "beyond distance, but no better than the best offset"
    if row["looks_share"] > 0.5:
        words = abs(row["looks_at"])
        return f"only looks {words} word{'' if words == 1 else 's'} {'left' if row['looks_at'] < 0 else 'right'}"
    return "no more than distance explains"


def offset_rows(looks: npt.NDArray[np.float64]) -> list[dict[str, Any]]:
    """How often a head's arg max over words lies at each offset: a row per head and offset that has
    any.
    """
    total = looks.sum(-1)
    return [
        {
            "layer": head.layer,
            "head": head.head,
            "offset": at - LONGEST_OFFSET,
            "measure": "looks_at",
            "value": float(looks[head.index][at] / total[head.index]),
            "n": int(total[head.index]),
            "unit": "fraction of words",
        }
        for head in all_heads(*looks.shape[:2])
        for at in range(looks.shape[-1])
        if looks[head.index][at]
    ]


def explained(
    rows: Sequence[Mapping[str, Any]],
    diagonal: Mapping[tuple[int, int], float],
    relations: Sequence[str],
) -> list[dict[str, Any]]:
    """How much of a relation's attention goes through diagonal heads, a row per relation and
    direction.

    rows: those of `every_head`; diagonal: the share of a head's maps that are diagonal, or diagonal
    and vertical, by (layer, head). A head is diagonal when more than half of its maps are.
    `distance` is what part of the attention the same heads give other words at the same distance:
    what no relation is needed for.
    """
    heads = {key for key, share in diagonal.items() if share > 0.5}
    out = []
    for relation in relations:
        for direction in DIRECTIONS:
            named: dict[str, dict[tuple[int, int], float]] = {}
            count = 0
            for row in rows:
                if row["relation"] == relation and row["direction"] == direction:
                    named.setdefault(row["measure"], {})[row["layer"], row["head"]] = row["value"]
                    count = max(count, row["n"])
            if "attention_matched" not in named:
                continue
            every, matched, control, hits = (
                named[m]
                for m in ("attention", "attention_matched", "attention_control", "accuracy")
            )
            total, through = sum(every.values()), sum(every[h] for h in every if h in heads)
            best = [
                max((hits[h] for h in hits if (h in heads) == which), default=None)
                for which in (True, False)
            ]
            out.append(
                {
                    "relation": relation,
                    "direction": direction,
                    "diagonal_heads": len(heads),
                    "heads": len(every),
                    "measure": "through_diagonal",
                    "value": through / total if total else float("nan"),
                    "distance": sum(control.values()) / max(sum(matched.values()), 1e-12),
                    "distance_of_diagonal": (
                        sum(control[h] for h in heads) / max(sum(matched[h] for h in heads), 1e-12)
                        if heads
                        else None
                    ),
                    "best_diagonal": best[0],
                    "best_other": best[1],
                    "n": count,
                    "unit": "share of attention",
                }
            )
    return out


def span_heads(rows: Sequence[Mapping[str, Any]], relations: Sequence[str]) -> list[dict[str, Any]]:
    """A row per relation and head, the largest score first (`rank` 1), with the 99th percentile of
    all heads' scores (paper, figure 3) and what is left of its attention beyond the same spans
    moved elsewhere.
    """
    out = []
    for relation in relations:
        named: dict[str, dict[tuple[int, int], Mapping[str, Any]]] = {}
        for row in rows:
            if row["relation"] == relation:
                named.setdefault(row["measure"], {})[row["layer"], row["head"]] = row
        scores = sorted(
            named["score"].values(), key=lambda row: (-row["value"], row["layer"], row["head"])
        )
        line = float(np.quantile([row["value"] for row in scores], 0.99))
        for rank, row in enumerate(scores, 1):
            key = (row["layer"], row["head"])
            control = named.get("attention_control", {}).get(key)
            excess = named.get("attention_excess", {}).get(key)
            out.append(
                {
                    "relation": relation,
                    "rank": rank,
                    "set": str(Head(*key)),
                    **{
                        name: row[name]
                        for name in (
                            "layer",
                            "head",
                            "measure",
                            "value",
                            "low",
                            "high",
                            "n",
                            "unit",
                        )
                    },
                    "percentile_99": line,
                    "above": row["value"] > line,
                    "control": control["value"] if control else None,
                    "excess": excess["value"] if excess else None,
                    "excess_low": excess["low"] if excess else None,
                    "excess_high": excess["high"] if excess else None,
                    "excess_n": excess["n"] if excess else 0,
                    "p": excess["p"] if excess else None,
                    "p_corrected": excess["p_corrected"] if excess else None,
                }
            )
    return out
