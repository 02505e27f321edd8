"""Executors: what is needed comes first, what is done is left out, and a failure stops only what needs it."""

import doctest
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import engine_items
from headscope.engine import executor as engine
from headscope.engine.executor import Executor, Item, WorkerLostError, as_completed
from headscope.engine.local import Local
from headscope.engine.processes import Processes
from headscope.errors import HeadscopeError

EXECUTORS: dict[str, Callable[[], Executor]] = {
    "one worker": Local,
    "two threads": lambda: Local({}, {}),
    "two processes": lambda: Processes(2),
}


@pytest.fixture(params=list(EXECUTORS))
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with EXECUTORS[request.param]() as made:
        yield made


def item(function: Callable[..., object], called: str, *needs: str, **arguments: Any) -> Item:
    return Item(called, f"{engine_items.__name__}:{function.__name__}", arguments, needs)


def note(folder: Path, name: str, *needs: str) -> Item:
    return item(engine_items.note, name, *needs, folder=folder, name=name)


def ended(executor: Executor, items: list[Item], **options: Any) -> dict[str, Any]:
    """What every item returned or raised, in the order in which they ended."""
    found: dict[str, Any] = {}
    for one, future in as_completed(items, executor, **options):
        error = future.exception()
        found[one.name] = future.result() if error is None else error
    return found


def test_needs_come_first_and_what_is_done_is_left_out(executor: Executor, tmp_path: Path) -> None:
    begun: list[str] = []
    items = [note(tmp_path, "c", "a", "b"), note(tmp_path, "b", "a", "old"), note(tmp_path, "a")]
    items += [note(tmp_path, "old", "older"), note(tmp_path, "older")]
    found = ended(
        executor, items, done={"old", "older"}, on_start=lambda one: begun.append(one.name)
    )
    assert list(found) == begun == ["a", "b", "c"]
    assert list(found.values()) == begun
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "c"}
    assert ended(executor, items, done=[one.name for one in items]) == {}
    assert ended(executor, []) == {}


def test_a_failure_stops_only_what_needs_it(executor: Executor, tmp_path: Path) -> None:
    items = [
        item(engine_items.fail, "bad", text="out of luck"),
        note(tmp_path, "child", "bad"),
        note(tmp_path, "grandchild", "child"),
        note(tmp_path, "other"),
        note(tmp_path, "more", "other"),
    ]
    found = ended(executor, items)
    assert sorted(found) == ["bad", "more", "other"]
    assert isinstance(found["bad"], ValueError)
    assert str(found["bad"]) == "out of luck"
    assert {path.name for path in tmp_path.iterdir()} == {"more", "other"}


def test_one_worker_keeps_the_order_and_several_begin_with_what_costs_most() -> None:
    items = [Item(str(cost), "builtins:dict", {}, cost=cost) for cost in (2, 3, 5, 1)]
    for executor, expected in ((Local(), "2 3 5 1"), (Local({}, {}), "5 3 2 1")):
        begun: list[str] = []
        with executor:
            ended(executor, items, on_start=lambda one, begun=begun: begun.append(one.name))
        assert " ".join(begun) == expected


def test_where_workers_are_lost_no_more_items_begin_than_there_are_workers() -> None:
    class Shrinking(Executor):
        """Three workers, of which two are lost as soon as all have an item."""

        workers = 3

        def __init__(self) -> None:
            self.at_work: list[Future[Any]] = []
            self.most_after = 0

        def submit(self, _item: Item) -> Future[Any]:
            future: Future[Any] = Future()
            self.at_work.append(future)
            if self.workers == 1:
                self.most_after = max(self.most_after, len(self.at_work))
            if len(self.at_work) == 3:
                self.workers = 1
                self.end_one()
            elif self.workers == 1:
                self.end_one()
            return future

        def end_one(self) -> None:
            self.at_work.pop(0).set_result(None)

        def close(self, *, failed: bool) -> None:
            """Nothing is left."""

    executor = Shrinking()
    ended_items = []
    for one, _ in as_completed([Item(str(n), "builtins:dict", {}) for n in range(9)], executor):
        ended_items.append(one.name)
        if executor.at_work and len(ended_items) in (1, 2):
            executor.end_one()
    assert sorted(ended_items) == [str(n) for n in range(9)]
    assert executor.most_after <= 1


