"""Passes and sets that others do give the numbers of one process, to the bit: gradient importance, the likeness of
heads, links between spans; tags of words, masked tokens, answers to questions.
"""

import json
import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM, AutoModelForTokenClassification

import families
import golden_runs
import headscope
import squad
import test_questions
import test_tokens
from headscope.commands import engine as engines
from headscope.corpora.tsv import read as read_relations
from headscope.engine.executor import Executor, Item
from headscope.engine.local import Local
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.linguistics.linked import link
from headscope.linguistics.spans import SpanPass
from headscope.measures.gradient import ImportancePass
from headscope.measures.similarity import LikenessPass
from headscope.model import resuming, shards
from headscope.model.encoding import Encoded, encode
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.resuming import Keeping, state_of
from headscope.model.sent import SentModel
from headscope.model.shards import PassWork, share_pass
from headscope.progress import silent
from headscope.tasks.base import Task
from test_framenet import AIM, GOOD, release
from test_resuming import Memory
from test_tokens import SENTENCES, TAGS, named

SENTENCE_COUNT, TOKENS = 15, 30
YES_OR_NO = Task("classes", ("a", "b"), ("no", "yes"), ("accuracy",), generate=lambda *_: None)  # type: ignore[arg-type]
QUIET: dict[str, Any] = {"precision": "fp32", "quiet": True}
PROCESSES: dict[str, Any] = {"engine": "processes", "workers": 2}


class Apart(Local):
    """So many workers, which get what can be sent and nothing else; one runs after the other."""

    def __init__(self, workers: int) -> None:
        super().__init__()
        self.workers = workers
        self.items: list[str] = []

    def submit(self, item: Item) -> Future[Any]:
        self.items.append(item.name)
        return super().submit(pickle.loads(pickle.dumps(item)))  # noqa: S301 - its own.


def pairs(model: Model) -> tuple[Encoded, Split]:
    both = [golden_runs.pair(random.Random(number)) for number in range(SENTENCE_COUNT)]
    labels = np.arange(SENTENCE_COUNT) % 2
    split = Split(tuple(one for one, _ in both), tuple(two for _, two in both), labels)
    return encode(split, model.tokenizer, 97), split


def relations(folder: Path) -> Path:
    """Sentences of which some have one relation and some another: words that stand beside each other, or further."""
    lines = ["sentence\tsource\ttarget\trelation"]
    for number in range(SENTENCE_COUNT):
        words = golden_runs.pair(random.Random(number))[0].split()
        text = " ".join(words)
        first, last = len(words[0]), len(text)
        lines.append(f"{text}\t0:{first}\t{first + 1}:{first + 1 + len(words[1])}\tnear")
        if number % 3 == 0:
            lines.append(f"{text}\t0:{first}\t{last - len(words[-1])}:{last}\tfar")
    path = folder / "own.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def works(
    tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Model, dict[str, PassWork]]:
    """A model, and the passes through it by their names."""
    model = load(tiny)
    encoded, split = pairs(model)
    corpus = read_relations(relations(tmp_path_factory.mktemp("own")))
    linked = link(model, corpus, examples=None, seed=0, max_length=97)
    limits: dict[str, Any] = {"batch_tokens": TOKENS, "precision": "fp32"}
    made: dict[str, PassWork] = {
        "importance": ImportancePass.of(model, YES_OR_NO, encoded, split.labels, **limits),
        "likeness": LikenessPass.of(model, encoded, precision="fp32"),
        "spans": SpanPass.of(model, linked, faithful=False, **limits),
    }
    return model, made


def bits(observers: Sequence[object]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in state_of(observers).items()}


def alone(work: PassWork, model: Model, schedule: Any = None) -> dict[str, bytes]:
    observers = work.observers()
    work.run([model], observers, schedule, silent)
    return bits(observers)


def in_any_order(seed: int) -> Callable[..., Iterator[tuple[Item, Future[Any]]]]:
    """Runs items in an order that is drawn, in place of `as_completed`."""

    def completed(items: Sequence[Item], executor: Executor) -> Iterator[tuple[Item, Future[Any]]]:
        for item in random.Random(seed).sample(items, len(items)):
            yield item, executor.submit(item)

    return completed


PASSES = ["importance", "likeness", "spans"]


