"""What every command begins with: the task, its data, the model, the encoded examples, and the
record of it all.
"""

import os
import platform
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.measures import definition
from headscope.measures.comparison import COSINE
from headscope.model.encoding import MAX_LENGTH, Encoded, encode, only
from headscope.model.loading import Init, Model, load
from headscope.model.passes import Batch, LayerMaps, run_pass
from headscope.model.precision import Precision
from headscope.tasks import find
from headscope.tasks.base import Task
from headscope.tasks.files import Data, load_data
from headscope.tasks.metrics import predictions
from headscope.words.align import Aligned, align
from headscope.words.sources import tag

_SHOWN = 16
GENERATED = (2000, 300)
"""How many training and validation rows a task makes that generates its own data."""
_PACKAGES = (
    "headscope",
    "torch",
    "transformers",
    "tokenizers",
    "numpy",
    "scipy",
    "scikit-learn",
    "polars",
)


@dataclass(frozen=True)
class Session:
    """A model and the rows of a task that a command works on, encoded; `notes` is what the user
    must know of them.
    """

    model: Model
    task: Task
    data: Data
    train: Split
    validation: Split
    encoded: Encoded
    notes: tuple[str, ...]
    seed: int
    precision: Precision
    batch_tokens: int
    quiet: bool
    words_from: str
    language: str
    began: float

    @classmethod
    def open(
        cls,
        model: str,
        task: str,
        data: Path | None,
        *,
        seed: int,
        precision: Precision,
        batch_tokens: int,
        quiet: bool,
        examples: int | None,
        train_examples: int | None = None,
        max_length: int = MAX_LENGTH,
        init: Init = "pretrained",
        needs_head: bool = True,
        at_most: int | None = None,
        part: str = "validation",
        words_from: str = "auto",
        language: str = "en",
    ) -> "Session":
        """Load everything; the task first, since a mistake there is found at once.

        at_most: how many validation examples to take where `examples` says nothing. part: which
        examples are scored and measured, "validation", "train", or as in "1/2" (`chosen_part`).
        """
        began = time.monotonic()
        the_task = find(task)
        rows = load_data(
            the_task,
            data,
            seed=seed,
            sizes=(train_examples or GENERATED[0], examples or GENERATED[1]),
        )
        train, scored = rows.train.sample(train_examples, seed), chosen_part(rows, part, seed)
        validation = scored.sample(examples or at_most, seed)
        the_model = load(
            model, labels=the_task.outputs if needs_head else None, init=init, seed=seed
        )
        limit = min(max_length, the_model.max_length)
        encoded = encode(validation, the_model.tokenizer, limit)
        notes = (*train.notes, *validation.notes, *cut_note(encoded, "validation"))
        return cls(
            model=the_model,
            task=the_task,
            data=rows,
            train=train,
            validation=validation,
            encoded=encoded,
            notes=notes,
            seed=seed,
            precision=precision,
            batch_tokens=batch_tokens,
            quiet=quiet,
            words_from=words_from,
            language=language,
            began=began,
        )

    def words(self) -> list[Aligned]:
        """The tagged words of every validation example with their tokens; a parser's work is kept
        for other runs.
        """
        tagged = tag(
            self.validation,
            self.words_from,
            language=self.language,
            cache=cache_folder() / "words",
            quiet=self.quiet,
        )
        return align(self.encoded, self.validation, tagged)

    def word_numbers(self, rows: npt.NDArray[np.int64]) -> list[list[int]]:
        """For the examples `rows`: the number of the word that each token is a piece of, -1 for a
        token without one.
        """
        part = self.validation.take(rows)
        tagged = tag(
            part,
            self.words_from,
            language=self.language,
            cache=cache_folder() / "words",
            quiet=self.quiet,
        )
        numbers = [[-1] * len(self.encoded.segments[row]) for row in rows.tolist()]
        for found, aligned in zip(
            numbers, align(only(self.encoded, rows.tolist()), part, tagged), strict=True
        ):
            for number, tokens in enumerate(aligned.tokens):
                for token in tokens:
                    found[token] = number
        return numbers

    def request(self, command: str, **options: Any) -> dict[str, Any]:
        """What was asked, as the run folder keeps it to know its own request again."""
        return {
            "command": command,
            "headscope": version("headscope"),
            "model": self.model.hash,
            "task": self.task.name,
            "data": self.data.hash,
            "train": len(self.train),
            "validation": len(self.validation),
            "max_length": self.encoded.max_length,
            "seed": self.seed,
            "precision": self.precision,
            **options,
        }

    def record(
        self,
        request: Mapping[str, Any],
        model: Model,
        arguments: Mapping[str, Any],
        notes: Sequence[str] = (),
    ) -> dict[str, Any]:
        """The content of run.json. `model` is the one that was scored; `arguments` are the
        command's.
        """
        return record(
            self.model,
            model,
            request,
            task={
                "name": self.task.name,
                "labels": list(self.task.labels),
                "metrics": list(self.task.metrics),
                "columns": list(self.task.columns),
            },
            data={
                "source": self.data.source,
                "hash": self.data.hash,
                "train": len(self.train),
                "validation": len(self.validation),
            },
            notes=[*self.notes, *notes],
            definitions={
                name: definition(name)
                for name in (
                    *request.get("measures", ()),
                    *((COSINE,) if request["command"] in ("compare", "study") else ()),
                )
            },
            repeat=repeat(str(request["command"]), arguments),
            seconds=time.monotonic() - self.began,
        )


