"""The maps of a page: what is packed comes back, within a size, and a damaged or hostile run is a sentence."""

import base64
import csv
import io
import re
import zlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import runs
from headscope import cli
from headscope.figures.catalogue import drawings
from headscope.figures.saving import inert, save_charts, save_figures
from headscope.figures.style import look_of
from headscope.reporting.packing import LEVELS, PackedMap, packed
from headscope.reporting.reading import examples_of
from headscope.reporting.shortening import kept_tokens, shown_maps

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))


def unpacked(key: str, maps: dict[str, PackedMap]) -> np.ndarray:
    """The slow explicit form: bytes to codes, one after the other, [layer, head, query, key]."""
    one = maps[key]
    layers, heads, queries, keys = one.shape
    codes: list[int] = []
    for byte in zlib.decompress(base64.b64decode(one.data)):
        codes += [byte] if len(one.levels) > 16 else [byte % 16, byte // 16]
    out = np.zeros(one.shape, int)
    at = 0
    for layer in range(layers):
        for head in range(heads):
            for k in range(keys):
                for q in range(queries):
                    out[layer, head, q, k] = codes[at]
                    at += 1
    if one.minus is not None:
        out = (out + unpacked(one.minus, maps)) % len(one.levels)
    return out


@settings(max_examples=150)
@given(SHAPES, st.data(), st.floats(0, 1))
def test_small_maps_come_back_exactly(
    shape: tuple[int, int, int, int], data: st.DataObject, share: float
) -> None:
    before = data.draw(arrays.arrays(np.uint8, shape))
    other = data.draw(arrays.arrays(np.uint8, shape))
    # From all equal to all different: the difference is kept where most of it is equal.
    after = np.where(np.random.default_rng(1).random(shape) < share, before, other)
    maps = {"before/0": before, "after/0": after.astype(np.uint8), "given/3": other}
    kept = packed(maps)
    for key, map_ in maps.items():
        np.testing.assert_array_equal(unpacked(key, kept), map_)


def test_a_model_beside_itself_is_kept_as_no_difference() -> None:
    map_ = np.full((2, 2, 4, 4), 255, np.uint8)
    kept = packed({"before/0": map_, "after/0": map_.copy()})
    assert kept["after/0"].minus == "before/0"
    np.testing.assert_array_equal(unpacked("after/0", kept), map_)


def test_large_maps_are_within_a_step_of_what_they_were() -> None:
    rng = np.random.default_rng(2)
    maps = {
        f"{state}/0": rng.integers(0, 256, (4, 4, 230, 230)).astype(np.uint8)
        for state in ("before", "after")
    }
    kept = packed(maps)
    assert kept["before/0"].levels == list(LEVELS)
    flat = zlib.decompress(base64.b64decode(kept["before/0"].data))
    bytes_ = np.frombuffer(flat, np.uint8)
    codes = np.stack([bytes_ % 16, bytes_ // 16], 1).ravel()[: maps["before/0"].size]
    levels = np.array(LEVELS)[codes].reshape(4, 4, 230, 230).swapaxes(2, 3)
    assert np.abs(levels.astype(int) - maps["before/0"]).max() <= np.diff(LEVELS).max()


def long_maps(tokens: int, examples: int) -> tuple[dict[str, np.ndarray], pl.DataFrame]:
    rng = np.random.default_rng(3)
    maps = {
        f"given/{at}": rng.integers(0, 256, (4, 4, tokens, tokens)).astype(np.uint8)
        for at in range(examples)
    }
    words = [["[CLS]", *[f"w{at}" for at in range(tokens - 2)], "[SEP]"]] * examples
    return maps, runs.examples(words)


def test_a_page_that_fits_is_left_as_it_is() -> None:
    maps, examples = long_maps(20, 2)
    shown = shown_maps(maps, examples)
    assert shown.note == ""
    assert shown.maps == packed(maps)
    assert shown.examples is examples


def test_a_page_that_would_be_too_large_shows_less_and_says_so() -> None:
    maps, examples = long_maps(150, 3)
    whole = sum(len(one.data) for one in packed(maps).values())
    shown = shown_maps(maps, examples, whole // 3)
    assert sum(len(one.data) for one in shown.maps.values()) <= whole // 3
    assert shown.note.startswith("To keep this file small, the maps show at most ")
    assert "(the longest has 150)" in shown.note
    assert shown.examples is not None
    for row in shown.examples.iter_rows(named=True):
        count = len(row["tokens"])
        assert count == len(row["segments"]) == len(row["special"]) == len(row["words"]) < 150
        assert (row["tokens"][0], row["tokens"][-1]) == ("[CLS]", "[SEP]")
        assert shown.maps[f"given/{row['example']}"].shape == [4, 4, count, count]
    few = shown_maps(maps, examples, whole // 40)
    assert "of the 3 examples that the run keeps" in few.note


def test_the_tokens_that_are_shown_have_the_weights_of_the_map() -> None:
    maps, examples = long_maps(150, 1)
    shown = shown_maps(maps, examples, 60_000)
    assert shown.examples is not None
    row = examples.row(0, named=True)
    indices = kept_tokens(
        row["tokens"], row["segments"], row["special"], len(shown.examples["tokens"][0])
    )
    assert shown.examples["tokens"][0].to_list() == [row["tokens"][at] for at in indices]
    cut = maps["given/0"][:, :, indices[:, None], indices]
    one = shown.maps["given/0"]
    codes = unpacked("given/0", dict(shown.maps))
    values = np.array(one.levels)[codes]
    assert np.abs(values - cut).max() <= np.diff(LEVELS).max()


def test_a_name_from_a_table_does_not_lead_out_of_the_run(tmp_path: Path) -> None:
    runs.write(tmp_path / "compared")
    (tmp_path / "run").mkdir()
    for name in ("..", ".", "", "../run", "x" * 300, "a\0b"):
        assert examples_of(tmp_path / "run", name, 3) == ({}, {})
    (tmp_path / "run" / "rte").mkdir()
    runs.write(tmp_path / "run" / "rte" / "compared")
    tables, maps = examples_of(tmp_path / "run", "rte", 3)
    assert tables["examples"].height == 2
    assert maps


def test_the_name_of_a_metric_names_a_file_that_can_be_written(tmp_path: Path) -> None:
    effects = runs.disabled([1.0] * 15, [0.5] * 15, metric="\u6f22/../" * 60)
    save_charts([], {"disabled": effects}, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_texts_of_a_csv_are_no_formulas() -> None:
    table = pl.DataFrame(
        {"text": ["=1+1", "-x", "@y", "+z", "a-b", None], "number": [-1.0, 2, 3, 4, 5, 6]}
    )
    assert inert(table)["text"].to_list() == ["'=1+1", "'-x", "'@y", "'+z", "a-b", None]
    assert inert(table)["number"].to_list() == table["number"].to_list()
    assert inert(pl.DataFrame({"=1+1": ["\t=1", "\r=1", " =1"]})).to_dict(as_series=False) == {
        "'=1+1": ["'\t=1", "'\r=1", " =1"]
    }


def test_every_csv_that_is_written_is_without_formulas(tmp_path: Path) -> None:
    """Names of models, tasks and metrics come from files; numbers below 0 stay numbers."""
    hostile = [f"{sign}HYPERLINK(1)" for sign in "=+-@\t\r"]
    frames = []
    for name in hostile:
        effects = runs.disabled([-1.0] * 15, [0.01] * 15, metric=name)
        frames.append(effects.with_columns(model=pl.lit(name), task=pl.lit(name)))
    save_figures(drawings({"disabled": pl.concat(frames)}), tmp_path, look_of("plain"))
    written = list(tmp_path.glob("*.csv"))
    assert written
    for file in written:
        cells = [
            cell for row in csv.reader(io.StringIO(file.read_bytes().decode())) for cell in row
        ]
        dangerous = [cell for cell in cells if re.match(r"[=+\-@\t\r]", cell)]
        assert all(float(cell) < 0 for cell in dangerous)
        assert any(cell == "-1.0" for cell in cells)
        assert any("HYPERLINK" in cell for cell in cells)


NUMBERS = st.sampled_from(
    [None, float("nan"), float("inf"), -float("inf"), 0.0, -1e308, 1e308, 1.0]
)
PLACES = st.sampled_from([None, -5, 0, 1, 2, 3, 99, 257, 10**9])


@settings(max_examples=20)
@given(st.data())
def test_a_table_with_odd_values_is_shown_or_named(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    tables = {"scores": runs.scores(), "heads": runs.heads(), "disabled": runs.disabled([1.0] * 15, [0.5] * 15),
              "patterns": runs.patterns(), "change": runs.change(), "examples": runs.examples(runs.TOKENS)}  # fmt: skip
    name = data.draw(st.sampled_from(sorted(tables)))
    frame = tables[name]
    column = data.draw(st.sampled_from(frame.columns))
    kind = frame.schema[column]
    row = data.draw(st.integers(0, frame.height - 1))
    if kind.is_float():
        odd = pl.lit(data.draw(NUMBERS), pl.Float64)
    elif kind.is_integer():
        odd = pl.lit(data.draw(PLACES), pl.Int64)
    else:
        odd = pl.lit(
            data.draw(
                st.sampled_from([None, "", "..", "x" * 300, "<b>", "=1", "\0", "\x1b", "\ufffe"])
            ),
            pl.String,
        )
    is_row = pl.int_range(pl.len()) == row
    if kind.is_nested():
        changed = frame.with_columns(pl.when(~is_row).then(pl.col(column)).alias(column))
    else:
        changed = frame.with_columns(pl.when(is_row).then(odd).otherwise(column).alias(column))
    changed = data.draw(st.sampled_from([changed, pl.concat([changed, changed]), changed.head(0)]))
    folder = tmp_path_factory.mktemp("run")
    runs.write(folder, None, **{name: changed})
    assert cli.run(["report", str(folder), "--out", str(folder / "page.html"), "--quiet"]) in (0, 2)


def test_a_character_that_xml_lacks_does_not_end_the_process(tmp_path: Path) -> None:
    bad = runs.scores(configuration="a\0b\ufffec\x1b")
    folder = runs.write(tmp_path / "run", None, scores=bad)
    assert cli.run(["report", str(folder), "--out", str(tmp_path / "page.html")]) == 0


def test_a_pattern_that_nobody_knows_is_named(tmp_path: Path) -> None:
    strange = runs.patterns().with_columns(pl.col("class").replace("block", "spiral"))
    folder = runs.write(tmp_path / "run", None, patterns=strange)
    assert cli.run(["report", str(folder), "--out", str(tmp_path / "page.html")]) == 0
    assert "&#39;spiral&#39; is no pattern" in (tmp_path / "page.html").read_text()


def test_compare_of_a_model_with_itself_has_a_report(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = (
        f"compare --before {tiny} --after {tiny} --task builtin --examples 10 --out {out} --quiet"
    )
    assert cli.run(words.split()) == 0
    assert cli.run(["report", str(out), "--out", str(tmp_path / "page.html")]) == 0


def test_the_map_of_a_long_text_is_drawn(tmp_path: Path) -> None:
    tokens = ["[CLS]", *["w"] * 98, "[SEP]"]
    folder = runs.write(tmp_path / "run", examples=runs.examples([tokens]))
    assert cli.run(["report", str(folder), "--out", str(tmp_path / "page.html")]) == 0
