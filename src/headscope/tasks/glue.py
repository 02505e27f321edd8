"""The seven GLUE tasks of the paper: columns, labels, metrics, and the names of their files.

Two layouts are read: the hub's column names (`sentence1`, `label`, ...), and the TSV files of
GLUE's own zip archives with theirs (`#1 String`, `Quality`, ...). Metrics are those of the GLUE
leaderboard; the first is the headline.
"""

from headscope.tasks.base import TASKS, Task

_HUB = "nyu-mll/glue"
_ENTAILMENT = ("entailment", "not_entailment")


GLUE = (
    Task(
        name="mrpc",
        columns=("sentence1", "sentence2"),
        labels=("not_equivalent", "equivalent"),
        metrics=("accuracy", "f1"),
        folders=("MRPC",),
        hub=(_HUB, "mrpc"),
        tsv_columns=("#1 String", "#2 String"),
        tsv_label="Quality",
    ),
    Task(
        name="stsb",
        columns=("sentence1", "sentence2"),
        labels=(),
        limits=(0.0, 5.0),
        metrics=("spearman", "pearson"),
        folders=("STS-B", "sts-b"),
        hub=(_HUB, "stsb"),
        tsv_label="score",
    ),
    Task(
        name="sst2",
        columns=("sentence",),
        labels=("negative", "positive"),
        metrics=("accuracy",),
        folders=("SST-2", "sst-2"),
        hub=(_HUB, "sst2"),
    ),
    Task(
        name="qqp",
        columns=("question1", "question2"),
        labels=("not_duplicate", "duplicate"),
        metrics=("accuracy", "f1"),
        folders=("QQP",),
        hub=(_HUB, "qqp"),
        tsv_label="is_duplicate",
    ),
    Task(
        name="rte",
        columns=("sentence1", "sentence2"),
        labels=_ENTAILMENT,
        metrics=("accuracy",),
        folders=("RTE",),
        hub=(_HUB, "rte"),
    ),
    Task(
        name="qnli",
        columns=("question", "sentence"),
        labels=_ENTAILMENT,
        metrics=("accuracy",),
        folders=("QNLI",),
        hub=(_HUB, "qnli"),
    ),
    Task(
        name="mnli",
        columns=("premise", "hypothesis"),
        labels=("entailment", "neutral", "contradiction"),
        metrics=("accuracy",),
        folders=("MNLI",),
        validation=("validation_matched", "dev_matched", "validation", "dev", "valid"),
        hub=(_HUB, "mnli"),
        tsv_columns=("sentence1", "sentence2"),
        tsv_label="gold_label",
    ),
)

for task in GLUE:
    TASKS.register(task.name)(task)
