"""Train the classifier of patterns and say how good it is: python tools/train_patterns.py
[--published-epochs 200].

Reads annotations/, scores the classifier and its rivals on maps they could not know, trains on all
maps, and writes src/headscope/patterns/weights.safetensors, annotations/scores.json and the tables
of docs/patterns.md. Without the published network (--published-epochs 0, which keeps its last
scores) it takes a few minutes on two cores.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import pattern_rivals as rivals
from headscope.annotation.agreement import agreement
from headscope.annotation.records import AnnotatedMap, Labels, read_maps
from headscope.names import CLASSES
from headscope.patterns.classifier import save_classifier
from patterns.evaluation import Predict, grouped, head_folds, held_out, held_out_twice, score
from patterns.training import Examples, examples_of, synthetic_examples, train

ROOT = Path(__file__).parents[1]
SET, PAGE = ROOT / "annotations", ROOT / "docs" / "patterns.md"
LAST = "last draw"
SEED, HEAD_FOLDS = 0, 5
Rows = npt.NDArray[np.int64]


class AnnotatedSet:
    """The annotated maps with the labels that count, ready to learn from."""

    def __init__(self, folder: Path = SET) -> None:
        settled = Labels(folder).settled()
        self.maps: list[AnnotatedMap] = [one for one in read_maps(folder) if one.id in settled]
        self.labels: Rows = np.array([CLASSES.index(settled[one.id]) for one in self.maps])
        self.models = [one.model for one in self.maps]
        self.families = [one.family for one in self.maps]
        self.heads = [f"{one.family} {one.head}" for one in self.maps]
        self.last = np.array([LAST in one.drawn for one in self.maps])

    def examples(self) -> Examples:
        """What the classifier learns from."""
        return examples_of(
            [
                (m.weights, m.special, m.segments, CLASSES[y])
                for m, y in zip(self.maps, self.labels, strict=True)
            ]
        )


def ours(examples: Examples, synthetic: Examples) -> Predict:
    """The classifier as it is trained for the package."""

    def predict(learn: Rows, rows: Rows) -> Rows:
        net = train(examples.take(learn) + synthetic, SEED)
        with torch.inference_mode():
            return np.asarray(net(examples.features[torch.from_numpy(rows)]).argmax(-1))

    return predict


def representative(data: AnnotatedSet) -> Rows:
    """The maps from which the confusion behind corrected shares is taken: those drawn at random,
    and every block.

    Candidates for block are border cases: the rate at which they are mistaken is not that of all
    maps of their class.
    """
    drawn = np.array([one.drawn.startswith("random") for one in data.maps])
    return np.flatnonzero(drawn | (data.labels == CLASSES.index("block")))


def splits(data: AnnotatedSet) -> dict[str, Callable[[Predict], tuple[Rows, Rows]]]:
    """By name, ways to learn and predict with nothing on both sides; each gives predicted rows and
    their classes.
    """
    every = np.arange(len(data.maps))
    folds = head_folds(data.heads, HEAD_FOLDS, SEED)
    fresh = np.flatnonzero(data.last)
    return {
        "one model left out, no head seen": lambda p: (
            every,
            held_out_twice(p, data.models, folds),
        ),
        "one model left out": lambda p: (every, held_out(p, data.models)),
        "one family left out": lambda p: (every, held_out(p, data.families)),
        "last draw": lambda p: (fresh, p(np.flatnonzero(~data.last), fresh)),
    }


def evaluate(
    data: AnnotatedSet, predict: Predict, only: tuple[str, ...] = ()
) -> tuple[dict[str, Any], Rows]:
    """The scores by split, and the predictions of the first."""
    out: dict[str, Any] = {}
    first = np.empty(0, np.int64)
    for name, split in splits(data).items():
        if only and name not in only:
            continue
        began = time.monotonic()
        rows, predicted = split(predict)
        first = first if len(first) else predicted
        found = score(data.labels[rows], predicted, [data.heads[i] for i in rows])
        out[name] = {
            "n": len(rows),
            "macro_f1": found.macro_f1,
            "low": found.low,
            "high": found.high,
            "f1": found.f1.tolist(),
            "accuracy": float((predicted == data.labels[rows]).mean()),
            "confusion": found.confusion.tolist(),
            "seconds": round(time.monotonic() - began, 1),
        }
        print(
            f"{name}: macro-F1 {found.macro_f1:.3f} ({found.low:.3f} to {found.high:.3f})",
            flush=True,
        )
    return out, first


def agreements(first: int, second: int, folder: Path = SET) -> dict[str, Any]:
    """How far two blind passes agree, over all annotators."""
    labels = Labels(folder)
    passes: dict[int, dict[str, str]] = {first: {}, second: {}}
    for annotator, round in labels.passes():
        if round in passes:
            passes[round] |= labels.of(annotator, round)
    found = agreement(passes[first], passes[second])
    return {
        "n": found.n,
        "raw": found.raw,
        "raw_interval": found.raw_interval,
        "kappa": found.kappa,
        "kappa_interval": found.kappa_interval,
        "table": found.table.tolist(),
    }


def main() -> None:
    """Everything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--published-epochs", type=int, default=0)
    epochs = parser.parse_args().published_epochs
    torch.manual_seed(SEED)
    data = AnnotatedSet()
    examples, synthetic = data.examples(), synthetic_examples(SEED)
    numbers = rivals.features(data.maps)
    before = (
        json.loads((SET / "scores.json").read_text())
        if (SET / "scores.json").is_file()
        else {"scores": {}}
    )
    scores: dict[str, Any] = {}
    for name, predict in (
        ("rule of thumb", rivals.rule(numbers, data.labels)),
        ("gradient boosting", rivals.boosting(numbers, data.labels)),
    ):
        print(name)
        scores[name], _ = evaluate(data, predict)
    if epochs:
        print("published network")
        published = rivals.published(data.maps, data.labels, epochs)
        scores["published network"], _ = evaluate(data, published, ("last draw",))
    elif "published network" in before["scores"]:
        scores["published network"] = before["scores"]["published network"]
    print("headscope")
    scores["headscope"], predicted = evaluate(data, ours(examples, synthetic))
    began = time.monotonic()
    net = train(examples + synthetic, SEED)
    rows = representative(data)
    known = grouped(data.labels[rows], predicted[rows], [data.heads[i] for i in rows])
    save_classifier(net, known)
    record = {
        "maps": len(data.maps),
        "by_model": {m: data.models.count(m) for m in sorted(set(data.models))},
        "by_class": {c: int((data.labels == k).sum()) for k, c in enumerate(CLASSES)},
        "pairs": sum(one.is_pair for one in data.maps),
        "agreement": agreements(1, 2),
        "agreement_on_unclear_maps": agreements(4, 5),
        "scores": scores,
        "confusion_for_shares": known.sum(0).tolist(),
        "training_seconds": round(time.monotonic() - began, 1),
    }
    (SET / "scores.json").write_text(json.dumps(record, indent=1) + "\n")
    write_tables(record)


