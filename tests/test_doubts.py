"""Scores below those of a model that knows nothing, and models that always answer the same, are said first."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

import families
from headscope import cli
from headscope.model.encoding import encode
from headscope.model.loading import load
from headscope.model.outputs import logits
from headscope.names import FINE_TUNED, UNTRAINED
from headscope.reporting.doubts import below_baseline, one_answer
from headscope.reporting.ending import ending
from headscope.reporting.findings import findings
from headscope.stats.paired import mcnemar
from headscope.tasks import find
from headscope.tasks.files import load_data
from headscope.tasks.scores import score_rows_of

WORDS = ["the", "nurse", "thanked", "a", "pilot", "who", "was", "not", "in", "it"]


def scores(**changed: Any) -> pl.DataFrame:
    row = {"configuration": FINE_TUNED, "metric": "accuracy", "value": 11.7, "low": 8.0, "high": 15.0,
           "n": 408, "majority": 68.4, "answers": 2, "p_majority": 1e-9, "unit": "points"}  # fmt: skip
    return pl.DataFrame([row | changed])


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({}, "accuracy of 11.7 is below the 68.4 of always answering the majority class (p < 0.001)"),
        ({"value": 60.0, "p_majority": 0.03}, "below the 68.4 of always answering the majority class (p = 0.030)"),
        ({"p_majority": 0.06}, ""),
        ({"value": 88.3}, ""),
        ({"p_majority": None}, ""),
        ({"configuration": UNTRAINED}, ""),
        ({"metric": "spearman", "value": -30.0, "high": -3.0, "p_majority": None}, "Spearman's rho of −30.0 is below 0"),
        ({"metric": "spearman", "value": -3.0, "high": 3.0, "p_majority": None}, ""),
        ({"metric": "f1", "value": 10.0, "p_majority": None}, ""),
    ],
)  # fmt: skip
def test_a_score_below_that_of_no_knowledge(changed: dict[str, Any], sentence: str) -> None:
    table = scores(**changed)
    said = below_baseline(table)
    assert sentence in said
    assert bool(said) == bool(sentence)
    if sentence:
        assert ending({"scores": table})[0] == said
        assert findings({"scores": table})[0].text == said


def test_a_run_of_an_older_version_has_no_such_columns() -> None:
    table = scores().drop("answers", "p_majority")
    assert not below_baseline(table)
    assert not one_answer(table)


def test_a_model_as_good_as_the_majority_is_seldom_doubted() -> None:
    rng = np.random.default_rng(8)
    doubted = 0
    for _ in range(400):
        labels = (rng.random(200) < 0.7).astype(np.int64)
        predicted = np.where(rng.random(200) < 0.7, labels, 1 - labels)
        accuracy = 100 * float((labels == predicted).mean())
        majority = 100 * float(labels.mean())
        p = mcnemar(labels, np.ones(200, np.int64), predicted)
        doubted += bool(below_baseline(scores(value=accuracy, majority=majority, p_majority=p)))
    assert doubted / 400 < 0.05


@pytest.fixture
def answered(tmp_path: Path) -> Path:
    """A folder with a model and a task whose labels are what the model answers."""
    folder = families.make("bert", tmp_path / "model")
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice(WORDS, 6)) for _ in range(60)]
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "task.toml").write_text('columns = ["a"]\nlabels = ["no", "yes"]\n')
    path = tmp_path / "task" / "validation.parquet"
    pl.DataFrame({"a": texts, "label": [0] * 60}).write_parquet(path)
    pl.DataFrame({"a": texts, "label": [0, 1, *([0] * 58)]}).write_parquet(
        path.with_name("train.parquet")
    )
    model = load(folder)
    split = load_data(find(tmp_path / "task")).validation
    answers = logits(model, encode(split, model.tokenizer)).argmax(1)
    assert 5 < answers.sum() < 55
    pl.DataFrame({"a": texts, "label": answers}).write_parquet(path)
    return tmp_path


def changed_head(folder: Path, change: str) -> None:
    path = folder / "model" / "model.safetensors"
    weights = load_file(path)
    if change == "swapped":
        for name in ("classifier.weight", "classifier.bias"):
            weights[name] = weights[name].flip(0).contiguous()
    else:
        weights["classifier.bias"] = torch.tensor([500.0, -500.0])
    save_file(weights, path, {"format": "pt"})


def disabled(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    words = (
        f"disable --model {folder}/model --task {folder}/task --out {folder}/out --precision fp32"
    )
    assert cli.run(words.split()) == 0
    return capsys.readouterr().out.splitlines()


def test_a_head_with_its_rows_swapped_is_said_first(
    answered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = disabled(answered, capsys)
    assert [line for line in right if line.startswith("The model’s accuracy is 100.0")]
    assert "below" not in right[0]
    (answered / "out").rename(answered / "right")
    changed_head(answered, "swapped")
    first = disabled(answered, capsys)[0]
    assert first.startswith("The model's accuracy of 0.0 is below the ")
    assert "numbered in another order" in first
    assert cli.run(["report", f"{answered}/out", "--out", f"{answered}/page.html"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == first
    assert "numbered in another order" in (answered / "page.html").read_text()


def test_a_model_with_one_answer_names_no_head(
    answered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed_head(answered, "constant")
    assert disabled(answered, capsys)[0].startswith(
        "The model gives all 60 examples the same answer"
    )
    cli.run(["report", f"{answered}/out", "--out", f"{answered}/page.html"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("The model gives all 60 examples the same answer")
    assert not [line for line in lines if "L1H" in line or "isabling" in line]


def test_that_classes_have_no_names_is_said(
    answered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"disable --model {answered}/model --task {answered}/task --out {answered}/out"
    assert cli.run(words.split()) == 0
    note = "does not name its classes; they are taken to be no, yes, in this order"
    assert note in capsys.readouterr().err
    assert note in (answered / "out" / "run.json").read_text()


def test_the_columns_by_hand() -> None:
    labels = np.array([1, 1, 1, 0])
    outputs = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], np.float32)
    (row,) = score_rows_of(
        find("rte"), np.ones(3, np.int64), labels, outputs, configuration="as given", seed=0
    )
    # Right: the last two; the majority class is right for the first three.
    assert (row.value, row.majority, row.answers) == (50.0, 75.0, 2)
    # One example won, two lost: all of 3 splits of 1 to 2 or worse.
    assert row.p_majority == pytest.approx(1.0)


def test_a_head_with_its_classes_in_another_order_has_no_importance_and_no_predictions(
    answered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"measure --model {answered}/model --task {answered}/task --measures gradient_importance,entropy"
    assert cli.run([*words.split(), "--out", f"{answered}/trusted"]) == 0
    assert "does not name its classes" in capsys.readouterr().err
    kept = pl.read_parquet(answered / "trusted" / "examples.parquet")
    assert kept["prediction"].null_count() == 0
    path = answered / "model" / "config.json"
    names = {"id2label": {"0": "yes", "1": "no"}, "label2id": {"yes": 0, "no": 1}}
    path.write_text(json.dumps(json.loads(path.read_text()) | names))
    assert cli.run([*words.split(), "--out", f"{answered}/swapped"]) == 2
    assert "needs a model with a head that was trained on task" in capsys.readouterr().err
    everything = words.replace("gradient_importance,entropy", "all")
    assert cli.run([*everything.split(), "--out", f"{answered}/all"]) == 0
    assert "gradient_importance needs a trained head" in capsys.readouterr().err
    heads = pl.read_parquet(answered / "all" / "heads.parquet")
    assert "gradient_importance" not in heads["measure"]
    kept = pl.read_parquet(answered / "all" / "examples.parquet")
    assert kept["prediction"].null_count() == kept.height
