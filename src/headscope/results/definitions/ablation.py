"""Tables of what sets of heads are worth: the score without them, and which measures predict it."""

from headscope.results.definitions.scores import METRIC
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

_LOSS = "nats, or squared error"

DISABLED = Table(
    name="disabled",
    meaning="A row per metric and set of heads: what disabling the set changes.",
    columns=(
        MODEL,
        TASK,
        Column("set", TEXT, "", "The heads that are disabled together, or the layer."),
        Column("layer", COUNT, "number from 1", "Of a head or a whole layer.", nullable=True),
        Column("head", COUNT, "number from 1", "Of a single head.", nullable=True),
        Column("mode", TEXT, "", "What a disabled head does: uniform, zero or mean."),
        METRIC,
        Column("baseline", NUMBER, AS_UNIT, "The score of the whole model."),
        Column("value", NUMBER, AS_UNIT, "The score with the set disabled."),
        Column("delta", NUMBER, AS_UNIT, "`value` minus `baseline`: below 0 is a loss."),
        Column("low", NUMBER, AS_UNIT, "Lower end of the 95% confidence interval of `delta`."),
        Column("high", NUMBER, AS_UNIT, "Upper end of the 95% confidence interval of `delta`."),
        EXAMPLES,
        UNIT,
        Column("p", NUMBER, "probability", "p-value of `test`, not corrected."),
        Column("p_corrected", NUMBER, "probability", "Holm's, over all sets of a metric."),
        Column("test", TEXT, "", "Exact McNemar for accuracy, a paired permutation test else."),
        Column("activation_change", NUMBER, "fraction", "How far the heads' output moved."),
        Column("loss_change", NUMBER, _LOSS, "How much the mean loss rises."),
        Column("loss_low", NUMBER, _LOSS, "Lower end of its 95% interval."),
        Column("loss_high", NUMBER, _LOSS, "Upper end of its 95% interval."),
        Column("loss_moved", NUMBER, _LOSS, "Mean absolute change of an example's loss."),
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
        Column("value", NUMBER, AS_UNIT, "The mean change, with Student's t interval over seeds."),
        LOW,
        HIGH,
        Column("p", NUMBER, "probability", "p-value of Student's t test that the mean is 0."),
        Column("p_corrected", NUMBER, "probability", "Holm's, over the heads of a metric."),
        Column("gains", COUNT, "as `of` says", "How many fine-tunings score higher without it."),
        Column("same_sign", NUMBER, "fraction", "The share of them with the sign of the mean."),
        Column("n", COUNT, "as `of` says", "How many fine-tunings the mean is taken over."),
        UNIT,
        Column("of", TEXT, "", "What `n` counts: seeds."),
    ),
    required=("set", "metric", "value"),
    commands=("paper",),
)

SELECTION = Table(
    name="selection",
    meaning="A row per metric: whether the best of the disabled sets gains more than noise.",
    columns=(
        MODEL,
        TASK,
        METRIC,
        Column("sets", COUNT, "sets", "How many sets the best was chosen from."),
        Column("best", TEXT, "", "The set with the highest score."),
        Column("value", NUMBER, AS_UNIT, "Its gain over the whole model."),
        Column("null_mean", NUMBER, AS_UNIT, "The mean best gain under the null hypothesis."),
        Column("null_high", NUMBER, AS_UNIT, "The 95th percentile of the same."),
        Column("p", NUMBER, "probability", "p-value of `value` (max-T over the sets)."),
        Column("honest", NUMBER, AS_UNIT, "Held-out gain of a set chosen on other examples."),
        Column("low", NUMBER, AS_UNIT, "Lower end of the 95% interval of the held-out gain."),
        Column("high", NUMBER, AS_UNIT, "Upper end of the 95% interval of the held-out gain."),
        EXAMPLES,
        UNIT,
        Column("verdict", TEXT, "", "That disabling helps is supported, contradicted or neither."),
        Column("text", TEXT, "", "The verdict in sentences, with its numbers."),
    ),
    required=("metric", "best", "value", "text"),
    commands=("study", "disable", "paper"),
    called="the test of the best set",
    hidden=("null_mean", "null_high", "p"),
)

PREDICTORS = Table(
    name="predictors",
    meaning="A row per measure and effect: how well the measure ranks heads by their effect.",
    columns=(
        MODEL,
        TASK,
        Column("measure", TEXT, "", "The measure, the share of a pattern, or `layer`."),
        Column("effect", TEXT, "", "`loss_moved`, `loss`, or the metric that disabling lowers."),
        Column("value", NUMBER, AS_UNIT, "Spearman's correlation over the heads."),
        LOW,
        HIGH,
        Column("n", COUNT, "heads", "How many heads have both."),
        UNIT,
        Column("p", NUMBER, "probability", "p-value of no correlation (Student's t)."),
        Column("p_corrected", NUMBER, "probability", "Holm's, over the measures of an effect."),
    ),
    required=("measure", "effect", "value"),
    commands=("study", "paper"),
    called="which measures go with the effect of disabling",
)

TABLES = (DISABLED, DISPENSABLE, SEEDS_DISABLED, SELECTION, PREDICTORS)
