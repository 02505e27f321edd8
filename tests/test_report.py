"""The report: true sentences, harmless text, missing tables, the same numbers as the tables; and a real browser."""

import base64
import hashlib
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import runs
from headscope.errors import HeadscopeError
from headscope.reporting.build import build, packed
from headscope.reporting.findings import findings, number, p_value
from headscope.reporting.reading import read

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "\"'`--> ]]> {{ 7*7 }} {% raw %} &lt;",
    "line\u2028and\u2029paragraph",
    "\u202egnp.exe\u2066",
    "x" * 10_000,
]


def sentences(**tables: pl.DataFrame) -> list[str]:
    return [finding.text for finding in findings(tables)]


# ---- findings, worked by hand


def test_a_score_stands_beside_its_majority_baseline() -> None:
    (finding,) = findings({"scores": runs.scores()})
    assert finding.text == (
        "Fine-tuned accuracy is 81.1 (95% 77.0 to 84.6, n = 408); always answering the majority class gives 68.4."
    )
    assert (finding.verdict, finding.value, finding.low, finding.high, finding.unit) == (
        "above the majority class",
        81.1,
        77.0,
        84.6,
        "points",
    )


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (60.0, 68.0, "below the majority class"),
        (60.0, 70.0, "not told apart from the majority class"),
        (68.4, 70.0, "not told apart from the majority class"),
        (None, None, "no interval"),
    ],
)
def test_the_verdict_on_a_score_follows_its_interval(low: float | None, high: float | None, verdict: str) -> None:
    scores = runs.scores(65.0, low, high).cast({"low": pl.Float64, "high": pl.Float64})
    assert [finding.verdict for finding in findings({"scores": scores})] == [verdict]


def test_several_seeds_are_a_range_and_the_majority_class_is_no_finding_of_its_own() -> None:
    scores = pl.concat(
        [runs.scores(80.0), runs.scores(82.0, seed=8), runs.scores(68.4, configuration="majority class")]
    )
    assert sentences(scores=scores) == [
        "Fine-tuned accuracy lies between 80.0 and 82.0 over 2 runs; always answering the majority class gives 68.4."
    ]


def test_no_head_stands() -> None:
    loss, gain = findings({"disabled": runs.disabled([-1.5, 0.75, 0.0, -0.5], [0.6, 0.9, 1.0, 1.0])})
    assert loss.text == (
        "No head’s loss in accuracy stands after correction; the largest, −1.5 points by L1H1 (95% −3.5 to +0.5), "
        "is too little to tell from chance among 4 heads."
    )
    assert gain.text == (
        "No head’s gain in accuracy stands after correction; the largest, +0.8 points by L1H2 (95% −1.3 to +2.8), "
        "is too little to tell from chance among 4 heads."
    )
    assert (loss.verdict, gain.verdict) == ("no loss stands", "no gain stands")
    assert (loss.value, loss.low, loss.high) == (-1.5, -3.5, 0.5)


def test_one_head_stands_and_a_larger_effect_that_does_not_is_not_named() -> None:
    loss, gain = findings({"disabled": runs.disabled([-4.0, -9.0, -0.5], [0.049, 0.05, 1.0])})
    assert loss.text == (
        "1 of 3 heads costs accuracy when disabled (Holm-corrected p < 0.05); "
        "the loss is −4.0 points by L1H1 (95% −6.0 to −2.0)."
    )
    assert gain.text == "None of 3 heads raises accuracy when disabled."


def test_all_heads_stand_and_ties_are_named() -> None:
    loss, gain = findings({"disabled": runs.disabled([-4.0, -3.0, -4.0], [0.01, 0.02, 0.01])})
    assert loss.text == (
        "All 3 heads cost accuracy when disabled (Holm-corrected p < 0.05); "
        "the largest loss is −4.0 points by L1H1 (95% −6.0 to −2.0), as large as that of L1H3."
    )
    assert loss.verdict == "3 losses"
    assert gain.verdict == "no gain"


