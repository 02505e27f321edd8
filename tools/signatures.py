"""Write src/headscope/functions.pyi from the commands' settings: python tools/signatures.py.

An editor learns from it what each function takes, and shows the docstring that `help` shows.
"""

import inspect
import re
import textwrap
from pathlib import Path

from headscope import functions
from headscope.commands.python import PLAN

STUB = Path(functions.__file__).with_suffix(".pyi")
HEAD = '''"""The signatures of the commands as functions; written by tools/signatures.py."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, overload

from transformers import PreTrainedTokenizerBase

from headscope.commands.given import HeadsLike, ModelLike, TaskLike
from headscope.commands.outcome import Outcome
from headscope.model.texts import Texts
from headscope.names import StyleName
from headscope.runs import Page, Run
'''
NAMES = (
    *("study", "finetune", "measure", "compare", "relations", "disable", "prune", "paper"),
    *("run_item", "gather", "annotate"),
)
REPORT = """def report(
    *runs: str | Path | Run | Sequence[str | Path | Run],
    out: str | Path | None = None,
    figures: str | Path | None = None,
    style: StyleName = "plain",
    heads: HeadsLike | None = None,
    example: int | None = None,
    quiet: bool = False,
) -> Page:
"""


def stub() -> str:
    """The whole file."""
    parts = [HEAD, *map(_function, NAMES), _with_docstring(REPORT, functions.report.__doc__ or "")]
    return "\n".join(parts)


def _function(name: str) -> str:
    function = getattr(functions, name)
    signature = inspect.signature(function)
    if PLAN not in signature.parameters:
        return _with_docstring(_head(name, signature), function.__doc__)
    # What is only planned is no run yet.
    planned = signature.parameters[PLAN].replace(
        annotation="Literal[True]", default=inspect.Parameter.empty
    )
    parameters = [planned if one.name == PLAN else one for one in signature.parameters.values()]
    of_plan = signature.replace(parameters=parameters, return_annotation="Outcome")
    run = signature.parameters[PLAN].replace(annotation="Literal[False]")
    parameters = [run if one.name == PLAN else one for one in signature.parameters.values()]
    of_run = signature.replace(parameters=parameters)
    heads = [f"@overload\n{_head(name, one)}" for one in (of_run, of_plan)]
    return "\n".join(_with_docstring(head, function.__doc__) for head in heads)


def _head(name: str, signature: inspect.Signature) -> str:
    lines = [f"def {name}(", "    *,"]
    for parameter in signature.parameters.values():
        lines.append(f"    {_parameter(parameter)},")
    lines.append(f") -> {signature.return_annotation}:\n")
    return "\n".join(lines)


def _parameter(parameter: inspect.Parameter) -> str:
    annotation = parameter.annotation.replace("'", '"')
    # What may be left out says so once.
    annotation = re.sub(r"Optional\[(.+)\] \| None$", r"\1 | None", annotation)
    if parameter.default is inspect.Parameter.empty:
        return f"{parameter.name}: {annotation}"
    default = parameter.default
    written = repr(default).replace("'", '"')
    return f"{parameter.name}: {annotation} = {written}"


def _with_docstring(head: str, docstring: str) -> str:
    text = textwrap.indent(inspect.cleandoc(docstring), "    ").lstrip()
    return f'{head}    """{text}\n    """\n'


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
