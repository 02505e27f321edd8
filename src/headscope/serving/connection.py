"""Connections of a local page: bounded in number, and none is waited for without end.

uvicorn's own protocol waits for the end of a request as long as it takes. Here a connection
carries one request, has a time to send it, and then a time to take the answer.
"""

import asyncio
import json
import logging

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = [
    ("Content-Security-Policy", _POLICY),
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
    ("Connection", "close"),
]
"""The headers of every answer, refusals included."""
REFUSED = json.dumps({"error": "refused"}).encode()
"""The answer to what is no request of HTTP, or is too long."""

# Without a handler Python writes what uvicorn logs to the terminal.
logging.getLogger("uvicorn").addHandler(logging.NullHandler())


class BoundedConnection(H11Protocol):
    """One connection of at most `most_connections`; a page needs six.

    Attributes:
        idle_seconds: How long it may take to send a request, and to take the answer.
        most_connections: How many may be open; one too many is closed at once.
    """

    idle_seconds = 20.0
    most_connections = 32
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        if len(self.connections) >= self.most_connections:
            self.transport = transport
            transport.abort()
            return
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take a piece of the request; once it is whole, the answer may take its time."""
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY, h11.ERROR):
            self._wait_no_longer()

    def on_response_complete(self) -> None:
        """Wait until the answer is taken."""
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._wait_no_longer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request of HTTP; cut it off where an answer has begun."""
        del msg
        if self.cycle is not None:
            self.transport.abort()
            return
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", str(len(REFUSED)).encode()),
        ]
        head = h11.Response(status_code=403, headers=headers, reason=b"Forbidden")
        for event in (head, h11.Data(data=REFUSED), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _wait(self) -> None:
        self._wait_no_longer()
        self._deadline = self.loop.call_later(self.idle_seconds, self.transport.abort)

    def _wait_no_longer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
