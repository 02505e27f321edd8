"""Which sets are scored together, and what they share, beside a slow form that looks at all pairs."""

from hypothesis import given
from hypothesis import strategies as st

from headscope.ablation.plan import Trunk, Unit, below, units
from headscope.ablation.sets import parse_sets
from headscope.axes import Head, HeadSet, head_set, set_name

LAYERS, HEADS = 4, 3

heads = st.builds(Head, st.integers(1, LAYERS), st.integers(1, HEADS))
some_heads = st.frozensets(heads, min_size=1, max_size=8)
some_sets = st.lists(some_heads, min_size=1, max_size=12, unique=True)


def named(sets: list[HeadSet]) -> list[tuple[str, HeadSet]]:
    return [(set_name(heads), heads) for heads in sets]


def alike(one: HeadSet, other: HeadSet) -> int:
    """In how many layers from the bottom two sets agree, layer by layer."""
    for layer in range(1, LAYERS + 1):
        if {h for h in one if h.layer == layer} != {h for h in other if h.layer == layer}:
            return layer - 1
    return LAYERS


@given(some_sets, st.integers(1, 5), st.lists(some_heads, max_size=4))
def test_every_set_is_scored_once_from_where_it_first_differs_from_all_others(
    sets: list[HeadSet], most: int, known: list[HeadSet]
) -> None:
    planned = units(named(sets), LAYERS, most, known)
    scored = [heads for unit in planned for _, heads in unit.sets]
    assert sorted(map(set_name, scored)) == sorted(map(set_name, sets))
    for unit in planned:
        assert 1 <= len(unit.sets) <= most
        for _, heads in unit.sets:
            assert unit.trunk.holds(heads)
            # The unchanged model is always there to share with.
            others = [other for other in [*sets, *known, frozenset[Head]()] if other != heads]
            assert unit.trunk.layer == max(alike(heads, other) for other in others)
            assert unit.trunk.heads == below(heads, unit.trunk.layer)


def test_heads_in_turn_are_scored_layer_by_layer() -> None:
    planned = units(parse_sets("each", LAYERS, HEADS)[::-1], LAYERS, 16)
    assert [unit.trunk for unit in planned] == [
        Trunk(layer, frozenset()) for layer in range(LAYERS)
    ]
    assert [len(unit.sets) for unit in planned] == [HEADS] * LAYERS


def test_candidates_of_a_search_begin_at_the_head_that_is_added() -> None:
    now = head_set("L1H1,L2H3,L4H2")
    candidates = [Head(layer, 2) for layer in (1, 2, 3)] + [Head(3, 3), Head(4, 1)]
    planned = units(named([now | {head} for head in candidates]), LAYERS, 16, [now])
    starts = {name: unit.trunk for unit in planned for name, _ in unit.sets}
    for head in candidates:
        layer = head.layer - 1
        assert starts[set_name(now | {head})] == Trunk(layer, below(now, layer))
    # The two in the third layer together, the others by themselves.
    assert sorted(len(unit.sets) for unit in planned) == [1, 1, 1, 2]


def test_a_single_set_begins_at_its_first_layer() -> None:
    assert units(named([head_set("L3H1,L4H2")]), LAYERS, 16) == [
        Unit((("L3H1,L4H2", head_set("L3H1,L4H2")),), Trunk(2, frozenset()))
    ]
