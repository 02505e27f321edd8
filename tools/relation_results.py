"""Which heads carry relations, on real corpora: write docs/results/dependencies.md, framenet.md and
languages.md.

    HEADSCOPE_MODELS=DIR HEADSCOPE_UD=DIR HEADSCOPE_FRAMENET=DIR python tools/relation_results.py
    [page]...

The folders hold the models (e5: intfloat/multilingual-e5-small, e5-en: the same with an English
vocabulary), UD treebanks (English-EWT/..., English-PUD/...) and a FrameNet release. Runs are kept
under runs/results and resumed.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

import headscope
from headscope.names import SIGNIFICANT
from headscope.replication.claims.frames import MARGIN, frame_heads
from headscope.results.numbers import p_value
from language_results import languages
from pages import PAGES, RUNS, interval, table
from relation_text import (
    Row,
    best_offset,
    beyond_distance,
    counts,
    folder,
    found_by,
    percent,
    rows,
    versions,
    with_interval,
)

TASKS = ("mrpc", "rte", "stsb", "sst2", "qnli")
FORMS = (("minilm", False), ("minilm", True), ("e5-en", False), ("e5-en", True))
"""Models, each with the paper's filter and with its notebook's."""
Cells = tuple[object, ...]
"""The cells of a row of a Markdown table."""


def _header(line: str) -> tuple[str, ...]:
    return tuple(line.split("/"))


PUBLISHED = _header("UD/theirs/head here/hits/best offset/head there/hits/best offset")
BEST = _header(
    "relation/head/direction/hits/best offset/random head/words shuffled/same distance/"
    "beyond distance//n"
)
SCORES = _header("model/form/head/score/99th percentile/elsewhere/excess/p/beyond distance/n")
DISABLED = _header(
    "task/heads/metric/whole model/change/p/corrected p/random pairs: mean (range)/"
    "as bad or worse/n"
)


def dependencies() -> None:
    """English-EWT with e5-en: the best head of every relation, beside Clark et al.'s."""
    run = RUNS / "ewt-e5-en"
    corpus = next((folder("HEADSCOPE_UD") / "English-EWT").glob("*train*"))
    headscope.relations(
        model=str(folder("HEADSCOPE_MODELS") / "e5-en"), corpus=f"ud:{corpus}", out=run
    )
    best = sorted(rows(run, "relations_best"), key=lambda row: -row["n"])
    count = counts(run)
    verdicts = pl.Series([row["verdict"] for row in best]).value_counts(sort=True).rows()
    summary = "; ".join(f"{number} *{verdict}*" for verdict, number in verdicts)
    page = [
        "# Dependencies: English-EWT, multilingual-e5-small with an English vocabulary",
        f"`headscope relations --model e5-en --corpus ud:{corpus.name}` ({versions(run)}), "
        "written by `python tools/relation_results.py dependencies`. "
        f"{count['sentences that the model sees']:,.0f} sentences, "
        f"{count['links that are looked at']:,.0f} links, 144 heads. Head, direction and offset "
        "are chosen on one half of the sentences, per cent are of the other. Definitions: "
        "[relations](../relations.md).",
        f"Of {len(best)} relations with at least 20 links in each half: {summary}.",
        "## Beside Clark et al. (2019)",
        "They have bert-base-uncased, the Penn Treebank's relations, and chose the best head on "
        "the data it is scored on: not comparable but in kind. Here the same word can stand in "
        "another relation (UD puts the noun above its preposition).",
        table(PUBLISHED, [_beside_published(row) for row in best if row["published_relation"]]),
        "## Every relation",
        "*Same distance* is how often the head's arg max lies at the same distance for other "
        "words of the sentence; *words shuffled* is the same head on up to 1,000 shuffled "
        "sentences.",
        table(BEST, [_best_head(row) for row in best]),
    ]
    (PAGES / "dependencies.md").write_text("\n\n".join(page) + "\n")


def _best_head(row: Row) -> Cells:
    return (
        row["relation"],
        row["set"],
        row["direction"].replace("_", " "),
        with_interval(row),
        best_offset(row),
        percent(row["random_head"]),
        percent(row["shuffled"]),
        percent(row["control"]),
        beyond_distance(row),
        row["verdict"],
        row["n"],
    )


def _beside_published(row: Row) -> Cells:
    return (
        row["relation"],
        row["published_relation"],
        found_by(row),
        percent(row["value"]),
        percent(row["offset_accuracy"]),
        row["published_head"],
        row["published_accuracy"],
        row["published_offset"],
    )


