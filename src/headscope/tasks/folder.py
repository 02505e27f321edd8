"""A task of the user's own: a folder with `task.toml`, a train file and a validation file.

```toml
columns = ["question", "answer"]   # one or two text columns
label = "label"                    # the label column; this is the default
labels = ["wrong", "right"]        # classes in the order of their indices; none for a regression
limits = [0, 1]                    # the lowest and highest score of a regression
metrics = ["accuracy", "f1"]       # the headline first; a default if left out
```
"""

import tomllib
from pathlib import Path

from headscope.errors import HeadscopeError, reason, unknown
from headscope.stats.metrics import metric_named
from headscope.tasks.base import Task

DEFINITION = "task.toml"
"""The file of a folder that says what its task is."""
_LONGEST = 200
"""The longest name of a task, in bytes."""
_KEYS = ("name", "columns", "label", "labels", "limits", "metrics")


def read_task(folder: Path) -> Task:
    """The task that `folder/task.toml` describes.

    Raises:
        HeadscopeError: There is no such file, or a key of it is wrong; the message names the key.
    """
    path = folder / DEFINITION
    content = _content(path)
    columns = _names(path, "columns", content.get("columns", []))
    if len(columns) not in (1, 2):
        raise HeadscopeError(
            f"{path}: columns must name one or two text columns, got {len(columns)}"
        )
    label = _name(path, "label", content.get("label", "label"))
    if len({*columns, label}) <= len(columns):
        raise HeadscopeError(
            f"{path}: a column can be only one of the texts or the label, got "
            f"{', '.join((*columns, label))}"
        )
    labels = _names(path, "labels", content.get("labels", []))
    if labels and "limits" in content:
        raise HeadscopeError(
            f"{path}: labels are for classes and limits for a regression: keep one of the two"
        )
    limits = (0.0, 0.0) if labels else _limits(path, content.get("limits"))
    if len(set(labels)) != len(labels) or len(labels) == 1:
        raise HeadscopeError(
            f"{path}: labels must name at least two different classes, got {', '.join(labels)}"
        )
    metrics = _names(path, "metrics", content.get("metrics", []))
    if not metrics:
        metrics = ("accuracy",) if labels else ("spearman", "pearson")
    _check_metrics(path, metrics, len(labels))
    return Task(
        name=_name(path, "name", content.get("name", folder.resolve().name)),
        columns=columns,
        labels=labels,
        metrics=metrics,
        label=label,
        limits=limits,
        folder=folder,
    )


def _content(path: Path) -> dict[str, object]:
    if not path.is_file():
        raise HeadscopeError(
            f"{path.parent} has no task.toml: write one that names columns, labels and metrics "
            "(see docs/tasks.md), or give the name of a registered task"
        )
    try:
        # Editors on Windows put a byte order mark in front.
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise HeadscopeError(
            f"{path} is not valid TOML: {reason(error)}; TOML is text in UTF-8"
        ) from error
    for key in content:
        if key not in _KEYS:
            raise unknown(f"key in {path}:", key, _KEYS)
    return content


def _name(path: Path, key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise HeadscopeError(f"{path}: {key} must be a name, got {value!r}")
    # A task's name becomes the name of a folder.
    is_long = len(value.encode(errors="replace")) > _LONGEST
    if key == "name" and (value in (".", "..") or set(value) & set("/\\\0") or is_long):
        raise HeadscopeError(f"{path}: name must be one that a folder can have, got {value[:60]!r}")
    return value


def _names(path: Path, key: str, values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(v, str) and v for v in values):
        raise HeadscopeError(f"{path}: {key} must be a list of names, got {values!r}")
    return tuple(values)


def _limits(path: Path, values: object) -> tuple[float, float]:
    match values:
        case [int() | float() as low, int() | float() as high] if low < high:
            return float(low), float(high)
    raise HeadscopeError(
        f"{path}: give labels = [...] for classes, or limits = [lowest, highest] for a regression"
    )


def _check_metrics(path: Path, metrics: tuple[str, ...], classes: int) -> None:
    if len(set(metrics)) != len(metrics):
        raise HeadscopeError(f"{path}: a metric stands twice in {', '.join(metrics)}: remove one")
    for name in metrics:
        metric = metric_named(name)
        is_of_others = (
            metric.of_tokens or metric.ranking is not None or metric.of_queries is not None
        )
        if is_of_others or metric.regression == bool(classes):
            raise HeadscopeError(f"{path}: the metric {name} does not fit: it is for {metric.fits}")
    if "f1" in metrics and classes != 2:
        raise HeadscopeError(
            f"{path}: the metric f1 is for two classes, got {classes}: use accuracy or matthews"
        )
