"""Functions of Python made from commands: the same arguments, in the types that a person has in
hand, and a run as the result.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field
from typing import TypeVar, get_args, get_origin, get_type_hints

from headscope.commands.given import MODELS, asked_of, heads_spec, report_folders
from headscope.commands.outcome import Outcome
from headscope.commands.settings import Settings, arguments, check_names
from headscope.runs import Page, Run, open_run

T = TypeVar("T")
Command = Callable[..., Outcome]

PLAN = "plan"
"""The argument with which a command only plans its run."""
_TYPES: Mapping[str, str] = {
    **dict.fromkeys(MODELS, "ModelLike"),
    "task": "TaskLike",
    "text": "str | Path | Texts | None",
    "heads": "HeadsLike",
    "out": "str | Path | None",
    "measured": "str | Path | Run | None",
    "columns": "str | Sequence[str] | None",
    "measures": "str | Sequence[str]",
    "tasks": "str | Sequence[str]",
    "keep": "str | Sequence[float] | None",
    "devices": "str | Sequence[str] | None",
}
"""What these arguments take in Python beside what their settings say."""
_HELP: Mapping[str, str] = {
    **dict.fromkeys(
        MODELS,
        " In Python also a Path, a headscope.Model, a Hugging Face model in memory (with "
        "tokenizer=), a pipeline of transformers, or a run that trained a model.",
    ),
    "task": " In Python also a data frame of polars or pandas, a datasets.Dataset or DatasetDict, "
    "a dictionary of columns or of splits, a list of rows such as ('a text', 1), or (texts, "
    "labels).",
    "text": " In Python also a list of texts, or of pairs of texts in tuples.",
    "heads": " In Python also a head or a list of heads, which are disabled together, or a list of "
    "such lists, each in turn.",
    PLAN: " In Python it returns what the command says, an Outcome.",
    "out": " In Python a temporary folder where it is left out, kept until the process ends.",
}
_TOKENIZER = "The tokenizer of a Hugging Face model in memory; left out for other models."


def run_function(command: Command, folder: str = "out") -> Callable[..., Run | Outcome]:
    """A function that runs a command and opens the run that it wrote.

    Args:
        command: The command; where it only plans a run, the function returns what it says.
        folder: The argument that is the folder of the run.
    """
    settings = _settings(command)

    def called(*unnamed: object, **given: object) -> Run | Outcome:
        asked = _asked(command, settings, unnamed, given)
        outcome = command(**asked)
        return outcome if asked.get(PLAN) else open_run(str(asked[folder]))

    return _described(called, command, "Run")


def item_function(command: Command) -> Callable[..., Run]:
    """A function that runs a command on one part of a run, and opens the folder of that part."""
    settings = _settings(command)

    def called(*unnamed: object, **given: object) -> Run:
        outcome = command(**_asked(command, settings, unnamed, given))
        return open_run(str(outcome.path))

    return _described(called, command, "Run")


def function(command: Command) -> Command:
    """A function that runs a command which writes no run, and returns what it says."""
    settings = _settings(command)

    def called(*unnamed: object, **given: object) -> Outcome:
        return command(**_asked(command, settings, unnamed, given))

    return _described(called, command, "Outcome")


def report_function(command: Command) -> Callable[..., Page]:
    """The function `report`: it takes runs or their folders, and returns the page."""

    def called(*runs: object, **given: object) -> Page:
        if given.get("heads") is not None:
            given["heads"] = heads_spec(given["heads"])
        outcome = command(*report_folders(runs), **given)
        return Page(outcome.path, outcome.report)

    called.__name__ = called.__qualname__ = command.__name__
    called.__doc__ = REPORT
    called.__annotations__ = {**command.__annotations__, "return": "Page"}
    called.__signature__ = inspect.signature(command)  # type: ignore[attr-defined]
    return called


REPORT = """Build one offline HTML file from runs, or with `figures` figures as files.

    >>> headscope.report(run, out="demo.html")
    >>> headscope.report(run, figures="figures", style="acl", heads=["L3H1", "L7H6"])

    Args:
        runs: Runs or their folders, one or several.
        out: The HTML file to write; report.html by default.
        figures: Write the figures for a paper or for slides there, as SVG, PDF and CSV, with
            captions; no page without `out`.
        style: plain: as on the page; acl: the widths and the font of ACL's style, without titles;
            slides: large letters and thick lines for a slide of 16:9, as PNG too.
        heads: With `figures`: draw the maps of these heads side by side.
        example: Of which example, by its number in the table `examples`; by default the shortest
            that the run keeps.
        quiet: Show no progress.

    Returns:
        The page, which a notebook shows; its path is `path`.

    Raises:
        HeadscopeError: A folder holds no run, or not the heads or the example that are asked for.
    """


def signature(command: Command, returned: str) -> inspect.Signature:
    """The signature of a command's function; its annotations are texts."""
    settings = _settings(command)
    hints = get_type_hints(settings)
    parameters = []
    for name, field in arguments(settings).items():
        annotation = _TYPES.get(name, _written(hints[name]))
        default = _default(command, field)
        if default is None and "None" not in annotation:
            annotation += " | None"
        parameters.append(_parameter(name, default, annotation))
        if name == _last_model(settings):
            hint = "PreTrainedTokenizerBase | None"
            parameters.append(_parameter("tokenizer", None, hint))
    return inspect.Signature(parameters, return_annotation=returned)


