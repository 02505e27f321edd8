"""Work items: what is done is left out, kinds stay together, and a failure ends all workers and is told."""

import time
from collections.abc import Iterator, Sequence

import pytest

from headscope.engine import local as engine

ITEMS = [(f"{kind}{at}", kind) for kind in (1, 2, 3) for at in range(4)]
Share = Sequence[tuple[str, int]]


def test_workers_share_the_kinds_and_leave_out_what_is_done() -> None:
    shares: list[list[str]] = []

    def work(share: Share) -> Iterator[str]:
        shares.append([name for name, _ in share])
        yield from shares[-1]

    assert engine.run(ITEMS, [work], done={"10", "33"}, label="x", quiet=True) == 10
    assert shares.pop() == [name for name, _ in ITEMS if name not in ("10", "33")]
    assert (
        engine.run(ITEMS, [work, work], done={"10"}, label="x", kind=lambda kind: kind, quiet=True)
        == 11
    )
    assert sorted(shares) == [["11", "12", "13", "30", "31", "32", "33"], ["20", "21", "22", "23"]]
    shares.clear()
    # More workers than kinds; nothing left.
    assert (
        engine.run(ITEMS[:2], [work, work], done=(), label="x", kind=lambda kind: kind, quiet=True)
        == 2
    )
    assert shares == [["10", "11"]]
    assert engine.run(ITEMS, [work, work], done=dict(ITEMS), label="x", quiet=True) == 0


def test_a_failure_ends_the_other_workers_too() -> None:
    made: list[str] = []

    def fails(share: Share) -> Iterator[str]:
        yield share[0][0]
        raise ValueError("out of memory")

    def slow(share: Share) -> Iterator[str]:
        for _ in range(1000):
            time.sleep(0.005)
            made.append("x")
            yield "x"

    with pytest.raises(ValueError, match="out of memory"):
        engine.run(ITEMS, [fails, slow], done=(), label="x", kind=lambda kind: kind, quiet=True)
    assert len(made) < 1000
