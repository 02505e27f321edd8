"""What disabling heads costs on texts in memory: sets, pairs, Shapley values."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from headscope.ablation.effects import effects
from headscope.ablation.interactions import interaction_rows, pair_sets
from headscope.ablation.scorer import Scorer
from headscope.ablation.sets import NamedSet, SetResult, parse_sets
from headscope.ablation.shapley import PAIRS, orders, shapley_rows, walked_sets
from headscope.ablation.together import loss_rises, loss_unit
from headscope.axes import HeadSet
from headscope.commands.given import HeadsLike, ModelLike, heads_spec
from headscope.errors import HeadscopeError
from headscope.examples import Labels
from headscope.in_memory.shared import encoded_texts, frame, model_of
from headscope.model.budget import device_batches
from headscope.model.encoding import MAX_LENGTH
from headscope.model.model import Model
from headscope.model.precision import Precision
from headscope.model.tap import Mode
from headscope.model.texts import Texts
from headscope.stats.groups import Groups
from headscope.tasks.base import Task
from headscope.tasks.guessing import is_missing


def head_effects(
    model: ModelLike,
    texts: Texts,
    labels: Iterable[object],
    heads: HeadsLike = "each",
    *,
    mode: Mode = "uniform",
    seed: int = 0,
    max_length: int = MAX_LENGTH,
    batch_tokens: int | None = None,
    precision: Precision = "auto",
    groups: Iterable[Hashable] | None = None,
) -> pl.DataFrame:
    """What it costs to disable sets of heads: the change of the score, its interval and its test.

    >>> headscope.head_effects(model, texts, labels).sort("delta")          # doctest: +SKIP

    Args:
        model: A headscope.Model with a trained head for texts, or the name or the folder of one.
        texts: A text, a pair of texts in a tuple, or a list of either.
        labels: The true labels: names of the model's classes or their indices; scores for a model
            with one output.
        heads: "each", "layers", "all-but-one", "random:5"; heads that are disabled together, as in
            "L1H2,L7H6"; or a list of such lists, each in turn.
        mode: "uniform", "zero" or "mean": what a disabled head puts out (`Model.disabled`).
        seed: Random seed of random sets, intervals and tests.
        max_length: Longer texts are cut to so many tokens, and counted in a note.
        batch_tokens: The most tokens in a batch; by default what fits.
        precision: "auto" predicts what float32 predicts.
        groups: What each text is of, as its document: texts with the same value are one case in
            intervals and tests; by default each is its own.

    Returns:
        A row per set and metric, as the table `disabled`. P-values are adjusted for all sets of the
        call.

    Raises:
        HeadscopeError: The model has no trained head, labels are missing or none of its classes, or
            a head does not exist.
    """
    spec = heads_spec(heads)
    if not isinstance(spec, str):
        raise HeadscopeError(f"heads must be a text or a list of heads, got {heads!r:.60}")
    model = model_of("model", model)
    sets = parse_sets(spec, model.layers, model.heads, seed=seed)
    scored = _Scored(model, texts, labels, mode, max_length, batch_tokens, precision)
    cases = scored.groups(groups)
    results = scored.results(sets)
    rows = effects(
        scored.task,
        scored.labels,
        scored.unchanged,
        results,
        mode=mode,
        seed=seed,
        groups=cases,
    )
    return frame("disabled", rows)


def head_interactions(
    model: ModelLike,
    texts: Texts,
    labels: Iterable[object],
    *,
    mode: Mode = "uniform",
    seed: int = 0,
    max_length: int = MAX_LENGTH,
    batch_tokens: int | None = None,
    groups: Iterable[Hashable] | None = None,
) -> pl.DataFrame:
    """Whether two heads cost together what they cost alone, added up: all pairs of heads.

    >>> headscope.head_interactions(model, texts, labels).sort("p_corrected")  # doctest: +SKIP

    Args:
        model: A headscope.Model with a trained head for texts, or the name or the folder of one.
        texts: A text, a pair of texts in a tuple, or a list of either.
        labels: As those of `head_effects`.
        mode: What a disabled head puts out (`Model.disabled`).
        seed: Random seed of the test.
        max_length: Longer texts are cut to so many tokens, and counted in a note.
        batch_tokens: The most tokens in a batch; by default what fits.
        groups: As those of `head_effects`.

    Returns:
        A row per pair, as the table `interactions`; losses are in float32.

    Raises:
        HeadscopeError: As `head_effects`.
    """
    model = model_of("model", model)
    scored = _Scored(model, texts, labels, mode, max_length, batch_tokens, "fp32")
    pairs = pair_sets(model.layers, model.heads)
    cases = scored.groups(groups)
    rises = scored.rises([*parse_sets("each", model.layers, model.heads), *pairs])
    unit = loss_unit(scored.task)
    rows = interaction_rows(rises, pairs, mode=mode, unit=unit, seed=seed, groups=cases)
    return frame("interactions", rows)


def shapley_values(
    model: ModelLike,
    texts: Texts,
    labels: Iterable[object],
    *,
    pairs: int = PAIRS,
    mode: Mode = "uniform",
    seed: int = 0,
    max_length: int = MAX_LENGTH,
    batch_tokens: int | None = None,
    groups: Iterable[Hashable] | None = None,
) -> pl.DataFrame:
    """How the rise of the loss with all heads disabled is shared out among them.

    >>> headscope.shapley_values(model, texts, labels, pairs=5)             # doctest: +SKIP

    Args:
        model: A headscope.Model with a trained head for texts, or the name or the folder of one.
        texts: A text, a pair of texts in a tuple, or a list of either.
        labels: As those of `head_effects`.
        pairs: From how many antithetic pairs of orders; two at least.
        mode: What a disabled head puts out (`Model.disabled`).
        seed: Draws the orders.
        max_length: Longer texts are cut to so many tokens, and counted in a note.
        batch_tokens: The most tokens in a batch; by default what fits.
        groups: As those of `head_effects`.

    Returns:
        A row per head, as the table `shapley`; losses are in float32.

    Raises:
        HeadscopeError: `pairs` is less than 1; or as `head_effects`.
    """
    if isinstance(pairs, bool) or not isinstance(pairs, int) or pairs < 1:
        raise HeadscopeError(f"pairs must be a whole number of at least 1, got {pairs!r}")
    model = model_of("model", model)
    scored = _Scored(model, texts, labels, mode, max_length, batch_tokens, "fp32")
    cases = scored.groups(groups)
    walked = orders(model.layers, model.heads, pairs, seed)
    singles = parse_sets("each", model.layers, model.heads)
    more = [named for named in walked_sets(walked) if len(named[1]) > 1]
    rises = scored.rises([*singles, *more])
    unit = loss_unit(scored.task)
    return frame("shapley", shapley_rows(rises, walked, mode=mode, unit=unit, groups=cases))


class _Scored:
    """A model whose heads are disabled on texts with labels."""

    def __init__(
        self,
        model: Model,
        texts: Texts,
        labels: Iterable[object],
        mode: Mode,
        max_length: int,
        batch_tokens: int | None,
        precision: Precision,
    ) -> None:
        if not model.trained_head:
            raise HeadscopeError(
                f"{model.name} has no trained head for texts, so there is no score to lose: "
                "fine-tune it first with headscope.finetune"
            )
        split, encoded = encoded_texts(model, texts, max_length)
        self.task = _task(model)
        self.labels = _labels(self.task, labels, len(split))
        if mode == "mean":
            model.measure_means(device_batches(model, encoded, batch_tokens))
        self._scorer = Scorer(model, encoded, mode, batch_tokens=batch_tokens, precision=precision)

    @property
    def unchanged(self) -> Float[np.ndarray, "example output"]:
        """The outputs of the model with nothing disabled."""
        return self._scorer.unchanged

    def groups(self, given: Iterable[Hashable] | None) -> Groups | None:
        """The groups of the texts; None where each is its own.

        Raises:
            HeadscopeError: There is not one value a text.
        """
        if given is None:
            return None
        if isinstance(given, str):
            raise HeadscopeError(f"groups must be a list, one a text, got {given!r:.60}")
        values = list(given)
        if len(values) != len(self.labels):
            raise HeadscopeError(
                f"{len(self.labels)} texts have {len(values)} groups: give one a text"
            )
        for row, value in enumerate(values, start=1):
            if is_missing(value):
                raise HeadscopeError(f"group {row} is {value!r}: say of every text what it is of")
        groups = Groups.of(values)
        return None if len(groups) == len(values) else groups

    def results(self, sets: Sequence[NamedSet]) -> list[SetResult]:
        """What the model puts out with each set disabled, in the order of the sets."""
        found = {result.name: result for result in self._scorer.score(sets)}
        return [found[name] for name, _ in sets]

    def rises(self, sets: Sequence[NamedSet]) -> dict[HeadSet, np.ndarray]:
        """By how much each set raises the loss of every example."""
        return loss_rises(self.task, self.labels, self.unchanged, self.results(sets))


def _task(model: Model) -> Task:
    """The task that the model's head is for, as far as its outputs say."""
    classes = model.classes
    if len(classes) == 1:
        return Task("texts", ("text",), (), ("spearman", "pearson"), limits=(-np.inf, np.inf))
    return Task("texts", ("text",), classes, ("accuracy",))


