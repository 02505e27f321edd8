"""The server of a local page: whom it answers, what it refuses, how long it waits, how it ends."""

import contextlib
import doctest
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import runs
from headscope.annotation.records import write_maps
from headscope.errors import HeadscopeError
from headscope.serving import Answering, LocalServer, Part, json_text, server
from headscope.serving.connection import BoundedConnection

WORD = "a-token"
SAFE = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Connection": "close",
}
PARTS = {
    "/": Part("text/html", "<p>A page: é</p>"),
    "/page.js": Part("text/javascript", "start()"),
    "/big": Part("text/css", "x" * 30_000_000),
}


@dataclass(frozen=True)
class Point:
    x: float
    label: str


@dataclass(frozen=True)
class Points:
    points: tuple[Point, ...]
    mean: float | None


class Slow:
    """An answer that comes when it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, asked: Mapping[str, Any]) -> object:
        self.begun.set()
        assert self.go.wait(20)
        return asked


ERRORS: dict[str, Exception] = {
    "/mistake": HeadscopeError("give a text"),
    "/key": KeyError("x"),
    "/value": ValueError("x"),
    "/index": IndexError("x"),
    "/type": TypeError("x"),
    "/large": OverflowError("x"),
    "/failing": RuntimeError("out of memory\nand more"),
}


def raising(error: Exception) -> Callable[[Mapping[str, Any]], object]:
    def answer(asked: Mapping[str, Any]) -> object:
        raise error

    return answer


def made(slow: Slow, **given: Any) -> LocalServer:
    answers: dict[str, Answering] = {
        "/echo": lambda asked: asked,
        "/written": lambda asked: [asked["x"]],
        "/points": lambda _: Points((Point(float("nan"), "NaN"), Point(1.5, "é")), None),
        "/not-json": lambda _: {1, 2},
        "/slow": slow,
    }
    raised = {path: raising(error) for path, error in ERRORS.items()}
    return LocalServer(PARTS, answers | raised, token=WORD, reads=("/echo", "/points"), **given)


@pytest.fixture
def slow() -> Iterator[Slow]:
    slow = Slow()
    yield slow
    slow.go.set()


@pytest.fixture
def page(slow: Slow, capfd: pytest.CaptureFixture[str]) -> Iterator[LocalServer]:
    """A server that answers; at the end nothing stands on the terminal."""
    with contextlib.closing(made(slow)) as page:
        page.start()
        yield page
    assert capfd.readouterr() == ("", "")


def ask(
    page: LocalServer, path: str, body: object = None, method: str | None = None, **headers: str
) -> tuple[int, Any]:
    """The status and content of an answer; the body of a POST is JSON unless it is bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=30)
    sent = {"X-Token": WORD}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method or ("GET" if body is None else "POST"), path, content, sent)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src")
    for name, value in SAFE.items():
        assert answer.headers.get_all(name) == [value]
    is_json = answer.headers["Content-Type"] == "application/json"
    return answer.status, json.loads(content) if is_json and content else content.decode()


