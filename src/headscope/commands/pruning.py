"""What `prune` does: search for a path, choose a size on it, test it, say what can go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from headscope.ablation.half import formats
from headscope.ablation.joined_scorer import scorer_of
from headscope.ablation.scorer import Scorer
from headscope.ablation.sets import NamedSet, SetResult
from headscope.ablation.workers import SetScorer
from headscope.axes import HeadSet, all_heads
from headscope.commands.disable import GIBIBYTE
from headscope.commands.engine import spread
from headscope.commands.path import check_layers
from headscope.commands.searching import (
    Examples,
    SavedLosses,
    SearchData,
    draw_search_data,
    score_path,
)
from headscope.errors import HeadscopeError
from headscope.model.budget import device_batches
from headscope.model.precision import Precision
from headscope.progress import progress, say
from headscope.pruning.choice import fewest_kept
from headscope.pruning.rows import (
    UNREPAIRED,
    PathSet,
    PrunedRow,
    Validation,
    margin_of,
    pruned_rows,
)
from headscope.pruning.search import search, steps_of
from headscope.stats.metrics import METRICS
from headscope.tasks.grouping import groups_of
from headscope.tasks.outputs import Logits, predictions

if TYPE_CHECKING:
    from headscope.commands.path import PathSettings
    from headscope.commands.session import Session
    from headscope.results.run import Run
    from headscope.tasks.scores import ScoreRow


@dataclass(frozen=True, eq=False)
class Size:
    """The best set of one size that the search found.

    Attributes:
        removed: The heads that are removed.
        loss: The mean loss on the examples of the search.
    """

    removed: HeadSet
    loss: float


@dataclass(frozen=True, eq=False)
class Path:
    """What a search found.

    Attributes:
        sizes: By the number of removed heads, from none to all.
        scored: How many sets the search scored.
        seconds: How long that took.
    """

    sizes: tuple[Size, ...]
    scored: int
    seconds: float

    @property
    def named(self) -> list[NamedSet]:
        """The sets with the names that they have in files."""
        return [(f"{len(size.removed)} removed", size.removed) for size in self.sizes]


@dataclass(frozen=True)
class Chosen:
    """Which sizes of a path are recommended, and by which scores.

    Attributes:
        removed: How many heads are removed: one number, or one for every share that was asked for.
        values: By metric, the score at every size on the examples that the size is chosen by; none
            where sizes were asked for.
    """

    removed: tuple[int, ...]
    values: dict[str, list[float]]


def check_worth(name: str, scores: Sequence[ScoreRow]) -> None:
    """Check that there is something to keep.

    Raises:
        HeadscopeError: The model scores no better than the majority class, or than one score for
            all examples.
    """
    first = scores[0]
    if first.majority is not None and not first.value > first.majority:
        raise HeadscopeError(
            f"{name} reaches {first.metric} {first.value:.1f} on {first.n} validation examples, "
            f"and always answering the same gives {first.majority:.1f}: no head is needed for "
            "that, so there is nothing to search for; fine-tune a model that learns the task"
        )


def _scorer(
    asked: PathSettings,
    session: Session,
    examples: Examples,
    precision: Precision,
    unchanged: Logits | None = None,
) -> SetScorer:
    scorer = Scorer(
        session.model,
        examples.encoded,
        asked.mode,
        batch_tokens=asked.batch_tokens,
        precision=precision,
        memory=int(asked.memory * GIBIBYTE),
        unchanged=unchanged if examples.joining is None else None,
        note=partial(say, quiet=asked.quiet),
    )
    return spread(scorer_of(scorer, examples.joining), session)


def _search_precision(asked: PathSettings, session: Session) -> Precision:
    """In which precision a search scores: half, where the device has it and nothing else is asked.

    Its error of a mean loss is far below what tells two samples of examples apart, and it takes
    three quarters of the time of exact predictions.
    """
    if asked.precision != "auto":
        return asked.precision
    return "bf16" if formats(session.model.hf.device) else "fp32"


def find_path(asked: PathSettings, session: Session, data: SearchData, run: Run) -> Path:
    """Search for the best set of every size; a search that was broken off goes on."""
    model, examples = session.model, data.search
    if asked.mode == "mean":
        model.measure_means(device_batches(model, examples.encoded, asked.batch_tokens))
    heads = all_heads(model.layers, model.heads)
    scorer = _scorer(asked, session, examples, _search_precision(asked, session))
    search_losses = SavedLosses(run, scorer, session.task, examples, heads, quiet=asked.quiet)
    with progress("searching", steps_of(len(heads)), quiet=asked.quiet) as advance:
        steps = search(search_losses, len(heads), advance=advance)
    sizes = [Size(search_losses.head_set(step.removed), step.loss) for step in steps]
    return Path(tuple(sizes), search_losses.count, search_losses.seconds)


def choose(
    asked: PathSettings,
    session: Session,
    data: SearchData,
    run: Run,
    path: Path,
    kept: Sequence[int],
) -> Chosen:
    """The sizes that were asked for; else the smallest whose score on examples that the search did
    not see stays within the margin.
    """
    heads = len(path.sizes) - 1
    if data.choice is None:
        return Chosen(tuple(heads - count for count in kept), {})
    task, labels = session.task, data.choice.split.labels
    groups = groups_of(data.choice.split)
    scorer = _scorer(asked, session, data.choice, asked.precision)
    results = _results_of(asked, run, "choice", scorer, path)
    values = {}
    for metric in task.metrics:
        score = METRICS[metric].score
        predicted = [predictions(task, one.outputs) for one in results]
        values[metric] = [score(labels, of_set, groups) for of_set in predicted]
    first = np.array(values[task.metrics[0]])
    return Chosen((fewest_kept(first, margin_of(first[0], asked.margin)),), values)


def _results_of(
    asked: PathSettings, run: Run, group: str, scorer: SetScorer, path: Path
) -> list[SetResult]:
    """What the model puts out for a scorer's examples with each set of a path removed."""
    label = f"scoring the path ({group})"
    results = score_path(run, group, scorer, path.named, label=label, quiet=asked.quiet)
    return [results[name] for name, _ in path.named]


