"""A command that is killed at any of its file operations, and run again, ends as if nothing had happened."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from safetensors.numpy import load_file

import families
import headscope
from headscope.commands import session
from headscope.results.contents import foreign_file, is_leftover
from headscope.results.saved import open_run
from test_resuming import cache_of

SAME = {
    "task": "builtin",
    "examples": 8,
    "max_length": 32,
    "batch_tokens": 100,
    "precision": "fp32",
    "quiet": True,
}


class Killed(BaseException):
    pass


@contextmanager
def killed_at(rename: int) -> Iterator[Callable[[], int]]:
    """Kill at a rename, counted from 1, with all that Python would still tidy up left undone. Yields their count."""
    done = 0
    dead = False
    replace, unlink, rmtree = os.replace, os.unlink, shutil.rmtree

    def replacing(*paths: Any, **more: Any) -> None:
        nonlocal done, dead
        done += 1
        dead = dead or done == rename
        if dead:
            raise Killed
        replace(*paths, **more)

    def unless_dead(operation: Callable[..., None]) -> Callable[..., None]:
        def called(*given: Any, **more: Any) -> None:
            if not dead:
                operation(*given, **more)

        return called

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "replace", replacing)
        patched.setattr(os, "unlink", unless_dead(unlink))
        patched.setattr(shutil, "rmtree", unless_dead(rmtree))
        yield lambda: done


def check_equal(whole: Path, again: Path) -> None:
    """The same files with the same tables and weights, and nothing that a killed run leaves."""
    files = {path.relative_to(whole) for path in whole.rglob("*") if path.is_file()}
    assert {path.relative_to(again) for path in again.rglob("*") if path.is_file()} == files
    assert not [path for path in again.rglob("*") if is_leftover(path.name)]
    assert foreign_file(again) is None
    for file in files:
        if file.suffix == ".parquet":
            assert pl.read_parquet(whole / file).equals(pl.read_parquet(again / file)), file
        elif file.suffix == ".safetensors":
            one, two = load_file(whole / file), load_file(again / file)
            assert one.keys() == two.keys()
            assert all(one[name].tobytes() == two[name].tobytes() for name in one), file
    open_run(again)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(families.make_encoder("bert", tmp_path_factory.mktemp("models") / "bare"))


@pytest.mark.parametrize("name", ["measure", "disable", "finetune"])
def test_killed_at_any_rename_it_ends_as_if_nothing_had_happened(
    name: str, bare: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name != "finetune":
        # Nothing changes the model, so it need not be loaded for every kill.
        monkeypatch.setattr(session, "open_session", cache_of(session.open_session))
    run: Callable[..., Any] = getattr(headscope, name)
    asked: dict[str, dict[str, Any]] = {
        "measure": {"model": bare, "measures": "entropy,likeness"},
        "disable": {"model": str(tiny), "heads": "layers"},
        "finetune": {"model": bare, "train_examples": 16, "epochs": 1},
    }
    given: dict[str, Any] = {**SAME, **asked[name]}
    with killed_at(0) as renames:
        run(**given, out=tmp_path / "whole")
    assert renames() >= 6
    for rename in range(1, renames() + 1):
        out = tmp_path / f"killed-{rename}"
        with pytest.raises(Killed), killed_at(rename):
            run(**given, out=out)
        assert not (out / "run.json").exists()
        run(**given, out=out)
        check_equal(tmp_path / "whole", out)


@pytest.mark.slow
def test_a_study_killed_at_every_rename_in_turn_ends_as_if_nothing_had_happened(
    bare: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {**SAME, "model": bare, "train_examples": 16, "epochs": 1, "lr": 0.05}
    headscope.study(**given, out=tmp_path / "whole")
    out = tmp_path / "killed"
    rename = 0
    is_killed = True
    while is_killed:
        rename += 1
        try:
            with killed_at(rename):
                headscope.study(**given, out=out)
            is_killed = False
        except Killed:
            pass
    assert rename > 10
    check_equal(tmp_path / "whole", out)


def test_a_study_whose_report_failed_is_reported_when_it_is_run_again(
    bare: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headscope.reporting.build import Report

    given: dict[str, Any] = {**SAME, "model": bare, "train_examples": 16, "epochs": 1, "lr": 0.05}
    out = tmp_path / "run"

    def fail(*given: Any) -> None:
        raise OverflowError("Python integer 256 out of bounds for uint8")

    for broken in ("save_charts", "save"):
        with monkeypatch.context() as patched:
            patched.setattr(Report, broken, fail)
            with pytest.raises(OverflowError):
                headscope.study(**given, out=out)
        assert (out / "run.json").exists()
        assert not (out / "report.html").exists()
        # Figures that are half drawn are no figures.
        assert (out / "figures").exists() == (broken == "save")
    headscope.study(**given, out=out)
    assert (out / "report.html").stat().st_size
    assert {path.suffix for path in (out / "figures").iterdir()} == {".svg", ".png"}