def docstring(command: Command, returned: str) -> str:
    """The docstring of a command's function: what the command says, and every argument."""
    settings = _settings(command)
    hints = get_type_hints(settings, include_extras=True)
    lines = [inspect.cleandoc(command.__doc__ or ""), "", "Args:"]
    for name in arguments(settings):
        lines += _entry(name, f"{_help(hints[name])}{_HELP.get(name, '')}")
        if name == _last_model(settings):
            lines += _entry("tokenizer", _TOKENIZER)
    what = {
        "Run": "The run: `table(name)` is a data frame, `figure(name)` a chart, `report()` a page.",
        "Outcome": "Where the results are, and what they say.",
    }
    lines += ["", "Returns:", f"    {what[returned]}", "", "Raises:"]
    lines.append("    HeadscopeError: Something is wrong that you can mend: the message says how.")
    return "\n".join(lines)


def _entry(name: str, text: str) -> list[str]:
    """An argument in the lines of a docstring."""
    return textwrap.wrap(f"{name}: {text}", 92, initial_indent=" " * 4, subsequent_indent=" " * 8)


def _described(called: Callable[..., T], command: Command, returned: str) -> Callable[..., T]:
    described = signature(command, returned)
    called.__name__ = called.__qualname__ = command.__name__
    called.__doc__ = docstring(command, returned)
    hints = {name: of.annotation for name, of in described.parameters.items()}
    called.__annotations__ = {**hints, "return": returned}
    called.__signature__ = described  # type: ignore[attr-defined]
    return called


def _settings(command: Command) -> type[Settings]:
    settings: type[Settings] = command.settings  # type: ignore[attr-defined]
    return settings


def _asked(
    command: Command,
    settings: type[Settings],
    unnamed: tuple[object, ...],
    given: dict[str, object],
) -> dict[str, object]:
    names = arguments(settings)
    extra = {"tokenizer"} if _last_model(settings) else set()
    if "out" in names and command.__name__ != "annotate":
        extra.add("out")
    checked = {name: value for name, value in given.items() if name not in extra}
    if "out" in extra:
        checked["out"] = ""
    check_names(command.__name__, settings, unnamed, checked)
    return asked_of(command.__name__, names, given)


def _last_model(settings: type[Settings]) -> str:
    """The argument after which `tokenizer` stands; "" where no argument is a model."""
    models = [name for name in arguments(settings) if name in MODELS]
    return models[-1] if models else ""


def _parameter(name: str, default: object, annotation: str) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _default(command: Command, field: Field[object]) -> object:
    if field.name == "out" and command.__name__ != "annotate":
        return None
    return inspect.Parameter.empty if field.default is MISSING else field.default


def _written(hint: object) -> str:
    """A type as a stub writes it."""
    if get_origin(hint) is not None or get_args(hint):
        return (
            str(hint)
            .replace("typing.", "")
            .replace("pathlib.", "")
            .replace("Path |", "str | Path |")
        )
    name = getattr(hint, "__name__", str(hint))
    return "str | Path" if name == "Path" else name


def _help(hint: object) -> str:
    """The help text of an argument."""
    (parameter, *_) = get_args(hint)[1:]
    return str(parameter.help)
