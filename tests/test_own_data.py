"""Data as people have them: texts without labels, tables whose columns are guessed, no training
split.
"""

# mypy: disable-error-code="arg-type"

import csv
import gzip
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import families
import headscope
from headscope.commands.class_names import foreign_labels, has_head_for, trust_note
from headscope.commands.disable import disable
from headscope.commands.finetune import finetune
from headscope.commands.rows import check_division
from headscope.corpora.parsed import parsed_corpus
from headscope.errors import HeadscopeError
from headscope.examples import Split, Word
from headscope.model.loading import load
from headscope.tasks import Chosen, find
from headscope.tasks.files import load_data
from headscope.tasks.own import divided
from headscope.tasks.texts import read_texts

QUIET: dict[str, Any] = {"quiet": True, "words": "plain", "batch_tokens": 300}
FIRST = [f"the man number {i} reads a book about the sea" for i in range(30)]
SECOND = [f"a book is read by number {i} and the others" for i in range(30)]
LABELS = ["good" if i % 3 else "bad" for i in range(30)]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(families.make_encoder("bert", tmp_path_factory.mktemp("models") / "bare"))


def table(path: Path, **columns: list[Any]) -> Path:
    """A file with these columns, in the format that its name says."""
    frame = pl.DataFrame(columns, strict=False)
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    elif path.suffix == ".jsonl":
        frame.write_ndjson(path)
    else:
        frame.write_csv(path, separator="\t" if path.suffix == ".tsv" else ",")
    return path


def test_lines_are_texts_and_empty_ones_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_bytes("\ufeffOne line.\r\n\r\n  Zwei Zeilen. \n \u2028\nlast".encode())
    task, split = read_texts(path)
    assert split.first == ("One line.", "Zwei Zeilen.", "last")
    assert split.second is None
    assert np.isnan(split.labels).all()
    assert split.notes == ("mine.txt: 2 of 5 lines left out: no text there",)
    assert not task.has_labels
    packed = tmp_path / "packed.txt.gz"
    packed.write_bytes(gzip.compress(b"a b\nc d\n"))
    assert read_texts(packed)[1].first == ("a b", "c d")


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_text_columns_are_guessed_and_said_in_every_format(tmp_path: Path, ending: str) -> None:
    ids = list(range(30))
    path = table(tmp_path / f"m.{ending}", id=ids, a=FIRST, kind=LABELS, b=[*SECOND[:29], None])
    task, split = read_texts(path)
    assert (split.first, split.second) == (tuple(FIRST[:29]), tuple(SECOND[:29]))
    assert task.columns == ("a", "b")
    assert split.notes == (
        f"m.{ending}: the text columns are taken to be 'a' and 'b', of id, a, kind, b; --columns "
        "names others",
        f"m.{ending}: 1 of 30 rows left out: no text there",
    )
    named = read_texts(path, ("b",))[1]
    assert named.first == tuple(SECOND[:29])
    assert read_texts(path, ("b, a",))[0].columns == ("b", "a")


