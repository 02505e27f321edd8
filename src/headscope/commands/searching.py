"""What `prune` looks at, and how it asks for losses: every call of the search is saved."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from headscope.ablation.joined_scorer import Joining
from headscope.ablation.sets import NamedSet, SetResult
from headscope.ablation.workers import SetScorer
from headscope.axes import Head, HeadSet
from headscope.commands.ablation import save_result, saved_results
from headscope.commands.path import LEAST
from headscope.commands.rows import fine_tuned_on
from headscope.commands.session import Session
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.model.encoding import Encoded
from headscope.model.text_pairs import TextPairs
from headscope.progress import progress
from headscope.pruning.search import Heads
from headscope.pruning.surrogate import Sets
from headscope.results.run import Parts, Run
from headscope.stats.groups import Groups
from headscope.tasks.base import Task
from headscope.tasks.outputs import Logits, losses

_CALLS = "search"


@dataclass(frozen=True, eq=False)
class Examples:
    """Some examples and their token ids.

    Attributes:
        split: The examples.
        encoded: The same as token ids; those of all texts where an example has several.
        joining: Which texts are of one example, where it has several.
    """

    split: Split
    encoded: Encoded
    joining: Joining | None = None

    def __len__(self) -> int:
        return len(self.split)


@dataclass(frozen=True, eq=False)
class SearchData:
    """The training examples that a search looks at, and those by which a size is chosen.

    Attributes:
        search: The first.
        choice: The second; they share no example. None where nothing is to be chosen.
        notes: What the user must know of them.
    """

    search: Examples
    choice: Examples | None
    notes: tuple[str, ...]

    @property
    def choice_n(self) -> int:
        """By how many examples a size is chosen."""
        return 0 if self.choice is None else len(self.choice)


def draw_search_data(
    session: Session,
    most: int,
    *,
    is_choosing: bool,
    left_out: npt.NDArray[np.int64] | None = None,
) -> SearchData:
    """Draw the training examples that a search may look at.

    Those that the model was not fine-tuned on are taken, where its folder says which they are: of
    examples that it has learnt by heart it hardly loses any.

    Args:
        session: The task and the model.
        most: At most so many examples for the search, and as many to choose by.
        is_choosing: Whether the number of heads is to be chosen.
        left_out: The training examples that fine-tuning left out, where they are known; by default
            those that the model's folder tells of.

    Raises:
        HeadscopeError: There are too few.
    """
    new = _left_out(session) if left_out is None else left_out
    is_new = len(new) >= LEAST
    pool = new if is_new else np.arange(len(session.data.train))
    if len(pool) < LEAST:
        raise HeadscopeError(
            f"{session.task.name} has {len(pool)} training examples, and a search for heads that "
            f"can go needs at least {LEAST}: the validation examples are not for it"
        )
    shuffled = np.random.default_rng(session.settings.seed).permutation(pool)
    groups = session.data.train.groups
    if groups is not None:
        # Groups stay together, in the order in which the first of their rows was drawn.
        drawn = Groups.of([groups[row] for row in shuffled]).number
        shuffled = shuffled[np.argsort(drawn, kind="stable")]
    largest = len(pool) * 2 // 3 if is_choosing else len(pool)
    size = min(most, largest)
    notes: tuple[str, ...] = ()
    # An embedder was not fine-tuned on this task here, as far as anyone knows.
    if not is_new and session.pooling is None:
        notes = (
            "the search looks at training examples that the model may have been fine-tuned on, and "
            "losses on those say less of new examples: fine-tune with --train-examples, and those "
            "that it leaves out are taken",
        )
    first, rest = shuffled[:size], shuffled[size:]
    if groups is not None:
        # What a size is chosen by is of no group that the search looked at.
        seen = {groups[row] for row in first}
        rest = np.array([row for row in rest if groups[row] not in seen], dtype=np.int64)
        if is_choosing and len(rest) < LEAST:
            raise HeadscopeError(_few_groups(session, len(rest)))
    search = _examples(session, first)
    choice = _examples(session, rest[:most]) if is_choosing else None
    return SearchData(search, choice, notes)


def _few_groups(session: Session, count: int) -> str:
    return (
        f"{count} training examples are of no group of --group {session.task.group} that the "
        f"search looks at, and choosing how many heads are kept needs at least {LEAST}: give fewer "
        "--search-examples, or say with --keep how many are kept"
    )


def _examples(session: Session, rows: npt.NDArray[np.int64]) -> Examples:
    split = session.data.train.take(np.sort(rows))
    if session.pooling is None:
        read = session.read(split, f"training {session.unit}")
        return Examples(read.split, read.encoded, read.joining)
    length, prompt = session.encoded.max_length, session.pooling.prompt
    pairs = TextPairs.of(split, session.model.tokenizer, length, prompt)
    return Examples(split, pairs.encoded, pairs)


def not_among(session: Session, count: int, seed: int) -> npt.NDArray[np.int64]:
    """The training examples that are not among so many that were drawn from a seed."""
    rows = session.data.train.drawn(count, seed)
    return np.setdiff1d(np.arange(len(session.data.train)), rows)


def _left_out(session: Session) -> npt.NDArray[np.int64]:
    """The training examples that fine-tuning left out, as far as the model's folder tells."""
    none = np.zeros(0, dtype=np.int64)
    record = fine_tuned_on(session.model)
    if record is None or record.task.name != session.task.name:
        return none
    if record.data.hash != session.data.hash:
        return none
    return not_among(session, record.data.train, record.seed)


