"""headscope: what every attention head of a BERT-like encoder does, and whether the task needs it.

`headscope.load(name_or_dir)` gives a model whose heads can be observed and disabled. `study`,
`finetune`, `measure`, `compare`, `relations`, `disable`, `prune`, `paper`, `run_item`, `gather` and
`report` do what the commands of the same names do, and return a run with its tables, figures and
report; `open_run(dir)` opens one again. `head_measures`, `head_effects` and their kin give a data
frame of texts at once; `look` shows what heads attend to in a text, and what a model says without
them.
Everything is imported when it is first used.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headscope import patterns
    from headscope.ablation.scorer import Scorer
    from headscope.axes import Head
    from headscope.commands.alike import alike
    from headscope.commands.listing import known
    from headscope.errors import HeadscopeError
    from headscope.functions import (
        annotate,
        compare,
        disable,
        finetune,
        gather,
        measure,
        paper,
        prune,
        relations,
        report,
        run_item,
        study,
    )
    from headscope.in_memory.attention import head_changes, head_measures, head_patterns
    from headscope.in_memory.effects import head_effects, head_interactions, shapley_values
    from headscope.in_memory.looking import look
    from headscope.model.loading import load
    from headscope.model.model import Model
    from headscope.model.text_maps import TextMaps
    from headscope.results.saved import SavedRun
    from headscope.runs import Page, Run, open_run

__all__ = [
    "Head",
    "HeadscopeError",
    "Model",
    "Page",
    "Run",
    "SavedRun",
    "Scorer",
    "TextMaps",
    "alike",
    "annotate",
    "compare",
    "disable",
    "finetune",
    "gather",
    "head_changes",
    "head_effects",
    "head_interactions",
    "head_measures",
    "head_patterns",
    "known",
    "load",
    "look",
    "measure",
    "open_run",
    "paper",
    "patterns",
    "prune",
    "relations",
    "report",
    "run_item",
    "shapley_values",
    "study",
]

_FUNCTIONS = (
    *("annotate", "compare", "disable", "finetune", "gather", "measure", "paper", "prune"),
    *("relations", "report", "run_item", "study"),
)
_HOME = {
    "Head": "axes",
    "HeadscopeError": "errors",
    "Model": "model.model",
    "Page": "runs",
    "Run": "runs",
    "SavedRun": "results.saved",
    "Scorer": "ablation.scorer",
    "TextMaps": "model.text_maps",
    "alike": "commands.alike",
    "known": "commands.listing",
    "load": "model.loading",
    "look": "in_memory.looking",
    "open_run": "runs",
    **dict.fromkeys(_FUNCTIONS, "functions"),
    **dict.fromkeys(("head_changes", "head_measures", "head_patterns"), "in_memory.attention"),
    **dict.fromkeys(("head_effects", "head_interactions", "shapley_values"), "in_memory.effects"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("headscope")
    if name == "patterns":
        return import_module("headscope.patterns")
    if name not in _HOME:
        raise AttributeError(f"module 'headscope' has no attribute {name!r}")
    return getattr(import_module(f"headscope.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