def test_gains_that_stand_are_said_to_stand() -> None:
    loss, gain = findings({"disabled": runs.disabled([4.0, 3.0, 0.0], [0.01, 0.02, 1.0])})
    assert loss.text == "None of 3 heads lowers accuracy when disabled."
    assert gain.text.startswith("2 of 3 heads raise accuracy when disabled (Holm-corrected p < 0.05); the largest gain")


@pytest.mark.parametrize(
    ("delta", "p", "loss", "gain"),
    [
        (-2.0, 0.01, "The one head tested costs accuracy when disabled", "The one head tested, L1H1, does not raise"),
        (
            -2.0,
            0.5,
            "The loss of the one head tested, −2.0 points by L1H1",
            "The one head tested, L1H1, does not raise",
        ),
        (0.0, 1.0, "The one head tested, L1H1, does not lower", "The one head tested, L1H1, does not raise"),
    ],
)
def test_one_head_alone(delta: float, p: float, loss: str, gain: str) -> None:
    said = sentences(disabled=runs.disabled([delta], [p]))
    assert said[0].startswith(loss)
    assert said[1].startswith(gain)


def test_a_metric_without_a_test_is_not_judged() -> None:
    untested = runs.disabled([-1.0, 2.0], [0.01, 0.01], metric="f1").with_columns(p_corrected=pl.lit(None, pl.Float64))
    (finding,) = findings({"disabled": untested})
    assert (
        finding.text
        == "Disabling one head changes F1 by −1.0 points (L1H1) to +2.0 points (L1H2); no test is recorded."
    )
    assert finding.verdict == "not tested"


def test_layers_are_counted_apart_from_heads() -> None:
    layers = runs.disabled([-5.0, 1.0], [0.01, 1.0], heads=1).with_columns(head=pl.lit(None, pl.Int64))
    said = sentences(disabled=pl.concat([runs.disabled([-1.0], [1.0]), layers]))
    assert (
        "1 of 2 layers costs accuracy when disabled (Holm-corrected p < 0.05); the loss is −5.0 points by layer 1"
        in said[2]
    )


def test_a_disabled_head_that_changed_nothing_is_reported() -> None:
    said = sentences(
        disabled=runs.disabled([0.0, -1.0], [1.0, 1.0]).with_columns(activation_change=pl.Series([0.0, 0.1]))
    )
    assert "Disabling L1H1 changed no activation: these rows say nothing." in said


def test_no_tables_no_findings() -> None:
    assert findings({}) == []


def test_numbers_as_text() -> None:
    assert [number(v, "points") for v in (81.13, -0.74, -4.25, 0.0, -0.0, -0.04, None)] == [
        "81.1", "−0.7", "−4.3", "0.0", "0.0", "−0.04", "–",
    ]  # fmt: skip
    assert [number(v, "points", signed=True) for v in (0.7, -0.7, 0.0)] == ["+0.7", "−0.7", "0.0"]
    assert number(1e300) == "1e+300"
    assert [p_value(p) for p in (0.0004, 0.05, 1.0, None)] == ["< 0.001", "0.050", "1.000", "–"]


# ---- the file


def test_the_embedded_data_equal_the_tables(tmp_path: Path) -> None:
    run = runs.write(tmp_path / "run")
    (payload,) = runs.Page(build([run], tmp_path / "report.html")).data()
    tables = read(run).tables
    for name in ("scores", "disabled", "examples"):
        assert payload["tables"][name] == tables[name].to_dict(as_series=False)
    # The atlas takes what changed as measures among the others.
    shown = pl.DataFrame(payload["tables"]["heads"])
    measured, changed = tables["heads"], tables["change"]
    assert shown["value"].to_list() == [*measured["value"], *changed["value"]]
    assert set(shown["measure"]) == {*measured["measure"], "cosine_to_pretrained", "change_in_attention_to_cls"}
    assert (payload["layers"], payload["heads"]) == (runs.LAYERS, runs.HEADS)


