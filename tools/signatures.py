"""Write src/headscope/functions.pyi from the commands' settings: python tools/signatures.py.

An editor learns from it what each function takes, and shows the docstring that `help` shows.
"""

import inspect
import re
import textwrap
from pathlib import Path

from headscope import functions

STUB = Path(functions.__file__).with_suffix(".pyi")
HEAD = '''"""The signatures of the commands as functions; written by tools/signatures.py."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from transformers import PreTrainedTokenizerBase

from headscope.commands.given import HeadsLike, ModelLike, TaskLike
from headscope.commands.outcome import Outcome
from headscope.model.texts import Texts
from headscope.names import StyleName
from headscope.runs import Page, Run
'''
NAMES = (
    *("study", "finetune", "measure", "compare", "relations", "disable", "prune", "paper"),
    "annotate",
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
    lines = [f"def {name}(", "    *,"]
    for parameter in signature.parameters.values():
        lines.append(f"    {_parameter(parameter)},")
    lines.append(f") -> {signature.return_annotation}:\n")
    return _with_docstring("\n".join(lines), function.__doc__)


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
