"""An annotated set in work: what the page is shown of it, and what it keeps."""

import base64
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headscope.annotation.agreement import Agreement, agreements
from headscope.annotation.records import (
    BLIND,
    SETTLING,
    AnnotatedMap,
    Label,
    Labels,
    Pass,
    read_maps,
)
from headscope.errors import HeadscopeError
from headscope.names import CLASSES
from headscope.stats.means import known


@dataclass(frozen=True)
class State:
    """How far a pass has come, and the index of the map that is next; None at its end."""

    classes: tuple[str, ...]
    total: int
    done: int
    next: int | None


@dataclass(frozen=True)
class Shown:
    """A map as the page draws it; `map` is 8 bits a weight in base64, `labels` what differs."""

    index: int
    tokens: int
    special: tuple[bool, ...]
    segments: tuple[int, ...]
    pair: bool
    map: str
    labels: list[str]


@dataclass(frozen=True)
class Compared:
    """How far two passes agree on `n` maps: raw, and Cohen's kappa with its interval."""

    first: str
    second: str
    n: int
    raw: float
    kappa: float
    low: float | None
    high: float | None
    differing: list[tuple[str, str, int]]


class Annotation:
    """An annotated set in work: which maps there are, in which order an annotator sees them, and
    their labels.
    """

    def __init__(self, folder: Path) -> None:
        self.maps = read_maps(folder)
        self.labels = Labels(folder, {map_.id for map_ in self.maps})
        self._lock = threading.Lock()

    def queue(self, annotator: str, round: int) -> list[int]:
        """Indices of the maps in the annotator's own order. The pass that settles differences holds
        only what two passes disagree on.
        """
        rng = np.random.default_rng([round, *annotator.encode()])
        order: list[int] = rng.permutation(len(self.maps)).tolist()
        if round != SETTLING:
            return order
        wanted = self.labels.disputed() | self.labels.of(annotator, SETTLING).keys()
        return [index for index in order if self.maps[index].id in wanted]

    def state(self, annotator: str, round: int) -> State:
        """What the page needs to go on where the annotator stopped."""
        queue = self.queue(annotator, round)
        labelled = self.labels.of(annotator, round)
        left = [index for index in queue if self.maps[index].id not in labelled]
        return State(CLASSES, len(queue), len(queue) - len(left), left[0] if left else None)

    def describe(self, index: int, round: int) -> Shown:
        """One map for the page; in the pass that settles differences, the labels that differ."""
        shown = self.maps[index]
        return Shown(
            index=index,
            tokens=len(shown.segments),
            special=shown.special,
            segments=shown.segments,
            pair=shown.is_pair,
            map=base64.b64encode(shown.quantised.tobytes()).decode(),
            labels=self._differing(shown) if round == SETTLING else [],
        )

    def _differing(self, shown: AnnotatedMap) -> list[str]:
        labels = []
        for pass_ in self.labels.passes():
            if pass_.round in BLIND:
                labels.append(self.labels.of(*pass_).get(shown.id, ""))
        return list(filter(None, labels))

    def label(self, annotator: str, round: int, index: int, label: str, note: str = "") -> State:
        """Keep a label, on the disk before this returns. Raises HeadscopeError for a label that is
        no class.
        """
        if label not in CLASSES or not 0 <= index < len(self.maps):
            raise HeadscopeError(f"map {index}, label {label!r}: labels are {', '.join(CLASSES)}")
        with self._lock:
            self.labels.add(Label(self.maps[index].id, label, annotator, round, note))
        return self.state(annotator, round)

    def undo(self, annotator: str, round: int) -> State:
        """Take the annotator's last label of the round back; its map comes next."""
        with self._lock:
            labelled = list(self.labels.of(annotator, round))
            if not labelled:
                return self.state(annotator, round)
            self.labels.add(Label(labelled[-1], "", annotator, round))
        ids = [map_.id for map_ in self.maps]
        return replace(self.state(annotator, round), next=ids.index(labelled[-1]))

    def agreements(self) -> list[Compared]:
        """Agreement of every two passes that share maps."""
        return [_compared(*compared) for compared in agreements(self.labels)]


def _compared(first: Pass, second: Pass, agreed: Agreement) -> Compared:
    low, high = agreed.kappa_interval
    return Compared(
        first=str(first),
        second=str(second),
        n=agreed.n,
        raw=agreed.raw,
        kappa=agreed.kappa,
        low=known(low),
        high=known(high),
        differing=agreed.differing,
    )
