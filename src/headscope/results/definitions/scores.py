"""Tables of scores: how well a model does a task, and which examples the report shows."""

import polars as pl

from headscope.results.schema import (
    COUNT,
    INTERVAL,
    MEAN,
    SOURCE,
    TEXT,
    TRUTH,
    UNIT,
    Column,
    Table,
    columns_of,
    count,
    number,
    optional,
    text,
)

METRIC = text("metric", "The metric, such as accuracy.")
CONFIGURATION = text("configuration", "How the weights were initialised and trained.")
MAJORITY = optional(
    number(
        "majority",
        "points",
        "The score of always answering the majority class of the training data; null without "
        "training data and of answers to questions. For an embedder, of cosines that are all the "
        "same.",
    )
)

SCORES = Table(
    name="scores",
    meaning="A row per configuration and metric: the score of the model on the examples.",
    columns=(
        *SOURCE,
        CONFIGURATION,
        METRIC,
        count("seed", "", "The seed of training and resampling."),
        number(
            "value",
            "points",
            "The score: 100 times the metric. Its interval is Wilson's for accuracy and F1, one of "
            "the logit for average precision and ROC AUC, Wilson's with the effective number of "
            "queries for MAP and nDCG, a bootstrap for others, which covers too seldom with few "
            "examples (docs/statistics.md), and none where every resample gives the same score, "
            "nor other ones than Wilson's with fewer than 10 examples (for average precision and "
            "ROC AUC: of either class). Where examples have groups (--group), groups "
            "are its cases, and of fewer than 10 there is none.",
        ),
        *MEAN,
        MAJORITY,
        optional(
            count(
                "answers",
                "answers",
                "How many different answers (classes or scores) there are; null for answers to "
                "questions.",
            )
        ),
        optional(
            number(
                "p_majority",
                "probability",
                "The two-sided p-value of its difference from the majority class (exact McNemar; "
                "where examples have groups, a permutation test); null for another metric than "
                "accuracy.",
            )
        ),
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
        optional(number("paper", "points", "The score that the paper reports, if it does.")),
        optional(
            number("difference", "points", "`value` minus `paper`, for the paper's own model.")
        ),
        text("comparable", "Whether the paper's score is of the same model."),
    ),
    required=SCORES.required,
    commands=("paper",),
)

SEEDS = Table(
    name="seeds",
    meaning="A row per task, configuration and metric: the mean score over several seeds.",
    columns=(
        *columns_of(SCORES, ("model", "task", "configuration", "metric")),
        number(
            "value", "points", "The mean score; its interval speaks for new seeds and new examples."
        ),
        *INTERVAL,
        count("n", "as `of` says", "How many scores the mean is taken over."),
        UNIT,
        text("of", "What `n` counts: seeds."),
        MAJORITY,
    ),
    required=("configuration", "metric", "value"),
    commands=("paper",),
)

EXAMPLE_ROWS = Table(
    name="examples",
    meaning="A row per example whose attention maps the run keeps in `maps.safetensors`.",
    columns=(
        *SOURCE,
        count("example", "number from 0", "The example among those that were scored."),
        optional(
            text(
                "label",
                "The true label, or the score of a regression; the tags of all words that are "
                "scored, or the first true answer to the first question; null for texts alone.",
            )
        ),
        optional(
            text(
                "prediction",
                "The answer of the model, if it has a trained head; of a question how right it is, "
                "where it is another.",
            )
        ),
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
