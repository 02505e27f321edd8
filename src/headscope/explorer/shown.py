"""What the page shows of a text: the tables, small maps and maps that a report's section holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from headscope.axes import Head
from headscope.explorer.answers import Answer, Kind
from headscope.explorer.viewed import Read
from headscope.figures.style import PATTERN_COLOURS, label
from headscope.figures.thumbnails import SIDE, typical
from headscope.measures import OWN_PASS, known
from headscope.measures.base import MeasureObserver, Measures
from headscope.measures.rows import head_rows
from headscope.model.example_maps import ExampleRow
from headscope.model.passes import run_pass
from headscope.model.text_maps import numbers_of_words
from headscope.names import AS_GIVEN, GIVEN, SIGNIFICANT
from headscope.patterns.classifier import load_classifier
from headscope.patterns.collect import FEWEST, Collector
from headscope.patterns.rows import pattern_rows
from headscope.reporting.packing import PackedMap, base64_of, deflated, packed
from headscope.reporting.payload import Payload, Pictures, columns
from headscope.results.run import frame_of, typed_frame
from headscope.results.tables import TABLES, Map

OFF = "off"
"""The state of a model with heads switched off, beside `names.GIVEN`."""


@dataclass(frozen=True)
class Shown:
    """What the page shows of texts and a model.

    Attributes:
        model: The name of the model.
        kind: What its outputs are.
        payload: The tables and small maps, as of a report's section.
        answers: What the model says.
        notes: What a reader must know of the texts.
    """

    model: str
    kind: Kind
    payload: Payload
    answers: list[Answer]
    notes: list[str]


@dataclass(frozen=True, eq=False)
class Measured:
    """What is measured of texts that a model has read.

    Args:
        read: The texts.
    """

    read: Read

    @cached_property
    def shown(self) -> Shown:
        """All that the page shows of them, but for the maps."""
        viewed = self.read.of
        whole = self.read.switch("", "uniform")
        return Shown(
            model=viewed.model.name,
            kind=viewed.kind,
            payload=self._payload(),
            answers=whole.answers,
            notes=[*self._notes(), *whole.notes],
        )

    def _payload(self) -> Payload:
        model = self.read.of.model
        heads, patterns = self._tables()
        maps = {f"{GIVEN}/{row}": map_ for row, map_ in enumerate(self.read.maps)}
        small = typical(maps)
        pictures = None
        if small is not None:
            pictures = Pictures(SIDE, base64_of(deflated(small.small, 16)))
        names = heads["measure"].unique().to_list()
        tables = {
            "heads": heads,
            "patterns": patterns,
            "examples": frame_of(self._examples(), {}),
        }
        return Payload(
            layers=model.layers,
            heads=model.heads,
            significant=SIGNIFICANT,
            pattern_colours=PATTERN_COLOURS,
            labels={name: label(name) for name in names},
            tables={name: columns(frame) for name, frame in tables.items()},
            maps=list(maps),
            typical=pictures,
        )

    def _tables(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The tables `heads` and `patterns`."""
        viewed, encoded = self.read.of, self.read.encoded
        model = viewed.model
        of_words = viewed.words_of(encoded, self.read.split)
        names = [name for name in known() if name not in OWN_PASS]
        observer = MeasureObserver(Measures(names, of_words), model.layers, model.heads)
        collector = Collector(load_classifier(), len(encoded), model.layers, model.heads)
        # A measure may call the model by itself, and it has the heads that are switched off.
        with viewed.switched("", "uniform"):
            run_pass(model, encoded, [observer, collector], precision="fp32")
        heads = typed_frame("heads", head_rows(observer.moments()))
        classified = collector.classified()
        if not (classified.classes >= 0).any():
            return heads, TABLES["patterns"].empty()
        return heads, typed_frame("patterns", pattern_rows({AS_GIVEN: classified}, seed=0))

    def _examples(self) -> list[ExampleRow]:
        encoded = self.read.encoded
        rows = []
        for row, tokens in enumerate(self.read.tokens):
            words = numbers_of_words(encoded, row)
            rows.append(
                ExampleRow(
                    example=row,
                    # What the model says stands above.
                    label=None,
                    prediction=None,
                    tokens=tokens,
                    segments=encoded.segments[row],
                    special=encoded.special[row],
                    words=None if words is None else list(words),
                )
            )
        return rows

    def _notes(self) -> list[str]:
        viewed, tokens = self.read.of, self.read.tokens
        notes = []
        if viewed.prompt:
            notes.append(f"{viewed.prompt!r} stands before every text")
        unknown = viewed.model.tokenizer.unk_token
        count = sum(row.count(unknown) for row in tokens) if unknown else 0
        if count:
            notes.append(
                f"{unknown} stands for what the tokenizer does not know: {count} of "
                f"{sum(map(len, tokens))} tokens"
            )
        if min(map(len, tokens)) < FEWEST:
            notes.append(f"a map of fewer than {FEWEST} tokens has no pattern")
        return notes


def map_of(maps: Sequence[Map], example: int, head: Head) -> PackedMap:
    """The map of one head on one example, packed as one of a model of one head.

    Raises:
        IndexError: There is no such example or head.
    """
    layer, index = head.index
    one = maps[example][layer : layer + 1, index : index + 1]
    if one.size == 0:
        raise IndexError(f"there is no {head}")
    return packed({GIVEN: np.ascontiguousarray(one)})[GIVEN]
