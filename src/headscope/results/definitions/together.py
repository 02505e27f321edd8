"""Tables of heads that are disabled together: pairs, orders of all heads, many heads at once."""

from headscope.results.definitions.ablation import DISABLED
from headscope.results.definitions.scores import METRIC
from headscope.results.schema import (
    AS_UNIT,
    EXAMPLES,
    HEAD,
    LAYER,
    SOURCE,
    UNIT,
    Table,
    columns_of,
    count,
    number,
    optional,
    text,
)

_LOSS = "nats, or squared error"
(MODE,) = columns_of(DISABLED, ("mode",))

INTERACTIONS = Table(
    name="interactions",
    meaning="A row per pair of heads: whether disabling both costs what the two cost alone, added "
    "up.",
    columns=(
        *SOURCE,
        text("set", "The two heads."),
        LAYER,
        HEAD,
        count("other_layer", "number from 1", "The layer of the other head."),
        count("other_head", "number from 1", "The other head in its layer."),
        MODE,
        number("alone", AS_UNIT, "How much the mean loss rises with the head alone disabled."),
        number("other_alone", AS_UNIT, "The same of the other head."),
        number("together", AS_UNIT, "The same with both disabled."),
        number("value", AS_UNIT, "The interaction: `together` - `alone` - `other_alone`."),
        optional(
            number(
                "low",
                AS_UNIT,
                "Lower end of the 95% interval of `value`, of this pair alone (Student's t over "
                "examples); none for fewer than 10 examples, or where all give the same.",
            )
        ),
        optional(number("high", AS_UNIT, "Upper end of it.")),
        optional(
            number(
                "low_all",
                AS_UNIT,
                "Lower end of an interval of `value` that holds for all pairs at once with 95% "
                "confidence; it excludes 0 where `p_corrected` is below 0.05.",
            )
        ),
        optional(number("high_all", AS_UNIT, "Upper end of it.")),
        EXAMPLES,
        UNIT,
        optional(
            number("p", "probability", "p-value that the interaction is 0 (Student's t), alone.")
        ),
        optional(
            number(
                "p_corrected",
                "probability",
                "The same, corrected for all pairs of the table: max-T over resamples of the "
                "examples, of t and of a moderated t (docs/disabling.md).",
            )
        ),
        text(
            "kind",
            "redundant: `p_corrected` is below 0.05 and the two cost more together than their "
            "effects alone add up to; synergistic: they cost less; not significant; not tested.",
        ),
    ),
    required=("layer", "head", "other_layer", "other_head", "value", "p_corrected", "kind"),
    commands=("disable",),
    called="the interactions of pairs of heads",
    hidden=("p",),
)

SHAPLEY = Table(
    name="shapley",
    meaning="A row per head: its share of the rise of the loss with all heads disabled (Shapley's "
    "value). The values of all heads add up to it.",
    columns=(
        *SOURCE,
        text("set", "The head."),
        LAYER,
        HEAD,
        MODE,
        number(
            "value",
            AS_UNIT,
            "How much the mean loss rises when the turn of the head comes, as a mean over random "
            "orders in which all heads are disabled one after the other.",
        ),
        optional(
            number(
                "low",
                AS_UNIT,
                "Lower end of the 95% interval of `value` over orders (Student's t over antithetic "
                "pairs); the examples are taken as they are. None for fewer than 10 pairs.",
            )
        ),
        optional(number("high", AS_UNIT, "Upper end of it.")),
        optional(
            number(
                "low_all",
                AS_UNIT,
                "Lower end of the same interval for all heads at once (Bonferroni).",
            )
        ),
        optional(number("high_all", AS_UNIT, "Upper end of it.")),
        count("n", "as `of` says", "How many antithetic pairs of orders were walked."),
        text("of", "What `n` counts: antithetic pairs of orders, an order and its reverse."),
        optional(
            number(
                "examples_low",
                AS_UNIT,
                "Lower end of the 95% interval over examples (Student's t); the orders are taken "
                "as they are. None for fewer than 10 examples.",
            )
        ),
        optional(number("examples_high", AS_UNIT, "Upper end of it.")),
        count("examples", "examples", "How many examples the losses are means over."),
        number("alone", AS_UNIT, "How much the mean loss rises with this head alone disabled."),
        UNIT,
    ),
    required=("layer", "head", "value", "alone"),
    commands=("disable",),
    called="the Shapley values of heads",
)

TOGETHER = Table(
    name="together",
    meaning="A row per metric and set of many heads: what disabling them at once costs, beside the "
    "sum of what each costs alone.",
    columns=(
        *SOURCE,
        text(
            "set",
            "`all heads`, or `heads that raise no loss alone`: those whose mean rise is 0 or below "
            "on these very examples, so that their sum looks better than it is.",
        ),
        count("heads", "heads", "How many heads the set has."),
        text("members", "The heads."),
        MODE,
        METRIC,
        number("baseline", "points", "The score of the whole model."),
        number("value", "points", "The score with all of them disabled."),
        UNIT,
        number("alone", _LOSS, "The sum of the rises of the mean loss with each alone disabled."),
        number("loss_change", _LOSS, "The rise of the mean loss with all of them disabled."),
        number("excess", _LOSS, "`loss_change` minus `alone`."),
        optional(
            number(
                "excess_low",
                _LOSS,
                "Lower end of its 95% interval (Student's t over examples); none below 10.",
            )
        ),
        optional(number("excess_high", _LOSS, "Upper end of it.")),
        text("loss_unit", "The unit of the losses: nats, or squared error."),
        EXAMPLES,
    ),
    required=("set", "heads", "metric", "baseline", "value", "alone", "loss_change"),
    commands=("disable",),
    called="what many heads cost together",
)

TABLES = (INTERACTIONS, SHAPLEY, TOGETHER)
