"""Settings of commands: their fields are the arguments, they check themselves, and say how to repeat a run."""

# mypy: disable-error-code="call-arg"

import inspect
import math
import re
import shlex
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import headscope
from headscope import cli
from headscope.commands import options
from headscope.commands.annotate import Annotating, annotate
from headscope.commands.compare import Comparing
from headscope.commands.disable import Disabling, disable
from headscope.commands.finetune import FineTuning, finetune
from headscope.commands.look import Looking
from headscope.commands.outcome import Outcome, report_command
from headscope.commands.relations import Relations, relations
from headscope.commands.settings import RANGES, Settings, arguments, command, flag, training_line
from headscope.errors import HeadscopeError


@dataclass(frozen=True, kw_only=True)
class Counting(Settings):
    command = "count"

    out: options.Out
    epochs: options.Epochs = 3


@command(Counting)
def count(asked: Counting) -> Outcome:
    """Count."""
    return Outcome(asked.out, (str(asked.epochs),), "nothing")


def test_a_command_takes_the_fields_of_its_settings() -> None:
    assert count(out=Path("there"), epochs=5) == Outcome(Path("there"), ("5",), "nothing")
    assert count(out=Path("there")).lines == ("3",)
    signature = inspect.signature(count)
    assert list(signature.parameters) == ["out", "epochs", "quiet"]
    assert signature.parameters["epochs"].default == 3
    assert signature.parameters["out"].default is inspect.Parameter.empty
    assert {p.kind for p in signature.parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert count.__doc__ == "Count."
    with pytest.raises(TypeError, match="epoch"):
        count(out=Path("there"), epoch=5)
    with pytest.raises(TypeError, match="out"):
        count()


@pytest.mark.parametrize("name", [name for name, limits in RANGES.items() if limits.low == 1])
def test_every_count_is_checked_when_settings_are_made(name: str) -> None:
    fields: dict[str, Any] = {"__annotations__": {name: int | None}}
    made: Any = dataclass(frozen=True, kw_only=True)(type("Made", (Settings,), fields))
    assert getattr(made(**{name: 1}), name) == 1
    assert getattr(made(**{name: None}), name) is None
    with pytest.raises(HeadscopeError, match=f"^{flag(name)} must be at least 1, got 0$"):
        made(**{name: 0})


def test_settings_do_not_change() -> None:
    settings = Counting(out=Path("there"))
    with pytest.raises(FrozenInstanceError):
        settings.epochs = 4  # type: ignore[misc]


def test_the_command_line_says_what_was_asked_and_nothing_else() -> None:
    settings = Disabling(
        model="m", task="t", out=Path("a folder"), heads="L1H2;L2H1", quiet=True, overwrite=True
    )
    words = shlex.split(settings.command_line())
    assert words[:2] == ["headscope", "disable"]
    said = dict(zip(words[2::2], words[3::2], strict=True))
    assert (said["--out"], said["--heads"], said["--memory"]) == ("a folder", "L1H2;L2H1", "2.0")
    assert "--quiet" not in words
    assert "--overwrite" not in words
    assert "--devices" not in words
    faithful = Comparing(
        before="a", after="b", task="t", out=Path("o"), faithful=True
    ).command_line()
    assert faithful.split().count("--faithful") == 1
    assert "--faithful --" in faithful


def test_several_files_are_said_one_by_one() -> None:
    line = Relations(model="m", corpus=("ud:a", "b"), out=Path("o")).command_line()
    assert "--corpus ud:a --corpus b" in line


def test_the_command_line_of_a_run_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run says of itself parses to the same settings."""
    settings = Disabling(
        model="m", task="t", out=Path("o"), heads="each", part="1/2", examples=7, data=Path("d")
    )
    seen: dict[str, object] = {}

    def caught(**given: object) -> None:
        seen.update(given)

    caught.__signature__ = inspect.signature(disable)  # type: ignore[attr-defined]
    caught.__annotations__ = disable.__annotations__
    app = type(cli.app)(name="headscope")
    app.command(caught, name="disable")
    app(shlex.split(settings.command_line())[1:], exit_on_error=False, result_action="return_value")
    assert Disabling(**seen) == settings  # type: ignore[arg-type]


def test_help_names_what_is_needed_first_and_what_is_common_last() -> None:
    names = list(arguments(Disabling))
    assert names[:4] == ["model", "task", "out", "data"]
    assert names[-3:] == ["batch_tokens", "quiet", "overwrite"]
    assert names.index("heads") < names.index("examples")


WRONG: list[tuple[str, Any, str]] = [
    ("seed", -1, "--seed must be at least 0, got -1"),
    ("seed", 10**22, "--seed must lie between 0 and 4294967295"),
    ("seed", True, "--seed must be a whole number, got True"),
    ("memory", math.inf, "--memory must be larger than 0 and at most 1000000 GiB, got inf"),
    ("memory", math.nan, "--memory must be larger than 0 GiB, got nan"),
    ("examples", "3", "--examples must be a whole number, got '3'"),
    ("examples", 1.5, "--examples must be a whole number, got 1.5"),
    ("heads", 5, "--heads must be a text, got 5"),
    ("out", 5, "--out must be a path, got 5"),
    ("out", "", "--out is empty"),
    ("out", "a\0b", "--out holds a NUL"),
    ("out", "a\udcff", "--out is not text"),
    ("out", "a/" * 1900 + "b", "--out is too long"),
    ("out", "a/" * 300, "--out is too long"),
    ("out", "a" * 256, "--out has a name of 256 bytes"),
    ("task", "a" * 256, "--task has a name of 256 bytes"),
    ("mode", "x", "--mode must be one of uniform, zero, mean, got 'x'"),
    ("precision", None, "--precision must be one of auto, fp32, bf16"),
    ("quiet", 1, "--quiet must be True or False"),
    ("model", ["m"], "--model must be a text, got ['m']"),
]


@pytest.mark.parametrize(("name", "value", "sentence"), WRONG)
def test_a_setting_that_cannot_be_is_a_sentence(name: str, value: Any, sentence: str) -> None:
    given: dict[str, Any] = {"model": "m", "task": "t", "out": "o", name: value}
    with pytest.raises(HeadscopeError, match=re.escape(sentence)):
        headscope.disable(**given)


def test_a_seed_that_python_does_not_write_is_a_sentence() -> None:
    with pytest.raises(HeadscopeError, match="a number of more than 30 digits"):
        headscope.disable(model="m", task="t", out="o", seed=10**5000)


@pytest.mark.parametrize("lr", [math.nan, math.inf, 0.0, -1.0, 2.0])
def test_a_learning_rate_is_above_0_and_at_most_1(lr: float) -> None:
    with pytest.raises(HeadscopeError, match="^--lr must be larger than 0"):
        FineTuning(model="m", task="t", out=Path("o"), lr=lr)


def test_names_of_arguments_are_checked() -> None:
    with pytest.raises(
        HeadscopeError, match="unknown argument of disable 'head': did you mean 'heads'"
    ):
        headscope.disable(model="m", task="t", out="o", head="each")
    with pytest.raises(HeadscopeError, match="disable needs model and task"):
        headscope.disable(out="o")
    with pytest.raises(HeadscopeError, match="takes its arguments by name"):
        headscope.disable("m", task="t", out="o")


def test_strings_are_paths_and_paths_names_and_a_tilde_the_home_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    given: dict[str, Any] = {"model": Path("~/m"), "task": Path("t"), "out": "~/o", "data": "d"}
    given |= {"seed": np.int64(3), "memory": 2}
    seen: list[Disabling] = []
    command(Disabling)(lambda asked: seen.append(asked) or Outcome(asked.out, (), ""))(**given)  # type: ignore[func-returns-value]
    settings = seen[0]
    assert (settings.model, settings.task) == ("/home/somebody/m", "t")
    assert (settings.out, settings.data) == (Path("/home/somebody/o"), Path("d"))
    assert (settings.seed, settings.memory) == (3, 2.0)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--max-length", "1.5"), ("--seed", "9" * 5000), ("--seed", "0x1"), ("--epochs", "none")],
)
def test_a_number_that_is_none_is_refused_as_it_is_written(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["study", option, value]) == 2
    assert f"{option}: '{value[:10]}" in capsys.readouterr().err


NAMES = st.text(min_size=1, max_size=20).filter(lambda text: text.strip() and "\0" not in text)
PATHS = NAMES.filter(lambda text: not text.startswith("~"))


def read_back(settings: Settings, kind: type[Settings], function: Any) -> Settings:
    """The settings that the command line of some settings gives."""
    seen: dict[str, Any] = {}

    def caught(**given: object) -> None:
        seen.update(given)

    caught.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    caught.__annotations__ = function.__annotations__
    app = type(cli.app)(name="headscope")
    app.command(caught, name=kind.command)
    app(shlex.split(settings.command_line())[1:], exit_on_error=False, result_action="return_value")
    return kind(**seen)


@hypothesis.settings(max_examples=40)
@hypothesis.given(
    model=PATHS,
    out=PATHS,
    data=st.none() | PATHS,
    seed=st.integers(0, 2**32 - 1),
    memory=st.floats(1e-9, 1e6),
    mode=st.sampled_from(["uniform", "zero", "mean"]),
    examples=st.none() | st.integers(1, 10**9),
)
def test_the_command_line_of_any_settings_gives_them_again(**given: Any) -> None:
    given["data"] = None if given["data"] is None else Path(given["data"])
    settings = Disabling(task="t", **given | {"out": Path(given["out"])})
    assert read_back(settings, Disabling, disable) == settings


@hypothesis.settings(max_examples=20)
@hypothesis.given(
    out=PATHS, browser=st.booleans(), agreement=st.booleans(), round=st.integers(1, 3)
)
def test_switches_and_choices_come_back(**given: Any) -> None:
    settings = Annotating(**given | {"out": Path(given["out"])})
    assert read_back(settings, Annotating, annotate) == settings


@hypothesis.settings(max_examples=20)
@hypothesis.given(corpus=st.lists(NAMES, min_size=1, max_size=3), lr=st.booleans())
def test_lists_come_back(corpus: list[str], lr: bool) -> None:
    settings = Relations(model="m", corpus=tuple(corpus), out=Path("o"), faithful=lr)
    assert read_back(settings, Relations, relations) == settings


def test_what_to_run_next_can_be_pasted() -> None:
    """Paths with spaces are quoted, and where the data are is not lost."""
    run = Path("my runs/first")
    line = shlex.split(report_command(run))
    assert line == ["headscope", "report", "my runs/first", "--out", "my runs/first/report.html"]
    asked = Disabling(
        model="m",
        task="my data.csv",
        columns=("a b", "c"),
        label="the label",
        data=Path("g l"),
        out=Path("o"),
    )
    words = shlex.split(training_line(asked, "my model"))
    assert words[:4] == ["headscope", "finetune", "--model", "my model"]
    assert (
        " ".join(words[4:])
        == "--task my data.csv --columns a b --columns c --label the label --data g l --out CKPT"
    )
    command, bound, _ = cli.app.parse_args(words[1:], exit_on_error=False)
    assert command is finetune
    assert bound.kwargs["columns"] == ("a b", "c")


def test_texts_that_are_looked_at_are_said_without_an_option() -> None:
    asked = Looking(model="m m", texts=("- A man.", "It's he."), out=Path("look.html"))
    _, bound, _ = cli.app.parse_args(shlex.split(asked.command_line())[1:], exit_on_error=False)
    assert Looking(texts=bound.args, **bound.kwargs) == asked