def framenet() -> None:
    """FrameNet: the filter, the heads that stand out, and whether the tasks need them."""
    release = folder("HEADSCOPE_FRAMENET")
    models = {"minilm": "minilm", "e5-en": str(folder("HEADSCOPE_MODELS") / "e5-en")}
    for name, faithful in FORMS:
        run = _frames(name, faithful)
        headscope.relations(
            model=models[name], corpus=f"framenet:{release}", faithful=faithful, out=run
        )
    measured = _frames("minilm", faithful=False)
    tasks = [_disabled(task, measured) for task in TASKS]
    judged = frame_heads(_tables_of_frames(measured))
    page = [
        "# Frame-semantic relations: FrameNet 1.5",
        f"`headscope relations --model minilm --corpus framenet:{release.name}`, with "
        f"`--faithful`, and with e5-en ({versions(measured)}); written by `python "
        "tools/relation_results.py framenet`. The paper has 473 sentences of release 1.7, and in "
        "pre-trained bert-base-uncased L7H6 at 0.209 and L1H2 at 0.201, mean over heads 0.037 "
        "(section 4.2). Definitions: [relations](../relations.md).",
        f"**In short.** Claim C3 of MiniLM: *{judged.verdict}* ([claims](../claims.md)). "
        f"{judged.evidence} {judged.caveat}",
        "## What the filter leaves",
        _filter_table(),
        "## The heads with the largest scores",
        "*Elsewhere*: both spans moved together to every other place of the sentence where they "
        "fit. p is corrected over the heads of a model (Holm); *beyond distance* counts the "
        "heads whose excess stands.",
        _score_table(),
        "`span_examples.parquet` of a run, and its report, show the sentences that the top heads "
        "score highest on.",
        "## Does a task need them? (C3)",
        "The two heads of MiniLM with the largest scores, disabled together in the fine-tuned "
        "models (the first up to 1,000 validation examples), against 20 random pairs of heads. "
        f"Points; p before and after Bonferroni's correction over {len(TASKS)} tasks. A task does "
        f"without the heads if the change surely is above -{MARGIN:.0f} point.",
        table(DISABLED, [task.cells for task in tasks]),
    ]
    (PAGES / "framenet.md").write_text("\n\n".join(page) + "\n")


def _tables_of_frames(measured: Path) -> dict[str, pl.DataFrame]:
    """What claim C3 is judged by."""
    disabled, scores = [], []
    for task in TASKS:
        scores.append(pl.read_parquet(RUNS / f"{task}-pretrained-0" / "scores.parquet"))
        for run, is_drawn in ((f"{task}-frames", False), (f"{task}-frames-random", True)):
            frame = pl.read_parquet(RUNS / run / "disabled.parquet")
            disabled.append(frame.with_columns(drawn=pl.lit(is_drawn)))
    return {
        "span_heads": pl.read_parquet(measured / "span_heads.parquet"),
        "dispensable": pl.concat(disabled, how="diagonal_relaxed"),
        "scores": pl.concat(scores, how="diagonal_relaxed"),
    }


def _frames(model: str, faithful: bool) -> Path:
    return RUNS / f"framenet-{model}{'--faithful' if faithful else ''}"


def _filter_table() -> str:
    paper = counts(_frames("minilm", faithful=False))
    notebook = counts(_frames("minilm", faithful=True))
    cells = [
        (what, f"{count:,.0f}", f"{notebook.get(what, 0):,.0f}") for what, count in paper.items()
    ]
    return table(("", "paper", "notebook"), cells)


def _score_table() -> str:
    cells: list[Cells] = []
    for name, faithful in FORMS:
        ranked = sorted(rows(_frames(name, faithful), "span_heads"), key=lambda row: row["rank"])
        standing = sum(row["p_corrected"] < SIGNIFICANT and row["excess"] > 0 for row in ranked)
        form = "notebook" if faithful else "paper"
        beyond = f"{standing} of {len(ranked)}"
        cells += [(name, form, *_span_head(row, beyond)) for row in ranked[:4]]
    return table(SCORES, cells)


def _span_head(row: Row, beyond: str) -> Cells:
    return (
        row["set"],
        f"{row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})",
        f"{row['percentile_99']:.3f}",
        f"{row['control']:.3f}",
        f"{row['excess']:+.3f} ({row['excess_low']:+.3f} to {row['excess_high']:+.3f})",
        p_value(row["p_corrected"]),
        beyond,
        row["n"],
    )


@dataclass(frozen=True)
class DisabledTask:
    """What disabling the two top heads costs a task, beside 20 random pairs of heads."""

    task: str
    row: Row
    drawn: list[float]

    @property
    def p_corrected(self) -> float:
        """The p-value after Bonferroni's correction over the tasks."""
        return min(1.0, float(self.row["p"]) * len(TASKS))

    @property
    def cells(self) -> Cells:
        """A row of the page's table."""
        row, drawn = self.row, self.drawn
        worse = sum(delta <= row["delta"] for delta in drawn)
        return (
            self.task,
            row["set"],
            row["metric"],
            f"{row['baseline']:.1f}",
            interval(row, "+"),
            p_value(row["p"]),
            p_value(self.p_corrected),
            f"{np.mean(drawn):+.1f} ({min(drawn):+.1f} to {max(drawn):+.1f})",
            f"{worse} of {len(drawn)}",
            row["n"],
        )


def _disabled(task: str, measured: Path) -> DisabledTask:
    model = str(RUNS / f"{task}-pretrained-0")
    run, control = RUNS / f"{task}-frames", RUNS / f"{task}-frames-random"
    top = "top:frame_element:2"
    headscope.disable(model=model, task=task, examples=1000, heads=top, measured=measured, out=run)
    headscope.disable(model=model, task=task, examples=1000, heads="random:2", out=control)
    row = rows(run, "disabled")[0]
    drawn = [
        other["delta"] for other in rows(control, "disabled") if other["metric"] == row["metric"]
    ]
    return DisabledTask(task, row, drawn)


if __name__ == "__main__":
    PAGES.mkdir(parents=True, exist_ok=True)
    pages = {"dependencies": dependencies, "framenet": framenet, "languages": languages}
    for name in sys.argv[1:] or pages:
        pages[name]()
