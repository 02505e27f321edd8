"""Reading tasks: every layout, GLUE's quoting, a folder of the user's own, and every mistake by its sentence."""

# mypy: disable-error-code="arg-type"

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import families
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.model.encoding import batches, encode
from headscope.tasks import TASKS, find
from headscope.tasks.files import load_data

ROWS: dict[str, list[object]] = {
    "sentence1": ['He said "no', 'A "quoted" word', "third"],
    "sentence2": ["She said\tyes"[:8], '"', "the third"],
    "label": [1, 0, 1],
}


def write(folder: Path, name: str = "train", rows: dict[str, list[object]] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(ROWS if rows is None else rows, strict=False).write_parquet(
        folder / f"{name}.parquet"
    )


@pytest.mark.parametrize("layout", ["parquet", "jsonl", "tsv", "csv"])
def test_every_layout_gives_the_same_rows(tmp_path: Path, layout: str) -> None:
    frame = pl.DataFrame(ROWS)
    for name in ("train", "validation"):
        path = tmp_path / "mrpc" / f"{name}.{layout}"
        path.parent.mkdir(exist_ok=True)
        if layout == "parquet":
            frame.write_parquet(path)
        elif layout == "jsonl":
            frame.write_ndjson(path)
        elif layout == "csv":
            frame.write_csv(path)
        else:
            lines = ["\t".join(map(str, row)) for row in [frame.columns, *frame.rows()]]
            path.write_text("\n".join(lines) + "\n")
    data = load_data(find("mrpc"), tmp_path)
    assert data.train.first == tuple(ROWS["sentence1"])
    assert data.validation.second == tuple(ROWS["sentence2"])
    assert data.train.labels.tolist() == ROWS["label"]


def test_the_tsv_of_glues_own_archives(tmp_path: Path) -> None:
    mrpc = tmp_path / "MRPC"
    mrpc.mkdir()
    header = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String"
    rows = ['1\t7\t8\tHe said " no\tShe said yes "', "0\t9\t10\tSecond\tOther\r"]
    (mrpc / "train.tsv").write_text("\n".join([header, *rows]))
    (mrpc / "dev.tsv").write_text("\n".join([header, *rows, "0\tcut short"]))
    data = load_data(find("mrpc"), tmp_path)
    assert data.train.first == ('He said " no', "Second")
    assert data.train.second == ('She said yes "', "Other")
    assert data.validation.labels.tolist() == [1, 0]
    assert data.validation.notes == (
        "dev.tsv: 1 of 3 rows left out, which have fewer or more fields than the 5 of the header",
    )
    mnli = tmp_path / "MNLI"
    mnli.mkdir()
    for name in ("train", "dev_matched"):
        (mnli / f"{name}.tsv").write_text(
            "sentence1\tsentence2\tgold_label\na\tb\tneutral\nc\td\tcontradiction\n"
        )
    assert load_data(find("mnli"), tmp_path).validation.labels.tolist() == [1, 2]


def test_real_glue_has_its_sizes(glue: Path) -> None:
    sizes = {"mrpc": (3668, 408), "stsb": (5749, 1500), "sst2": (67349, 872), "rte": (2490, 277)}
    for name, expected in sizes.items():
        data = load_data(find(name), glue)
        assert (len(data.train), len(data.validation)) == expected
        assert (data.train.second is None) == (name == "sst2")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"sentence1": ["a"], "label": [1]}, "has no column 'sentence2': mrpc needs sentence1, sentence2, label"),
        ({"sentence1": ["a"], "sentence2": [None], "label": [0]}, "every row has an empty text in sentence1 or sentence2"),
        ({"sentence1": [["a"]], "sentence2": ["b"], "label": [0]}, "the column 'sentence1' is of type List.* expected a text"),
        ({"sentence1": ["a"], "sentence2": ["b"], "label": [[0, 1]]}, "the label column 'label' is of type List"),
        ({"sentence1": ["a", "b"], "sentence2": ["b", "c"], "label": ["equivalent", "0"]}, "row 2: the label '0' .* names or indices, not both"),
        ({"sentence1": ["a"], "sentence2": ["b"], "label": [2]}, "row 1: the label 2 is out of range for mrpc: expected 0 to 1"),
        ({"sentence1": ["a"], "sentence2": ["b"], "label": ["yes"]}, "the label 'yes' is out of range"),
        ({"sentence1": ["a"], "sentence2": ["b"], "label": [0.5]}, "the label 0.5 is out of range"),
        ({"sentence1": ["a"], "sentence2": ["b"], "label": [None]}, "the label None is out of range"),
        ({"sentence1": [], "sentence2": [], "label": []}, "is empty: mrpc needs at least one row"),
    ],
)  # fmt: skip
def test_wrong_rows_are_named(tmp_path: Path, rows: dict[str, list[object]], message: str) -> None:
    write(tmp_path / "mrpc", "train", rows)
    write(tmp_path / "mrpc", "validation")
    with pytest.raises(HeadscopeError, match=message):
        load_data(find("mrpc"), tmp_path)


