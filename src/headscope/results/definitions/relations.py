"""Tables of the relations between words that heads carry."""

from headscope.results.schema import (
    AS_UNIT,
    COUNT,
    HEAD,
    HIGH,
    LAYER,
    LOW,
    MODEL,
    NUMBER,
    TASK,
    TEXT,
    TRUTH,
    UNIT,
    Column,
    Table,
)

_OWN = ("relations",)
_SPANS = ("relations", "paper")
RELATION = Column("relation", TEXT, "", "The relation, in the terms of the corpus.")
DIRECTION = Column("direction", TEXT, "", "`to_head` or `from_head`; empty for spans.")
SET = Column("set", TEXT, "", "The head by name, as in L3H6.")
QUANTITY = Column("measure", TEXT, "", "What `value` is; see docs/relations.md.")
LINKS = Column("n", COUNT, "links", "How many links; of spans, how many sentences with a link.")

CORPUS = Table(
    name="corpus",
    meaning="A row per count: what was read, and what every filter left out.",
    columns=(
        MODEL,
        TASK,
        Column("what", TEXT, "", "What is counted."),
        Column("value", COUNT, AS_UNIT, "The count."),
        UNIT,
    ),
    required=("what", "value"),
    commands=_OWN,
)

RELATIONS = Table(
    name="relations",
    meaning="A row per relation, direction, head and quantity.",
    columns=(
        MODEL,
        TASK,
        RELATION,
        DIRECTION,
        LAYER,
        HEAD,
        QUANTITY,
        Column("value", NUMBER, AS_UNIT, "The mean of the quantity over the links."),
        LOW,
        HIGH,
        LINKS,
        Column("sentences", COUNT, "sentences", "How many sentences the links are in."),
        UNIT,
        Column("p", NUMBER, "probability", "p-value of an excess.", nullable=True),
        Column("p_corrected", NUMBER, "probability", "Holm's, over the heads.", nullable=True),
    ),
    required=("relation", "layer", "head", "value"),
    commands=_SPANS,
    always=_OWN,
    called="the relations that heads carry",
    hidden=("sentences", "p", "p_corrected"),
)

RELATIONS_BEST = Table(
    name="relations_best",
    meaning="A row per relation of a treebank: the best head of one half of the sentences, scored "
    "on the other half.",
    columns=(
        MODEL,
        TASK,
        RELATION,
        SET,
        LAYER,
        HEAD,
        DIRECTION,
        QUANTITY,
        Column("value", NUMBER, AS_UNIT, "How often the head hits, on the scoring half."),
        LOW,
        HIGH,
        LINKS,
        UNIT,
        Column("chosen_on", NUMBER, AS_UNIT, "How often it hits on the choosing half."),
        Column("chosen_n", COUNT, "links", "How many links the choosing half has."),
        Column("offset", COUNT, "words", "The best fixed offset of the choosing half."),
        Column("offset_accuracy", NUMBER, AS_UNIT, "How often that offset hits."),
        Column("over_offset", NUMBER, AS_UNIT, "`value` minus `offset_accuracy`."),
        Column("over_offset_low", NUMBER, AS_UNIT, "Lower end of its 95% interval."),
        Column("over_offset_high", NUMBER, AS_UNIT, "Upper end of its 95% interval."),
        Column("random_head", NUMBER, AS_UNIT, "The mean over all heads and directions."),
        Column("random_low", NUMBER, AS_UNIT, "The 2.5th percentile of all heads."),
        Column("random_high", NUMBER, AS_UNIT, "The 97.5th percentile of all heads."),
        Column("shuffled", NUMBER, AS_UNIT, "`value` on shuffled sentences.", nullable=True),
        Column("shuffled_low", NUMBER, AS_UNIT, "Lower end of its interval.", nullable=True),
        Column("shuffled_high", NUMBER, AS_UNIT, "Upper end of its interval.", nullable=True),
        Column("shuffled_n", COUNT, "links", "How many links the shuffled sentences have."),
        Column("control", NUMBER, AS_UNIT, "How often the head looks as far from other words."),
        Column("excess", NUMBER, AS_UNIT, "`value` minus `control`, of links with a control."),
        Column("excess_low", NUMBER, AS_UNIT, "Lower end of its 95% interval."),
        Column("excess_high", NUMBER, AS_UNIT, "Upper end of its 95% interval."),
        Column("p", NUMBER, "probability", "p-value of `excess`, not corrected."),
        Column("p_corrected", NUMBER, "probability", "Holm's, over the relations."),
        Column("looks_at", COUNT, "words", "The offset at which the head looks most often."),
        Column("looks_share", NUMBER, "fraction of words", "How often it looks there."),
        Column("verdict", TEXT, "", "Whether the head carries the relation, in words."),
        Column("published_relation", TEXT, "", "Name in Clark et al. (2019).", nullable=True),
        Column("published_head", TEXT, "", "The best head there, of BERT.", nullable=True),
        Column("published_accuracy", NUMBER, "percent", "Its accuracy there.", nullable=True),
        Column("published_offset", NUMBER, "percent", "The best offset's there.", nullable=True),
    ),
    required=("relation", "set", "value"),
    commands=_OWN,
    called="the best head of every relation",
    hidden=(
        *("layer", "head", "measure", "chosen_on", "chosen_n"),
        *("over_offset_low", "over_offset_high", "random_head", "random_low", "random_high"),
        *("shuffled", "shuffled_low", "shuffled_high", "shuffled_n"),
        *("control", "excess_low", "excess_high", "p", "looks_at", "looks_share"),
        "published_offset",
    ),
)

