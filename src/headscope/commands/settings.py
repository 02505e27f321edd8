"""What the commands are asked: frozen settings that check themselves, and the commands they make.

The fields of a command's settings are its arguments, in Python and on the command line; their types
carry the help texts (`options`).
"""

import inspect
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, ClassVar, TypeVar, get_args, get_type_hints

from headscope.commands import engine_options, options
from headscope.commands.checks import ArgumentError, Range, checked, located
from headscope.commands.outcome import Outcome
from headscope.errors import HeadscopeError, unknown
from headscope.scratch import was_in_memory

_COUNT = Range(1, 10**9)
RANGES: Mapping[str, Range] = {
    "epochs": Range(1, 10**6),
    "batch_size": Range(1, 10**6),
    "batch_tokens": _COUNT,
    "max_length": Range(1, 10**6),
    "examples": _COUNT,
    "train_examples": _COUNT,
    "search_examples": Range(0, 10**9),
    "seeds": Range(1, 1000),
    "workers": Range(1, 1000),
    "gpus_per_item": Range(0, 1000, unit="GPUs"),
    "count": Range(1, 10**5),
    "number": Range(1, 10**6),
    # What every generator of random numbers takes.
    "seed": Range(0, 2**32 - 1),
    # A weight moves by the rate at every step: by more than 1 it never comes to rest.
    "lr": Range(0, 1, above=True),
    "finetune": Range(0, 100),
    "within": Range(0, 1, above=True),
    "memory": Range(0, 10**6, above=True, unit="GiB"),
    "port": Range(0, 65535),
}
"""The values that settings may have; None, where a field takes it, stands for no limit."""
NAMES_OR_FOLDERS = ("model", "beside", "before", "after", "task")
"""Settings that are a name or a path: a Path is taken, and `~` is the home folder."""
_UNSAID = ("quiet", "overwrite")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every command can be asked.

    Raises:
        HeadscopeError: A setting is of another type than its field, or out of its range.
    """

    command: ClassVar[str] = ""
    unnamed: ClassVar[str] = ""
    """The setting that takes what stands on the command line without a name."""
    in_order: ClassVar[tuple[str, ...]] = ()
    """Settings that stand on the command line without a name, in this order."""

    quiet: options.Quiet = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = _checked(type(self), field.name, getattr(self, field.name))
            # The settings are frozen from here on.
            object.__setattr__(self, field.name, value)

    def without_effect(self, names: Sequence[str], why: str) -> tuple[str, ...]:
        """A note on those of some settings that were given and change nothing, and why."""
        defaults = {field.name: field.default for field in fields(self)}
        given = [flag(name) for name in names if getattr(self, name) != defaults[name]]
        return (f"{', '.join(given)} changed nothing: {why}",) if given else ()

    def command_line(self) -> str:
        """The command line that repeats the run; after a remark where no line does."""
        words = ["headscope", self.command]
        in_memory = []
        unnamed = list(getattr(self, self.unnamed)) if self.unnamed else []
        for name, field in arguments(type(self)).items():
            if name not in (*_UNSAID, self.unnamed):
                words.extend(_said(field, getattr(self, name)))
            if name in (*NAMES_OR_FOLDERS, "text") and was_in_memory(getattr(self, name)):
                in_memory.append(name)
        if unnamed:
            # Behind these two hyphens nothing is read as an option.
            words += ["--", *unnamed]
        line = shlex.join(words)
        if in_memory:
            return f"{line}  # not to be repeated as it is: {', '.join(in_memory)} was in memory"
        return line


@dataclass(frozen=True, kw_only=True)
class EngineSettings(Settings):
    """What a command can be asked that others can share the work of."""

    engine: engine_options.Engine = "local"
    workers: engine_options.Workers = 1
    gpus_per_item: engine_options.GpusPerItem = None


@dataclass(frozen=True, kw_only=True)
class RunSettings(Settings):
    """What every command can be asked that runs a model over examples and writes a run folder."""

    out: options.Out
    examples: options.Examples = None
    seed: options.Seed = 0
    precision: options.Precision = "auto"
    max_length: options.MaxLength = 128
    batch_tokens: options.BatchTokens = None
    overwrite: options.Overwrite = False


@dataclass(frozen=True, kw_only=True)
class TextSettings(RunSettings):
    """A run over texts: which of a table's columns they are."""

    columns: options.TextColumns = None

    @property
    def named_columns(self) -> tuple[str, ...] | None:
        """The text columns that were named; None where they are to be guessed."""
        return (self.columns,) if isinstance(self.columns, str) else self.columns


