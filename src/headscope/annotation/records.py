"""Maps and labels on disk: `maps.parquet` holds the maps, `labels.jsonl` a line per label, in the
order given.

A map is kept in 8 bits, as the square root of its weights in 255ths: a plain 255th is half of what
a uniform map of 128 tokens gives a token. No text is kept, only where the map came from.
"""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float, UInt8

from headscope.axes import Head
from headscope.errors import HeadscopeError, reason, refusing
from headscope.files import replacing
from headscope.names import CLASSES
from headscope.results.saved import read_table
from headscope.results.tables import TABLES

MAPS, LABELS = TABLES["maps"].file, "labels.jsonl"


@dataclass(frozen=True)
class AnnotatedMap:
    """One attention map, its tokens' kinds, and where it came from.

    `family` names the pre-trained weights that the model descends from: the heads of a fine-tuned
    model look like those of the model that it was. `drawn` says how the map came to be here
    ("random", or what it was a candidate for).
    """

    id: str
    model: str
    family: str
    head: Head
    source: str
    example: int
    drawn: str
    special: tuple[bool, ...]
    segments: tuple[int, ...]
    quantised: UInt8[np.ndarray, "query key"]

    @property
    def weights(self) -> Float[np.ndarray, "query key"]:
        """The attention weights, rows summing to 1."""
        return dequantise(self.quantised)

    @property
    def is_pair(self) -> bool:
        """Whether the map is of a pair of texts."""
        return len(set(self.segments)) > 1


@dataclass(frozen=True)
class Label:
    """What one annotator called one map.

    `round` is 1 for the first pass, 2 for the second, 3 for what was settled; 4 and 5 are two more
    passes over maps that were unclear; 6 to 8 are like 1 to 3, under the guide as it was sharpened
    later. `note` says why, where two passes differed.
    """

    map: str
    label: str
    annotator: str
    round: int
    note: str = ""


ROUNDS = (1, 2, 3, 4, 5, 6, 7, 8)
BLIND, SETTLING = (1, 2), 3
"""The rounds in which no label is shown, and the round that settles differences."""
LATER = (6, 7, 8)
"""Two blind rounds and the settling one under a later guide: of a map that has labels of these, no
earlier label counts.
"""


class Pass(NamedTuple):
    """One annotator's round over the maps."""

    annotator: str
    round: int

    def __str__(self) -> str:
        return f"{self.annotator}, pass {self.round}"


def quantise(weights: Float[np.ndarray, "query key"]) -> UInt8[np.ndarray, "query key"]:
    """Attention weights in 8 bits: 255 times their square root."""
    steps: UInt8[np.ndarray, "query key"] = np.rint(np.sqrt(np.clip(weights, 0, 1)) * 255).astype(
        np.uint8
    )
    return steps


def dequantise(quantised: UInt8[np.ndarray, "query key"]) -> Float[np.ndarray, "query key"]:
    """The weights again, rows summing to 1."""
    squares = (quantised.astype(np.float32) / np.float32(255)) ** 2
    total = squares.sum(1, keepdims=True)
    shares: Float[np.ndarray, "query key"] = squares / np.where(total > 0, total, 1)
    shares[total[:, 0] == 0] = 1 / squares.shape[1]
    return shares


def write_maps(folder: Path, maps: Sequence[AnnotatedMap]) -> None:
    """Write `maps.parquet`, whole or not at all."""
    rows = [
        {
            "id": map_.id,
            "model": map_.model,
            "family": map_.family,
            "layer": map_.head.layer,
            "head": map_.head.head,
            "source": map_.source,
            "example": map_.example,
            "drawn": map_.drawn,
            "special": list(map_.special),
            "segments": list(map_.segments),
            "map": map_.quantised.tobytes(),
        }
        for map_ in maps
    ]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    TABLES["maps"].check(frame)
    with replacing(folder / MAPS) as unfinished:
        frame.write_parquet(unfinished, compression="zstd", compression_level=19)


def read_maps(folder: Path) -> list[AnnotatedMap]:
    """The maps of an annotated set. Raises HeadscopeError where there are none."""
    path = folder / MAPS
    if not path.is_file():
        raise HeadscopeError(
            f"{folder} holds no {MAPS}: draw maps first with headscope annotate --model M --task T"
        )
    try:
        frame = read_table(path, TABLES["maps"])
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    maps: dict[str, AnnotatedMap] = {}
    for number, row in enumerate(frame.iter_rows(named=True), 1):
        try:
            map_ = _map_of(row)
        except (ValueError, TypeError) as error:
            raise _damaged(path, f"row {number}: {reason(error)}") from error
        if map_.id in maps:
            raise _damaged(path, f"row {number}: the map {map_.id} is there already")
        maps[map_.id] = map_
    if not maps:
        raise _damaged(path, "it holds no map")
    return list(maps.values())


