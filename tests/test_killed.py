"""A training that is killed by the system at a random moment, and run again, ends as if nothing had happened."""

import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import safetensors
import torch
from safetensors.torch import load_file

import families
from headscope import cli
from headscope.commands import checkpoint
from headscope.training import loop

EXAMPLES, BATCH, EPOCHS = 64, 8, 6
STEPS = EPOCHS * EXAMPLES // BATCH
# The command line, but for two things: the state is saved at every step, and at one step a thread is told to kill
# the process within the next milliseconds: during a forward pass, a backward pass, an update, or while saving.
KILLED = """
import os, signal, sys, threading, time
import torch
from headscope import cli
from headscope.commands import checkpoint

torch.set_num_threads(int(sys.argv[1]))
at, delay = int(sys.argv[2]), float(sys.argv[3])

def kill():
    time.sleep(delay)
    os.kill(os.getpid(), signal.SIGKILL)

def train(*given, advance, **more):
    done = 0
    def count(steps=1, note=""):
        nonlocal done
        done += steps
        if done == at:
            threading.Thread(target=kill).start()
        elif done > at:
            time.sleep(0.002)  # The end must not come before the kill, however busy the machine is.
    train_as_it_is(*given, advance=count, save_every=0.0, **more)

train_as_it_is, checkpoint.train = checkpoint.train, train
cli.main(sys.argv[4:])
"""


def command(model: str, out: Path) -> list[str]:
    given = {
        "model": model,
        "task": "builtin",
        "out": out,
        "train-examples": EXAMPLES,
        "examples": 20,
    }
    given |= {"epochs": EPOCHS, "batch-size": BATCH, "lr": 3e-3, "precision": "fp32"}
    return [
        "finetune",
        *(str(word) for name, value in given.items() for word in (f"--{name}", value)),
    ]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(families.make_encoder("bert", tmp_path_factory.mktemp("models") / "bare"))


@pytest.fixture(scope="module")
def unbroken(bare: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "unbroken"
    assert cli.run(command(bare, out)) == 0
    return out


def test_a_killed_training_ends_with_the_same_weights(
    bare: str,
    unbroken: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "killed"
    at, delay = random.randrange(5, STEPS // 2), random.uniform(0, 0.02)
    case = f"killed {delay:.4f} s after step {at}"
    script = [sys.executable, "-c", KILLED, str(torch.get_num_threads()), str(at), str(delay)]
    killed = subprocess.run(
        [*script, *command(bare, out)], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, f"{case}: {killed.stderr}"
    state = out / "training.safetensors"
    with safetensors.safe_open(state, "pt") as file:
        position = int(file.metadata()["step"])
    assert at - 1 <= position < STEPS, case
    assert not (out / "config.json").exists(), case

    made: list[int] = []

    def train(*given: Any, **more: Any) -> None:
        made.append(len(as_it_is(*given, **more)))

    as_it_is = loop.train
    monkeypatch.setattr(checkpoint, "train", train)
    capsys.readouterr()
    assert cli.run(command(bare, out)) == 0, case
    assert f"resuming training at step {position} of {STEPS}" in capsys.readouterr().err, case
    assert made == [STEPS - position], case
    assert not state.exists()
    one, two = (load_file(run / "model.safetensors") for run in (unbroken, out))
    assert one.keys() == two.keys()
    for name, weight in one.items():
        assert torch.equal(weight, two[name]), f"{case}: {name}"
    assert pl.read_parquet(out / "scores.parquet").equals(
        pl.read_parquet(unbroken / "scores.parquet")
    )


def stop(*given: object) -> None:
    raise KeyboardInterrupt


def test_a_run_that_was_stopped_after_training_scores_what_was_trained(
    bare: str, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "stopped"
    with monkeypatch.context() as patched:
        patched.setattr("headscope.commands.scoring.score", stop)
        assert cli.run(command(bare, out)) == cli.INTERRUPTED
    assert (out / "config.json").exists()
    assert not (out / "scores.parquet").exists()
    monkeypatch.setattr(checkpoint, "train", None)
    assert cli.run(command(bare, out)) == 0
    assert pl.read_parquet(out / "scores.parquet").equals(
        pl.read_parquet(unbroken / "scores.parquet")
    )


def test_the_scores_of_this_test_can_tell_trained_from_untrained(
    bare: str, unbroken: Path, tmp_path: Path
) -> None:
    assert cli.run([*command(bare, tmp_path / "none"), "--init", "none"]) == 0
    columns = ("metric", "value")
    none, trained = (
        pl.read_parquet(run / "scores.parquet").select(columns)
        for run in (tmp_path / "none", unbroken)
    )
    assert not none.equals(trained)


# The command line, but at the given result a thread is told to kill the process within the next milliseconds.
KILLED_DISABLING = """
import os, signal, sys, threading, time
from headscope import cli
from headscope.results import run as store

at, delay, kept = int(sys.argv[1]), float(sys.argv[2]), 0

def kill():
    time.sleep(delay)
    os.kill(os.getpid(), signal.SIGKILL)

def part(*given):
    global kept
    part_as_it_is(*given)
    kept += 1
    if kept == at:
        threading.Thread(target=kill).start()
    elif kept > at:
        time.sleep(0.01)  # The end must not come before the kill, however busy the machine is.

part_as_it_is, store.Run.part = store.Run.part, part
cli.main(sys.argv[3:])
"""


def test_killed_in_the_middle_of_disabling_nothing_finished_is_done_again(tmp_path: Path) -> None:
    tuned = families.make("bert", tmp_path / "tuned")
    given = [
        "disable",
        "--model",
        str(tuned),
        "--task",
        "builtin",
        "--examples",
        "24",
        "--precision",
        "fp32",
    ]
    assert cli.run([*given, "--out", str(tmp_path / "whole")]) == 0
    sets = families.LAYERS * families.HEADS
    at, delay = random.randrange(2, sets - 4), random.uniform(0, 0.01)
    case = f"killed {delay:.4f} s after result {at}"
    out = tmp_path / "killed"
    script = [sys.executable, "-c", KILLED_DISABLING, str(at), str(delay)]
    killed = subprocess.run(
        [*script, *given, "--out", str(out)], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, f"{case}: {killed.stderr}"
    assert not (out / "disabled.parquet").exists(), case
    finished = {
        path: path.stat().st_mtime_ns for path in (out / "parts" / "disabled").glob("*.safetensors")
    }
    assert at <= len(finished) < sets, case

    assert cli.run([*given, "--out", str(out)]) == 0, case
    assert {path: path.stat().st_mtime_ns for path in finished} == finished, case
    one, two = (tmp_path / name for name in ("whole", "killed"))
    for table in ("disabled", "selection", "scores"):
        assert pl.read_parquet(one / f"{table}.parquet").equals(
            pl.read_parquet(two / f"{table}.parquet")
        ), case