class SavedLosses:
    """Gives the loss of sets of heads, as a search asks for them, and saves every call.

    A search that is begun again asks the same questions, and is answered from what was saved.

    Args:
        run: Where calls are saved.
        scorer: Scores sets on the examples of the search.
        task: Says which loss.
        examples: The examples, with their true labels.
        heads: All heads of the model, in the order of a set's columns.
        quiet: Whether to be silent about damaged files.

    Attributes:
        count: How many sets it was asked for.
        seconds: How long scoring them took, in this run and in those before.
    """

    def __init__(
        self,
        run: Run,
        scorer: SetScorer,
        task: Task,
        examples: Examples,
        heads: Sequence[Head],
        *,
        quiet: bool,
    ) -> None:
        self._scorer, self._task, self._examples, self._heads = scorer, task, examples, heads
        self._parts = Parts(run, _CALLS, quiet=quiet)
        self._calls = 0
        self.count, self.seconds = 0, 0.0

    def __call__(self, sets: Sets) -> Float[np.ndarray, "set"]:
        """The mean losses of the examples with each set removed."""
        self._calls += 1
        name = f"{self._calls:05}"
        kept = self._parts.get(name)
        if kept is not None and np.array_equal(kept["sets"], sets):
            # What the scorer shares between sets depends on those that it has seen.
            self._scorer.plan(self._named(sets))
        else:
            if kept is not None:
                self._parts.refuse(name)
            kept = self._scored(sets)
            self._parts.put(name, kept)
        self.count += len(sets)
        self.seconds += float(kept["seconds"][0])
        return np.asarray(kept["losses"], dtype=np.float64)

    def _scored(self, sets: Sets) -> dict[str, npt.NDArray[np.generic]]:
        began = time.monotonic()
        values = np.zeros(len(sets))
        changes = np.full(len(sets), np.inf)
        results = {result.name: result for result in self._scorer.score(self._named(sets))}
        for number, removed in enumerate(sets):
            if not removed.any():
                values[number] = self._loss(self._scorer.unchanged)
                continue
            result = results[str(number)]
            values[number] = self._loss(result.outputs)
            changes[number] = result.activation_change
        seconds = np.array([time.monotonic() - began])
        return {"sets": sets, "losses": values, "change": changes, "seconds": seconds}

    def _named(self, sets: Sets) -> list[NamedSet]:
        # The scorer takes no empty set: its outputs are those of the unchanged model.
        removed = np.flatnonzero(sets.any(1))
        return [(str(number), self.head_set(sets[number])) for number in removed]

    def head_set(self, removed: Heads) -> HeadSet:
        """The heads that a row of a search removes."""
        return frozenset(self._heads[number] for number in np.flatnonzero(removed).tolist())

    def _loss(self, outputs: Logits) -> float:
        return float(losses(self._task, self._examples.split.labels, outputs).mean())


def score_path(
    run: Run,
    group: str,
    scorer: SetScorer,
    sets: Sequence[NamedSet],
    *,
    label: str,
    quiet: bool,
) -> dict[str, SetResult]:
    """What a model puts out with each set of a path removed; saved as it comes.

    Args:
        run: Where results are saved.
        group: Under which name.
        scorer: Scores sets on the examples.
        sets: The sets; one that is empty is the whole model.
        label: What is going on, for the progress.
        quiet: Whether to show no progress.
    """
    shape = scorer.unchanged.shape
    results = saved_results(run, group, sets, shape, quiet=quiet)
    wanted = [(name, heads) for name, heads in sets if heads]
    for name, heads in sets:
        if not heads:
            results[name] = SetResult(name, heads, scorer.unchanged, float("inf"))
    done = sum(name in results for name, _ in wanted)
    with progress(label, len(wanted), quiet=quiet, done=done) as advance:
        for result in scorer.score(wanted, done=set(results)):
            save_result(run, group, result)
            results[result.name] = result
            advance(1, result.name)
    return results
