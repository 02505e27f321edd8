"""Long texts: what is shown in blocks, kept in cells, left out, and said."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import families
import headscope
from headscope.commands.kept_examples import coarse_note
from headscope.errors import HeadscopeError
from headscope.measures import similarity
from headscope.model import example_maps, passes
from headscope.model.encoding import Encoded


@pytest.fixture
def long_task(tmp_path: Path) -> Path:
    """A task of one's own with a long text among short ones."""
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "task.toml").write_text(
        'columns = ["text"]\nlabels = ["no", "yes"]\nmetrics = ["accuracy"]\n'
    )
    texts = ["the nurse thanked the pilot", "it was not " * 30, "who was it", "not the pilot"]
    rows = pl.DataFrame({"text": texts, "label": ["no", "yes", "no", "yes"]})
    for part in ("train", "validation"):
        rows.write_csv(folder / f"{part}.csv")
    return folder


def test_measure_keeps_cells_and_says_what_is_left_out(
    long_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    # As if 40 tokens were long, a map of them took a block, and all maps of a text of 40 too much.
    monkeypatch.setattr(example_maps, "WHOLE", 40)
    monkeypatch.setattr(example_maps, "FEWEST", 4)
    monkeypatch.setattr(example_maps, "SHOWN", 16 * 15 * 16**2)
    monkeypatch.setattr("headscope.commands.kept_examples.WHOLE", 40)
    monkeypatch.setattr(passes, "BLOCK_BYTES", 4 * 40**2)
    monkeypatch.setattr(similarity, "MOST_BYTES", 4 * families.LAYERS * families.HEADS * 40**2)
    model = families.make("modernbert", tmp_path / "modernbert")
    whole = tmp_path / "run"
    headscope.measure(model=model, task=str(long_task), words="plain", max_length=130, out=whole)
    record = json.loads((whole / "run.json").read_text())
    notes = " ".join(record["notes"])
    assert "maps of examples with more than 40 tokens (1 of 4) are kept for the report in" in notes
    assert "likeness compares all heads of an example, so 1 of 4 examples, whose maps are" in notes
    rows = pl.read_parquet(whole / "examples.parquet").to_dicts()
    (row,) = [row for row in rows if " +" in row["tokens"][0]]
    count = len(row["tokens"])
    assert count <= 16
    assert {len(row[name]) for name in ("segments", "special", "words")} == {count}
    assert row["tokens"][0].startswith("<s> +")
    assert [row["special"][place] for place in (0, 1, -1)] == [True, False, True]
    heads = pl.read_parquet(whole / "heads.parquet").filter(measure="entropy")
    assert heads["n"].to_list() == [4] * 15
    page = whole / "report.html"
    headscope.report(whole, out=page)
    assert "kept for the report in cells of up to" in page.read_text()


def test_short_examples_need_no_note() -> None:
    encoded = Encoded({}, [[0] * 512, [0] * 3], [], [], 0, 512, {})
    assert coarse_note(encoded, 72) == ()
    longer = Encoded({}, [[0] * 8192, [0] * 3, [0] * 600], [], [], 0, 8192, {})
    (note,) = coarse_note(longer, 16)
    assert "more than 512 tokens (2 of 3)" in note
    assert "up to 32 x 32 tokens" in note


def test_examples_with_whole_maps(tiny: Path) -> None:
    model = headscope.load(tiny)
    lengths = (10, 20_000, 30)
    encoded = Encoded({}, [[0] * length for length in lengths], [], [], 0, 20_000, {})
    assert similarity.comparable(model, encoded) == [0, 2]
    assert np.array_equal(encoded.lengths, lengths)


def test_whole_maps_are_counted_by_the_batches_that_are_made(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = headscope.load(tiny)
    encoded = Encoded({}, [[0] * length for length in (10, 9, 8)], [], [], 0, 10, {})
    together = 4 * model.layers * model.heads * 3 * 10**2
    monkeypatch.setattr(passes, "WHOLE_BYTES", together)
    # A budget of many more tokens than there are makes no larger batch.
    passes.check_whole_maps(model, encoded, 2**20)
    monkeypatch.setattr(passes, "WHOLE_BYTES", together - 1)
    with pytest.raises(HeadscopeError, match="for 10 tokens; give a smaller --max-length or"):
        passes.check_whole_maps(model, encoded, 2**20)
    passes.check_whole_maps(model, encoded, 10)