def unpacked(map_: dict[str, Any], all_: dict[str, dict[str, Any]]) -> np.ndarray:
    flat = np.frombuffer(zlib.decompress(base64.b64decode(map_["data"])), np.uint8)
    layers, heads, queries, keys = map_["shape"]
    if len(map_["levels"]) <= 16:
        flat = np.stack([flat & 15, flat >> 4], 1).ravel()[: layers * heads * queries * keys]
    codes = flat.reshape(layers, heads, keys, queries).swapaxes(2, 3).astype(int)
    if map_["minus"]:
        base = unpacked(all_[map_["minus"]], all_)
        codes = codes + np.searchsorted(map_["levels"], base)
    weights: np.ndarray = np.asarray(map_["levels"])[codes % len(map_["levels"])]
    return weights


def test_small_maps_are_exact() -> None:
    maps = runs.maps([7, 11], layers=2, heads=3)
    out = packed(maps)
    assert all(np.array_equal(unpacked(out[key], out), weights) for key, weights in maps.items())


def test_large_maps_are_off_by_at_most_half_a_step_and_a_like_pair_is_kept_as_its_difference() -> None:
    maps = runs.maps([120], layers=6, heads=12)
    maps["after/0"] = maps["before/0"].copy()
    maps["after/0"][0, 0, 0, 0] ^= 255
    out = packed(maps)
    assert out["after/0"]["minus"] == "before/0"
    assert len(out["after/0"]["data"]) < len(out["before/0"]["data"]) / 20
    half_step = np.diff(out["before/0"]["levels"]).max() / 2
    for key, weights in maps.items():
        assert np.abs(unpacked(out[key], out) - weights).max() <= half_step


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A report in which every text that comes from outside is hostile."""
    bad = "".join(HOSTILE)
    meta = {
        "model": {"name": bad, "layers": "many", "heads": bad},
        "task": {"name": bad},
        "notes": HOSTILE,
        "repeat": bad,
        "options": {bad: bad, "lone": "\ud800"},
    }
    scores = runs.scores(configuration=bad, metric=bad, unit=bad)
    disabled = runs.disabled([-1.0, 2.0], [0.01, 1.0], metric=bad, test=bad, mode=bad, unit=bad, set=bad)
    heads = runs.heads().with_columns(measure=pl.lit(bad), unit=pl.lit(bad)).unique(["layer", "head"])
    examples = runs.examples([[*HOSTILE, "ok"]], label=bad)
    run = runs.write(tmp_path / "run", meta, scores=scores, disabled=disabled, heads=heads, examples=examples)
    return build([run], tmp_path / "hostile.html")


def test_hostile_text_stays_text(hostile: Path, tmp_path: Path) -> None:
    page = runs.Page(hostile)
    plain = runs.Page(
        build([runs.write(tmp_path / "plain", examples=runs.examples([["a"] * 7]))], tmp_path / "plain.html")
    )
    assert page.count("script") == plain.count("script")
    assert all(str(a["src"]).startswith("data:image/svg+xml;base64,") for name, a in page.elements if name == "img")
    assert not [
        name for _, attributes in page.elements for name in attributes if name.startswith("on") or name == "style"
    ]
    (payload,) = page.data()
    assert payload["tables"]["examples"]["tokens"] == [[*HOSTILE, "ok"]]
    assert payload["tables"]["disabled"]["metric"] == ["".join(HOSTILE)] * 2
    assert all(text in page.text for text in HOSTILE)


def test_the_embedded_json_holds_no_character_that_html_or_a_script_reads(hostile: Path) -> None:
    for attributes, text in runs.Page(hostile).raw:
        if attributes.get("type") == "application/json":
            assert not re.search("[<>&\u2028\u2029]", text)


def test_the_policy_forbids_the_network_and_names_script_and_style_by_hash(hostile: Path) -> None:
    page = runs.Page(hostile)
    (policy,) = (a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.split(" ", 1) for rule in str(policy).split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in str(policy)
    run = [text for attributes, text in page.raw if "type" not in attributes]
    assert len(run) == 2
    for kind, text in zip(("style-src", "script-src"), run, strict=True):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[kind] == f"'sha256-{digest}'"
    assert not [a for _, a in page.elements if any(str(a.get(k)).startswith(("http", "//")) for k in ("src", "href"))]


FILES = ["run.json", "scores.parquet", "heads.parquet", "disabled.parquet", "change.parquet", "examples.parquet",
         "maps.safetensors"]  # fmt: skip


@pytest.mark.parametrize("damage", ["missing", "damaged"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_or_damaged_is_named_and_the_rest_is_shown(
    tmp_path: Path, name: str, damage: str
) -> None:
    run = runs.write(tmp_path / "run")
    if damage == "missing":
        (run / name).unlink()
    else:
        (run / name).write_bytes((run / name).read_bytes()[:20] + b"\x00garbage")
    page = runs.Page(build([run], tmp_path / "report.html"))
    assert f"{name} is {damage}" in " ".join(page.text.split())
    (payload,) = page.data()
    # What changed is shown among the measures of heads, also where those are missing.
    gone = {name.removesuffix(".parquet")} - {"heads"}
    assert set(payload["tables"]) == {"scores", "heads", "disabled", "examples"} - gone


def test_a_table_without_a_column_names_it(tmp_path: Path) -> None:
    run = runs.write(tmp_path / "run", disabled=runs.disabled([1.0], [1.0]).drop("delta"))
    assert read(run).problems == (
        "disabled.parquet is damaged (it lacks delta): the effect of disabling heads cannot be shown.",
    )


def test_values_that_are_not_numbers_are_shown_as_missing(tmp_path: Path) -> None:
    run = runs.write(tmp_path / "run", disabled=runs.disabled([float("nan"), float("-inf"), -1.0], [1.0, 1.0, 1.0]))
    (payload,) = runs.Page(build([run], tmp_path / "report.html")).data()
    assert payload["tables"]["disabled"]["delta"] == [None, None, -1.0]


def test_every_run_and_every_task_has_a_section(tmp_path: Path) -> None:
    two = pl.concat([runs.scores(), runs.scores(task="other")])
    folders = [runs.write(tmp_path / "a"), runs.write(tmp_path / "b", scores=two)]
    page = runs.Page(build(folders, tmp_path / "report.html"))
    assert len(page.data()) == 3
    assert [list(payload["tables"]) for payload in page.data()][1] == ["scores"]


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(HeadscopeError, match="name at least one run folder"):
        build([], tmp_path / "report.html")
    with pytest.raises(HeadscopeError, match="holds no run"):
        build([tmp_path], tmp_path / "report.html")
    with pytest.raises(HeadscopeError, match="is a folder: name a file"):
        build([runs.write(tmp_path / "run")], tmp_path)


def test_nothing_is_left_beside_the_report(tmp_path: Path) -> None:
    run = runs.write(tmp_path / "run")
    build([run], tmp_path / "out" / "report.html")
    build([run], tmp_path / "out" / "report.html")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.html"]


# ---- a real browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[runs.Browser]:
    if runs.CHROMIUM is None:
        pytest.skip("no Chromium is on this machine: install the package chromium to test the page in a browser")
    tab = runs.Browser(tmp_path_factory.mktemp("profile"))
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    return build([runs.write(folder / "run")], folder / "report.html")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_loads_without_complaint_or_request_and_fits(
    browser: runs.Browser, report: Path, width: int, scheme: str
) -> None:
    browser.open(report, width, scheme)
    assert browser.complaints() == []
    assert browser.requests() == [report.as_uri()]
    assert browser.js("document.documentElement.scrollWidth") == width
    assert browser.js("document.querySelectorAll('.grid button').length") == runs.LAYERS * runs.HEADS
    assert browser.js("document.querySelectorAll('canvas').length") == 2


def test_the_console_check_can_fail(browser: runs.Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text("<script>console.error('seen')</script><img src='http://example.invalid/x.png'>")
    browser.open(page)
    assert browser.complaints()
    assert "http://example.invalid/x.png" in browser.requests()


def test_a_click_and_the_arrow_keys_choose_a_head_and_the_card_shows_its_row(
    browser: runs.Browser, report: Path
) -> None:
    browser.open(report)
    effects = read(report.parent / "run").tables["disabled"]
    browser.js("document.querySelectorAll('.grid tbody tr')[1].querySelectorAll('button')[2].click()")
    browser.js("document.querySelectorAll('.grid tbody tr')[1].querySelectorAll('button')[2].focus()")
    for key, (layer, head) in ((None, (2, 3)), ("ArrowRight", (2, 4)), ("ArrowDown", (3, 4)), ("ArrowDown", (3, 4))):
        if key:
            browser.press(key)
        card = browser.js("document.querySelector('.card').innerText")
        row = effects.filter((pl.col("layer") == layer) & (pl.col("head") == head)).row(0, named=True)
        assert f"L{layer}H{head}" in card
        for value in (row["delta"], row["low"], row["high"]):
            assert f"{value:+.2f}".replace("-", "−") in card
        assert f"{row['p_corrected']:.3f}" in card
        assert browser.js("document.querySelector('[aria-selected=true] button').ariaLabel").startswith(
            f"L{layer}H{head}:"
        )
        assert browser.js("document.activeElement.ariaLabel").startswith(f"L{layer}H{head}:")


def test_the_arrow_keys_read_the_weights_of_the_map(browser: runs.Browser, report: Path) -> None:
    browser.open(report)
    browser.js("document.querySelector('.grid button').click()")
    browser.js("new Promise((done) => setTimeout(done, 200))")
    browser.js("document.querySelector('canvas').focus()")
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        browser.press(key)
    weights = [runs.maps([9, 8])[f"{side}/0"][0, 0, 1, 1] / 255 for side in ("before", "after")]
    assert browser.js("document.querySelector('.readout').textContent") == (
        f"Token 2 “a” attends to 2 “a”: pre-trained {weights[0]:.2f}, fine-tuned {weights[1]:.2f}."
    )


def test_the_table_sorts_by_a_column_both_ways(browser: runs.Browser, report: Path) -> None:
    browser.open(report)
    deltas = (
        "[...document.querySelectorAll('.sets tbody tr')].map((r) => Number(r.cells[5].textContent.replace('−', '-')))"
    )
    up = browser.js(deltas)
    assert up == sorted(up)
    browser.js("document.querySelector('.sets th[data-column=delta] button').click()")
    assert browser.js(deltas) == sorted(up, reverse=True)
    browser.js("document.querySelector('.sets th[data-column=set] button').click()")
    sets = browser.js("[...document.querySelectorAll('.sets tbody tr')].map((row) => row.cells[0].textContent)")
    assert sets == read(report.parent / "run").tables["disabled"]["set"].to_list()


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_text_runs_nothing_and_breaks_no_layout(browser: runs.Browser, hostile: Path, width: int) -> None:
    browser.open(hostile, width)
    assert browser.complaints() == []
    assert browser.requests() == [hostile.as_uri()]
    assert not [e for e in browser.events if e.get("method") == "Page.javascriptDialogOpening"]
    assert browser.js("document.documentElement.scrollWidth") == width
    shown = browser.js("[...document.querySelectorAll('.tokens span')].map((token) => token.textContent)")
    codes: dict[str, str | int | None] = {
        "\u2028": "⟨U+2028⟩",
        "\u2029": "⟨U+2029⟩",
        "\u202e": "⟨U+202E⟩",
        "\u2066": "⟨U+2066⟩",
    }
    assert shown == [text.translate(str.maketrans(codes)) for text in (*HOSTILE, "ok")]


def test_text_on_the_coloured_cells_has_enough_contrast(browser: runs.Browser, report: Path) -> None:
    pairs = [("--text", c) for c in ("--page", "--none", "--loss", "--gain", "--much", "--panel")]
    pairs += [(c, "--page") for c in ("--soft", "--accent", "--special", "--warn")]
    for scheme in ("light", "dark"):
        browser.open(report, scheme=scheme)
        for front, back in pairs:
            values = [
                browser.js(f"getComputedStyle(document.documentElement).getPropertyValue('{name}').trim()")
                for name in (front, back)
            ]
            high, low = sorted((runs.luminance(value) for value in values), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (scheme, front, back)
