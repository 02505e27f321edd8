"""Tables about heads as they are: their measures, their patterns, how similar they are."""

from headscope.results.schema import (
    AS_UNIT,
    COUNT,
    EXAMPLES,
    HEAD,
    HIGH,
    LAYER,
    LOW,
    MEASURE,
    MODEL,
    NUMBER,
    TASK,
    TEXT,
    UNIT,
    Column,
    Table,
)

PLACE = (MODEL, TASK, LAYER, HEAD)
STATE = "The model that was measured: before or after fine-tuning, or as given."

HEADS = Table(
    name="heads",
    meaning="A row per head and measure; after `relations` on spans, per head and relation.",
    columns=(
        *PLACE,
        MEASURE,
        Column("value", NUMBER, AS_UNIT, "The mean of the measure over the examples."),
        LOW,
        HIGH,
        EXAMPLES,
        UNIT,
    ),
    required=("layer", "head", "measure", "value"),
    commands=("study", "measure", "compare", "relations", "paper"),
    always=("study", "measure", "compare", "paper"),
    called="the measures of each head",
)

CHANGE = Table(
    name="change",
    meaning="A row per head and measure: what fine-tuning changed.",
    columns=(
        *PLACE,
        MEASURE,
        Column("value", NUMBER, AS_UNIT, "`after` minus `before`; or the cosine of the maps."),
        LOW,
        HIGH,
        EXAMPLES,
        UNIT,
        Column(
            "before", NUMBER, AS_UNIT, "The measure before; none for the cosine.", nullable=True
        ),
        Column("after", NUMBER, AS_UNIT, "The measure after; none for the cosine.", nullable=True),
    ),
    required=("layer", "head", "measure", "value"),
    commands=("study", "compare", "paper"),
    always=("study", "compare", "paper"),
    called="what fine-tuning changed",
)

PATTERNS = Table(
    name="patterns",
    meaning="A row per pattern, and per head, per layer, and for the whole model: its share of maps.",
    columns=(
        MODEL,
        TASK,
        Column("state", TEXT, "", STATE),
        Column("layer", COUNT, "number from 1", "None for the whole model.", nullable=True),
        Column(
            "head", COUNT, "number from 1", "None for a layer and for the model.", nullable=True
        ),
        Column("class", TEXT, "", "The pattern: one of the five classes of docs/patterns.md."),
        Column("measure", TEXT, "", "`share` as counted, or `share_corrected` for confusion."),
        Column("value", NUMBER, AS_UNIT, "The share of the maps that have this pattern."),
        LOW,
        HIGH,
        Column("n", COUNT, "maps", "How many maps were classified."),
        UNIT,
        Column("examples", COUNT, "examples", "How many examples these maps are of."),
    ),
    required=("state", "class", "measure", "value"),
    commands=("study", "measure", "compare", "relations", "paper"),
    always=("paper",),
    called="the patterns",
)

HETEROGENEOUS = Table(
    name="heterogeneous",
    meaning="A row per head most of whose maps are heterogeneous, with its group by its measures.",
    columns=(
        MODEL,
        TASK,
        Column("state", TEXT, "", STATE),
        LAYER,
        HEAD,
        Column("group", COUNT, "number from 1", "The group of the head, the largest group first."),
        Column("name", TEXT, "", "What the group is called, by its outstanding measure."),
        Column("measure", TEXT, "", "The measure in which the group stands out most."),
        Column("value", NUMBER, AS_UNIT, "The group's mean of it, minus that of all heads."),
        Column("share", NUMBER, "share of maps", "The share of the head's maps in this class."),
        UNIT,
    ),
    required=("layer", "head", "group", "name"),
    commands=("study", "measure", "compare", "paper", "relations"),
    called="the groups of heterogeneous heads",
    hidden=("state",),
)

LIKENESS = Table(
    name="likeness",
    meaning="A row per pair of heads: how far their maps differ.",
    columns=(
        *PLACE,
        Column("other_layer", COUNT, "number from 1", "The layer of the other head."),
        Column("other_head", COUNT, "number from 1", "The other head in its layer."),
        Column("cluster", COUNT, "", "The cluster of the head."),
        Column("other_cluster", COUNT, "", "The cluster of the other head."),
        Column("measure", TEXT, "", "The divergence: Jensen-Shannon's."),
        Column("value", NUMBER, AS_UNIT, "Its mean over rows and examples, from 0 to ln 2."),
        EXAMPLES,
        UNIT,
    ),
    required=("layer", "head", "other_layer", "other_head", "value"),
    commands=("study", "measure", "compare"),
    called="which heads are alike",
    hidden=("cluster", "other_cluster"),
)

TABLES = (HEADS, CHANGE, PATTERNS, HETEROGENEOUS, LIKENESS)
