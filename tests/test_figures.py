"""Figures: what a chart shows equals its table, and it is written in three formats without a network."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import runs
from headscope.effect_figures import effect_figures
from headscope.errors import HeadscopeError
from headscope.figures import effect_map, label, measure_map, save

EFFECTS = runs.disabled([-3.0, 1.5, 0.0, -0.5, 0.25, -4.5], [0.01, 1.0, 1.0, 0.9, 1.0, 0.049], heads=3)


def shown(chart: Any, layer: int) -> list[dict[str, Any]]:
    """The rows behind a layer of a chart."""
    spec = chart.to_dict()
    rows: list[dict[str, Any]] = spec["datasets"][spec["layer"][layer]["data"]["name"]]
    return rows


def test_effect_map_shows_the_deltas_of_the_table() -> None:
    chart = effect_map(EFFECTS, "accuracy")
    assert [(r["layer"], r["head"], r["delta"]) for r in shown(chart, 0)] == EFFECTS.select(
        "layer", "head", "delta"
    ).rows()


def test_effect_map_is_centred_on_zero_and_reaches_the_largest_effect() -> None:
    color = effect_map(EFFECTS, "accuracy").to_dict()["layer"][0]["encoding"]["color"]
    assert color["scale"]["domain"] == [-5.0, 0.0, 5.0]
    assert color["legend"]["title"] == "change, points"


def test_effect_map_marks_heads_whose_corrected_p_is_below_a_twentieth() -> None:
    assert shown(effect_map(EFFECTS, "accuracy"), 1) == [{"layer": 1, "head": 1}, {"layer": 2, "head": 3}]


def test_effect_map_leaves_out_sets_that_are_not_one_head() -> None:
    layer = EFFECTS[:1].with_columns(head=pl.lit(None, pl.Int64), delta=pl.lit(-90.0))
    chart = effect_map(pl.concat([EFFECTS, layer]), "accuracy")
    assert len(shown(chart, 0)) == 6


def test_a_head_without_a_value_does_not_disturb_the_scale() -> None:
    damaged = EFFECTS.with_columns(delta=pl.when(pl.col("head") == 2).then(float("nan")).otherwise("delta"))
    domain = effect_map(damaged, "accuracy").to_dict()["layer"][0]["encoding"]["color"]["scale"]["domain"]
    assert domain == [-5.0, 0.0, 5.0]


def test_an_unknown_metric_names_the_known_ones() -> None:
    with pytest.raises(HeadscopeError, match="unknown metric 'acuracy': did you mean 'accuracy'"):
        effect_map(EFFECTS, "acuracy")


def test_two_rows_a_head_are_refused_until_a_mode_is_chosen() -> None:
    both = pl.concat([EFFECTS, EFFECTS.with_columns(mode=pl.lit("zero"), delta=pl.lit(2.0))])
    with pytest.raises(HeadscopeError, match="more than one row for a head"):
        effect_map(both, "accuracy")
    assert {row["delta"] for row in shown(effect_map(both, "accuracy", mode="zero"), 0)} == {2.0}


def test_measure_map_starts_at_zero_and_names_its_unit() -> None:
    chart = measure_map(runs.heads(), "attention_to_cls").to_dict()
    color = chart["layer"][0]["encoding"]["color"]
    assert color["scale"]["domain"][0] == 0.0
    assert color["legend"]["title"] == "fraction of mass"
    assert chart["title"]["text"] == "Attention to [CLS]"


@pytest.mark.parametrize(("suffix", "magic"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_save_writes_the_format_of_the_suffix(tmp_path: Path, suffix: str, magic: bytes) -> None:
    path = save(effect_map(EFFECTS, "accuracy"), tmp_path / "new" / f"effect.{suffix}")
    assert path.read_bytes().startswith(magic)


def test_save_refuses_another_suffix(tmp_path: Path) -> None:
    with pytest.raises(HeadscopeError, match=r"\.bmp: use \.svg, \.png or \.pdf"):
        save(effect_map(EFFECTS, "accuracy"), tmp_path / "effect.bmp")


def test_the_saved_figure_names_layers_and_heads_from_one(tmp_path: Path) -> None:
    text = save(effect_map(EFFECTS, "accuracy"), tmp_path / "effect.svg").read_text()
    assert all(f">{name}<" in text for name in ("L1", "L2", "H1", "H2", "H3", "−5"))
    assert ">L3<" not in text


def test_figures_8_and_9_have_a_panel_a_task_and_mark_what_stands(tmp_path: Path) -> None:
    rte = EFFECTS.with_columns(task=pl.lit("rte"), p_corrected=pl.lit(1.0))
    layers = EFFECTS[:2].with_columns(head=pl.lit(None, pl.Int64), layer=pl.Series([1, 2]), set=pl.lit("layer"))
    damaged = EFFECTS[:1].with_columns(layer=pl.lit(9, pl.Int64), delta=pl.lit(float("nan")))
    other = EFFECTS.with_columns(metric=pl.lit("f1"), delta=pl.lit(-77.0))
    charts = effect_figures({"disabled": pl.concat([EFFECTS, rte, layers, damaged, other])})
    assert list(charts) == ["figure8_heads", "figure9_layers"]
    spec = charts["figure8_heads"].to_dict()
    first, second = spec["concat"]
    tasks = [EFFECTS["task"][0], "rte"]
    assert [panel["title"] for panel in spec["concat"]] == [f"{task}, accuracy" for task in tasks]
    cells, dots = (spec["datasets"][layer["data"]["name"]] for layer in first["layer"])
    assert [row["delta"] for row in cells] == EFFECTS["delta"].to_list()
    assert dots == [{"layer": 1, "head": 1}, {"layer": 2, "head": 3}]
    assert spec["datasets"][second["layer"][1]["data"]["name"]] == []
    (only,) = charts["figure9_layers"].to_dict()["concat"]
    drawn = charts["figure9_layers"].to_dict()["datasets"][only["layer"][1]["data"]["name"]]
    assert [(r["layer"], r["delta"], r["stands"]) for r in drawn] == [(1, -3.0, True), (2, 1.5, False)]
    for name, chart in charts.items():
        assert save(chart, tmp_path / f"{name}.png").stat().st_size > 5000
    assert effect_figures({}) == {} == effect_figures({"disabled": damaged})


def test_labels() -> None:
    assert [label(n) for n in ("attention_to_cls", "attention_to_noun", "accuracy")] == [
        "Attention to [CLS]",
        "Attention to noun",
        "accuracy",
    ]
