"""headscope: what every attention head of a BERT-like encoder does, and whether the task needs it.

`headscope.load(name_or_dir)` gives a model whose heads can be observed and disabled; `study`, `finetune`, `measure`,
`disable` and `report` are the commands of the same names. Everything is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headscope import patterns
    from headscope.axes import Head
    from headscope.commands import annotate, compare, disable, finetune, measure, report, study
    from headscope.errors import HeadscopeError
    from headscope.models import Model, load
    from headscope.relating import relations
    from headscope.replication import paper

__all__ = [
    "Head", "HeadscopeError", "Model", "annotate", "compare", "disable", "finetune", "load", "measure", "paper",
    "patterns", "relations", "report", "study",
]  # fmt: skip

_HOME = {
    "Head": "axes",
    "HeadscopeError": "errors",
    "Model": "models",
    "load": "models",
    "paper": "replication",
    "relations": "relating",
    **dict.fromkeys(("annotate", "compare", "disable", "finetune", "measure", "report", "study"), "commands"),
}


def __getattr__(name: str) -> Any:
    if name == "patterns":
        return import_module("headscope.patterns")
    if name not in _HOME:
        raise AttributeError(f"module 'headscope' has no attribute {name!r}")
    return getattr(import_module(f"headscope.{_HOME[name]}"), name)
