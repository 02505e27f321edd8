"""How often a claim of the paper is called supported that is false, by the rule as it was and as it
is.

Draws become the tables of a run, and the claim's own function judges them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import stats

from headscope.names import BLOCK, CLASSES, FINE_TUNED, HETEROGENEOUS, UNTRAINED, VERTICAL
from headscope.replication.claims.fine_tuning import fine_tuning
from headscope.replication.claims.frames import frame_heads
from headscope.replication.claims.patterns import PRESENT, heterogeneous, patterns_recur
from headscope.replication.claims.vertical import MOST, SPECIAL, vertical_is_special
from headscope.stats.changes import share_change
from headscope.stats.paired import Z, mcnemar, wilson
from simulations.base import Rate, Section

DRAWS = 600
LAYERS, HEADS, EXAMPLES = 6, 12, 500
Array = npt.NDArray[np.float64]
Rng = np.random.Generator
Rows = list[dict[str, Any]]
Draw = Callable[[Rng], tuple[bool, bool]]
"""Draws a run; whether the old rule says what is asked, and whether the new one does."""


def rates(draw: Draw, draws: int = DRAWS, seed: int = 0) -> tuple[Rate, Rate]:
    """How often the old rule says what is asked, and how often the new one."""
    rng = np.random.default_rng(seed)
    said = np.array([draw(rng) for _ in range(draws)])
    old, new = said.sum(0).tolist()
    return Rate(old, draws), Rate(new, draws)


def table(rows: Rows) -> pl.DataFrame:
    """Rows as a table."""
    return pl.DataFrame(rows, infer_schema_length=None)


def share_rows(values: Array, name: str, error: float) -> Rows:
    """A pattern's share on several tasks, known up to an error; the other patterns are there."""
    rows = []
    for task, drawn in enumerate(values.tolist()):
        for pattern in CLASSES:
            value, width = (drawn, Z * error) if pattern == name else (0.2, 0.01)
            row = {
                "task": f"task {task}",
                "state": "after",
                "layer": None,
                "head": None,
                "class": pattern,
                "measure": "share_corrected",
                "value": value,
                "low": value - width,
                "high": value + width,
                "examples": 1000,
            }
            rows.append(row)
    return rows


def borderline_blocks(rng: Rng, tasks: int, error: float) -> tuple[bool, bool]:
    """C1: blocks hold exactly 1% of the maps; is any task said to have or to lack them?"""
    values = PRESENT + error * rng.standard_normal(tasks)
    old = np.abs(values - PRESENT) > Z * error
    judged = patterns_recur({"patterns": table(share_rows(values, BLOCK, error))})
    return bool(old.any()), judged.verdict != "not tested"


def equal_shares(rng: Rng, tasks: int, error: float, common: float) -> tuple[bool, bool]:
    """C2: all tasks have 45% heterogeneous maps; are they said to depend on the task?

    Args:
        rng: Where the draws come from.
        tasks: How many tasks there are.
        error: The standard error of a share.
        common: The part of it that all tasks share, as they share the classifier's confusion.
    """
    alone = float(np.sqrt(error**2 - common**2))
    values = 0.45 + common * rng.standard_normal() + alone * rng.standard_normal(tasks)
    judged = heterogeneous({"patterns": table(share_rows(values, HETEROGENEOUS, error))})
    # The old rule asked only whether the intervals touch the paper's range.
    return True, judged.verdict == "supported"


def lost_points(rng: Rng, n: int, points: float, won: float = 0.02) -> tuple[bool, bool]:
    """C3: a task loses so many points without the two heads; is it said not to need them?

    Args:
        rng: Where the draws come from.
        n: How many examples the task has.
        points: What the heads are worth.
        won: The share of the predictions that become right without them.
    """
    shares = [won, won + points / 100, 1 - 2 * won - points / 100]
    gained, lost, _ = rng.multinomial(n, shares).tolist()
    low, high = share_change(np.array([lost]), np.array([gained]), np.array([n]))
    flipped_to_right = np.repeat([1, 0], [gained, lost])
    p = mcnemar(np.ones(gained + lost), 1 - flipped_to_right, flipped_to_right)
    delta = 100 * (gained - lost) / n
    effect = {
        "task": "mrpc",
        "set": "L1H1,L1H2",
        "metric": "accuracy",
        "drawn": False,
        "delta": delta,
        "low": 100 * low.item(),
        "high": 100 * high.item(),
        "n": n,
        "p": p,
    }
    head = {"relation": "frame_element", "value": 0.3, "excess": 0.1, "p_corrected": 1e-6}
    heads = [{**head, "rank": rank, "set": f"L1H{rank}"} for rank in (1, 2)]
    judged = frame_heads({"span_heads": table(heads), "dispensable": table([effect])})
    # The old rule took a loss that is not significant for none.
    return not (p < 0.05 and delta < 0), judged.verdict == "supported"


