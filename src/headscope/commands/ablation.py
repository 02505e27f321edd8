"""What `disable` and `study` do with sets of heads: name them, score them, write their tables."""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float

from headscope.ablation.effects import effects
from headscope.ablation.joined_scorer import scorer_of
from headscope.ablation.scorer import MEMORY, Scorer
from headscope.ablation.selection import selection_rows
from headscope.ablation.sets import MOST_DIGITS, NamedSet, SetResult, top_heads
from headscope.ablation.workers import SetScorer
from headscope.axes import set_name
from headscope.commands.engine import spread
from headscope.commands.session import Session
from headscope.errors import HeadscopeError
from headscope.examples import Labels
from headscope.model.budget import device_batches
from headscope.model.model import Model
from headscope.model.precision import Precision
from headscope.model.resuming import Arrays, fits
from headscope.model.tap import Mode
from headscope.progress import progress, say
from headscope.results.run import Parts, Run
from headscope.results.saved import SavedTables
from headscope.tasks.outputs import Logits

_KEPT = "disabled"
OUTPUTS = "outputs"
"""The arrays of what the model puts out with nothing disabled (`logits`), and the true labels."""


@dataclass(frozen=True)
class KeptOutputs:
    """What a run of `disable` keeps of its examples.

    Attributes:
        labels: The true labels.
        unchanged: The outputs of the model with nothing disabled.
        disabled: Its outputs with each set disabled.
    """

    labels: Labels
    unchanged: Logits
    disabled: Float[np.ndarray, "set example output"]


def named_heads(spec: str, measured: Path | None) -> str:
    """`--heads` with top:MEASURE:COUNT replaced by the names of those heads.

    Args:
        spec: What `--heads` says.
        measured: The run whose `heads` table ranks them.

    Raises:
        HeadscopeError: The run or the measure does not exist, or only one of the two is named.
    """
    if not spec.startswith("top:"):
        if measured is not None:
            raise HeadscopeError(
                f"--measured goes with --heads top:MEASURE:COUNT, and --heads is {spec[:60]!r}"
            )
        return spec
    _, *words = spec.split(":")
    if len(words) != 2 or not words[1].isdecimal() or len(words[1]) > MOST_DIGITS:
        raise HeadscopeError(
            f"--heads {spec[:60]!r} is not understood: write top:MEASURE:COUNT, as in top:entropy:5"
        )
    tables = {} if measured is None else SavedTables(measured)
    if "heads" not in tables:
        where = (
            "--measured RUN is needed" if measured is None else f"{measured} holds no heads.parquet"
        )
        raise HeadscopeError(
            f"{where}: give the folder of headscope measure or compare, whose heads {spec} goes by"
        )
    return set_name(top_heads(tables["heads"], words[0], int(words[1])))


@dataclass(frozen=True)
class Scoring:
    """A model, its examples, and how its heads are disabled.

    Attributes:
        session: The task and the examples.
        model: The model.
        unchanged: The outputs of the model with nothing disabled.
        mode: What a disabled head puts out.
        precision: The number format.
        memory: How many bytes of states each device keeps.
        layers_kept: For how many layers the states of an example are kept; None for all.
    """

    session: Session
    model: Model
    unchanged: Logits
    mode: Mode
    precision: Precision
    memory: int = MEMORY
    layers_kept: int | None = 1

    def measure_means(self) -> None:
        """In the mode mean, measure what the heads put out on average."""
        if self.mode == "mean":
            tokens = self.session.settings.batch_tokens
            self.model.measure_means(device_batches(self.model, self.session.encoded, tokens))

    def score(self, sets: Sequence[NamedSet], done: Collection[str] = ()) -> Iterator[SetResult]:
        """The results of sets as they come, from this process or from others."""
        return self.scorer.score(sets, done=done)

    @cached_property
    def scorer(self) -> SetScorer:
        """What scores."""
        settings = self.session.settings
        joining = self.session.joining
        scorer = Scorer(
            self.model,
            self.session.encoded,
            self.mode,
            batch_tokens=settings.batch_tokens,
            precision=self.precision,
            memory=self.memory,
            layers_kept=self.layers_kept,
            unchanged=self.unchanged if joining is None else None,
            note=lambda text: say(text, quiet=settings.quiet),
        )
        return spread(scorer_of(scorer, joining), self.session)


