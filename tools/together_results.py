"""Heads together on real data: all pairs of heads and Shapley values of MiniLM on MRPC. Called by
`make results`; writes docs/results/together.md and its figures.

    HEADSCOPE_DATA=DIR python tools/together_results.py [pairs] [shapley]

DIR holds GLUE as docs/tasks.md describes. Runs are kept under runs/results and resumed; about an
hour on two cores.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

import headscope
from headscope.ablation.interactions import interactions, pair_sets
from headscope.commands.together import kept_rises
from headscope.figures.catalogue import drawings
from headscope.figures.rendering import write
from headscope.names import SIGNIFICANT
from headscope.results.numbers import p_value
from headscope.results.saved import SavedTables
from headscope.stats.simultaneous import DRAWS
from headscope.tasks import find
from pages import PAGES, ROOT, RUNS, made_by, table
from results import tuned
from simulations.interactions import RESAMPLES, resampled

EXAMPLES, STRONGEST, PLANTED = 100, 12, 40


def main(asked: Sequence[str]) -> None:
    """Write the page.

    Args:
        asked: pairs, shapley, or both.
    """
    page = [
        "# Heads together: all-MiniLM-L6-v2 on MRPC",
        "On a checkpoint of `headscope finetune --lr 1e-4`, seed 0, through "
        f"`python tools/together_results.py {' '.join(asked)}`. Losses are in nats, over "
        f"{EXAMPLES} validation examples. [Disabling heads](../disabling.md#heads-together) says "
        "what the words mean.",
    ]
    for heads in asked:
        out = RUNS / f"mrpc-{heads}"
        headscope.disable(
            model=str(tuned("mrpc")), task="mrpc", heads=heads, examples=EXAMPLES, out=out
        )
        page += SECTIONS[heads](out, headscope.open_run(out).tables)
    (PAGES / "together.md").write_text("\n\n".join(page) + "\n")


def pairs_section(out: Path, tables: SavedTables) -> list[str]:
    """What many heads cost at once, and the interactions."""
    draw("interactions", tables)
    header = ("set", "metric", "whole", "without it", "alone, summed", "together", "excess")
    columns = ("pair", "kind", "interaction", "for all pairs at once", "alone", "together", "p")
    checked = ("true pairs", "examples", "a false pair", "false", "true")
    return [
        "## Single effects do not add up",
        f"By {made(out)}.",
        table(header, list(many(tables["together"]))),
        "## Pairs",
        counted(tables["interactions"]),
        "![Interactions of pairs of heads](../images/interactions.svg)",
        table(columns, list(strongest(tables["interactions"]))),
        "## Whether the test holds its level",
        f"The interactions of the {EXAMPLES} examples are drawn again with replacement, with the "
        "mean of every pair set to 0 but for the true pairs. *A false pair*: how often another "
        "pair is called significant (5% at most is wanted); *false* and *true*: how many pairs of "
        f"either are so in a draw. {RESAMPLES} resamples in place of {DRAWS:,}.",
        table(checked, list(drawn_again(out))),
    ]


def shapley_section(out: Path, tables: SavedTables) -> list[str]:
    """How the cost of all heads is shared out."""
    draw("shapley", tables)
    picture = "![Shapley values of heads](../images/shapley.svg)"
    return ["## Shapley values", f"By {made(out)}.", shared(tables), picture]


SECTIONS: Mapping[str, Callable[[Path, SavedTables], list[str]]] = {
    "pairs": pairs_section,
    "shapley": shapley_section,
}


def draw(name: str, tables: SavedTables) -> None:
    """Write a figure of a run beside the documents."""
    for drawing in drawings(tables):
        if drawing.figure.name == name:
            write(drawing.svg(), ROOT / "docs" / "images" / f"{name}.svg")


def made(run: Path) -> str:
    """The command behind a run, without a time: a run that was stopped knows only its last one."""
    words = made_by(run)
    return words[: words.index("; ")] + ")" if "; " in words else words


def many(together: pl.DataFrame) -> Iterator[tuple[str, ...]]:
    """A line per set and metric."""
    for row in together.iter_rows(named=True):
        excess = f"{row['excess']:+.2f} ({row['excess_low']:+.2f} to {row['excess_high']:+.2f})"
        yield (
            f"{row['set']} ({row['heads']})",
            row["metric"],
            f"{row['baseline']:.1f}",
            f"{row['value']:.1f}",
            f"{row['alone']:+.2f}",
            f"{row['loss_change']:+.2f}",
            excess,
        )


def counted(pairs: pl.DataFrame) -> str:
    """How many pairs are of which kind, and where."""
    counts = dict(pairs["kind"].value_counts().iter_rows())
    same = pairs.filter(pl.col("layer") == pl.col("other_layer"))
    told = same.filter(pl.col("p_corrected") < SIGNIFICANT).height
    sizes = pairs["value"].abs().to_numpy()
    each = pairs.filter((pl.col("low") > 0) | (pl.col("high") < 0)).height
    return (
        f"Of {pairs.height:,} pairs {counts.get('redundant', 0)} are redundant and "
        f"{counts.get('synergistic', 0)} synergistic, corrected for all pairs (p < {SIGNIFICANT}); "
        f"{told} of them are of heads of one layer, of {same.height} such pairs. By intervals of "
        f"each alone {each:,} pairs exclude 0, where {0.05 * pairs.height:.0f} would by chance. "
        f"The median size of an interaction is {np.median(sizes):.4f}. The largest, "
        "significant or not:"
    )


def strongest(pairs: pl.DataFrame) -> Iterator[tuple[str, ...]]:
    """The pairs with the largest interactions."""
    rows = pairs.sort(pl.col("value").abs(), descending=True).head(STRONGEST)
    for row in rows.iter_rows(named=True):
        yield (
            row["set"],
            row["kind"],
            f"{row['value']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})",
            f"{row['low_all']:+.4f} to {row['high_all']:+.4f}",
            f"{row['alone']:+.4f}, {row['other_alone']:+.4f}",
            f"{row['together']:+.4f}",
            p_value(row["p_corrected"]),
        )


def drawn_again(out: Path) -> Iterator[tuple[str, ...]]:
    """A line per number of examples and choice of the true pairs."""
    model = headscope.open_run(out).record.model
    pairs = pair_sets(model.layers, model.heads)
    values = interactions(kept_rises(out, find("mrpc")), pairs)
    size = np.abs(values.mean(0))
    # A pair that is 0 on all examples is not tested.
    ratio = size / np.maximum(values.std(0), np.finfo(float).tiny)
    worlds = {
        "none": (np.full(len(size), np.inf), 0, 300),
        f"the {PLANTED} largest": (-size, PLANTED, 100),
        f"the {PLANTED} with the largest t": (-ratio, PLANTED, 100),
    }
    for words, (order, count, draws) in worlds.items():
        planted = np.zeros(len(size), bool)
        planted[np.argsort(order)[:count]] = True
        for n in (100, 200, 400):
            wrong, false, true = resampled(values, planted, n, draws)
            found = f"{true:.1f}" if count else ""
            yield words, str(n), str(wrong), f"{false:.2f}", found


def shared(tables: SavedTables) -> str:
    """How the whole effect is shared out."""
    values = tables["shapley"]
    largest = values.sort("value", descending=True).head(5)
    named = []
    for row in largest.iter_rows(named=True):
        named.append(
            f"{row['set']} {row['value']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f} over "
            f"orders; {row['examples_low']:+.3f} to {row['examples_high']:+.3f} over examples; "
            f"alone {row['alone']:+.3f})"
        )
    kept = values.filter(pl.col("low_all") > 0).height
    ranks = values.select(pl.corr("value", "alone", method="spearman")).item()
    return (
        f"{values['n'][0]} antithetic pairs of orders. The values add up to "
        f"{values['value'].sum():+.3f} nats, the rise with all heads disabled; {kept} of "
        f"{values.height} are above 0 by intervals for all heads at once. The largest: "
        f"{'; '.join(named)}. The rank correlation with the effects of single heads is "
        f"{ranks:+.2f}."
    )


if __name__ == "__main__":
    main(sys.argv[1:] or list(SECTIONS))