def _labels(task: Task, labels: Any, count: int) -> Labels:
    """Class indices, or scores.

    Raises:
        HeadscopeError: One is missing, or is no class of the model.
    """
    if isinstance(labels, str) or not hasattr(labels, "__len__"):
        raise HeadscopeError(f"labels must be a list, one a text, got {labels!r:.60}")
    values = labels.tolist() if hasattr(labels, "tolist") else list(labels)
    if len(values) != count:
        raise HeadscopeError(f"{count} texts have {len(values)} labels: give one a text")
    read = _score if task.is_regression else _class
    numbers = [read(task, row, value) for row, value in enumerate(values, start=1)]
    if task.is_regression:
        return np.array(numbers, np.float64)
    return np.array(numbers, np.int64)


def _score(task: Task, row: int, value: object) -> float:  # noqa: ARG001
    if isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value):
        return float(value)
    raise HeadscopeError(f"label {row} is {value!r:.60}: the model gives scores, so give numbers")


def _class(task: Task, row: int, value: object) -> int:
    by_name = {name.casefold(): number for number, name in enumerate(task.labels)}
    if isinstance(value, str) and value.casefold() in by_name:
        return by_name[value.casefold()]
    if isinstance(value, bool | int | float) and value in range(len(task.labels)):
        return int(value)
    raise HeadscopeError(
        f"label {row} is {value!r:.60}: give a class of the model ({', '.join(task.labels)}) or "
        f"its index from 0 to {len(task.labels) - 1}"
    )
