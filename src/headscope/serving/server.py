"""The server of a local page: where it listens, how it begins and how it ends.

The server runs in a thread of its own, so that Ctrl-C and SIGTERM stay with the main thread and
with whoever listens to them there (`headscope.stopping`). Starlette and uvicorn are imported when
a server is made.
"""

import os
import socket
import threading
from collections.abc import Collection, Mapping

from headscope.errors import HeadscopeError
from headscope.serving.page import HOST, Answering, Part

_BACKLOG = 64
_GRACE_SECONDS = 1
"""For so long answers on their way are waited for when a server ends."""
_LOOK_SECONDS = 0.5
"""Where a wait cannot be interrupted (Windows), Ctrl-C is heard after so long."""


class LocalServer:
    """Serves one page on 127.0.0.1, to the browser of this machine and to no other page in it.

    It listens as soon as it is made, and answers from `start` or `serve_forever` on.

    Attributes:
        url: The address of the page.
        port: The port that it listens on.

    Example:
        >>> page = {"/": Part("text/html", "<p>A page.</p>")}
        >>> answers = {"/double": lambda asked: [2 * asked["of"]]}
        >>> server = LocalServer(page, answers, token="a secret")
        >>> server.url == f"http://127.0.0.1:{server.port}/"
        True
        >>> server.close()
    """

    def __init__(
        self,
        parts: Mapping[str, Part],
        answers: Mapping[str, Answering],
        *,
        token: str,
        port: int = 0,
        reads: Collection[str] = (),
        most_bytes: int = 4096,
    ) -> None:
        """Listen on a port.

        Args:
            parts: The parts of the page by path: "/", "/page.js".
            answers: What answers a POST, by path.
            token: What the header X-Token of every request must hold, but for those of parts.
            port: The port; 0 takes a free one.
            reads: Paths of `answers` that answer a GET with a query, too.
            most_bytes: How long the body of a request may be.

        Raises:
            HeadscopeError: The port is taken, or is none.
        """
        import uvicorn

        from headscope.serving.application import Application
        from headscope.serving.connection import HEADERS, BoundedConnection

        self._socket = _listening(port)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}/"
        config = uvicorn.Config(
            Application(parts, answers, reads, token, self.port, most_bytes),
            http=BoundedConnection,
            headers=HEADERS,
            loop="asyncio",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def serve_forever(self) -> None:
        """Answer until `close`, or until an interruption, which closes the server and goes on."""
        try:
            self.start()
            while not self._ended.wait(_LOOK_SECONDS):
                pass
        finally:
            self.close()

    def start(self) -> None:
        """Answer in a thread, until `close`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="headscope page", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End: answers on their way have a second left. Closing again does nothing."""
        self._server.should_exit = True
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        try:
            # An interruption may come while the thread is being started: `close` then finds no
            # living thread to wait for, and this one, which begins later, finds the socket closed.
            if not self._server.should_exit:
                self._server.run(sockets=[self._socket])
        finally:
            self._ended.set()


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            # A port is free at once when the server on it has ended.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or "ports are numbers from 0 to 65535"
        raise HeadscopeError(
            f"port {port} of {HOST} cannot be had ({reason}): give another --port"
        ) from error
    return listener
