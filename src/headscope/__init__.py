"""headscope: what every attention head of a BERT-like encoder does, and whether the task needs it.

`headscope.load(name_or_dir)` gives a model whose heads can be observed and disabled,
`headscope.open_run(dir)` the tables of a run; `study`, `finetune`, `measure`, `disable` and
`report` are the commands of the same names. Everything is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headscope import patterns
    from headscope.axes import Head
    from headscope.commands.alike import alike
    from headscope.commands.annotate import annotate
    from headscope.commands.compare import compare
    from headscope.commands.disable import disable
    from headscope.commands.finetune import finetune
    from headscope.commands.measure import measure
    from headscope.commands.prune import prune
    from headscope.commands.relations import relations
    from headscope.commands.report import report
    from headscope.commands.study import study
    from headscope.errors import HeadscopeError
    from headscope.model.loading import load
    from headscope.model.model import Model
    from headscope.replication.run import paper
    from headscope.results.saved import SavedRun, open_run

__all__ = [
    "Head",
    "HeadscopeError",
    "Model",
    "SavedRun",
    "alike",
    "annotate",
    "compare",
    "disable",
    "finetune",
    "load",
    "measure",
    "open_run",
    "paper",
    "patterns",
    "prune",
    "relations",
    "report",
    "study",
]

_COMMANDS = (
    "annotate",
    "compare",
    "disable",
    "finetune",
    "measure",
    "prune",
    "relations",
    "report",
    "study",
)
_HOME = {
    "Head": "axes",
    "HeadscopeError": "errors",
    "Model": "model.model",
    "SavedRun": "results.saved",
    "alike": "commands.alike",
    "load": "model.loading",
    "open_run": "results.saved",
    "paper": "replication.run",
    **{name: f"commands.{name}" for name in _COMMANDS},
}


def __getattr__(name: str) -> Any:
    if name == "patterns":
        return import_module("headscope.patterns")
    if name not in _HOME:
        raise AttributeError(f"module 'headscope' has no attribute {name!r}")
    return getattr(import_module(f"headscope.{_HOME[name]}"), name)