def _map_of(row: Mapping[str, Any]) -> AnnotatedMap:
    """The map of a row. Raises ValueError, TypeError or HeadscopeError where it is none."""
    missing = [name for name, value in row.items() if value is None]
    if missing:
        raise ValueError(f"it has no {missing[0]}")
    tokens = len(row["segments"])
    if not tokens or len(row["special"]) != tokens or len(row["map"]) != tokens**2:
        raise ValueError("its tokens, segments and weights do not fit each other")
    if min(row["layer"], row["head"]) < 1:
        raise ValueError("layers and heads are counted from 1")
    if not set(row["segments"]) <= {0, 1} or not set(row["special"]) <= {False, True}:
        raise ValueError("a token is of text 0 or 1, and special or not")
    return AnnotatedMap(
        id=row["id"],
        model=row["model"],
        family=row["family"],
        head=Head(row["layer"], row["head"]),
        source=row["source"],
        example=row["example"],
        drawn=row["drawn"],
        special=tuple(row["special"]),
        segments=tuple(row["segments"]),
        quantised=np.frombuffer(row["map"], np.uint8).reshape(tokens, tokens),
    )


def _damaged(path: Path, what: str) -> HeadscopeError:
    return HeadscopeError(
        f"{path} is damaged ({what}): it was left as it is; mend it, or take another folder"
    )


_BEGINNING = b'{"map": "'


def _label_of(line: bytes, path: Path, number: int, maps: Collection[str] | None) -> Label:
    """The label of a line; raises HeadscopeError where it is none, or of another set."""
    try:
        content = json.loads(line)
        texts = [content.get(name, "") for name in ("map", "label", "annotator", "note")]
        is_label = all(isinstance(text, str) for text in texts) and type(content["round"]) is int
        label = Label(**content) if is_label else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _damaged(path, f"line {number} is no label") from error
    if label is None:
        raise _damaged(path, f"line {number} is no label")
    if label.label not in ("", *CLASSES):
        raise _damaged(path, f"line {number}: {label.label[:40]!r} is no class")
    if label.round not in ROUNDS:
        raise _damaged(path, f"line {number}: there is no round {str(label.round)[:20]}")
    if maps is not None and label.map not in maps:
        raise _damaged(path, f"line {number}: there is no map {label.map[:60]!r}")
    return label


class Labels:
    """The labels of a set: a file that only grows, each line on the disk before the next is asked
    for.

    An undone label is a line with an empty label; the last line of an annotator and round on a map
    holds.

    Args:
        folder: The folder of the set.
        maps: The maps that there are; None where they do not matter.

    Raises:
        HeadscopeError: The file is damaged; names the line.
    """

    def __init__(self, folder: Path, maps: Collection[str] | None = None) -> None:
        self.path = folder / LABELS
        self.lines: list[Label] = []
        if self.path.exists():
            with refusing(f"{self.path} cannot be read", "give a file of labels, a line each"):
                content = self.path.read_bytes()
            *whole, cut = content.split(b"\n")
            for number, line in enumerate(whole, 1):
                if line.strip():
                    self.lines.append(_label_of(line, self.path, number, maps))
            # A line that a crash cut short, perhaps inside a letter, was never confirmed to anyone.
            # Anything else at the end is not ours to write over.
            if not cut.startswith(_BEGINNING[: len(cut)]):
                raise _damaged(self.path, f"line {len(whole) + 1} is no label")

    def add(self, *labels: Label) -> None:
        """Append labels and wait until they are on the disk."""
        lines = [json.dumps(asdict(label), ensure_ascii=False) + "\n" for label in labels]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("r+b" if self.path.exists() else "w+b") as file:
            # Behind the last whole line: what a crash cut short is written over.
            file.truncate(file.read().rfind(b"\n") + 1)
            file.seek(0, os.SEEK_END)
            file.write("".join(lines).encode())
            file.flush()
            os.fsync(file.fileno())
        self.lines += labels

    def of(self, annotator: str, round: int) -> dict[str, str]:
        """One annotator's labels of one round by map, in the order in which they were given."""
        labels: dict[str, str] = {}
        for line in self.lines:
            if (line.annotator, line.round) == (annotator, round):
                # Taken out first, so that a label that is given again comes last.
                labels.pop(line.map, None)
                if line.label:
                    labels[line.map] = line.label
        return labels

    def passes(self) -> list[Pass]:
        """The passes that there are, in order of their first label."""
        return list(dict.fromkeys(Pass(line.annotator, line.round) for line in self.lines))

    def settled(self) -> dict[str, str]:
        """The label that counts for every map: what was settled, else what all agree on; disputed
        maps are left out. Labels under the later guide replace earlier ones.
        """
        by_map: dict[str, dict[Pass, str]] = {}
        for line in self.lines:
            labels = by_map.setdefault(line.map, {})
            labels.pop(Pass(line.annotator, line.round), None)
            labels[Pass(line.annotator, line.round)] = line.label
        settled = {}
        for name, labels in by_map.items():
            given = {pass_: label for pass_, label in labels.items() if label}
            later = {pass_: label for pass_, label in given.items() if pass_.round in LATER}
            final = [
                label
                for pass_, label in (later or given).items()
                if pass_.round in (SETTLING, LATER[-1])
            ]
            agreed = set((later or given).values())
            if final:
                settled[name] = final[-1]
            elif len(agreed) == 1:
                settled[name] = agreed.pop()
        return settled

    def disputed(self) -> set[str]:
        """The maps that have labels, and none that counts."""
        labelled: set[str] = set()
        for pass_ in self.passes():
            labelled |= self.of(*pass_).keys()
        return labelled - self.settled().keys()
