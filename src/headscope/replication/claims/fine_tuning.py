"""C4: fine-tuning changes mainly the last two layers, and gains 35.9 points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import t as student

from headscope.names import SIGNIFICANT, VerdictWord
from headscope.reference import reference
from headscope.replication.claims.base import (
    Judgement,
    Said,
    is_known,
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
from headscope.stats.means import student_p
from headscope.stats.paired import holm
from headscope.stats.seeds import FEWEST, over_seeds
from headscope.stats.summaries import Tested

_COLUMNS = ("task", "layer", "against", "value", "low", "high", "n")


def fine_tuning(tables: Tables) -> Judgement:
    """C4: on every task each of the last two layers changes more than every other, and the score
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
        mean: Of the mean over all other layers, beside the mean of the last two.
        closest: Of the layer that comes closest to one of the last two.
        layer: Which layer that is.
        against: Which of the last two it is.
        p: The largest p-value of all pairs of a layer and one of the last two; 1 where a layer
            changed more, NaN where a pair has no interval.
        n: How many examples.
        seeds: How many fine-tunings.
    """

    task: str
    mean: Tested
    closest: Tested
    layer: int
    against: int
    p: float
    n: int
    seeds: int


def _last_layers(tables: Tables, gained: Mapping[str, Gain]) -> Said:
    """Whether the last two layers changed more than each of the others."""
    if reason := lacking(tables, "last_layers", _COLUMNS):
        text = (
            f"The change of the last two layers is not tested. {reason} Older versions wrote none, "
            "and a model of two layers has no others."
        )
        return Said("not tested", text)
    rows = tables["last_layers"]
    tasks = [task for task in rows["task"].unique(maintain_order=True) if task in gained]
    tested = [_of_task(task, rows.filter(task=task)) for task in tasks if gained[task].is_learned]
    words: list[VerdictWord] = ["not tested"] * (len(gained) - len(tested))
    texts = []
    adjusted = holm(np.nan_to_num([layers.p for layers in tested], nan=1.0))
    means = holm(np.nan_to_num([layers.mean.p for layers in tested], nan=1.0))
    for layers, p, p_mean in zip(tested, adjusted, means, strict=True):
        words.append(_word(layers, float(p), float(p_mean)))
        seeds = ""
        if layers.seeds > 1:
            which = "over" if layers.seeds >= FEWEST else "in the less clear of"
            seeds = f" {which} {layers.seeds} fine-tunings"
        mean, closest = layers.mean, layers.closest
        texts.append(
            f"{layers.task} {shown(mean.value, mean.low, mean.high, layers.n, '+.3f')}{seeds}, "
            f"{p_text(float(p_mean))} (closest: layer {layers.layer} to layer {layers.against}, "
            f"{closest.value:+.3f}, {p_text(float(p))})"
        )
    shown_on = sum(word == "supported" for word in words)
    text = (
        f"Each of the last two layers changed more than every other on {shown_on} of "
        f"{tasks_in_words(len(words))}."
    )
    if texts:
        text += f" Their mean cosine is lower than that of the others by: {'; '.join(texts)}."
    if unlearned := [task for task, gain in gained.items() if not gain.is_learned]:
        text += (
            f" Not tested on {listed(unlearned)}, where a model does not beat the majority class."
        )
    return Said(over_tasks(words), text)


def _word(layers: _Layers, p: float, p_mean: float) -> VerdictWord:
    if not is_known(layers.p):
        return "not tested"
    if p < SIGNIFICANT:
        return "supported"
    if p_mean < SIGNIFICANT:
        return "partly supported" if layers.mean.value > 0 else "contradicted"
    return "not supported"


def _of_task(task: str, rows: pl.DataFrame) -> _Layers:
    pairs = rows.partition_by("layer", "against", maintain_order=True)
    names = [pair.select("layer", "against").row(0) for pair in pairs]
    tested = dict(zip(names, _tested(pairs), strict=True))
    mean = tested.pop((None, None))
    closest = min(tested, key=lambda name: tested[name].value)
    less = [1.0 if of_pair.value <= 0 else of_pair.p for of_pair in tested.values()]
    return _Layers(
        task=task,
        mean=mean,
        closest=tested[closest],
        layer=closest[0],
        against=closest[1],
        p=float(np.max(less)),
        n=int(rows["n"].min()),  # type: ignore[arg-type]
        seeds=pairs[0].height,
    )


def _tested(pairs: Sequence[pl.DataFrame]) -> list[Tested]:
    """The difference of every pair over the fine-tunings, a row each; of fewer than three, which
    have no test over seeds, the one that is least clear speaks.
    """
    # [seed, pair]
    value, low, high = (
        np.stack([pair[column].to_numpy() for pair in pairs], 1)
        for column in ("value", "low", "high")
    )
    n = np.stack([pair["n"].to_numpy() for pair in pairs], 1)
    if len(value) >= FEWEST:
        # The intervals are Student's t.
        error = (high - low) / (2 * student.ppf(0.975, n - 1))
        over_all = over_seeds(value, (error**2).mean(0), int(n.min()))
        numbers = np.stack([over_all.mean, over_all.low, over_all.high, over_all.p], 1)
        return [Tested(*of_pair) for of_pair in numbers.tolist()]
    p = student_p(value, low, high, n)
    agree = np.all(np.sign(value) == np.sign(value[0]), axis=0)
    least = np.argmax(p, 0), np.arange(len(pairs))
    numbers = np.stack([value[least], low[least], high[least], np.where(agree, p[least], 1.0)], 1)
    return [Tested(*of_pair) for of_pair in numbers.tolist()]


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
