"""What a run folder is protected from: a second process, changed inputs, damage, and --overwrite."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers

import headscope
from headscope import cli
from headscope.commands.session import check_inputs, task_hash
from headscope.errors import HeadscopeError
from headscope.model.fingerprint import fingerprint
from headscope.model.loading import load
from headscope.reporting.reading import read
from headscope.results.lock import LOCK, locked
from headscope.results.requests import difference
from headscope.results.run import Run
from headscope.results.saved import open_run
from headscope.tasks import find
from headscope.words.sources import resolved
from runs import record
from test_resuming import cache_of

Say = pytest.CaptureFixture[str]
REQUEST = {"command": "disable", "seed": 0}
HOLDER = """
import sys, time
from pathlib import Path
from headscope.results.lock import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(600)
"""
SMALL: dict[str, Any] = {"task": "builtin", "examples": 8, "precision": "fp32"}


# ---- two processes


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(out)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "locked\n"
        with (
            pytest.raises(HeadscopeError, match=f"is being written by process {holder.pid}: wait"),
            locked(out),
        ):
            pass
        os.kill(holder.pid, signal.SIGKILL)
    # The file is still there, but the kernel has released it.
    assert (out / LOCK).exists()
    with locked(out):
        Run.begin(out, REQUEST)
    assert sorted(path.name for path in out.iterdir()) == ["begun.json"]


def test_the_second_command_is_exit_code_2(tiny: Path, tmp_path: Path, capsys: Say) -> None:
    out = tmp_path / "run"
    words = f"disable --model {tiny} --task builtin --examples 8 --heads layers --quiet --out {out}"
    with locked(out):
        assert cli.run(words.split()) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert f"--out {out} is being written by process {os.getpid()}" in sentence
    assert cli.run(words.split()) == 0


def test_where_nothing_can_be_locked_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def unsupported(*given: object) -> None:
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with locked(tmp_path), locked(tmp_path):
        assert Run.begin(tmp_path, REQUEST).path == tmp_path


# ---- what a folder may hold


@pytest.mark.parametrize("left", [(".begun.json.tmp",), (LOCK,), (".begun.json.tmp", LOCK)])
def test_a_run_killed_before_its_first_file_can_begin(
    left: tuple[str, ...], tmp_path: Path
) -> None:
    for name in left:
        (tmp_path / name).write_text("{")
    for overwrite in (False, True):
        run = Run.begin(tmp_path, REQUEST, overwrite=overwrite)
        assert not run.is_resumed


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    Run.begin(tmp_path, REQUEST)
    (tmp_path / ".saving-abc").mkdir()
    (tmp_path / ".saving-abc" / "model.safetensors").write_text("half")
    for folder in (tmp_path, tmp_path / "checkpoint", tmp_path / "parts" / "disabled"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".x.safetensors.tmp").write_text("half")
        (folder / ".tmpAbC123").write_text("half")
    (tmp_path / ".mine").write_text("mine")
    Run.begin(tmp_path, REQUEST)
    names = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert names == [".mine", "begun.json"]


FOREIGN = ["notes.txt", "checkpoint/notes.txt", "parts/disabled/notes.txt", "mine/data.csv"]


@pytest.mark.parametrize("name", FOREIGN)
def test_a_folder_with_a_file_of_the_users_is_never_overwritten(name: str, tmp_path: Path) -> None:
    run = Run.begin(tmp_path, REQUEST)
    run.table("corpus", [{"what": "links", "value": 1, "unit": "count"}], model="m", task="t")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(HeadscopeError, match=f"holds {name}, which no run wrote, so nothing"):
        Run.begin(tmp_path, {**REQUEST, "seed": 1}, overwrite=True)
    assert (tmp_path / "corpus.parquet").exists()
    (tmp_path / name).unlink()
    Run.begin(tmp_path, {**REQUEST, "seed": 1}, overwrite=True)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["begun.json"]


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "scores.parquet").write_text("mine")
    run = tmp_path / "run"
    Run.begin(run, REQUEST)
    (run / "figures").symlink_to(outside)
    with pytest.raises(HeadscopeError, match="holds figures, which no run wrote"):
        Run.begin(run, REQUEST, overwrite=True)
    assert (outside / "scores.parquet").exists()


@pytest.fixture(scope="module")
def tuned(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "tuned"
    headscope.finetune(**SMALL, model=str(tiny), train_examples=16, epochs=1, out=out, quiet=True)
    return out


def test_overwriting_never_deletes_what_the_command_reads(
    tuned: Path, tmp_path: Path, capsys: Say
) -> None:
    out = tmp_path / "run"
    shutil.copytree(tuned, out / "model")
    (out / "begun.json").write_text((tuned / "begun.json").read_text())
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    for model, folder in ((out / "model", out / "model"), (out / "model", out)):
        words = f"disable --model {model} --task builtin --out {folder} --overwrite --quiet"
        assert cli.run(words.split()) == 2
        (sentence,) = capsys.readouterr().err.splitlines()
        assert f"{folder} holds {model}, which this command reads, so nothing was" in sentence
    words = f"finetune --model {out / 'model'} --task builtin --out {out} --overwrite --quiet"
    assert cli.run(words.split()) == 2
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_inputs_that_are_no_files_are_in_no_folder(tmp_path: Path) -> None:
    check_inputs(tmp_path, ["org/name", "x" * 10_000, "a\0b", "hub: glue", str(tmp_path.parent)])
    with pytest.raises(HeadscopeError, match="which this command reads"):
        check_inputs(tmp_path, ["org/name", tmp_path])


# ---- what a request holds


def changed_config(change: dict[str, object], folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def changed_tokenizer(folder: Path) -> None:
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.save(str(folder / "tokenizer.json"))


CHANGES: list[tuple[str, Callable[[Path], None]]] = [
    (
        "the configuration of the model",
        lambda folder: changed_config({"hidden_act": "relu"}, folder),
    ),
    (
        "the configuration of the model",
        lambda folder: changed_config({"layer_norm_eps": 1e-3}, folder),
    ),
    (
        "the configuration of the model",
        lambda folder: changed_config({"num_attention_heads": 4}, folder),
    ),
    ("the tokenizer", changed_tokenizer),
]


@pytest.mark.parametrize(("what", "change"), CHANGES)
def test_a_changed_model_is_another_run(
    what: str, change: Callable[[Path], None], tuned: Path, tmp_path: Path
) -> None:
    given = {**SMALL, "heads": "L1H1", "out": tmp_path / "run", "quiet": True}
    shutil.copytree(tuned, tmp_path / "model")
    headscope.disable(**given, model=str(tmp_path / "model"))
    change(tmp_path / "model")
    with pytest.raises(
        HeadscopeError, match=rf"another run \(it differs in {what}\): give another"
    ):
        headscope.disable(**given, model=str(tmp_path / "model"))


def test_models_that_number_their_tokens_differently_are_not_compared(
    tuned: Path, tmp_path: Path
) -> None:
    shutil.copytree(tuned, tmp_path / "other")
    path = tmp_path / "other" / "tokenizer.json"
    content = json.loads(path.read_text())
    pieces = content["model"]["vocab"]
    pieces["nurse"], pieces["pilot"] = pieces["pilot"], pieces["nurse"]
    path.write_text(json.dumps(content))
    models: dict[str, Any] = {"before": str(tuned), "after": str(tmp_path / "other")}
    with pytest.raises(HeadscopeError, match="number their tokens differently"):
        headscope.compare(**SMALL, **models, out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_names_paths_and_versions_are_no_part_of_a_model(tuned: Path, tmp_path: Path) -> None:
    shutil.copytree(tuned, tmp_path / "moved")
    names = {"_name_or_path": "x", "transformers_version": "4.0.0", "dtype": "float16"}
    changed_config({**names, "id2label": {"0": "a", "1": "b"}}, tmp_path / "moved")
    one, two = load(tuned), load(tmp_path / "moved")
    assert fingerprint(one) == fingerprint(two)
    # Nor is what a call leaves behind.
    two.tokenizer("a b c", truncation=True, max_length=2, padding="max_length")
    assert fingerprint(one) == fingerprint(two)
    two.tokenizer.model_max_length = 9
    assert fingerprint(one)["tokenizer"] != fingerprint(two)["tokenizer"]


def test_a_changed_definition_is_another_task() -> None:
    task = find("sst2")
    changes: list[dict[str, Any]] = [
        {"labels": ("positive", "negative")},
        {"metrics": ("f1",)},
        {"columns": ("text",)},
        {"limits": (0.0, 5.0)},
    ]
    assert len({task_hash(task), *(task_hash(replace(task, **one)) for one in changes)}) == 5
    assert task_hash(replace(task, folders=("other",))) == task_hash(task)


def test_a_difference_is_said_in_words() -> None:
    begun = {"seed": 0, "config": "a", "measures": ["x"], "train_examples": 1, "old": 1}
    wanted = {"seed": 0, "config": "b", "measures": ["y"], "train_examples": 2, "headscope": "2"}
    assert difference(begun, wanted) == (
        "the configuration of the model, measures, train examples, the version of headscope, old"
    )


def test_the_source_of_the_words_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    from headscope.examples import Split

    split = Split(("a",), None, torch.zeros(1, dtype=torch.long).numpy())
    installed: dict[str, str] = {}
    monkeypatch.setattr("headscope.words.sources.pipelines", lambda: installed)
    monkeypatch.setattr("headscope.words.spacy_tags.pipelines", lambda: installed)
    assert resolved(split) == "plain"
    installed["en_core_web_sm"] = "3.8.0"
    assert resolved(split) == resolved(split, "spacy") == "en_core_web_sm 3.8.0"
    installed["en_core_web_sm"] = "3.9.0"
    assert resolved(split, "spacy:en_core_web_sm") == "en_core_web_sm 3.9.0"
    with pytest.raises(HeadscopeError, match="no gold words"):
        resolved(split, "gold")


# ---- a complete run that is damaged


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: list[tuple[str, Callable[[Path], None]]] = [
    ("run.json", lambda path: path.write_bytes(b"")),  # type: ignore[list-item]
    ("run.json", cut),
    ("disabled.parquet", Path.unlink),
    ("disabled.parquet", cut),
    ("selection.parquet", flip),
    ("scores.parquet", lambda path: pl.read_parquet(path).head(1).write_parquet(path)),
]


def test_what_is_damaged_is_named_and_made_again(
    tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Say
) -> None:
    from headscope.commands import session

    monkeypatch.setattr(session, "open_session", cache_of(session.open_session))
    out = tmp_path / "run"
    given = {**SMALL, "model": str(tuned), "heads": "layers", "out": out}
    headscope.disable(**given)
    whole = {path.name: path.read_bytes() for path in out.glob("*.parquet")}
    rows = json.loads((out / "run.json").read_text())["files"]
    tables = {path.name: pl.read_parquet(path).height for path in out.glob("*.parquet")}
    assert {name: file["rows"] for name, file in rows.items()} == {
        **tables,
        "outputs.safetensors": None,
    }
    parts = {path: path.stat().st_mtime_ns for path in (out / "parts" / "disabled").iterdir()}
    for name, damage in DAMAGES:
        damage(out / name)
        with pytest.raises(HeadscopeError, match=f"{name} cannot be read|damaged .{name}"):
            open_run(out)
        capsys.readouterr()
        headscope.disable(**given)
        said = capsys.readouterr().err
        assert f"{name} in {out} is damaged: it is made again" in said
        assert {path.name: path.read_bytes() for path in out.glob("*.parquet")} == whole
        open_run(out)
    assert {path: path.stat().st_mtime_ns for path in parts} == parts
    headscope.disable(**given)
    assert "holds the result of this very command already" in capsys.readouterr().err


@pytest.mark.parametrize("called", ["small", "full", "tuned"])
def test_a_run_that_is_called_like_a_model_loses_its_damaged_file_alone(
    called: str, tmp_path: Path
) -> None:
    from headscope.results.contents import discard

    run = tmp_path / called
    files = ["scores.parquet", "disabled.parquet", "small/model_small.safetensors"]
    files += ["small/config.json", "keep-6/full/config.json", "keep-6/full/README.md"]
    files += ["checkpoint/config.json", "checkpoint/model.safetensors"]
    for name in files:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("x")

    def there() -> set[str]:
        return {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}

    discard(run, "scores.parquet")
    assert there() == set(files) - {"scores.parquet"}
    # A model without some heads goes as a whole, and so is made again.
    discard(run, "small/model_small.safetensors")
    discard(run, "keep-6/full/config.json")
    kept = {"disabled.parquet", "checkpoint/config.json", "checkpoint/model.safetensors"}
    assert there() == kept
    discard(run, "checkpoint/model.safetensors")
    assert there() == {"disabled.parquet"}
    # What a record says of files elsewhere removes no folder.
    beside = tmp_path / "beside" / "small"
    beside.mkdir(parents=True)
    (beside / "mine").write_text("x")
    discard(run, "../beside/small/config.json")
    assert (beside / "mine").is_file()


def test_the_report_of_a_damaged_run_says_it(tuned: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    headscope.disable(**SMALL, model=str(tuned), heads="layers", out=out, quiet=True)
    assert read(out).problems == ()
    # A table that can be read, but lacks rows.
    pl.read_parquet(out / "disabled.parquet").head(2).write_parquet(out / "disabled.parquet")
    (problem,) = read(out).problems
    assert problem == "disabled.parquet is not what the run wrote: run its command again."
    # Names of files that no run has are not looked at.
    ended = json.loads((out / "run.json").read_text())
    ended["files"] = {"../../secret": {"sha256": "ab"}, "heads.parquet": 3, "scores.parquet": None}
    (out / "run.json").write_text(json.dumps(ended))
    assert read(out).problems == ()


def test_a_damaged_checkpoint_is_trained_again(tiny: Path, tuned: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(tuned, out)
    weights = out / "model.safetensors"
    whole = weights.read_bytes()
    cut(weights)
    headscope.finetune(**SMALL, model=str(tiny), train_examples=16, epochs=1, out=out, quiet=True)
    assert weights.read_bytes() == whole
    # Also where the run was not complete.
    (out / "run.json").unlink()
    cut(weights)
    headscope.finetune(**SMALL, model=str(tiny), train_examples=16, epochs=1, out=out, quiet=True)
    assert weights.read_bytes() == whole


def test_a_run_of_before_there_was_a_list_is_whole(tmp_path: Path) -> None:
    Run.begin(tmp_path, REQUEST).finish(record())
    ended = json.loads((tmp_path / "run.json").read_text())
    del ended["files"]
    (tmp_path / "run.json").write_text(json.dumps(ended))
    run = Run.begin(tmp_path, REQUEST)
    assert run.repair() == ()
    assert run.is_complete
    open_run(Path(__file__).parent / "run-0.1.0")
