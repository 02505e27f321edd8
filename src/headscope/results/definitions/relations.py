"""Tables of the relations between words that heads carry."""

from headscope.results.schema import (
    AS_UNIT,
    HEAD,
    INTERVAL,
    LAYER,
    PLACE,
    SOURCE,
    TRUTH,
    UNIT,
    Column,
    Table,
    count,
    number,
    optional,
    text,
)

_OWN = ("relations",)
_SPANS = ("relations", "paper")
_WORDS, _MASS, _SHARE = "fraction of words", "fraction of mass", "share of attention"
RELATION = text("relation", "The relation, in the terms of the corpus.")
DIRECTION = text("direction", "`to_head` or `from_head`; empty for spans.")
SET = text("set", "The head by name, as in L3H6.")
QUANTITY = text("measure", "What `value` is; see docs/relations.md.")
EXCESS_INTERVAL = (
    optional(
        number(
            "excess_low",
            AS_UNIT,
            "Lower end of its 95% interval; none for fewer than 10 sentences.",
        )
    ),
    optional(number("excess_high", AS_UNIT, "Upper end of its 95% interval.")),
)
P = optional(
    number(
        "p",
        "probability",
        "p-value that `excess` is not above 0, not corrected; none for fewer than 10 sentences.",
    )
)
LINKS = count("n", "links", "How many links; of spans, how many sentences with a link.")

CORPUS = Table(
    name="corpus",
    meaning="A row per count: what was read, and what every filter left out.",
    columns=(
        *SOURCE,
        text("what", "What is counted."),
        count("value", "as `what` says", "The count."),
        UNIT,
    ),
    required=("what", "value"),
    commands=_OWN,
)

RELATIONS = Table(
    name="relations",
    meaning="A row per relation, direction, head and quantity.",
    columns=(
        *SOURCE,
        RELATION,
        DIRECTION,
        LAYER,
        HEAD,
        QUANTITY,
        number("value", AS_UNIT, "The mean of the quantity over the links."),
        *INTERVAL,
        LINKS,
        count("sentences", "sentences", "How many sentences the links are in."),
        UNIT,
        optional(
            number(
                "p",
                "probability",
                "p-value that an excess is not above 0 (Student's t, a sentence being a case; "
                "twice the one-sided one, 1 below 0); none for fewer than 10 sentences, and other "
                "quantities are not tested.",
            )
        ),
        optional(
            number("p_corrected", "probability", "The same after Holm's correction over the heads.")
        ),
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
        *SOURCE,
        RELATION,
        SET,
        LAYER,
        HEAD,
        DIRECTION,
        QUANTITY,
        number("value", _WORDS, "How often the head hits, on the scoring half."),
        *INTERVAL,
        LINKS,
        UNIT,
        number("chosen_on", AS_UNIT, "How often it hits on the choosing half."),
        count("chosen_n", "links", "How many links the choosing half has."),
        count("offset", "words", "The best fixed offset of the choosing half."),
        number("offset_accuracy", AS_UNIT, "How often that offset hits."),
        number("over_offset", AS_UNIT, "`value` minus `offset_accuracy`."),
        optional(number("over_offset_low", AS_UNIT, "Lower end of its 95% interval.")),
        optional(number("over_offset_high", AS_UNIT, "Upper end of its 95% interval.")),
        number("random_head", AS_UNIT, "The mean over all heads and directions."),
        number("random_low", AS_UNIT, "The 2.5th percentile over all heads and directions."),
        number("random_high", AS_UNIT, "The 97.5th percentile over all heads and directions."),
        optional(
            number(
                "shuffled", AS_UNIT, "How often it hits when the words of a sentence are shuffled."
            )
        ),
        optional(number("shuffled_low", AS_UNIT, "Lower end of its 95% interval.")),
        optional(number("shuffled_high", AS_UNIT, "Upper end of its 95% interval.")),
        count("shuffled_n", "links", "How many links the shuffled sentences have."),
        optional(
            number(
                "control",
                AS_UNIT,
                "How often the head looks as far from other words; none where there are none.",
            )
        ),
        optional(number("excess", AS_UNIT, "`value` minus `control`, of links with a control.")),
        *EXCESS_INTERVAL,
        P,
        optional(
            number(
                "p_corrected", "probability", "The same after Holm's correction over the relations."
            )
        ),
        count("looks_at", "words", "The offset at which the head looks most often."),
        number("looks_share", _WORDS, "How often it looks there."),
        text("verdict", "Whether the head carries the relation, in words."),
        optional(
            text("published_relation", "The relation in Clark et al. (2019), if they report it.")
        ),
        optional(text("published_head", "The best head of bert-base-uncased that they report.")),
        optional(number("published_accuracy", "percent", "How often they find that it hits.")),
        optional(
            number("published_offset", "percent", "How often they find that the best offset hits.")
        ),
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
        *PLACE,
        count("offset", "words", "The offset, below 0 to the left."),
        QUANTITY,
        number("value", _WORDS, "The share of the words whose arg max is at this offset."),
        count("n", "words", "How many words there are."),
        UNIT,
    ),
    required=("layer", "head", "offset", "value"),
    commands=_OWN,
)

EXPLAINED = Table(
    name="explained",
    meaning="A row per relation and direction: how much of its attention diagonal heads carry.",
    columns=(
        *SOURCE,
        RELATION,
        DIRECTION,
        count("diagonal_heads", "heads", "How many heads have mostly diagonal maps."),
        count("heads", "heads", "How many heads the model has."),
        QUANTITY,
        number("value", _SHARE, "The share of the relation's attention that diagonal heads give."),
        number("distance", _SHARE, "What other words as far away get, relative to the relation."),
        optional(number("distance_of_diagonal", _SHARE, "The same of diagonal heads only.")),
        optional(number("best_diagonal", _WORDS, "Accuracy of the best diagonal head.")),
        optional(number("best_other", _WORDS, "Accuracy of the best other head.")),
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
        *SOURCE,
        RELATION,
        count("rank", "number from 1", "The rank of the head by its score."),
        SET,
        LAYER,
        HEAD,
        QUANTITY,
        number("value", _MASS, "The largest attention between the spans, on average."),
        *INTERVAL,
        count("n", "sentences", "How many sentences have the relation."),
        UNIT,
        number("percentile_99", AS_UNIT, "The 99th percentile of all heads."),
        Column("above", TRUTH, "", "Whether `value` is above it."),
        optional(number("control", AS_UNIT, "The attention when both spans are moved elsewhere.")),
        optional(number("excess", AS_UNIT, "The attention minus `control`.")),
        *EXCESS_INTERVAL,
        count("excess_n", "sentences", "How many sentences have a control."),
        P,
        optional(
            number("p_corrected", "probability", "The same after Holm's correction over the heads.")
        ),
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
        *SOURCE,
        RELATION,
        SET,
        LAYER,
        HEAD,
        text("sentence", "The name of the sentence in the corpus."),
        text("text", "The sentence."),
        number("value", _MASS, "The largest attention between the spans."),
        text("source", "The spans that attend."),
        text("target", "The spans that are attended to."),
        text("detail", "What the corpus says of the links, such as the frame."),
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