@pytest.mark.parametrize(
    ("name", "content", "columns", "sentence"),
    [
        ("m.txt", b"\n \n", None, "holds no text: give a file with at least one line"),
        ("m.txt", b"", None, "holds no text"),
        ("m.txt", b"caf\xe9", None, r"is not UTF-8 \(byte 3\): save it as UTF-8"),
        ("m.txt", b"a b", ("text",), "--columns is of a table"),
        ("m.csv", b"", None, "holds no rows"),
        ("m.csv", b"x,y\n1,2\n", None, "no column looks like a text.*(x, y)"),
        ("m.csv", b"x,y\n1,2\n", ("z",), "has no such column: x, y"),
        ("m.csv", b"x,y\n1,2\n", ("x,y,x",), "one or two different text columns"),
        ("m.csv", b"x,y\n1,2\n", ("",), "no such column"),
        ("m.csv", b"a,b,c\n" + b"one two three,four five six,seven eight nine\n" * 3, None,
         r"3 columns look like texts \(a, b, c\).*--columns a,b"),
        ("m.jsonl", b'{"a": ["one"]}', ("a",), "expected a text"),
        ("m.parquet", b"PAR1", None, "cannot be read as parquet"),
    ],
)  # fmt: skip
def test_texts_that_are_refused(
    tmp_path: Path, name: str, content: bytes, columns: tuple[str, ...] | None, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(HeadscopeError, match=sentence):
        read_texts(tmp_path / name, columns)


def test_a_folder_and_a_missing_file_are_no_texts(tmp_path: Path) -> None:
    with pytest.raises(HeadscopeError, match="is a folder"):
        read_texts(tmp_path)
    with pytest.raises(HeadscopeError, match="does not exist"):
        read_texts(tmp_path / "x.txt")


def test_texts_of_several_lines_are_said(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text('id,text\n1,"one two\nthree four"\n2,five six seven\n')
    split = read_texts(tmp_path / "m.csv")[1]
    assert split.first == ("one two\nthree four", "five six seven")
    assert "1 texts hold line breaks; if they should not, a quote was left open" in split.notes[-1]


def test_rows_of_another_length_are_counted_in_texts_too(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("id,text\n1,one two three\n2,four, five six\n3,one two three\n")
    split = read_texts(tmp_path / "m.csv")[1]
    assert split.first == ("one two three",) * 2
    assert "1 of 3 rows left out, which have fewer or more fields" in split.notes[-1]


@pytest.mark.parametrize(
    ("values", "classes", "limits"),
    [
        (["pos", "neg", " pos"], ("neg", "pos"), (0, 0)),
        (["10", "9", "2.0", "9.0"], ("2", "9", "10"), (0, 0)),
        ([1.0, 0.0, 1.0, None], ("0", "1"), (0, 0)),
        ([True, False, True], ("0", "1"), (0, 0)),
        (["0.5", "1", "-2"], (), (-2, 1)),
        ([0.25, float("nan"), 3.0], (), (0.25, 3)),
        (list(range(21)), (), (0, 20)),
        (list(range(20)), tuple(map(str, range(20))), (0, 0)),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_kind_of_a_label_is_guessed(
    tmp_path: Path, ending: str, values: list[Any], classes: tuple[str, ...], limits: Any
) -> None:
    texts = [f"this is the text {i}" for i in range(len(values))]
    task = find(table(tmp_path / f"m.{ending}", text=texts, y=values))
    assert (task.columns, task.label) == (("text",), "y")
    assert (task.labels, task.limits) == (classes, limits)
    assert task.metrics == (("accuracy",) if classes else ("spearman", "pearson"))
    data = load_data(task)
    known = [value for value in values if value is not None and value == value]
    assert len(data.train) + len(data.validation) == len(known)
    said = " ".join(data.validation.notes)
    assert ("a regression" in said) == (not classes)
    assert ("which have no label" in said) == (len(known) < len(values))


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"text": FIRST, "a": LABELS, "b": LABELS}, r"which column is the label.*\(text, a, b\)"),
        ({"text": FIRST, "label": ["x"] * 30}, "holds only 'x': a task needs two different"),
        ({"text": FIRST, "label": [None] * 30}, "holds no label"),
        ({"text": FIRST, "label": [f"id{i}" for i in range(30)]}, "30 different texts in 30 rows"),
        ({"a": LABELS, "label": LABELS}, "no column looks like a text"),
        ({"a": FIRST, "b": FIRST, "c": FIRST, "label": LABELS}, "3 columns look like texts"),
    ],
)
def test_a_table_that_can_be_read_in_two_ways_is_refused(
    tmp_path: Path, columns: dict[str, list[Any]], sentence: str
) -> None:
    with pytest.raises(HeadscopeError, match=sentence):
        find(table(tmp_path / "m.csv", **columns))


def test_columns_that_are_named_are_not_guessed(tmp_path: Path) -> None:
    path = table(tmp_path / "m.csv", a=FIRST, b=SECOND, c=FIRST, x=LABELS, label=LABELS)
    task = find(path, Chosen(("c",), "x"))
    assert (task.columns, task.label) == (("c",), "x")
    assert task.guessed == ("m.csv: the label 'x' names 2 classes: bad, good",)
    with pytest.raises(HeadscopeError, match="only one of the texts or the label"):
        find(path, Chosen(("a", "x"), "x"))
    with pytest.raises(HeadscopeError, match="--label z: .* has no such column"):
        find(path, Chosen(("a",), "z"))
    with pytest.raises(HeadscopeError, match="--columns cannot be given with the task rte"):
        find("rte", Chosen(("a",), None))
    with pytest.raises(HeadscopeError, match="is no table that can be read"):
        find(Path(__file__))


@pytest.mark.parametrize("seed", range(5))
def test_a_single_file_is_divided_and_no_text_is_in_both_parts(tmp_path: Path, seed: int) -> None:
    texts = [*FIRST, *FIRST[:10], FIRST[0]]
    path = table(tmp_path / "m.csv", text=texts, label=[*LABELS, *LABELS[10:20], "good"])
    data = load_data(find(path), seed=seed)
    train, validation = set(data.train.first), set(data.validation.first)
    assert not train & validation
    assert sorted([*data.train.first, *data.validation.first]) == sorted(texts)
    # A fifth of 41 is 8.2: what is drawn last may be a text of three rows.
    assert 9 <= len(data.validation) <= 11
    assert data.validation.notes[-1] == (
        f"m.csv is a single file, so its rows were divided by --seed {seed}: {len(data.train)} to "
        f"train, {len(data.validation)} to validate; 11 rows repeat the texts of another and were "
        "kept in the same split"
    )
    again = load_data(find(path), seed=seed)
    assert again.hash == data.hash
    assert load_data(find(path), seed=seed + 1).hash != data.hash


def test_a_pair_is_the_same_only_with_both_texts(tmp_path: Path) -> None:
    path = table(tmp_path / "m.csv", a=["the same old text"] * 10, b=FIRST[:10], label=LABELS[:10])
    data = load_data(find(path))
    assert (len(data.train), len(data.validation)) == (8, 2)
    assert "repeat" not in data.validation.notes[-1]
    split = Split(("a",) * 3, None, np.zeros(3))
    with pytest.raises(HeadscopeError, match="has only one text"):
        divided(split, find(path), 0)


def test_a_folder_without_task_toml_is_guessed(tmp_path: Path) -> None:
    table(tmp_path / "train.csv", text=FIRST, label=LABELS)
    table(tmp_path / "dev.csv", text=SECOND[:4], label=["great", *LABELS[:3]])
    task = find(tmp_path)
    assert task.labels == ("bad", "good", "great")
    data = load_data(task)
    assert (data.train.first, data.validation.first) == (tuple(FIRST), tuple(SECOND[:4]))
    (tmp_path / "train.csv").unlink()
    with pytest.raises(HeadscopeError, match="has no train file.*give a single table"):
        load_data(task)
    assert len(load_data(task, needs_train=False).train) == 0


def own_task(folder: Path, train: bool = True) -> Path:
    """A folder with a task.toml."""
    folder.mkdir()
    toml = 'columns = ["a", "b"]\nlabel = "y"\nlabels = ["bad", "good"]\n'
    (folder / "task.toml").write_text(toml)
    for split in ("train", "validation") if train else ("validation",):
        table(folder / f"{split}.csv", a=FIRST, b=SECOND, y=LABELS)
    return folder


def test_texts_alone_measure_as_the_task_does(bare: str, tmp_path: Path) -> None:
    task = own_task(tmp_path / "task")
    asked: dict[str, Any] = {"model": bare, "examples": 12, **QUIET}
    headscope.measure(task=task, out=tmp_path / "of-task", **asked)
    file = task / "validation.csv"
    headscope.measure(text=file, columns="a,b", out=tmp_path / "of-text", **asked)
    runs = [headscope.open_run(tmp_path / name) for name in ("of-task", "of-text")]
    for name in ("heads", "likeness", "patterns", "heterogeneous"):
        if name in runs[0].tables:
            of_task, of_text = (run.tables[name].drop("task") for run in runs)
            assert_frame_equal(of_task, of_text)
    record = runs[1].record
    assert (record.task.name, record.task.metrics, record.task.labels) == ("validation.csv", [], [])
    assert (record.data.train, record.data.validation) == (0, 12)
    examples = runs[1].tables["examples"]
    assert examples["label"].null_count() == examples.height
    assert "scores" not in runs[1].tables
    assert any("gradient_importance needs a label of every text" in note for note in record.notes)
    assert " --text " in record.repeat
    assert " --task " not in record.repeat
    page = tmp_path / "page.html"
    headscope.report(tmp_path / "of-text", out=page, quiet=True)
    top = re.search(r'<p class="about">.*?</p>', page.read_text(), re.DOTALL)
    assert top is not None
    assert re.search(r"12</bdi>\s+texts", top[0])


def test_models_are_compared_on_texts(bare: str, tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text("\n".join(FIRST))
    headscope.compare(
        before=bare, after=bare, text=tmp_path / "m.txt", measures="entropy", out=tmp_path / "run",
        **QUIET,
    )  # fmt: skip
    change = headscope.open_run(tmp_path / "run").tables["change"]
    assert change.filter(measure="entropy")["value"].abs().max() == 0


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "got neither"),
        ({"task": "builtin", "text": "m.txt"}, "exclude each other, got both"),
        ({"text": "m.txt", "label": "y"}, "--label cannot be given with --text"),
        ({"text": "m.txt", "data": "x"}, "--data cannot be given with --text"),
    ],
)
def test_a_task_and_a_text_exclude_each_other(
    bare: str, tmp_path: Path, given: dict[str, str], sentence: str
) -> None:
    with pytest.raises(HeadscopeError, match=sentence):
        headscope.measure(model=bare, out=tmp_path / "run", **given)


