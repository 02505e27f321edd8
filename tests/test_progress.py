"""The time left is from steps that were measured, and is not said before."""

from collections.abc import Sequence

import pytest

from headscope import progress
from headscope.progress import TimeLeft


class Clock:
    """A clock that goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def after(seconds: Sequence[float], total: int = 100) -> TimeLeft:
    """The time left after steps that took so many seconds."""
    clock = Clock()
    left = TimeLeft(total, clock=clock)
    for taken in seconds:
        clock.now += taken
        left.count(1)
    return left


def test_no_time_is_said_before_two_steps_behind_the_first() -> None:
    assert not str(after([]))
    assert not str(after([90]))
    assert not str(after([90, 1]))
    assert str(after([90, 1, 1])) == "1 min 37 s left"


def test_the_first_step_which_holds_the_start_up_is_no_measure() -> None:
    assert (
        str(after([0.1, 2, 2, 2], total=10)) == str(after([500, 2, 2, 2], total=10)) == "12 s left"
    )


def test_steps_of_unequal_size_are_about() -> None:
    assert str(after([1, 1, 3], total=10)) == "about 14 s left"
    assert str(after([1, 2, 3], total=10)) == "18 s left"


def test_what_an_earlier_run_kept_comes_at_once_and_is_no_measure() -> None:
    kept = [0.001] * 50
    # The 51st step is the first that is computed.
    assert not str(after([*kept, 7]))
    assert not str(after([*kept, 7, 4]))
    assert str(after([*kept, 7, 4, 4])) == "3 min 8 s left"


def test_steps_that_an_earlier_run_did_count_as_done() -> None:
    clock = Clock()
    left = TimeLeft(10, done=6, clock=clock)
    for _ in range(3):
        clock.now += 5
        left.count(1)
    assert str(left) == "5 s left"


def test_batches_count_their_examples_and_the_time_runs_down() -> None:
    clock = Clock()
    left = TimeLeft(1000, clock=clock)
    for examples in (100, 50, 50):
        clock.now += examples / 10
        left.count(examples)
    assert str(left) == "1 min 20 s left"
    clock.now += 30
    assert str(left) == "50 s left"
    clock.now += 3000
    assert str(left) == "0 s left"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (3599.0, "59 min 59 s"), (4150.0, "1 h 9 min")],
)
def test_a_duration_reads_as_people_say_it(seconds: float, text: str) -> None:
    assert progress._duration(seconds) == text


def test_a_log_gets_a_line_every_twenty_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    advance = progress._lines("searching", TimeLeft(60, clock=clock))
    for note in ("a", "b", "c", "d"):
        clock.now += 15
        advance(1, note)
    assert capsys.readouterr().err.splitlines() == [
        "searching: 2 of 60 b",
        "searching: 4 of 60, 14 min 0 s left d",
    ]
