"""The local page of `headscope annotate`: a small server on 127.0.0.1 that shows maps and keeps
labels.

A request must name the loopback address as its host and carry the page's token, so that no other
page that is open in the same browser can read maps or write labels.
"""

import base64
import json
import secrets
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from headscope.annotation.agreement import agreement
from headscope.annotation.records import AnnotatedMap, Label, Labels, read_maps
from headscope.errors import HeadscopeError
from headscope.names import CLASSES

HOST = "127.0.0.1"
_PAGES = {
    "/": ("text/html", "annotation/page.html"),
    "/page.js": ("text/javascript", "page/dom.js", "page/heatmap.js", "annotation/page.js"),
    "/page.css": ("text/css", "page/colours.css", "annotation/page.css"),
}
"""The media type of each part of the page, and the files of the package that make it up."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
_MOST_BYTES = 4096


class Annotation:
    """An annotated set in work: which maps there are, in which order an annotator sees them, and
    their labels.
    """

    def __init__(self, folder: Path) -> None:
        self.maps = read_maps(folder)
        self.labels = Labels(folder)
        self._lock = threading.Lock()

    def queue(self, annotator: str, round: int) -> list[int]:
        """Indices of the maps in the annotator's own order. Round 3 holds only what two passes
        disagree on.
        """
        order = np.random.default_rng([round, *annotator.encode()]).permutation(len(self.maps))
        if round == 3:
            labelled = {one for given in self.labels.passes() for one in self.labels.of(*given)}
            disputed = labelled - set(self.labels.settled())
            done = self.labels.of(annotator, 3)
            return [int(i) for i in order if self.maps[i].id in disputed or self.maps[i].id in done]
        return [int(i) for i in order]

    def state(self, annotator: str, round: int) -> dict[str, Any]:
        """What the page needs to go on where the annotator stopped."""
        queue, given = self.queue(annotator, round), self.labels.of(annotator, round)
        left = [i for i in queue if self.maps[i].id not in given]
        return {
            "classes": CLASSES,
            "total": len(queue),
            "done": len(queue) - len(left),
            "next": left[0] if left else None,
        }

    def describe(self, index: int, round: int) -> dict[str, Any]:
        """One map for the page; in round 3 with the labels that differ."""
        one = self.maps[index]
        return {
            "index": index,
            "tokens": len(one.segments),
            "special": one.special,
            "segments": one.segments,
            "pair": one.is_pair,
            "map": base64.b64encode(one.quantised.tobytes()).decode(),
            "labels": self._differing(one) if round == 3 else [],
        }

    def _differing(self, one: AnnotatedMap) -> list[str]:
        return [
            self.labels.of(annotator, round)[one.id]
            for annotator, round in self.labels.passes()
            if round < 3 and one.id in self.labels.of(annotator, round)
        ]

    def label(
        self, annotator: str, round: int, index: int, label: str, note: str = ""
    ) -> dict[str, Any]:
        """Keep a label, on the disk before this returns. Raises HeadscopeError for a label that is
        no class.
        """
        if label not in CLASSES or not 0 <= index < len(self.maps):
            raise HeadscopeError(f"map {index}, label {label!r}: labels are {', '.join(CLASSES)}")
        with self._lock:
            self.labels.add(Label(self.maps[index].id, label, annotator, round, note))
        return self.state(annotator, round)

    def undo(self, annotator: str, round: int) -> dict[str, Any]:
        """Take the annotator's last label of the round back; its map comes next."""
        with self._lock:
            given = list(self.labels.of(annotator, round))
            if not given:
                return self.state(annotator, round)
            self.labels.add(Label(given[-1], "", annotator, round))
        at = next(i for i, one in enumerate(self.maps) if one.id == given[-1])
        return self.state(annotator, round) | {"next": at}

    def agreements(self) -> list[dict[str, Any]]:
        """Agreement of every two passes that share maps."""
        passes = [one for one in self.labels.passes() if one[1] < 3]
        out = []
        for a, first in enumerate(passes):
            for second in passes[a + 1 :]:
                labels = self.labels.of(*first), self.labels.of(*second)
                if labels[0].keys() & labels[1].keys():
                    found = agreement(*labels)
                    out.append(
                        {
                            "first": pass_name(first),
                            "second": pass_name(second),
                            "n": found.n,
                            "raw": found.raw,
                            "kappa": found.kappa,
                            "low": found.kappa_interval[0],
                            "high": found.kappa_interval[1],
                            "differing": found.differing,
                        }
                    )
        return out


def pass_name(one: tuple[str, int]) -> str:
    """An annotator and a round in words."""
    return f"{one[0]}, pass {one[1]}"


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

    def _page(self, kind: str, *names: str) -> None:
        package = files("headscope")
        text = "\n".join(package.joinpath(name).read_text(encoding="utf-8") for name in names)
        if kind == "text/html":
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
