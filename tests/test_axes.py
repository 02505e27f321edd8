"""Names of heads and the one place that converts them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headscope.axes import Head, all_heads, check_inside, head_set, set_name
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


@pytest.mark.parametrize("name", ["", "L1", "H1", "1H1", "L1H1x", "L-1H2", "L1.5H2", "LxHy", "７"])
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


def test_the_nearest_name_is_offered() -> None:
    assert (
        str(unknown("task", "mprc", ["mrpc", "rte"]))
        == "unknown task 'mprc': did you mean 'mrpc'? Known: mrpc, rte."
    )
    assert "did you mean" not in str(unknown("task", "zzzz", ["mrpc", "rte"]))