def score_rows(tuned: float, untrained: float, majority: float, n: int) -> Rows:
    """Accuracies with Wilson's intervals beside the majority class, as shares."""
    rows = []
    for configuration, share in ((FINE_TUNED, tuned), (UNTRAINED, untrained)):
        low, high = wilson(share * n, n)
        row = {
            "task": "mrpc",
            "configuration": configuration,
            "metric": "accuracy",
            "value": 100 * share,
            "low": 100 * low,
            "high": 100 * high,
            "n": n,
            "majority": 100 * majority,
        }
        rows.append(row)
    return rows


def layer_rows(cosines: Array, seed: int) -> Rows:
    """The rows of `last_layers`, from mean cosines [example, layer] of one fine-tuning."""
    others, last = cosines[:, :-2], cosines[:, -2:]
    pairs = (others[:, None] - last[..., None]).reshape(len(cosines), -1)
    contrasts = np.concatenate([pairs, pairs.mean(1, keepdims=True)], 1)
    n, before = len(contrasts), others.shape[1]
    half = stats.t.ppf(0.975, n - 1) * contrasts.std(0, ddof=1) / np.sqrt(n)
    layers = [*range(1, before + 1)] * 2 + [None]
    against = [before + 1] * before + [before + 2] * before + [None]
    means = contrasts.mean(0).tolist()
    return [
        {
            "task": "mrpc",
            "seed": seed,
            "layer": layer,
            "against": other,
            "value": mean,
            "low": mean - width,
            "high": mean + width,
            "n": n,
        }
        for layer, other, mean, width in zip(layers, against, means, half.tolist(), strict=True)
    ]


CHANGED_MOST = np.array([[0.9] * (LAYERS - 2) + [0.8] * 2])
"""Cosines of layers where the last two change most."""


def changed_layers(
    rng: Rng, means: Array, seeds: int = 1, of_seeds: float = 0.0
) -> tuple[bool, bool]:
    """C4: are the last two layers said to change most?

    Args:
        rng: Where the draws come from.
        means: The true mean cosine of every layer, [1, layer].
        seeds: How many fine-tunings there are.
        of_seeds: How far the layers of one fine-tuning lie from these means.
    """
    rows: Rows = []
    old = False
    for seed in range(seeds):
        own = means + of_seeds * rng.standard_normal(means.shape)
        # Layers of an example change more or less together.
        of_example = 0.05 * rng.standard_normal((EXAMPLES, 1))
        cosines = own + of_example + 0.05 * rng.standard_normal((EXAMPLES, LAYERS))
        rows += layer_rows(cosines, seed)
        if seed == 0:
            # The old rule: the two lowest means are those of the last two layers.
            lowest = set(np.argsort(cosines.mean(0))[:2].tolist())
            old = lowest == {LAYERS - 2, LAYERS - 1}
    tuned, untrained = score_rows(0.8, 0.4, 0.6, EXAMPLES)
    scores = [tuned] * seeds + [untrained]
    judged = fine_tuning({"scores": table(scores), "last_layers": table(rows)})
    return old, judged.verdict == "supported"


def gained_points(rng: Rng, tuned: float, untrained: float, majority: float) -> tuple[bool, bool]:
    """C4: models of which the true accuracies are known; is the fine-tuned one said to gain?"""
    share, other = (rng.binomial(EXAMPLES, accuracy) / EXAMPLES for accuracy in (tuned, untrained))
    scores = score_rows(share, other, majority, EXAMPLES)
    cosines = CHANGED_MOST + 0.01 * rng.standard_normal((EXAMPLES, LAYERS))
    tables = {"scores": table(scores), "last_layers": table(layer_rows(cosines, 0))}
    # The old rule did not ask for a gain.
    return True, fine_tuning(tables).verdict == "supported"


def special_attention(rng: Rng, more: float, tasks: int = 7) -> tuple[bool, bool]:
    """C6: are special tokens said to receive more from vertical heads than from others?

    They receive 60% of the attention of others. Layers differ in how much they receive, in how many
    heads are vertical, and each head keeps to its own in all tasks.

    Args:
        rng: Where the draws come from.
        more: What they receive more from vertical heads.
        tasks: How many tasks there are.
    """
    shape = (LAYERS, HEADS)
    is_vertical = rng.random(shape) < rng.uniform(0.1, 0.9, (LAYERS, 1))
    mean = 0.6 + 0.1 * rng.standard_normal((LAYERS, 1)) + 0.1 * rng.standard_normal(shape)
    received = mean + more * is_vertical + 0.03 * rng.standard_normal((tasks, *shape))
    task, layer, head = (index.ravel() for index in np.indices(received.shape))
    place = {"task": task, "layer": layer + 1, "head": head + 1}
    share = np.where(np.broadcast_to(is_vertical, received.shape), 0.9, 0.1).ravel()
    shares = pl.DataFrame({**place, "value": share}).with_columns(
        pl.lit("after").alias("state"),
        pl.lit(VERTICAL).alias("class"),
        pl.lit("share").alias("measure"),
    )
    heads = pl.DataFrame({**place, "value": received.ravel()})
    heads = heads.with_columns(measure=pl.lit(SPECIAL))
    judged = vertical_is_special({"patterns": shares, "heads": heads})
    # The old rule did not look at the other heads.
    old = received[:, is_vertical].mean() >= MOST
    return bool(old), judged.verdict == "supported"


