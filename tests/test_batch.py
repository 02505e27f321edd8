"""The whole paper for a batch system: its plan, the script for SLURM, items one by one, and what gathers them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import golden_runs
import headscope
from headscope import cli
from headscope.commands.outcome import Outcome
from headscope.errors import HeadscopeError
from headscope.replication import batch, run
from headscope.replication.batch import plan_of, read_plan
from headscope.replication.plan import Part, Role
from headscope.replication.run import Paper, paper
from headscope.results.contents import PLAN, foreign_file
from headscope.results.record import Record

ARGUMENTS = (
    "paper --model tiny --tasks rte --data glue --epochs 1 --lr 1e-3 --examples 8 --precision fp32"
)
ARGUMENTS += " --framenet frames-release"
NAME = 'a "run" of mine\'s $HOME;'
"""What a shell could take for something else."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models and data, and a plan in the run folder NAME."""
    made = tmp_path_factory.mktemp("paper")
    golden_runs.inputs(made)
    patch = pytest.MonkeyPatch()
    with chdir(made), patch.context() as patched:
        patched.setattr(sys, "executable", str(program(made)))
        assert cli.run([*ARGUMENTS.split(), "--plan", "--out", NAME]) == 0
    return made


def program(made: Path) -> Path:
    """In the place of Python, a program that notes what it is asked."""
    script = made / "a py'thon"
    script.write_text('#!/bin/sh\nprintf "%s\\n" "$@" "" >> "$NOTES"\n')
    script.chmod(0o755)
    return script


SBATCH = """#!/usr/bin/env bash
# Runs every job at once, an array task by task, and says its number.
printf '%s\\n' "$@" '' >> "$SUBMITTED"
for word in "$@"; do
  case $word in
    --array=*) numbers=${word#--array=} ;;
    --wrap=*) wrapped=${word#--wrap=} ;;
  esac
done
[ "${FAILS:-}" != yes ] || exit 1
for number in $(seq $(echo ${numbers:-0-0} | tr - ' ')); do
  SLURM_ARRAY_TASK_ID=$number sh -c "$wrapped"
done
wc -l < "$SUBMITTED" | sed 's/$/;cluster/'
"""


