"""The page of `headscope look` in a real browser: what is typed and switched is what Python says. Without a browser on the
machine these tests are skipped."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

import runs
from headscope.explorer.live import Explorer, Request
from headscope.explorer.looked import Looked
from headscope.explorer.pages import Beginning, saved_page
from headscope.explorer.viewed import TextsAsked, Viewed
from headscope.serving import LocalServer
from test_look import FIRST, HOSTILE, SECOND, asked, classifier, serving, viewed_of

__all__ = ["classifier"]
SHOWN = "document.querySelectorAll('.models .answers td').length > 0"
OFF_SHOWN = "document.querySelectorAll('.models .answers thead th').length === 4"


@pytest.fixture(scope="module")
def viewed(classifier: Path) -> Viewed:
    return viewed_of(classifier)


@pytest.fixture(scope="module")
def server(viewed: Viewed) -> Iterator[LocalServer]:
    with serving([viewed], Beginning(TextsAsked(FIRST, SECOND), head="L2H3")) as running:
        yield running


def visit(browser: runs.Browser, url: str, fragment: str = "") -> None:
    # Else an address that differs in its fragment alone is not loaded again.
    browser.visit("about:blank")
    browser.visit(url + fragment)
    browser.until(SHOWN)


def type_text(browser: runs.Browser, selector: str, text: str) -> None:
    browser.js(
        f"{{ const field = document.querySelector({selector!r}); field.value = {json.dumps(text)};"
        " field.dispatchEvent(new Event('input', {bubbles: true})); }"
    )


def table(browser: runs.Browser) -> list[list[str]]:
    """The answers as they are written."""
    rows: list[list[str]] = browser.js(
        "[...document.querySelectorAll('.models .answers tbody tr')]"
        ".map((row) => [...row.children].map((cell) => cell.textContent))"
    )
    return rows


def written(viewed: Viewed, values: dict[str, Any]) -> list[list[str]]:
    """The answers as Python says them."""
    (answer,) = Explorer([viewed]).switch(Request(values)).answers
    rows = []
    for value in answer.values:
        change = f"{value.after - value.before:+.3f}".replace("-", "−")
        if not float(change.replace("−", "-")):
            change = "0.000"
        rows.append([value.name, f"{value.before:.3f}", f"{value.after:.3f}", change])
    return rows


def switch(browser: runs.Browser, head: str) -> None:
    browser.js(
        f"document.querySelector('.grid [data-head={head}]').dispatchEvent("
        "new MouseEvent('dblclick', {bubbles: true}))"
    )


def test_type_choose_and_switch_off(
    browser: runs.Browser, server: LocalServer, viewed: Viewed
) -> None:
    visit(browser, server.url)
    assert (
        browser.js("document.querySelector('.models .card h4, .models .card h3').textContent")
        == "L2H3"
    )
    type_text(browser, ".first", "He was not it.")
    type_text(browser, ".second", "")
    browser.until("!document.querySelector('.models .tokens').textContent.includes('nurse')")
    switch(browser, "L1H2")
    browser.until(OFF_SHOWN)
    assert table(browser) == written(viewed, asked("He was not it.", heads="L1H2"))
    browser.js("document.querySelector('.models .grid [data-head=L3H4]').click()")
    browser.js("document.querySelector('.switch-selected').click()")
    browser.until("document.querySelectorAll('.chips .chip').length === 2")
    expected = written(viewed, asked("He was not it.", heads="L1H2,L3H4"))
    browser.until(
        f"document.querySelector('.models .answers').textContent.includes({expected[0][2]!r})"
    )
    assert table(browser) == expected
    browser.js("document.querySelector('[name=mode][value=zero]').click()")
    zeroed = written(viewed, asked("He was not it.", heads="L1H2,L3H4", mode="zero"))
    assert zeroed != expected
    browser.until(
        f"document.querySelector('.models .answers').textContent.includes({zeroed[0][2]!r})"
    )
    assert table(browser) == zeroed
    # The map with heads off stands beside the map of the whole model.
    captions = (
        "[...document.querySelectorAll('.models figcaption')].map((c) => c.firstChild.textContent)"
    )
    browser.until(f"{captions}.length === 2")
    assert browser.js(captions) == ["As given, L3H4 ", "Heads switched off, L3H4 "]
    browser.js("document.querySelector('.all-on').click()")
    browser.until(f"!({OFF_SHOWN})")
    assert not browser.complaints()


def test_a_drag_and_a_preset_switch_many(
    browser: runs.Browser, server: LocalServer, viewed: Viewed
) -> None:
    visit(browser, server.url)
    browser.js(
        "{ document.querySelector('.click-switches').click();"
        " const cell = (name) => document.querySelector(`.grid [data-head=${name}]`);"
        " cell('L1H1').dispatchEvent(new PointerEvent('pointerdown', {bubbles: true, cancelable: true}));"
        " for (const name of ['L1H2', 'L1H3'])"
        "   cell(name).dispatchEvent(new PointerEvent('pointerover', {bubbles: true}));"
        " window.dispatchEvent(new PointerEvent('pointerup'));"
        " cell('L3H3').dispatchEvent(new PointerEvent('pointerover', {bubbles: true})); }"
    )
    chips = "[...document.querySelectorAll('.chips .chip')].map((chip) => chip.textContent).join()"
    assert browser.js(chips) == "L1H1 ×,L1H2 ×,L1H3 ×"
    assert browser.js("document.querySelectorAll('.grid .off').length") == 3
    browser.js("document.querySelector('.all-on').click()")
    browser.js(
        "{ const menu = document.querySelector('.presets');"
        " menu.value = [...menu.options].find((o) => o.textContent === 'all of layer 2').value;"
        " menu.dispatchEvent(new Event('change')); }"
    )
    layer = ",".join(f"L2H{head}" for head in range(1, viewed.model.heads + 1))
    expected = written(viewed, asked(FIRST, SECOND, heads=layer))
    # Heads were off before: wait for the answer of this set.
    browser.until(
        f"document.querySelector('.models .answers').textContent.includes({expected[0][2]!r})"
    )
    assert table(browser) == expected
    assert not browser.complaints()


def test_a_link_shows_the_same(browser: runs.Browser, server: LocalServer, viewed: Viewed) -> None:
    visit(browser, server.url)
    type_text(browser, ".second", "")
    browser.until("!document.querySelector('.models .tokens').textContent.includes('not')")
    switch(browser, "L3H1")
    browser.until(OFF_SHOWN)
    link, before = browser.js("location.href"), table(browser)
    visit(browser, link)
    browser.until(OFF_SHOWN)
    assert table(browser) == before == written(viewed, asked(FIRST, heads="L3H1"))
    assert browser.js("document.querySelector('.second').value") == ""
    other = "#" + urlencode({"model": "another", "first": FIRST})
    browser.visit("about:blank")
    browser.visit(server.url + other)
    browser.until("!document.querySelector('.failure').hidden")
    assert "the link is of another" in browser.js("document.querySelector('.failure').textContent")


def test_what_is_wrong_is_said_on_the_page(browser: runs.Browser, server: LocalServer) -> None:
    visit(browser, server.url)
    type_text(browser, ".first", " ")
    browser.until("!document.querySelector('.failure').hidden")
    assert "the text is empty" in browser.js("document.querySelector('.failure').textContent")
    type_text(browser, ".first", FIRST)
    browser.until("document.querySelector('.failure').hidden")


def test_a_text_that_is_refused_leaves_the_maps_of_the_one_that_is_shown(
    browser: runs.Browser, server: LocalServer
) -> None:
    """Heads that are chosen meanwhile are asked for on the text that stands on the page."""
    visit(browser, server.url)
    readout = "document.querySelector('.models .readout').textContent"
    head = "document.querySelector('.models .grid [data-head=L1H4]').click()"
    cell = (
        "{ const map = document.querySelector('.models figure canvas');"
        " map.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true})); }"
    )
    caption = "document.querySelector('.models figcaption')?.firstChild.textContent"
    browser.js(head)
    browser.until(f"{caption} === 'As given, L1H4 '")
    browser.js(cell)
    before = browser.js(readout)
    assert "attends to" in before
    browser.js("document.querySelector('.models .grid [data-head=L2H1]').click()")
    browser.until(f"{caption} === 'As given, L2H1 '")
    type_text(browser, ".first", " ")
    browser.until("!document.querySelector('.failure').hidden")
    browser.js(head)
    browser.until(f"{caption} === 'As given, L1H4 '")
    browser.until(f"{readout} === {before!r}")
    (refusal,) = browser.complaints()
    assert "status of 400" in str(refusal)


def test_no_request_leaves(browser: runs.Browser, server: LocalServer) -> None:
    visit(browser, server.url)
    switch(browser, "L1H1")
    browser.until(OFF_SHOWN)
    sent = [
        event["params"]["request"]["url"]
        for event in browser.events
        if event.get("method") == "Network.requestWillBeSent"
    ]
    assert sent
    assert all(url.startswith((server.url, "data:", "about:")) for url in sent)


def test_a_file_switches_offline(browser: runs.Browser, viewed: Viewed, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(saved_page([viewed], Beginning(TextsAsked(FIRST, SECOND))), "utf-8")
    browser.open(page)
    browser.until(SHOWN)
    switch(browser, "L2H4")
    browser.until(OFF_SHOWN)
    assert table(browser) == written(viewed, asked(FIRST, SECOND, heads="L2H4"))
    switch(browser, "L1H1")
    browser.until("!document.querySelector('.failure').hidden")
    assert "single heads and whole layers" in browser.js(
        "document.querySelector('.failure').textContent"
    )
    assert not browser.complaints()


def test_texts_run_nothing(browser: runs.Browser, viewed: Viewed, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(saved_page([viewed], Beginning(TextsAsked(HOSTILE))), "utf-8")
    browser.open(page)
    browser.until(SHOWN)
    assert browser.js("document.querySelector('.first').value") == HOSTILE
    assert browser.js("document.querySelectorAll('img').length") == 0
    assert not browser.complaints()


def test_several_in_a_notebook_do_not_disturb_each_other(
    browser: runs.Browser, viewed: Viewed, tmp_path: Path
) -> None:
    shown = ((FIRST, "L1H1"), (SECOND, "L2H2"))
    frames = [
        Looked([viewed], Beginning(TextsAsked(text), heads=heads))._repr_html_()
        for text, heads in shown
    ]
    assert all(' sandbox="allow-scripts allow-downloads"' in frame for frame in frames)
    page = tmp_path / "notebook.html"
    # A frame in a sandbox cannot be read from outside.
    readable = "".join(frames).replace(' sandbox="allow-scripts allow-downloads"', "")
    page.write_text(f"<!doctype html><body>{readable}</body>", "utf-8")
    browser.open(page)
    inner = "[...document.querySelectorAll('iframe')].map((frame) => frame.contentDocument)"
    browser.until(
        f"{inner}.every((page) => page.querySelectorAll('.answers thead th').length === 4)"
    )
    tables = browser.js(
        f"{inner}.map((page) => [...page.querySelectorAll('.models .answers tbody tr')]"
        ".map((row) => [...row.children].map((cell) => cell.textContent)))"
    )
    assert tables == [written(viewed, asked(text, heads=heads)) for text, heads in shown]
    assert browser.js(f"{inner}.every((page) => page.querySelector('.failure').hidden)")
    browser.js(f"{inner}[0].querySelector('[data-head=L3H3]').click()")
    assert browser.js(
        f"{inner}.map((page) => page.querySelector('.card h3, .card h4').textContent)"
    ) == ["L3H3", "L1H1"]
    assert not browser.complaints()