BEGIN, END = "<!-- tables: written by tools/train_patterns.py -->", "<!-- end of tables -->"


def tables(record: dict[str, Any]) -> str:
    """The tables of docs/patterns.md."""
    agreed = record["agreement"]
    again = record["agreement_on_unclear_maps"]
    kappa, (low, high) = agreed["kappa"], agreed["kappa_interval"]
    lines = [
        f"{record['maps']} maps, {record['pairs']} of them of pairs of texts. "
        f"By class: {', '.join(f'{c} {n}' for c, n in record['by_class'].items())}. "
        f"By model: {', '.join(f'{m} {n}' for m, n in record['by_model'].items())}.",
        f"Two blind passes over the same {agreed['n']} maps agree on {100 * agreed['raw']:.1f}% "
        f"of them, Cohen's kappa {kappa:.2f} (95% {low:.2f} to {high:.2f}); two more, after the "
        f"guide had been sharpened, over the {again['n']} of them that an annotator had been "
        f"unsure of, on {100 * again['raw']:.1f}%, kappa {again['kappa']:.2f}. Labels of the "
        "first pass (rows) and the second (columns):",
        matrix(agreed["table"]),
        "Macro-F1 (95%, bootstrap over heads) on maps that were not learned from:",
    ]
    names = list(record["scores"]["headscope"])
    head = (
        "| | "
        + " | ".join(f"{n} (n = {record['scores']['headscope'][n]['n']})" for n in names)
        + " |"
    )
    lines.append(
        "\n".join(
            [
                head,
                "|---" * (len(names) + 1) + "|",
                *(row(k, v, names) for k, v in record["scores"].items()),
            ]
        )
    )
    lines.append("F1 by class, headscope:")
    head = "| | " + " | ".join(CLASSES) + " | accuracy |"
    body = [
        f"| {n} | " + " | ".join(f"{x:.2f}" for x in v["f1"]) + f" | {100 * v['accuracy']:.1f}% |"
        for n, v in record["scores"]["headscope"].items()
    ]
    lines.append("\n".join([head, "|---" * (len(CLASSES) + 2) + "|", *body]))
    lines.append(f"Labels (rows) and predictions (columns), {names[0]}:")
    lines.append(matrix(record["scores"]["headscope"][names[0]]["confusion"]))
    return "\n\n".join(lines)


def row(rival: str, scores: dict[str, Any], splits: list[str]) -> str:
    """A rival's line."""
    cells = [
        f"{s['macro_f1']:.2f} ({s['low']:.2f} to {s['high']:.2f})"
        if (s := scores.get(n))
        else "not run"
        for n in splits
    ]
    return f"| {rival} | " + " | ".join(cells) + " |"


def matrix(counts: list[list[int]]) -> str:
    """A table of counts by class."""
    body = [
        f"| {c} | " + " | ".join(map(str, line)) + " |"
        for c, line in zip(CLASSES, counts, strict=True)
    ]
    return "\n".join(
        ["| | " + " | ".join(CLASSES) + " |", "|---" * (len(CLASSES) + 1) + "|", *body]
    )


def write_tables(record: dict[str, Any]) -> None:
    """Put the tables into docs/patterns.md."""
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{tables(record)}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
