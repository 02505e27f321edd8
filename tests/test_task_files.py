"""What people's files look like: each is read right, or what was left out is said, or it is refused by a sentence."""

import csv
import gzip
import json
import os
import sys
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.tasks import find
from headscope.tasks.files import load_data

CASES = Path(__file__).parents[2] / "shared" / "cases"
TOML = 'columns = ["text"]\nlabels = ["neg", "pos"]\n'


def validation(folder: Path, name: str, content: str | bytes, toml: str = TOML) -> Split:
    """The validation split of a task in `folder`, of which this is the file."""
    folder.mkdir(exist_ok=True)
    (folder / "task.toml").write_text(toml)
    classes = "1" if '"1"' in toml else "0"
    (folder / "train.jsonl").write_text(json.dumps({"text": "a b", "label": classes}))
    data = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(data)
    return load_data(find(folder)).validation


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_text_keeps_quotes_delimiters_and_line_breaks(tmp_path: Path, ending: str) -> None:
    texts = ['say "no"', "a, b", "a\tb", "one\ntwo", '"', "plain"]
    mark = "\t" if ending == "tsv" else ","
    path = tmp_path / "written"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=mark)
        writer.writerows([("text", "label"), *((text, at % 2) for at, text in enumerate(texts))])
    split = validation(tmp_path / "own", f"validation.{ending}", path.read_bytes())
    assert split.first == tuple(texts)
    assert split.notes == ()


def glue_tsv(folder: Path, lines: list[str]) -> Split:
    for name in ("train", "dev"):
        (folder / "RTE").mkdir(exist_ok=True)
        header = "index\tsentence1\tsentence2\tlabel"
        (folder / "RTE" / f"{name}.tsv").write_text("\n".join([header, *lines]) + "\n")
    return load_data(find("rte"), folder).validation


def test_glues_archives_quote_nothing_unless_a_field_shows_that_they_do(tmp_path: Path) -> None:
    bare = glue_tsv(tmp_path, ['0\t"All of it is said."\tHe said " no\tentailment'])
    assert bare.first == ('"All of it is said."',)
    assert bare.second == ('He said " no',)
    quoted = glue_tsv(tmp_path, ['0\t"He said ""no"" twice"\tb\tentailment'])
    assert quoted.first == ('He said "no" twice',)


def test_no_field_of_the_real_glue_looks_quoted(glue: Path) -> None:
    for path in sorted(glue.glob("*/*.parquet")):
        for column in pl.read_parquet(path).select(pl.col(pl.String)):
            looks = column.str.starts_with('"') & column.str.ends_with('"')
            assert not column.filter(looks).str.slice(2).str.head(-2).str.contains('""').any()