def disable_sets(
    session: Session,
    model: Model,
    run: Run,
    sets: Sequence[NamedSet],
    unchanged: Logits,
    mode: Mode,
    *,
    memory: int = MEMORY,
) -> list[SetResult]:
    """Score a model with each set disabled.

    Every result is saved as it comes, and what an earlier run saved is not scored again.

    Args:
        session: The task and the examples.
        model: The model.
        run: Where results are saved.
        sets: The sets.
        unchanged: The outputs of the model with nothing disabled.
        mode: What a disabled head puts out.
        memory: How many bytes of states each device keeps.

    Returns:
        The results in the order of the sets.
    """
    settings = session.settings
    keep_outputs(run, unchanged, session.validation.labels)
    scoring = Scoring(session, model, unchanged, mode, settings.precision, memory)
    scoring.measure_means()
    results = saved_results(run, _KEPT, sets, unchanged.shape, quiet=settings.quiet)
    done = set(results)
    with progress("disabling heads", len(sets), quiet=settings.quiet, done=len(done)) as advance:
        for result in scoring.score(sets, done):
            save_result(run, _KEPT, result)
            results[result.name] = result
            advance(1, result.name)
    return [results[name] for name, _ in sets]


def write_effects(
    session: Session, run: Run, results: Sequence[SetResult], unchanged: Logits, mode: Mode
) -> pl.DataFrame:
    """Test what every set changes; write `disabled` and, for several sets, `selection`.

    Args:
        session: The task and the examples.
        run: Where the tables are written.
        results: What the model puts out with each set disabled.
        unchanged: What it puts out with nothing disabled.
        mode: What a disabled head puts out.

    Returns:
        The table `disabled`.
    """
    task, labels, seed = session.task, session.validation.labels, session.settings.seed
    groups = session.groups
    rows = effects(task, labels, unchanged, results, mode=mode, seed=seed, groups=groups)
    if len(results) > 1:
        tested = selection_rows(task, labels, unchanged, results, rows, seed=seed, groups=groups)
        run.table("selection", tested, **session.names)
    return run.table("disabled", rows, **session.names)


def keep_outputs(run: Run, unchanged: Logits, labels: Labels) -> None:
    """Save what the model puts out with nothing disabled, and the true labels."""
    run.arrays(OUTPUTS, {"logits": unchanged, "labels": labels})


def kept_outputs(folder: Path, names: Sequence[str]) -> KeptOutputs:
    """What a complete run of `disable` keeps of its examples.

    Args:
        folder: The run's.
        names: The names of the sets that are wanted, in this order.

    Raises:
        HeadscopeError: The folder does not hold all of it.
    """
    run = Run(folder)
    outputs, parts = run.saved_arrays(OUTPUTS), run.finished_parts(_KEPT)
    files = [_file_name(name) for name in names]
    if outputs is None or not parts.keys() >= {*files}:
        raise no_outputs(folder)
    return KeptOutputs(
        labels=outputs["labels"],
        unchanged=outputs["logits"],
        disabled=np.stack([parts[file]["logits"] for file in files]),
    )


def no_outputs(folder: Path) -> HeadscopeError:
    """What is said of a run that keeps no outputs."""
    return HeadscopeError(
        f"{folder} does not hold what its model puts out for every example: remove the folder, "
        "so that it is made again"
    )


def save_result(run: Run, group: str, result: SetResult) -> None:
    """Save what a model puts out with a set disabled, so that a resumed run need not score it."""
    arrays = {"logits": result.outputs, "change": np.array([result.activation_change])}
    run.part(group, _file_name(result.name), arrays)


def saved_results(
    run: Run, group: str, sets: Sequence[NamedSet], shape: tuple[int, ...], *, quiet: bool
) -> dict[str, SetResult]:
    """The results that an earlier run saved, by the set's name.

    Args:
        run: Where they were saved.
        group: Under which name.
        sets: The sets that are asked for.
        shape: The number of examples and of the model's outputs; any other result is refused.
        quiet: Whether to be silent about what is refused.
    """
    parts = Parts(run, group, quiet=quiet)
    expected: Arrays = {"logits": np.zeros(shape, np.float32), "change": np.zeros(1)}
    results = {}
    for name, heads in sets:
        arrays = parts.get(_file_name(name))
        if arrays is None:
            continue
        if not fits(arrays, expected) or not np.isfinite(arrays["logits"]).all():
            parts.refuse(_file_name(name))
        else:
            change = float(arrays["change"][0])
            results[name] = SetResult(name, heads, arrays["logits"], change)
    return results


def _file_name(name: str) -> str:
    """A set's name, or its hash: a long list of heads makes no file name."""
    return name if len(name) < 100 else hashlib.sha256(name.encode()).hexdigest()[:16]
