"""Names of heads and the one place that converts them."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headscope.ablation.sets import parse_sets
from headscope.axes import Head, all_heads, check_inside, head_set, set_name
from headscope.commands.ablation import named_heads
from headscope.commands.together import parse_together
from headscope.errors import HeadscopeError, unknown

heads = st.builds(Head, st.integers(1, 48), st.integers(1, 48))


@given(heads)
def test_a_name_and_indices_come_back(head: Head) -> None:
    assert Head.parse(str(head)) == head
    assert Head.at(*head.index) == head
    assert Head.parse(f" l{head.layer}h{head.head} ") == head


@given(st.sets(heads, min_size=1, max_size=7))
def test_a_set_comes_back_whatever_its_order(chosen: set[Head]) -> None:
    assert head_set(set_name(chosen)) == head_set(sorted(chosen, reverse=True)) == frozenset(chosen)


def test_by_hand() -> None:
    assert Head.parse("L7H6").index == (6, 5)
    assert set_name(head_set("L12H1, L2H10,L2H9")) == "L2H9,L2H10,L12H1"
    assert list(map(str, all_heads(2, 3))) == ["L1H1", "L1H2", "L1H3", "L2H1", "L2H2", "L2H3"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "L1",
        "H1",
        "1H1",
        "L1H1x",
        "L-1H2",
        "L1.5H2",
        "LxHy",
        "７",
        f"L{10**9}H1",
        f"L{'1' * 5000}H1",
    ],
)
def test_what_is_no_head_is_refused(name: str) -> None:
    with pytest.raises(
        HeadscopeError, match="is not a head: write a layer and a head counted from 1"
    ):
        Head.parse(name)


def test_heads_count_from_one() -> None:
    with pytest.raises(HeadscopeError, match="counted from 1, got layer 0, head 3"):
        Head(0, 3)


def test_outside_of_the_model() -> None:
    check_inside([Head(2, 3)], 2, 3)
    with pytest.raises(
        HeadscopeError, match=r"L1H4, L3H1 does not exist: the model has 2 layers of 3 heads"
    ):
        check_inside([Head(3, 1), Head(1, 4), Head(1, 1)], 2, 3)


@pytest.mark.parametrize(
    "spec",
    [
        f"L{10**9}H1",
        "L999999999H1",
        f"L{'9' * 5000}H1",
        f"random:{'9' * 5000}",
        f"random:{10**9}",
        "L1H999999999;L1H1",
    ],
)
def test_numbers_that_no_model_has_are_one_short_sentence(spec: str) -> None:
    with pytest.raises(HeadscopeError) as caught:
        parse_sets(spec, 2, 3)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("spec", [f"top:entropy:{'9' * 5000}", f"shapley:{'9' * 5000}"])
def test_counts_that_nothing_has_are_one_short_sentence(spec: str) -> None:
    with pytest.raises(HeadscopeError, match="is not understood") as caught:
        parse_together(named_heads(spec, None))
    assert len(str(caught.value)) < 250


def test_heads_of_a_strange_run_are_one_sentence(tmp_path: Path) -> None:
    """A table of another program may name layers that no model has, or none, or be no table."""
    columns = {"measure": ["entropy"] * 3, "value": [3.0, 2.0, 1.0], "head": [1, 1, 1]}
    frame = pl.DataFrame({"model": "m", "task": "t", **columns, "layer": [10**9, None, 1]})
    frame.write_parquet(tmp_path / "heads.parquet")
    assert named_heads("top:entropy:2", tmp_path) == f"L1H1,L{10**9}H1"
    with pytest.raises(HeadscopeError, match="is not a head"):
        parse_sets(named_heads("top:entropy:1", tmp_path), 2, 3)
    with pytest.raises(HeadscopeError, match="the top 3 heads by entropy cannot be had of 2"):
        named_heads("top:entropy:3", tmp_path)
    (tmp_path / "heads.parquet").write_text("no table")
    with pytest.raises(HeadscopeError, match="heads.parquet is damaged"):
        named_heads("top:entropy:1", tmp_path)


def test_the_nearest_name_is_offered() -> None:
    assert (
        str(unknown("task", "mprc", ["mrpc", "rte"]))
        == "unknown task 'mprc': did you mean 'mrpc'? Known: mrpc, rte."
    )
    assert "did you mean" not in str(unknown("task", "zzzz", ["mrpc", "rte"]))