@dataclass(frozen=True, kw_only=True)
class DataSettings(TextSettings):
    """A run over examples: where they are, and which of a table's columns."""

    data: options.DataDir = None
    label: options.LabelColumn = None


@dataclass(frozen=True, kw_only=True)
class TaskSettings(DataSettings):
    """A run over the examples of a task."""

    task: options.TaskName

    def on_task(self) -> list[str]:
        """The words of a command line that name the task, its columns and where its data are."""
        words: list[str] = []
        for name in ("task", "columns", "label", "group", "data", "kind"):
            if name in arguments(type(self)):
                words += _said(arguments(type(self))[name], getattr(self, name))
        return words


def training_line(asked: TaskSettings, model: str) -> str:
    """The command line that fine-tunes a model on the task that was asked for."""
    words = ["headscope", "finetune", "--model", model, *asked.on_task(), "--out", "CKPT"]
    return shlex.join(words)


@dataclass(frozen=True, kw_only=True)
class HeadSettings(TaskSettings):
    """A run that scores a model: its head for texts or for tokens, or something else."""

    kind: options.Kind = None
    group: options.GroupColumn = None


@dataclass(frozen=True, kw_only=True)
class KindSettings(HeadSettings):
    """A run that scores a model's head, or the vectors of an embedder."""

    pool: options.Pooling = None
    prompt: options.Prompt = None


@dataclass(frozen=True, kw_only=True)
class WordSource:
    """Who says what the words of a text are."""

    words: options.WordsFrom = "auto"
    language: options.Language = "en"


@dataclass(frozen=True, kw_only=True)
class MeasureSettings(DataSettings, WordSource):
    """A run that measures heads, on the examples of a task or on texts without labels.

    Raises:
        HeadscopeError: There is neither a task nor a text, or both, or what is of the other.
    """

    task: options.AnyTask = None
    text: options.TextFile = None
    measures: options.Measures = "all"
    faithful: options.Faithful = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_either(self.task, self.text, {"--data": self.data, "--label": self.label})


def check_either(task: str | None, text: Path | None, of_task: Mapping[str, object]) -> None:
    """Check that a task or a text is given.

    Args:
        task: The task.
        text: The file of texts.
        of_task: Options that are of a task alone, by name.

    Raises:
        HeadscopeError: Neither is given, or both, or with texts an option of a task.
    """
    if (task is None) == (text is None):
        got = "neither" if text is None else "both"
        raise HeadscopeError(
            "give --task for examples with labels, or --text FILE for texts without: they exclude "
            f"each other, got {got}"
        )
    given = [name for name, value in of_task.items() if value is not None]
    if text is not None and given:
        raise HeadscopeError(
            f"{' and '.join(given)} cannot be given with --text, whose texts have no labels and "
            "are in one file: leave it out, or give --task"
        )


S = TypeVar("S", bound=Settings)
R = TypeVar("R", bound=Outcome | None)

FIRST = (
    "texts",
    "model",
    "before",
    "after",
    "task",
    "text",
    "corpus",
    "out",
    "data",
    "columns",
    "label",
)
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


