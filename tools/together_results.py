"""Heads together on real data: all pairs of heads and Shapley values of MiniLM on MRPC. Called by
`make results`; writes docs/results/together.md and its figures.

    HEADSCOPE_DATA=DIR python tools/together_results.py

DIR holds GLUE as docs/tasks.md describes. Runs are kept under runs/results and resumed; about an
hour on two cores.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

import headscope
from headscope.figures.catalogue import drawings
from headscope.figures.rendering import write
from headscope.names import SIGNIFICANT
from headscope.results.numbers import p_value
from headscope.results.saved import SavedTables
from pages import PAGES, ROOT, RUNS, made_by, table
from results import tuned

EXAMPLES, STRONGEST = 200, 12


def main() -> None:
    """Write the page."""
    runs = {heads: RUNS / f"mrpc-{heads}" for heads in ("pairs", "shapley")}
    for heads, out in runs.items():
        headscope.disable(
            model=str(tuned("mrpc")), task="mrpc", heads=heads, examples=EXAMPLES, out=out
        )
    pairs, shapley = (headscope.open_run(out).tables for out in runs.values())
    for tables in (pairs, shapley):
        for drawing in drawings(tables):
            if drawing.figure.name in ("interactions", "shapley"):
                write(drawing.svg(), ROOT / "docs" / "images" / f"{drawing.figure.name}.svg")
    page = [
        "# Heads together: all-MiniLM-L6-v2 on MRPC",
        f"Pairs by {made(runs['pairs'])}, Shapley values by {made(runs['shapley'])}, on a "
        "checkpoint of `headscope finetune --lr 1e-4`, seed 0, through "
        f"`python tools/together_results.py`. Losses are in nats, over {EXAMPLES} validation "
        "examples. [Disabling heads](../disabling.md#heads-together) says what the words mean.",
        "## Single effects do not add up",
        table(
            (
                "set",
                "metric",
                "whole",
                "without it",
                "loss alone, summed",
                "loss together",
                "excess",
            ),
            list(many(pairs["together"])),
        ),
        "## Pairs",
        counted(pairs["interactions"]),
        "![Interactions of pairs of heads](../images/interactions.svg)",
        table(
            ("pair", "kind", "interaction", "for all pairs at once", "alone", "together", "p"),
            list(strongest(pairs["interactions"])),
        ),
        "## Shapley values",
        shared(shapley),
        "![Shapley values of heads](../images/shapley.svg)",
    ]
    (PAGES / "together.md").write_text("\n\n".join(page) + "\n")


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
    each = pairs.filter((pl.col("low") > 0) | (pl.col("high") < 0)).height
    return (
        f"Of {pairs.height:,} pairs {counts.get('redundant', 0)} are redundant and "
        f"{counts.get('synergistic', 0)} synergistic, corrected for all pairs (p < {SIGNIFICANT}); "
        f"{told} of them are of heads of one layer, of {same.height} such pairs. By intervals of "
        f"each alone {each:,} pairs exclude 0, where {0.05 * pairs.height:.0f} would by chance. "
        f"The median interaction is {pairs['value'].median():+.5f}; the largest:"
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
    main()
