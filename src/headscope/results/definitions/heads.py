"""Tables about heads as they are: their measures, their patterns, how similar they are."""

from headscope.results.schema import (
    AS_UNIT,
    EXAMPLES,
    HEAD,
    INTERVAL,
    LAYER,
    MEAN,
    MEASURE,
    PLACE,
    SOURCE,
    UNIT,
    Table,
    count,
    number,
    optional,
    text,
)

_SPREAD = "standard deviations"
STATE = "The model that was measured: before or after fine-tuning, or as given."

HEADS = Table(
    name="heads",
    meaning="A row per head and measure; after `relations` on spans, per head and relation.",
    columns=(
        *PLACE,
        MEASURE,
        number("value", AS_UNIT, "The mean of the measure over the examples."),
        *MEAN,
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
        number("value", AS_UNIT, "`after` minus `before`; or the cosine of the maps."),
        *MEAN,
        optional(number("before", AS_UNIT, "The measure before; none for the cosine.")),
        optional(number("after", AS_UNIT, "The measure after; none for the cosine.")),
    ),
    required=("layer", "head", "measure", "value"),
    commands=("study", "compare", "paper"),
    always=("study", "compare", "paper"),
    called="what fine-tuning changed",
)

LAST_LAYERS = Table(
    name="last_layers",
    meaning="A row per layer before the last two and each of these, and one for the mean: by how "
    "much fine-tuning changed its maps less than those of the last layers.",
    columns=(
        *SOURCE,
        optional(count("seed", "", "The seed of the fine-tuning, in a run of the whole paper.")),
        optional(
            count("layer", "number from 1", "The layer; none for all layers but the last two.")
        ),
        optional(
            count("against", "number from 1", "The last layer or the last but one; none for both.")
        ),
        text("measure", "What `value` is: the cosine of before and after, less that of the other."),
        number(
            "value",
            AS_UNIT,
            "The mean over examples of the layer's cosine minus that of `against`: above 0 where "
            "the last layer changed more.",
        ),
        *MEAN,
        optional(
            number(
                "p",
                "probability",
                "Two-sided p-value of no difference (Student's t over examples); none where there "
                "is no interval.",
            )
        ),
    ),
    required=("layer", "value"),
    commands=("study", "compare", "paper"),
    called="how far the last two layers changed beside the others",
)

PATTERNS = Table(
    name="patterns",
    meaning="A row per pattern and per head, layer or whole model: the share of its maps.",
    columns=(
        *SOURCE,
        text("state", STATE),
        optional(count("layer", "number from 1", "The layer; none for the whole model.")),
        optional(count("head", "number from 1", "The head; none for a whole layer or the model.")),
        text("class", "The pattern: one of the five classes of docs/patterns.md."),
        text(
            "measure",
            "`share`, its interval for the chance in the examples; or `share_corrected`, the same "
            "share with an interval for what the classifier leaves open too. Shares of maps of "
            "fewer than 10 examples have no interval.",
        ),
        number("value", "share of maps", "The share of the maps that have this pattern."),
        *INTERVAL,
        count("n", "maps", "How many maps were classified."),
        UNIT,
        count("examples", "examples", "How many examples these maps are of."),
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
        *SOURCE,
        text("state", STATE),
        LAYER,
        HEAD,
        count("group", "number from 1", "The group of the head, the largest group first."),
        text("name", "What the group is called, by its outstanding measure."),
        text("measure", "The measure in which the group stands out most."),
        number("value", _SPREAD, "The group's mean of it, minus that of all heads."),
        number("share", "share of maps", "The share of the head's maps in this class."),
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
        count("other_layer", "number from 1", "The layer of the other head."),
        count("other_head", "number from 1", "The other head in its layer."),
        count("cluster", "", "The cluster of the head."),
        count("other_cluster", "", "The cluster of the other head."),
        text("measure", "The divergence, which is Jensen and Shannon's."),
        number("value", "nats", "Its mean over rows and examples, from 0 to ln 2."),
        EXAMPLES,
        UNIT,
    ),
    required=("layer", "head", "other_layer", "other_head", "value"),
    commands=("study", "measure", "compare"),
    called="which heads are alike",
    hidden=("cluster", "other_cluster"),
)

TABLES = (HEADS, CHANGE, LAST_LAYERS, PATTERNS, HETEROGENEOUS, LIKENESS)
