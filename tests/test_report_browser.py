"""The report in a real browser, with the network off: it loads without a complaint, and what it shows is what the
tables say. Without a browser on the machine these tests are skipped."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import runs
from headscope.figures.style import PATTERN_COLOURS
from headscope.reporting.build import build
from headscope.reporting.reading import read


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    return build([runs.write(folder / "run")], folder / "report.html")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report about two seeds."""
    folder = tmp_path_factory.mktemp("two")
    other = runs.disabled([1.0] * 15, [1.0] * 15)
    folders = [runs.write(folder / "a"), runs.write(folder / "b", {"seed": 8}, disabled=other)]
    return build(folders, folder / "report.html")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    return build([runs.hostile(folder / "run")], folder / "hostile.html")


def pick(browser: runs.Browser, selector: str, value: str) -> None:
    """Choose an option, or write into a field."""
    kind = "input" if selector == ".search" else "change"
    browser.js(
        f"{{ const e = document.querySelector({selector!r}); e.value = {json.dumps(value)};"
        f" e.dispatchEvent(new Event({kind!r}, {{bubbles: true}})); }}"
    )


def settle(browser: runs.Browser) -> None:
    browser.js("new Promise((done) => setTimeout(() => requestAnimationFrame(done), 150))")


def saved(browser: runs.Browser, selector: str) -> str:
    """The text of the file that a button would save."""
    browser.js(
        "window.kept = null; if (!window.was) { window.was = URL.createObjectURL;"
        " URL.createObjectURL = (blob) => { window.kept = blob.text(); return 'blob:none'; };"
        " HTMLAnchorElement.prototype.click = () => {}; }"
    )
    browser.js(f"document.querySelector({selector!r}).click()")
    text: str = browser.js("window.kept")
    return text


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_loads_without_complaint_or_request_and_fits(
    browser: runs.Browser, report: Path, width: int, scheme: str
) -> None:
    browser.open(report, width, scheme)
    assert browser.complaints() == []
    assert browser.requests() == [report.as_uri()]
    assert browser.js("document.documentElement.scrollWidth") == width
    assert (
        browser.js("document.querySelectorAll('.grid button').length") == runs.LAYERS * runs.HEADS
    )
    assert browser.js("document.querySelectorAll('.sides canvas').length") == 2


def test_every_chart_draws(browser: runs.Browser, report: Path) -> None:
    browser.open(report)
    browser.js("Promise.all([...document.images].map((image) => image.decode()))")
    sizes = browser.js(
        "[...document.querySelectorAll('.chart img')].map((image) => image.naturalWidth)"
    )
    names = browser.js(
        "[...document.querySelectorAll('.chart img')].map((image) => image.alt.split(';')[0])"
    )
    assert names == [
        "Typical maps of the patterns",
        "Patterns of attention maps",
        "Cosine of the maps before and after fine-tuning",
        "Change by fine-tuning in attention to linguistic features",
        "Attention to linguistic features",
        "Change when a head is disabled",
        "Change when heads are disabled, from the largest loss to the largest gain",
        "Scores",
    ]
    assert min(sizes) > 100


def test_the_console_check_can_fail(browser: runs.Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        "<script>console.error('seen')</script><img src='http://example.invalid/x.png'>"
    )
    browser.open(page)
    assert browser.complaints()
    assert "http://example.invalid/x.png" in browser.requests()


def test_the_policy_stops_a_request_and_a_foreign_script(
    browser: runs.Browser, report: Path
) -> None:
    browser.open(report)
    asked = browser.js("fetch('data:text/plain,x').then(() => 'answered', () => 'refused')")
    assert asked == "refused"
    browser.js(
        "{ const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s); }"
    )
    assert browser.js("window.ran ?? 'no'") == "no"


