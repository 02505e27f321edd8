"""Which heads embedding models need for the similarity of sentences (STS-B), without fine-tuning.
Called by `make results`; writes docs/results/embeddings.md.

    HEADSCOPE_DATA=DIR HEADSCOPE_MODELS=DIR python tools/embedding_results.py [MODEL]...

HEADSCOPE_MODELS holds multilingual-e5-small with an English vocabulary as `e5-en` and
all-mpnet-base-v2 as `mpnet`. Runs are kept under runs/results and resumed; those that are there
make the page. About three hours on two cores.
"""

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

import headscope
from headscope.names import SIGNIFICANT
from headscope.results.numbers import p_value
from pages import PAGES, RUNS, interval, made_by, table

EXAMPLES, SHOWN = 400, 6
SHARES = (25, 50, 75)


@dataclass(frozen=True)
class Embedding:
    """A model with what stands before its texts.

    Attributes:
        title: What the page calls it.
        prompt: What stands before every text.
        searched: On so many training pairs heads are chosen.
    """

    title: str
    prompt: str = ""
    searched: int = 200


MODELS = {
    "minilm": Embedding("all-MiniLM-L6-v2"),
    "e5-en": Embedding("multilingual-e5-small, English vocabulary", "query: "),
    "mpnet": Embedding("all-mpnet-base-v2", searched=100),
}


def main(asked: Sequence[str]) -> None:
    """Make the runs that are asked for, and the page of those that are there."""
    for name in asked or MODELS:
        make(name)
    there = [name for name in MODELS if (run_of(name) / "run.json").is_file()]
    scores, changes, paths = [], [], []
    for name in there:
        scores.append(score_row(name))
        changes += change_rows(name)
        paths += path_rows(name)
    # Without the folder that is only this machine's.
    made = re.sub(r"--model \S*/", "--model ", made_by(run_of(there[-1])))
    page = [
        "# Heads that embedding models need: STS-B without fine-tuning",
        f"Each model by {made}, with its own name and prompt, through "
        "`make results` (`python tools/embedding_results.py`). The cosine of the vectors of "
        f"{EXAMPLES} pairs of STS-B's validation set, pooled by the mean over tokens, against "
        "the scores that people gave; Spearman's rho in points, with 95% intervals over pairs. "
        "Mode uniform: a disabled head attends evenly to all tokens.",
        "## Every head disabled in turn",
        "*Lower*, *raise*: how many heads change it, by permutations of the two models' cosines, "
        "corrected for all heads (p < 0.05).",
        table(
            ("model", "heads", "Spearman", "lower it", "raise it", "does disabling help?"), scores
        ),
        f"The {SHOWN} heads that lower it most:",
        table(("model", "head", "change", "corrected p"), changes),
    ]
    if paths:
        page += [
            "## Heads that can go together",
            "By `headscope prune --search-examples N --keep 0.75,0.5,0.25`, mode zero: heads are "
            "chosen on N training pairs, with which none of the models is tuned here. Scores of "
            f"the {EXAMPLES} validation pairs with so many heads removed.",
            table(("model", "N", "heads removed", "of", "Spearman without them"), paths),
        ]
    missing = [MODELS[name].title for name in MODELS if name not in there]
    pathless = [MODELS[name].title for name in there if not path_rows(name)]
    if paths and pathless:
        page.append(f"The path of {' and '.join(pathless)} was not run.")
    if missing:
        page.append(f"Not run: {', '.join(missing)}.")
    (PAGES / "embeddings.md").write_text("\n\n".join(page) + "\n")


def run_of(name: str) -> Path:
    """Where a model's heads are disabled."""
    return RUNS / f"stsb-embedding-{name}"


def path_of(name: str) -> Path:
    """Where its path of pruning is."""
    return RUNS / f"stsb-embedding-path-{name}"


def make(name: str) -> None:
    """The runs of a model."""
    model = name if name == "minilm" else str(Path(os.environ["HEADSCOPE_MODELS"], name).resolve())
    prompt = MODELS[name].prompt or None
    headscope.disable(
        model=model, task="stsb", kind="embedding", pool="mean", prompt=prompt,
        examples=EXAMPLES, out=run_of(name),
    )  # fmt: skip
    headscope.prune(
        model=model, task="stsb", kind="embedding", pool="mean", prompt=prompt,
        examples=EXAMPLES, search_examples=MODELS[name].searched, keep="0.75,0.5,0.25",
        out=path_of(name),
    )  # fmt: skip


def _disabled(name: str) -> pl.DataFrame:
    return pl.read_parquet(run_of(name) / "disabled.parquet").filter(metric="spearman")


def score_row(name: str) -> tuple[object, ...]:
    """The score of a model, and how many of its heads change it."""
    rows = _disabled(name)
    score = pl.read_parquet(run_of(name) / "scores.parquet").filter(metric="spearman").to_dicts()[0]
    chosen = pl.read_parquet(run_of(name) / "selection.parquet").filter(metric="spearman")
    selection = chosen.to_dicts()[0]
    changed = rows.filter(pl.col("p_corrected") < SIGNIFICANT)
    lower = changed.filter(pl.col("delta") < 0).height
    gains = selection["significant"] or "none significant"
    best = f"{gains}; largest {selection['best']} {selection['value']:+.1f}"
    raised = changed.height - lower
    return (MODELS[name].title, rows.height, interval(score), lower, raised, best)


def change_rows(name: str) -> list[tuple[object, ...]]:
    """The heads that lower the score most."""
    rows = _disabled(name).sort("delta").head(SHOWN).to_dicts()
    title = MODELS[name].title
    return [(title, row["set"], interval(row, "+"), p_value(row["p_corrected"])) for row in rows]


def path_rows(name: str) -> list[tuple[object, ...]]:
    """The score at some sizes of the path."""
    file = path_of(name) / "pruned.parquet"
    if not file.is_file():
        return []
    rows = pl.read_parquet(file).filter(metric="spearman").sort("removed")
    heads = int(rows["removed"].to_numpy().max())
    found: list[tuple[object, ...]] = []
    for share in SHARES:
        row = rows.filter(removed=heads * share // 100).to_dicts()[0]
        score = f"{row['value']:.1f} in place of {row['baseline']:.1f} ({interval(row, '+')})"
        found.append((MODELS[name].title, row["search_n"], row["removed"], heads, score))
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