@pytest.mark.parametrize("parts", [1, 2, 7])
@pytest.mark.parametrize("name", PASSES)
def test_a_pass_in_parts_is_that_of_one_process_to_the_bit(
    name: str,
    parts: int,
    works: tuple[Model, dict[str, PassWork]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, work = works[0], works[1][name]
    monkeypatch.setattr(shards, "PARTS_A_WORKER", 1)
    monkeypatch.setattr(shards, "as_completed", in_any_order(seed=parts))
    executor, observers = Apart(parts), work.observers()
    done: list[int] = []

    def advance(steps: int = 1, note: str = "") -> None:
        done.append(steps)

    sent = [SentModel.of(model, executor)]
    share_pass(work, sent, observers, executor, advance=advance)
    assert bits(observers) == alone(work, model)
    assert len(executor.items) >= parts
    # A step for every batch, in their order: how much time is left can be said.
    assert done == [len(rows) for rows in work.batches]
    # What nothing was seen of, all zeros or not a number, is no agreement.
    assert bits(observers) != bits(work.observers())


@pytest.mark.parametrize("name", PASSES)
def test_what_one_engine_began_another_ends(
    name: str, works: tuple[Model, dict[str, PassWork]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "SAVE_EVERY_SECONDS", 0.0)
    model, work = works[0], works[1][name]
    whole = alone(work, model)
    executor = Apart(2)
    sent = [SentModel.of(model, executor)]

    def shared(memory: Memory, advance: Any) -> dict[str, bytes]:
        observers = work.observers()
        keeping = Keeping(name, memory)
        share_pass(work, sent, observers, executor, advance=advance, keeping=keeping)
        return bits(observers)

    def stop(memory: Memory) -> Any:
        def advance(steps: int = 1, note: str = "") -> None:
            if int(memory.arrays.get(name, {"batches_done": np.array([0])})["batches_done"][0]) > 2:
                raise KeyboardInterrupt

        return advance

    here_first, there_first = Memory(), Memory()
    with pytest.raises(KeyboardInterrupt):
        work.run([model], work.observers(), Keeping(name, here_first), stop(here_first))
    executor.items.clear()
    assert shared(here_first, silent) == whole
    # What was done is not begun again.
    assert executor.items[0] == "batches 4 to 4"
    with pytest.raises(KeyboardInterrupt):
        shared(there_first, stop(there_first))
    assert alone(work, model, Keeping(name, there_first)) == whole
    assert not here_first.refused + there_first.refused


def test_importance_is_refused_where_a_worker_has_another_head(tmp_path: Path) -> None:
    folder = families.make("bert", tmp_path / "model")
    model = load(folder)
    encoded, split = pairs(model)
    importance = ImportancePass.of(model, YES_OR_NO, encoded, split.labels, precision="fp32")
    likeness = LikenessPass.of(model, encoded, precision="fp32")
    executor = Apart(1)
    sent = [SentModel.of(model, executor)]
    weights = load_file(folder / "model.safetensors")
    weights["classifier.weight"] += 1
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    # The encoder is the same, and likeness is of the encoder alone.
    share_pass(likeness, sent, likeness.observers(), executor, advance=silent)
    with pytest.raises(HeadscopeError, match="a worker has another model"):
        share_pass(importance, sent, importance.observers(), executor, advance=silent)


def tables_of(run: Path) -> dict[str, pl.DataFrame]:
    tables = {path.name: pl.read_parquet(path) for path in sorted(run.glob("*.parquet"))}
    assert tables
    return tables


def check_equal(one: Path, two: Path) -> None:
    here, there = tables_of(one), tables_of(two)
    assert here.keys() == there.keys()
    for name, table in here.items():
        if name == "sizes.parquet":
            # Speeds are of the moment.
            continue
        timeless = [column for column in table.columns if column != "seconds"]
        assert table.select(timeless).equals(there[name].select(timeless)), name
    for arrays in one.glob("*.safetensors"):
        assert arrays.read_bytes() == (two / arrays.name).read_bytes(), arrays.name


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> Apart:
    """The workers of every command that asks for some."""
    executor = Apart(2)
    used = engines._executor
    monkeypatch.setattr(
        engines,
        "_executor",
        lambda asked, *more: None if asked.engine == "local" else used(asked, *more) and executor,
    )
    return executor


def both(command: Any, folder: Path, **given: Any) -> Path:
    """A command here and with workers; returns the folder of the first."""
    command(**given, **QUIET, out=folder / "local")
    command(**given, **QUIET, **PROCESSES, out=folder / "workers")
    check_equal(folder / "local", folder / "workers")
    return folder / "local"


def test_the_passes_of_a_command_load_its_model_once(
    apart: Apart, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def counted(path: str) -> Model:
        loaded.append(path)
        return load(path)

    monkeypatch.setattr(shards, "load", counted)
    monkeypatch.setattr(shards, "_loaded", {})
    given = {"model": str(tiny), "task": "builtin", "examples": 20, "batch_tokens": 150}
    measures = "entropy,gradient_importance,likeness"
    run = both(headscope.measure, tmp_path, **given, measures=measures)
    assert loaded == [str(tiny)]
    assert tables_of(run).keys() >= {"heads.parquet", "likeness.parquet"}
    measured = tables_of(run)["heads.parquet"]["measure"].unique()
    assert "gradient_importance_normalised" in measured
    assert len(apart.items) > 3


def test_compare_has_the_importance_of_the_second_model(
    apart: Apart, tiny: Path, tmp_path: Path
) -> None:
    after = families.make("bert", tmp_path / "after", initializer_range=0.3)
    given = {"before": str(tiny), "after": str(after), "task": "builtin", "examples": 20}
    both(headscope.compare, tmp_path, **given, measures="entropy,gradient_importance,likeness")
    assert apart.items


def test_links_between_spans_are_shared(apart: Apart, tiny: Path, tmp_path: Path) -> None:
    own, frames = tmp_path / "own", tmp_path / "frames"
    own.mkdir()
    release(frames / "release", [GOOD, AIM] * 3)
    for folder, corpus, faithful in (
        (own, f"tsv:{relations(own)}", False),
        (frames, f"framenet:{frames / 'release'}", True),
    ):
        apart.items.clear()
        both(
            headscope.relations, folder, model=str(tiny), corpus=corpus, faithful=faithful, batch_tokens=60
        )  # fmt: skip
        assert len(apart.items) > 1


def tagger(folder: Path) -> dict[str, Any]:
    test_tokens.write_task(folder / "task", SENTENCES)
    changes = {"num_labels": len(TAGS), **named(TAGS)}
    model = test_tokens.folder_of("bert", folder, AutoModelForTokenClassification, **changes)
    return {"model": str(model), "task": str(folder / "task")}


def masked(folder: Path) -> dict[str, Any]:
    (folder / "texts.txt").write_text("\n".join(map(" ".join, SENTENCES)))
    model = test_tokens.folder_of("bert", folder, AutoModelForMaskedLM)
    return {"model": str(model), "task": str(folder / "texts.txt"), "kind": "mlm"}


def questions(folder: Path) -> dict[str, Any]:
    (folder / "task").mkdir()
    for split, texts in (("train", 60), ("validation", 14)):
        (folder / "task" / f"{split}.json").write_text(json.dumps(squad.squad(texts)))
    model = test_questions.folder_of("bert", folder)
    return {"model": str(model), "task": str(folder / "task"), "max_length": 40}


@pytest.mark.parametrize(
    ("made", "mode"), [(tagger, "mean"), (masked, "uniform"), (questions, "uniform")]
)
def test_tokens_and_answers_are_scored_by_workers(
    made: Callable[[Path], dict[str, Any]], mode: str, apart: Apart, tmp_path: Path
) -> None:
    run = both(headscope.disable, tmp_path, **made(tmp_path), mode=mode, heads="layers")
    assert (tables_of(run)["disabled.parquet"]["activation_change"] > 0).all()
    assert len(apart.items) > 1
    assert all(one.startswith("unit") for one in apart.items)


def test_another_device_is_taken_for_tokens_too(tmp_path: Path) -> None:
    given = tagger(tmp_path)
    headscope.disable(**given, **QUIET, heads="layers", out=tmp_path / "local")
    headscope.disable(**given, **QUIET, heads="layers", devices="cpu", out=tmp_path / "named")
    check_equal(tmp_path / "local", tmp_path / "named")


@pytest.mark.parametrize(
    ("made", "workers"), [(tagger, {"devices": "cpu,cpu"}), (questions, PROCESSES)]
)
def test_processes_score_tokens_and_answers(
    made: Callable[[Path], dict[str, Any]], workers: dict[str, Any], tmp_path: Path
) -> None:
    given = {**made(tmp_path), **QUIET, "heads": "layers"}
    headscope.disable(**given, out=tmp_path / "local")
    headscope.disable(**given, **workers, out=tmp_path / "workers")
    check_equal(tmp_path / "local", tmp_path / "workers")


def test_processes_share_links_between_spans_and_importance(tiny: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"model": str(tiny), "batch_tokens": 60}
    (tmp_path / "spans").mkdir()
    corpus = f"tsv:{relations(tmp_path)}"
    both(headscope.relations, tmp_path / "spans", **given, corpus=corpus)
    measures = "gradient_importance,likeness"
    both(headscope.measure, tmp_path / "measured", **given, task="builtin", examples=12, measures=measures)  # fmt: skip