def test_rows_of_another_length_are_left_out_and_counted(tmp_path: Path) -> None:
    text = "label,text\n0,good, but long, and slow\n1,fine\n0\n1,well\n"
    split = validation(tmp_path / "own", "validation.csv", text)
    # "fine" may go on in the line "0".
    assert split.first == ("well",)
    assert split.labels.tolist() == [1]
    assert split.notes == (
        "validation.csv: 2 of 4 rows left out, which have fewer or more fields than the 2 of the "
        "header",
        "validation.csv: 1 of 4 rows left out, of which a text may go on in a line without a "
        "delimiter",
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('text,label\na,0\n"b c,1\nd,0\ne,1\nf "x",0\ng,1\n', "line 6"),
        ('text,label\na,0\n"b,1\nd,0\ne "",0\n"\n', "row 2: a text in quotes holds a line that is a whole"),
        ('text,label\na,0\n"b,1\nd,0\n",1\n', "row 2: a text in quotes holds a line that is a whole"),
        ('text,label\na,0\nb,"1\n', "unexpected end of data"),
        ('text,label\na,0\n"b,1\na screen of 5",0\n', "row 2: a text in quotes holds a line that is a whole row .'b,1'"),
        ('label,text\n0,"a\n1,a screen of 5"\n', "row 1: a text in quotes holds a line that is a whole row"),
    ],
)  # fmt: skip
def test_an_open_quote_swallows_no_rows(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(HeadscopeError, match=sentence):
        validation(tmp_path / "own", "validation.csv", text)


def test_a_line_break_in_a_text_is_no_row(tmp_path: Path) -> None:
    text = "one, two\nand so on, and on"
    for folder, content in (("a", f'text,label\n"{text}",1\n'), ("b", f'label,text\n1,"{text}"\n')):
        assert validation(tmp_path / folder, "validation.csv", content).first == (text,)
    # Only what ends a line of the file counts: not this separator.
    content = 'text,label\n"a\u2028b,1",1\n'
    assert validation(tmp_path / "c", "validation.csv", content).first == ("a\u2028b,1",)


STARS = 'columns = ["text"]\nlabels = ["1", "2", "3"]\n'


def write(path: Path, labels: list[object]) -> None:
    """The same labels in the format that the path names."""
    rows = [{"text": f"text {at}", "label": label} for at, label in enumerate(labels)]
    if path.suffix == ".parquet":
        pl.DataFrame(rows, strict=False).write_parquet(path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        words = ["" if label is None else label for label in labels]
        lines = [f"text {at}{mark}{label}\n" for at, label in enumerate(words)]
        path.write_text(f"text{mark}label\n" + "".join(lines))


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("names", "labels", "expected"),
    [
        (["1", "2", "3"], [1, 3, 2], [0, 2, 1]),
        (["1", "0"], [1, 0, 0], [0, 1, 1]),
        (["no", "yes"], [1, 0, 1], [1, 0, 1]),
        (["no", "yes"], ["yes", "no", "yes"], [1, 0, 1]),
        (["no", "yes"], [1.0, 0.0, 1.0], [1, 0, 1]),
        (["1", "2", "3"], [0, 1, 2], "where|names or indices, not both"),
        (["5", "6"], [0, 1, 1], "where classes are named by numbers, labels must be these names"),
        (["no", "yes"], ["yes", "0", "no"], "row 2: the label .* names or indices, not both"),
        (["no", "yes"], [0, -1, 1], "row 2: the label .* expected 0 to 1"),
        (["no", "yes"], [0, 2, 1], "row 2: the label .* expected 0 to 1"),
        (["no", "yes"], [0, 0.5, 1], "row 2: the label .* expected 0 to 1"),
        (["no", "yes"], [True, False, True], [1, 0, 1]),
        (["true", "false"], [True, False, True], [0, 1, 0]),
        (["True", "False"], [True, False, True], [0, 1, 0]),
        (["1.0", "2.0"], [1.0, 2.0, 1.0], [0, 1, 0]),
        (["1.0", "2.0"], [1, 2, 1], [0, 1, 0]),
        (["1.0", "2.0"], [0, 1, 0], "names or indices, not both"),
        (["1", "1.0"], ["1", "1", "1"], [0, 0, 0]),
        (["-1", "1"], [1.0, -1.0, 1.0], [1, 0, 1]),
        (["1", "2", "many"], [0, 0, 0], "where classes are named by numbers, labels must be these names"),
        (["None", "some"], [None, None, None], "row 1: the label .* expected 0 to 1"),
        (["no", "yes"], [0, "9" * 5000, 1], "row 2: the label .* expected 0 to 1"),
    ],
)  # fmt: skip
def test_a_label_means_the_same_in_every_format(
    tmp_path: Path, ending: str, names: list[str], labels: list[object], expected: list[int] | str
) -> None:
    toml = f'columns = ["text"]\nlabels = {json.dumps(names)}\n'
    (tmp_path / "task.toml").write_text(toml)
    for split in ("train", "validation"):
        write(tmp_path / f"{split}.{ending}", labels)
    if isinstance(expected, str):
        with pytest.raises(HeadscopeError, match=expected):
            load_data(find(tmp_path))
    else:
        assert load_data(find(tmp_path)).validation.labels.tolist() == expected


def test_class_names_within_a_parquet_file_must_be_the_tasks(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text(TOML)
    frame = pl.DataFrame({"text": ["a", "b"], "label": [0, 1]})
    for names, is_right in (
        (["neg", "pos"], True),
        (["Neg", "Pos"], True),
        (["pos", "neg"], False),
    ):
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        for split in ("train", "validation"):
            frame.write_parquet(tmp_path / f"{split}.parquet", metadata=metadata)
        if is_right:
            assert load_data(find(tmp_path)).validation.labels.tolist() == [0, 1]
        else:
            with pytest.raises(HeadscopeError, match="says that its classes are pos, neg"):
                load_data(find(tmp_path))


def test_indices_of_a_file_that_names_its_classes_are_never_names(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text(STARS)
    features = {"label": {"names": ["1", "2", "3"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    frame = pl.DataFrame({"text": ["a", "b"], "label": [1, 2]})
    for split in ("train", "validation"):
        frame.write_parquet(tmp_path / f"{split}.parquet", metadata=metadata)
    assert load_data(find(tmp_path)).validation.labels.tolist() == [1, 2]


def test_no_half_of_a_row_is_kept(tmp_path: Path) -> None:
    for name in ("train", "dev"):
        (tmp_path / "SST-2").mkdir(exist_ok=True)
        text = "sentence\tlabel\na good film\t1\na film that\nnobody likes\t0\nfine\t1\n"
        (tmp_path / "SST-2" / f"{name}.tsv").write_text(text)
    split = load_data(find("sst2"), tmp_path).validation
    assert split.first == ("a good film", "fine")
    assert [note.split()[1:4] for note in split.notes] == [["1", "of", "4"], ["1", "of", "4"]]
    # Where no text is in the first or last column, a row with all fields is whole.
    inner = glue_tsv(tmp_path, ["0\ta b\tc\tentailment", "stray", "1\td\te\tentailment"])
    assert inner.first == ("a b", "d")


def test_a_registered_task_takes_what_pandas_quotes_throughout(tmp_path: Path) -> None:
    for name in ("train", "dev"):
        (tmp_path / "SST-2").mkdir(exist_ok=True)
        text = '"sentence"\t"label"\n"one\ntwo"\t"1"\n'
        (tmp_path / "SST-2" / f"{name}.tsv").write_text(text)
    assert load_data(find("sst2"), tmp_path).validation.first == ("one\ntwo",)


@pytest.mark.parametrize("missing", [-1, "-"])
def test_rows_of_glue_without_a_label_are_left_out_and_counted(
    tmp_path: Path, missing: object
) -> None:
    (tmp_path / "mnli").mkdir()
    rows = [{"premise": "a", "hypothesis": "b", "label": label} for label in ("neutral", missing)]
    lines = [json.dumps(row) + "\n" for row in rows]
    for name in ("train", "validation_matched"):
        (tmp_path / "mnli" / f"{name}.jsonl").write_text("".join(lines))
    split = load_data(find("mnli"), tmp_path).validation
    assert split.labels.tolist() == [1]
    assert split.notes == ("validation_matched.jsonl: 1 of 2 rows left out, which have no label",)
    (tmp_path / "mnli" / "train.jsonl").write_text(lines[1])
    with pytest.raises(HeadscopeError, match="no row has a label .* is it a test split"):
        load_data(find("mnli"), tmp_path)


def test_a_folder_whose_name_is_a_pattern_is_not_searched_for(tmp_path: Path) -> None:
    for name, text in (("own[1]", "right"), ("own1", "wrong"), ("label=0", "right")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "task.toml").write_text(TOML)
        frame = pl.DataFrame({"text": [text], "label": [1]})
        for split in ("train", "validation"):
            frame.write_parquet(folder / f"{split}.parquet")
    for name in ("own[1]", "label=0"):
        read = load_data(find(tmp_path / name)).validation
        assert (read.first, read.labels.tolist()) == (("right",), [1])


@pytest.mark.parametrize("path", ["~nobody-has-this-name/x", "x" * 5000])
def test_a_path_that_cannot_be(path: str) -> None:
    with pytest.raises(HeadscopeError, match="the data folder .* cannot be used"):
        load_data(find("rte"), path)
    with pytest.raises(HeadscopeError, match="the task .* cannot be used"):
        find(path)


def test_a_score_is_a_plain_number(tmp_path: Path) -> None:
    toml = 'columns = ["text"]\nlimits = [0, 10]\n'
    assert validation(tmp_path / "a", "validation.csv", "text,label\na,1e0\n", toml).labels == [1]
    with pytest.raises(HeadscopeError, match="the label '1_0' is out of range"):
        validation(tmp_path / "b", "validation.csv", "text,label\na,1_0\n", toml)


def test_two_folders_of_one_task_are_not_chosen_from(tmp_path: Path) -> None:
    for name in ("rte", "RTE-copy"):
        (tmp_path / name).mkdir()
        for split in ("train", "validation"):
            text = "sentence1,sentence2,label\na,b,0\n"
            (tmp_path / name / f"{split}.csv").write_text(text)
    (tmp_path / "RTE").symlink_to(tmp_path / "rte")
    assert len(load_data(find("rte"), tmp_path).train) == 1
    (tmp_path / "RTE").unlink()
    (tmp_path / "RTE-copy").rename(tmp_path / "RTE")
    with pytest.raises(HeadscopeError, match="could both be the data of rte: give the one"):
        load_data(find("rte"), tmp_path)
    assert len(load_data(find("rte"), tmp_path / "RTE").train) == 1


def test_rows_with_an_empty_text_are_left_out_and_counted(tmp_path: Path) -> None:
    lines = ["id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate"]
    # A row without a text needs no label either.
    lines += ["0\t1\t2\tWhy?\tHow?\t1", "1\t3\t4\tHow does one build an app?\t\t"]
    (tmp_path / "QQP").mkdir()
    for name in ("train", "dev"):
        (tmp_path / "QQP" / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    data = load_data(find("qqp"), tmp_path)
    assert data.train.second == ("How?",)
    assert data.train.labels.tolist() == [1]
    assert data.train.notes == ("train.tsv: 1 of 2 rows left out, in which a text is empty",)


def test_rows_from_the_hub_are_left_out_too(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {"question1": ["a", "b", "c"], "question2": ["d", "", "e"], "label": [1, 0, -1]}
    hub = ModuleType("datasets")
    hub.__dict__["load_dataset"] = lambda *_: {"train": columns, "validation": columns}
    monkeypatch.setitem(sys.modules, "datasets", hub)
    monkeypatch.delenv("HEADSCOPE_DATA", raising=False)
    train = load_data(find("qqp")).train
    assert (train.first, train.second, train.labels.tolist()) == (("a",), ("d",), [1])
    assert train.notes == (
        "train: 1 of 3 rows left out, in which a text is empty",
        "train: 1 of 3 rows left out, which have no label",
    )


BOM = "\ufeff"
ROW = '{"text": "a b", "label": 1}\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("validation.jsonl", BOM + ROW),
        ("validation.jsonl", '{"text": "a b", "label": 1, "more": NaN}\n'),
        ("validation.jsonl", "\n" + ROW + "\n\n"),
        ("validation.json", f"[{ROW.strip()}]"),
        ("validation.json", ROW),
        ("val.jsonl", ROW),
        ("valid.csv", "text,label\na b,1\n"),
        ("dev.tsv", "text\tlabel\na b\t1\n"),
        ("Validation.CSV", "text,label\r\na b,1\r\n"),
        ("validation-00000-of-00001.jsonl", ROW),
        ("validation.csv", ("text,label\na b,1\n").encode("utf-16")),
        ("validation.csv", "text,label\ra b,1\r"),
        ("validation.csv", "text,label,label2,label2\na b,1,,\n"),
        ("validation.csv.gz", gzip.compress(b"text,label\na b,1\n", mtime=0)),
    ],
)  # fmt: skip
def test_what_is_read_all_the_same(tmp_path: Path, name: str, content: str | bytes) -> None:
    split = validation(tmp_path / "own", name, content)
    assert split.first == ("a b",)
    assert split.labels.tolist() == [1]
    assert split.notes == ()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("validation.jsonl", ROW + '{"text": \n', "validation.jsonl cannot be read as jsonl, line 2: Expecting value .column 10."),
        ("validation.csv", "text;label\na;1\n", "the file has text;label .is its delimiter another one"),
        ("validation.jsonl", ROW + "[1]\n", "line 2: expected an object"),
        ("validation.jsonl", '{"text": {"a": 1}, "label": 1}\n', "row 1: the text in 'text' is .* expected a text"),
        ("validation.jsonl", '{"text": "a", "text": "b", "label": 1}\n', "a key stands twice"),
        ("validation.jsonl", '{"text": "\\ud800", "label": 1}\n', "row 1: a text is no Unicode"),
        ("validation.jsonl", "[" * 9000, "line 1: "),
        ("validation.csv", b"text,label\n\xe9,1\n", "is not UTF-8"),
        ("validation.csv", "text,label\na\0b,1\n", "NUL"),
        ("validation.csv", "text,text,label\na,b,1\n", "more than one column 'text'"),
        ("validation.csv.gz", gzip.compress(b"text,label\na b,1\n", mtime=0)[:-9], "not whole gzip"),
        ("validation-00000-of-00002.jsonl", ROW, "has 1 of the 2 parts"),
        ("test.jsonl", ROW, "has no validation file.*the folder holds task.toml, test.jsonl, train.jsonl"),
        ("Train.jsonl", ROW, "several files that could be the train split: Train.jsonl, train.jsonl"),
        ("validation.csv", "version https://git-lfs.github.com/spec/v1\n", "is a pointer of git-lfs"),
        ("validation.csv", "text,label\n1,a,0\n2,b,1\n", "is empty: .*; validation.csv: 2 of 2 rows left out"),
        ("train.csv", "text,label\na,1\n", "several files that could be the train split: train.csv, train.jsonl"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, name: str, content: str | bytes, sentence: str) -> None:
    with pytest.raises(HeadscopeError, match=sentence):
        validation(tmp_path / "own", name, content)


def test_nan_is_no_text(tmp_path: Path) -> None:
    split = validation(tmp_path / "own", "validation.jsonl", ROW + '{"text": NaN, "label": 1}\n')
    assert split.first == ("a b",)
    assert split.notes == ("validation.jsonl: 1 of 2 rows left out, in which a text is empty",)


def test_numbers_in_place_of_texts_are_said(tmp_path: Path) -> None:
    split = validation(tmp_path / "own", "validation.jsonl", '{"text": 5, "label": 1}\n')
    assert split.notes == ("validation.jsonl: 1 of 1 texts in 'text' are numbers, taken as texts",)
    other = tmp_path / "other"
    frame = pl.DataFrame({"text": [5], "label": [1]})
    path = tmp_path / "x.parquet"
    frame.write_parquet(path)
    split = validation(other, "validation.parquet", path.read_bytes())
    assert split.notes == ("validation.parquet: the column 'text' holds numbers, taken as texts",)


def test_all_parts_of_a_split_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text(TOML)
    write(tmp_path / "train.csv", [0, 1])
    for part in range(11):
        path = tmp_path / f"validation-{part:05}-of-00011.parquet"
        pl.DataFrame({"text": [f"text {part}"], "label": [part % 2]}).write_parquet(path)
    split = load_data(find(tmp_path)).validation
    assert split.first == tuple(f"text {part}" for part in range(11))
    assert split.labels.tolist() == [part % 2 for part in range(11)]


def test_a_task_that_makes_its_rows_makes_no_billion() -> None:
    with pytest.raises(HeadscopeError, match="builtin makes at most 1,000,000 examples"):
        load_data(find("builtin"), sizes=(10, 10**9))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text(TOML)
    write(tmp_path / "train.csv", [0, 1])
    os.mkfifo(tmp_path / "validation.csv")
    with pytest.raises(HeadscopeError, match="is not a file, but a folder, a pipe or the like"):
        load_data(find(tmp_path))


def test_the_folder_of_the_task_itself_and_a_single_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rte").mkdir()
    for split in ("train", "validation"):
        text = "sentence1,sentence2,label\na,b,0\n"
        (tmp_path / "rte" / f"{split}.csv").write_text(text)
    assert len(load_data(find("rte"), tmp_path / "rte").train) == 1
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(load_data(find("rte"), Path("~/rte")).train) == 1
    # A file is a task of its own, whose one row holds no two classes.
    with pytest.raises(HeadscopeError, match="a task needs two different labels or more"):
        find(tmp_path / "rte" / "train.csv")


@pytest.mark.parametrize(
    ("content", "is_read"),
    [
        (BOM.encode() + TOML.encode(), True),
        (TOML.encode("utf-16"), False),
        (b"x = " + b"[" * 5000 + b"]" * 5000, False),
        (TOML.encode() + b'metrics = ["accuracy", "accuracy"]\n', False),
        (TOML.encode() + b"name = 5\n", False),
        (TOML.encode() + b'name = ".."\n', False),
        (TOML.encode() + b'name = "a/b"\n', False),
        (TOML.encode() + b'name = "' + b"a" * 256 + b'"\n', False),
        (TOML.encode() + b"label = ['label']\n", False),
        (TOML.encode() + b'label = "text"\n', False),
        (TOML.replace('"text"', '"text", "text"').encode(), False),
    ],
)
def test_forms_of_task_toml(tmp_path: Path, content: bytes, is_read: bool) -> None:
    (tmp_path / "task.toml").write_bytes(content)
    if is_read:
        assert find(tmp_path).labels == ("neg", "pos")
    else:
        with pytest.raises(HeadscopeError, match=r"task\.toml"):
            find(tmp_path)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1).filter(str.strip),
            st.integers(0, 1),
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["csv", "tsv"]),
)  # fmt: skip
def test_whatever_the_writer_quotes_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]], ending: str
) -> None:
    folder = tmp_path_factory.mktemp("own")
    path = folder / "x"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if ending == "tsv" else ",")
        writer.writerows([("text", "label"), *rows])
    mark = "\t" if ending == "tsv" else ","
    swallowed = [
        text
        for text, _ in rows
        if any(line.endswith((f"{mark}0", f"{mark}1")) for line in text.splitlines())
    ]
    assume(not swallowed)
    split = validation(folder, f"validation.{ending}", path.read_bytes())
    assert list(zip(split.first, split.labels.tolist(), strict=True)) == rows


