"""A study of tags of words and of questions has what the single commands have, and its page shows it."""

import json
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from safetensors.torch import load_file

import headscope
import runs
from golden_runs import pair
from headscope import HeadscopeError
from headscope.commands import ablation
from headscope.figures.pruning import kept_rows
from test_questions import easy
from test_questions import learner as reader
from test_tokens import EASY, ENTITIES, write_task
from test_tokens import learner as tagger

TAG_OF = {"he": "PRON", "it": "PRON", "was": "AUX", "nurse": "NOUN", "pilot": "NOUN"}
TAG_OF |= {"thanked": "VERB", "not": "PART", "by": "ADP"}
RELATIONS = {"PRON": "nsubj", "AUX": "aux", "NOUN": "obj", "VERB": "dep", "PART": "advmod"}
COMMON: dict[str, Any] = {"precision": "fp32", "quiet": True}
TRAINED: dict[str, Any] = {"epochs": 3, "lr": 3e-3, "train_examples": 60}


def treebank(folder: Path) -> Path:
    """A treebank of drawn words whose tags are known by the word."""
    folder.mkdir()
    for split, count in (("train", 120), ("dev", 40)):
        rng = random.Random(split)
        lines = []
        for _ in range(count):
            words = rng.choices(list(TAG_OF), k=rng.randint(4, 8))
            for number, word in enumerate(words, start=1):
                tag = TAG_OF[word]
                relation = "root" if number == 1 else RELATIONS.get(tag, "case")
                governor = 0 if number == 1 else 1
                lines.append(f"{number}\t{word}\t{word}\t{tag}\t_\t_\t{governor}\t{relation}\t_\t_")
            lines.append("")
        (folder / f"toy-ud-{split}.conllu").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def encoder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tagger(tiny, tmp_path_factory.mktemp("encoder") / "tags")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return treebank(tmp_path_factory.mktemp("treebank") / "UD_Toy")


