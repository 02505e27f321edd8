"""Tables of scores: how well a model does a task, and which examples the report shows."""

import polars as pl

from headscope.results.schema import (
    AS_UNIT,
    COUNT,
    EXAMPLES,
    HIGH,
    LOW,
    MODEL,
    NUMBER,
    TASK,
    TEXT,
    TRUTH,
    UNIT,
    Column,
    Table,
    columns_of,
)

METRIC = Column("metric", TEXT, "", "The metric, such as accuracy.")
CONFIGURATION = Column("configuration", TEXT, "", "How the model was initialised and trained.")
MAJORITY = Column("majority", NUMBER, "points", "The score of always answering the majority class.")

SCORES = Table(
    name="scores",
    meaning="A row per configuration and metric: the score of the model on the examples.",
    columns=(
        MODEL,
        TASK,
        CONFIGURATION,
        METRIC,
        Column("seed", COUNT, "", "The seed of training and resampling."),
        Column("value", NUMBER, AS_UNIT, "The score, 100 times the metric."),
        LOW,
        HIGH,
        EXAMPLES,
        UNIT,
        MAJORITY,
    ),
    required=("configuration", "metric", "value"),
    commands=("study", "finetune", "disable", "paper"),
    always=("study", "finetune", "disable", "paper"),
    called="the scores",
)

TABLE1 = Table(
    name="table1",
    meaning="A row per score, beside the same score in table 1 of the paper.",
    columns=(
        *SCORES.columns,
        Column("paper", NUMBER, "points", "The score in the paper.", nullable=True),
        Column("difference", NUMBER, "points", "`value` minus `paper`.", nullable=True),
        Column("comparable", TEXT, "", "Whether the paper's score is of the same model."),
    ),
    required=SCORES.required,
    commands=("paper",),
)

SEEDS = Table(
    name="seeds",
    meaning="A row per task, configuration and metric: the mean score over several seeds.",
    columns=(
        *columns_of(SCORES, ("model", "task", "configuration", "metric")),
        Column("value", NUMBER, AS_UNIT, "The mean score, with Student's t interval over seeds."),
        LOW,
        HIGH,
        Column("n", COUNT, "as `of` says", "How many scores the mean is taken over."),
        UNIT,
        Column("of", TEXT, "", "What `n` counts: seeds."),
        MAJORITY,
    ),
    required=("configuration", "metric", "value"),
    commands=("paper",),
)

EXAMPLE_ROWS = Table(
    name="examples",
    meaning="A row per example whose attention maps the run keeps in `maps.safetensors`.",
    columns=(
        MODEL,
        TASK,
        Column("example", COUNT, "number from 0", "The example among those that were scored."),
        Column("label", TEXT, "", "The true label, or the score of a regression."),
        Column("prediction", TEXT, "", "The answer of the model.", nullable=True),
        Column("tokens", pl.List(TEXT), "", "The tokens of the input."),
        Column("segments", pl.List(COUNT), "", "Per token: 0 in the first text, 1 in the second."),
        Column("special", pl.List(TRUTH), "", "Per token: whether it is a special token."),
        Column("words", pl.List(COUNT), "", "Per token: the number of its word, -1 for none."),
    ),
    required=("example", "tokens"),
    commands=("study", "measure", "compare"),
    always=("study",),
    called="the examples",
    hidden=("model", "task"),
)

TABLES = (SCORES, TABLE1, SEEDS, EXAMPLE_ROWS)
