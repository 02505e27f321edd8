"""Tables of what sets of heads are worth: the score without them, and which measures predict it."""

from headscope.results.definitions.scores import METRIC
from headscope.results.schema import (
    AS_UNIT,
    EXAMPLES,
    INTERVAL,
    SOURCE,
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

_LOSS = "nats, or squared error"

DISABLED = Table(
    name="disabled",
    meaning="A row per metric and set of heads: what disabling the set changes.",
    columns=(
        *SOURCE,
        text("set", "The heads that are disabled together, or the layer."),
        optional(
            count("layer", "number from 1", "The layer, if the set is one head or one whole layer.")
        ),
        optional(count("head", "number from 1", "The head in its layer, if the set is one head.")),
        text("mode", "What a disabled head does: uniform, zero or mean."),
        METRIC,
        number("baseline", "points", "The score of the whole model."),
        number("value", "points", "The score with the set disabled."),
        number("delta", "points", "`value` minus `baseline`: below 0 is a loss."),
        optional(
            number(
                "low",
                AS_UNIT,
                "Lower end of the 95% confidence interval of `delta`: Tango's score interval for "
                "accuracy; for F1, MCC, MAP and nDCG a paired bootstrap to which four flips are "
                "added; for correlations, average precision and ROC AUC a plain one. None where "
                "every resample gives the same change; with fewer than 10 examples (for the last "
                "two: of either class) for accuracy and F1 alone. Where examples have groups "
                "(--group), groups are its cases, and of fewer than 10 there is none.",
            )
        ),
        optional(number("high", AS_UNIT, "Upper end of the 95% confidence interval of `delta`.")),
        EXAMPLES,
        UNIT,
        number("p", "probability", "p-value of `test`, not corrected."),
        number(
            "p_corrected",
            "probability",
            "The same after Holm's correction over all sets of a metric.",
        ),
        text(
            "test",
            "Exact McNemar for accuracy; otherwise, and where examples have groups, a paired "
            "permutation test.",
        ),
        number(
            "activation_change",
            "fraction",
            "How far the output of the heads moved, relative to its norm.",
        ),
        number("loss_change", _LOSS, "How much the mean loss over the examples rises."),
        optional(
            number(
                "loss_low",
                _LOSS,
                "Lower end of its 95% interval (Student's t); none for fewer than 10 examples, or "
                "where the loss of each changes alike.",
            )
        ),
        optional(number("loss_high", _LOSS, "Upper end of its 95% interval.")),
        number("loss_moved", _LOSS, "The mean absolute change of the loss of an example."),
    ),
    required=("set", "layer", "head", "metric", "delta"),
    commands=("study", "disable", "paper"),
    always=("study", "disable", "paper"),
    called="the effect of disabling heads",
    hidden=("loss_change", "loss_low", "loss_high", "loss_moved"),
)

DISPENSABLE = Table(
    name="dispensable",
    meaning="A row per metric and set: the heads that carry frames, and as many drawn at random.",
    columns=(
        *DISABLED.columns,
        Column("drawn", TRUTH, "", "Whether the set was drawn at random, as a control."),
    ),
    required=DISABLED.required,
    commands=("paper",),
)

SEEDS_DISABLED = Table(
    name="seeds_disabled",
    meaning="A row per metric and head: what disabling it changes, as a mean over fine-tunings.",
    columns=(
        *columns_of(DISABLED, ("model", "task", "set", "layer", "head", "mode", "metric")),
        number(
            "value",
            "points",
            "The mean change; its interval and p-value speak for new seeds and new examples.",
        ),
        *INTERVAL,
        optional(
            number(
                "p",
                "probability",
                "p-value that the mean is 0, by the spread over seeds and over examples; none for "
                "fewer than three seeds.",
            )
        ),
        optional(
            number(
                "p_corrected",
                "probability",
                "The same after Holm's correction over all heads of a metric.",
            )
        ),
        count("gains", "as `of` says", "How many fine-tunings score higher without it."),
        number(
            "same_sign",
            "fraction",
            "The share of the fine-tunings whose change has the sign of the mean.",
        ),
        count("n", "as `of` says", "How many fine-tunings the mean is taken over."),
        UNIT,
        text("of", "What `n` counts: seeds."),
    ),
    required=("set", "metric", "value"),
    commands=("paper",),
)

SELECTION = Table(
    name="selection",
    meaning="A row per metric: which of the disabled sets gain more than noise.",
    columns=(
        *SOURCE,
        METRIC,
        count("sets", "sets", "How many sets were looked at."),
        text("best", "The set with the largest gain in points, significant or not."),
        number("value", "points", "The gain of `best` over the whole model."),
        number("null_mean", "points", "The mean largest gain of all sets under H0."),
        number("null_high", "points", "The 95th percentile of that largest gain."),
        number(
            "p",
            "probability",
            "p-value of the verdict: the smallest one of a gain, adjusted for all sets (max-T, "
            "scaled or in points, each at half the level). `text` has those of the sets it names.",
        ),
        text(
            "significant",
            "The sets whose gain is significant at a family-wise error of 5%, the largest gain "
            "first, joined by `; `; empty if there is none.",
        ),
        optional(
            number(
                "at_least",
                "points",
                "What each set of `significant` gains at least: the smallest of 95% lower bounds "
                "that hold for all of them at once. None without a significant gain.",
            )
        ),
        optional(
            number(
                "at_most",
                "points",
                "What no set gains more than: the largest upper end of the 95% intervals in "
                "`disabled`. None where a set has no interval.",
            )
        ),
        number(
            "honest",
            "points",
            "The held-out gain: what choosing the best set on one half of the examples is worth "
            "on the other. Of the choice, not of a set.",
        ),
        optional(
            number(
                "low",
                AS_UNIT,
                "Lower end of the 95% interval of `honest`; none where it is the same on all "
                "halves.",
            )
        ),
        optional(number("high", AS_UNIT, "Upper end of the 95% interval of `honest`.")),
        EXAMPLES,
        UNIT,
        text(
            "verdict",
            "supported: a gain is significant; contradicted: none is, and `at_most` is below 0.5; "
            "else not supported.",
        ),
        text("text", "The verdict in sentences, with its numbers."),
    ),
    required=("metric", "best", "value", "text"),
    commands=("study", "disable", "paper"),
    called="the test of the gains",
    hidden=("null_mean", "null_high"),
)

PREDICTORS = Table(
    name="predictors",
    meaning="A row per measure and effect: how well the measure ranks the heads of a layer by "
    "their effect.",
    columns=(
        *SOURCE,
        text("measure", "The measure, the share of a pattern, or `layer`."),
        text("effect", "`loss_moved`, `loss`, or the metric that disabling lowers."),
        number(
            "value",
            AS_UNIT,
            "The correlation of the ranks that heads have in their layer. Written by version 0.1, "
            "with the unit `rank correlation`, it is that over all heads, and its interval and "
            "p-values took heads of a layer for independent.",
        ),
        *INTERVAL,
        count("n", "heads", "How many heads have both."),
        UNIT,
        number(
            "p",
            "probability",
            "p-value of no correlation within layers (permutations within layers).",
        ),
        number(
            "p_corrected",
            "probability",
            "The same after Holm's correction over the measures of an effect.",
        ),
        number(
            "overall",
            "rank correlation",
            "Spearman's correlation over all heads, with what the measure says of layers; not "
            "tested.",
        ),
        optional(
            number(
                "overall_layer",
                "rank correlation",
                "The same of the number of the layer; none for a model of one layer.",
            )
        ),
    ),
    required=("measure", "effect", "value"),
    commands=("study", "paper"),
    called="which measures go with the effect of disabling",
)

TABLES = (DISABLED, DISPENSABLE, SEEDS_DISABLED, SELECTION, PREDICTORS)
