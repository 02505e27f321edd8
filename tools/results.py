"""Run the heavy studies on real data and write their tables under docs/results. Called by `make
results`.

    HEADSCOPE_DATA=DIR python tools/results.py [mrpc] [compared] [same_word] [patterns] [disabled]

DIR holds GLUE as docs/tasks.md describes. Runs are kept under runs/results and resumed; about three
hours on two cores.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import polars as pl

import headscope
from headscope.figures.catalogue import drawings
from headscope.figures.rendering import save, write
from headscope.results.numbers import p_value
from headscope.stats.proxies import MOVED, predictors
from pages import PAGES, ROOT, RUNS, interval, made_by, table

Init = Literal["pretrained", "random", "none"]


def mrpc() -> None:
    """MRPC with MiniLM: scores, and every head disabled in turn."""
    run = RUNS / "mrpc"
    headscope.study(model="minilm", task="mrpc", out=run)
    scores = pl.read_parquet(run / "scores.parquet").to_dicts()
    disabled = pl.read_parquet(run / "disabled.parquet").filter(metric="accuracy").sort("delta")
    rows = disabled.to_dicts()
    page = [
        "# MRPC, all-MiniLM-L6-v2, every head disabled in turn",
        f"Made by {made_by(run)}, through `make results`. Points; 95% intervals; n = "
        f"{rows[0]['n']}.",
        table(
            ("configuration", "metric", "score", "majority"),
            [
                (r["configuration"], r["metric"], interval(r), f"{r['majority']:.1f}")
                for r in scores
            ],
        ),
        f"Of {len(rows)} heads, {sum(r['p_corrected'] < 0.05 for r in rows)} change the accuracy "
        "by more than noise (exact McNemar, Holm over all heads, p < 0.05). All of them, by the "
        "change in accuracy:",
        table(
            ("head", "change in accuracy", "p", "corrected p"),
            [
                (r["set"], interval(r, "+"), p_value(r["p"]), p_value(r["p_corrected"]))
                for r in rows
            ],
        ),
    ]
    (PAGES / "mrpc.md").write_text("\n\n".join(page) + "\n")
    # From the run itself: the page's numbers are rounded.
    save(headscope.open_run(run).figure("effect"), ROOT / "docs" / "images" / "effect.png")


def compared() -> None:
    """Three tasks before and after fine-tuning: what changed, and figures 5 to 7 in one report."""
    runs, rows, lines = [], [], []
    for task in ("mrpc", "stsb", "sst2"):
        checkpoint, run = tuned(task), all_measures(task)
        score = pl.read_parquet(checkpoint / "scores.parquet").to_dicts()[0]
        cosine = pl.read_parquet(run / "change.parquet").filter(measure="cosine_to_pretrained")
        layers = (
            cosine.group_by("layer").agg(pl.col("value").mean()).sort("layer")["value"].to_list()
        )
        rows.append((task, score["metric"], interval(score), *(f"{v:.2f}" for v in layers)))
        lines += top_heads(run, task)
        runs.append(run)
    headscope.report(*runs, out=RUNS / "compared.html")
    page = [
        "# Before and after fine-tuning: all-MiniLM-L6-v2 on three tasks",
        f"Each task by {made_by(runs[0])} after {made_by(tuned('mrpc'))}, with its own name, "
        "through `make results`. At most 1,000 validation examples.",
        "Cosine of the maps before and after (paper, figure 5), the mean over a layer's heads:",
        table(("task", "metric", "score", *(f"L{n}" for n in range(1, len(rows[0]) - 2))), rows),
        "The heads with the largest excess over their control (the same pairs moved along their "
        "texts), after fine-tuning. The best of 72 heads is "
        "chosen on the data it is scored on.",
        table(("task", "relation", "head", "attention", "excess over the control", "n"), lines),
    ]
    (PAGES / "compared.md").write_text("\n\n".join(page) + "\n")


def same_word() -> None:
    """Does a task need the heads that find a word again in the other text? The top five against
    random fives.
    """
    lines, run = [], RUNS
    for task in ("mrpc", "stsb"):
        checkpoint = str(tuned(task))
        heads = pl.read_parquet(all_measures(task) / "heads.parquet").filter(
            measure="same_word_across_excess"
        )
        top = heads.sort("value", descending=True).head(5)
        names = [f"L{r['layer']}H{r['head']}" for r in top.to_dicts()]
        run, control = RUNS / f"{task}-same-word", RUNS / f"{task}-random-5"
        headscope.disable(model=checkpoint, task=task, heads=",".join(names), examples=408, out=run)
        headscope.disable(model=checkpoint, task=task, heads="random:5", examples=408, out=control)
        own = pl.read_parquet(run / "disabled.parquet").to_dicts()[0]
        drawn = (
            pl.read_parquet(control / "disabled.parquet")
            .filter(metric=own["metric"])["delta"]
            .to_list()
        )
        worse = sum(delta <= own["delta"] for delta in drawn)
        excess = ", ".join(f"{v:.2f}" for v in top["value"].to_list())
        lines.append(
            (
                task,
                ", ".join(names),
                excess,
                own["metric"],
                interval(own, "+"),
                p_value(own["p"]),
                f"{sum(drawn) / len(drawn):+.1f} ({min(drawn):+.1f} to {max(drawn):+.1f})",
                f"{worse} of {len(drawn)}",
            )
        )
    page = [
        "# The same word in the other sentence: are those heads needed?",
        "The five heads with the largest excess of `same_word_across` over their control "
        "(two other words as far from each other), in fine-tuned all-MiniLM-L6-v2 (paper, section "
        "5), disabled together, against 20 random sets of five heads. Points; 408 validation "
        f"examples; `make results`, with {made_by(run)} and `--heads random:5`.",
        table(
            (
                "task",
                "heads",
                "excess",
                "metric",
                "change",
                "p",
                "random fives: mean (range)",
                "as bad or worse",
            ),
            lines,
        ),
    ]
    (PAGES / "same_word.md").write_text("\n\n".join(page) + "\n")


HETEROGENEOUS = {
    # task: (Kovaleva et al. 2019, figure 2; Prasanna et al. 2020, five seeds), per cent, fine-tuned
    # bert-base-uncased
    "mrpc": ("32", "23.3"),
    "stsb": ("", "49.8"),
    "sst2": ("", "22.8"),
    "rte": ("", "15.7"),
    "qnli": ("", "49.7"),
    "mnli": ("", "25.2"),
    "qqp": ("61", "50.8"),
}
TRAINED_ON = {"qqp": 6000, "mnli": 6000}


def tuned(task: str, init: Init = "pretrained", seed: int = 0) -> Path:
    """A checkpoint of all-MiniLM-L6-v2: the recipe of the paper with a learning rate of 1e-4."""
    folder = RUNS / f"{task}-{init}-{seed}"
    headscope.finetune(
        model="minilm",
        task=task,
        init=init,
        seed=seed,
        lr=1e-4,
        train_examples=TRAINED_ON.get(task),
        out=folder,
    )
    return folder


def all_measures(task: str) -> Path:
    """The run that compares a task's checkpoint with the pre-trained model by every measure."""
    run = RUNS / f"{task}-compared"
    headscope.compare(before="minilm", after=str(tuned(task)), task=task, examples=1000, out=run)
    return run


