"""Published numbers to hold results against, each with its source: `paper.json`, read once.

`reference("scores")` gives a table as it was published, with its `source` in words; numbers are of
bert-base-uncased and comparable with another model only where the report says so.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from headscope.errors import unknown

FRAME_HEADS = 2
"""So many heads carry frame-semantic relations, says the paper (section 4.2): those of the highest
scores are looked at, and disabled together.
"""


@cache
def _all() -> dict[str, Any]:
    text = files("headscope.reference").joinpath("paper.json").read_text(encoding="utf-8")
    read: dict[str, Any] = json.loads(text)
    return read


def reference(name: str) -> dict[str, Any]:
    """One table of published numbers, in the shape in which it was published.

    Raises:
        HeadscopeError: No such table is known.
    """
    tables = _all()
    if name not in tables or name == "sources":
        raise unknown("table of published numbers", name, [t for t in tables if t != "sources"])
    table: dict[str, Any] = dict(tables[name])
    if "source" in table:
        table["source"] = tables["sources"][table["source"]]
    return table


def paper_metric(metric: str) -> str:
    """What the paper calls a metric.

    >>> paper_metric("spearman"), paper_metric("f1")
    ('correlation', 'f1')
    """
    return "correlation" if metric in ("spearman", "pearson") else metric


def paper_score(configuration: str, task: str, metric: str) -> float | None:
    """A score of table 1; None where the paper has none.

    >>> paper_score("pretrained + fine-tuned", "mrpc", "accuracy")
    82.3
    """
    of_task = reference("scores").get(configuration, {}).get(task, {})
    score = of_task.get(paper_metric(metric))
    return None if score is None else float(score)


def claims() -> dict[str, str]:
    """The paper's claims, C1 to C6, in a sentence each."""
    return dict(_all()["claims"])