@dataclass(frozen=True)
class World:
    """A row of the page: what is true, what is asked, how often it should be said."""

    claim: str
    truth: str
    asked: str
    wanted: str
    draw: Draw


ALIKE = np.full((1, LAYERS), 0.85)
ONE_OTHER = np.array([[0.9] * (LAYERS - 3) + [0.8] * 3])
RARELY = "0.05 or less"
MOSTLY = "as often as possible"
WORLDS = (
    World(
        "C1",
        "blocks hold 1% of the maps on seven tasks, the threshold itself",
        "any task has them, or lacks them",
        RARELY,
        partial(borderline_blocks, tasks=7, error=0.003),
    ),
    World(
        "C2",
        "seven tasks with the same share",
        "it depends on the task",
        RARELY,
        partial(equal_shares, tasks=7, error=0.015, common=0.01),
    ),
    World(
        "C3",
        "the heads are worth 1 point, the margin; 277 examples",
        "not needed",
        RARELY,
        partial(lost_points, n=277, points=1.0),
    ),
    World(
        "C3",
        "the same, 1,000 examples",
        "not needed",
        RARELY,
        partial(lost_points, n=1000, points=1.0),
    ),
    World(
        "C3",
        "the heads are worth 2 points, 1,000 examples",
        "not needed",
        RARELY,
        partial(lost_points, n=1000, points=2.0),
    ),
    World(
        "C3",
        "the heads are worth nothing, 277 examples",
        "not needed",
        MOSTLY,
        partial(lost_points, n=277, points=0.0),
    ),
    World(
        "C3",
        "the heads are worth nothing, 5,000 examples",
        "not needed",
        MOSTLY,
        partial(lost_points, n=5000, points=0.0),
    ),
    World(
        "C4",
        "all layers change alike",
        "the last two most",
        RARELY,
        partial(changed_layers, means=ALIKE),
    ),
    World(
        "C4",
        "layer 4 changes as much as the last two",
        "the last two most",
        RARELY,
        partial(changed_layers, means=ONE_OTHER),
    ),
    World(
        "C4",
        "layers differ by chance in every fine-tuning, of which there is one",
        "the last two most",
        "of this fine-tuning: 1 in 15",
        partial(changed_layers, means=ALIKE, of_seeds=0.05),
    ),
    World(
        "C4",
        "the same, three fine-tunings",
        "the last two most",
        RARELY,
        partial(changed_layers, means=ALIKE, seeds=3, of_seeds=0.05),
    ),
    World(
        "C4",
        "the last two change most, by a cosine of 0.1",
        "the last two most",
        MOSTLY,
        partial(changed_layers, means=CHANGED_MOST),
    ),
    World(
        "C4",
        "the last two change most, three fine-tunings that differ",
        "the last two most",
        MOSTLY,
        partial(changed_layers, means=CHANGED_MOST, seeds=3, of_seeds=0.01),
    ),
    World(
        "C4",
        "the model is as good as the majority class",
        "it gains",
        RARELY,
        partial(gained_points, tuned=0.6, untrained=0.4, majority=0.6),
    ),
    World(
        "C4",
        "the model is as good as an untrained one",
        "it gains",
        RARELY,
        partial(gained_points, tuned=0.7, untrained=0.7, majority=0.5),
    ),
    World(
        "C6",
        "vertical heads are like the others",
        "they attend more to special tokens",
        RARELY,
        partial(special_attention, more=0.0),
    ),
    World(
        "C6",
        "vertical heads attend more, by 0.2",
        "they attend more to special tokens",
        MOSTLY,
        partial(special_attention, more=0.2),
    ),
)


def section() -> Section:
    """The verdicts on the claims, by the old rules and the new ones."""
    rows = []
    for number, world in enumerate(WORLDS):
        old, new = rates(world.draw, seed=number)
        rows.append((world.claim, world.truth, world.asked, world.wanted, str(old), str(new)))
    return Section(
        title="Verdicts on the paper's claims",
        text=f"{DRAWS:,} made runs each, judged by the functions that judge a run "
        f"([claims](claims.md)). Models have {LAYERS} layers of {HEADS} heads; scores and "
        f"cosines are over {EXAMPLES} examples where nothing else is said. *Old*: version 0.1.0, "
        "which took a loss that is not significant for no need, the layers with the lowest means "
        "for those that change most, and asked neither for a gain nor for a difference from the "
        "other heads; of C1, a 95% interval per share.",
        header=("claim", "what is true", "what is said", "should be said", "old", "new"),
        rows=rows,
    )
