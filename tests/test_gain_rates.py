"""How often the verdict on disabled heads errs, on made heads whose true gains are known; docs/statistics.md has more."""

from simulations.selection import FEW, Heads, simulate
from test_selection import most


def test_a_gain_is_named_wrongly_or_bounded_too_high_in_few_draws() -> None:
    stretched = simulate(Heads("spearman", 300, (0.0,) * 20, power=4.0), 60)
    unlike = simulate(Heads("accuracy", 408, (1.5,) * 20, flips=(0.005, 0.1)), 60)
    for rates in (stretched, unlike):
        assert rates.false.hits <= most(60, 0.05)
        assert rates.too_high.hits <= most(60, 0.05)
    # The rules of before break that: ranks of both sides together reject 0.3 of these true null hypotheses, the gain
    # that was shown is in 0.2 of the draws that of another head than those found, and the own 95% interval of the head
    # with the largest gain lies above its true gain in 0.25.
    assert stretched.old.hits > most(60, 0.05)
    assert unlike.old_other.hits > most(60, 0.05)
    assert unlike.own.hits > most(60, 0.05)


def test_contradicted_where_no_head_gains_half_a_point_and_seldom_where_one_does() -> None:
    none = simulate(Heads("accuracy", 5463, (0.0,) * 8, flips=FEW), 10)
    assert none.contradicted.hits >= 8
    # A head truly gains half a point and is rarely found; all depends on its own interval.
    one = simulate(Heads("accuracy", 2000, (0.5, -3.0, -3.0)), 100)
    assert one.found.value < 0.5
    assert one.contradicted.hits <= most(100, 0.025)
