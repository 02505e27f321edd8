"""Parts of the paper by workers that see the run folder, and by workers that see nothing of this machine."""

import json
import os
import pickle
import shutil
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import golden_runs
import headscope
from headscope.engine.executor import Item
from headscope.engine.folders import Files
from headscope.engine.local import Local
from headscope.errors import HeadscopeError
from headscope.replication import elsewhere, plan, run
from headscope.replication.run import Paper, check_data, open_paper

ASKED: dict[str, Any] = {"model": "tiny", "tasks": "rte", "epochs": 1, "lr": 1e-3, "examples": 8}
ASKED |= {"precision": "fp32", "quiet": True}


class Remote(Local):
    """A worker that gets nothing but what can be sent. It notes what it was given."""

    is_elsewhere = True

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, list[Path]] = {}

    def submit(self, item: Item) -> Future[Any]:
        sent = pickle.loads(pickle.dumps(item))  # noqa: S301
        if sent.arguments["files"] is not None:
            self.files[item.name] = sorted(sent.arguments["files"])
        here = Path.cwd()
        try:
            return super().submit(sent)
        finally:
            # The worker is another process, with a folder of its own.
            os.chdir(here)


class Unseen(elsewhere.Elsewhere):
    """Workers find another mark in the run folder than they look for."""

    def __init__(self, executor: Any, place: elsewhere.Place) -> None:
        super().__init__(executor, place)
        (place.root / ".driver.tmp").write_text("of another driver")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Tiny models and data, and the run of one process in the folder `local`."""
    made = tmp_path_factory.mktemp("paper")
    golden_runs.inputs(made)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(made)
        # The pages are not what is tested here.
        patched.setattr(run, "report", lambda *_, **__: None)
        frames = Path("frames-release")
        headscope.paper(**ASKED, data=Path("glue"), framenet=frames, out=Path("local"))
        yield made


@pytest.fixture
def remote(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    """The workers of every paper in the test."""
    made = Remote()
    monkeypatch.chdir(folder)

    def by_them(parts: Any, root: Path, _: object, seconds: float, *, quiet: bool) -> None:
        plan.run_parts(parts, root, made, seconds, quiet=quiet)

    monkeypatch.setattr(run, "run_parts", by_them)
    return made


def check_same(out: Path, *but: str) -> None:
    """All tables of a run are those of `local`, but for seconds and some columns."""
    files = sorted(path.relative_to("local") for path in Path("local").rglob("*.parquet"))
    assert files == sorted(path.relative_to(out) for path in out.rglob("*.parquet"))
    for file in files:
        one, two = pl.read_parquet(Path("local") / file), pl.read_parquet(out / file)
        names = [name for name in one.columns if name not in ("seconds", *but)]
        assert one.select(names).equals(two.select(names)), file
    assert not list(out.glob(".driver*"))


def test_workers_that_see_the_run_folder_write_there(remote: Remote) -> None:
    frames = Path("frames-release")
    headscope.paper(**ASKED, data=Path("glue"), framenet=frames, out=Path("seen"))
    assert remote.files == {}
    check_same(Path("seen"), "model")


def test_what_a_part_reads_is_sent_and_what_it_wrote_comes_back(
    folder: Path, remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elsewhere, "Elsewhere", Unseen)
    # The data are found by this process's environment alone.
    monkeypatch.setenv("HEADSCOPE_DATA", str(folder / "glue"))
    given = {**ASKED, "model": str(folder / "tiny"), "framenet": folder / "frames-release"}
    out = tmp_path / "run"
    # What an earlier run had begun there is no part of what comes back.
    part = out / "rte" / "path"
    part.mkdir(parents=True)
    shutil.copy("local/rte/path/begun.json", part)
    (part / "outputs.safetensors").write_bytes(b"half")
    shutil.copy("local/begun.json", out)
    headscope.paper(**given, out=out)

    check_same(out, "model")
    tuned, data = out / "rte" / "pretrained-0", folder / "glue" / "rte"
    assert remote.files["rte/pretrained-0"] == sorted([folder / "tiny", data])
    assert remote.files["rte/compared"] == sorted([folder / "tiny", tuned, data])
    assert remote.files["rte/dispensable-frames"] == sorted([tuned, data, out / "framenet"])
    assert remote.files["framenet"] == sorted([folder / "tiny", folder / "frames-release"])
    # A model is named as the part was given it: by a path that leads there from here.
    names = pl.read_parquet(out / "disabled.parquet")["model"].unique().to_list()
    assert names == [os.path.relpath(tuned)]
    assert Path(*names).samefile(tuned)

    # All that is done is known to be done, by whichever engine.
    def times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in out.rglob("*/*/run.json")}

    before = times()
    (out / "run.json").unlink()
    remote.files.clear()
    headscope.paper(**given, out=out)
    assert remote.files == {}
    monkeypatch.setattr(run, "run_parts", plan.run_parts)
    (out / "run.json").unlink()
    headscope.paper(**given, out=out)
    assert times() == before


def test_a_part_that_read_other_data_is_refused(folder: Path, tmp_path: Path) -> None:
    whole = open_paper(Paper(**ASKED, data=Path("glue"), out=Path("local")))
    check_data(Path("local"), whole)
    shutil.copytree("local", tmp_path / "run")
    file = tmp_path / "run" / "rte" / "path" / "begun.json"
    content = json.loads(file.read_text())
    content["request"]["data"] = "0" * 16
    file.write_text(json.dumps(content))
    with pytest.raises(HeadscopeError, match="path was made from other data of rte than are here"):
        check_data(tmp_path / "run", whole)


def test_what_comes_back_is_not_taken_for_whole_before_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    write = Files.write

    def noted(self: Files, folder: Path) -> None:
        order.extend(self.content)
        write(self, folder)

    monkeypatch.setattr(Files, "write", noted)
    names = ("begun.json", "config.json", "model.safetensors", "run.json", "scores.parquet")
    content = {name: np.frombuffer(name.encode(), np.uint8) for name in names}
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "heads.parquet").write_bytes(b"old")
    elsewhere.receive(Files(content), tmp_path / "part")
    assert order[-2:] == ["config.json", "run.json"]
    assert {path.name: path.read_text() for path in (tmp_path / "part").iterdir()} == {
        name: name for name in names
    }


def test_files_are_read_when_they_are_used(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "empty.json").touch()
    (tmp_path / "one" / "two.json").write_text("two")
    files = Files.read(tmp_path / "one", ("*.json",))
    shutil.rmtree(tmp_path / "one")
    pickle.loads(pickle.dumps(files)).write(tmp_path / "other")  # noqa: S301
    assert (tmp_path / "other" / "empty.json").read_bytes() == b""
    assert (tmp_path / "other" / "two.json").read_text() == "two"
