"""Which maps of the annotated set a sharper guide may change, and what annotators said of a list of
maps.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headscope.annotation.records import AnnotatedMap, Label, Labels
from headscope.errors import HeadscopeError
from headscope.names import BLOCK, CLASSES, HETEROGENEOUS, VERTICAL
from patterns.sheets import column_shares, row_distances

_AGREE, _CURTAIN, _STRONG = 0.4, 0.28, 0.4
_BAND_WIDTH, _BAND, _BAND_SHARE = 0.075, 0.2, 0.65

Listed = dict[int, str]
"""The ids of maps by the number that annotators see."""


@dataclass(frozen=True)
class Looks:
    """What the choice of maps goes by.

    Attributes:
        distance: The median distance of a row from the mean row.
        standing_out: The mass of the columns that have over twice an even share.
        band: The mass near the diagonal (0.075 of the tokens, at least 2) outside those columns.
        band_share: That as a share of all mass outside those columns.
    """

    distance: float
    standing_out: float
    band: float
    band_share: float

    @classmethod
    def of(cls, shown: AnnotatedMap) -> "Looks":
        """Those of one map."""
        weights = shown.weights
        tokens = len(weights)
        shares = column_shares(weights)
        stands_out = shares > 2 / tokens
        position = np.arange(tokens)
        near = np.abs(position[None] - position[:, None]) <= max(2, np.ceil(_BAND_WIDTH * tokens))
        rest = weights * ~stands_out
        in_rest, in_band = float(rest.sum()), float((rest * near).sum())
        return cls(
            distance=float(np.median(row_distances(weights))),
            standing_out=float(shares[stands_out].sum()),
            band=in_band / tokens,
            band_share=in_band / in_rest if in_rest else 0.0,
        )

    def may_change(self, label: str) -> bool:
        """Whether the sharper guide may call a map otherwise that was called `label`: rows of a
        heterogeneous map (of a block: nearly) agree on columns, or a band stands beside stripes
        where no diagonal was seen.
        """
        agree = self.distance < _AGREE
        if label == HETEROGENEOUS and agree and self.standing_out >= _CURTAIN:
            return True
        if label == BLOCK and agree and self.standing_out >= _STRONG:
            return True
        is_band = self.band >= _BAND and self.band_share >= _BAND_SHARE
        return label in (HETEROGENEOUS, VERTICAL) and is_band


def to_look_at_again(
    maps: Sequence[AnnotatedMap], settled: Mapping[str, str], others: int, seed: int
) -> list[str]:
    """The ids of the maps that the guide may change, and of `others` drawn from the rest, which
    show whether labels drift.
    """
    labelled = [annotated for annotated in maps if annotated.id in settled]
    chosen = [
        annotated.id
        for annotated in labelled
        if Looks.of(annotated).may_change(settled[annotated.id])
    ]
    known = set(chosen)
    rest = [annotated.id for annotated in labelled if annotated.id not in known]
    drawn = np.random.default_rng(seed).permutation(len(rest))[:others]
    return [*chosen, *(rest[row] for row in drawn.tolist())]


def write_list(listed: Listed, path: Path) -> None:
    """A line per map: its number and its id."""
    lines = [json.dumps({"index": index, "map": name}) for index, name in listed.items()]
    path.write_text("\n".join(lines) + "\n")


def read_list(path: Path) -> Listed:
    """The list that `write_list` wrote."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {row["index"]: row["map"] for row in rows}


def labels_of(files: Mapping[str, Path], listed: Listed, round: int) -> list[Label]:
    """The labels that annotators wrote, a JSON line per map: {"map": index, "class": ..., "note":
    ...}.

    Args:
        files: The file of each annotator, by the annotator's name.
        listed: The maps of the list; together the files label each once.
        round: The pass.

    Raises:
        HeadscopeError: A line is no label of a map of the list, a class is unknown, or a map has no
            label or two.
    """
    labels: dict[int, Label] = {}
    for annotator, path in files.items():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if not line.strip():
                continue
            try:
                said: dict[str, Any] = json.loads(line)
                index, name, note = said["map"], said["class"], said.get("note", "")
                listed[index]
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise HeadscopeError(
                    f"{path}, line {number} is no label of a map of the list"
                ) from error
            if name not in CLASSES or not isinstance(note, str):
                raise HeadscopeError(
                    f"{path}, line {number}: {name!r} is no class, or the note no text"
                )
            if index in labels:
                raise HeadscopeError(f"{path}, line {number}: map {index} has a label already")
            labels[index] = Label(listed[index], name, annotator, round, note)
    missing = sorted(listed.keys() - labels.keys())
    if missing:
        raise HeadscopeError(f"{len(missing)} maps of the list have no label: {missing[:20]}")
    return list(labels.values())


def said_in(labels: Labels, round: int) -> dict[str, str]:
    """What all annotators of a pass said, by map."""
    said: dict[str, str] = {}
    for annotator, of_round in labels.passes():
        if of_round == round:
            said |= labels.of(annotator, round)
    return said
