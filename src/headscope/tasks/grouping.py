"""Which examples of a task are not independent: those that `--group` says belong together."""

from collections import Counter
from dataclasses import replace

from headscope.examples import Split
from headscope.stats.groups import Groups
from headscope.stats.means import FEWEST
from headscope.stats.metrics import METRICS
from headscope.stats.queries import judged
from headscope.tasks.base import Task

_FEW = 0.2
"""The share of pairs with a text of others up to which nothing is said."""


def groups_of(split: Split) -> Groups | None:
    """The groups of examples; None where each is a case of its own."""
    if split.groups is None:
        return None
    groups = Groups.of(split.groups)
    return None if len(groups) == len(split) else groups


def of_queries(task: Task, split: Split) -> Task:
    """The task of pairs of two classes, with the metrics of queries where its groups are queries:
    the pairs of a group share one text, the query, and some group has pairs of both classes.

    Args:
        task: Pairs whose cosines are scored.
        split: The pairs that are scored.
    """
    groups = groups_of(split)
    if groups is None or METRICS[task.metrics[0]].ranking is None or split.second is None:
        return task
    shares_one = False
    for texts in (split.first, split.second):
        different = len(set(zip(split.groups or (), texts, strict=True)))
        shares_one |= different == len(groups)
    if not shares_one or not judged(split.labels, groups).any():
        return task
    return replace(task, metrics=("mean_average_precision", "ndcg_at_10", *task.metrics))


def _queries_note(task: Task, split: Split, groups: Groups) -> tuple[str, ...]:
    """How many queries are scored by themselves, where any are."""
    if METRICS[task.metrics[0]].of_queries is None:
        return ()
    scored = int(judged(split.labels, groups).sum())
    return (
        f"the groups of {task.group} are queries, whose documents are ranked by their cosines: MAP "
        f"and nDCG@10 are means over the {scored} of {len(groups)} that have pairs of both "
        "classes, and their n is that number",
    )


def group_notes(task: Task, split: Split) -> tuple[str, ...]:
    """What the user must know of the groups of the examples that are scored.

    Args:
        task: Its column of groups is named; without one, pairs that share a text are looked for.
        split: The examples.
    """
    if not task.group:
        return _shared_note(task, split)
    groups = groups_of(split)
    if groups is None:
        return (
            f"--group {task.group} changes nothing: no two of the {len(split)} examples have the "
            "same value there, so tests and intervals take examples",
        )
    note = (
        f"--group {task.group}: the {len(split)} examples are of {len(groups)} groups of 1 to "
        f"{groups.sizes.max()}; tests and intervals take groups as the independent cases, and n "
        "counts examples"
    )
    if len(groups) < FEWEST:
        note += f"; of fewer than {FEWEST} groups no interval can be told"
    return (note, *_queries_note(task, split, groups))


def _shared_note(task: Task, split: Split) -> tuple[str, ...]:
    """A note that pairs share texts, as rows of one query do; none where few do."""
    if split.second is None:
        return ()
    pairs = list(zip(split.first, split.second, strict=True))
    # Of how many pairs a text is, each counted once.
    of_pairs = Counter(text for pair in pairs for text in {*pair})
    shares = sum(any(of_pairs[text] > 1 for text in pair) for pair in pairs)
    if shares <= _FEW * len(pairs):
        return ()
    # The column in which texts come again most.
    columns = dict(zip(task.columns, (split.first, split.second), strict=True))
    column = min(columns, key=lambda name: len({*columns[name]}))
    return (
        f"{shares} of the {len(pairs)} pairs have a text that is in other pairs too, as those of "
        "one query do: intervals and tests take pairs as independent, and say too much where they "
        f"are not; --group {column} takes those with the same {column} as one case",
    )
