"""Figures for a paper or for slides: forest plots, maps of heads that are named, and styles."""

import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest

import runs
from headscope.axes import Head
from headscope.errors import HeadscopeError
from headscope.figures import forest
from headscope.figures.catalogue import Drawing, drawings
from headscope.figures.rendering import svg
from headscope.figures.saving import fitted, save_figures
from headscope.figures.style import ACL, SCREEN, SLIDES, STYLES, Look
from headscope.figures.text_maps import map_panels, map_rows
from headscope.names import StyleName
from headscope.reporting.sections import Section, sections_of
from headscope.runs import open_run

DELTAS = [-3.0, 1.5, 0.0, -0.5, 0.25, -4.5]
EFFECTS = runs.disabled(DELTAS, [0.01, 1.0, 1.0, 0.9, 1.0, 0.049], heads=3)


def forest_of(disabled: pl.DataFrame, name: str = "forest") -> Drawing:
    return next(each for each in drawings({"disabled": disabled}) if each.figure.name == name)


def spec_of(disabled: pl.DataFrame, look: Look = SCREEN) -> dict[str, Any]:
    spec: dict[str, Any] = forest_of(disabled).chart(look).to_dict()
    return spec


def rows_of(spec: dict[str, Any], layer: int, panel: int = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = spec["datasets"][
        spec["concat"][panel]["layer"][layer]["data"]["name"]
    ]
    return found


def test_a_forest_shows_the_tables_effects_and_intervals_from_the_lowest_to_the_highest() -> None:
    spec = spec_of(EFFECTS)
    drawn = rows_of(spec, 2)
    expected = sorted(EFFECTS.iter_rows(named=True), key=lambda row: row["delta"])
    assert [(r["set"], r["value"], r["low"], r["high"]) for r in drawn] == [
        (row["set"], row["delta"], row["low"], row["high"]) for row in expected
    ]
    told = [row["set"] for row in expected if row["p_corrected"] < 0.05]
    assert (
        [row["set"] for row in drawn if row["kind"] == "adjusted p < 0.05"]
        == told
        == ["L2H3", "L1H1"]
    )
    points = spec["concat"][0]["layer"][2]["encoding"]
    assert points["x"]["title"] == "change, points of accuracy"
    assert points["fill"]["scale"]["range"] == ["#333333", "white"]
    low, high = points["x"]["scale"]["domain"]
    assert low < -6.5
    assert high > 3.5
    assert spec["title"]["subtitle"] == "tiny-bert, pairs · mode uniform · n = 40, 95% intervals"
    picture = svg(forest_of(EFFECTS).chart())
    names = re.findall(r">(L\dH\d)<", picture)
    assert names == [row["set"] for row in expected]
    assert ">not significant<" in picture


def test_a_forest_of_many_sets_has_the_lowest_and_the_highest_and_says_how_many_are_left_out() -> (
    None
):
    deltas = [float(value) for value in range(-10, 11)]
    many = runs.disabled(deltas, [0.01 if value == 0 else 1.0 for value in deltas], heads=7)
    look = Look(rows=5)
    spec = spec_of(many, look)
    assert [row["value"] for row in rows_of(spec, 2)] == [-10, -9, -8, 9, 10]
    assert [row["place"] for row in rows_of(spec, 2)] == [0, 1, 2, 4, 5]
    assert rows_of(spec, 3) == [{"place": 3, "words": "16 left out"}]
    said = "the 3 lowest and the 2 highest of 21: 16 left out, 1 of them significant"
    assert spec["title"]["subtitle"].endswith(said)
    # Nothing is left out where there is room.
    assert len(spec_of(many, Look(rows=21))["concat"][0]["layer"]) == 3
    assert len(forest_of(many).numbers) == 21


def test_a_forest_says_which_sets_have_no_value_or_no_interval() -> None:
    is_bad = pl.col("head") == 2
    damaged = EFFECTS.with_columns(
        delta=pl.when(is_bad & (pl.col("layer") == 1)).then(float("nan")).otherwise("delta"),
        low=pl.when(is_bad).then(float("inf")).otherwise("low"),
    )
    spec = spec_of(damaged)
    drawn = rows_of(spec, 2)
    assert len(drawn) == 5
    assert [row["set"] for row in drawn if row["low"] is None] == ["L2H2"]
    assert spec["title"]["subtitle"].endswith("1 without a value left out; 1 without an interval")
    assert svg(forest_of(damaged).chart()).count(">L") == 5
    none = EFFECTS.with_columns(delta=pl.lit(float("nan")))
    assert not forest.effect_rows(none).height
    assert drawings({"disabled": none}) == []
    untested = spec_of(EFFECTS.with_columns(p_corrected=pl.lit(None, pl.Float64)))
    assert untested["concat"][0]["layer"][2]["encoding"]["fill"]["legend"] is None


def test_python_has_a_forest_of_every_metric(tmp_path: Path) -> None:
    f1 = EFFECTS.with_columns(metric=pl.lit("f1"), delta=pl.lit(-7.0))
    folder = runs.write(tmp_path / "two", disabled=pl.concat([EFFECTS, f1]))
    (folder / "run.json").write_text(runs.record().to_json(), encoding="utf-8")
    opened = open_run(folder)
    of_f1 = opened.figure("forest_f1").to_dict()
    assert {row["value"] for row in rows_of(of_f1, 2)} == {-7.0}
    assert rows_of(opened.figure("forest").to_dict(), 2) == rows_of(
        opened.figure("forest_accuracy").to_dict(), 2
    )


def test_points_of_several_tasks_are_filled_alike_where_one_has_nothing_significant() -> None:
    quiet = EFFECTS.with_columns(p_corrected=pl.lit(1.0))
    loud = EFFECTS.with_columns(task=pl.lit("rte"))
    for both in ((quiet, loud), (loud, quiet)):
        picture = svg(forest_of(pl.concat(both)).chart())
        marks = picture[: picture.index("role-legend")]
        assert len(re.findall(r'<path[^>]*fill="#333333" stroke="#333333"', marks)) == 2
        assert len(re.findall(r'<path[^>]*fill="white" stroke="#333333"', marks)) == 10


def test_long_names_of_sets_say_how_many_heads_follow() -> None:
    name = ",".join(f"L{layer}H{layer}" for layer in range(1, 13))
    sets = EFFECTS.with_columns(set=pl.lit(name))
    assert ">L1H1,L2H2,L3H3,L4H4 +8<" in svg(forest_of(sets).chart())


def test_a_forest_of_shapley_values_has_the_intervals_for_all_heads() -> None:
    values = [0.3, -0.1, 0.0]
    table = pl.DataFrame(
        {
            "model": "tiny-bert", "task": "pairs", "set": ["L1H1", "L1H2", "L1H3"], "layer": 1, "head": [1, 2, 3],
            "value": values, "low_all": [v - 0.15 for v in values], "high_all": [v + 0.15 for v in values],
            "n": 20, "of": "antithetic pairs of orders", "alone": values, "unit": "nats",
        }
    )  # fmt: skip
    (drawn,) = [d for d in drawings({"shapley": table}) if d.figure.name == "forest_shapley"]
    spec = drawn.chart().to_dict()
    points = spec["datasets"][spec["layer"][2]["data"]["name"]]
    assert [row["value"] for row in points] == [-0.1, 0.0, 0.3]
    assert [row["kind"] for row in points][-1] == "the interval excludes 0"
    assert spec["layer"][2]["encoding"]["x"]["title"] == "share of the rise of the loss, nats"


# ---- maps


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole(tmp_path_factory.mktemp("paper") / "run")


def whole(folder: Path) -> Path:
    """A run folder that `open_run` opens."""
    runs.write(folder)
    (folder / "run.json").write_text(runs.record().to_json(), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def section(run: Path) -> Section:
    (only,) = sections_of([run])
    return only


def test_a_map_shows_the_weights_that_the_run_keeps(section: Section) -> None:
    drawn = section.maps_of(["L3H2", Head(1, 5)], example=0)
    assert drawn.figure.name == "map_L1H5_L3H2_example0"
    assert drawn.columns == 2
    kept = section.run.maps["after/0"]
    for name, index in (("L1H5", (0, 4)), ("L3H2", (2, 1))):
        rows = drawn.rows.filter(head=name).sort("query", "key")
        weights = rows["weight"].to_numpy().reshape(9, 9)
        np.testing.assert_allclose(weights, kept[index] / 255, atol=5e-5)
        assert rows["to"].to_list()[:9] == runs.TOKENS[0]
        assert rows.filter(key=1)["from"].to_list() == runs.TOKENS[0]
    spec = drawn.chart().to_dict()
    assert [panel["title"] for panel in spec["concat"]] == ["L1H5", "L3H2"]
    about = "tiny-bert, pairs · after fine-tuning · example 0 · rows attend to columns"
    assert spec["title"]["subtitle"].startswith(about)
    largest = drawn.rows.filter(head="L1H5")["weight"].max()
    assert spec["concat"][0]["encoding"]["color"]["scale"]["domain"][2] == largest
    # The shortest example where none is named.
    assert section.maps_of("L1H1").figure.name == "map_L1H1_example1"


def test_every_token_stands_beside_a_map_also_one_that_vega_has_a_function_of() -> None:
    tokens = ["if", "data", '"', "'", "\\n", "a\nb", "<b>"]
    maps = {"L1H1": np.full((7, 7), 1 / 7)}
    texts = re.findall(r"<text[^>]*>([^<]*)<", svg(map_panels(map_rows(maps, tokens))))
    for token in ("if", "data", "&quot;", "'", "\\n", "a b", "&lt;b&gt;"):
        assert texts.count(token) + texts.count(token.replace("&quot;", '"')) >= 2, (token, texts)


def test_what_is_asked_of_maps_and_is_not_there_is_one_sentence(
    run: Path, section: Section
) -> None:
    mistakes: list[tuple[Any, int | None, str]] = [
        ("L9H1", None, "L9H1 does not exist: the model has 3 layers of 5 heads"),
        ("7", None, "'7' is not a head"),
        ("L1H1", 5, "keeps no map of example 5: give one of 0, 1$"),
        ("L1H1", -1, "keeps no map of example -1: give one of 0, 1$"),
    ]
    for heads, example, message in mistakes:
        with pytest.raises(HeadscopeError, match=message):
            section.maps_of(heads, example)
    opened = open_run(run)
    assert "map" in opened.figures
    assert (
        opened.figure("map", heads="L1H2", example=1).to_dict()["title"]["text"] == "Attention maps"
    )
    with pytest.raises(HeadscopeError, match="is of heads that you name"):
        opened.figure("map")
    with pytest.raises(HeadscopeError, match="are of the figure 'map', not of 'forest'"):
        opened.figure("forest", heads="L1H1")


def test_a_run_without_maps_says_so(tmp_path: Path) -> None:
    folder = whole(tmp_path / "bare")
    (folder / "maps.safetensors").unlink()
    (bare,) = sections_of([folder])
    with pytest.raises(HeadscopeError, match="keeps no maps of examples: give a run of study"):
        bare.maps_of("L1H1")
    assert "map" not in open_run(folder).figures


# ---- styles


def test_every_style_has_a_name_that_the_command_line_takes() -> None:
    assert get_args(StyleName) == tuple(STYLES)


def size_in_points(picture: bytes) -> tuple[float, float]:
    box = re.search(rb"/MediaBox ?\[0 0 ([\d.]+) ([\d.]+)", picture)
    assert box
    return float(box[1]), float(box[2])


def test_slides_have_large_letters_thick_lines_and_fit_16_to_9(
    section: Section, tmp_path: Path
) -> None:
    wanted = [d for d in section.drawings if d.figure.name in ("figure8_heads", "forest")]
    save_figures([*wanted, section.maps_of("L1H1,L2H2")], tmp_path, SLIDES)
    names = ("figure8_heads", "forest", "map_L1H1_L2H2_example1")
    files = {f"{name}.{suffix}" for name in names for suffix in ("svg", "pdf", "png", "csv")}
    assert {path.name for path in tmp_path.iterdir()} == files | {"captions.txt"}
    for name in names:
        width, height = size_in_points((tmp_path / f"{name}.pdf").read_bytes())
        assert width <= 960.01
        assert height <= 540.01
        assert max(width / 960, height / 540) == pytest.approx(1, abs=1e-3)
    forest_svg = (tmp_path / "forest.svg").read_text()
    assert set(re.findall(r'font-size="([\d.]+)px"', forest_svg)) == {"16", "17"}
    assert 'stroke-width="2.2"' in forest_svg
    captions = (tmp_path / "captions.txt").read_text()
    assert "forest: Change when heads are disabled, from the largest loss" in captions


def test_in_acls_style_the_forest_has_a_columns_width_and_its_caption_says_what_the_title_would() -> (
    None
):
    drawn = forest_of(EFFECTS)
    picture, width = fitted(drawn, ACL)
    assert width == ACL.column_width
    assert set(re.findall(r'font-size="([\d.]+)px"', picture)) == {"8"}
    assert "Serif" in picture
    assert "Change when" not in picture
    assert drawn.caption(ACL) == (
        "Change when heads are disabled, from the largest loss to the largest gain – tiny-bert, pairs · mode uniform · "
        "n = 40, 95% intervals."
    )


def test_no_number_in_a_figure_has_a_hyphen_for_a_minus(section: Section) -> None:
    drawn = [d for d in section.drawings if d.figure.name in ("figure8_heads", "forest")]
    for drawing in drawn:
        texts = re.findall(r"<text[^>]*>([^<]*)<", drawing.svg())
        assert any("−" in text for text in texts), drawing.figure.name
        assert not [text for text in texts if re.search(r"(?<![\w])-\d", text)]
