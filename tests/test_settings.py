"""Settings of commands: their fields are the arguments, they check themselves, and say how to repeat a run."""

import inspect
import shlex
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path
from typing import Any

import pytest

import headscope
from headscope import cli
from headscope.commands import options
from headscope.commands.compare import Comparing
from headscope.commands.disable import Disabling
from headscope.commands.outcome import Outcome
from headscope.commands.relations import Relations
from headscope.commands.settings import AT_LEAST_ONE, Settings, arguments, command, flag
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


@pytest.mark.parametrize("name", AT_LEAST_ONE)
def test_every_count_is_checked_when_settings_are_made(name: str) -> None:
    fields: dict[str, object] = {"__annotations__": {name: int}}
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

    caught.__signature__ = inspect.signature(headscope.disable)  # type: ignore[attr-defined]
    caught.__annotations__ = headscope.disable.__annotations__
    app = type(cli.app)(name="headscope")
    app.command(caught, name="disable")
    app(shlex.split(settings.command_line())[1:], exit_on_error=False, result_action="return_value")
    assert Disabling(**seen) == settings  # type: ignore[arg-type]


def test_help_names_what_is_needed_first_and_what_is_common_last() -> None:
    names = list(arguments(Disabling))
    assert names[:4] == ["model", "task", "out", "data"]
    assert names[-3:] == ["batch_tokens", "quiet", "overwrite"]
    assert names.index("heads") < names.index("examples")