def patterns() -> None:
    """Figure 2: the shares of the five patterns on seven tasks, before and after fine-tuning."""
    shares: list[tuple[Any, ...]] = []
    change: list[tuple[Any, ...]] = []
    groups, run = [], RUNS
    for task, (paper, later) in HETEROGENEOUS.items():
        run = all_measures(task)
        found = pl.read_parquet(run / "patterns.parquet").filter(
            pl.col("layer").is_null(), pl.col("head").is_null()
        )
        for state, measure, lines in (
            ("after", "share", shares),
            ("after", "share_corrected", shares),
            ("before", "share_corrected", change),
        ):
            rows = {r["class"]: r for r in found.filter(state=state, measure=measure).to_dicts()}
            kind = {"share": "examples", "share_corrected": "uncertain maps too"}[measure]
            numbers = [
                f"{100 * r['value']:.1f} ({100 * r['low']:.0f} to {100 * r['high']:.0f})"
                for r in rows.values()
            ]
            counted = (paper, later) if measure == "share" else ("", "")
            lines.append(
                (
                    task,
                    kind,
                    *numbers,
                    *(counted if lines is shares else ()),
                    rows["vertical"]["examples"],
                )
            )
        if (inside := run / "heterogeneous.parquet").is_file():
            for (name,), heads in pl.read_parquet(inside).group_by("name", maintain_order=True):
                own = ", ".join(
                    f"L{r['layer']}H{r['head']}" for r in heads.sort("layer", "head").to_dicts()
                )
                groups.append((task, name, own))
    classes = ("vertical", "diagonal", "vertical+diagonal", "block", "heterogeneous")
    page = [
        "# Figure 2: patterns on seven tasks, all-MiniLM-L6-v2",
        "Shares of maps, per cent (95%: for the chance in the examples, then for uncertain maps "
        "too, [patterns](../patterns.md)). A map is a head on a validation example, at most 1,000 "
        "examples a task. Fine-tuned with `headscope finetune --lr 1e-4` on the training data at "
        "hand (6,000 examples of QQP and MNLI, a sample of 10,475 of QNLI). Made through `make "
        f"results`, the last task by {made_by(run)}.",
        "Fine-tuned. The last columns give what is heterogeneous in fine-tuned "
        "bert-base-uncased: in the paper (figure 2; the lowest and the highest task are named) "
        "and in Prasanna et al. (2020); another model and another classifier, so not comparable "
        "beyond the order of tasks.",
        table(("task", "", *classes, "paper", "Prasanna et al.", "n"), shares),
        "Pre-trained, on the same examples:",
        table(("task", "", *classes, "n"), change),
        "Inside heterogeneous, after fine-tuning: heads most of whose maps are of the class, "
        "grouped by their measures and named after the measure in which a group stands out most "
        "(one standard deviation over all heads or more).",
        table(("task", "group", "heads"), groups),
    ]
    (PAGES / "patterns.md").write_text("\n\n".join(page) + "\n")