@dataclass(frozen=True, eq=False)
class ScoredPath:
    """A path that was scored on the validation examples.

    Attributes:
        path_sets: What is known of every set without them.
        rows: The rows of the table `pruned`.
        validation: What the sets were judged by.
        chosen: Which sizes are recommended.
    """

    path_sets: tuple[PathSet, ...]
    rows: tuple[PrunedRow, ...]
    validation: Validation
    chosen: Chosen

    @property
    def recommended(self) -> list[PathSet]:
        """The recommended sets, in the order in which they were asked for."""
        return [self.path_sets[removed] for removed in self.chosen.removed if removed]

    def rows_of(self, path_set: PathSet) -> list[PrunedRow]:
        """The rows of a set, one per metric."""
        return [row for row in self.rows if row.removed == path_set.removed]


def score_on_validation(
    asked: PathSettings,
    session: Session,
    data: SearchData,
    run: Run,
    path: Path,
    chosen: Chosen,
    unchanged: Logits,
) -> ScoredPath:
    """Score a path on the validation examples."""
    examples = Examples(session.validation, session.encoded, session.joining)
    scorer = _scorer(asked, session, examples, asked.precision, unchanged)
    results = _results_of(asked, run, "validation", scorer, path)
    every = frozenset(all_heads(session.model.layers, session.model.heads))
    path_sets = []
    for number, size in enumerate(path.sizes):
        path_sets.append(
            PathSet(
                kept=every - size.removed,
                removed=number,
                repair=UNREPAIRED,
                search_loss=size.loss,
                choice_values={metric: of[number] for metric, of in chosen.values.items()},
                scored=path.scored,
                seconds=path.seconds,
                chosen=number in chosen.removed and number > 0,
            )
        )
    validation = Validation(
        task=session.task,
        train=session.train.labels,
        labels=session.validation.labels,
        unchanged=unchanged,
        mode=asked.mode,
        within=asked.margin,
        search_n=len(data.search),
        choice_n=data.choice_n,
        seed=asked.seed,
        groups=session.groups,
    )
    outputs = np.stack([result.outputs for result in results])
    changes = [result.activation_change if result.heads else None for result in results]
    rows = pruned_rows(path_sets, outputs, changes, validation)
    return ScoredPath(tuple(path_sets), tuple(rows), validation, chosen)


def add_path(
    asked: PathSettings,
    session: Session,
    run: Run,
    scores: Sequence[ScoreRow],
    outputs: Logits,
    left_out: npt.NDArray[np.int64] | None = None,
) -> tuple[str, ...]:
    """Search for the heads that can go together, and write the table `pruned`.

    Args:
        asked: What the search is asked.
        session: The model and the examples.
        run: Where the table is written.
        scores: The scores of the model.
        outputs: What it puts out for the validation examples.
        left_out: The training examples that fine-tuning left out, where they are known.

    Returns:
        What the user must know: why there is no search, or what it looked at.
    """
    try:
        check_layers(session.model)
        check_worth(session.model.name, scores)
        data = draw_search_data(session, asked.search_examples, is_choosing=True, left_out=left_out)
    except HeadscopeError as error:
        note = f"there is no search for heads that can go together: {error}"
        say(f"note: {note}", quiet=asked.quiet)
        return (note,)
    path = find_path(asked, session, data, run)
    chosen = choose(asked, session, data, run, path, ())
    scored = score_on_validation(asked, session, data, run, path, chosen, outputs)
    run.table("pruned", scored.rows, **session.names)
    return data.notes