@contextlib.contextmanager
def connected(page: LocalServer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", page.port), timeout=10) as connection:
        yield connection


def rest(connection: socket.socket) -> bytes:
    """What comes until the connection ends."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


def head(page: LocalServer, *lines: str) -> bytes:
    first = ["POST /echo HTTP/1.1", f"Host: 127.0.0.1:{page.port}", f"X-Token: {WORD}"]
    return "\r\n".join([*first, *lines, "", ""]).encode()


# ---- what is answered


def test_doctests() -> None:
    assert doctest.testmod(server) == (0, 5)
    assert doctest.testmod(json_text) == (0, 1)


def test_the_page_and_its_parts(page: LocalServer) -> None:
    assert ask(page, "/", X_Token="") == (200, "<p>A page: é</p>")
    assert ask(page, "/page.js?version=2", X_Token="") == (200, "start()")
    assert len(ask(page, "/big", X_Token="")[1]) == 30_000_000


def test_answers_by_post_and_where_they_only_read_by_get(page: LocalServer) -> None:
    assert ask(page, "/echo", {"x": [1, None, "é\ud800"]}) == (200, {"x": [1, None, "é\ud800"]})
    assert ask(page, "/echo?x=1&y=%C3%A9") == (200, {"x": "1", "y": "é"})
    assert ask(page, "/written", {"x": 1}) == (200, [1])
    nothing = (404, {"error": "there is nothing here"})
    assert ask(page, "/written?x=1") == nothing
    assert ask(page, "/nothing", {}) == nothing
    assert ask(page, "/nothing") == nothing
    assert ask(page, "/page.js", {}) == nothing
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE"):
        assert ask(page, "/echo", {}, method) == nothing
    assert ask(page, "/", None, "HEAD") == (404, "")


def test_dataclasses_are_their_fields_and_no_number_is_null(page: LocalServer) -> None:
    answer = {"points": [{"x": None, "label": "NaN"}, {"x": 1.5, "label": "é"}], "mean": None}
    assert ask(page, "/points") == (200, answer)


@pytest.mark.parametrize("path", ERRORS)
def test_a_mistake_is_one_sentence(
    path: str, slow: Slow, capfd: pytest.CaptureFixture[str]
) -> None:
    with contextlib.closing(made(slow)) as page:
        page.start()
        status, answer = ask(page, path, {})
        assert ask(page, "/written", {"x": 1}) == (200, [1])
    sentences = {
        "/mistake": (400, "give a text"),
        "/failing": (500, "headscope failed: RuntimeError: out of memory"),
    }
    expected = sentences.get(path, (400, "this is no request of the page's"))
    assert (status, answer) == (expected[0], {"error": expected[1]})
    # Only what was not foreseen is written to the terminal.
    err = capfd.readouterr().err
    assert ("Traceback" in err, "out of memory" in err) == ((path == "/failing",) * 2)


def test_an_answer_that_is_no_json_is_a_failure(
    slow: Slow, capfd: pytest.CaptureFixture[str]
) -> None:
    with contextlib.closing(made(slow)) as page:
        page.start()
        status, answer = ask(page, "/not-json", {})
    assert (status, answer) == (500, {"error": "headscope failed: TypeError: set is no JSON"})
    assert "TypeError: set is no JSON" in capfd.readouterr().err


def test_an_answer_waits_for_no_other(page: LocalServer, slow: Slow) -> None:
    answers: list[tuple[int, Any]] = []
    waiting = threading.Thread(target=lambda: answers.append(ask(page, "/slow", {"x": 1})))
    waiting.start()
    assert slow.begun.wait(10)
    assert ask(page, "/echo", {"x": 2}) == (200, {"x": 2})
    assert answers == []
    slow.go.set()
    waiting.join()
    assert answers == [(200, {"x": 1})]


# ---- what is refused


def test_it_listens_to_this_machine_only(page: LocalServer) -> None:
    assert page.url == f"http://127.0.0.1:{page.port}/"
    # Another loopback address stands for another network card.
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", page.port), timeout=5)


def test_another_name_for_this_machine_is_refused(page: LocalServer) -> None:
    wrong = ("attacker.example", f"attacker.example:{page.port}", "127.0.0.1", "localhost", "")
    refused = (403, {"error": "this page answers to 127.0.0.1 only"})
    for host in (*wrong, f"127.0.0.1:{page.port + 1}", f"127.0.0.1.example:{page.port}"):
        for path, body in (("/", None), ("/nothing", None), ("/echo", {}), ("/written", {"x": 1})):
            assert ask(page, path, body, Host=host) == refused
    assert ask(page, "/", Host=f"localhost:{page.port}")[0] == 200
    assert ask(page, "/echo", {}, Host=f"localhost:{page.port}")[0] == 200


def test_another_origin_is_refused(page: LocalServer) -> None:
    sentence = "this page answers to no other page: give its address to the browser by hand"
    own = f"http://127.0.0.1:{page.port}"
    others = [
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://attacker.example"},
        {"Origin": f"https://127.0.0.1:{page.port}"},
        {"Origin": f"http://127.0.0.1:{page.port + 1}"},
        {"Origin": f"http://localhost:{page.port}"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Origin": own},
    ]
    for headers in others:
        for path, body in (
            ("/", None),
            ("/page.js", None),
            ("/echo", None),
            ("/written", {"x": 1}),
        ):
            assert ask(page, path, body, **headers) == (403, {"error": sentence}), headers
    assert ask(page, "/", Sec_Fetch_Site="none")[0] == 200
    assert ask(page, "/page.js", Sec_Fetch_Site="same-origin")[0] == 200
    assert ask(page, "/written", {"x": 1}, Origin=own, Sec_Fetch_Site="same-origin")[0] == 200
    host = f"localhost:{page.port}"
    assert ask(page, "/written", {"x": 1}, Origin=f"http://{host}", Host=host)[0] == 200


@pytest.mark.parametrize("token", ["", "wrong", WORD + "x", WORD[:-1], "\u00e9"])
def test_a_request_without_the_token_is_refused(page: LocalServer, token: str) -> None:
    refused = (403, {"error": "open the page again: it belongs to an earlier start"})
    for path, body in (("/echo", None), ("/written", {"x": 1}), ("/nothing", None)):
        assert ask(page, path, body, X_Token=token) == refused


def test_a_body_is_a_short_json_object(page: LocalServer) -> None:
    for body in (b"{", b"[" * 4000, b'"\xff"', b"[]", b"", b"1"):
        assert ask(page, "/echo", body) == (400, {"error": "a JSON object was expected"})
    refused = (403, {"error": "refused"})
    longest = json.dumps({"x": "x" * (4096 - len('{"x": ""}'))}).encode()
    assert len(longest) == 4096
    assert ask(page, "/echo", longest)[0] == 200
    assert ask(page, "/echo", longest + b" ") == refused
    for length in ("-1", "many", "", "99999999999", "9" * 30):
        assert ask(page, "/echo", b"{}", Content_Length=length) == refused


def test_a_server_may_take_longer_bodies(slow: Slow) -> None:
    with contextlib.closing(made(slow, most_bytes=100_000)) as page:
        page.start()
        assert ask(page, "/echo", {"x": "x" * 90_000}) == (200, {"x": "x" * 90_000})
        assert ask(page, "/echo", {"x": "x" * 100_000})[0] == 403


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def test_a_body_in_chunks_is_no_longer_than_another(page: LocalServer) -> None:
    for lines in ([], ["Content-Length: 2"]):
        with connected(page) as connection:
            connection.sendall(head(page, "Transfer-Encoding: chunked", *lines))
            connection.sendall(chunked(b"{", b" " * 5000, b"}", b""))
            assert b"HTTP/1.1 403 " in rest(connection)


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"x" * 100_000,
    ],
)
def test_what_is_no_http_is_refused_like_anything_else(page: LocalServer, sent: bytes) -> None:
    with connected(page) as connection:
        connection.sendall(sent)
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert answer.endswith(b'\r\n\r\n{"error": "refused"}')
    for name, value in SAFE.items():
        assert f"{name}: {value}\r\n".lower().encode() in answer.lower()
    assert ask(page, "/echo", {})[0] == 200


def test_what_breaks_off_or_goes_wrong_midway_ends_quietly(
    page: LocalServer, slow: Slow, caplog: pytest.LogCaptureFixture
) -> None:
    breaking = [
        head(page, "Content-Length: 10") + b"{",
        head(page, "Transfer-Encoding: chunked") + b"not a length\r\n",
        head(page, "Content-Length: 10", "Transfer-Encoding: chunked") + b"not a length\r\n",
        head(page, "Connection: upgrade", "Upgrade: websocket", "Content-Length: 2") + b"{}",
        head(page, "Content-Length: 2").replace(b"/echo", b"/slow") + b"{}",
        head(page, "Content-Length: 2") + b"{}" + head(page, "Content-Length: 2") + b"{}",
    ]
    for sent in breaking:
        with connected(page) as connection:
            connection.sendall(sent)
            time.sleep(0.05)
    slow.go.set()
    assert ask(page, "/echo", {})[0] == 200
    assert [record for record in caplog.records if record.levelname != "WARNING"] == []


# ---- how long it waits


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that wait half a second."""
    monkeypatch.setattr(BoundedConnection, "idle_seconds", 0.5)


def drip(connection: socket.socket, seconds: float) -> bool:
    """Send a byte now and then; whether the connection was ended within the time."""
    end = time.monotonic() + seconds
    connection.settimeout(0.05)
    while time.monotonic() < end:
        try:
            connection.sendall(b"x")
            if not connection.recv(65536):
                return True
        except TimeoutError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            return True
    return False


def beginnings(page: LocalServer) -> list[bytes]:
    """Requests that never end: nothing, a slow header, a slow body, one in chunks."""
    part = head(page, "X-More: ")[:-4]
    body = head(page, "Content-Length: 4000")
    return [
        b"",
        part,
        body,
        head(page, "Transfer-Encoding: chunked", "Content-Length: 9") + b"fff\r\n",
    ]


@pytest.mark.parametrize("which", range(4))
def test_a_request_must_end(hasty: None, page: LocalServer, which: int) -> None:
    with connected(page) as connection:
        connection.sendall(beginnings(page)[which])
        began = time.monotonic()
        # Without a byte for a silent connection; the others send one every twentieth of a second.
        if which:
            assert drip(connection, 5)
        else:
            assert rest(connection) == b""
        assert 0.3 < time.monotonic() - began < 3


def test_the_test_of_waiting_can_fail(page: LocalServer) -> None:
    for sent in beginnings(page)[1:]:
        with connected(page) as connection:
            connection.sendall(sent)
            assert not drip(connection, 1)


def test_an_answer_may_take_its_time(hasty: None, page: LocalServer, slow: Slow) -> None:
    threading.Timer(1.5, slow.go.set).start()
    assert ask(page, "/slow", {"x": 1}) == (200, {"x": 1})


def test_an_answer_must_be_taken(hasty: None, page: LocalServer) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", page.port))
        connection.sendall(head(page).replace(b"POST /echo", b"GET /big"))
        time.sleep(1.5)
        assert len(rest(connection)) < 30_000_000


def test_connections_are_bounded(page: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedConnection, "most_connections", 3)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connected(page)).sendall(b"G")
        with connected(page) as fourth:
            assert rest(fourth) == b""
    # Those that end make room.
    for _ in range(100):
        with contextlib.suppress(ConnectionError, http.client.RemoteDisconnected):
            assert ask(page, "/echo", {})[0] == 200
            break
        time.sleep(0.05)
    else:
        pytest.fail("no connection became free")