OFFSETS = Table(
    name="offsets",
    meaning="A row per head and offset: how often the head attends most to the word that far away.",
    columns=(
        MODEL,
        TASK,
        LAYER,
        HEAD,
        Column("offset", COUNT, "words", "The offset, below 0 to the left."),
        QUANTITY,
        Column("value", NUMBER, AS_UNIT, "The share of the words whose arg max is there."),
        Column("n", COUNT, "words", "How many words there are."),
        UNIT,
    ),
    required=("layer", "head", "offset", "value"),
    commands=_OWN,
)

EXPLAINED = Table(
    name="explained",
    meaning="A row per relation and direction: how much of its attention diagonal heads carry.",
    columns=(
        MODEL,
        TASK,
        RELATION,
        DIRECTION,
        Column("diagonal_heads", COUNT, "heads", "Heads with mostly diagonal maps."),
        Column("heads", COUNT, "heads", "All heads of the model."),
        QUANTITY,
        Column("value", NUMBER, AS_UNIT, "Share of the relation's attention in diagonal heads."),
        Column("distance", NUMBER, "fraction", "What other words as far away get, beside it."),
        Column(
            "distance_of_diagonal", NUMBER, "fraction", "The same of diagonal heads.", nullable=True
        ),
        Column(
            "best_diagonal", NUMBER, "fraction of words", "Accuracy of the best.", nullable=True
        ),
        Column("best_other", NUMBER, "fraction of words", "Accuracy of another.", nullable=True),
        LINKS,
        UNIT,
    ),
    required=("relation", "direction", "value"),
    commands=_OWN,
)

SPAN_HEADS = Table(
    name="span_heads",
    meaning="A row per relation between spans and head, the highest score first.",
    columns=(
        MODEL,
        TASK,
        RELATION,
        Column("rank", COUNT, "number from 1", "The rank of the head by its score."),
        SET,
        LAYER,
        HEAD,
        QUANTITY,
        Column("value", NUMBER, AS_UNIT, "The largest attention between the spans, on average."),
        LOW,
        HIGH,
        Column("n", COUNT, "sentences", "How many sentences have the relation."),
        UNIT,
        Column("percentile_99", NUMBER, AS_UNIT, "The 99th percentile of all heads."),
        Column("above", TRUTH, "", "Whether `value` is above it."),
        Column("control", NUMBER, AS_UNIT, "With both spans moved elsewhere.", nullable=True),
        Column("excess", NUMBER, AS_UNIT, "What the attention exceeds it by.", nullable=True),
        Column("excess_low", NUMBER, AS_UNIT, "Lower end of its 95% interval.", nullable=True),
        Column("excess_high", NUMBER, AS_UNIT, "Upper end of its 95% interval.", nullable=True),
        Column("excess_n", COUNT, "sentences", "How many sentences have a control."),
        Column("p", NUMBER, "probability", "p-value of `excess`.", nullable=True),
        Column("p_corrected", NUMBER, "probability", "Holm's, over the heads.", nullable=True),
    ),
    required=("relation", "rank", "set", "value"),
    commands=_SPANS,
    called="the heads that carry spans",
    hidden=("measure", "excess_low", "excess_high", "excess_n", "p"),
)

SPAN_EXAMPLES = Table(
    name="span_examples",
    meaning="A row per sentence that one of the top heads of a relation scores highest on.",
    columns=(
        MODEL,
        TASK,
        RELATION,
        SET,
        LAYER,
        HEAD,
        Column("sentence", TEXT, "", "The name of the sentence in the corpus."),
        Column("text", TEXT, "", "The sentence."),
        Column("value", NUMBER, AS_UNIT, "The largest attention between the spans."),
        Column("source", TEXT, "", "The spans that attend."),
        Column("target", TEXT, "", "The spans that are attended to."),
        Column("detail", TEXT, "", "What the corpus says of the links, such as the frame."),
        UNIT,
    ),
    required=("relation", "set", "text", "value"),
    commands=_SPANS,
)

TABLES = (
    CORPUS,
    RELATIONS,
    RELATIONS_BEST,
    OFFSETS,
    EXPLAINED,
    SPAN_HEADS,
    SPAN_EXAMPLES,
)
