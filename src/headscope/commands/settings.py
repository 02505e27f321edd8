"""What the commands are asked: frozen settings that check themselves, and the commands they make.

The fields of a command's settings are its arguments, in Python and on the command line; their types
carry the help texts (`options`).
"""

import inspect
import shlex
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, fields
from functools import wraps
from typing import ClassVar, TypeVar, get_type_hints

from headscope.commands import options
from headscope.commands.outcome import Outcome
from headscope.errors import HeadscopeError

AT_LEAST_ONE = (
    "epochs",
    "batch_size",
    "batch_tokens",
    "max_length",
    "examples",
    "train_examples",
    "seeds",
    "workers",
)
"""Settings that count something; None stands for no limit."""
_UNSAID = ("quiet", "overwrite")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every command can be asked.

    Raises:
        HeadscopeError: A count is less than one.
    """

    command: ClassVar[str] = ""

    quiet: options.Quiet = False

    def __post_init__(self) -> None:
        for name in AT_LEAST_ONE:
            value = getattr(self, name, None)
            if value is not None and value < 1:
                raise HeadscopeError(f"{flag(name)} must be at least 1, got {value}")

    def command_line(self) -> str:
        """The command line that repeats the run."""
        words = ["headscope", self.command]
        for name in arguments(type(self)):
            if name not in _UNSAID:
                words.extend(_said(name, getattr(self, name)))
        return shlex.join(words)


@dataclass(frozen=True, kw_only=True)
class RunSettings(Settings):
    """What every command can be asked that runs a model over examples and writes a run folder."""

    out: options.Out
    examples: options.Examples = None
    seed: options.Seed = 0
    precision: options.Precision = "auto"
    max_length: options.MaxLength = 128
    batch_tokens: options.BatchTokens = 2048
    overwrite: options.Overwrite = False


@dataclass(frozen=True, kw_only=True)
class TaskSettings(RunSettings):
    """A run over the examples of a task."""

    task: options.TaskName
    data: options.DataDir = None


@dataclass(frozen=True, kw_only=True)
class WordSource:
    """Who says what the words of a text are."""

    words: options.WordsFrom = "auto"
    language: options.Language = "en"


@dataclass(frozen=True, kw_only=True)
class MeasureSettings(TaskSettings, WordSource):
    """A run that measures heads."""

    measures: options.Measures = "all"
    faithful: options.Faithful = False


S = TypeVar("S", bound=Settings)

FIRST = ("model", "before", "after", "task", "corpus", "out", "data")
"""Arguments that are named first in a help text."""
LAST = (
    "examples",
    "seed",
    "precision",
    "max_length",
    "batch_tokens",
    "quiet",
    "overwrite",
)
"""Arguments that are named last."""


def command(settings: type[S]) -> Callable[[Callable[[S], Outcome]], Callable[..., Outcome]]:
    """Make a command of a function that takes settings.

    Args:
        settings: A dataclass; its fields become the command's keyword arguments.

    Returns:
        A decorator. What it returns is called with keyword arguments, and has their signature.
    """

    def decorate(function: Callable[[S], Outcome]) -> Callable[..., Outcome]:
        @wraps(function)
        def called(**given: object) -> Outcome:
            return function(settings(**given))  # type: ignore[arg-type]

        # Without `__wrapped__`, which `inspect` would follow to the function of one argument.
        del called.__wrapped__
        hints = get_type_hints(settings, include_extras=True)
        parameters = arguments(settings)
        called.__annotations__ = {name: hints[name] for name in parameters} | {"return": Outcome}
        called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [_parameter(field, hints[name]) for name, field in parameters.items()],
            return_annotation=Outcome,
        )
        return called

    return decorate


def arguments(settings: type[Settings]) -> dict[str, "Field[object]"]:
    """The fields of settings by name, in the order in which a help text names them."""
    every = {field.name: field for field in fields(settings)}
    middle = [name for name in every if name not in (*FIRST, *LAST)]
    order = [*FIRST, *middle, *LAST]
    return {name: every[name] for name in order if name in every}


def flag(name: str) -> str:
    """A setting as the command line writes it.

    >>> flag("batch_tokens")
    '--batch-tokens'
    """
    return "--" + name.replace("_", "-")


def _parameter(field: "Field[object]", hint: object) -> inspect.Parameter:
    default = inspect.Parameter.empty if field.default is MISSING else field.default
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(field.name, kind, default=default, annotation=hint)


def _said(name: str, value: object) -> Iterator[str]:
    """The words of the command line that give a setting its value; none for what is not set."""
    if value is True:
        yield flag(name)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from (flag(name), str(item))
    elif value is not None and value is not False:
        yield from (flag(name), str(value))