# ---- how it begins and ends


def test_a_page_can_be_asked_for_before_it_is_served(slow: Slow) -> None:
    """The browser is opened first."""
    with contextlib.closing(made(slow)) as page:
        answers: list[tuple[int, Any]] = []
        early = threading.Thread(target=lambda: answers.append(ask(page, "/page.js")))
        early.start()
        time.sleep(0.2)
        page.start()
        page.start()
        early.join()
    assert answers == [(200, "start()")]


def test_a_port_that_is_taken_is_one_sentence(slow: Slow) -> None:
    with contextlib.closing(made(slow)) as page:
        with pytest.raises(HeadscopeError, match=f"port {page.port} of 127.0.0.1 cannot be had"):
            made(slow, port=page.port)
        with pytest.raises(HeadscopeError, match="70000 .* numbers from 0 to 65535"):
            made(slow, port=70000)
        port = page.port
    # It is free at once when the server has ended.
    with contextlib.closing(made(slow, port=port)) as again:
        again.start()
        assert ask(again, "/echo", {})[0] == 200
    made(slow, port=port).close()


@pytest.mark.parametrize("comes_in_time", [True, False])
def test_an_end_waits_a_second_for_answers_and_no_longer(
    comes_in_time: bool, page: LocalServer, slow: Slow
) -> None:
    answers: list[tuple[int, Any]] = []
    asking = threading.Thread(target=lambda: answers.append(ask(page, "/slow", {})))
    asking.start()
    assert slow.begun.wait(10)
    if comes_in_time:
        threading.Timer(0.3, slow.go.set).start()
    began = time.monotonic()
    page.close()
    assert time.monotonic() - began < 3
    page.close()
    asking.join()
    ended = (503, {"error": "headscope is ending: start it again"})
    assert answers == [(200, {}) if comes_in_time else ended]
    slow.go.set()
    time.sleep(0.1)


