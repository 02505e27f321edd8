"""The command line: quick, one sentence and exit code 2 for a mistake, nothing on the way lost."""

import errno
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclopts import CycloptsError

import headscope
from headscope import cli, measures
from headscope.commands.listing import KINDS, Listing
from headscope.errors import HeadscopeError
from headscope.results.tables import TABLES
from headscope.tasks import TASKS

HEAVY = (
    "torch",
    "transformers",
    "polars",
    "altair",
    "scipy",
    "sklearn",
    "numpy",
    "rich.progress",
    "starlette",
    "uvicorn",
)


def loaded_after(code: str) -> list[str]:
    """Which heavy packages a fresh interpreter has imported after `code`."""
    check = f"{code}\nimport sys; print('loaded:', *[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    return done.stdout.split("loaded:")[1].split()


def test_help_imports_nothing_heavy() -> None:
    for arguments in (["--help"], ["study", "--help"], ["--version"], ["nonsense"], ["list"]):
        assert loaded_after(f"from headscope.cli import run; run({arguments!r})") == []
    assert loaded_after("import headscope") == []


def test_the_test_of_imports_can_fail() -> None:
    assert "torch" in loaded_after("import headscope; headscope.load")


def test_help_answers_in_half_a_second() -> None:
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "headscope", "--help"], capture_output=True, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    # Processor time, the least of five: on an idle machine it is the time one waits, and others do not disturb it.
    assert min(seconds) < 0.5


def commands() -> list[str]:
    """The names of all commands."""
    return [name for name in cli.app if not name.startswith("-")]


@pytest.mark.parametrize("name", commands())
def test_every_help_text_has_two_examples_that_are_understood(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.run([name, "--help"]) == 0
    _, _, after = capsys.readouterr().out.partition(cli.EXAMPLES)
    examples = [line for line in after.splitlines() if line.startswith(f"headscope {name}")]
    assert len(examples) >= 2
    for example in examples:
        # A narrow terminal shows it whole.
        assert len(example) <= 80
        command, bound, _ = cli.app.parse_args(
            shlex.split(example)[1:], exit_on_error=False, print_error=False
        )
        assert command is cli.app[name].default_command
        if settings := getattr(command, "settings", None):
            given = dict(zip(settings.in_order, bound.args, strict=False))
            if settings.unnamed and bound.args:
                given = {settings.unnamed: bound.args}
            settings(**given, **bound.kwargs)


@pytest.mark.parametrize("kind", list(KINDS))
def test_what_can_be_named_is_listed_with_a_meaning_each(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["list", kind]) == 0
    lines = capsys.readouterr().out.splitlines()
    meanings = headscope.known(kind)
    assert [line.split()[0] for line in lines] == list(meanings)
    # All meanings begin in one column.
    at = {line.index(meaning) for line, meaning in zip(lines, meanings.values(), strict=True)}
    assert len(at) == 1
    assert all(meaning.strip() and not meaning.endswith(".") for meaning in meanings.values())


def test_the_lists_hold_what_is_registered() -> None:
    assert set(headscope.known("tasks")) == set(TASKS.names())
    assert set(headscope.known("measures")) == {*measures.known(), "cosine_to_pretrained"}
    assert set(headscope.known("tables")) == set(TABLES)
    families = headscope.known("families")
    assert families["mpnet"] == "watched through its adapter"
    assert families["fnet"] == "refused: it has no attention"
    with pytest.raises(HeadscopeError, match="did you mean 'tasks'"):
        headscope.known("task")


def test_a_list_is_wrapped_under_its_column() -> None:
    shown = Listing({"a": "b " * 30, "long-name": "c"}).written(30).splitlines()
    assert max(map(len, shown)) <= 33
    assert [line[:11] for line in shown[:2]] == ["a          ", "           "]
    assert shown[-1] == "long-name  c"


def test_there_are_commands_and_a_wrong_example_is_found() -> None:
    assert {"study", "report", "look", "paper"} <= set(commands())
    with pytest.raises(CycloptsError):
        cli.app.parse_args(["study", "--no-such", "1"], exit_on_error=False, print_error=False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["study", "--task", "mprc"], "unknown task 'mprc': did you mean 'mrpc'?"),
        (["study", "--model", "no-such-model"], "unknown model 'no-such-model'"),
        (["study", "--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["study", "--epochs", "three"], "three"),
        (["study", "--precision", "fp8"], "fp8"),
        (["study", "--no-such-flag", "1"], "--no-such-flag"),
        (["finetune", "--model", "minilm"], "--task"),
        (["stduy"], "stduy"),
        (
            ["study", "mrpc"],
            "'mrpc' stands without an option: a task goes with --task, as in headscope study --task mrpc",
        ),
        (
            ["measure", "minilm"],
            "a model goes with --model, as in headscope measure --model minilm",
        ),
        (["compare", "minilm"], "the model before fine-tuning goes with --before"),
        (
            ["study", "--data", "a", "b c"],
            "as in headscope study --task 'b c', and a model with --model",
        ),
        (["paper", "--data"], "--data needs a value behind it: headscope paper --help"),
        (["paper", "--data", "--model", "minilm", "--out", "x"], "--data needs a value behind it"),
        (["disable", "--model"], "--model needs a value behind it"),
        (["report", "--out"], "--out needs a value behind it"),
        (["paper"], "paper needs --model and --out"),
        (["finetune", "--model=minilm"], "finetune needs --task and --out"),
        (["measure", "--mdoel", "minilm"], "Did you mean --model instead of --mdoel?"),
        (["report", "/no/such/run"], "the run folder /no/such/run does not exist"),
        (
            ["measure", "--model", "minilm", "--task", "mrpc", "--out", "x", "--data", "/none"],
            "the data folder /none does not exist",
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    arguments: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(arguments) == 2
    captured = capsys.readouterr()
    mistake = captured.err.splitlines()[-1]
    assert mistake.startswith("headscope: ")
    assert sentence in mistake
    assert "Traceback" not in captured.err
    assert not captured.out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            2,
            "the disk is full: make room and run the same command again",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/root/x"),
            2,
            "cannot read or write /root/x: Permission denied",
        ),
        (KeyboardInterrupt(), 130, "stopped; what is finished is kept: run the same command again"),
    ],
)
def test_what_the_machine_does_to_a_run(
    error: BaseException,
    code: int,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*given: Any, **more: Any) -> None:
        raise error

    monkeypatch.setattr("headscope.commands.kinds.open_scored", fail)
    assert cli.run(["disable", "--model", "m", "--task", "t", "--out", "o"]) == code
    assert sentence in capsys.readouterr().err