def record(
    named: Model,
    model: Model,
    request: Mapping[str, Any],
    *,
    task: Mapping[str, Any],
    data: Mapping[str, Any],
    notes: Sequence[str],
    definitions: Mapping[str, str],
    repeat: str,
    seconds: float,
) -> dict[str, Any]:
    """The content of run.json: what was run, on what, with which versions, and how to do it again.

    named: the model as the user named it; model: the one that was scored or measured, whose hash is
    kept.
    """
    return {
        "command": str(request["command"]),
        "headscope": version("headscope"),
        "model": {
            "name": named.name,
            "path": named.path,
            "hash": model.hash,
            "family": model.family,
            "layers": model.layers,
            "heads": model.heads,
        },
        "task": dict(task),
        "data": dict(data),
        "options": {
            k: v
            for k, v in request.items()
            if k not in ("command", "headscope", "model", "task", "data")
        },
        "seed": request["seed"],
        "device": _device(model),
        "versions": {p: version(p) for p in _PACKAGES} | {"python": platform.python_version()},
        "seconds": round(seconds, 1),
        "notes": list(notes),
        "definitions": dict(definitions),
        "repeat": repeat,
    }


def _device(model: Model) -> str:
    """What computed: the GPU's name, or the processor with its threads."""
    import torch

    if model.hf.device.type == "cuda":
        return torch.cuda.get_device_name(model.hf.device)
    threads = torch.get_num_threads()
    return f"{model.hf.device.type}, {threads} thread{'s' if threads > 1 else ''}"


def chosen_part(rows: Data, part: str, seed: int) -> Split:
    """The examples that `part` names: "validation", "train", or "K/N", the K-th of N random parts
    of "validation".

    The N parts are drawn from `seed`, of like size, share no example and hold all. Raises
    HeadscopeError for another name, or for a part without examples.
    """
    if part in ("validation", "train"):
        return rows.validation if part == "validation" else rows.train
    number, slash, parts = part.partition("/")
    if not (slash and number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts)):
        raise HeadscopeError(
            f"--part {part!r} is not understood: give validation, train, or K/N, as in 1/2 and 2/2"
        )
    order = np.random.default_rng(seed).permutation(len(rows.validation))
    chosen = np.sort(np.array_split(order, int(parts))[int(number) - 1])
    if not len(chosen):
        raise HeadscopeError(
            f"--part {part} is empty: there are {len(rows.validation)} validation examples"
        )
    return rows.validation.take(chosen)


