"""What every command on a task begins with: the task, its data, the model, the encoded examples."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headscope.ablation.joined_scorer import Joining
from headscope.cache import cache_folder
from headscope.commands.engine import Engine
from headscope.commands.record import record
from headscope.commands.rows import check_division, chosen_part, examples_of, majority_note
from headscope.commands.settings import MeasureSettings, RunSettings, TaskSettings, WordSource
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.measures import definition
from headscope.model.classes import OF_TEXTS, Head
from headscope.model.encoding import Encoded, encode, only
from headscope.model.fingerprint import fingerprint
from headscope.model.loading import Init, load
from headscope.model.model import Model
from headscope.model.pooling import Pooling
from headscope.model.questions import QuestionMarker
from headscope.model.scored import Outputs, outputs_of
from headscope.model.token_marks import Marked, TokenMarker
from headscope.model.tokenizers import unknown_note, unplaced_note
from headscope.names import CUT_TO
from headscope.progress import say, say_notes
from headscope.results.lock import locked
from headscope.results.record import DataRecord, Record, TaskRecord
from headscope.results.run import Run
from headscope.stats.groups import Groups
from headscope.tasks.base import Task
from headscope.tasks.files import Data
from headscope.tasks.grouping import group_notes, groups_of
from headscope.words.align import Aligned, align
from headscope.words.beginnings import CONTEXT, beginnings
from headscope.words.sources import resolved, tag

ANY_WORDS = WordSource()
GENERATED = (2000, 300)
"""How many training and validation rows a task makes that generates its own data."""


@dataclass(frozen=True)
class Session:
    """A model and the rows of a task that a command works on, encoded.

    Attributes:
        settings: What the command was asked.
        train: The training examples.
        validation: The examples that are scored and measured.
        encoded: The same as token ids.
        notes: What the user must know of the data: what was left out or cut.
        source: Who says what the words of a text are.
        joining: Which texts of `encoded` are of one example: an embedder's two, or the windows in
            which answers are sought; None where each is one.
        pooling: How the states of an embedder become vectors; None for a head.
        marker: Says which tokens or questions are scored; None where texts are.
        began: When the command began, in seconds of the monotonic clock.
        engine: The workers that share what can be shared; None for this process alone.
    """

    settings: TaskSettings | MeasureSettings
    model: Model
    task: Task
    data: Data
    train: Split
    validation: Split
    encoded: Encoded
    notes: tuple[str, ...]
    source: WordSource
    began: float
    joining: Joining | None = None
    pooling: Pooling | None = None
    marker: TokenMarker | QuestionMarker | None = None
    engine: Engine | None = None

    @property
    def names(self) -> dict[str, str]:
        """The columns that every table of the run begins with."""
        return {"model": self.model.name, "task": self.task.name}

    @cached_property
    def groups(self) -> Groups | None:
        """Which examples are of one case in tests and intervals; None where each is its own."""
        return groups_of(self.validation)

    @cached_property
    def words(self) -> list[Aligned]:
        """The tagged words of every validation example, with their tokens."""
        return self._aligned(self.encoded, self.validation)

    def word_numbers(self, rows: npt.NDArray[np.int64]) -> list[list[int]]:
        """The number of the word that each token belongs to, -1 for a token without a word.

        Args:
            rows: Indices of validation examples.

        Returns:
            A list per example of `rows` with a number per token.
        """
        chosen = only(self.encoded, rows.tolist())
        numbers = [[-1] * len(segments) for segments in chosen.segments]
        for tokens_of, aligned in zip(
            numbers, self._aligned(chosen, self.validation.take(rows)), strict=True
        ):
            for number, tokens in enumerate(aligned.tokens):
                for token in tokens:
                    tokens_of[token] = number
        return numbers

    def word_notes(self) -> tuple[str, ...]:
        """What the user must know of the words: how many texts were not read to their end."""
        _, cut = beginnings(self.encoded, self.validation)
        if not cut:
            return ()
        return (
            f"{cut} texts are longer than their tokens by far: words were looked for up to "
            f"{CONTEXT} characters behind the last token",
        )

    def _aligned(self, encoded: Encoded, split: Split) -> list[Aligned]:
        return aligned_words(encoded, split, self.source, quiet=self.settings.quiet)

    def request(self, **asked: object) -> dict[str, object]:
        """What was asked, as the run folder keeps it to know its own request again."""
        return {
            "command": self.settings.command,
            "headscope": version("headscope"),
            "model": self.model.hash,
            **fingerprint(self.model),
            "task": self.task.name,
            "definition": task_hash(self.task),
            "data": self.data.hash,
            "train": len(self.train),
            "validation": len(self.validation),
            "max_length": self.encoded.max_length,
            "seed": self.settings.seed,
            "precision": self.settings.precision,
            **self._kind,
            **asked,
        }

    @property
    def _kind(self) -> dict[str, object]:
        if self.pooling is not None:
            of_pool = {"pool": self.pooling.pool, "prompt": self.pooling.prompt}
            return {"as": "embedding", **of_pool, "loss": "squared distance from a line"}
        if self.marker is not None:
            return {"as": self.marker.kind}
        return {}

    def read(self, split: Split, called: str) -> Marked:
        """Examples as the model reads them.

        Args:
            split: The examples.
            called: What a note calls them.
        """
        tokenizer, length = self.model.tokenizer, self.encoded.max_length
        if isinstance(self.marker, QuestionMarker):
            return self.marker.read(split, tokenizer, length, called)
        encoded = encode(split, tokenizer, length)
        if self.marker is None:
            return Marked(split, encoded)
        return self.marker.mark(split, encoded, called)

    @property
    def outputs(self) -> Outputs:
        """What is scored of the model."""
        return outputs_of(self.task.outputs, self.pooling, self.marker)

    def scoring(self, model: Model) -> Model:
        """A model as it is scored: of tokens, one that puts out their losses and classes, of
        questions their losses and answers, of an embedder vectors.
        """
        return model if model.puts_out == self.outputs.puts_out else self.outputs.of(model)

    @property
    def unit(self) -> str:
        """What the examples are called."""
        return "examples" if self.marker is None else self.marker.unit

    @property
    def head(self) -> Head:
        """The kind of head that the model has for the task."""
        return OF_TEXTS if self.marker is None else self.marker.head

    @property
    def word_request(self) -> dict[str, str]:
        """What the words of the examples come from, for the request of a command that uses them."""
        source = self.source
        return {
            "words": source.words,
            "language": source.language,
            "word_source": resolved(self.validation, source.words, source.language),
        }

    @property
    def inputs(self) -> tuple[str, ...]:
        """The folders and files that the session was read from."""
        return (self.model.path, self.data.source)

    def record(
        self,
        request: Mapping[str, object],
        model: Model,
        notes: tuple[str, ...] = (),
        *,
        measures: Sequence[str] = (),
        repeat: str | None = None,
    ) -> Record:
        """The content of run.json.

        Args:
            request: What was asked.
            model: The model that was scored or measured.
            notes: What the user must know beside the session's notes.
            measures: Names of the measures in the tables.
            repeat: The command line that repeats the run; by default that of the settings.
        """
        return record(
            self.model,
            model,
            request,
            task=TaskRecord(self.task.name, self.task.labels, self.task.metrics, self.task.columns),
            data=DataRecord(
                self.data.source, self.data.hash, len(self.train), len(self.validation)
            ),
            notes=(*self.notes, *notes),
            seed=self.settings.seed,
            definitions={name: definition(name) for name in measures},
            repeat=repeat or self.settings.command_line(),
            seconds=time.monotonic() - self.began,
        )


def open_session(
    settings: TaskSettings | MeasureSettings,
    model: str,
    *,
    source: WordSource = ANY_WORDS,
    train_examples: int | None = None,
    init: Init = "pretrained",
    needs_head: bool = True,
    needs_train: bool = True,
    at_most: int | None = None,
    part: str = "validation",
    task: Task | None = None,
) -> Session:
    """Load everything, and say what the user must know of it.

    The task comes first, since a mistake there is found at once.

    Args:
        settings: What the command was asked.
        model: A hub name, a folder, or the embedded model.
        source: Who says what the words of a text are.
        train_examples: At most so many training examples; None for all.
        init: Whether the weights are the checkpoint's or random.
        needs_head: Whether the model must have a head for the task; it gets a new one.
        needs_train: Whether data without a training split are refused.
        at_most: How many validation examples to take where the settings do not say.
        part: Which examples are scored and measured; see `chosen_part`.
        task: The task of the settings, where it was found already.

    Raises:
        HeadscopeError: The task, its data, or the model cannot be used.
    """
    began = time.monotonic()
    seed = settings.seed
    sizes = (train_examples or GENERATED[0], settings.examples or GENERATED[1])
    task, data = examples_of(settings, sizes, needs_train=needs_train, task=task)
    train = data.train.sample(train_examples, seed)
    validation = chosen_part(data, part, seed).sample(settings.examples or at_most, seed)
    labels = task.outputs if needs_head else None
    loaded = load(model, labels=labels, init=init, seed=seed)
    divided_notes = check_division(loaded, task, data, seed) if needs_head else ()
    limit = min(settings.max_length, loaded.max_length)
    encoded = encode(validation, loaded.tokenizer, limit)
    notes = (*loaded.notes, *train.notes, *validation.notes, *divided_notes)
    notes += majority_note(task, data)
    if needs_head:
        notes += group_notes(task, validation)
    notes += cut_note(encoded, "validation" if task.has_labels else "text")
    say_notes(notes, quiet=settings.quiet)
    return Session(
        settings=settings,
        model=loaded,
        task=task,
        data=data,
        train=train,
        validation=validation,
        encoded=encoded,
        notes=notes,
        source=source,
        began=began,
    )


@contextmanager
def begin(
    settings: RunSettings, request: Mapping[str, object], inputs: Sequence[str | Path]
) -> Iterator[Run]:
    """Open the run folder and lock it while the context is open; say whether it holds something of
    this run already.

    Args:
        settings: What the command was asked.
        request: The same with the hashes of all that the results depend on.
        inputs: The files and folders that the command reads, which are not to be overwritten.

    Raises:
        HeadscopeError: The folder holds another run, or anything else; another process writes into
            it; or with --overwrite it holds an input.
    """
    out, quiet = settings.out, settings.quiet
    if settings.overwrite:
        check_inputs(out, inputs)
    with locked(out):
        run = Run.begin(out, request, overwrite=settings.overwrite)
        if damaged := run.repair():
            say(f"{', '.join(damaged)} in {out} is damaged: it is made again", quiet=quiet)
        if run.is_complete:
            say(
                f"{out} holds the result of this very command already (--overwrite runs it again)",
                quiet=quiet,
            )
        elif run.is_resumed:
            say(f"resuming what was begun in {out}", quiet=quiet)
        yield run


def check_inputs(out: Path, inputs: Sequence[str | Path]) -> None:
    """Check that none of the inputs lies in a folder that is to be overwritten.

    Raises:
        HeadscopeError: One does.
    """
    folder = out.resolve()
    for given in inputs:
        is_inside = False
        # A hub name is no path, and a source in words may be too long for one.
        with suppress(OSError, ValueError):
            is_inside = Path(given).resolve(strict=True).is_relative_to(folder)
        if is_inside:
            raise HeadscopeError(
                f"--overwrite: {out} holds {given}, which this command reads, so nothing was "
                "removed: give another --out"
            )


def task_hash(task: Task) -> str:
    """16 hex digits that stand for what a task asks: its columns, classes, metrics and limits."""
    asked = (task.columns, task.labels, task.metrics, task.label, task.limits)
    # Without groups the hash is that of versions that knew none.
    grouped = (task.group,) if task.group else ()
    return hashlib.sha256(repr((*asked, *grouped)).encode()).hexdigest()[:16]


def aligned_words(
    encoded: Encoded, split: Split, source: WordSource, *, quiet: bool
) -> list[Aligned]:
    """The tagged words of every example, with their tokens. What a parser finds is kept for other
    runs.

    Args:
        encoded: The examples as token ids.
        split: The examples.
        source: Who says what the words are.
        quiet: Whether to show no progress.
    """
    read, _ = beginnings(encoded, split)
    cache = cache_folder() / "words"
    tagged = tag(read, source.words, language=source.language, cache=cache, quiet=quiet)
    return align(encoded, read, tagged)


def cut_note(encoded: Encoded, split: str, unit: str = "examples") -> tuple[str, ...]:
    """Notes on the examples that were too long and on unknown tokens, if there were any.

    Raises HeadscopeError where most tokens are unknown.
    """
    notes = []
    if encoded.truncated:
        notes.append(
            f"{encoded.truncated} of {len(encoded)} {split} {unit} {CUT_TO} "
            f"{encoded.max_length} tokens"
        )
    return (*notes, *unknown_note(encoded, split), *unplaced_note(encoded, split))