def test_a_click_and_the_arrow_keys_choose_a_head_and_the_card_shows_its_row(
    browser: runs.Browser, report: Path
) -> None:
    browser.open(report)
    effects = read(report.parent / "run").tables["disabled"]
    browser.js("document.querySelector('[data-head=L2H3]').click()")
    browser.js("document.querySelector('[data-head=L2H3]').focus()")
    for key, (layer, head) in (
        (None, (2, 3)),
        ("ArrowRight", (2, 4)),
        ("ArrowDown", (3, 4)),
        ("ArrowDown", (3, 4)),
    ):
        if key:
            browser.press(key)
        card = browser.js("document.querySelector('.card').innerText")
        row = effects.filter((pl.col("layer") == layer) & (pl.col("head") == head)).row(
            0, named=True
        )
        assert f"L{layer}H{head}" in card
        for value in (row["delta"], row["low"], row["high"]):
            assert f"{value:+.2f}".replace("-", "−") in card
        assert f"{row['p_corrected']:.3f}" in card
        assert browser.js(
            "document.querySelector('[aria-selected=true] button').ariaLabel"
        ).startswith(f"L{layer}H{head}:")
        assert browser.js("document.activeElement.ariaLabel").startswith(f"L{layer}H{head}:")


def test_the_card_shows_the_pattern_and_the_measures_and_leads_to_alike_heads(
    browser: runs.Browser, report: Path
) -> None:
    browser.open(report)
    browser.js("document.querySelector('[data-head=L1H1]').click()")
    card = browser.js("document.querySelector('.card').innerText")
    assert "vertical 0.80 (0.40 to 0.90)" in card
    tables = read(report.parent / "run").tables
    for row in tables["heads"].filter(layer=1, head=1).iter_rows(named=True):
        assert f"{row['value']:.3f}" in card
    change = tables["change"].filter(layer=1, head=1, measure="attention_to_cls").row(0, named=True)
    assert f"{change['value']:+.3f}".replace("-", "−") in card
    chips = browser.js("[...document.querySelectorAll('.chip')].map((chip) => chip.textContent)")
    assert chips == ["L3H50.05", "L2H20.20"]
    browser.js("document.querySelector('.chip').click()")
    assert browser.js("document.querySelector('.card h3').textContent") == "L3H5"
    assert (
        browser.js("document.querySelector('[aria-selected=true] button').dataset.head") == "L3H5"
    )


def test_several_heads_stand_side_by_side(browser: runs.Browser, report: Path) -> None:
    browser.open(report)
    browser.js("document.querySelector('[data-head=L1H1]').click()")
    shift = "new MouseEvent('click', {bubbles: true, shiftKey: true})"
    browser.js(f"document.querySelector('[data-head=L2H2]').dispatchEvent({shift})")
    settle(browser)
    assert browser.js("document.querySelectorAll('[aria-selected=true]').length") == 2
    heads = browser.js(
        "[...document.querySelectorAll('.card thead th')].map((th) => th.textContent)"
    )
    assert heads == ["", "L1H1", "L2H2"]
    assert browser.js("document.querySelectorAll('.sides canvas').length") == 4
    browser.js(f"document.querySelector('[data-head=L1H1]').dispatchEvent({shift})")
    assert browser.js("document.querySelector('.card h3').textContent") == "L2H2"


def test_any_measure_colours_the_heads(browser: runs.Browser, report: Path) -> None:
    browser.open(report)
    groups = browser.js(
        "[...document.querySelectorAll('.atlas optgroup')].map((group) => group.label)"
    )
    assert groups == [
        "Effect of disabling",
        "Patterns",
        "Change by fine-tuning",
        "Attention",
        "Other measures",
    ]
    options = browser.js(
        "[...document.querySelectorAll('.atlas .colouring option')].map((o) => [o.value, o.textContent])"
    )
    tables = read(report.parent / "run").tables
    for title, table, measure in (
        ("Entropy", "heads", "entropy"),
        ("Cosine to the pre-trained map", "change", "cosine_to_pretrained"),
        ("Change: Attention to [CLS]", "change", "attention_to_cls"),
    ):
        pick(browser, ".atlas .colouring", next(value for value, text in options if text == title))
        row = tables[table].filter(measure=measure, layer=2, head=4).row(0, named=True)
        shown = browser.js("document.querySelector('[data-head=L2H4]').textContent").replace(
            "−", "-"
        )
        assert float(shown) == pytest.approx(row["value"], abs=0.0051)


