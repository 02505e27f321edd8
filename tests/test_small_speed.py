"""What removing heads saves: counts by hand, rounds in turns, intervals of medians."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import removals
from families import HEAD_SIZE, HEADS, LAYERS
from headscope.errors import HeadscopeError
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.removal import Removal
from headscope.pruning import speed
from headscope.pruning.small import write_small
from headscope.results.definitions.pruning import SIZES
from removals import SETS, TASK

HIDDEN = HEADS * HEAD_SIZE


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Model, Model]:
    whole = removals.model_of("bert", tmp_path)
    removal = Removal.of(whole, SETS["a whole layer"], "zero")
    return whole, load(write_small(whole, removal, TASK, tmp_path / "small").folder, device="cpu")


def test_multiply_adds_are_those_of_a_sum_by_hand(pair: tuple[Model, Model]) -> None:
    tokens = 11
    # Projections and the feed-forward part of every layer, then the pooler and the classifier of one token.
    linear = LAYERS * tokens * (4 * HIDDEN**2 + 2 * HIDDEN * 23) + HIDDEN**2 + HIDDEN * 3
    products = 2 * tokens**2 * HIDDEN * LAYERS
    assert speed.multiply_adds(pair[0], tokens) == linear + products
    gone = len(SETS["a whole layer"])
    saved = gone * (4 * tokens * HIDDEN * HEAD_SIZE + 2 * tokens**2 * HEAD_SIZE)
    assert speed.multiply_adds(pair[1], tokens) == linear + products - saved


def test_models_take_turns_and_speeds_are_of_medians(
    pair: tuple[Model, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[Model] = []

    def seconds(model: Model, columns: dict[str, Any]) -> float:
        order.append(model)
        assert columns["input_ids"].shape == (2, 7)
        return 0.5 if model is pair[0] else 0.25

    monkeypatch.setattr(speed, "_seconds", seconds)
    monkeypatch.setattr(speed, "_MOST", 60)
    (row,) = speed.measure_speed(*pair, lengths=(7, 9999), batches=(2,), seconds=5.0)
    # After a pass of each that does not count, the first of a round is the second of the next.
    whole, small = pair
    assert order[:2] == [whole, small]
    assert order[2:8] == [whole, small, small, whole, whole, small]
    assert (row.whole, row.small, row.value, row.low, row.high) == (4.0, 8.0, 2.0, 2.0, 2.0)
    assert (row.tokens, row.batch, row.n, row.mode) == (7, 2, 60, "zero")
    assert (row.heads, row.heads_kept) == (15, 9)
    assert row.parameters < row.parameters_whole
    assert row.bytes == 4 * row.parameters


def test_rows_fit_the_table(pair: tuple[Model, Model]) -> None:
    rows = speed.measure_speed(*pair, lengths=(5, 9), batches=(1, 2), seconds=0.01)
    assert [(row.tokens, row.batch) for row in rows] == [(5, 1), (5, 2), (9, 1), (9, 2)]
    assert all(row.n >= 1 and row.value > 0 for row in rows)
    table = SIZES
    named = [{"model": "m", "task": "t", **asdict(row)} for row in rows]
    table.check(pl.DataFrame(named, schema=table.schema))


def test_the_interval_of_a_median_holds_it_in_95_of_100() -> None:
    rng = np.random.default_rng(0)
    for n in (6, 15, 60):
        held = []
        for _ in range(600):
            low, high = speed._interval(np.sort(rng.exponential(size=n)))
            assert low is not None
            assert high is not None
            held.append(low <= np.log(2) <= high)
        assert 0.94 < np.mean(held) < 0.99
    assert speed._interval(np.arange(5.0)) == (None, None)


def test_what_cannot_be_compared_is_refused(pair: tuple[Model, Model]) -> None:
    whole, small = pair
    with pytest.raises(HeadscopeError, match="no heads are removed from"):
        speed.measure_speed(small, whole)
    with pytest.raises(HeadscopeError, match="give a shorter one"):
        speed.measure_speed(whole, small, lengths=(9999,))
