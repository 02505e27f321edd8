"""C4: fine-tuning changes mainly the last two layers, and gains 35.9 points."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import stats

from headscope.names import SIGNIFICANT, VerdictWord
from headscope.reference import reference
from headscope.replication.claims.base import (
    Judgement,
    Said,
    lacking,
    listed,
    of_parts,
    over_tasks,
    shown,
    tasks_in_words,
)
from headscope.replication.claims.scores import Gain, gains
from headscope.reporting.estimates import p_text
from headscope.results.tables import Tables
from headscope.stats.paired import holm
from headscope.stats.summaries import Tested, over_seeds_and_examples

_COLUMNS = ("task", "value", "low", "high", "n")


def fine_tuning(tables: Tables) -> Judgement:
    """C4: on every task the last two layers change more than each of the others, and the score
    gains over the larger of the untrained model and the majority class.

    A task on which a fine-tuned model does not beat the majority class is not tested: what changed
    in it is no sign of the task.
    """
    gained = gains(tables)
    if not gained:
        reason = lacking(tables, "scores") or "No fine-tuned score has an interval and a baseline."
        return Judgement("not tested", reason)
    layers = _last_layers(tables, gained)
    gain = _gain(gained)
    return Judgement(
        of_parts([layers.word, gain.word]),
        f"{layers.text} {gain.text}",
        "Cosines of maps before and after, over the heads of a layer; p-values are adjusted over "
        "tasks (Holm). With one fine-tuning a task, they speak for that one: another may change "
        "other layers. The paper's 35.9 points are over an untrained head, which guesses; they are "
        "of bert-base-uncased, and no part of the verdict.",
    )


@dataclass(frozen=True)
class _Layers:
    """How much less the other layers of a task changed than the last two.

    Attributes:
        task: The task.
        mean: Of the mean over all other layers.
        closest: Of the other layer that changed most.
        layer: Which layer that is.
        p: The largest p-value of a layer that changed less; 1 where one changed more.
        n: How many examples.
        seeds: How many fine-tunings.
    """

    task: str
    mean: Tested
    closest: Tested
    layer: int
    p: float
    n: int
    seeds: int


def _last_layers(tables: Tables, gained: Mapping[str, Gain]) -> Said:
    """Whether the last two layers changed more than each of the others."""
    if reason := lacking(tables, "last_layers", _COLUMNS):
        return Said("not tested", f"The change of the last two layers cannot be tested: {reason}")
    rows = tables["last_layers"].drop_nulls(["value", "low", "high"])
    tasks = [task for task in rows["task"].unique(maintain_order=True) if task in gained]
    tested = [_of_task(task, rows.filter(task=task)) for task in tasks if gained[task].is_learned]
    words: list[VerdictWord] = ["not tested"] * (len(gained) - len(tested))
    texts = []
    adjusted = holm(np.array([layers.p for layers in tested]))
    means = holm(np.array([layers.mean.p for layers in tested]))
    for layers, p, p_mean in zip(tested, adjusted, means, strict=True):
        words.append(_word(layers, float(p), float(p_mean)))
        seeds = f" over {layers.seeds} fine-tunings" if layers.seeds > 1 else ""
        mean, closest = layers.mean, layers.closest
        texts.append(
            f"{layers.task} {shown(mean.value, mean.low, mean.high, layers.n, '+.3f')}{seeds}, "
            f"{p_text(float(p_mean))} (layer {layers.layer}, which comes closest: "
            f"{closest.value:+.3f}, {p_text(float(p))})"
        )
    shown_on = sum(word == "supported" for word in words)
    text = (
        f"The last two layers changed more than each of the others on {shown_on} of "
        f"{tasks_in_words(len(words))}."
    )
    if texts:
        text += f" Their cosine is lower than the mean of the other layers by: {'; '.join(texts)}."
    if unlearned := [task for task, gain in gained.items() if not gain.is_learned]:
        text += (
            f" Not tested on {listed(unlearned)}, where a model does not beat the majority class."
        )
    return Said(over_tasks(words), text)


def _word(layers: _Layers, p: float, p_mean: float) -> VerdictWord:
    if p < SIGNIFICANT:
        return "supported"
    if p_mean < SIGNIFICANT:
        return "partly supported" if layers.mean.value > 0 else "contradicted"
    return "not supported"


def _of_task(task: str, rows: pl.DataFrame) -> _Layers:
    of_layers = {}
    for (layer,), of_layer in rows.group_by("layer", maintain_order=True):
        n = of_layer["n"].to_numpy()
        width = (of_layer["high"] - of_layer["low"]).to_numpy()
        # The intervals are Student's t.
        errors = width / (2 * stats.t.ppf(0.975, n - 1))
        of_layers[layer] = over_seeds_and_examples(
            of_layer["value"].to_numpy(), errors, int(n.min())
        )
    mean = of_layers.pop(None)
    closest = min(of_layers, key=lambda layer: of_layers[layer].value)
    less = [1.0 if tested.value <= 0 else tested.p for tested in of_layers.values()]
    return _Layers(
        task=task,
        mean=mean,
        closest=of_layers[closest],
        layer=int(str(closest)),
        p=max(less),
        n=int(rows["n"].min()),  # type: ignore[arg-type]
        seeds=rows.filter(pl.col("layer").is_null()).height,
    )


def _gain(gained: Mapping[str, Gain]) -> Said:
    """Whether fine-tuning gains over the larger of the untrained model and the majority class."""
    known = {task: gain.p for task, gain in gained.items() if gain.p is not None}
    adjusted = dict(zip(known, holm(np.array(list(known.values()))), strict=True))
    words: list[VerdictWord] = []
    texts = []
    for task, gain in gained.items():
        p = float(adjusted.get(task, 1.0))
        if not gain.is_learned or task not in known:
            words.append("not tested")
        else:
            words.append("supported" if p < SIGNIFICANT else "not supported")
        against = "the larger baseline" if task in known else "the majority class alone"
        models = f" (the lowest of {gain.models} models)" if gain.models > 1 else ""
        tested = f", {p_text(p)}" if task in known else ""
        texts.append(
            f"{task} {shown(gain.over_best, gain.low, gain.high, gain.n, '+.1f')} over {against}"
            f"{models}{tested}"
        )
    over = [gain.over_untrained for gain in gained.values() if gain.over_untrained is not None]
    mean = ""
    if over:
        mean = (
            f" The mean gain over the untrained model is {np.mean(over):.1f} points on "
            f"{tasks_in_words(len(over))} (paper: {reference('mean_gain')['value']})."
        )
    return Said(over_tasks(words), f"Points gained: {'; '.join(texts)}.{mean}")
