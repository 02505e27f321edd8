"""Tables that only `headscope paper` and `headscope annotate` write."""

import polars as pl

from headscope.results.schema import (
    COUNT,
    HEAD,
    LAYER,
    MODEL,
    SOURCE,
    TRUTH,
    Column,
    Table,
    count,
    text,
)

CLAIMS = Table(
    name="claims",
    meaning="A row per claim of the paper, with the verdict of this run.",
    columns=(
        *SOURCE,
        text("claim", "The claim by number, from C1 to C6."),
        text("text", "The claim in a sentence."),
        text(
            "verdict",
            "supported, partly supported, not supported (tested and not shown), contradicted (the "
            "opposite is shown) or not tested (by nothing, or too few data); see docs/claims.md.",
        ),
        text("evidence", "The numbers that the verdict goes by."),
        text("caveat", "What stands against reading more into it."),
    ),
    required=("claim", "verdict"),
    commands=("paper",),
    always=("paper",),
    called="the verdicts on the paper's claims",
)

ANNOTATED = Table(
    name="maps",
    meaning="A row per attention map of an annotated set, which is labelled by looking at it.",
    columns=(
        text("id", "The name of the map; a label refers to it."),
        MODEL,
        text("family", "The pre-trained weights that the model descends from."),
        LAYER,
        HEAD,
        text("source", "The task or treebank that the example is of."),
        count("example", "number from 0", "The example."),
        text("drawn", "How the map was chosen: at random, or as a candidate."),
        Column("special", pl.List(TRUTH), "", "Per token: whether it is a special token."),
        Column("segments", pl.List(COUNT), "", "Per token: 0 in the first text, 1 in the second."),
        Column("map", pl.Binary(), "255ths", "Square roots of the weights, a byte each, by row."),
    ),
    required=("id", "layer", "head", "special", "segments", "map"),
    commands=("annotate",),
)

TABLES = (CLAIMS, ANNOTATED)