def test_importance_of_texts_is_refused(bare: str, tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text("\n".join(FIRST))
    asked: dict[str, Any] = {"model": bare, "text": tmp_path / "m.txt", "out": tmp_path / "run"}
    with pytest.raises(HeadscopeError, match="needs labels, and the texts of --text have none"):
        headscope.measure(**asked, measures="gradient_importance", **QUIET)


def test_a_table_is_fine_tuned_and_disabled_on_the_same_rows(bare: str, tmp_path: Path) -> None:
    path = table(tmp_path / "m.csv", text=FIRST, label=LABELS)
    asked: dict[str, Any] = {"task": str(path), "quiet": True}
    outcome = finetune(model=bare, epochs=1, seed=1, out=tmp_path / "ckpt", **asked)
    assert outcome.next.endswith("m.csv --seed 1 --out RUN")
    asked |= {"model": str(tmp_path / "ckpt"), "heads": "layers"}
    headscope.disable(seed=1, out=tmp_path / "same", **asked)
    assert headscope.open_run(tmp_path / "same").tables["scores"]["n"].item() == 6
    with pytest.raises(HeadscopeError, match="that --seed 1 chose, and --seed 0 divides"):
        headscope.disable(seed=0, out=tmp_path / "other", **asked)
    table(path, text=FIRST[1:], label=LABELS[1:])
    task = find(path)
    model = load(tmp_path / "ckpt")
    changed = check_division(model, task, load_data(task, seed=1), 1)
    assert "are not what they were" in changed[0]


def test_without_training_data_the_majority_is_left_out_and_said(
    tiny: Path, tmp_path: Path
) -> None:
    task = own_task(tmp_path / "task", train=False)
    asked: dict[str, Any] = {"model": str(tiny), "task": str(task), "quiet": True}
    outcome = disable(heads="layers", out=tmp_path / "run", **asked)
    assert "the majority baseline is not known, without training data" in outcome.lines[-1]
    run = headscope.open_run(tmp_path / "run")
    assert run.tables["scores"]["majority"].to_list() == [None]
    assert run.tables["scores"]["p_majority"].to_list() == [None]
    assert any("no training examples" in note for note in run.record.notes)
    headscope.report(tmp_path / "run", out=tmp_path / "page.html", quiet=True)
    page = (tmp_path / "page.html").read_text()
    assert "the majority baseline is not known" in page
    for command in (headscope.finetune, headscope.prune):
        with pytest.raises(HeadscopeError, match="has no train file"):
            command(out=tmp_path / "no", **asked)
    with pytest.raises(HeadscopeError, match="--part train: .* has no training examples"):
        headscope.disable(part="train", out=tmp_path / "no", **asked)


def test_numbered_classes_are_those_of_the_model_and_that_is_said(
    tiny: Path, tmp_path: Path
) -> None:
    task = find(table(tmp_path / "m.csv", text=FIRST, label=[int(one == "good") for one in LABELS]))
    model = load(tiny)
    model.hf.config.id2label = {0: "NEGATIVE", 1: "POSITIVE"}
    assert foreign_labels(model, task) == ""
    assert "taken to be NEGATIVE, POSITIVE of" in trust_note(model, task)[0]
    assert has_head_for(model, task)
    assert foreign_labels(model, replace(task, labels=("1", "2")))
    assert foreign_labels(model, replace(task, guessed=()))


def test_a_parsers_relations_are_links_and_plain_words_have_none() -> None:
    words = (
        Word("dogs", "dog", 0, 4, "NOUN", "nsubj", 1),
        Word("bark", "bark", 5, 9, "VERB", "root", -1),
        Word(".", ".", 9, 10, "PUNCT", "punct", 1),
    )
    split = Split(("dogs bark.", "dogs bark."), None, np.zeros(2))
    asked = {"name": "m.txt", "source": "m.txt", "parser": "a parser"}
    corpus = parsed_corpus(split, [[words], [words]], **asked)
    assert corpus.relations == {"nsubj": 1}
    assert dict(corpus.counts)["different texts"] == 1
    assert "are those that a parser found" in corpus.notes[-1]
    plain = [[[replace(word, relation="", head=-1) for word in words]]] * 2
    with pytest.raises(HeadscopeError, match="need a parser, and the words have none"):
        parsed_corpus(split, plain, **asked)


def test_relations_of_a_text(bare: str, tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text("\n".join(FIRST))
    asked: dict[str, Any] = {"model": bare, "out": tmp_path / "run", "quiet": True}
    with pytest.raises(HeadscopeError, match="need a parser"):
        headscope.relations(text=tmp_path / "m.txt", words="plain", **asked)
    with pytest.raises(HeadscopeError, match="exclude each other, got both"):
        headscope.relations(text=tmp_path / "m.txt", corpus="ud:x", **asked)


def test_texts_of_real_pairs_measure_as_their_task(bare: str, glue: Path, tmp_path: Path) -> None:
    rows = pl.read_parquet(glue / "mrpc" / "validation.parquet")
    rows.write_csv(tmp_path / "mrpc.csv", quote_style="necessary")
    asked: dict[str, Any] = {"model": bare, "measures": "entropy", "examples": 60, **QUIET}
    headscope.measure(task="mrpc", data=glue, out=tmp_path / "a", **asked)
    headscope.measure(text=tmp_path / "mrpc.csv", out=tmp_path / "b", **asked)
    first, second = (headscope.open_run(tmp_path / name).tables["heads"] for name in "ab")
    assert first["n"].max() == 60
    assert_frame_equal(first.drop("task"), second.drop("task"))


def test_a_field_of_a_million_letters_is_cut_and_counted(bare: str, tmp_path: Path) -> None:
    with (tmp_path / "m.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["text"], *[[text] for text in FIRST], ["word " * 200_000]])
    asked: dict[str, Any] = {"text": tmp_path / "m.csv", "measures": "entropy", "max_length": 32}
    headscope.measure(model=bare, out=tmp_path / "run", **asked, **QUIET)
    notes = headscope.open_run(tmp_path / "run").record.notes
    assert any("1 of 31 text examples were cut to 32 tokens" in note for note in notes)
