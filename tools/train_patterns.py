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
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

import pattern_rivals as rivals
from headscope.annotation.agreement import agreement
from headscope.annotation.records import LATER, SETTLING, Labels, read_maps
from headscope.names import CLASSES
from headscope.patterns.classifier import save_classifier
from pages import table
from patterns.calibration import calibration
from patterns.counting import WAYS, Known, bounds, errors, sets_of
from patterns.evaluation import (
    Predict,
    Rows,
    head_folds,
    held_out,
    held_out_twice,
    leave_one_out,
    score,
)
from patterns.synthetic import LabelledMap
from patterns.training import Examples, examples_of, synthetic_examples, targets_of, train

ROOT = Path(__file__).parents[1]
SET, PAGE = ROOT / "annotations", ROOT / "docs" / "patterns.md"
LAST = "last draw"
LEFT_OUT, PUBLISHED = "one family left out", "published network"
CALIBRATION_COLUMNS = (
    "calibration error (95%)",
    "of exact probabilities",
    "label plausible",
    "uncertain",
    "right if certain",
    "right if uncertain",
)
SEED, HEAD_FOLDS = 0, 5


class AnnotatedSet:
    """The annotated maps with the labels that count, ready to learn from."""

    def __init__(self, folder: Path = SET) -> None:
        settled = Labels(folder).settled()
        maps = read_maps(folder)
        self.maps = [annotated for annotated in maps if annotated.id in settled]
        self.labels: Rows = np.array(
            [CLASSES.index(settled[annotated.id]) for annotated in self.maps]
        )
        self.models = [annotated.model for annotated in self.maps]
        self.families = [annotated.family for annotated in self.maps]
        self.heads = [f"{annotated.family} {annotated.head}" for annotated in self.maps]
        self.last = np.array([LAST in annotated.drawn for annotated in self.maps])
        self.votes = votes(Labels(folder), [annotated.id for annotated in self.maps])

    def examples(self) -> Examples:
        """What the classifier learns from."""
        labelled = [
            LabelledMap(annotated.weights, annotated.special, annotated.segments, CLASSES[label])
            for annotated, label in zip(self.maps, self.labels, strict=True)
        ]
        return examples_of(labelled, targets=targets_of(self.labels, self.votes))


def votes(labels: Labels, ids: Sequence[str]) -> Float[np.ndarray, "map class"]:
    """How often each class was said of every map in blind passes, those under the later guide where
    there are any.
    """
    row_of = {name: row for row, name in enumerate(ids)}
    earlier, later = np.zeros((2, len(ids), len(CLASSES)))
    for annotator, round in labels.passes():
        if round in (SETTLING, LATER[-1]):
            continue
        counts = later if round in LATER else earlier
        for name, label in labels.of(annotator, round).items():
            if name in row_of:
                counts[row_of[name], CLASSES.index(label)] += 1
    return np.where(later.any(1, keepdims=True), later, earlier)


def ours(examples: Examples, synthetic: Examples) -> Predict:
    """The classifier as it is trained for the package."""

    def predict(learn: Rows, rows: Rows) -> Rows:
        net = train(examples.take(learn) + synthetic, SEED)
        with torch.inference_mode():
            return np.asarray(net(examples.features[torch.from_numpy(rows)]).argmax(-1))

    return predict


def left_out(
    examples: Examples, synthetic: Examples, families: Sequence[str]
) -> Float[np.ndarray, "map class"]:
    """The probabilities of the classes by networks that did not learn from the map's family."""
    probabilities = np.zeros((len(families), len(CLASSES)))
    for learn, rows in leave_one_out(families):
        net = train(examples.take(learn) + synthetic, SEED)
        with torch.inference_mode():
            probabilities[rows] = net(examples.features[torch.from_numpy(rows)]).exp()
    return probabilities


def shares_on_left_out(
    data: AnnotatedSet,
    examples: Examples,
    synthetic: Examples,
    probabilities: Float[np.ndarray, "map class"],
) -> dict[str, Any]:
    """How near counted and otherwise estimated shares come to the truth on every family, where
    what is known of the errors is from the others, each left out in turn from these.
    """
    families = np.array(data.families)
    is_random = np.array([annotated.drawn.startswith("random") for annotated in data.maps])
    found: dict[str, Any] = {}
    for family in sorted(set(data.families)):
        others = np.flatnonzero(families != family)
        inner = left_out(examples.take(others), synthetic, families[others].tolist())
        known = Known(data.labels[others], inner)
        sources = [annotated.source for annotated in data.maps]
        thirds = [f"{(annotated.head.layer - 1) // 4}" for annotated in data.maps]
        rows = np.flatnonzero((families == family) & is_random)
        sets = sets_of(rows, data.models, sources, thirds)
        found[family] = {
            "sets": len(sets),
            "errors": errors(data.labels, probabilities, known, sets),
            "bounds": bounds(data.labels, probabilities, sets),
        }
    return found


Split = Callable[[Predict], tuple[Rows, Rows]]
"""A way to learn and predict with nothing on both sides -> the rows predicted and their classes."""


