"""On a Ray cluster of two nodes commands give the tables of one process, to the bit, whatever is lost on the way."""

# mypy: disable-error-code="no-untyped-call"

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

import engine_items
import families
import headscope
from headscope.engine.executor import Item, WorkerLostError, as_completed
from headscope.errors import HeadscopeError

pytest.importorskip("ray", reason="Ray is not installed: pip install 'headscope[cluster]'")
# Ray leaves pipes and logs for the interpreter to close.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")

SMALL: dict[str, Any] = {"task": "builtin", "precision": "fp32", "quiet": True}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """A worker has a thread; on some processors another number of them gives other bits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of a processor each. Workers find what the tests find."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patched:
        places = [str(Path(__file__).parent), str(Path(headscope.__file__).parents[1])]
        patched.setenv("PYTHONPATH", os.pathsep.join(places))
        patched.setenv("RAY_AUTH_MODE", "disabled")
        size: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 2**27}
        # A node that was killed counts as lost after five seconds, not after fifteen.
        head = {"include_dashboard": False, "_system_config": {"health_check_period_ms": 1000}}
        try:
            made = Cluster(initialize_head=True, head_node_args={**size, **head})
            nodes = [made.add_node(**size)]
        except Exception as error:  # Ray itself, before anything of headscope.
            pytest.skip(f"Ray cannot begin a cluster on this machine: {error}")
        try:
            yield SimpleNamespace(address=made.address, ray=made, nodes=nodes, size=size)
        finally:
            made.shutdown()


def on(cluster: Any) -> dict[str, Any]:
    return {"engine": f"ray:{cluster.address}"}


def check_equal(one: Path, two: Path) -> None:
    files = sorted(path.relative_to(one) for path in one.rglob("*.parquet"))
    assert files
    for file in files:
        here, there = (pl.read_parquet(run / file) for run in (one, two))
        timeless = [name for name in here.columns if name not in ("seconds", "small", "whole")]
        if file.name != "sizes.parquet":
            assert here.select(timeless).equals(there.select(timeless)), file


def item(function: Callable[..., object], called: str, **arguments: Any) -> Item:
    return Item(called, f"{engine_items.__name__}:{function.__name__}", arguments)


def test_what_is_lost_is_done_again_three_times_at_most(cluster: Any, tmp_path: Path) -> None:
    from headscope.engine.cluster import TRIES, Ray

    said: list[str] = []
    with Ray(cluster.address, note=said.append) as executor:
        assert executor.workers == 2
        shared = executor.share(list(range(1000)))
        items = [
            item(engine_items.fail, "bad", text="out of luck"),
            item(engine_items.kill_self, "poisoned", folder=tmp_path),
            item(engine_items.note_twice, "once", folder=tmp_path, name="once"),
            item(engine_items.threads, "threads"),
            *(item(engine_items.take, f"take {n}", shared=shared, name=str(n)) for n in range(8)),
        ]
        found = {one.name: future for one, future in as_completed(items, executor)}
    assert isinstance(found["bad"].exception(), ValueError)
    assert str(found["bad"].exception()) == "out of luck"
    lost = found["poisoned"].exception()
    assert isinstance(lost, WorkerLostError)
    assert f"poisoned was lost {TRIES} times" in str(lost)
    assert said.count("the worker that did once was lost: try 2 of 3") == 1
    assert [one[-10:] for one in said if "poisoned" in one] == ["try 2 of 3", "try 3 of 3"]
    assert found["once"].result() == "once"
    assert {path.name for path in tmp_path.glob("once-*")} == {"once-0", "once-1"}
    assert found["threads"].result() == 1
    taken = [found[f"take {n}"].result() for n in range(8)]
    assert {total for _, total, _ in taken} == {sum(range(1000))}
    # A worker takes it out once.
    assert len({address for _, _, address in taken}) < len(taken)


def test_measure_and_relations_are_those_of_one_process_whatever_is_lost(
    cluster: Any, tmp_path: Path
) -> None:
    from golden_runs import treebank

    bare = families.make_encoder("bert", tmp_path / "bare")
    treebank(tmp_path / "en_made-ud-dev.conllu")
    measured: dict[str, Any] = {**SMALL, "model": str(bare), "examples": 24, "batch_tokens": 150}
    measured |= {"measures": "entropy,patterns,likeness"}
    related: dict[str, Any] = {"model": str(bare), "corpus": f"ud:{tmp_path}/en_made-ud-dev.conllu"}
    related |= {"precision": "fp32", "quiet": True}
    engines: dict[str, dict[str, Any]] = {"local": {}, "ray": on(cluster)}
    for name, engine in engines.items():
        with losing(cluster, 4, kill_workers) if engine else nullcontext():
            headscope.measure(**measured, **engine, out=tmp_path / name / "measured")
        headscope.relations(**related, **engine, out=tmp_path / name / "related")
    check_equal(tmp_path / "local", tmp_path / "ray")


def workers_of(cluster: Any) -> list[int]:
    """The processes that do items, on all nodes."""
    found = subprocess.run(
        ["pgrep", "-f", "ray::_call_there"], capture_output=True, text=True, check=False
    )
    return [int(line) for line in found.stdout.split()]


def kill_workers(cluster: Any) -> None:
    for process in workers_of(cluster):
        os.kill(process, signal.SIGKILL)


def kill_workers_and_a_node(cluster: Any) -> None:
    kill_workers(cluster)
    cluster.ray.remove_node(cluster.nodes.pop(), allow_graceful=False)


@contextmanager
def losing(cluster: Any, at: int, lose: Callable[[Any], None]) -> Iterator[None]:
    """As the item with that number is begun, something is lost; a node comes back after.

    It ends when the cluster counts two nodes, for one that was killed counts for seconds still.
    """
    from headscope.engine.cluster import Ray

    submit, begun = Ray.submit, itertools.count(1)

    def submitted(self: Ray, item: Item) -> Any:
        future = submit(self, item)
        if next(begun) == at:
            lose(cluster)
        return future

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Ray, "submit", submitted)
        try:
            yield
            assert next(begun) > at, "nothing was lost"
        finally:
            if not cluster.nodes:
                cluster.nodes.append(cluster.ray.add_node(**cluster.size))
                cluster.ray.wait_for_nodes(timeout=120)


def test_disable_ends_the_same_though_workers_and_a_node_are_lost(
    cluster: Any, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {**SMALL, "model": str(tiny), "examples": 24, "heads": "pairs"}
    headscope.disable(**given, out=tmp_path / "local")
    monkeypatch.setattr("headscope.commands.packed.PACK", 16)
    with losing(cluster, 3, kill_workers_and_a_node):
        headscope.disable(**given, **on(cluster), out=tmp_path / "ray")
    check_equal(tmp_path / "local", tmp_path / "ray")


def test_a_search_asks_the_cluster_whatever_is_lost(cluster: Any, tmp_path: Path) -> None:
    import golden_runs

    model = families.make("bert", tmp_path / "tiny")
    golden_runs.known(tmp_path / "known")
    given: dict[str, Any] = {"model": str(model), "task": str(tmp_path / "known"), "quiet": True}
    given |= {"keep": "0.5", "search_examples": 50, "precision": "fp32"}
    headscope.prune(**given, out=tmp_path / "local")
    # Broken off, and begun again elsewhere.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("headscope.commands.prune.write_models", stop)
        with losing(cluster, 5, kill_workers), pytest.raises(KeyboardInterrupt):
            headscope.prune(**given, **on(cluster), out=tmp_path / "ray")
    headscope.prune(**given, out=tmp_path / "ray")
    check_equal(tmp_path / "local", tmp_path / "ray")


def stop(*given: Any) -> None:
    raise KeyboardInterrupt


def test_the_paper_without_a_disk_that_all_see_whatever_is_lost(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import golden_runs
    from headscope.replication import run
    from test_elsewhere import Unseen

    golden_runs.inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    # The page is not what is tested here.
    monkeypatch.setattr(run, "report", lambda *_, **__: None)
    given: dict[str, Any] = {"model": "tiny", "tasks": "rte", "epochs": 1, "lr": 1e-3}
    given |= {"examples": 12, "precision": "fp32", "quiet": True, "data": Path("glue")}
    headscope.paper(**given, out=Path("local"))
    monkeypatch.setattr("headscope.replication.elsewhere.Elsewhere", Unseen)
    with losing(cluster, 4, kill_workers_and_a_node):
        headscope.paper(**given, **on(cluster), out=Path("ray"))
    for file in sorted(Path("local").rglob("*.parquet")):
        one, two = pl.read_parquet(file), pl.read_parquet("ray" / file.relative_to("local"))
        names = [name for name in one.columns if name not in ("model", "seconds")]
        assert one.select(names).equals(two.select(names)), file


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "Ctrl-C"]
)
def test_a_command_that_is_stopped_ends_in_a_sentence(
    number: int, code: int, cluster: Any, tiny: Path, tmp_path: Path
) -> None:
    line = [sys.executable, "-m", "headscope", "disable", "--model", str(tiny), "--task", "builtin"]
    line += ["--heads", "shapley:50", "--examples", "200", "--out", str(tmp_path / "run")]
    line += ["--engine", on(cluster)["engine"]]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as begun:
        assert begun.stderr is not None
        said = [""]
        try:
            while "a Ray cluster with room for 2 items" not in said[-1]:
                said.append(begun.stderr.readline())
                assert said[-1], said
            begun.send_signal(number)
            rest = begun.stderr.read()
            assert begun.wait(60) == code, rest
        finally:
            begun.kill()
    assert "headscope: stopped; what is finished is kept" in rest
    assert "Traceback" not in rest
    # The cluster stays, and does nothing more for it.
    deadline = time.monotonic() + 60
    while workers_of(cluster):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_another_version_and_no_room_are_one_sentence(cluster: Any, tmp_path: Path) -> None:
    from headscope.engine.cluster import _CODE, Needs, Ray, _call_there, _versions

    mine = _versions()
    for name, said in {"torch": "torch", _CODE: "the code of headscope, by its hash"}.items():
        with pytest.raises(HeadscopeError, match=f"a node .* has {said} .* same everywhere"):
            _call_there(item(engine_items.threads, "threads"), {**mine, name: "0.1"}, 1)
    with pytest.raises(HeadscopeError, match="no node of the cluster has 1 processors and 8 GPUs"):
        Ray(cluster.address, Needs(gpus=8.0))
    with pytest.raises(HeadscopeError, match="there is no Ray cluster at 127.0.0.1:1 "):
        Ray("127.0.0.1:1")


def test_without_ray_one_sentence_says_what_to_install(tiny: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['ray'] = None\nfrom headscope import cli; cli.main(sys.argv[1:])"
    )
    line = ["disable", "--model", str(tiny), "--task", "builtin", "--examples", "8", "--heads"]
    line += ["layers", "--out", str(tmp_path / "run"), "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", code, *line, "--engine", "ray"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--engine ray needs Ray: run pip install 'headscope[cluster]'" in done.stderr
    # Without the engine nobody asks for Ray.
    done = subprocess.run(
        [sys.executable, "-c", code, *line], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