def test_heads_that_stay_colour_the_atlas_and_the_card_says_so(
    browser: runs.Browser, tmp_path: Path
) -> None:
    run = runs.write(tmp_path / "run", pruned=runs.pruned(6, 1), sizes=runs.sizes(6, 1))
    page = build([run], tmp_path / "report.html")
    browser.open(page)
    options = browser.js(
        "[...document.querySelectorAll('.atlas [label=Pruning] option')].map((o) => [o.value, o.textContent])"
    )
    numbers = {text: value for value, text in options}
    share = "Share of sizes at which a head is kept"
    assert list(numbers) == [f"Recommended set ({n} kept)" for n in ("6 heads", "1 head")] + [share]
    pick(browser, ".atlas .colouring", numbers["Recommended set (6 heads kept)"])
    texts = "[...document.querySelectorAll('.atlas [data-head]')].map((b) => b.textContent)"
    assert browser.js(texts) == ["", *["●"] * 6, *[""] * 8]
    label = "document.querySelector('[data-head=L1H2]').ariaLabel"
    assert browser.js(label).startswith("L1H2: kept")
    assert "filled cells are kept" in browser.js(
        "document.querySelector('.atlas .legend').innerText"
    )
    browser.js("document.querySelector('[data-head=L1H1]').click()")
    card = browser.js("document.querySelector('.card').innerText")
    assert (
        "removed in the recommended set of 6 heads · kept in the recommended set of 1 head · "
        "kept at 1 of 14 sizes"
    ) in card
    pick(browser, ".atlas .colouring", numbers[share])
    assert browser.js("document.querySelector('[data-head=L1H2]').textContent") == "0.93"
    shift = "new MouseEvent('click', {bubbles: true, shiftKey: true})"
    browser.js(f"document.querySelector('[data-head=L1H2]').dispatchEvent({shift})")
    card = browser.js("document.querySelector('.card').innerText")
    assert "Recommended set (6 heads kept)\tremoved\tkept" in card
    rows = rows_of(saved(browser, "[data-save*=pruning_heads] .saving button:last-of-type"))
    assert [row["stays"] for row in rows[:3]] == ["0", "1", "1"]
    rows = rows_of(saved(browser, "[data-save*='\"sizes\"'] .saving button:last-of-type"))
    assert {row["value"] for row in rows} == {"1.2"}
    assert not browser.complaints()


def test_heads_are_ordered_and_searched(browser: runs.Browser, report: Path) -> None:
    browser.open(report)
    effects = read(report.parent / "run").tables["disabled"].sort("delta", maintain_order=True)
    pick(browser, ".order", "smallest")
    order = browser.js(
        "[...document.querySelectorAll('.grid button')].map((button) => button.dataset.head)"
    )
    assert order == effects["set"].to_list()
    pick(browser, ".order", "place")
    pick(browser, ".search", "L2 block")
    bright = browser.js(
        "[...document.querySelectorAll('.grid button:not(.dim)')].map((b) => b.dataset.head)"
    )
    assert bright == ["L2H4"]
    assert browser.js("document.querySelector('.count').textContent") == "1 of 15 heads"
    browser.js("document.querySelector('.forms [value=list]').click()")
    assert browser.js(
        "[...document.querySelectorAll('.grid button')].map((b) => b.dataset.head)"
    ) == ["L2H4"]


def test_heads_are_found_by_a_measure(browser: runs.Browser, report: Path) -> None:
    browser.open(report)
    entropies = read(report.parent / "run").tables["heads"].filter(measure="entropy")
    low = entropies.filter(pl.col("value") < 0.5)
    found = [f"L{layer}H{head}" for layer, head in low.select("layer", "head").iter_rows()]
    bright = "[...document.querySelectorAll('.grid button:not(.dim)')].map((b) => b.dataset.head)"
    pick(browser, ".search", "entropy < 0.5")
    assert sorted(browser.js(bright)) == sorted(found)
    pick(browser, ".search", "L2, entropy<0.5")
    assert sorted(browser.js(bright)) == sorted(name for name in found if name.startswith("L2"))
    pick(browser, ".search", "entropy")
    assert browser.js("document.querySelector('.colouring').selectedOptions[0].text") == "Entropy"
    assert len(browser.js(bright)) == 15
    pick(browser, ".search", "nothing like that")
    assert browser.js("document.querySelector('.count').textContent").startswith(
        "0 of 15 heads; try"
    )


def test_the_first_screen_has_the_takeaway_the_atlas_and_the_score(
    browser: runs.Browser, report: Path
) -> None:
    browser.open(report)
    for part in (".takeaway", ".atlas .legend", ".grid tbody tr:last-child", ".score .scores"):
        assert browser.js(f"document.querySelector('{part}').getBoundingClientRect().bottom") < 800
    legend = browser.js("document.querySelector('.atlas .legend').innerText")
    effects = read(report.parent / "run").tables["disabled"]
    count = effects.filter(pl.col("p_corrected") < 0.05).height
    assert f"{count} of 15 heads significant" in legend
    farthest = effects.select(pl.col("low", "high").abs().max()).row(0)
    assert f"+{max(farthest):.2f}" in legend