def splits(data: AnnotatedSet) -> dict[str, Split]:
    """The ways to hold maps out, by name."""
    every = np.arange(len(data.maps))
    folds = head_folds(data.heads, HEAD_FOLDS, SEED)
    last, earlier = np.flatnonzero(data.last), np.flatnonzero(~data.last)
    return {
        "one model left out, no head seen": lambda predict: (
            every,
            held_out_twice(predict, data.models, folds),
        ),
        "one model left out": lambda predict: (every, held_out(predict, data.models)),
        LEFT_OUT: lambda predict: (every, held_out(predict, data.families)),
        LAST: lambda predict: (last, predict(earlier, last)),
    }


def evaluate(data: AnnotatedSet, predict: Predict, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """The scores by split, of all splits or `only` some."""
    scores: dict[str, Any] = {}
    for name, split in splits(data).items():
        if only and name not in only:
            continue
        began = time.monotonic()
        rows, predicted = split(predict)
        of_split = score(data.labels[rows], predicted, [data.heads[row] for row in rows])
        scores[name] = {
            "n": len(rows),
            "macro_f1": of_split.macro_f1,
            "low": of_split.low,
            "high": of_split.high,
            "f1": of_split.f1.tolist(),
            "accuracy": float((predicted == data.labels[rows]).mean()),
            "confusion": of_split.confusion.tolist(),
            "seconds": round(time.monotonic() - began, 1),
        }
        print(
            f"{name}: macro-F1 {of_split.macro_f1:.3f} ({of_split.low:.3f} to {of_split.high:.3f})",
            flush=True,
        )
    return scores


def agreements(first: int, second: int, folder: Path = SET) -> dict[str, Any]:
    """How far two blind passes agree, over all annotators."""
    labels = Labels(folder)
    passes: dict[int, dict[str, str]] = {first: {}, second: {}}
    for annotator, round in labels.passes():
        if round in passes:
            passes[round] |= labels.of(annotator, round)
    agreed = agreement(passes[first], passes[second])
    return {
        "n": agreed.n,
        "raw": agreed.raw,
        "raw_interval": agreed.raw_interval,
        "kappa": agreed.kappa,
        "kappa_interval": agreed.kappa_interval,
        "table": agreed.table.tolist(),
    }


def calibrations(
    data: AnnotatedSet, probabilities: Float[np.ndarray, "map class"]
) -> dict[str, dict[str, float]]:
    """How well the probabilities of all maps and of those of each family are calibrated."""
    families = np.array(data.families)
    parts = {"all": np.arange(len(families))}
    parts |= {name: np.flatnonzero(families == name) for name in sorted(set(data.families))}
    return {
        name: asdict(
            calibration(data.labels[rows], probabilities[rows], [data.heads[row] for row in rows])
        )
        for name, rows in parts.items()
    }


def rival_scores(data: AnnotatedSet, published_epochs: int) -> dict[str, Any]:
    """The scores of what the classifier has to beat; those of the published network as they were
    where it is not trained.
    """
    numbers = rivals.features(data.maps)
    scores: dict[str, Any] = {}
    print("rule of thumb")
    scores["rule of thumb"] = evaluate(data, rivals.rule(numbers, data.labels))
    print("gradient boosting")
    scores["gradient boosting"] = evaluate(data, rivals.boosting(numbers, data.labels))
    record = SET / "scores.json"
    before = json.loads(record.read_text())["scores"] if record.is_file() else {}
    if published_epochs:
        print(PUBLISHED)
        predict = rivals.published(data.maps, data.labels, published_epochs)
        scores[PUBLISHED] = evaluate(data, predict, (LAST,))
    elif PUBLISHED in before:
        scores[PUBLISHED] = before[PUBLISHED]
    return scores


def main() -> None:
    """Everything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--published-epochs", type=int, default=0)
    published_epochs = parser.parse_args().published_epochs
    torch.manual_seed(SEED)
    data = AnnotatedSet()
    examples, synthetic = data.examples(), synthetic_examples(SEED)
    scores = rival_scores(data, published_epochs)
    print("headscope")
    scores["headscope"] = evaluate(data, ours(examples, synthetic))
    probabilities = left_out(examples, synthetic, data.families)
    began = time.monotonic()
    save_classifier(train(examples + synthetic, SEED))
    record = {
        "maps": len(data.maps),
        "by_model": {name: data.models.count(name) for name in sorted(set(data.models))},
        "by_class": {name: int((data.labels == k).sum()) for k, name in enumerate(CLASSES)},
        "pairs": sum(annotated.is_pair for annotated in data.maps),
        "agreement": agreements(1, 2),
        "agreement_on_unclear_maps": agreements(4, 5),
        "agreement_under_later_guide": agreements(6, 7),
        "scores": scores,
        "calibration": calibrations(data, probabilities),
        "shares": shares_on_left_out(data, examples, synthetic, probabilities),
        "training_seconds": round(time.monotonic() - began, 1),
    }
    (SET / "scores.json").write_text(json.dumps(record, indent=1) + "\n")
    write_tables(record)


BEGIN, END = "<!-- tables: written by tools/train_patterns.py -->", "<!-- end of tables -->"


def tables(record: dict[str, Any]) -> str:
    """The tables of docs/patterns.md."""
    agreed, again = record["agreement"], record["agreement_on_unclear_maps"]
    later = record["agreement_under_later_guide"]
    low, high = agreed["kappa_interval"]
    scores = record["scores"]
    ours = scores["headscope"]
    splits = list(ours)
    by_class = ", ".join(f"{name} {count}" for name, count in record["by_class"].items())
    by_model = ", ".join(f"{name} {count}" for name, count in record["by_model"].items())
    rival_rows = [
        [name, *(macro_f1(of_rival.get(split)) for split in splits)]
        for name, of_rival in scores.items()
    ]
    class_rows = [
        [name, *(f"{f1:.2f}" for f1 in of_split["f1"]), f"{100 * of_split['accuracy']:.1f}%"]
        for name, of_split in ours.items()
    ]
    return "\n\n".join(
        [
            f"{record['maps']} maps, {record['pairs']} of them of pairs of texts. "
            f"By class: {by_class}. By model: {by_model}.",
            f"Two blind passes over the same {agreed['n']} maps agree on "
            f"{100 * agreed['raw']:.1f}% of them, Cohen's kappa {agreed['kappa']:.2f} (95% "
            f"{low:.2f} to {high:.2f}); two more, after the guide had been sharpened, over the "
            f"{again['n']} of them that an annotator had been unsure of, on "
            f"{100 * again['raw']:.1f}%, kappa {again['kappa']:.2f}. Under the guide as it stands, "
            f"two over {later['n']} maps agree on {100 * later['raw']:.1f}%, kappa "
            f"{later['kappa']:.2f} (95% {later['kappa_interval'][0]:.2f} to "
            f"{later['kappa_interval'][1]:.2f}). Labels of the first pass (rows) and the second "
            "(columns):",
            matrix(agreed["table"]),
            "Macro-F1 (95%, bootstrap over heads) on maps that were not learned from:",
            table(["", *(f"{name} (n = {ours[name]['n']})" for name in splits)], rival_rows),
            "F1 by class, headscope:",
            table(["", *CLASSES, "accuracy"], class_rows),
            f"Labels (rows) and predictions (columns), {splits[0]}:",
            matrix(ours[splits[0]]["confusion"]),
            f"The same, {LEFT_OUT}:",
            matrix(ours[LEFT_OUT]["confusion"]),
            f"Probabilities and plausible classes, {LEFT_OUT}:",
            table(["maps of", *CALIBRATION_COLUMNS], calibration_rows(record["calibration"])),
            "Distance of shares from the truth, in points of percent, averaged over classes and "
            "over sets of maps drawn at random (of a model, of a text, of a third of the layers), "
            "and that of the heterogeneous share alone with its mean error:",
            table(["", *record["shares"]], share_rows(record["shares"])),
        ]
    )


def calibration_rows(record: dict[str, dict[str, float]]) -> list[list[str]]:
    """The rows of the table of calibration."""
    return [
        [
            name,
            f"{of_maps['error']:.3f} ({of_maps['low']:.3f} to {of_maps['high']:.3f})",
            f"{of_maps['by_chance']:.3f}",
            *(
                f"{100 * of_maps[key]:.1f}%"
                for key in ("covered", "uncertain", "right_if_certain", "right_if_uncertain")
            ),
        ]
        for name, of_maps in record.items()
    ]


def share_rows(record: dict[str, Any]) -> list[list[str]]:
    """The rows of the table of shares: a way to know them in each, then their bounds."""
    families = list(record)
    rows = []
    for way in WAYS:
        off = [record[family]["errors"][way] for family in families]
        cells = [
            f"{100 * of_way['all']:.1f}; heterogeneous {100 * of_way['heterogeneous']:.1f} "
            f"({100 * of_way['bias']:+.1f})"
            for of_way in off
        ]
        rows.append([way, *cells])
    of_bounds = [record[family]["bounds"] for family in families]
    held = [
        f"hold {100 * of_family['hold']:.0f}%, width {100 * of_family['width']:.0f}"
        for of_family in of_bounds
    ]
    return [*rows, ["bounds of shares", *held]]


def macro_f1(scores: dict[str, Any] | None) -> str:
    """A cell: macro-F1 with its interval."""
    if scores is None:
        return "not run"
    return f"{scores['macro_f1']:.2f} ({scores['low']:.2f} to {scores['high']:.2f})"


def matrix(counts: list[list[int]]) -> str:
    """A table of counts by class."""
    rows = [[name, *line] for name, line in zip(CLASSES, counts, strict=True)]
    return table(["", *CLASSES], rows)


def write_tables(record: dict[str, Any]) -> None:
    """Put the tables into docs/patterns.md."""
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{tables(record)}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
