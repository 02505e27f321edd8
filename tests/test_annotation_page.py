"""The page of `headscope annotate`: what its server refuses, what a pass may see; and a real browser."""

import base64
import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runs
from headscope.annotation.records import Label, Labels, write_maps
from headscope.annotation.server import Server
from headscope.annotation.work import Annotation
from headscope.names import CLASSES
from headscope.serving.connection import BoundedConnection

VERTICAL, DIAGONAL, BOTH, BLOCK, HETEROGENEOUS = CLASSES
ME = {"annotator": "me", "round": 1}
COUNT = 7


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_maps(tmp_path / "set", [runs.annotated(f"m{i}", 9 + i, i) for i in range(COUNT)])
    return tmp_path / "set"


@contextmanager
def serving(folder: Path, annotator: str = "me", round: int = 1, port: int = 0) -> Iterator[Server]:
    with closing(Server(Annotation(folder), port, annotator, round)) as server:
        server.start()
        yield server


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with serving(folder) as server:
        yield server


def request(
    server: Server, path: str, body: bytes | None = None, method: str | None = None, **headers: str
) -> tuple[int, Any]:
    """The status and the JSON of an answer to a request that is right but for what is given."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    sent = {"X-Token": server.beginning.token} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    connection.request(method or ("GET" if body is None else "POST"), path, body, sent)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    is_json = answer.headers["Content-Type"].startswith("application/json")
    return answer.status, json.loads(content) if is_json else content.decode()


def post(server: Server, path: str, **given: object) -> tuple[int, Any]:
    return request(server, path, json.dumps(ME | given).encode())


# ---- what the server refuses


def test_it_listens_to_this_machine_only(server: Server) -> None:
    assert server.url == f"http://127.0.0.1:{server.port}/"
    # Another loopback address stands for another network card: a server bound to all of them would answer.
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", server.port), timeout=5)


def test_silent_connections_end_and_are_bounded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedConnection, "most_connections", 3)
    monkeypatch.setattr(BoundedConnection, "idle_seconds", 0.3)
    with serving(folder) as server:
        address = ("127.0.0.1", server.port)
        silent = [socket.create_connection(address, timeout=5) for _ in range(3)]
        with socket.create_connection(address, timeout=0.2) as fourth:
            assert fourth.recv(1) == b""
        # An unfinished body is silence, too.
        silent[0].sendall(b"POST /label HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        for connection in silent:
            while connection.recv(4096):
                pass
            connection.close()
        assert request(server, "/")[0] == 200


@pytest.mark.parametrize("path", ["/", "/page.js", "/state?annotator=me&round=1"])
def test_another_name_for_this_machine_is_refused(server: Server, path: str) -> None:
    port = server.port
    for host in (
        "attacker.example",
        f"attacker.example:{port}",
        "127.0.0.1",
        f"127.0.0.1:{port + 1}",
        "",
    ):
        assert request(server, path, Host=host)[0] == 403, host
    body = json.dumps(ME | {"index": 0, "label": BLOCK}).encode()
    assert request(server, "/label", body, Host="attacker.example")[0] == 403
    assert request(server, path, Host=f"localhost:{port}")[0] == 200
    assert not server.work.labels.path.exists()


@pytest.mark.parametrize("token", ["", "wrong", "\u00e9"])
def test_a_request_without_the_page_s_token_is_refused(server: Server, token: str) -> None:
    body = json.dumps(ME | {"index": 0, "label": BLOCK}).encode()
    for path, sent in (
        ("/state?annotator=me", None),
        ("/map?annotator=me&index=0", None),
        ("/label", body),
    ):
        status, answer = request(server, path, sent, X_Token=token)
        assert status == 403
        assert "open the page again" in answer["error"]
    assert not server.work.labels.path.exists()


def test_the_page_holds_the_token_and_no_name_breaks_out_of_it(folder: Path) -> None:
    with serving(folder, "</script><script>alert(1)</script>") as server:
        status, text = request(server, "/", X_Token="")
    assert status == 200
    start = text.split('<script id="start" type="application/json">')[1].split("</script>")[0]
    assert json.loads(start) == asdict(server.beginning)
    assert text.count("<script") == 2


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("/label", {"index": 0, "label": "stripes"}, 400, "labels are vertical, diagonal"),
        ("/label", {"index": 0, "label": ""}, 400, "labels are vertical, diagonal"),
        ("/label", {"index": COUNT, "label": BLOCK}, 400, f"map {COUNT}"),
        ("/label", {"index": -1, "label": BLOCK}, 400, "map -1"),
        ("/label", {"label": BLOCK}, 400, "no request of the page's"),
        ("/label", {"index": None, "label": BLOCK}, 400, "no request of the page's"),
        ("/label", {"index": 0, "label": BLOCK, "round": 4}, 400, "the pass: 1, 2, or 3"),
        (
            "/label",
            {"index": 0, "label": BLOCK, "annotator": " "},
            400,
            "give the annotator's name",
        ),
        ("/label", {"index": 0, "label": BLOCK, "note": "x" * 5000}, 403, "refused"),
        ("/label", {"index": float("inf"), "label": BLOCK}, 400, "no request of the page's"),
        (
            "/label",
            {"index": 0, "label": BLOCK, "annotator": "\ud800"},
            400,
            "no request of the page's",
        ),
        ("/label", b"{", 400, "a JSON object was expected"),
        ("/label", b"[" * 4000, 400, "a JSON object was expected"),
        ("/label", b'"\xff"', 400, "a JSON object was expected"),
        ("/label", b"[]", 400, "a JSON object was expected"),
        ("/nothing", {}, 404, "nothing here"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_no_label(
    server: Server, path: str, body: dict[str, Any] | bytes, status: int, sentence: str
) -> None:
    sent = body if isinstance(body, bytes) else json.dumps(ME | body).encode()
    code, answer = request(server, path, sent)
    assert code == status
    assert sentence in answer["error"]
    assert Labels(server.work.labels.path.parent).lines == []
    # It goes on answering.
    assert post(server, "/label", index=0, label=BLOCK)[0] == 200


def test_reading_is_not_labelling_and_lengths_are_numbers(server: Server) -> None:
    assert request(server, f"/label?annotator=me&round=1&index=0&label={BLOCK}")[0] == 404
    assert request(server, "/map?annotator=me&index=99")[0] == 400
    for length in ("-1", "many", "", "99999999999"):
        assert request(server, "/undo", b"", Content_Length=length)[0] == 403
    assert Labels(server.work.labels.path.parent).lines == []


# ---- what a pass may see


def test_every_annotator_and_pass_has_an_order_of_its_own_that_stays(folder: Path) -> None:
    first, again = Annotation(folder), Annotation(folder)
    queues = [tuple(first.queue(name, round)) for name in ("me", "you") for round in (1, 2)]
    assert len(set(queues)) == 4
    assert all(sorted(queue) == list(range(COUNT)) for queue in queues)
    first.label("me", 1, queues[0][0], BLOCK)
    assert [tuple(again.queue(name, round)) for name in ("me", "you") for round in (1, 2)] == queues


def test_a_second_pass_is_blind(server: Server) -> None:
    for index in range(COUNT):
        post(server, "/label", index=index, label=HETEROGENEOUS, note="seen before")
    _, state = request(server, "/state?annotator=me&round=2")
    assert (state["done"], state["total"]) == (0, COUNT)
    for index in range(COUNT):
        _, shown = request(server, f"/map?annotator=me&round=2&index={index}")
        assert shown.pop("labels") == []
        assert HETEROGENEOUS not in json.dumps(shown)
        assert "seen before" not in json.dumps(shown)
        assert set(shown) == {"index", "tokens", "special", "segments", "pair", "map"}
        one = server.work.maps[index]
        assert base64.b64decode(shown["map"]) == one.quantised.tobytes()


def test_settling_shows_what_differs_with_both_labels(server: Server) -> None:
    for round, second in ((1, BLOCK), (2, VERTICAL)):
        for index in range(4):
            post(
                server,
                "/label",
                round=round,
                index=index,
                label=second if index in (1, 3) else DIAGONAL,
            )
    # Labels that were taken back are no dispute.
    post(server, "/label", index=6, label=BLOCK)
    post(server, "/undo")
    _, state = request(server, "/state?annotator=me&round=3")
    assert (state["done"], state["total"]) == (0, 2)
    assert state["next"] in (1, 3)
    assert sorted(server.work.queue("me", 3)) == [1, 3]
    assert request(server, f"/map?annotator=me&round=3&index={state['next']}")[1]["labels"] == [
        BLOCK,
        VERTICAL,
    ]
    _, after = post(server, "/label", round=3, index=state["next"], label=BLOCK, note="two squares")
    assert (after["done"], after["total"]) == (1, 2)
    assert server.work.labels.lines[-1] == Label(f"m{state['next']}", BLOCK, "me", 3, "two squares")
    assert server.work.labels.settled() == {
        "m0": DIAGONAL,
        "m2": DIAGONAL,
        f"m{state['next']}": BLOCK,
    }


# ---- a real browser


def visit(
    browser: runs.Browser, server: Server, width: int = 1280, scheme: str = "light"
) -> list[int]:
    """Open the page at its first map; returns the order of maps."""
    browser.visit(server.url, width, scheme)
    browser.until("shown && !busy")
    return server.work.queue("me", 1)


def begin(browser: runs.Browser, annotator: str, round: int) -> None:
    fields = f"who.elements.annotator.value = '{annotator}'; who.elements.round.value = '{round}'"
    browser.js(f"{{ const who = byId('who'); {fields}; who.querySelector('button').click() }}")


def press(browser: runs.Browser, *keys: str) -> None:
    """Press keys, each when what came before is done."""
    for key in keys:
        browser.press(key)
        browser.until("!busy")


def text(browser: runs.Browser, name: str) -> str:
    return str(browser.js(f"byId('{name}').innerText"))


def lines(folder: Path) -> list[tuple[str, str]]:
    return [(one.map, one.label) for one in Labels(folder).lines]


PIXELS = """(() => {
  const canvas = byId('%s'), n = shown.tokens, cell = (canvas.width - 14) / n, context = canvas.getContext('2d');
  const at = (i) => Math.floor((i + 0.5) * cell), out = [];
  for (let i = 0; i < n * n; i += 1) out.push(...context.getImageData(14 + at(i %% n), 60 + at(Math.floor(i / n)), 1, 1).data);
  return out;
})()"""


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_draws_the_map_without_complaint_and_fits(
    browser: runs.Browser, server: Server, width: int, scheme: str
) -> None:
    first = visit(browser, server, width, scheme)[0]
    assert browser.complaints() == []
    assert {url.removeprefix(server.url).split("?")[0] for url in browser.requests()} == {
        "", "page.css", "page.js", "state", "map",
    }  # fmt: skip
    assert browser.js("document.documentElement.scrollWidth") == width
    assert browser.js("shown.index") == first
    assert text(browser, "about") == f"A pair of texts, {9 + first} tokens."
    assert text(browser, "choices").split("\n") == [
        f"{i + 1} {name}" for i, name in enumerate(CLASSES)
    ]
    weights = (server.work.maps[first].quantised / 255) ** 2
    for canvas, scaled in (
        ("linear", weights / weights.max()),
        ("root", np.sqrt(weights / weights.max())),
    ):
        pixels = np.array(browser.js(PIXELS % canvas)).reshape(9 + first, 9 + first, 4)
        assert np.abs(pixels[..., :3] - 255 * (1 - scaled)[..., None]).max() <= 1
        assert pixels[..., 0].min() == 0


def test_a_key_labels_shows_the_next_map_and_backspace_takes_it_back(
    browser: runs.Browser, server: Server
) -> None:
    folder, queue = server.work.labels.path.parent, visit(browser, server)
    assert text(browser, "progress") == f"0 of {COUNT} labelled by me, first pass"
    for at, name in enumerate(CLASSES):
        press(browser, str(at + 1))
        assert lines(folder)[at:] == [(f"m{queue[at]}", name)]
        assert browser.js("[shown.index, byId('bar').value]") == [queue[at + 1], at + 1]
        assert text(browser, "progress").startswith(f"{at + 1} of {COUNT} ")
    press(browser, "6", "0", "x")
    for key, at in (("Backspace", 4), ("u", 3)):
        press(browser, key)
        assert lines(folder)[-1] == (f"m{queue[at]}", "")
        assert browser.js("shown.index") == queue[at]
        assert text(browser, "progress").startswith(f"{at} of {COUNT} ")
    browser.js("byId('choices').children[3].click()")
    browser.until(f"!busy && shown.index === {queue[4]}")
    assert len(lines(folder)) == 8
    press(browser, "1", "2", "3")
    assert text(browser, "finished") == "Every map of this pass is labelled."
    assert browser.js("byId('work').hidden")
    press(browser, "1")
    assert list(Labels(folder).of("me", 1).values()) == [*CLASSES[:3], BLOCK, *CLASSES[:3]]
    browser.js("byId('undo').click()")
    browser.until(f"!busy && shown && shown.index === {queue[6]}")
    assert lines(folder)[-1] == (f"m{queue[6]}", "")
    assert browser.complaints() == []


@pytest.mark.parametrize("slow", ["label", "describe"])
def test_a_key_pressed_while_a_label_is_on_its_way_labels_nothing(
    browser: runs.Browser, server: Server, slow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, queue, go = server.work.labels.path.parent, visit(browser, server), threading.Event()
    real = getattr(server.work, slow)

    def waiting(*given: Any) -> Any:
        assert go.wait(30)
        return real(*given)

    monkeypatch.setattr(server.work, slow, waiting)
    for key in ("1", "2", "Backspace", "3"):
        browser.press(key)
    browser.js("byId('choices').children[3].click()")
    begin(browser, "me", 2)
    go.set()
    browser.until("!busy")
    assert lines(folder) == [(f"m{queue[0]}", VERTICAL)]
    assert browser.js("[shown.index, who.round]") == [queue[1], 1]
    # And at full speed: two keys within one turn of the page, and one that is held down.
    key = "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '%s', bubbles: true, repeat: %s}));"
    browser.js(key % ("4", "false") + key % ("5", "false"))
    browser.until(f"!busy && shown.index === {queue[2]}")
    browser.js(key % ("4", "true"))
    browser.until("!busy")
    assert lines(folder)[1:] == [(f"m{queue[1]}", BLOCK)]


def test_letters_of_a_name_are_no_labels_and_a_new_name_begins_its_own_pass(
    browser: runs.Browser, server: Server
) -> None:
    folder = server.work.labels.path.parent
    visit(browser, server)
    browser.js("byId('who').elements.annotator.focus()")
    press(browser, "1", "Backspace", "u")
    assert lines(folder) == []
    begin(browser, "you", 1)
    browser.until(f"!busy && shown && shown.index === {server.work.queue('you', 1)[0]}")
    press(browser, "1")
    assert [(one.annotator, one.round) for one in Labels(folder).lines] == [("you", 1)]


SERVE = """import sys
from pathlib import Path
from headscope.annotation.server import Server
from headscope.annotation.work import Annotation
server = Server(Annotation(Path(sys.argv[1])), 0, "me", 1)
print(server.url, flush=True)
server.serve_forever()
"""


def test_after_a_kill_another_server_goes_on_where_it_stopped(
    browser: runs.Browser, folder: Path
) -> None:
    queue = Annotation(folder).queue("me", 1)
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, folder], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        browser.visit(process.stdout.readline().strip())
        browser.until("shown && !busy")
        press(browser, "4", "2")
        process.kill()
    press(browser, "1")
    assert (
        text(browser, "error")
        == "Not done: headscope annotate does not answer: is it still running?"
    )
    assert browser.js("shown.index") == queue[2]
    with serving(folder) as server:
        visit(browser, server)
        assert browser.js("shown.index") == queue[2]
        assert text(browser, "progress").startswith(f"2 of {COUNT} ")
        press(browser, "1")
    assert lines(folder) == [
        (f"m{queue[0]}", BLOCK),
        (f"m{queue[1]}", DIAGONAL),
        (f"m{queue[2]}", VERTICAL),
    ]


@pytest.mark.parametrize("width", [1280, 390])
def test_a_second_pass_is_compared_and_its_differences_settled(
    browser: runs.Browser, server: Server, width: int
) -> None:
    visit(browser, server, width)
    browser.js("byId('show-agreement').click()")
    browser.until("byId('agreement').innerText === 'No map has been labelled in two passes yet.'")
    # Maps 0 to 2 vertical and the others block; on the second pass map 2 is block too.
    for round, verticals in ((1, (0, 1, 2)), (2, (0, 1))):
        begin(browser, "me", round)
        browser.until("shown && !busy")
        for _ in range(COUNT):
            press(browser, "1" if browser.js("shown.index") in verticals else "4")
    browser.js("byId('show-agreement').click()")
    browser.until("!busy && document.querySelector('#agreement td')")
    cells = browser.js(
        "[...document.querySelectorAll('#agreement td')].map((cell) => cell.textContent)"
    )
    # Observed 6/7, by chance (3 * 2 + 4 * 5) / 49: kappa 16/23.
    assert cells[:3] == ["me, pass 1 and me, pass 2", "7", "85.7%"]
    assert cells[3].startswith("0.70 (")
    assert cells[4] == "vertical / block: 1"
    assert browser.js("document.documentElement.scrollWidth") == width
    begin(browser, "me", 3)
    browser.until("shown && !busy")
    assert text(browser, "about").endswith("Labelled vertical and block.")
    assert text(browser, "progress") == "0 of 1 labelled by me, settling differences"
    browser.js("byId('note').value = 'a wide column'")
    press(browser, "1")
    assert server.work.labels.lines[-1] == Label("m2", VERTICAL, "me", 3, "a wide column")
    assert browser.js("document.documentElement.scrollWidth") == width
    assert browser.complaints() == []