def test_the_legend_says_that_no_head_is_significant(browser: runs.Browser, tmp_path: Path) -> None:
    quiet = runs.disabled([1.0] * 15, [1.0] * 15)
    page = build([runs.write(tmp_path / "run", disabled=quiet)], tmp_path / "report.html")
    browser.open(page)
    assert "No head is significant" in browser.js(
        "document.querySelector('.atlas .legend').innerText"
    )


def test_the_first_head_is_the_largest_significant_loss(
    browser: runs.Browser, tmp_path: Path
) -> None:
    effects = runs.disabled([-9.0, -4.0, 5.0, -5.0], [0.3, 0.01, 0.01, 0.02])
    page = build([runs.write(tmp_path / "run", disabled=effects)], tmp_path / "report.html")
    browser.open(page)
    assert browser.js("document.querySelector('.card h3').textContent") == "L1H4"


def test_a_head_has_an_address(browser: runs.Browser, report: Path, tmp_path: Path) -> None:
    browser.open(report)
    browser.js("document.querySelector('[data-head=L2H4]').click()")
    assert browser.js("location.hash") == "#L2H4"
    browser.js("location.hash = '#L3H2'")
    browser.until("document.querySelector('.card h3').textContent === 'L3H2'")
    browser.js("location.hash = '#L9H9'")
    settle(browser)
    assert browser.js("document.querySelector('.card h3').textContent") == "L3H2"
    browser.call("Page.navigate", url="about:blank")
    browser.call("Page.navigate", url=f"{report.as_uri()}#L1H3")
    browser.until("document.querySelector('.card h3')?.textContent === 'L1H3'")


def test_maps_stay_where_they_are_while_they_are_pointed_at(
    browser: runs.Browser, report: Path
) -> None:
    for width in (1280, 390):
        browser.open(report, width)
        top = "document.querySelector('.sides').getBoundingClientRect().top + scrollY"
        before = browser.js(top)
        browser.js("document.querySelector('.sides canvas').focus()")
        for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
            browser.press(key)
        assert "attends to" in browser.js("document.querySelector('.readout').textContent")
        assert browser.js(top) == before


@pytest.mark.parametrize("form", ["matrix", "lines"])
@pytest.mark.parametrize("width", [1280, 1000])
def test_before_and_after_stand_side_by_side(
    browser: runs.Browser, report: Path, width: int, form: str
) -> None:
    browser.open(report, width)
    browser.js(f"document.querySelector('.mapforms [value={form}]').click()")
    shift = "new MouseEvent('click', {bubbles: true, shiftKey: true})"
    browser.js(f"document.querySelector('[data-head=L2H2]').dispatchEvent({shift})")
    browser.until("document.querySelectorAll('.states').length === 2")
    tops = browser.js(
        "[...document.querySelectorAll('.states')].map((row) => [...row.children].map("
        "(figure) => figure.getBoundingClientRect().top))"
    )
    assert all(len(row) == 2 and row[0] == row[1] for row in tops)


def test_an_edge_beyond_which_content_goes_on_fades(browser: runs.Browser, report: Path) -> None:
    browser.open(report, 390)
    settle(browser)
    table = "document.querySelector('.sets .scroll')"
    assert "right" in browser.js(f"{table}.dataset.more")
    assert browser.js(f"getComputedStyle({table}).maskImage") != "none"
    browser.js(f"{table}.scrollTo({table}.scrollWidth, {table}.scrollHeight)")
    browser.until(f"!{table}.dataset.more")


def test_the_menu_has_sentences_and_unknown_tokens_are_explained(
    browser: runs.Browser, tmp_path: Path
) -> None:
    tokens = ["[CLS]", "a", "cat", "##walk", ",", "[UNK]", "(", "so", ")", ".", "[SEP]", "it", "'", "s", "on", "[SEP]"]  # fmt: skip
    table = runs.examples([tokens]).with_columns(
        words=pl.lit(None, pl.List(pl.Int64)), segments=pl.lit([0] * 11 + [1] * 5)
    )
    page = build([runs.write(tmp_path / "run", examples=table)], tmp_path / "report.html")
    browser.open(page)
    assert browser.js("document.querySelector('.example option').textContent") == (
        "1. same: a catwalk, [UNK] (so). / it’s on"
    )
    outcome = browser.js("document.querySelector('.outcome').textContent")
    assert "[UNK] (one here) stands for text that the tokenizer has no token for" in outcome


