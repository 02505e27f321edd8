"""What the live page asks, and its answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from threading import Lock
from typing import Any

from headscope.axes import Head, head_set, set_name
from headscope.explorer.shown import OFF, Measured, Shown, map_of
from headscope.explorer.viewed import MODES, Read, Switched, TextsAsked, Viewed
from headscope.reporting.packing import PackedMap
from headscope.results.tables import Map

_KEPT = 4
"""So many texts of all models are remembered, and as many sets of maps without heads."""
MOST_CHARACTERS = 20_000


@dataclass(frozen=True)
class Request:
    """A request of the page: JSON from outside.

    Its properties raise KeyError, TypeError or ValueError for what is no request.
    """

    values: Mapping[str, Any]

    @property
    def model(self) -> int:
        """Which model it is about."""
        return self._number("model")

    @property
    def texts(self) -> TextsAsked:
        """Which texts it is about."""
        return TextsAsked(self._text("first"), self._text("second"))

    @property
    def heads(self) -> str:
        """The heads that are switched off, as in "L1H2,L7H6"; "" for none."""
        return self._text("heads")

    @property
    def mode(self) -> str:
        """What they put out."""
        return self._text("mode") or MODES[0]

    @property
    def example(self) -> int:
        """Which row of tokens a map is of."""
        return self._number("example")

    @property
    def head(self) -> Head:
        """The head that a map is of."""
        (head,) = head_set(self._text("head"))
        return head

    @property
    def is_off(self) -> bool:
        """Whether the map is asked for of the model with heads switched off."""
        return self._text("state") == OFF

    def _text(self, name: str) -> str:
        value = self.values.get(name, "")
        if not isinstance(value, str) or len(value) > MOST_CHARACTERS:
            raise ValueError(name)
        return value

    def _number(self, name: str) -> int:
        value = self.values[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(name)
        return value


class Explorer:
    """Models that are looked at, and what was last asked of them.

    Requests are answered one after the other, whatever threads they come in: parsers, too, are for
    one thread at a time.

    Attributes:
        models: The models: one, or several side by side.
        read: What a model makes of texts, by its number and the texts; the last ones are kept.
    """

    def __init__(self, models: Sequence[Viewed]) -> None:
        self.models = models
        self._turn = Lock()
        self.read = lru_cache(_KEPT * len(models))(self._read_anew)
        self._maps = lru_cache(_KEPT * len(models))(self._maps_anew)

    @property
    def answers(self) -> dict[str, Callable[[Mapping[str, Any]], object]]:
        """What answers a request, by its path."""
        return {
            "/show": partial(self._in_turn, self.show),
            "/switch": partial(self._in_turn, self.switch),
            "/map": partial(self._in_turn, self.map),
        }

    def _in_turn(self, answer: Callable[[Request], object], values: Mapping[str, Any]) -> object:
        with self._turn:
            return answer(Request(values))

    def show(self, asked: Request) -> Shown:
        """What the page shows of texts."""
        return Measured(self.read(asked.model, asked.texts)).shown

    def switch(self, asked: Request) -> Switched:
        """What a model says with heads switched off; heads that it does not have are left out."""
        heads, missing = self._inside(asked)
        switched = self.read(asked.model, asked.texts).switch(heads, asked.mode)
        if not missing:
            return switched
        note = f"the model has no {set_name(missing)}: left out"
        return replace(switched, notes=[note, *switched.notes])

    def map(self, asked: Request) -> PackedMap:
        """The map of one head."""
        if not asked.is_off:
            read = self.read(asked.model, asked.texts)
            return map_of(read.maps, asked.example, asked.head)
        heads, _ = self._inside(asked)
        maps = self._maps(asked.model, asked.texts, heads, asked.mode)
        return map_of(maps, asked.example, asked.head)

    def _inside(self, asked: Request) -> tuple[str, list[Head]]:
        """The heads of a request that the model has, by name, and those that it has not."""
        if not asked.heads:
            return "", []
        model = self.models[asked.model].model
        wanted = sorted(head_set(asked.heads))
        there = [one for one in wanted if one.layer <= model.layers and one.head <= model.heads]
        missing = [one for one in wanted if one not in there]
        return (set_name(there) if there else ""), missing

    def _read_anew(self, model: int, texts: TextsAsked) -> Read:
        return self.models[model].read(texts)

    def _maps_anew(self, model: int, texts: TextsAsked, heads: str, mode: str) -> list[Map]:
        return self.read(model, texts).maps_without(heads, mode)