@pytest.fixture(scope="module")
def of_tags(encoder: Path, words: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("runs") / "tags"
    return headscope.study(
        model=encoder, task=f"ud:{words}", out=out, search_examples=50, **TRAINED, **COMMON
    )


@pytest.fixture(scope="module")
def squad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    task = tmp_path_factory.mktemp("questions") / "squad"
    task.mkdir()
    (task / "train.json").write_text(json.dumps(easy(130, 1)))
    (task / "validation.json").write_text(json.dumps(easy(30, 2)))
    return task


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reader(tmp_path_factory.mktemp("reader") / "encoder")


def study_of_questions(asker: Path, squad: Path, out: Path) -> Any:
    return headscope.study(
        model=asker, task=squad, out=out, batch_size=16, search_examples=50, **TRAINED, **COMMON
    )


@pytest.fixture(scope="module")
def of_questions(asker: Path, squad: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return study_of_questions(asker, squad, tmp_path_factory.mktemp("runs") / "qa")


def same(found: pl.DataFrame, expected: pl.DataFrame, keys: list[str]) -> None:
    """The values of two tables are the same, row by row."""
    columns = [name for name in expected.columns if name in found.columns]
    columns = [name for name in columns if name not in ("model", "task")]
    left = found.select(columns).sort(keys)
    right = expected.select(columns).sort(keys)
    assert left.height == right.height > 0
    for name in columns:
        if left[name].dtype.is_float():
            assert left[name].to_list() == pytest.approx(right[name].to_list(), nan_ok=True)
        else:
            assert left[name].to_list() == right[name].to_list(), name


def test_a_study_of_tags_has_the_tables_of_the_single_commands(
    of_tags: Any, encoder: Path, words: Path, tmp_path: Path
) -> None:
    task = f"ud:{words}"
    tuned = headscope.finetune(model=encoder, task=task, out=tmp_path / "ckpt", **TRAINED, **COMMON)
    checkpoint = of_tags.path / "checkpoint"
    weights = [
        load_file(folder / "model.safetensors") for folder in (checkpoint, tmp_path / "ckpt")
    ]
    assert all(bool((weights[0][name] == weights[1][name]).all()) for name in weights[0])
    scores = of_tags.table("scores")
    assert scores["metric"].unique().to_list() == ["token_accuracy"]
    fine_tuned = scores.filter(configuration="pretrained + fine-tuned")
    same(fine_tuned, tuned.table("scores"), ["metric"])
    assert fine_tuned["value"][0] > scores["value"][0]
    disabled = headscope.disable(model=checkpoint, task=task, **COMMON)
    for name in ("disabled", "selection"):
        keys = ["metric", "set"] if name == "disabled" else ["metric"]
        same(of_tags.table(name), disabled.table(name), keys)
    # The words and the tags of the treebank are taken in place of a parser's.
    compared = headscope.compare(before=encoder, after=checkpoint, task=task, **COMMON)
    for name in ("heads", "change"):
        same(of_tags.table(name), compared.table(name), ["measure", "layer", "head"])
    assert "attention_to_noun" in of_tags.table("heads")["measure"].to_list()
    same(
        of_tags.table("patterns"),
        compared.table("patterns"),
        ["state", "class", "layer", "head", "measure"],
    )
    pruned = headscope.prune(
        model=checkpoint, task=task, search_examples=50, mode="uniform", **COMMON
    )
    path = of_tags.table("pruned")
    of_command = pruned.table("pruned").filter(repair="none")
    same(path.drop("seconds"), of_command.drop("seconds"), ["metric", "kept"])
    assert of_tags.table("predictors")["n"].unique().to_list() == [8]
    assert any("gradient_importance needs a label of every text" in n for n in of_tags.record.notes)
    assert "gradient_importance" not in of_tags.table("heads")["measure"].to_list()


def test_the_labels_of_examples_are_tags(of_tags: Any) -> None:
    table = of_tags.table("examples")
    assert table.height == 16
    for row in table.to_dicts():
        inside = [token for token in row["tokens"] if not token.startswith("<")]
        tags = [TAG_OF[word] for word in "".join(
            token.removeprefix("##") if token.startswith("##") else f" {token}" for token in inside
        ).split()]  # fmt: skip
        assert row["label"].split() == tags
        assert len(row["prediction"].split()) == len(tags)
        assert set(row["prediction"].split()) <= set(TAG_OF.values())
    assert (table["label"] != table["prediction"]).any()


def test_a_study_of_questions_has_the_tables_of_the_single_commands(
    of_questions: Any, asker: Path, squad: Path, tmp_path: Path
) -> None:
    checkpoint = of_questions.path / "checkpoint"
    scores = of_questions.table("scores")
    assert scores["metric"].unique(maintain_order=True).to_list() == ["answer_f1", "exact_match"]
    disabled = headscope.disable(model=checkpoint, task=squad, **COMMON)
    for name in ("disabled", "selection"):
        keys = ["metric", "set"] if name == "disabled" else ["metric"]
        same(of_questions.table(name), disabled.table(name), keys)
    # What is measured is the first question about every text.
    content = json.loads((squad / "validation.json").read_text())
    paragraphs = content["data"][0]["paragraphs"]
    lines = [json.dumps({"one": one["qas"][0]["question"], "two": one["context"]}) for one in paragraphs]  # fmt: skip
    texts = tmp_path / "pairs.jsonl"
    texts.write_text("\n".join(lines))
    compared = headscope.compare(
        before=asker, after=checkpoint, text=texts, columns=["one", "two"], **COMMON
    )
    for name in ("heads", "change"):
        same(of_questions.table(name), compared.table(name), ["measure", "layer", "head"])
    assert of_questions.table("heads")["n"].max() <= 30
    assert any("is its first question with" in note for note in of_questions.record.notes)
    pruned = of_questions.table("pruned")
    assert pruned["n"].unique().to_list() == [30]
    # Two thirds of the texts that fine-tuning left out; the same context is one text.
    trained_on = json.loads((squad / "train.json").read_text())["data"][0]["paragraphs"]
    left_out = len({one["context"] for one in trained_on}) - TRAINED["train_examples"]
    assert pruned["search_n"][0] == left_out * 2 // 3
    examples = of_questions.table("examples")
    assert examples["label"].unique().to_list() == ["nurse"]
    wrong = examples.filter(pl.col("prediction") != "nurse")["prediction"]
    assert all(one.startswith("another answer (F1 ") for one in wrong)


def test_the_same_study_again_does_nothing_and_a_broken_one_goes_on(
    of_questions: Any,
    asker: Path,
    squad: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = (of_questions.path / "disabled.parquet").stat().st_mtime_ns
    again = study_of_questions(asker, squad, of_questions.path)
    assert (again.path / "disabled.parquet").stat().st_mtime_ns == before

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ablation, "write_effects", broken)
        with pytest.raises(KeyboardInterrupt):
            study_of_questions(asker, squad, tmp_path / "run")
    run = study_of_questions(asker, squad, tmp_path / "run")
    for name, keys in (("disabled", ["metric", "set"]), ("scores", ["configuration", "metric"])):
        same(run.table(name), of_questions.table(name), keys)


def test_a_study_of_entities_and_of_lists_in_memory(encoder: Path, tmp_path: Path) -> None:
    rows = []
    for number in range(60):
        words = pair(random.Random(number))[0].split()[:6]
        tags = [ENTITIES[1] if word[0].isupper() else ENTITIES[0] for word in words]
        rows.append({"tokens": [*words, "pilot"], "ner_tags": [*tags, ENTITIES[3]]})
    run = headscope.study(
        model=encoder,
        task={"train": rows, "validation": rows[:20]},
        kind="tokens",
        search_examples=0,
        **{**TRAINED, "epochs": 1},
        **COMMON,
    )
    metrics = run.table("scores")["metric"].unique(maintain_order=True).to_list()
    assert metrics == ["entity_f1", "token_accuracy"]
    assert "pruned" not in run.tables


def test_columns_of_tags_are_studied(encoder: Path, tmp_path: Path) -> None:
    write_task(tmp_path / "task", EASY)
    run = headscope.study(
        model=encoder,
        task=tmp_path / "task",
        search_examples=0,
        examples=20,
        words="plain",
        out=tmp_path / "run",
        **{**TRAINED, "epochs": 1},
        **COMMON,
    )
    assert run.table("disabled")["n"].unique().to_list() == [20]
    assert any("have tags: they are scored (--as tokens)" in note for note in run.record.notes)
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.parametrize("kind", ["embedding", "mlm"])
def test_what_is_scored_as_it_comes_is_not_studied(
    kind: Any, encoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(HeadscopeError, match=f"--as {kind}: study trains a head .* disable and"):
        headscope.study(model=encoder, kind=kind, out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
    with pytest.raises(HeadscopeError, match="the labels of builtin make it a classification"):
        headscope.study(model=encoder, kind="regression", out=tmp_path / "run", quiet=True)


def test_a_recommended_set_that_keeps_no_head_is_a_set(of_tags: Any) -> None:
    path = of_tags.table("pruned")
    none = path.with_columns(chosen=pl.col("kept") == 0)
    rows = kept_rows(none)
    assert rows["kept"].unique().to_list() == [0]
    assert rows["stays"].unique().to_list() == [0]


def test_the_page_shows_tags_and_answers(
    of_tags: Any, of_questions: Any, browser: runs.Browser
) -> None:
    for run, label in ((of_tags, None), (of_questions, "nurse")):
        browser.events.clear()
        browser.open(run.path / "report.html")
        said = browser.js("document.querySelector('.outcome').innerText")
        expected = label or run.table("examples")["label"][0]
        assert said.startswith(f"Label {expected}, predicted ")
        text = browser.js("document.body.innerText")
        assert "not known, without training data" not in text
        thrown = [event for event in browser.events if event.get("method") == "Runtime.exceptionThrown"]  # fmt: skip
        assert not thrown
