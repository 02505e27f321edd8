"""`headscope prune` on tiny models that know their task: its labels are mostly what they say."""

import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

import families
from golden_runs import pair
from headscope import cli, load, open_run
from headscope.axes import all_heads, head_set
from headscope.commands import searching
from headscope.commands.path import LEAST, path
from headscope.commands.prune import Pruning, prune
from headscope.commands.session import open_session
from headscope.model.encoding import encode
from headscope.model.model import Model
from headscope.model.outputs import logits
from headscope.stats.metrics import METRICS
from headscope.tasks import find
from headscope.tasks.files import load_data
from headscope.tasks.outputs import losses, predictions

COUNTS = {"train": 90, "validation": 40}
SMALL = ("--precision", "fp32")


def texts(split: str) -> list[tuple[str, str]]:
    rng = random.Random(split)
    return [pair(rng) for _ in range(COUNTS[split])]


def known_task(model: Model, folder: Path, *, regression: bool = False) -> Path:
    """A task in a folder that a model does well: every tenth label is not what it says."""
    folder.mkdir()
    kind = 'limits = [-50, 50]\nlabel = "score"\n' if regression else 'label = "label"\n'
    labels = "" if regression else 'labels = ["no", "yes"]\n'
    (folder / "task.toml").write_text(f'columns = ["one", "two"]\n{labels}{kind}')
    rng = np.random.default_rng(0)
    for split in COUNTS:
        rows = texts(split)
        said = said_of(model, rows)
        if regression:
            given = [f"{value:.3f}" for value in said[:, 0] + rng.normal(0, 0.05, len(said))]
        else:
            # Halves of the examples, whatever the model's bias is.
            flipped = rng.random(len(said)) < 0.1
            given = [str(int(one)) for one in said.argmax(1) ^ flipped]
        lines = [f"{one}\t{two}\t{value}" for (one, two), value in zip(rows, given, strict=True)]
        column = "score" if regression else "label"
        text = "\n".join([f"one\ttwo\t{column}", *lines]) + "\n"
        (folder / f"{split}.tsv").write_text(text)
    return folder