def test_every_head_has_a_picture_of_its_typical_map(browser: runs.Browser, report: Path) -> None:
    browser.open(report)
    browser.js("document.querySelector('.forms [value=maps]').click()")
    browser.until("document.querySelectorAll('.grid canvas').length === 15")
    one = "document.querySelector('[data-head=L1H1] canvas')"
    shades = browser.js(f"new Set({one}.getContext('2d').getImageData(0, 0, 28, 28).data).size")
    assert shades > 5


def test_the_arrow_keys_read_the_weights_of_the_map(browser: runs.Browser, report: Path) -> None:
    browser.open(report)
    browser.js("document.querySelector('.grid button').click()")
    settle(browser)
    browser.js("document.querySelector('.sides canvas').focus()")
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        browser.press(key)
    weights = [runs.maps([9, 8])[f"{side}/0"][0, 0, 1, 1] / 255 for side in ("before", "after")]
    assert browser.js("document.querySelector('.readout').textContent") == (
        f"Token 2 “a” attends to 2 “a”: pre-trained {weights[0]:.2f}, fine-tuned {weights[1]:.2f}."
    )


def test_the_map_of_words_adds_up_pieces(browser: runs.Browser, report: Path) -> None:
    browser.open(report)
    browser.js("document.querySelector('[data-head=L1H1]').click()")
    browser.js("document.querySelector('.levels [value=words]').click()")
    settle(browser)
    # Numbers -1 0 1 1 -1 2 3 3 -1: the words are [CLS], a, catsat, [SEP], the, catslept, [SEP].
    words = browser.js(
        "[...document.querySelectorAll('.tokens span')].map((span) => span.textContent)"
    )
    assert words == ["[CLS]", "a", "catsat", "[SEP]", "the", "catslept", "[SEP]"]
    rows = list(csv.DictReader(io.StringIO(saved(browser, '.sides button[aria-label$="CSV"]'))))
    given = runs.maps([9, 8])["before/0"][0, 0] / 255
    expected = given[2:4, 6:8].sum(1).mean()
    assert float(rows[2 * 7 + 5]["weight"]) == pytest.approx(expected, abs=1e-4)
    assert (rows[2 * 7 + 5]["from"], rows[2 * 7 + 5]["to"]) == ("catsat", "catslept")


def test_lines_follow_the_token_that_is_pointed_at(browser: runs.Browser, report: Path) -> None:
    browser.open(report)
    browser.js("document.querySelector('.mapforms [value=lines]').click()")
    settle(browser)
    box = browser.js(
        "(({x, y}) => [x + scrollX, y + scrollY])(document.querySelector('.sides canvas').getBoundingClientRect())"
    )
    browser.js(f"scrollTo(0, {box[1]} - 200)")
    at = browser.js(
        "(({x, y}) => [x, y])(document.querySelector('.sides canvas').getBoundingClientRect())"
    )
    browser.call(
        "Input.dispatchMouseEvent", type="mouseMoved", x=at[0] + 20, y=at[1] + 4 + 2.5 * 18
    )
    settle(browser)
    assert browser.js("document.querySelector('.tokens .query').textContent") == "cat"
    assert browser.js("document.querySelector('.readout').textContent").startswith(
        "Token 3 “cat” attends to"
    )