def command(settings: type[S]) -> Callable[[Callable[[S], R]], Callable[..., R]]:
    """Make a command of a function that takes settings.

    Args:
        settings: A dataclass; its fields become the command's keyword arguments.

    Returns:
        A decorator. What it returns is called with keyword arguments, and has their signature.
    """

    def decorate(function: Callable[[S], R]) -> Callable[..., R]:
        @wraps(function)
        def called(*unnamed: object, **given: object) -> R:
            if settings.unnamed and unnamed:
                given = {settings.unnamed: unnamed, **given}
                unnamed = ()
            elif settings.in_order:
                # What is left over is refused.
                given = {**dict(zip(settings.in_order, unnamed, strict=False)), **given}
                unnamed = unnamed[len(settings.in_order) :]
            check_names(function.__name__, settings, unnamed, given)
            return function(made(settings, given))

        called.settings = settings  # type: ignore[attr-defined]
        # Without `__wrapped__`, which `inspect` would follow to the function of one argument.
        del called.__wrapped__
        written = get_type_hints(settings, include_extras=True)
        parameters = arguments(settings)
        hints = {name: options.as_written(written[name]) for name in parameters}
        if settings.unnamed:
            hints[settings.unnamed] = _of_one(written[settings.unnamed])
        called.__annotations__ = {**hints, "return": Outcome}
        called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [_parameter(field, hints[name], settings) for name, field in parameters.items()],
            return_annotation=Outcome,
        )
        return called

    return decorate


def made(settings: type[S], given: Mapping[str, object]) -> S:
    """Settings from what was given, in the types of their fields.

    Raises:
        ArgumentError: A value is of another type, or out of its range.
    """
    asked = {name: _checked(settings, name, value) for name, value in given.items()}
    return settings(**asked)  # type: ignore[arg-type]


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
    # "as" is no name in Python.
    return "--as" if name == "kind" else "--" + name.replace("_", "-")


def _of_one(hint: object) -> object:
    """The type of one of the texts of a tuple, with its help text."""
    return Annotated[str, *get_args(hint)[1:]]


def _parameter(field: "Field[object]", hint: object, settings: type[Settings]) -> inspect.Parameter:
    if field.name == settings.unnamed:
        return inspect.Parameter(field.name, inspect.Parameter.VAR_POSITIONAL, annotation=hint)
    default = inspect.Parameter.empty if field.default is MISSING else field.default
    kind = inspect.Parameter.KEYWORD_ONLY
    if field.name in settings.in_order:
        return inspect.Parameter(
            field.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=hint
        )
    return inspect.Parameter(field.name, kind, default=default, annotation=hint)


def check_names(
    name: str, settings: type[Settings], unnamed: Sequence[object], given: Mapping[str, object]
) -> None:
    """Raises ArgumentError unless the arguments are those of the command."""
    known = arguments(settings)
    if unnamed:
        raise ArgumentError(
            f"{name} takes its arguments by name, as in {name}({next(iter(known))}=...): got "
            f"{len(unnamed)} without a name"
        )
    for argument in given:
        if argument not in known:
            raise ArgumentError(str(unknown(f"argument of {name}", argument, known)))
    needed = [one for one, field in known.items() if field.default is MISSING and one not in given]
    if needed:
        raise ArgumentError(f"{name} needs {' and '.join(needed)}: give {needed[0]}=...")


def _checked(settings: type[Settings], field: str, value: object) -> object:
    """The value of a setting in the type of its field; raises as `checked`."""
    name = flag(field)
    if field in NAMES_OR_FOLDERS and isinstance(value, str | Path):
        value = located(name, str(value))
    return checked(name, value, get_type_hints(settings)[field], RANGES.get(field))


def _said(field: "Field[object]", value: object) -> Iterator[str]:
    """The words of the command line that give a setting its value; none for what is not set."""
    name = flag(field.name)
    if isinstance(value, bool):
        if value:
            yield name
        elif field.default is True:
            yield "--no-" + name.removeprefix("--")
    elif value is not None:
        for item in value if isinstance(value, list | tuple) else (value,):
            # A value that begins with a hyphen would be read as an option of its own.
            if str(item).startswith("-") or not str(item):
                yield f"{name}={item}"
            else:
                yield from (name, str(item))