def said_of(model: Model, rows: list[tuple[str, str]]) -> NDArray[np.float32]:
    from headscope.examples import Split

    first, second = zip(*rows, strict=True)
    split = Split(first, second, np.zeros(len(rows), dtype=np.int64))
    return logits(model, encode(split, model.tokenizer, 128), precision="fp32")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return families.make("bert", tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture(scope="module")
def task(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return known_task(load(model), tmp_path_factory.mktemp("tasks") / "known")


@pytest.fixture(scope="module")
def pruned(model: Path, task: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "pruned"
    assert cli.run(words(model, task, out, "--within", "0.1")) == 0
    return out


def words(model: Path, task: Path, out: Path, *more: str) -> list[str]:
    named = {"--model": model, "--task": task, "--out": out}
    given = [str(word) for pair_of in named.items() for word in pair_of]
    mode = () if "--mode" in more else ("--mode", "mean")
    return ["prune", *given, *SMALL, "--quiet", *mode, *more]


def test_every_row_is_what_the_model_puts_out_without_these_heads(
    pruned: Path, model: Path, task: Path
) -> None:
    table = open_run(pruned).tables["pruned"].filter(metric="accuracy")
    heads = families.LAYERS * families.HEADS
    assert table["removed"].to_list() == list(range(heads + 1))
    assert table["kept"].to_list() == list(range(heads, -1, -1))
    # By the slow form: the model's own forward pass with these heads disabled.
    loaded = load(model)
    the_task = find(str(task))
    split = load_data(the_task).validation
    encoded = encode(split, loaded.tokenizer, 128)
    searched = sorted(pruned.glob("parts/search/*.safetensors"))
    assert searched
    loaded.means = None
    means_from_search(loaded, table["search_n"][0], the_task)
    for row in table.filter(pl.col("removed").is_in([1, 7, heads])).iter_rows(named=True):
        kept = head_set(row["heads"]) if row["heads"] else frozenset()
        removed = frozenset(all_heads(families.LAYERS, families.HEADS)) - kept
        with loaded.disabled(removed, "mean"):
            outputs = logits(loaded, encoded, precision="fp32")
        loss = losses(the_task, split.labels, outputs)
        score = METRICS["accuracy"].score(split.labels, predictions(the_task, outputs))
        assert row["value"] == pytest.approx(score)
        assert row["loss"] == pytest.approx(loss.mean(), abs=1e-5)
    whole = table.row(0, named=True)
    assert whole["delta"] == whole["loss_change"] == 0
    assert whole["value"] == whole["baseline"]


def means_from_search(model: Model, count: int, task: object) -> None:
    """The mean outputs over the examples of the search: the first of those that are shuffled."""
    train = load_data(task).train  # type: ignore[arg-type]
    rows = np.sort(np.random.default_rng(0).permutation(len(train))[:count])
    encoded = encode(train.take(rows), model.tokenizer, 128)
    model.measure_means([encoded.batch(list(range(count)), model.hf.device)])


def test_the_search_never_sees_the_examples_it_is_judged_by(pruned: Path) -> None:
    table = open_run(pruned).tables["pruned"]
    assert table["search_n"].unique().to_list() == [60]
    assert table["choice_n"].unique().to_list() == [30]
    assert table["n"].unique().to_list() == [40]
    (chosen,) = table.filter("chosen", metric="accuracy").iter_rows(named=True)
    within = chosen["choice_value"] >= 0.9 * table["choice_value"][0]
    assert within or chosen["removed"] > 0


def test_a_regression_and_sizes_that_were_asked_for(tmp_path: Path) -> None:
    folder = families.make("distilbert", tmp_path / "model", labels=1)
    task = known_task(load(folder), tmp_path / "task", regression=True)
    out = tmp_path / "run"
    assert cli.run(words(folder, task, out, "--keep", "0.2,0.5", "--mode", "uniform")) == 0
    table = open_run(out).tables["pruned"]
    chosen = table.filter("chosen", metric=table["metric"][0])
    assert chosen["kept"].to_list() == [8, 3]
    # The run's own models are of the share that was named first.
    for small, kept in ((out / "small", 3), (out / "keep-8" / "small", 8)):
        says = json.loads((small / "config.json").read_text())["headscope"]
        assert sum(len(layer) for layer in says["kept"]) == kept
    assert table["choice_value"].is_null().all()
    assert (table["choice_n"] == 0).all()


# The command line, but at the given call of the search the process is killed.
KILLED = """
import os, signal, sys
from headscope import cli
from headscope.results import run as store

at, kept = int(sys.argv[1]), 0

def part(*given):
    global kept
    kept += 1
    if kept == at:
        os.kill(os.getpid(), signal.SIGKILL)
    part_as_it_is(*given)

part_as_it_is, store.Run.part = store.Run.part, part
cli.main(sys.argv[2:])
"""


@pytest.mark.parametrize("at", [3, 20])
def test_killed_and_run_again_it_finds_the_same_and_scores_nothing_twice(
    at: int, pruned: Path, model: Path, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "killed"
    line = words(model, task, out, "--within", "0.1")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(at), *line], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = {f"{file.parent.name}/{file.name}" for file in out.glob("parts/*/*.safetensors")}
    assert len(before) == at - 1
    from headscope.results.run import Run

    saved: list[str] = []
    part = Run.part

    def counted(self: Run, group: str, name: str, arrays: dict[str, NDArray[np.float64]]) -> None:
        saved.append(f"{group}/{name}.safetensors")
        part(self, group, name, arrays)

    monkeypatch.setattr(Run, "part", counted)
    assert cli.run(line) == 0
    assert not before & set(saved)
    whole, again = (open_run(run).tables["pruned"].drop("seconds") for run in (pruned, out))
    assert whole.equals(again)
    for file in pruned.glob("parts/search/*.safetensors"):
        one, two = load_file(file), load_file(out / "parts" / "search" / file.name)
        assert (one["sets"] == two["sets"]).all()
        assert (one["losses"] == two["losses"]).all()


def test_examples_that_fine_tuning_left_out_are_taken(tmp_path: Path, task: Path) -> None:
    bare = families.make_encoder("bert", tmp_path / "bare")
    tuned = tmp_path / "tuned"
    given = ["--model", str(bare), "--task", str(task), "--train-examples", "35", "--epochs", "1"]
    assert cli.run(["finetune", *given, "--out", str(tuned), "--seed", "3", "--quiet"]) == 0
    asked = Pruning(model=str(tuned), task=str(task), out=tmp_path / "run", quiet=True)
    session = open_session(asked, asked.model)
    data = searching.draw_search_data(session, 25, is_choosing=True)
    trained = set(session.train.sample(35, 3).first)
    assert not data.notes
    assert len(data.search) == data.choice_n == 25
    assert data.choice is not None
    assert not trained & {*data.search.split.first, *data.choice.split.first}
    other = open_session(
        Pruning(model=str(families.make("bert", tmp_path / "b")), task=str(task), out=tmp_path),
        str(tmp_path / "b"),
    )
    (note,) = searching.draw_search_data(other, 25, is_choosing=True).notes
    assert "may have been fine-tuned on" in note


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--keep", "0.5", "--within", "0.1"), "give one of the two"),
        (("--keep", "1.5"), "shares of the heads between 0 and 1"),
        (("--keep", "0.001"), "keeps 0 of 15 heads"),
        (("--within", "0"), "--within must be larger than 0"),
        (("--search-examples", "10"), "--search-examples must be at least 50"),
    ],
)
def test_budgets_that_make_no_sense(
    more: tuple[str, ...],
    message: str,
    model: Path,
    task: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(words(model, task, tmp_path / "run", *more)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_budget_that_no_set_meets_is_said_and_the_path_is_there(
    model: Path, task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    code = cli.run(words(model, task, out, "--within", "1e-9", "--mode", "zero"))
    said = capsys.readouterr()
    table = open_run(out).tables["pruned"]
    if code == 0:
        assert table.filter("chosen").height
    else:
        assert "no head can go without a fall of accuracy" in said.err
        assert not table["chosen"].any()


def swapped_labels(task: Path, wrong: Path) -> Path:
    """The same task with the other label for every example."""
    wrong.mkdir()
    (wrong / "task.toml").write_text((task / "task.toml").read_text())
    for split in COUNTS:
        lines = (task / f"{split}.tsv").read_text().splitlines()
        swapped = [f"{line[:-1]}{1 - int(line[-1])}" for line in lines[1:]]
        (wrong / f"{split}.tsv").write_text("\n".join([lines[0], *swapped]) + "\n")
    return wrong


def test_a_model_that_knows_no_more_than_the_majority_is_refused(
    model: Path, task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = swapped_labels(task, tmp_path / "wrong")
    assert cli.run(words(model, wrong, tmp_path / "run")) == 2
    assert "no head is needed for that" in capsys.readouterr().err


def test_a_path_alone_says_why_there_is_none_and_which_command_repeats_it(
    model: Path, task: Path, tmp_path: Path
) -> None:
    wrong = swapped_labels(task, tmp_path / "wrong")
    out = tmp_path / "run"
    path(model=model, task=wrong, out=out, mode="mean", precision="fp32", seed=3, quiet=True)
    record = open_run(out).record
    assert "no head is needed for that" in record.notes[0]
    for words_of_it in ("headscope prune", "--mode mean", "--precision fp32", "--seed 3"):
        assert words_of_it in record.repeat


def test_a_file_of_another_program_says_nothing_of_training_examples(
    model: Path, task: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    (copy / "run.json").write_text('{"of": "another program"}')
    asked = Pruning(model=str(copy), task=str(task), out=tmp_path / "run", quiet=True)
    session = open_session(asked, asked.model)
    (note,) = searching.draw_search_data(session, 25, is_choosing=True).notes
    assert "may have been fine-tuned on" in note


def test_too_few_training_examples_and_shared_layers_are_refused(
    model: Path, task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = tmp_path / "few"
    few.mkdir()
    (few / "task.toml").write_text((task / "task.toml").read_text())
    (few / "validation.tsv").write_text((task / "validation.tsv").read_text())
    lines = (task / "train.tsv").read_text().splitlines()[:LEAST]
    (few / "train.tsv").write_text("\n".join(lines) + "\n")
    assert cli.run(words(model, few, tmp_path / "run")) == 2
    assert f"has {LEAST - 1} training examples" in capsys.readouterr().err
    albert = families.make("albert", tmp_path / "albert")
    assert cli.run(words(albert, task, tmp_path / "run")) == 2
    assert "share their weights" in capsys.readouterr().err


def test_the_models_that_are_written_put_out_what_the_table_says(
    model: Path, task: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    more = ("--keep", "0.6,0.4", "--repair", "--finetune", "1", "--mode", "zero")
    assert cli.run(words(model, task, out, *more)) == 0
    run = open_run(out)
    table = run.tables["pruned"].filter("chosen", metric="accuracy")
    assert table["repair"].to_list() == ["none"] * 2 + ["refit", "fine-tuned"] * 2
    the_task = find(str(task))
    split = load_data(the_task).validation
    folders = {9: out, 6: out / "keep-6"}
    for row in table.filter(pl.col("repair") != "none").iter_rows(named=True):
        folder = folders[row["kept"]]
        names = ["full", "small"] if row["repair"] == "refit" else ["tuned"]
        for name in names:
            loaded = load(folder / name)
            outputs = logits(loaded, encode(split, loaded.tokenizer, 128), precision="fp32")
            loss = losses(the_task, split.labels, outputs).mean()
            assert loss == pytest.approx(row["loss"], abs=1e-4), name
            assert (folder / name / "README.md").read_text().startswith("---")
    # Training and the least-squares fit change the model.
    for _, rows in table.group_by("kept"):
        assert rows["loss"].n_unique() == 3
    sizes = run.tables["sizes"]
    assert sorted(sizes["heads_kept"].unique()) == [6, 9]
    # What was written is part of the run: a damaged checkpoint is made again.
    (out / "small" / "model_small.safetensors").write_bytes(b"")
    assert cli.run(words(model, task, out, *more)) == 0
    assert load(out / "small").hf is not None


def test_from_python(model: Path, task: Path, pruned: Path) -> None:
    outcome = prune(
        model=model, task=task, out=pruned, within=0.1, mode="mean", precision="fp32", quiet=True
    )  # fmt: skip
    assert outcome.path == pruned / "pruned.parquet"
    assert "of 15 heads" in outcome.lines[0]