def test_a_score_out_of_its_limits(tmp_path: Path) -> None:
    write(tmp_path / "stsb", "train", {**ROWS, "label": [0.0, 5.0, 5.5]})
    with pytest.raises(
        HeadscopeError,
        match="row 3: the label 5.5 is out of range for stsb: expected a score from 0 to 5",
    ):
        load_data(find("stsb"), tmp_path)


def test_files_that_are_missing_or_broken(tmp_path: Path) -> None:
    with pytest.raises(HeadscopeError, match="the data folder .* does not exist"):
        load_data(find("mrpc"), tmp_path / "nowhere")
    with pytest.raises(
        HeadscopeError, match="holds no data for mrpc: expected a folder mrpc or MRPC"
    ):
        load_data(find("mrpc"), tmp_path)
    write(tmp_path / "mrpc")
    with pytest.raises(HeadscopeError, match="has no validation file: expected validation or dev"):
        load_data(find("mrpc"), tmp_path)
    (tmp_path / "mrpc" / "validation.parquet").write_bytes(b"PAR1 not at all")
    with pytest.raises(HeadscopeError, match=r"validation.parquet cannot be read as parquet"):
        load_data(find("mrpc"), tmp_path)


def test_unknown_task_names_the_known_and_the_nearest() -> None:
    with pytest.raises(HeadscopeError, match="unknown task 'mprc': did you mean 'mrpc'") as error:
        find("mprc")
    assert all(name in str(error.value) for name in TASKS.names())
    assert {"mrpc", "stsb", "sst2", "qqp", "rte", "qnli", "mnli", "builtin"} <= set(TASKS.names())


def test_without_data_and_network_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADSCOPE_DATA", raising=False)
    with pytest.raises(HeadscopeError, match="give --data DIR with rte/train and validation files"):
        load_data(find("rte"))


def test_the_environment_names_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "mrpc")
    write(tmp_path / "mrpc", "validation")
    monkeypatch.setenv("HEADSCOPE_DATA", str(tmp_path))
    assert len(load_data(find("mrpc")).train) == 3


OWN = """
columns = ["question", "answer"]
label = "verdict"
labels = ["wrong", "right"]
metrics = ["f1", "accuracy"]
"""


def own_folder(folder: Path, toml: str = OWN) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "task.toml").write_text(toml)
    rows = [{"question": "why", "answer": "so", "verdict": v} for v in ("right", "wrong", "right")]
    for name in ("train", "validation"):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def test_a_folder_of_the_users_own(tmp_path: Path) -> None:
    task = find(str(own_folder(tmp_path / "mine")))
    assert (task.name, task.metrics, task.outputs) == ("mine", ("f1", "accuracy"), 2)
    assert load_data(task).train.labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("columns = [", "is not valid TOML"),
        ("colums = ['a']", "unknown key in .*'colums': did you mean 'columns'"),
        ("columns = []\nlabels = ['a', 'b']", "columns must name one or two text columns, got 0"),
        ("columns = ['a']", "give labels = .* for classes, or limits"),
        ("columns = ['a']\nlabels = ['x']", "at least two different classes"),
        ("columns = ['a']\nlabels = ['x', 'y']\nmetrics = ['acuracy']", "unknown metric 'acuracy': did you mean 'accuracy'"),
        ("columns = ['a']\nlabels = ['x', 'y']\nmetrics = ['pearson']", "pearson does not fit: it is for a regression"),
        ("columns = ['a']\nlabels = ['x', 'y', 'z']\nmetrics = ['f1']", "f1 is for two classes, got 3"),
        ("columns = ['a']\nlimits = [1, 0]", "limits"),
    ],
)  # fmt: skip
def test_a_wrong_task_toml_is_explained(tmp_path: Path, toml: str, message: str) -> None:
    with pytest.raises(HeadscopeError, match=message):
        find(str(own_folder(tmp_path / "mine", toml)))


