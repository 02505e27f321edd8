"""Maps and labels on disk: `maps.parquet` holds the maps, `labels.jsonl` a line per label, in the
order given.

A map is kept in 8 bits, as the square root of its weights in 255ths: a plain 255th is half of what
a uniform map of 128 tokens gives a token. No text is kept, only where the map came from.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float, UInt8

from headscope.axes import Head
from headscope.errors import HeadscopeError
from headscope.files import replacing
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
    """One annotator's word on one map. `round` is 1 for the first pass, 2 for the second, 3 for
    what was settled; 4 and 5 are two more passes over maps that were unclear.

    `note` says why, where two passes differed.
    """

    map: str
    label: str
    annotator: str
    round: int
    note: str = ""


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
            "id": one.id,
            "model": one.model,
            "family": one.family,
            "layer": one.head.layer,
            "head": one.head.head,
            "source": one.source,
            "example": one.example,
            "drawn": one.drawn,
            "special": list(one.special),
            "segments": list(one.segments),
            "map": one.quantised.tobytes(),
        }
        for one in maps
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
    out = []
    for row in pl.read_parquet(path).to_dicts():
        tokens = len(row["segments"])
        out.append(
            AnnotatedMap(
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
        )
    return out


class Labels:
    """The labels of a set: a file that only grows, each line on the disk before the next is asked
    for.

    An undone label is a line with an empty label; the last line of an annotator and round on a map
    holds.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LABELS
        self.lines: list[Label] = []
        if self.path.is_file():
            # A line that a crash cut short, perhaps inside a letter, was never confirmed to anyone.
            whole = self.path.read_bytes().split(b"\n")[:-1]
            self.lines = [Label(**json.loads(line)) for line in whole if line.strip()]

    def add(self, *labels: Label) -> None:
        """Append labels and wait until they are on the disk."""
        text = "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in labels)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("r+b" if self.path.exists() else "w+b") as file:
            end = file.seek(0, os.SEEK_END)
            if end:
                file.seek(end - 1)
                if file.read(1) != b"\n":
                    content = self.path.read_bytes()
                    file.truncate(content.rfind(b"\n") + 1)
                    file.seek(0, os.SEEK_END)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        self.lines += labels

    def of(self, annotator: str, round: int) -> dict[str, str]:
        """One annotator's labels of one round: map -> label."""
        return {
            k: v.label
            for k, v in _last(x for x in self.lines if (x.annotator, x.round) == (annotator, round))
        }

    def passes(self) -> list[tuple[str, int]]:
        """The (annotator, round) that there are, in order of their first label."""
        return list(dict.fromkeys((x.annotator, x.round) for x in self.lines))

    def settled(self) -> dict[str, str]:
        """The label that counts for every map: what was settled, else what all agree on; disputed
        maps are left out.
        """
        given: dict[str, dict[tuple[str, int], str]] = {}
        for x in self.lines:
            own = given.setdefault(x.map, {})
            own.pop((x.annotator, x.round), None)
            own[(x.annotator, x.round)] = x.label
        out = {}
        for name, labels in given.items():
            final = [label for (_, round), label in labels.items() if round == 3 and label]
            seen = {label for label in labels.values() if label}
            if final:
                out[name] = final[-1]
            elif len(seen) == 1:
                out[name] = seen.pop()
        return out


def _last(labels: Iterable[Label]) -> list[tuple[str, Label]]:
    last: dict[str, Label] = {}
    for one in labels:
        last.pop(one.map, None)
        last[one.map] = one
    return [(k, v) for k, v in last.items() if v.label]
