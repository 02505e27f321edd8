"""Which heads tagging needs: parts of speech of UD English-EWT with MiniLM. Called by `make
results`; writes docs/results/tokens.md.

    HEADSCOPE_UD=DIR python tools/token_results.py

HEADSCOPE_UD holds the treebank's folder English-EWT. Runs are kept under runs/results and resumed;
about half an hour on two cores.
"""

import os
from pathlib import Path

import polars as pl

import headscope
from headscope.names import SIGNIFICANT
from headscope.results.numbers import p_value
from headscope.results.record import read_json
from pages import PAGES, RUNS, interval, made_by, table

TRAINED, SENTENCES, SEARCHED, SHOWN = 4000, 500, 300, 8
SHARES = (25, 50, 75, 88)
CKPT, DISABLED, LAYERS, PATH = (
    RUNS / f"upos-{name}" for name in ("minilm", "disabled", "layers", "path")
)


def main() -> None:
    """Make the runs and write the page."""
    treebank = f"ud:{Path(os.environ['HEADSCOPE_UD'], 'English-EWT').resolve()}"
    headscope.finetune(
        model="minilm",
        task=treebank,
        kind="tokens",
        train_examples=TRAINED,
        lr=1e-4,
        out=CKPT,
    )
    model = str(CKPT)
    headscope.disable(model=model, task=treebank, examples=SENTENCES, out=DISABLED)
    headscope.disable(model=model, task=treebank, examples=SENTENCES, heads="layers", out=LAYERS)
    headscope.prune(
        model=model,
        task=treebank,
        examples=SENTENCES,
        search_examples=SEARCHED,
        keep="0.75,0.5,0.25,0.12",
        out=PATH,
    )
    rows = pl.read_parquet(DISABLED / "disabled.parquet").sort("delta")
    score = pl.read_parquet(CKPT / "scores.parquet").to_dicts()[0]
    chosen = pl.read_parquet(DISABLED / "selection.parquet").to_dicts()[0]
    lower = rows.filter(pl.col("p_corrected") < SIGNIFICANT, pl.col("delta") < 0).height
    told = [note for note in read_json(DISABLED / "run.json")["notes"] if "words" in note]
    folder = str(Path(os.environ["HEADSCOPE_UD"]).resolve())
    page = [
        "# Heads that tagging needs: parts of speech of UD English-EWT, all-MiniLM-L6-v2",
        f"Fine-tuned by {made_by(CKPT)}, heads disabled by {made_by(DISABLED)}, through `make "
        f"results` (`python tools/token_results.py`). Trained on {TRAINED:,} sentences; heads are "
        f"disabled on {SENTENCES} of the validation sentences. Accuracy of words in points, with "
        "95% intervals over sentences; tests exchange whole sentences, corrected for all heads.",
        " ".join(f"{note[0].upper()}{note[1:]}." for note in told),
        f"All validation sentences: accuracy {interval(score)}, n = {score['n']:,} sentences; the "
        f"commonest tag of the training data gives {score['majority']:.1f}.",
        "## Every head disabled in turn (mode uniform)",
        f"{lower} of {rows.height} heads lower it significantly. Does disabling a head help? "
        f"{chosen['verdict'].capitalize()}: {chosen['text']}",
        f"The {SHOWN} heads that lower it most:",
        table(
            ("head", "change", "corrected p", "rise of the loss, nats"),
            [_effect(row) for row in rows.head(SHOWN).to_dicts()],
        ),
        "## Every layer disabled in turn",
        table(
            ("layer", "change", "corrected p", "rise of the loss, nats"),
            [_effect(row) for row in pl.read_parquet(LAYERS / "disabled.parquet").to_dicts()],
        ),
        "## Heads that can go together (mode zero)",
        f"By `headscope prune --search-examples {SEARCHED}`; heads are chosen on training "
        "sentences that fine-tuning had left out.",
        table(("heads removed", "of", "accuracy without them", "change"), _path()),
    ]
    text = "\n\n".join(page).replace(f"{folder}/", "") + "\n"
    (PAGES / "tokens.md").write_text(text)


def _effect(row: dict[str, object]) -> tuple[object, ...]:
    loss = {"value": row["loss_change"], "low": row["loss_low"], "high": row["loss_high"]}
    rise = f"{loss['value']:+.3f} ({loss['low']:+.3f} to {loss['high']:+.3f})"
    return row["set"], interval(row, "+"), p_value(float(str(row["p_corrected"]))), rise


def _path() -> list[tuple[object, ...]]:
    """The score at some sizes of the path."""
    rows = pl.read_parquet(PATH / "pruned.parquet").sort("removed")
    heads = int(rows["removed"].to_numpy().max())
    found: list[tuple[object, ...]] = []
    for share in SHARES:
        row = rows.filter(removed=round(heads * share / 100)).to_dicts()[0]
        found.append((row["removed"], heads, f"{row['value']:.1f}", interval(row, "+")))
    return found


if __name__ == "__main__":
    main()