def test_the_table_sorts_by_a_column_both_ways(browser: runs.Browser, report: Path) -> None:
    browser.open(report)
    deltas = "[...document.querySelectorAll('.sets tbody tr')].map((r) => Number(r.cells[5].textContent.replace('−', '-')))"
    up = browser.js(deltas)
    assert up == sorted(up)
    browser.js("document.querySelector('.sets th[data-column=delta] button').click()")
    assert browser.js(deltas) == sorted(up, reverse=True)
    browser.js("document.querySelector('.sets th[data-column=set] button').click()")
    sets = browser.js(
        "[...document.querySelectorAll('.sets tbody tr')].map((row) => row.cells[0].textContent)"
    )
    assert sets == read(report.parent / "run").tables["disabled"]["set"].to_list()


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_charts_and_tables_are_saved_as_they_are(browser: runs.Browser, report: Path) -> None:
    browser.open(report)
    tables = read(report.parent / "run").tables
    rows = rows_of(saved(browser, ".sets .saving button"))
    assert [float(row["delta"]) for row in rows] == tables["disabled"]["delta"].to_list()
    chart = '.chart[data-save*="figure5"] '
    rows = rows_of(saved(browser, f'{chart}button[aria-label$="CSV"]'))
    cosines = tables["change"].filter(measure="cosine_to_pretrained")
    assert [float(row["value"]) for row in rows] == pytest.approx(
        cosines["value"].to_list(), abs=1e-7
    )
    assert saved(browser, f'{chart}button[aria-label$="SVG"]').startswith("<svg")
    assert "L1" in saved(browser, '.atlas .saving button[aria-label$="SVG"]')
    assert len(rows_of(saved(browser, '.atlas .saving button[aria-label$="CSV"]'))) == 15
    every = browser.js(
        "[...document.querySelectorAll('.chart')].map((c) => c.querySelectorAll('.savers button').length)"
    )
    assert set(every) == {2}


def test_runs_stand_side_by_side(browser: runs.Browser, two: Path) -> None:
    browser.open(two)
    assert browser.complaints() == []
    assert browser.js("[...document.querySelectorAll('section.run')].map((s) => s.hidden)") == [
        False,
        True,
    ]
    assert browser.js("document.querySelectorAll('.panels table').length") == 2
    browser.js(
        "document.querySelector('.panels [data-head=L2H3]').dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))"
    )
    first = read(two.parent / "a").tables["disabled"].filter(layer=2, head=3)["delta"][0]
    told = browser.js("document.querySelector('.comparison .readout').textContent")
    assert told.startswith("L2H3: ")
    assert f"{first:+.2f}".replace("-", "−") in told
    assert "+1.00" in told
    rows = rows_of(
        saved(browser, 'main > .figures [data-save*="figure8"] button[aria-label$="CSV"]')
    )
    assert [row["run"] for row in rows] == ["tiny-bert · pairs"] * 30
    assert {
        row["seed"]
        for row in rows_of(
            saved(browser, 'main > .figures [data-save*="table1"] button[aria-label$="CSV"]')
        )
    } == {"7"}
    browser.js(
        "document.querySelectorAll('[data-run]')[1].dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    assert browser.js("[...document.querySelectorAll('section.run')].map((s) => s.hidden)") == [
        True,
        False,
    ]
    browser.js("document.querySelector('[role=tab]').click()")
    browser.js("document.querySelector('[role=tab]').focus()")
    browser.press("ArrowRight")
    settle(browser)
    assert browser.js("[...document.querySelectorAll('section.run')].map((s) => s.hidden)") == [
        True,
        False,
    ]
    assert browser.js("document.activeElement.getAttribute('aria-selected')") == "true"
    assert (
        browser.js("document.querySelectorAll('section.run:not([hidden]) .grid button').length")
        == 15
    )
    browser.open(two, 390)
    assert browser.js("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_text_runs_nothing_and_breaks_no_layout(
    browser: runs.Browser, hostile: Path, width: int
) -> None:
    browser.open(hostile, width)
    assert browser.complaints() == []
    assert browser.requests() == [hostile.as_uri()]
    assert not [e for e in browser.events if e.get("method") == "Page.javascriptDialogOpening"]
    assert browser.js("document.documentElement.scrollWidth") == width
    shown = browser.js(
        "[...document.querySelectorAll('.tokens span')].map((token) => token.textContent)"
    )
    codes: dict[str, str | int | None] = {
        "\u2028": "⟨U+2028⟩",
        "\u2029": "⟨U+2029⟩",
        "\u202e": "⟨U+202E⟩",
        "\u2066": "⟨U+2066⟩",
    }
    assert shown == [text.translate(str.maketrans(codes)) for text in (*runs.HOSTILE, "ok")]
    browser.js("document.querySelector('.mapforms [value=lines]').click()")
    browser.js("document.querySelector('.forms [value=list]').click()")
    settle(browser)
    assert browser.complaints() == []
    assert browser.js("document.documentElement.scrollWidth") == width


