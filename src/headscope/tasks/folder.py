"""A task of the user's own: a folder with `task.toml`, a train file and a validation file.

# task.toml columns = ["question", "answer"]      # one or two text columns label = "label"
# default "label" labels = ["wrong", "right"]           # class names in the order of their indices;
none for a regression limits = [0, 1]                       # a regression's lowest and highest
score metrics = ["accuracy", "f1"]          # the first is the headline; default accuracy, or
spearman
"""

import tomllib
from pathlib import Path
from typing import Any

from headscope.errors import HeadscopeError, unknown
from headscope.tasks.base import Task
from headscope.tasks.metrics import METRICS

_KEYS = {"name", "columns", "label", "labels", "limits", "metrics"}


def read_task(folder: Path) -> Task:
    """The task that `folder/task.toml` describes. Raises HeadscopeError that names the key that is
    wrong.
    """
    path = folder / "task.toml"
    if not path.is_file():
        raise HeadscopeError(
            f"{folder} has no task.toml: write one that names columns, labels and metrics "
            "(see docs/tasks.md), or give the name of a registered task"
        )
    try:
        given: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise HeadscopeError(f"{path} is not valid TOML: {error}") from error
    for key in given:
        if key not in _KEYS:
            raise unknown(f"key in {path}:", key, _KEYS)
    columns = _strings(given, "columns", path)
    if len(columns) not in (1, 2):
        raise HeadscopeError(
            f"{path}: columns must name one or two text columns, got {len(columns)}"
        )
    labels = _strings(given, "labels", path)
    limits = given.get("limits", [0.0, 0.0])
    if labels and "limits" in given:
        raise HeadscopeError(
            f"{path}: labels are for classes and limits for a regression: keep one of the two"
        )
    if not labels and not (
        isinstance(limits, list)
        and len(limits) == 2
        and all(isinstance(x, int | float) for x in limits)
        and limits[0] < limits[1]
    ):
        raise HeadscopeError(
            f"{path}: give labels = [...] for classes, or limits = [lowest, highest] for a "
            "regression"
        )
    if len(set(labels)) != len(labels) or len(labels) == 1:
        raise HeadscopeError(
            f"{path}: labels must name at least two different classes, got {', '.join(labels)}"
        )
    metrics = _strings(given, "metrics", path) or (
        ("accuracy",) if labels else ("spearman", "pearson")
    )
    for metric in metrics:
        if metric not in METRICS:
            raise unknown("metric", metric, METRICS)
        if METRICS[metric].regression == bool(labels):
            raise HeadscopeError(
                f"{path}: the metric {metric} does not fit: it is for {METRICS[metric].fits}"
            )
    if "f1" in metrics and len(labels) != 2:
        raise HeadscopeError(
            f"{path}: the metric f1 is for two classes, got {len(labels)}: use accuracy or matthews"
        )
    return Task(
        name=str(given.get("name", folder.resolve().name)),
        columns=columns,
        labels=labels,
        metrics=metrics,
        label=str(given.get("label", "label")),
        limits=(float(limits[0]), float(limits[1])),
        folder=folder,
    )


def _strings(given: dict[str, Any], key: str, path: Path) -> tuple[str, ...]:
    values = given.get(key, [])
    if not isinstance(values, list) or not all(isinstance(v, str) and v for v in values):
        raise HeadscopeError(f"{path}: {key} must be a list of names, got {values!r}")
    return tuple(values)