DISABLED = ("mrpc", "rte", "stsb", "sst2", "qnli")


def significant_gains(heads: pl.DataFrame, chosen: Mapping[str, Any]) -> str:
    """The gains that the row of `selection` names, each with its size, and their lower bound."""
    if not chosen["significant"]:
        return "none"
    change = dict(heads.select("set", "delta").iter_rows())
    names = chosen["significant"].split("; ")
    sizes = ", ".join(f"{name} {change[name]:+.1f}" for name in names)
    each = " each" if len(names) > 1 else ""
    return f"{sizes} (at least {chosen['at_least']:+.1f}{each})"


def held_out(chosen: Mapping[str, Any]) -> str:
    """The held-out gain with its interval, if there is one."""
    if chosen["low"] is None:
        return f"{chosen['honest']:+.1f}"
    return f"{chosen['honest']:+.1f} ({chosen['low']:+.1f} to {chosen['high']:+.1f})"


def disabled() -> None:
    """Figures 8 and 9, the verdict on C5 for every task, and which signal says which head
    matters.
    """
    tables, best, signals, layers, run = [], [], [], [], RUNS
    for task in DISABLED:
        run = RUNS / f"{task}-disabled-each"
        whole = RUNS / f"{task}-disabled-layers"
        for heads, out in (("each", run), ("layers", whole)):
            headscope.disable(
                model=str(tuned(task)), task=task, heads=heads, examples=1000, out=out
            )
        each, rows = (
            pl.read_parquet(run / "disabled.parquet"),
            pl.read_parquet(whole / "disabled.parquet"),
        )
        tables += [each, rows]
        metric = each["metric"][0]
        own, row = each.filter(metric=metric), rows.filter(metric=metric).sort("delta")
        chosen = pl.read_parquet(run / "selection.parquet").filter(metric=metric).to_dicts()[0]
        hurt = own.filter(pl.col("p_corrected") < 0.05, pl.col("delta") < 0)
        worst = own.sort("delta").to_dicts()[0]
        best.append(
            (
                task,
                metric,
                f"{own['baseline'][0]:.1f}",
                chosen["verdict"],
                p_value(chosen["p"]),
                significant_gains(own, chosen),
                "–" if chosen["at_most"] is None else f"{chosen['at_most']:+.1f}",
                f"{chosen['best']} {chosen['value']:+.1f}",
                f"{chosen['null_mean']:+.1f} ({chosen['null_high']:+.1f})",
                held_out(chosen),
                f"{hurt.height} of {own.height}",
                f"{worst['set']} {interval(worst, '+')}",
                own["n"][0],
            )
        )
        low, high = row.to_dicts()[0], row.to_dicts()[-1]
        layers.append(
            (
                task,
                f"{low['set']} {interval(low, '+')}",
                p_value(low["p_corrected"]),
                f"{high['set']} {interval(high, '+')}",
                p_value(high["p_corrected"]),
            )
        )
        measured = all_measures(task)
        read = {
            name: pl.read_parquet(measured / f"{name}.parquet") for name in ("heads", "patterns")
        }
        found = [r for r in predictors({**read, "disabled": each}) if r.effect == MOVED]
        always = ("gradient_importance", "norm_entropy", "entropy")
        top = [r for r in found if r.measure not in always][:3] + [
            r for r in found if r.measure in always
        ]
        signals += [
            (
                task,
                r.measure,
                f"{r.value:+.2f} ({r.low:+.2f} to {r.high:+.2f})",
                p_value(r.p_corrected),
                f"{r.overall:+.2f}",
                f"{r.overall_layer:+.2f}",
            )
            for r in top
        ]
    for drawing in drawings({"disabled": pl.concat(tables)}):
        write(drawing.svg(), ROOT / "docs" / "images" / f"{drawing.figure.name}.svg")
    page = [
        "# Disabling heads on five tasks: figures 8 and 9, all-MiniLM-L6-v2",
        f"Each task by {made_by(run)} and `--heads layers`, on checkpoints of `headscope finetune "
        "--lr 1e-4`, seed 0, through `make results` (`python tools/results.py disabled`). "
        "Points; 95% intervals over examples, at most 1,000 of the validation set.",
        "![Change when a head is disabled](../images/figure8_heads.svg)",
        "![Change when a layer is disabled](../images/figure9_layers.svg)",
        "## Does disabling help? (C5)",
        "Gains are significant by max-T over all 72 heads, scaled by the spread of each or in "
        "points, each at half the level: a small gain of a head that moves little can be "
        "significant where the largest is not. With them stands what each gains at least (bounds "
        "that hold for all of them at once), and p is the smallest adjusted p-value of any head. "
        "No head gains more than the largest end of their 95% intervals. The largest gain of all, "
        "significant or not, stands beside that of 72 heads under the null hypothesis (mean, and "
        "95th percentile). The held-out gain is what choosing a head on one half of the examples "
        "is worth on the other; it is of the choice, not of a head. A head is needed when the "
        "loss without it is significant after Holm's correction over 72.",
        table(
            (
                "task",
                "metric",
                "whole model",
                "C5",
                "p",
                "significant gains",
                "no gain above",
                "largest gain",
                "largest of 72 under H0",
                "held-out gain of a choice",
                "heads that are needed",
                "most needed",
                "n",
            ),
            best,
        ),
        "Whole layers, with corrected p:",
        table(("task", "most needed", "p", "least needed", "p"), layers),
        "## Which signal says which head matters?",
        "Rank correlation over the 72 heads with how far the loss of an example moves when a head "
        "is disabled: the three strongest of all measures and pattern shares (of the fine-tuned "
        "model) and, in any case, gradient importance, entropy, plain and norm-weighted. "
        "Within layers, ranks are those in a head's layer, and p is by permutations within layers, "
        "corrected over all signals (Holm). Over all heads, a signal is given credit for what it "
        "says of layers, as the number of the layer is; neither is tested.",
        table(
            ("task", "signal", "within layers", "corrected p", "over all heads", "the layer"),
            signals,
        ),
    ]
    (PAGES / "disabled.md").write_text("\n\n".join(page) + "\n")


def top_heads(run: Path, task: str) -> list[tuple[Any, ...]]:
    """For every relation the head with the largest excess over its control."""
    heads = pl.read_parquet(run / "heads.parquet")
    lines = []
    for name in (
        "verb_to_subject",
        "subject_to_verb",
        "noun_to_pronoun",
        "pronoun_to_noun",
        "same_word_across",
    ):
        excess = heads.filter(measure=f"{name}_excess").sort("value", descending=True).to_dicts()
        if excess:
            best = excess[0]
            own = heads.filter(measure=name, layer=best["layer"], head=best["head"])["value"][0]
            value = f"{best['value']:+.2f} ({best['low']:+.2f} to {best['high']:+.2f})"
            lines.append(
                (task, name, f"L{best['layer']}H{best['head']}", f"{own:.2f}", value, best["n"])
            )
    return lines


if __name__ == "__main__":
    PAGES.mkdir(parents=True, exist_ok=True)
    pages = {
        "mrpc": mrpc,
        "compared": compared,
        "same_word": same_word,
        "patterns": patterns,
        "disabled": disabled,
    }
    for name in sys.argv[1:] or pages:
        pages[name]()