def foreign_labels(model: Model, task: Task) -> str:
    """What is wrong with the classes of a trained head, in a clause: it was fine-tuned on another
    task, or numbers the classes otherwise, and its outputs would be read wrongly. Empty where
    nothing is known to be wrong.
    """
    if not model.trained_head or task.is_regression:
        return ""
    names = {int(number): str(name) for number, name in (model.hf.config.id2label or {}).items()}
    named = [names.get(number, "") for number in range(task.outputs)]
    if all(name.casefold() == f"label_{i}" for i, name in enumerate(named)):
        return ""
    if [name.casefold() for name in named] == [name.casefold() for name in task.labels]:
        return ""
    return f"its head tells apart {', '.join(named)}, the task {task.name} has {', '.join(task.labels)}, in this order"


def cache_folder() -> Path:
    """Where work is kept that other runs can use: HEADSCOPE_CACHE, or headscope in the user's cache
    folder.
    """
    if own := os.environ.get("HEADSCOPE_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headscope"


def cut_note(encoded: Encoded, split: str) -> tuple[str, ...]:
    """A note on the examples that were too long, if there were any."""
    if not encoded.truncated:
        return ()
    return (
        f"{encoded.truncated} of {len(encoded)} {split} examples were cut to {encoded.max_length} "
        "tokens",
    )


def repeat(command: str, arguments: Mapping[str, Any]) -> str:
    """The command line that repeats a run."""
    words = ["headscope", command]
    for name, value in arguments.items():
        if name in ("quiet", "overwrite"):
            continue
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif value not in (None, False):
            words += [flag, str(value)]
    return shlex.join(words)


def shown(n: int, seed: int, count: int = _SHOWN) -> npt.NDArray[np.int64]:
    """Which examples the report shows: `count` of the `n`, drawn from `seed`, in order."""
    drawn = np.random.default_rng(seed).choice(n, min(n, count), replace=False)
    return np.sort(drawn).astype(np.int64)


class _MapKeeper:
    """Keeps the maps of every example of a pass, in 255ths, one example a batch."""

    def __init__(self) -> None:
        self.maps: dict[int, list[npt.NDArray[np.uint8]]] = {}

    def prepare(self, batch: Batch) -> list[npt.NDArray[np.uint8]]:
        """The list that takes the example's layers."""
        return self.maps.setdefault(int(batch.examples.item()), [])

    def see(self, maps: LayerMaps, prepared: list[npt.NDArray[np.uint8]]) -> None:
        """Keep a layer."""
        prepared.append((maps.maps[0] * 255).round().byte().cpu().numpy())


def example_maps(
    model: Model, encoded: Encoded, rows: npt.NDArray[np.int64]
) -> dict[int, npt.NDArray[np.uint8]]:
    """The maps of single examples, in 255ths: example -> [layer, head, query, key]."""
    keeper = _MapKeeper()
    # No example fits a budget of one token, so each is a batch, and nothing is padded.
    run_pass(model, only(encoded, rows.tolist()), [keeper], batch_tokens=1)
    return {row: np.stack(keeper.maps[index]) for index, row in enumerate(rows.tolist())}


def example_rows(
    session: Session, rows: npt.NDArray[np.int64], out: npt.NDArray[np.float32] | None
) -> Sequence[dict[str, Any]]:
    """The `examples` table: the tokens and words of the examples `rows`, the true and the predicted
    label.

    out: the model's outputs for these rows; None where it has no head for the task.
    """
    task, encoded = session.task, session.encoded
    predicted = [None] * len(rows) if out is None else list(predictions(task, out))

    def name(value: Any) -> str | None:
        if value is None:
            return None
        return f"{float(value):.2f}" if task.is_regression else task.labels[int(value)]

    return [
        {
            "example": row,
            "label": name(session.validation.labels[row]),
            "prediction": name(predicted[at]),
            "tokens": session.model.tokenizer.convert_ids_to_tokens(
                encoded.columns["input_ids"][row]
            ),
            "segments": encoded.segments[row],
            "special": encoded.special[row],
            "words": words,
        }
        for at, (row, words) in enumerate(
            zip(rows.tolist(), session.word_numbers(rows), strict=True)
        )
    ]
