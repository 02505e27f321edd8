"""`headscope list`: what can be named, with a short meaning each."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from headscope.errors import unknown

if TYPE_CHECKING:
    from headscope.tasks.base import Task

KINDS: Mapping[str, str] = {
    "tasks": "registered tasks, for --task",
    "measures": "what is measured of every head, for --measures",
    "families": "families of encoders that can be analysed, and those that are refused",
    "tables": "the tables of a run folder, whose columns are in docs/tables.md",
}
"""What can be listed."""
Kind = Literal["tasks", "measures", "families", "tables"]
_LEAST, _WIDEST_NAME = 24, 40


@dataclass(frozen=True)
class Listing:
    """Names with their meanings, as they are printed."""

    meanings: Mapping[str, str]

    def written(self, width: int | None) -> str:
        """A line each, aligned.

        Args:
            width: Meanings are wrapped to so many columns; None leaves a line to each.
        """
        widest = min(_WIDEST_NAME, max(map(len, self.meanings)))
        lines = []
        for name, meaning in self.meanings.items():
            line = f"{name:{widest}}  {meaning}"
            indent = " " * (widest + 2)
            if width is None:
                lines.append(line)
            else:
                room = max(width, widest + _LEAST)
                lines += textwrap.wrap(line, room, subsequent_indent=indent) or [name]
        return "".join(f"{line}\n" for line in lines)


def list_names(
    kind: Annotated[Kind | None, Parameter(help="What to list; left out, what there is.")] = None,
    /,
) -> Listing:
    """List the tasks, measures, families or tables that headscope knows, plug-ins included.

    For example:
    headscope list measures
    headscope list tables
    """
    return Listing(KINDS if kind is None else known(kind))


def known(kind: str) -> dict[str, str]:
    """What headscope knows of a kind, plug-ins included: names, with a short meaning each.

        >>> known("tasks")["mrpc"]
        'pairs of texts, 2 classes (not_equivalent, equivalent); accuracy, F1'

    Args:
        kind: "tasks", "measures", "families" or "tables".

    Raises:
        HeadscopeError: There is no such kind.
    """
    makers = {
        "tasks": _tasks,
        "measures": _measures,
        "families": _families,
        "tables": _tables,
    }
    if kind not in makers:
        raise unknown("kind of names", str(kind), makers)
    return makers[kind]()


def _tasks() -> dict[str, str]:
    from headscope.tasks import TASKS

    return {name: _meaning(TASKS.get(name)) for name in TASKS.names()}


def _meaning(task: Task) -> str:
    """What a task is, in a few words."""
    from headscope.figures.style import label

    texts = "pairs of texts" if len(task.columns) == 2 else "texts"
    low, high = task.limits
    labels = f"a score from {low:g} to {high:g}"
    if task.labels:
        labels = f"{len(task.labels)} classes ({', '.join(task.labels)})"
    metrics = ", ".join(map(label, task.metrics))
    source = "; makes its own data" if task.generate is not None else ""
    return f"{texts}, {labels}; {metrics}{source}"


def _measures() -> dict[str, str]:
    from headscope.measures import definition
    from headscope.measures import known as measures
    from headscope.measures.comparison import COSINE

    return {name: _short(definition(name)) for name in (*measures(), COSINE)}


def _short(text: str) -> str:
    """The first clause of a text."""
    first = re.split(r"(?<!\.)\. |; | \((?:paper|\w+ et al)", text)[0]
    return first.rstrip(".")


def _families() -> dict[str, str]:
    from headscope.model.families import FAMILIES, REFUSED

    meanings = {}
    for name in FAMILIES.names():
        family = FAMILIES.get(name)
        tapped = " or ".join(tapping.name for tapping in family.tappings)
        meanings[name] = f"watched through {tapped}"
        if family.note:
            meanings[name] += f"; {family.note}"
    refused = {name: f"refused: it {why}" for name, why in REFUSED.items() if name not in meanings}
    return {**meanings, **refused}


def _tables() -> dict[str, str]:
    from headscope.results.tables import TABLES

    return {name: _short(table.meaning) for name, table in TABLES.items()}
