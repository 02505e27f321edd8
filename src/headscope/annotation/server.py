"""The local page of `headscope annotate`: a small server on 127.0.0.1 that shows maps and keeps
labels.

A request must name the loopback address as its host and carry the page's token, so that no other
page that is open in the same browser can read maps or write labels.
"""

import json
import secrets
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

from headscope.annotation.records import BLIND, SETTLING, Pass
from headscope.annotation.work import Annotation, Compared, Shown, State
from headscope.errors import HeadscopeError

HOST = "127.0.0.1"
_PAGES = {
    "/": ("text/html", "annotation/page.html"),
    "/page.js": ("text/javascript", "page/dom.js", "page/heatmap.js", "annotation/page.js"),
    "/page.css": ("text/css", "page/colours.css", "annotation/page.css"),
}
"""The media type of each part of the page, and the files of the package that make it up."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_MOST_BYTES = 4096
_IDLE_SECONDS, _MOST_CONNECTIONS = 20.0, 32
"""How long a connection may be silent, and how many may be open: a page needs six."""


@dataclass(frozen=True)
class Start:
    """What the page begins with."""

    annotator: str
    round: int
    token: str


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


Answering = Callable[[Annotation, Request], Answer]

_READ: dict[str, Answering] = {
    "/state": lambda work, asked: work.state(*asked.by),
    "/map": lambda work, asked: work.describe(asked.index, asked.by.round),
    "/agreement": lambda work, _asked: work.agreements(),
}
_WRITTEN: dict[str, Answering] = {
    "/label": lambda work, asked: work.label(*asked.by, asked.index, asked.label, asked.note),
    "/undo": lambda work, asked: work.undo(*asked.by),
}
"""What answers a request, by its path; what is written is only asked for by POST."""


class Server(ThreadingHTTPServer):
    """Serves one annotated set on 127.0.0.1; port 0 takes a free one. `url` is what to open."""

    daemon_threads = True

    def __init__(self, work: Annotation, port: int, annotator: str, round: int) -> None:
        super().__init__((HOST, port), Handler)
        self._free = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self.work = work
        self.token = secrets.token_urlsafe(16)
        self.start = Start(annotator, round, self.token)

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own; one too many is closed at once."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer a connection until it ends."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing for a connection that broke off; the terminal stays readable."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers the page's requests."""

    server: Server
    timeout = _IDLE_SECONDS

    def do_GET(self) -> None:
        """The page, its parts, and what it asks for."""
        split = urlsplit(self.path)
        if not self._is_local():
            return self._refuse("this page answers to 127.0.0.1 only", HTTPStatus.FORBIDDEN)
        if split.path in _PAGES:
            return self._page(*_PAGES[split.path])
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        return self._answer(Request(query), _READ.get(split.path))

    def do_POST(self) -> None:
        """A label, or an undo."""
        length = self.headers.get("Content-Length") or ""
        if not self._is_local() or not length.isdecimal() or int(length) > _MOST_BYTES:
            return self._refuse("refused", HTTPStatus.FORBIDDEN)
        try:
            values = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            return self._refuse("a JSON object was expected")
        return self._answer(Request(values), (_READ | _WRITTEN).get(urlsplit(self.path).path))

    def _answer(self, asked: Request, answer: Answering | None) -> None:
        token = (self.headers.get("X-Token") or "").encode()
        if not secrets.compare_digest(token, self.server.token.encode()):
            text = "open the page again: it belongs to an earlier start"
            return self._refuse(text, HTTPStatus.FORBIDDEN)
        try:
            _ = asked.by  # A pass is needed whatever is asked.
            if answer is None:
                return self._refuse("there is nothing here", HTTPStatus.NOT_FOUND)
            return self._json(answer(self.server.work, asked), HTTPStatus.OK)
        except HeadscopeError as error:
            return self._refuse(str(error))
        except (KeyError, ValueError, IndexError, TypeError, OverflowError):
            return self._refuse("this is no request of the page's")

    def _refuse(self, text: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        self._json(Failure(text), status)

    def _is_local(self) -> bool:
        port = self.server.server_address[1]
        return self.headers.get("Host") in (f"{HOST}:{port}", f"localhost:{port}")

    def _page(self, kind: str, *names: str) -> None:
        package = files("headscope")
        text = "\n".join(package.joinpath(name).read_text(encoding="utf-8") for name in names)
        if kind == "text/html":
            start = json.dumps(asdict(self.server.start)).replace("<", "\\u003c")
            text = text.replace("{{start}}", start)
        self._send(text.encode(), kind, HTTPStatus.OK)

    def _json(self, answer: Answer, status: HTTPStatus) -> None:
        content = json.dumps(answer, default=asdict)
        self._send(content.encode(), "application/json", status)

    def _send(self, data: bytes, kind: str, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal shows where the page is, and stays readable."""