def submit(folder: Path, *options: str, **more: str) -> subprocess.CompletedProcess[str]:
    """What submit.sh does where `sbatch` is the one above, begun in another folder."""
    (folder / "bin").mkdir(exist_ok=True)
    sbatch = folder / "bin" / "sbatch"
    sbatch.write_text(SBATCH)
    sbatch.chmod(0o755)
    for name in ("notes", "submitted"):
        (folder / name).write_text("")
    given = {"NOTES": str(folder / "notes"), "SUBMITTED": str(folder / "submitted"), **more}
    return subprocess.run(
        ["bash", str(folder / NAME / "submit.sh"), *options],
        cwd=folder / "bin",
        env={**os.environ, **given, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def noted(file: Path) -> list[list[str]]:
    """The calls in a file: a word a line, an empty one behind each."""
    return [call.split("\n") for call in file.read_text().split("\n\n") if call]


def tables(folder: Path) -> dict[str, pl.DataFrame]:
    files = sorted(folder.rglob("*.parquet"))
    return {str(file.relative_to(folder)): pl.read_parquet(file, glob=False) for file in files}


def test_a_paper_by_a_batch_system_is_the_paper(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script's jobs, in the order in which SLURM would begin them, beside `headscope paper`."""
    script = folder / NAME / "submit.sh"
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    done = submit(folder, "--partition=a b")
    assert done.returncode == 0, done.stderr
    calls = noted(folder / "notes")
    place = str(folder / NAME)
    plan = read_plan(folder / NAME, Paper)
    count = len(plan.items)
    numbers = [str(number) for number in range(1, count + 1)]
    assert calls == [
        *(["-m", "headscope", "run-item", place, number] for number in numbers),
        ["-m", "headscope", "gather", place],
    ]
    first, second, last = noted(folder / "submitted")
    assert all("--partition=a b" in job for job in (first, second, last))
    assert not any(word.startswith("--dependency") for word in first)
    # The number of a job is how much was submitted by then, without the cluster's name.
    of_first = len(first) + 1
    assert f"--dependency=afterok:{of_first}" in second
    assert f"--dependency=afterany:{of_first}:{of_first + len(second) + 1}" in last
    assert submit(folder, FAILS="yes").returncode != 0
    assert len(noted(folder / "submitted")) == 1

    with chdir(folder):
        assert cli.run(["gather", NAME]) == 2
        assert f"{count} of {count} items in" in capsys.readouterr().err
        for call in calls[:-2]:
            assert cli.run([*call[2:], "--quiet"]) == 0
        assert cli.run(["gather", NAME]) == 2
        missing = plan.items[-1]
        assert f"are not done, item {count} ({missing.words})" in capsys.readouterr().err
        assert not (folder / NAME / "run.json").exists()
        assert headscope.run_item(run=NAME, number=count).record.command == missing.command
        assert headscope.gather(run=NAME, quiet=True).record.command == "paper"

    # The page takes seconds, and was made by the same function.
    monkeypatch.setattr(run, "report", lambda _, out, **more: out.write_text(str(more)))
    beside = folder / "beside"
    beside.mkdir()
    for name in ("tiny", "glue", "frames-release"):
        (beside / name).symlink_to(folder / name)
    with chdir(beside):
        assert cli.run([*ARGUMENTS.split(), "--quiet", "--out", NAME]) == 0
    one, other = tables(folder / NAME), tables(beside / NAME)
    assert one.keys() == other.keys()
    assert {"claims.parquet", "dispensable.parquet", "rte/compared/heads.parquet"} <= one.keys()
    for name, frame in one.items():
        # Some numbers of seconds are of the moment.
        same = frame.drop("seconds", strict=False)
        assert same.equals(other[name].select(same.columns)), name
    records = [Record.read(made / "run.json") for made in (folder / NAME, beside / NAME)]
    for name in ("options", "notes", "versions", "data", "model", "definitions"):
        assert getattr(records[0], name) == getattr(records[1], name)
    assert records[0].repeat == records[1].repeat
    assert foreign_file(folder / NAME) is None

    # What is done does nothing, in whatever way it is asked again.
    times = {file: file.stat().st_mtime_ns for file in (folder / NAME).rglob("*") if file.is_file()}
    capsys.readouterr()
    with chdir(folder):
        assert cli.run(["run-item", NAME, "1"]) == 0
        assert "item 1 (" in (said := capsys.readouterr().out)
        assert "is done already" in said
        for line in (["gather", NAME], [*ARGUMENTS.split(), "--out", NAME]):
            assert cli.run(line) == 0
        assert cli.run([*ARGUMENTS.split(), "--plan", "--out", NAME]) == 0
    assert times == {file: file.stat().st_mtime_ns for file in times}


@pytest.fixture
def planned(folder: Path, tmp_path: Path) -> Path:
    """A run folder with the plan alone."""
    copy = tmp_path / "run"
    copy.mkdir()
    for name in (PLAN, "begun.json"):
        shutil.copy(folder / NAME / name, copy)
    return copy


def test_paper_goes_on_where_items_were_run(
    folder: Path, planned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    headscope.run_item(run=planned, number=1, quiet=True)
    (first, *_) = read_plan(planned, Paper).items
    before = (planned / first.folder / "run.json").stat().st_mtime_ns
    asked: list[Part] = []
    monkeypatch.setattr(run, "run_parts", lambda parts, *_, **__: asked.extend(parts))
    monkeypatch.setattr(run, "finished", lambda *_: Outcome(planned, (), ""))
    given: dict[str, Any] = {"data": Path("glue"), "framenet": Path("frames-release")}
    given |= {"model": "tiny", "tasks": "rte", "epochs": 1, "lr": 1e-3, "examples": 8}
    paper(**given, precision="fp32", out=planned, quiet=True)
    assert {part.folder for part in asked} == {
        item.folder for item in read_plan(planned, Paper).items
    }
    # The part is a command in that folder, and the command finds its own result.
    (part,) = [part for part in asked if part.folder == first.folder]
    part.item(planned, quiet=True).call()
    assert (planned / first.folder / "run.json").stat().st_mtime_ns == before
    with pytest.raises(HeadscopeError, match="holds another run .it differs in epochs"):
        paper(**{**given, "epochs": 2}, precision="fp32", out=planned, plan=True, quiet=True)


def test_items_that_cannot_be_run_are_refused_in_a_sentence(
    planned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = read_plan(planned, Paper)
    (late,) = [item for item in plan.items if len(item.needs) == 2]
    needs = [plan.items[need - 1] for need in late.needs.values()]
    cases = {
        str(late.number): f"item {late.number} ({late.words}) needs what is not done yet, "
        f"item {needs[0].number} ({needs[0].words}), item {needs[1].number}",
        "99": f"has no item 99: its items are 1 to {len(plan.items)}",
        "0": "--number must be at least 1, got 0",
        "one": "'one' is not a whole number",
    }
    for number, sentence in cases.items():
        assert cli.run(["run-item", str(planned), number]) == 2
        said = capsys.readouterr().err
        assert sentence in said
        assert len(said.splitlines()) == 1
    for line in (["run-item", str(planned.parent), "1"], ["gather", str(planned.parent)]):
        assert cli.run(line) == 2
        assert "holds no plan: give the folder that" in capsys.readouterr().err
    assert cli.run(["run-item"]) == 2
    assert cli.run(["run-item", str(planned), "1", "2"]) == 2
    assert not list(planned.glob("*/"))


def edit(path: Path, change: Callable[[dict[str, Any]], object], *, signed: bool = True) -> None:
    """Change a plan, and its checksum too where `signed`."""
    content = json.loads(path.read_text())
    change(content)
    if signed:
        content.pop("checksum", None)
        content["checksum"] = batch._checksum(content)
    path.write_text(json.dumps(content))


def item(number: int, /, **values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["items"][number - 1].update(values)


WRONG: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a foreign command": (item(1, command="annotate"), "a command that no part of the paper is"),
    "a module": (item(1, command="os:system"), "a command that no part of the paper is"),
    "a folder above": (item(1, folder="../other"), "the folder of item 1 is not within"),
    "an absolute folder": (item(1, folder="/elsewhere/x"), "the folder of item 1 is not within"),
    "the run itself": (item(1, folder="."), "the folder of item 1 is not within"),
    "no folder": (item(1, folder=""), "the folder of item 1 is not within"),
    "a link": (item(1, folder="link/x"), "the folder of item 1 is not within"),
    "a folder twice": (item(1, folder="rte/path"), "two items share a folder"),
    "another number": (item(2, number=3), "item 2 has the number 3"),
    "a need of itself": (item(1, needs={"model": 1}), "needs an item that does not stand before"),
    "a need of an argument": (item(2, needs={"data": 1}), "takes no other item as data"),
    "another level": (item(2, level=2), "item 2 has the level 2"),
    "a number as text": (item(1, number="1"), "item 1 has a number of another type"),
    "a truth for a number": (item(1, level=True), "item 1 has a level of another type"),
    "no number": (item(1, seconds=float("nan")), "takes no number of seconds"),
    "more": (item(1, more=1), "item 1 does not have the keys"),
    "a foreign argument": (item(1, arguments={"model": "m", "port": 1}), "takes no port"),
    "an argument of its own": (item(1, arguments={"overwrite": True}), "takes no overwrite"),
    "another place": (item(1, arguments={"out": "/elsewhere/x"}), "takes no out from a plan"),
    "an argument missing": (item(2, arguments={"task": "rte"}), "model"),
    "a value of another type": (lambda c: c["paper"].update(epochs="3"), "--epochs must be a whole"),
    "a foreign question": (lambda c: c["paper"].update(plan=True), "paper takes no plan"),
    "no list": (lambda c: c.update(items={}), "its items are no list"),
    "no object": (lambda c: c.update(paper=[]), "what was asked is no object"),
    "a key too much": (lambda c: c.update(more=1), "does not have the keys"),
    "an item that is none": (lambda c: c.update(items=[7]), "item 1 does not have the keys"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(WRONG))
def test_a_plan_that_headscope_did_not_write_is_refused(
    planned: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (planned / "link").symlink_to(planned.parent)
    change, sentence = WRONG[name]
    monkeypatch.setattr(batch.Plan, "work", lambda *_, **__: pytest.fail("something was called"))
    edit(planned / PLAN, change)
    with pytest.raises(HeadscopeError, match="is not as headscope paper wrote it") as caught:
        headscope.run_item(run=planned, number=1)
    assert sentence in str(caught.value)
    with pytest.raises(HeadscopeError, match="is not as headscope paper wrote it"):
        headscope.gather(run=planned)


def test_an_edited_a_damaged_and_a_foreign_plan_are_told_apart(planned: Path) -> None:
    file = planned / PLAN
    whole = file.read_text()
    edit(file, item(1, words="something else"), signed=False)
    with pytest.raises(HeadscopeError, match="its checksum is of other content"):
        headscope.run_item(run=planned, number=1)
    for text in (whole[: len(whole) // 2], "", "[]", "[" * 10**5):
        file.write_text(text)
        with pytest.raises(HeadscopeError, match=r"cannot be read: write it again with headscope"):
            headscope.run_item(run=planned, number=1)
    file.write_text(whole)
    edit(file, lambda content: content.update(headscope="9.9"), signed=False)
    with pytest.raises(HeadscopeError, match=r"was made by headscope 9\.9, and this is"):
        headscope.gather(run=planned)
    file.write_text(whole)
    assert len(read_plan(planned, Paper).items) > 1


def part(folder: str, cost: int, start: float = 0.0, **takes: str) -> Part:
    given = {"task": "rte", "seed": 1}
    return Part(Role.SCORES, folder, folder, cost, "finetune", given, takes, start=start)


def test_items_are_numbered_level_by_level_and_the_longest_first() -> None:
    parts = [
        part("c", 1, model="a"),
        part("a", 1),
        part("d", 9, model="c"),
        part("b", 2),
        # What it takes beside the work of the model counts.
        part("e", 0, start=5.0),
        part("f", 3, model="b"),
    ]
    plan = plan_of(parts, 2.0, {})
    assert [one.folder for one in plan.items] == ["e", "b", "a", "f", "c", "d"]
    assert [one.level for one in plan.items] == [1, 1, 1, 2, 2, 3]
    assert [one.seconds for one in plan.items] == [5, 4, 2, 6, 2, 18]
    assert [list(one.needs.values()) for one in plan.items] == [[], [], [], [2], [3], [5]]
    assert [len(items) for items in plan.levels] == [3, 2, 1]
    asked = plan.work(6, Path("run"), quiet=True)
    assert asked.arguments["model"] == str(Path("run/c"))
    assert asked.arguments["out"] == Path("run/d")