def test_a_folder_without_task_toml(tmp_path: Path) -> None:
    with pytest.raises(HeadscopeError, match=r"has no task.toml: write one"):
        find(str(tmp_path))


def test_a_sample_is_a_subset_in_order() -> None:
    split = Split(tuple(map(str, range(17))), None, np.arange(17))
    part = split.sample(5, seed=3)
    assert len(part) == 5
    assert part.labels.tolist() == sorted(part.labels.tolist()) == list(map(int, part.first))
    assert split.sample(5, seed=3).first == part.first != split.sample(5, seed=4).first
    assert split.sample(17, 0) is split.sample(None, 0) is split


@given(st.lists(st.integers(2, 60), min_size=1, max_size=50), st.integers(1, 200))
def test_batches_hold_every_example_once_within_the_budget(lengths: list[int], budget: int) -> None:
    parts = list(batches(lengths, budget))
    assert sorted(i for part in parts for i in part) == list(range(len(lengths)))
    for part in parts:
        assert len(part) == 1 or len(part) * max(lengths[i] for i in part) <= budget


def test_encoding_cuts_marks_and_counts() -> None:
    split = Split(("ab", "a" * 30), ("c.", "b" * 20), np.array([0, 1]))
    encoded = encode(split, families.tokenizer(), max_length=11)
    assert encoded.truncated == 1
    assert encoded.lengths.tolist() == [7, 11]
    # <s> a ##b </s> c . </s>
    assert encoded.segments[0] == [0, 0, 0, 0, 1, 1, 1]
    assert encoded.special[0] == [True, False, False, True, False, False, True]
    assert sum(encoded.special[1]) == 3
    batch = encoded.batch([0, 1])
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, 11)
    assert batch["attention_mask"].sum(1).tolist() == [7, 11]
    assert batch["input_ids"][0, 7:].tolist() == [1] * 4


def test_a_tokenizers_own_limit_does_not_survive(tmp_path: Path) -> None:
    from headscope.model.loading import load

    folder = families.make("bert", tmp_path / "model")
    file = folder / "tokenizer.json"
    settings = json.loads(file.read_text())
    settings["truncation"] = {
        "max_length": 9,
        "strategy": "LongestFirst",
        "stride": 0,
        "direction": "Right",
    }
    settings["padding"] = {
        "strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 1, "pad_type_id": 0,
        "pad_token": "[PAD]",
    }  # fmt: skip
    file.write_text(json.dumps(settings))
    encoded = encode(Split(("a b", "a " * 20), None, np.array([0, 1])), load(folder).tokenizer, 128)
    assert encoded.lengths.tolist() == [4, 22]


def test_very_long_pairs_are_cut_as_the_tokenizer_would_and_quickly() -> None:
    import time

    tokenizer = families.tokenizer()
    first, second = "nurse pilot " * 400, "thank not the " * 300
    split = Split((first, "a"), (second, "b"), np.array([0, 1]))
    start = time.process_time()
    encoded = encode(split, tokenizer, max_length=31)
    assert time.process_time() - start < 2
    plain = tokenizer(first, second, truncation=True, max_length=31)
    assert encoded.columns["input_ids"][0] == plain["input_ids"]
    assert encoded.truncated == 1