@pytest.mark.parametrize(
    ("case", "outcome"),
    [
        ("40-numeric-labels-stars-csv", [0, 1, 0, 1]),
        ("40-numeric-labels-stars-parquet", [0, 1, 0, 1]),
        ("41-csv-extra-delimiter", "1 of 2 rows left out"),
        ("43-csv-open-quote", "cannot be read as csv"),
        ("45-struct-parquet-struct-text", "of type Struct"),
        ("46-traceback-parquet-list-text", "of type List"),
        ("50-refused-jsonl-bom", [0, 1]),
        ("50-refused-jsonl-late-float", "all"),
    ],
)
def test_the_cases_that_were_found(case: str, outcome: list[int] | str) -> None:
    if not CASES.is_dir():
        pytest.skip(f"the cases are not at {CASES}")
    if "read" in outcome or "type" in outcome:
        with pytest.raises(HeadscopeError, match=str(outcome)):
            load_data(find(CASES / case))
        return
    data = load_data(find(CASES / case))
    if isinstance(outcome, list):
        assert data.validation.labels.tolist() == outcome
    elif outcome == "all":
        assert len(data.train) > 50
        assert not data.train.notes + data.validation.notes
    else:
        assert outcome in " ".join(data.train.notes + data.validation.notes)


def test_the_real_qqps_empty_questions() -> None:
    if not CASES.is_dir():
        pytest.skip(f"the cases are not at {CASES}")
    for folder in (CASES / "00-qqp-empty-question", CASES / "00-qqp-empty-question/QQP-archive"):
        data = load_data(find("qqp"), folder)
        assert "in which a text is empty" in " ".join(data.train.notes)
