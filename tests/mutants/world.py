"""A small clean input with all its files, a change made to it, and what may come of the change."""

import csv
import io
import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import polars as pl

from golden_runs import pair
from headscope import cli

COLUMNS = ("a", "b", "label")
CLASSES = ("no", "yes")
TASK_TOML = 'columns = ["a", "b"]\nlabels = ["no", "yes"]\nmetrics = ["accuracy"]\n'
COMMAND = "disable --model model --task task --heads L1H2;L3H4 --precision fp32 --max-length 64"
TABLES = ("scores", "disabled")
_NUMBERS = ("value", "low", "high", "baseline", "delta", "p", "activation_change")


class Expect(Enum):
    """What may come of a mutant."""

    SAME = "exit 0 and the numbers of the clean input"
    GUARDED = "the numbers of the clean input, or a note, or a refusal"
    REFUSED = "exit 2"
    OTHER = "anything but a crash: it is another input, as good as the clean one"


@dataclass
class World:
    """A folder with a model, a task and the words of a command line, which mutants change."""

    path: Path
    words: list[str] = field(default_factory=COMMAND.split)

    @property
    def model(self) -> Path:
        """The folder of the model."""
        return self.path / "model"

    @property
    def task(self) -> Path:
        """The folder of the task."""
        return self.path / "task"

    def instead(self, option: str, *values: str) -> None:
        """Give an option other values, or add it."""
        if option in self.words:
            at = self.words.index(option)
            self.words[at : at + 2] = [option, *values]
        else:
            self.words += [option, *values]

    def json(self, name: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Change a JSON file of the model in place."""
        path = self.model / name
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    def rows(self, split: str) -> list[tuple[str, str, int]]:
        """The clean rows of a split."""
        return rows(split)

    def only(self, ending: str) -> None:
        """Take away the task's files and write them anew with another ending."""
        for file in self.task.glob("*.*"):
            if file.name != "task.toml":
                file.unlink()
        for split in ("train", "validation"):
            data = serialised(rows(split), ending.removeprefix("."))
            (self.task / f"{split}{ending}").write_bytes(data)


def rows(split: str) -> list[tuple[str, str, int]]:
    """The rows of a split: 10 to train on, 14 to score; some with commas and quotes."""
    rng = random.Random(split)
    count = 10 if split == "train" else 14
    found = []
    for at in range(count):
        first, second = pair(rng)
        if at % 4 == 1:
            first += ", and so on"
        if at % 5 == 2:
            second = f'he said "{second}" twice'
        found.append((first, second, at % 2))
    return found


def serialised(table: Sequence[tuple[object, ...]], ending: str, header: bool = True) -> bytes:
    """Rows as csv, tsv, jsonl or parquet."""
    if ending == "parquet":
        buffer = io.BytesIO()
        pl.DataFrame(table, COLUMNS, orient="row").write_parquet(buffer)
        return buffer.getvalue()
    if ending == "jsonl":
        lines = (json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in table)
        return "".join(lines).encode()
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t" if ending == "tsv" else ",", lineterminator="\n")
    writer.writerows([COLUMNS, *table] if header else table)
    return text.getvalue().encode()


@dataclass(frozen=True)
class Mutant:
    """A change to the clean input, and what may come of it."""

    name: str
    change: Callable[[World], object]
    expects: Expect = Expect.GUARDED


@dataclass(frozen=True)
class Result:
    """What a command line left behind."""

    code: int
    stdout: str
    stderr: str
    numbers: pl.DataFrame | None
    notes: tuple[str, ...]
    stray: tuple[str, ...]


def clean(path: Path, model: Path) -> World:
    """The clean input in a new folder."""
    (path / "model").mkdir(parents=True)
    for file in model.iterdir():
        (path / "model" / file.name).write_bytes(file.read_bytes())
    (path / "task").mkdir()
    (path / "task" / "task.toml").write_text(TASK_TOML)
    world = World(path)
    world.only(".parquet")
    return world


def ran(world: World, capture: Any, out: str = "out") -> Result:
    """Run the world's command line in its folder."""
    before = dict(_files(world.path, out))
    with chdir(world.path):
        words = world.words if "--out" in world.words else [*world.words, "--out", out]
        code = cli.run(words)
    captured = capture.readouterr()
    after = dict(_files(world.path, out))
    stray = sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )
    folder = world.path / out
    notes: tuple[str, ...] = ()
    numbers = None
    if code == 0 and (folder / "run.json").is_file():
        notes = tuple(json.loads((folder / "run.json").read_text())["notes"])
        numbers = _numbers(folder)
    return Result(code, captured.out, captured.err, numbers, notes, tuple(stray))


def _numbers(folder: Path) -> pl.DataFrame:
    frames = []
    for name in TABLES:
        frame = pl.read_parquet(folder / f"{name}.parquet")
        kept = [column for column in _NUMBERS if column in frame.columns]
        frames.append(frame.select(pl.col(kept).cast(pl.Float64)))
    return pl.concat(frames, how="diagonal")


def _files(path: Path, out: str) -> Iterator[tuple[str, bytes]]:
    for file in path.rglob("*"):
        name = file.relative_to(path)
        if file.is_file() and name.parts[0] != out:
            yield str(name), file.read_bytes()


def same_numbers(found: pl.DataFrame | None, expected: pl.DataFrame | None) -> bool:
    """Whether two runs have the same numbers, within the rounding of float16 weights' order."""
    if found is None or expected is None or found.shape != expected.shape:
        return False
    differences = (found - expected).to_numpy()
    return bool((abs(differences[differences == differences]) < 1e-4).all())


def complaint(mutant: Mutant, result: Result, reference: Result) -> str:
    """What is wrong with the outcome of a mutant; "" if nothing is."""
    if result.code not in (0, 2):
        return f"exit code {result.code}"
    if "Traceback" in result.stderr + result.stdout:
        return "a traceback was printed"
    if result.stray:
        return f"files outside of --out were changed: {', '.join(result.stray)}"
    if result.code == 2:
        sentence = result.stderr.strip().splitlines()[-1]
        if not sentence.startswith("headscope: ") or not 20 < len(sentence) < 900:
            return f"no sentence: {sentence[:200]!r}"
        if mutant.expects is Expect.SAME:
            return f"refused: {sentence}"
        return ""
    if mutant.expects is Expect.REFUSED:
        return f"it was taken, with the notes {result.notes}"
    if mutant.expects is Expect.OTHER or same_numbers(result.numbers, reference.numbers):
        return ""
    new = set(result.notes) - set(reference.notes)
    if mutant.expects is Expect.GUARDED and new:
        return ""
    return f"other numbers than the clean input's and no note: {result.numbers}"