def test_serving_ends_when_another_thread_closes(slow: Slow) -> None:
    page = made(slow)
    threading.Timer(0.2, page.close).start()
    began = time.monotonic()
    page.serve_forever()
    assert time.monotonic() - began < 3
    with pytest.raises(ConnectionRefusedError):
        ask(page, "/")


def test_an_interruption_while_it_is_being_started_leaves_no_thread_that_fails(
    slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        begun.append(thread)
        raise KeyboardInterrupt

    page = made(slow)
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(KeyboardInterrupt):
        page.serve_forever()
    (thread,) = begun
    # What the thread does when it begins after all; an error would be raised here.
    thread.run()


SERVE = """import sys, time
from headscope import stopping
from headscope.serving import Answering, LocalServer, Part
if sys.argv[1] == "listening":
    stopping.listen()
answers = {"/slow": lambda asked: time.sleep(60)}
server = LocalServer({"/": Part("text/html", "")}, answers, token="t")
print(server.port, flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt as stop:
    print(type(stop).__name__)
"""


@pytest.mark.parametrize(
    ("how", "number", "raised"),
    [
        ("plainly", signal.SIGINT, "KeyboardInterrupt"),
        ("listening", signal.SIGINT, "KeyboardInterrupt"),
        ("listening", signal.SIGTERM, "Terminated"),
    ],
)
@pytest.mark.parametrize("is_busy", [False, True])
def test_an_interruption_ends_it_at_once_and_reaches_the_caller(
    how: str, number: signal.Signals, raised: str, is_busy: bool
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            if is_busy:
                lines = [f"Host: 127.0.0.1:{port}", "X-Token: t", "Content-Length: 2", "", "{}"]
                connection.sendall("\r\n".join(["POST /slow HTTP/1.1", *lines]).encode())
            time.sleep(0.5)
            began = time.monotonic()
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
    assert (out, err, process.returncode) == (f"{raised}\n", "", 0)
    assert time.monotonic() - began < 5


@pytest.mark.slow
def test_ctrl_c_ends_the_page_of_annotate(tmp_path: Path) -> None:
    write_maps(tmp_path, [runs.annotated("a")])
    arguments = ["annotate", "--out", str(tmp_path), "--port", "0", "--no-browser"]
    with subprocess.Popen(
        [sys.executable, "-m", "headscope", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr
        assert process.stderr.readline().startswith("the page is at http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, f"stopped; the labels are in {tmp_path}/labels.jsonl\n")
