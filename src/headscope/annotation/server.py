"""The local page of `headscope annotate`: shows maps of one annotated set and keeps labels."""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib.resources import files
from typing import Any

from headscope.annotation.records import BLIND, SETTLING, Pass
from headscope.annotation.work import Annotation, Compared, Shown, State
from headscope.errors import HeadscopeError
from headscope.serving import Answering, LocalServer, Part

_PAGES = {
    "/": ("text/html", "annotation/page.html"),
    "/page.js": ("text/javascript", "page/dom.js", "page/heatmap.js", "annotation/page.js"),
    "/page.css": ("text/css", "page/colours.css", "annotation/page.css"),
}
"""The media type of each part of the page, and the files of the package that make it up."""


@dataclass(frozen=True)
class Start:
    """What the page begins with."""

    annotator: str
    round: int
    token: str


@dataclass(frozen=True)
class Request:
    """A request of the page: JSON, or a query, from outside.

    Its properties raise KeyError, TypeError, ValueError or OverflowError for what is no request.
    """

    values: Mapping[str, Any]

    @property
    def by(self) -> Pass:
        """Whose pass it is about. Raises HeadscopeError where there is no such pass."""
        annotator = str(self.values.get("annotator", "")).strip()
        round = int(self.values.get("round", 1))
        if not annotator or round not in (*BLIND, SETTLING):
            raise HeadscopeError(
                "give the annotator's name and the pass: 1, 2, or 3 to settle differences"
            )
        return Pass(annotator, round)

    @property
    def index(self) -> int:
        """Which map it is about."""
        return int(self.values["index"])

    @property
    def label(self) -> str:
        """The label that was given."""
        return str(self.values["label"])

    @property
    def note(self) -> str:
        """Why, where two passes differed."""
        return str(self.values.get("note", ""))


Answer = State | Shown | list[Compared]

_READ: dict[str, Callable[[Annotation, Request], Answer]] = {
    "/state": lambda work, asked: work.state(*asked.by),
    "/map": lambda work, asked: work.describe(asked.index, asked.by.round),
    "/agreement": lambda work, _asked: work.agreements(),
}
_WRITTEN: dict[str, Callable[[Annotation, Request], Answer]] = {
    "/label": lambda work, asked: work.label(*asked.by, asked.index, asked.label, asked.note),
    "/undo": lambda work, asked: work.undo(*asked.by),
}
"""What answers a request, by its path; what is written is only asked for by POST."""


class Server(LocalServer):
    """Serves one annotated set on 127.0.0.1; port 0 takes a free one. `url` is what to open."""

    def __init__(self, work: Annotation, port: int, annotator: str, round: int) -> None:
        self.work = work
        self.beginning = Start(annotator, round, secrets.token_urlsafe(16))
        answers: dict[str, Answering] = {}
        for path, answer in (_READ | _WRITTEN).items():
            answers[path] = partial(_answer, work, answer)
        super().__init__(
            _parts(self.beginning), answers, token=self.beginning.token, port=port, reads=_READ
        )


def _answer(
    work: Annotation, answer: Callable[[Annotation, Request], Answer], values: Mapping[str, Any]
) -> Answer:
    asked = Request(values)
    _ = asked.by  # A pass is needed whatever is asked.
    return answer(work, asked)


def _parts(beginning: Start) -> dict[str, Part]:
    package = files("headscope")
    parts = {}
    for path, (media_type, *names) in _PAGES.items():
        text = "\n".join(package.joinpath(name).read_text(encoding="utf-8") for name in names)
        if media_type == "text/html":
            start = json.dumps(asdict(beginning)).replace("<", "\\u003c")
            text = text.replace("{{start}}", start)
        parts[path] = Part(media_type, text)
    return parts