def test_saved_files_hold_hostile_text_as_text(browser: runs.Browser, hostile: Path) -> None:
    browser.open(hostile)
    rows = rows_of(saved(browser, '.sides button[aria-label$="CSV"]'))
    assert rows[2]["to"] == runs.HOSTILE[2]
    picture = saved(browser, '.sides button[aria-label$="SVG"]')
    assert "<script" not in picture
    assert "onerror" not in picture.replace("&#60;/script&#62;&#60;img src=x onerror", "")
    assert (
        browser.js(
            f"new DOMParser().parseFromString({json.dumps(picture)}, 'image/svg+xml').querySelector('parsererror')"
        )
        is None
    )


def test_text_on_the_coloured_cells_has_enough_contrast(
    browser: runs.Browser, report: Path
) -> None:
    pairs = [("--text", c) for c in ("--page", "--none", "--loss", "--gain", "--much", "--panel")]
    pairs += [(c, "--page") for c in ("--soft", "--accent", "--special", "--warn")]
    for scheme in ("light", "dark"):
        browser.open(report, scheme=scheme)
        for front, back in pairs:
            values = [
                browser.js(
                    f"getComputedStyle(document.documentElement).getPropertyValue('{name}').trim()"
                )
                for name in (front, back)
            ]
            high, low = sorted((runs.luminance(value) for value in values), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (scheme, front, back)


def test_every_cell_of_every_view_has_enough_contrast(browser: runs.Browser, report: Path) -> None:
    for scheme in ("light", "dark"):
        browser.open(report, scheme=scheme)
        text = browser.js(
            "getComputedStyle(document.documentElement).getPropertyValue('--text').trim()"
        )
        for value in browser.js(
            "[...document.querySelectorAll('.atlas .colouring option')].map((o) => o.value)"
        ):
            pick(browser, ".atlas .colouring", value)
            fills: list[str] = browser.js(
                "[...document.querySelectorAll('.grid button')].map((b) => b.style.backgroundColor)"
            )
            for fill in {f for f in fills if f}:
                parts = [
                    int(part) for part in fill.removeprefix("rgb(").removesuffix(")").split(",")
                ]
                shades = [
                    runs.luminance("#" + "".join(f"{part:02x}" for part in parts)),
                    runs.luminance(text),
                ]
                assert (max(shades) + 0.05) / (min(shades) + 0.05) >= 4.5, (scheme, value, fill)


def test_every_control_has_a_name(browser: runs.Browser, report: Path) -> None:
    browser.open(report)
    tree: list[dict[str, Any]] = browser.call("Accessibility.getFullAXTree")["nodes"]
    controls = (
        "button",
        "combobox",
        "searchbox",
        "radio",
        "checkbox",
        "grid",
        "tab",
        "image",
        "gridcell",
    )
    unnamed = [
        (node["role"]["value"], node.get("properties"))
        for node in tree
        if not node.get("ignored")
        and node["role"]["value"] in controls[:-1]
        and not node.get("name", {}).get("value")
    ]
    assert unnamed == []
    assert sum(node["role"]["value"] == "gridcell" for node in tree) >= 15


def test_another_example_is_drawn_in_the_form_that_is_selected(
    browser: runs.Browser, report: Path
) -> None:
    browser.open(report)
    browser.js("document.querySelector('.mapforms [value=lines]').click()")
    pick(browser, ".example", "1")
    settle(browser)
    assert browser.js("document.querySelectorAll('.tokens span').length") == 8
    assert browser.js("document.querySelector('.sides').classList.contains('narrow')")


def test_files_are_drawn_in_light_colours_in_either_scheme(
    browser: runs.Browser, report: Path
) -> None:
    buttons = [f'.{part} button[aria-label$="SVG"]' for part in ("atlas .saving", "sides")]
    pictures = []
    for scheme in ("light", "dark"):
        browser.open(report, scheme=scheme)
        pictures.append([saved(browser, button) for button in buttons])
    assert pictures[0] == pictures[1]
    assert 'fill="#ffffff"' in pictures[0][0]


def test_the_card_has_the_colours_of_the_figure_of_patterns(
    browser: runs.Browser, report: Path
) -> None:
    browser.open(report)
    browser.js("document.querySelector('[data-head=L1H5]').click()")
    first = browser.js("document.querySelector('.card .stack span').style.backgroundColor")
    red, green, blue = (int(part) for part in first[4:-1].split(","))
    assert f"#{red:02x}{green:02x}{blue:02x}" == PATTERN_COLOURS["heterogeneous"]
