"""What a local page's requests are answered, and which are refused.

A request must name the loopback address as its host, must not come from another origin and, but
for those of the page's own parts, must carry the page's token: no other page that is open in the
same browser can read or do anything.
"""

import asyncio
import json
import secrets
import threading
import traceback
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headscope.errors import HeadscopeError, reason
from headscope.serving.json_text import json_text
from headscope.serving.page import HOST, Answering, Part

_JSON = "application/json"
_OWN_SITE = (None, "same-origin", "none")
"""What browsers say of where a request comes from: old ones nothing, "none" for a typed address."""
_NO_REQUEST = (KeyError, ValueError, IndexError, TypeError, OverflowError)

T = TypeVar("T")


class RefusedError(Exception):
    """A request is refused: the sentence for the page, and the status."""

    def __init__(self, sentence: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status


class Application:
    """The ASGI application of a local page; `LocalServer` says what it is made of."""

    def __init__(
        self,
        parts: Mapping[str, Part],
        answers: Mapping[str, Answering],
        reads: Collection[str],
        token: str,
        port: int,
        most_bytes: int,
    ) -> None:
        self._parts = parts
        self._answers = {"POST": dict(answers), "GET": {path: answers[path] for path in reads}}
        self._token = token.encode()
        self._hosts = (f"{HOST}:{port}", f"localhost:{port}")
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            response = await self._respond(Request(scope, receive))
        except RefusedError as refused:
            response = _sentence(refused.sentence, refused.status)
        except asyncio.CancelledError:
            # The server ends and has waited long enough.
            status = HTTPStatus.SERVICE_UNAVAILABLE
            response = _sentence("headscope is ending: start it again", status)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        self._check_origin(request.headers)
        path = request.scope["path"]
        if request.method == "GET" and path in self._parts:
            part = self._parts[path]
            return Response(part.text, media_type=part.media_type)
        self._check_token(request.headers)
        answering = self._answers.get(request.method, {}).get(path)
        if answering is None:
            raise RefusedError("there is nothing here", HTTPStatus.NOT_FOUND)
        values = await self._values(request)
        text = await _in_a_thread(partial(_answer, answering, values))
        return Response(text, media_type=_JSON)

    def _check_origin(self, headers: Headers) -> None:
        host = headers.get("Host")
        if host not in self._hosts:
            raise RefusedError("this page answers to 127.0.0.1 only", HTTPStatus.FORBIDDEN)
        is_own = headers.get("Origin") in (None, f"http://{host}")
        if not is_own or headers.get("Sec-Fetch-Site") not in _OWN_SITE:
            raise RefusedError(
                "this page answers to no other page: give its address to the browser by hand",
                HTTPStatus.FORBIDDEN,
            )

    def _check_token(self, headers: Headers) -> None:
        token = headers.get("X-Token", "").encode()
        if not secrets.compare_digest(token, self._token):
            raise RefusedError(
                "open the page again: it belongs to an earlier start", HTTPStatus.FORBIDDEN
            )

    async def _values(self, request: Request) -> Mapping[str, Any]:
        if request.method == "GET":
            return dict(request.query_params)
        try:
            values = json.loads(await self._body(request))
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            raise RefusedError("a JSON object was expected")
        return values

    async def _body(self, request: Request) -> bytes:
        length = request.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > self._most_bytes:
            raise RefusedError("refused", HTTPStatus.FORBIDDEN)
        body = b""
        async for piece in request.stream():
            body += piece
            # A body that comes in chunks can be longer than it says.
            if len(body) > self._most_bytes:
                raise RefusedError("refused", HTTPStatus.FORBIDDEN)
        return body


def _sentence(sentence: str, status: HTTPStatus) -> Response:
    return Response(json_text({"error": sentence}), status, media_type=_JSON)


def _answer(answering: Answering, values: Mapping[str, Any]) -> str:
    """The answer as JSON; what fails unforeseen is written to the terminal, too."""
    try:
        return json_text(_result(answering, values))
    except RefusedError:
        raise
    except Exception as error:
        traceback.print_exc()
        raise RefusedError(
            f"headscope failed: {type(error).__name__}: {reason(error)}",
            HTTPStatus.INTERNAL_SERVER_ERROR,
        ) from error


def _result(answering: Answering, values: Mapping[str, Any]) -> object:
    try:
        return answering(values)
    except HeadscopeError as error:
        raise RefusedError(str(error)) from error
    except _NO_REQUEST as error:
        raise RefusedError("this is no request of the page's") from error


async def _in_a_thread(function: Callable[[], T]) -> T:
    """Call the function in a thread that the end of the process does not wait for."""
    outcome: Future[T] = Future()
    # From here on it cannot be cancelled: the thread always has somewhere to leave its result.
    outcome.set_running_or_notify_cancel()
    threading.Thread(target=_settle, args=(outcome, function), daemon=True).start()
    return await asyncio.wrap_future(outcome)


def _settle(outcome: Future[T], function: Callable[[], T]) -> None:
    try:
        outcome.set_result(function())
    except BaseException as error:
        outcome.set_exception(error)
