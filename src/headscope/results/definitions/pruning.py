"""Tables of models with fewer heads: which sets can go, and what that costs."""

from headscope.results.definitions.scores import MAJORITY, METRIC
from headscope.results.schema import (
    AS_UNIT,
    EXAMPLES,
    INTERVAL,
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

_LOSS = "nats, or squared error"

PRUNED = Table(
    name="pruned",
    meaning="A row per number of heads that are kept and metric: the best set that the search "
    "found, and what it costs. The sets were found on training examples, so `delta` and its "
    "interval are of examples that had no part in the search.",
    columns=(
        *SOURCE,
        count("kept", "heads", "How many heads are kept."),
        count("removed", "heads", "How many heads are removed."),
        text("heads", "The heads that are kept, joined by commas; empty where none is."),
        text("mode", "What stands for a removed head: uniform, zero or mean."),
        text(
            "repair",
            "What was done to make up for them: none; refit (output projections fitted anew to "
            "those of the whole model); or fine-tuned (trained on without them).",
        ),
        METRIC,
        number("baseline", "points", "The score of the whole model on the validation examples."),
        number("value", "points", "The score without the removed heads."),
        number("delta", "points", "`value` minus `baseline`: below 0 is a loss."),
        optional(
            number(
                "low",
                AS_UNIT,
                "Lower end of the 95% confidence interval of `delta`, as in `disabled`; it "
                "speaks for one row, not for all rows together.",
            )
        ),
        optional(number("high", AS_UNIT, "Upper end of the 95% confidence interval of `delta`.")),
        EXAMPLES,
        UNIT,
        MAJORITY,
        number("margin", "points", "By how much the score may fall."),
        optional(
            number(
                "p",
                "probability",
                "One-sided p-value of the null hypothesis that the score falls by the margin or "
                "more, not corrected: below 0.025 it is shown for this row that it falls by less.",
            )
        ),
        optional(
            number(
                "activation_change",
                "fraction",
                "How far the output of the least moved of the removed heads moved, relative to its "
                "norm; above 0, else nothing was removed.",
            )
        ),
        number("loss", _LOSS, "The mean loss on the validation examples."),
        number("loss_change", _LOSS, "How much higher it is than that of the whole model."),
        optional(
            number(
                "loss_low",
                _LOSS,
                "Lower end of the 95% interval of `loss_change` (Student's t); none for fewer than "
                "10 examples.",
            )
        ),
        optional(number("loss_high", _LOSS, "Upper end of the same interval.")),
        number(
            "search_loss",
            _LOSS,
            "What the search lowered: the mean loss on the training examples that it looked at, in "
            "half precision where the device has it. The best of many, so it flatters.",
        ),
        count("search_n", "examples", "How many examples the search looked at."),
        optional(
            number(
                "choice_value",
                "points",
                "The score on the training examples by which the number of heads is chosen; none "
                "where nothing is to be chosen.",
            )
        ),
        count("choice_n", "examples", "How many such examples there are."),
        count("scored", "sets", "How many sets the search scored in all."),
        number("seconds", "seconds", "How long the search took in all."),
        Column("chosen", TRUTH, "", "Whether this is the set that the run recommends."),
    ),
    required=("kept", "heads", "metric", "value"),
    commands=("prune", "study", "paper"),
    always=("prune",),
    called="the path of pruning",
)

SIZES = Table(
    name="sizes",
    meaning="A row per length and batch: how large and how fast the checkpoint `small` is beside "
    "the whole model, measured in turns on the same texts without padding.",
    columns=(
        *SOURCE,
        text("mode", "What stands for a removed head: uniform, zero or mean."),
        count("heads_kept", "heads", "How many heads stay."),
        count("heads", "heads", "How many heads the whole model has."),
        count("parameters", "weights", "How many weights the small model has."),
        count("parameters_whole", "weights", "How many the whole model has."),
        count("bytes", "bytes", "What the weights of the small model take in float32."),
        count("bytes_whole", "bytes", "What those of the whole model take."),
        count("tokens", "tokens", "Tokens of a text."),
        count("batch", "texts", "Texts in a batch."),
        text("device", "Where it was measured: cpu or cuda."),
        count("threads", "threads", "How many threads torch had on the processor."),
        count(
            "multiply_adds",
            "multiply-adds",
            "Of the small model for a text, in linear layers and in the products of queries, keys "
            "and values.",
        ),
        count("multiply_adds_whole", "multiply-adds", "Of the whole model."),
        number("small", "sequences per second", "Of the small model, the median over rounds."),
        number("whole", "sequences per second", "Of the whole model, the median over rounds."),
        number(
            "value",
            AS_UNIT,
            "How many times as fast the small model is, the median over rounds; in a round each "
            "model runs once. Its interval is that of the sign test.",
        ),
        *INTERVAL,
        count("n", "rounds", "How many rounds were measured."),
        UNIT,
    ),
    required=("tokens", "batch", "value"),
    commands=("prune",),
    called="what removing heads saves",
)

TABLES = (PRUNED, SIZES)
