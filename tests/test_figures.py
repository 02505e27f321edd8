"""Figures: what a chart shows equals its table, and it is written in three formats without a network."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import vl_convert

import runs
from headscope.commands.report import report
from headscope.errors import HeadscopeError
from headscope.figures import published, saving
from headscope.figures.catalogue import chart_tables, drawings
from headscope.figures.heatmaps import effect_map, measure_map
from headscope.figures.patterns import typical_maps, typical_rows
from headscope.figures.pruning import kept_rows, path_rows
from headscope.figures.rendering import save, size_of
from headscope.figures.style import ACL, PATTERN_COLOURS, Look, label
from headscope.figures.thumbnails import typical
from headscope.names import CLASSES
from headscope.reporting.build import Report
from headscope.reporting.sections import sections_of

EFFECTS = runs.disabled(
    [-3.0, 1.5, 0.0, -0.5, 0.25, -4.5], [0.01, 1.0, 1.0, 0.9, 1.0, 0.049], heads=3
)


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


def test_effect_map_is_centred_on_zero_and_reaches_the_farthest_end_of_an_interval() -> None:
    color = effect_map(EFFECTS, "accuracy").to_dict()["layer"][0]["encoding"]["color"]
    ends = [abs(end) for name in ("low", "high") for end in EFFECTS[name]]
    assert color["scale"]["domain"] == [-max(ends), 0.0, max(ends)]
    assert color["legend"]["title"] == "change, points"


def test_effect_map_marks_heads_whose_corrected_p_is_below_a_twentieth() -> None:
    assert shown(effect_map(EFFECTS, "accuracy"), 1) == [
        {"layer": 1, "head": 1},
        {"layer": 2, "head": 3},
    ]


def test_effect_map_leaves_out_sets_that_are_not_one_head() -> None:
    layer = EFFECTS[:1].with_columns(head=pl.lit(None, pl.Int64), delta=pl.lit(-90.0))
    chart = effect_map(pl.concat([EFFECTS, layer]), "accuracy")
    assert len(shown(chart, 0)) == 6


def test_a_head_without_a_value_does_not_disturb_the_scale() -> None:
    damaged = EFFECTS.with_columns(
        delta=pl.when(pl.col("head") == 2).then(float("nan")).otherwise("delta")
    )
    domain = effect_map(damaged, "accuracy").to_dict()["layer"][0]["encoding"]["color"]["scale"][
        "domain"
    ]
    assert domain == [-6.5, 0.0, 6.5]


def test_an_unknown_metric_names_the_known_ones() -> None:
    with pytest.raises(HeadscopeError, match="unknown metric 'acuracy': did you mean 'accuracy'"):
        effect_map(EFFECTS, "acuracy")


def test_two_rows_a_head_are_refused_until_a_mode_is_chosen() -> None:
    both = pl.concat([EFFECTS, EFFECTS.with_columns(mode=pl.lit("zero"), delta=pl.lit(2.0))])
    with pytest.raises(HeadscopeError, match="more than one row for a head"):
        effect_map(both, "accuracy")
    assert {row["delta"] for row in shown(effect_map(both, "accuracy", mode="zero"), 0)} == {2.0}


def test_measure_map_fills_its_scale_and_names_its_unit() -> None:
    chart = measure_map(runs.heads(), "attention_to_cls").to_dict()
    color = chart["layer"][0]["encoding"]["color"]
    values = runs.heads().filter(measure="attention_to_cls")["value"]
    assert [color["scale"]["domain"][end] for end in (0, -1)] == [values.min(), values.max()]
    assert color["legend"]["title"] == "fraction of mass"
    assert chart["title"]["text"] == "Attention to [CLS]"


@pytest.mark.parametrize(
    ("suffix", "magic"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF")]
)
def test_save_writes_the_format_of_the_suffix(tmp_path: Path, suffix: str, magic: bytes) -> None:
    path = save(effect_map(EFFECTS, "accuracy"), tmp_path / "new" / f"effect.{suffix}")
    assert path.read_bytes().startswith(magic)


def test_save_refuses_another_suffix(tmp_path: Path) -> None:
    with pytest.raises(HeadscopeError, match=r"\.bmp: use \.svg, \.png or \.pdf"):
        save(effect_map(EFFECTS, "accuracy"), tmp_path / "effect.bmp")


def test_the_saved_figure_names_layers_and_heads_from_one(tmp_path: Path) -> None:
    text = save(effect_map(EFFECTS, "accuracy"), tmp_path / "effect.svg").read_text()
    assert all(f">{name}<" in text for name in ("layer", "head", "1", "2", "3", "−6.5"))
    assert ">0<" in text  # of the scale alone
    assert ">4<" not in text


def test_figures_8_and_9_have_a_panel_a_task_and_mark_what_stands(tmp_path: Path) -> None:
    rte = EFFECTS.with_columns(task=pl.lit("rte"), p_corrected=pl.lit(1.0))
    layers = EFFECTS[:2].with_columns(
        head=pl.lit(None, pl.Int64), layer=pl.Series([1, 2]), set=pl.lit("layer")
    )
    damaged = EFFECTS[:1].with_columns(layer=pl.lit(9, pl.Int64), delta=pl.lit(float("nan")))
    other = EFFECTS.with_columns(metric=pl.lit("f1"), delta=pl.lit(-77.0))
    tables = {"disabled": pl.concat([EFFECTS, rte, layers, damaged, other])}
    charts = {drawing.figure.name: drawing.chart() for drawing in drawings(tables)}
    assert list(charts) == ["figure8_heads", "figure9_layers", "forest"]
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
    assert [(r["layer"], r["delta"], r["stands"]) for r in drawn] == [
        (1, -3.0, True),
        (2, 1.5, False),
    ]
    for name, chart in charts.items():
        assert save(chart, tmp_path / f"{name}.png").stat().st_size > 5000
    assert drawings({}) == [] == drawings({"disabled": damaged})


def test_the_path_of_pruning_shows_the_scores_the_levels_and_the_recommended_sizes() -> None:
    table = runs.pruned(6, metrics=("accuracy", "f1"))
    (drawn, _) = drawings({"pruned": table} | dict(chart_tables({"pruned": table}, {}, None)))
    assert (drawn.figure.name, drawn.columns) == ("pruning_path", 2)
    accuracy, f1 = drawn.chart().to_dict()["concat"]
    assert [one["layer"][-1]["encoding"]["y"]["title"] for one in (accuracy, f1)] == [
        "accuracy, points",
        "F1, points",
    ]
    spec = drawn.chart().to_dict()
    data = [spec["datasets"][layer["data"]["name"]] for layer in accuracy["layer"]]
    band, *levels, curve, points = data
    # The interval of the change, around the whole model's score.
    assert {(row["kept"], row["low"], row["high"]) for row in band} >= {
        (15, 78.0, 82.0),
        (6, 69, 73),
    }
    assert [rows[0]["value"] for rows in levels[::2]] == [80.0, 79.2, 60.0]
    assert [(row["kept"], row["value"]) for row in curve] == [
        (kept, 65 + kept) for kept in range(16)
    ]
    assert points == [
        {"kept": 6, "value": 71.0, "kind": "recommended"},
        {"kept": 6, "value": 72.0, "kind": "refitted"},
    ]


def test_a_recommended_size_alone_is_drawn() -> None:
    """A scale of sizes with one kind gave the point no size."""
    table = runs.pruned(6).filter(repair="none")
    (drawn, _) = drawings({"pruned": table} | dict(chart_tables({"pruned": table}, {}, None)))
    svg = vl_convert.vegalite_to_svg(drawn.chart().to_json())
    assert "NaN" not in svg
    assert ">recommended<" in svg
    assert ">refitted<" not in svg


def test_a_path_without_removed_heads_is_no_figure() -> None:
    table = runs.pruned()
    assert path_rows(table).equals(table)
    assert not path_rows(table.filter(removed=0)).height
    damaged = table.with_columns(value=pl.when(removed=0).then("value"))
    assert not path_rows(damaged).height
    assert not drawings({"pruned": damaged})
    # A file of another program.
    assert not path_rows(table.with_columns(repair=pl.lit("glue"))).height
    strange = kept_rows(table.with_columns(heads=pl.lit("L9999H1,L1H2"), metric=pl.lit("")))
    assert strange.select("layer", "head").rows() == [(1, 2)]


def test_heads_that_stay_are_counted_over_sizes_that_are_not_nested() -> None:
    rows = kept_rows(runs.pruned(6, 1))
    assert rows["kept"].to_list() == [6] * 15 + [1] * 15
    assert set(rows["of"]) == {14}
    of_six = rows.filter(kept=6)
    counts = (of_six["value"] * 14).round(6).to_list()
    # L1H1 is kept where one head is; L1H2 and L1H3 from 2 to 14 heads, the last at 14 alone.
    assert counts == [1, 13, *range(13, 0, -1)]
    assert places(of_six) == [f"L1H{i}" for i in range(2, 6)] + ["L2H1", "L2H2"]
    assert places(rows.filter(kept=1)) == ["L1H1"]
    none = kept_rows(runs.pruned())
    assert none.height == 15
    assert none["kept"].null_count() == none["stays"].null_count() == 15
    chart = {"kept_heads": rows}
    (drawn,) = drawings(chart)
    titles = [one["title"] for one in drawn.chart().to_dict()["concat"]]
    assert titles == [f"● in the recommended set ({kept} of 15 heads)" for kept in (6, 1)]


def places(rows: pl.DataFrame) -> list[str]:
    staying = rows.filter(stays=1)
    return [f"L{layer}H{head}" for layer, head in staying.select("layer", "head").iter_rows()]


def test_labels() -> None:
    assert [label(n) for n in ("attention_to_cls", "attention_to_noun", "accuracy")] == [
        "Attention to [CLS]",
        "Attention to noun",
        "accuracy",
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.write(tmp_path_factory.mktemp("figures") / "run")


@pytest.fixture(scope="module")
def acl(run: Path) -> Path:
    return Report.of([run]).save_figures(run.parent / "acl", "acl")


def test_figures_for_a_paper_come_as_svg_pdf_and_csv(acl: Path) -> None:
    names = {
        "figure1_typical",
        "figure2_patterns",
        "figure5_cosine",
        "figure6_change",
        "figure6_features",
    }
    names |= {"figure8_heads", "forest", "table1_scores"}
    files = {f"{n}.{suffix}" for n in names for suffix in ("svg", "pdf", "csv")}
    assert {path.name for path in acl.iterdir()} == files | {"captions.txt"}


@pytest.mark.parametrize(
    ("name", "inches"),
    [
        ("figure1_typical", 6.3),
        ("figure2_patterns", 6.3),
        ("figure5_cosine", 3.03),
        ("table1_scores", 3.03),
    ],
)
def test_the_style_of_acl_has_its_widths_and_its_font(acl: Path, name: str, inches: float) -> None:
    pdf = (acl / f"{name}.pdf").read_bytes()
    box = re.search(rb"/MediaBox ?\[0 0 ([\d.]+)", pdf)
    assert box
    assert float(box[1]) == pytest.approx(72 * inches, abs=0.01)
    assert all(b"Serif" in font for font in re.findall(rb"/BaseFont ?/([^ /\n]*)", pdf))
    opening = (acl / f"{name}.svg").read_text()[:400]
    drawn = re.search(r'width="([\d.]+)pt" .*viewBox="0 0 ([\d.]+)', opening)
    assert drawn
    # The cells are chosen so that scaling leaves the letters as large as they were asked for.
    assert float(drawn[1]) / float(drawn[2]) == pytest.approx(1, abs=0.12)


def test_the_rows_beside_a_figure_are_the_rows_of_the_table(run: Path, acl: Path) -> None:
    cosines = pl.read_parquet(run / "change.parquet").filter(measure="cosine_to_pretrained")
    assert pl.read_csv(acl / "figure5_cosine.csv")["value"].to_list() == pytest.approx(
        cosines["value"].to_list()
    )
    heads = pl.read_parquet(run / "disabled.parquet")
    assert pl.read_csv(acl / "figure8_heads.csv")["set"].to_list() == heads["set"].to_list()


def test_figure_1_shows_the_typical_map_of_the_head_with_most_of_each_class(run: Path) -> None:
    (section,) = sections_of([run])
    shown = section.run
    small = typical(shown.maps)
    assert small is not None
    rows = typical_rows(shown.tables["patterns"], shown.maps, small)
    assert rows is not None
    first = rows.group_by("class", maintain_order=True).first()
    assert first.select("class", "layer", "head").rows() == [
        ("vertical", 1, 1), ("diagonal", 1, 2), ("vertical+diagonal", 1, 3), ("block", 1, 4), ("heterogeneous", 1, 5),
    ]  # fmt: skip
    row = rows.filter(head=2).row(3, named=True)
    weight = shown.maps[f"after/{row['example']}"][0, 1, row["query"] - 1, row["key"] - 1] / 255
    assert row["weight"] == pytest.approx(weight, abs=5e-4)
    assert rows.filter(head=2)["weight"].max() == pytest.approx(
        shown.maps[f"after/{row['example']}"][0, 1].max() / 255, abs=5e-4
    )


def test_the_papers_number_stands_beside_where_there_is_one(run: Path) -> None:
    tables = {"scores": runs.scores(task="mrpc"), "change": runs.change()}
    assert chart_tables(tables, {}, None)["table1"]["paper"].to_list() == [82.3]
    beside = {drawing.figure.name: drawing.beside for drawing in drawings(tables)}
    assert beside["figure5_cosine"].endswith("Kovaleva et al. (2019), on QQP: 0.93 to 0.71.")
    disabled = runs.disabled([0.0, 1.0], [1.0, 1.0])
    of_metric = {
        metric: disabled.with_columns(task=pl.lit("mrpc"), metric=pl.lit(metric))
        for metric in ("f1", "average_precision")
    }
    assert published.best_heads(of_metric["f1"]).endswith("mrpc 87.9 to 89.4.")
    # The paper's number is of F1: beside another metric it would pass for one of that.
    assert published.best_heads(of_metric["average_precision"]) == ""
    on_rte = disabled.with_columns(task=pl.lit("rte"), metric=pl.lit("accuracy"))
    assert "layer 1 gains 3.2 points" in published.best_layer(on_rte)
    assert published.best_layer(on_rte.with_columns(metric=pl.lit("roc_auc"))) == ""
    scores = {"scores": runs.scores()}
    assert chart_tables(scores, {}, None)["table1"]["paper"].to_list() == [None]


def test_a_look_changes_the_size_of_cells_and_letters() -> None:
    drawing = drawings({"change": runs.change()})[0]
    assert drawing.figure.name == "figure5_cosine"
    spec = drawing.chart(Look(size=7.0, cell=20.0, titled=False)).to_dict()
    assert spec["concat"][0]["width"] == 20 * runs.HEADS
    assert spec["config"]["axis"]["labelFontSize"] == 7
    assert "title" not in spec


def test_report_writes_the_figures_and_the_page_only_when_asked(run: Path, tmp_path: Path) -> None:
    outcome = report(run, figures=tmp_path / "plain", quiet=True)
    assert outcome.path == tmp_path / "plain"
    assert (tmp_path / "plain" / "figure8_heads.pdf").is_file()
    assert not (tmp_path / "report.html").exists()
    with pytest.raises(
        HeadscopeError, match="--style 'nature' is not known: give one of plain, acl, slides"
    ):
        Report.of([run]).save_figures(tmp_path / "nature", "nature")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "run.json").write_text("{}")
    with pytest.raises(HeadscopeError, match="no table that a figure is drawn from"):
        Report.of([empty]).save_figures(tmp_path / "none")


def test_figures_of_several_runs_have_a_folder_each_and_the_common_ones(
    run: Path, tmp_path: Path
) -> None:
    other = runs.write(tmp_path / "other", {"seed": 8})
    folder = Report.of([run, other]).save_figures(tmp_path / "both")
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {
        "1_tiny-bert___pairs", "2_tiny-bert___pairs",
    }  # fmt: skip
    tasks = pl.read_csv(folder / "figure8_heads.csv")["task"].unique().sort().to_list()
    assert tasks == ["pairs, seed 7", "pairs, seed 8"]


def test_a_chart_is_laid_out_once_for_the_page_and_every_file(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid_out = []

    def counted(spec: str) -> str:
        laid_out.append(spec)
        return real(spec)

    real = vl_convert.vegalite_to_svg
    monkeypatch.setattr(vl_convert, "vegalite_to_svg", counted)
    shown = Report.of([run])
    shown.save_charts(tmp_path / "charts")
    shown.save(tmp_path / "report.html")
    shown.save_figures(tmp_path / "figures")
    charts = {path.name for path in (tmp_path / "charts").iterdir()}
    names = {"figure2_patterns", "figure5_cosine", "figure6_change", "figure6_features"}
    names |= {"figure8_heads", "forest", "effect_accuracy", "entropy", "distance"}
    assert charts == {f"{name}.{suffix}" for name in names for suffix in ("svg", "png")}
    # Figure 1 and table 1 are not among a study's charts.
    assert len(laid_out) == len(names) + 2
    for name in ("figure5_cosine.svg", "figure8_heads.svg"):
        assert (tmp_path / "charts" / name).read_text() == (tmp_path / "figures" / name).read_text()


def test_the_largest_cells_are_chosen_with_which_a_figure_fits(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "_CELL_STEP", 1.0)
    monkeypatch.setattr(saving, "_CELL_STEPS", 8)
    drawing = Report.of([run]).sections[0].drawings[2]
    assert drawing.figure.name == "figure5_cosine"
    picture, width = saving.fitted(drawing, ACL)
    assert width is not None
    assert width == ACL.column_width
    looks = [replace(ACL, cell=3.0 + 8.0 * step, columns=1) for step in range(8)]
    widths = [size_of(drawing.svg(look))[0] for look in looks]
    assert widths == sorted(widths)
    assert min(widths) < width < max(widths)
    assert size_of(picture)[0] == max(each for each in widths if each <= width)


def test_there_is_a_colour_per_class() -> None:
    assert tuple(PATTERN_COLOURS) == CLASSES
    assert len(set(PATTERN_COLOURS.values())) == len(CLASSES)


def test_a_class_that_no_head_has_most_has_no_typical_map() -> None:
    shares = {"vertical": (0.9, 0.7), "block": (0.1, 0.3)}
    rows = [
        {"layer": 1, "head": head, "class": name, "measure": "share", "state": "after", "value": value}
        for name, values in shares.items()
        for head, value in enumerate(values, 1)
    ]  # fmt: skip
    patterns = pl.DataFrame(rows)
    maps = {"after/0": np.full((1, 2, 4, 4), 60, np.uint8)}
    shown = typical(maps)
    assert shown is not None
    drawn = typical_rows(patterns, maps, shown)
    assert drawn is not None
    assert drawn["class"].unique().to_list() == ["vertical"]
    chart = typical_maps(drawn, "Typical maps", Look()).to_dict()
    assert "block and heterogeneous are most frequent in no head" in chart["title"]["subtitle"]


def test_no_test_found_anything_is_said_on_the_figure() -> None:
    quiet = EFFECTS.with_columns(p_corrected=pl.lit(1.0))
    subtitle = effect_map(quiet, "accuracy").to_dict()["title"]["subtitle"]
    assert "none is significant (adjusted p < 0.05)" in subtitle


def test_correlations_have_no_majority_class_on_the_figure_of_scores() -> None:
    rows = chart_tables({"scores": runs.scores(metric="spearman", majority=0.0)}, {}, None)[
        "table1"
    ]
    assert rows["majority"].to_list() == [None]
    (drawing,) = drawings({"table1": rows})
    assert drawing.chart().to_dict()["title"]["subtitle"] == "dot: score with its 95% interval"


@pytest.mark.parametrize(
    ("metric", "baseline"), [("accuracy", "majority class"), ("roc_auc", "equal cosines")]
)
def test_the_figure_of_scores_names_the_baseline_of_its_metric(metric: str, baseline: str) -> None:
    tables = chart_tables({"scores": runs.scores(metric=metric, majority=50.0)}, {}, None)
    (drawing,) = drawings({"table1": tables["table1"]})
    subtitle = f"dot: score with its 95% interval; orange: {baseline}"
    assert drawing.chart().to_dict()["title"]["subtitle"] == subtitle
