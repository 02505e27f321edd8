"""Score a model with sets of heads disabled, and say which changes are more than noise (paper,
section 4.6).
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from headscope.ablation.guard import Guard
from headscope.ablation.variants import MEMORY, Scored, known, score_sets
from headscope.axes import Head, HeadSet, all_heads, check_inside, head_set, set_name
from headscope.errors import HeadscopeError, unknown
from headscope.examples import Labels
from headscope.model.attention import Mode
from headscope.model.encoding import Encoded
from headscope.model.model import Model
from headscope.model.passes import BATCH_TOKENS, logits
from headscope.model.precision import Precision, has_bf16
from headscope.progress import Advance, say, silent
from headscope.stats.best_of_many import Outcomes, best_gain, exchange, honest_gain, max_t, verdict
from headscope.stats.paired import (
    bootstrap,
    holm,
    interval,
    mcnemar,
    mean_interval,
    permutation,
    wilson,
)
from headscope.tasks.base import Task
from headscope.tasks.metrics import METRICS, losses, majority, predictions, score_rows

Logits = npt.NDArray[np.float32]
Row = dict[str, Any]


def parse_sets(
    spec: str,
    layers: int,
    heads: int,
    *,
    seed: int = 0,
    random_sets: int = 20,
    random_size: int = 1,
) -> list[tuple[str, HeadSet]]:
    """The named sets that `--heads` asks for.

    spec: "each" (every head in turn), "layers" (all heads of a layer, every layer in turn),
    "all-but-one" (all heads of a layer but one, for every head in turn: Michel et al. 2019, section
    3.3), "random" or "random:5" (a control: `random_sets` different sets of so many heads drawn
    from `seed`), one set such as "L1H2,L7H6", or several such sets with a semicolon between them.

    Raises HeadscopeError for anything else, or for heads that the model does not have.
    """
    every = all_heads(layers, heads)
    if spec == "each":
        return [(str(head), frozenset([head])) for head in every]
    if spec == "layers":
        return [
            (f"layer {layer}", frozenset(h for h in every if h.layer == layer))
            for layer in range(1, layers + 1)
        ]
    if spec == "all-but-one":
        if heads < 2:
            raise HeadscopeError(
                "--heads all-but-one needs layers of at least two heads; this model has one a layer"
            )
        return [
            (
                f"layer {one.layer} but {one}",
                frozenset(h for h in every if h.layer == one.layer and h != one),
            )
            for one in every
        ]
    if spec == "random" or spec.startswith("random:"):
        size = spec.removeprefix("random").removeprefix(":") or str(random_size)
        if not size.isdecimal():
            raise HeadscopeError(
                f"--heads {spec!r} is not understood: write random:5 for random sets of 5 heads"
            )
        random_size = int(size)
        if not 0 < random_size <= len(every):
            raise HeadscopeError(
                f"a random set of {random_size} heads cannot be drawn from {len(every)}"
            )
        rng = np.random.default_rng(seed)
        drawn: dict[str, HeadSet] = {}
        for _ in range(100 * random_sets):
            if len(drawn) == random_sets:
                break
            chosen = frozenset(every[i] for i in rng.choice(len(every), random_size, replace=False))
            drawn[set_name(chosen)] = chosen
        return list(drawn.items())
    named: dict[str, HeadSet] = {}
    for part in spec.split(";"):
        if "L" not in part.upper() and part.strip():
            raise HeadscopeError(
                f"--heads {spec!r} is not understood: give each, layers, all-but-one, random, or "
                "heads as in L1H2,L7H6"
            )
        chosen = head_set(part.strip())
        check_inside(chosen, layers, heads)
        if set_name(chosen) in named:
            raise HeadscopeError(
                f"--heads names the set {set_name(chosen)} twice: name every set once"
            )
        named[set_name(chosen)] = chosen
    return list(named.items())


def disabled_logits(
    model: Model,
    encoded: Encoded,
    heads: HeadSet,
    mode: Mode,
    *,
    batch_tokens: int = BATCH_TOKENS,
    precision: Precision = "auto",
) -> tuple[Logits, float]:
    """The outputs with `heads` disabled, and by how much the least moved of them moved (relative
    norm, > 0).
    """
    with model.disabled(heads, mode) as edit:
        out = logits(model, encoded, batch_tokens=batch_tokens, precision=precision)
    return out, min(edit.change.values())


def variant_logits(
    model: Model,
    encoded: Encoded,
    sets: Sequence[tuple[str, HeadSet]],
    mode: Mode,
    *,
    batch_tokens: int = BATCH_TOKENS,
    precision: Precision = "auto",
    memory: int = MEMORY,
    before: Logits | None = None,
    done: Collection[str] = (),
    advance: Advance = silent,
    note: Callable[[str], object] = say,
) -> Iterator[Scored]:
    """Like `disabled_logits` for many sets, and many times faster where the model is built like
    BERT.

    Yields (name, outputs, activation change) set by set, in the order of the sets' first layers: a
    few sets that begin in the same layer are finished for all examples before the next, so save
    what comes, and name it in `done` when the same sets are given again: it is left out, and the
    outputs of the others are what they would have been, bit for bit (with "auto" the same
    predictions). The change is that of the first batch, which is smaller here than in
    `disabled_logits`.

    precision: "fp32" is exact to rounding, "bf16" is not; "auto" predicts what float32 predicts,
    but computes in bfloat16 where the hardware has it, except for the examples whose margin is
    within rounding, and for regressions. before: the float32 outputs of the unchanged model, if
    they are known; only "auto" asks for them. memory: how many bytes of the model's states are
    kept; what does not fit is computed again.

    Raises HeadscopeError for a mode or a head that does not exist.
    """
    for _, heads in sets:
        with model.disabled(heads, mode):
            pass
    return _variant_logits(
        model, encoded, sets, mode, batch_tokens, precision, memory, before, done, advance, note
    )


def _variant_logits(
    model: Model,
    encoded: Encoded,
    sets: Sequence[tuple[str, HeadSet]],
    mode: Mode,
    batch_tokens: int,
    precision: Precision,
    memory: int,
    before: Logits | None,
    done: Collection[str],
    advance: Advance,
    note: Callable[[str], object],
) -> Iterator[Scored]:
    encoder = known(model, encoded, mode, note) if sets else None
    if encoder is None:
        for name, heads in sets:
            if name in done:
                continue
            out, change = disabled_logits(
                model, encoded, heads, mode, batch_tokens=batch_tokens, precision=precision
            )
            advance(1, name)
            yield Scored(name, out, change)
        return
    guard = None
    if (
        precision == "auto"
        and has_bf16(model.hf.device)
        and int(model.hf.config.num_labels or 0) > 1
    ):
        exact = (
            logits(model, encoded, batch_tokens=batch_tokens, precision="fp32")
            if before is None
            else before
        )
        rounded = logits(model, encoded, batch_tokens=batch_tokens, precision="bf16")
        guard = Guard(torch.from_numpy(rounded), torch.from_numpy(exact))
    for scored in score_sets(
        encoder,
        encoded,
        sets,
        mode,
        batch_tokens=batch_tokens,
        precision="bf16" if precision == "bf16" else "fp32",
        memory=memory,
        guard=guard,
        done=done,
    ):
        advance(1, scored.name)
        yield scored


def score_rows_of(
    task: Task, train: Labels, labels: Labels, out: Logits, *, configuration: str, seed: int
) -> list[Row]:
    """The `scores` rows of one configuration: every metric with its interval, beside the majority
    baseline.
    """
    predicted = predictions(task, out)
    rows = []
    for metric in task.metrics:
        value = METRICS[metric].score(labels, predicted)
        if metric == "accuracy":
            low, high = (100 * x for x in wilson(int((labels == predicted).sum()), len(labels)))
        else:
            low, high = interval(bootstrap(_row_score(metric), labels, [predicted], seed)[0])
        baseline = METRICS[metric].score(labels, majority(task, train, len(labels)))
        rows.append(
            {
                "configuration": configuration,
                "metric": metric,
                "seed": seed,
                "value": value,
                "low": low,
                "high": high,
                "n": len(labels),
                "unit": "points",
                "majority": baseline,
            }
        )
    return rows


def _row_score(metric: str) -> Any:
    return lambda labels, predicted: score_rows(metric, labels, predicted)


def effects(
    task: Task,
    labels: Labels,
    before: Logits,
    after: Mapping[str, tuple[Logits, float]],
    sets: Sequence[tuple[str, HeadSet]],
    *,
    mode: Mode,
    seed: int,
) -> list[Row]:
    """The `disabled` rows: per set and metric the change in points, its interval, p, and p
    corrected (Holm).

    The interval is a paired bootstrap over the examples; the test is exact McNemar for accuracy and
    a paired permutation test for the other metrics; the correction is over all sets of the table,
    metric by metric. Beside them, the same in every metric's row, how much the loss rises
    (`loss_change`: nats, or squared error), with a normal 95% interval over the examples, and how
    far the loss of an example moves either way (`loss_moved`).
    """
    loss = losses(task, labels, before)
    moved = {name: losses(task, labels, after[name][0]) - loss for name, _ in sets}
    base = predictions(task, before)
    changed = {name: predictions(task, after[name][0]) for name, _ in sets}
    rows = []
    for metric in task.metrics:
        score = _row_score(metric)
        drawn = bootstrap(score, labels, [base, *changed.values()], seed)
        baseline = METRICS[metric].score(labels, base)
        part: list[Row] = []
        for at, (name, heads) in enumerate(sets, start=1):
            value = METRICS[metric].score(labels, changed[name])
            low, high = interval(drawn[at] - drawn[0])
            exact = metric == "accuracy"
            p = (
                mcnemar(labels, base, changed[name])
                if exact
                else permutation(score, labels, base, changed[name], seed + at)
            )
            one: Head | None = next(iter(heads)) if len(heads) == 1 else None
            # Some heads of a layer are not the layer.
            layers = {head.layer for head in heads if one or name == f"layer {head.layer}"}
            part.append(
                {
                    "set": name,
                    "layer": layers.pop() if len(layers) == 1 else None,
                    "head": one.head if one else None,
                    "mode": mode,
                    "metric": metric,
                    "baseline": baseline,
                    "value": value,
                    "delta": value - baseline,
                    "low": low,
                    "high": high,
                    "n": len(labels),
                    "unit": "points",
                    "p": p,
                    "test": "exact McNemar" if exact else "paired permutation",
                    "activation_change": after[name][1],
                    **dict(
                        zip(
                            ("loss_change", "loss_low", "loss_high"),
                            _mean(moved[name]),
                            strict=True,
                        )
                    ),
                    "loss_moved": float(np.abs(moved[name]).mean()),
                }
            )
        for row, corrected in zip(part, holm(np.array([r["p"] for r in part])), strict=True):
            row["p_corrected"] = float(corrected)
        rows += part
    return rows


def _mean(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    sums = (np.array([total]) for total in (len(values), values.sum(), (values**2).sum()))
    mean, low, high = (float(one[0]) for one in mean_interval(*sums))
    return mean, low, high


def top_heads(rows: Sequence[Mapping[str, Any]], measure: str, count: int) -> list[Head]:
    """The `count` heads with the largest value of a measure, the first of them first; `rows` are of
    a `heads` table.

    Raises HeadscopeError when the table has no such measure, or not so many heads.
    """
    own = [row for row in rows if row["measure"] == measure and row["value"] is not None]
    if not own:
        raise unknown("measure of that run", measure, sorted({row["measure"] for row in rows}))
    if not 0 < count <= len(own):
        raise HeadscopeError(f"the top {count} heads by {measure} cannot be had of {len(own)}")
    own.sort(key=lambda row: (-row["value"], row["layer"], row["head"]))
    return [Head(row["layer"], row["head"]) for row in own[:count]]


def selection_rows(
    task: Task, labels: Labels, before: Logits, after: Mapping[str, Logits], *, seed: int
) -> list[dict[str, Any]]:
    """The `selection` rows, a metric each: the best gain of all sets beside the best that noise
    gives, and what is left of it on examples that did not choose.
    """
    names, base = list(after), predictions(task, before)
    others = np.stack([predictions(task, after[name]) for name in names])
    rows = []
    for metric in task.metrics:
        outcomes = Outcomes(metric, labels, base, others)
        drawn = exchange(outcomes, seed)
        best, honest = best_gain(drawn), honest_gain(outcomes, seed)
        said = verdict(metric, names, max_t(drawn), best, honest)
        rows.append(
            {
                "metric": metric,
                "sets": len(names),
                "best": names[best.index],
                "value": best.gain,
                "null_mean": best.null_mean,
                "null_high": best.null_high,
                "p": best.p,
                "honest": honest.gain,
                "low": honest.low,
                "high": honest.high,
                "n": len(labels),
                "unit": "points",
                "verdict": said.word,
                "text": said.text,
            }
        )
    return rows
