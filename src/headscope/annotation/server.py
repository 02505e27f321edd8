"""The local page of `headscope annotate`: a small server on 127.0.0.1 that shows maps and keeps
labels.

A request must name the loopback address as its host and carry the page's token, so that no other
page that is open in the same browser can read maps or write labels.
"""

import base64
import json
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from headscope.annotation.agreement import agreement
from headscope.annotation.records import BLIND, SETTLING, AnnotatedMap, Label, Labels, Pass, read_maps
from headscope.errors import HeadscopeError
from headscope.names import CLASSES

HOST = "127.0.0.1"
_PAGES = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
_MOST_BYTES = 4096


@dataclass(frozen=True)
class Start:
    """What the page begins with."""

    annotator: str
    round: int
    token: str


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
    low: float
    high: float
    differing: list[tuple[str, str, int]]


@dataclass(frozen=True)
class Failure:
    """Why a request was refused, in a sentence."""

    error: str


Answer = State | Shown | list[Compared] | Failure


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


class Annotation:
    """An annotated set in work: which maps there are, in which order an annotator sees them, and
    their labels.
    """

    def __init__(self, folder: Path) -> None:
        self.maps = read_maps(folder)
        self.labels = Labels(folder)
        self._lock = threading.Lock()

    def queue(self, annotator: str, round: int) -> list[int]:
        """Indices of the maps in the annotator's own order. The pass that settles differences holds
        only what two passes disagree on.
        """
        order = np.random.default_rng([round, *annotator.encode()]).permutation(len(self.maps))
        if round != SETTLING:
            return order.tolist()
        wanted = self.labels.disputed() | self.labels.of(annotator, SETTLING).keys()
        return [index for index in order.tolist() if self.maps[index].id in wanted]

    def state(self, annotator: str, round: int) -> State:
        """What the page needs to go on where the annotator stopped."""
        queue = self.queue(annotator, round)
        labelled = self.labels.of(annotator, round)
        left = [index for index in queue if self.maps[index].id not in labelled]
        return State(CLASSES, len(queue), len(queue) - len(left), left[0] if left else None)

    def describe(self, index: int, round: int) -> Shown:
        """One map for the page; in the pass that settles differences with the labels that differ."""
        shown = self.maps[index]
        return Shown(
            index=index,
            tokens=len(shown.segments),
            special=shown.special,
            segments=shown.segments,
            pair=shown.is_pair,
            map=base64.b64encode(shown.quantised.tobytes()).decode(),
            labels=self._blind_labels(shown) if round == SETTLING else [],
        )

    def _blind_labels(self, shown: AnnotatedMap) -> list[str]:
        labels = []
        for blind in self._blind_passes():
            label = self.labels.of(*blind).get(shown.id)
            labels += [] if label is None else [label]
        return labels

    def _blind_passes(self) -> list[Pass]:
        return [pass_ for pass_ in self.labels.passes() if pass_.round in BLIND]

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
        compared = []
        for first, second in combinations(self._blind_passes(), 2):
            labels, others = self.labels.of(*first), self.labels.of(*second)
            if labels.keys() & others.keys():
                compared.append(_compared(first, second, agreement(labels, others)))
        return compared


class Server(ThreadingHTTPServer):
    """Serves one annotated set on 127.0.0.1; port 0 takes a free one. `url` is what to open."""

    daemon_threads = True

    def __init__(self, work: Annotation, port: int, annotator: str, round: int) -> None:
        super().__init__((HOST, port), Handler)
        self.work, self.token = work, secrets.token_urlsafe(16)
        self.start = {"annotator": annotator, "round": round}

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_address[1]}/"


class Handler(BaseHTTPRequestHandler):
    """Answers the page's requests."""

    server: Server

    def do_GET(self) -> None:
        """The page, its parts, and what it asks for."""
        split = urlsplit(self.path)
        if not self._is_local():
            return self._json(
                {"error": "this page answers to 127.0.0.1 only"}, HTTPStatus.FORBIDDEN
            )
        if split.path in _PAGES:
            return self._page(*_PAGES[split.path])
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        return self._answer(split.path, query)

    def do_POST(self) -> None:
        """A label, or an undo."""
        length = self.headers.get("Content-Length") or ""
        if not self._is_local() or not length.isdecimal() or int(length) > _MOST_BYTES:
            return self._json({"error": "refused"}, HTTPStatus.FORBIDDEN)
        try:
            given = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            given = None
        if not isinstance(given, dict):
            return self._json({"error": "a JSON object was expected"}, HTTPStatus.BAD_REQUEST)
        return self._answer(urlsplit(self.path).path, given)

    def _answer(self, path: str, given: Mapping[str, Any]) -> None:
        if not secrets.compare_digest(
            (self.headers.get("X-Token") or "").encode(), self.server.token.encode()
        ):
            return self._json(
                {"error": "open the page again: it belongs to an earlier start"},
                HTTPStatus.FORBIDDEN,
            )
        work = self.server.work
        try:
            annotator, round = str(given.get("annotator", "")).strip(), int(given.get("round", 1))
            if not annotator or round not in (1, 2, 3):
                raise HeadscopeError(
                    "give the annotator's name and the pass: 1, 2, or 3 to settle differences"
                )
            if path == "/state":
                out: Any = work.state(annotator, round)
            elif path == "/map":
                out = work.describe(int(given["index"]), round)
            elif path == "/agreement":
                out = work.agreements()
            elif path == "/label" and self.command == "POST":
                out = work.label(
                    annotator,
                    round,
                    int(given["index"]),
                    str(given["label"]),
                    str(given.get("note", "")),
                )
            elif path == "/undo" and self.command == "POST":
                out = work.undo(annotator, round)
            else:
                return self._json({"error": "there is nothing here"}, HTTPStatus.NOT_FOUND)
        except HeadscopeError as error:
            return self._json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        except (KeyError, ValueError, IndexError, TypeError, OverflowError):
            return self._json({"error": "this is no request of the page's"}, HTTPStatus.BAD_REQUEST)
        return self._json(out, HTTPStatus.OK)

    def _is_local(self) -> bool:
        port = self.server.server_address[1]
        return self.headers.get("Host") in (f"{HOST}:{port}", f"localhost:{port}")

    def _page(self, name: str, kind: str) -> None:
        text = files("headscope.annotation").joinpath(name).read_text(encoding="utf-8")
        if name == "page.html":
            start = json.dumps({**self.server.start, "token": self.server.token}).replace(
                "<", "\\u003c"
            )
            text = text.replace("{{start}}", start)
        self._send(text.encode(), kind, HTTPStatus.OK)

    def _json(self, value: Any, status: HTTPStatus) -> None:
        self._send(json.dumps(value).encode(), "application/json", status)

    def _send(self, data: bytes, kind: str, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal shows where the page is, and stays readable."""