@pytest.mark.parametrize("needs", [("c",), ("nobody",), ("a",)])
def test_what_can_never_begin_is_refused(needs: tuple[str, ...], tmp_path: Path) -> None:
    items = [note(tmp_path, "a", *needs), note(tmp_path, "c", "a"), note(tmp_path, "b")]
    with pytest.raises(HeadscopeError, match="need each other or one that does not exist: a, c"):
        ended(Local(), items)
    assert not list(tmp_path.iterdir())


def test_every_worker_has_objects_of_its_own() -> None:
    made: list[str] = []
    items = [item(engine_items.share, str(number), name=str(number)) for number in range(24)]
    with Local({"device": "one", "made": made}, {"device": "two", "made": made}) as executor:
        found = ended(executor, items)
    assert {device for device, _ in found.values()} == {"one", "two"}
    assert all(name == called for called, (_, name) in found.items())
    assert sorted(made) == sorted(found)


def test_whoever_gives_up_at_a_failure_ends_the_other_workers() -> None:
    made: list[str] = []
    items = [item(engine_items.fail, "bad", text="out of memory")]
    items += [item(engine_items.share, str(number), name=str(number)) for number in range(1000)]
    workers = [{"device": name, "made": made} for name in ("one", "two")]

    def give_up_at_a_failure() -> None:
        with Local(*workers) as executor:
            for _, future in as_completed(items, executor):
                future.result()

    with pytest.raises(ValueError, match="out of memory"):
        give_up_at_a_failure()
    assert len(made) < 1000


def test_a_killed_worker_fails_its_item_and_the_rest_goes_on(tmp_path: Path) -> None:
    items = [
        item(engine_items.kill_self, "the heavy one", folder=tmp_path),
        # At work while the other worker is killed, until the one that follows it has done its item.
        item(engine_items.wait_for, "witness", folder=tmp_path, name="witness", awaited="later"),
        note(tmp_path, "later"),
        note(tmp_path, "never", "the heavy one"),
    ]
    with Processes(2) as executor:
        found = ended(executor, items)
    assert isinstance(found["the heavy one"], WorkerLostError)
    assert "the worker that did the heavy one was killed" in str(found["the heavy one"])
    assert {path.name for path in tmp_path.iterdir()} == {"begun", "witness", "later"}
    # What is left is done by the next run, which leaves out what is done.
    with Processes(2) as executor:
        again = ended(executor, items[1:], done={"witness", "later", "the heavy one"})
    assert list(again) == ["never"]


UNGUARDED = """from headscope.engine.executor import Item
from headscope.engine.processes import Processes
with Processes(1) as executor:
    executor.submit(Item("the first", "os:getpid", {})).result()
"""


def test_a_script_whose_workers_would_begin_workers_is_told_what_to_write(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=60
    )
    said = 'to do the first ended before it had begun: in a script of your own, put what starts workers under `if __name__ == "__main__":`'
    assert said in done.stderr
    lines = UNGUARDED.splitlines()
    body = "".join(f"    {line}\n" for line in lines[2:])
    script.write_text("\n".join([*lines[:2], 'if __name__ == "__main__":', body]))
    subprocess.run([sys.executable, str(script)], check=True, timeout=60)


def test_ctrl_c_ends_the_processes(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), Processes(1) as executor:
        future = executor.submit(item(engine_items.sleep_on, "long", folder=tmp_path))
        asleep = tmp_path / "asleep"
        while not (asleep.exists() and asleep.read_text()):
            time.sleep(0.01)
        worker = int(asleep.read_text())
        # A terminal sends it to the worker, too, which leaves it to the first process.
        os.kill(worker, signal.SIGINT)
        time.sleep(0.2)
        assert not future.done()
        raise KeyboardInterrupt
    assert isinstance(future.exception(), WorkerLostError)
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_processes_share_out_the_threads() -> None:
    workers = 2
    items = [item(engine_items.threads, str(number)) for number in range(workers)]
    with Processes(workers) as executor:
        found = ended(executor, items)
    assert set(found.values()) == {max(1, (os.cpu_count() or 1) // workers)}


def test_doctests() -> None:
    assert doctest.testmod(engine) == (0, 1)
