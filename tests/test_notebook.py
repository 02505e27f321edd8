"""The first things that a person types in a notebook work, or end in one sentence."""

# mypy: disable-error-code="call-arg,arg-type,list-item"

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

import families
import headscope
from headscope import functions
from headscope.commands.model_in_hand import path_of_model
from headscope.commands.rows_in_hand import written_rows
from headscope.errors import HeadscopeError
from headscope.model.text_maps import word_numbers
from headscope.tasks import Chosen, find
from headscope.tasks.files import load_data

TEXTS = ["The nurse thanked the pilot.", "The pilot was not thanked.", "Who is it?"] * 8
LABELS = [0, 1, 1] * 8
PAIR = ("The nurse thanked the pilot.", "The pilot was thanked by the nurse.")
QUIET: dict[str, Any] = {"quiet": True}


@dataclass
class Hand:
    """What a person has in hand."""

    folder: Path
    model: headscope.Model
    hf: Any
    tokenizer: Any

    @property
    def task(self) -> pl.DataFrame:
        return pl.DataFrame({"sentence": TEXTS, "label": LABELS})


@pytest.fixture(scope="module")
def hand(tiny: Path) -> Hand:
    hf = AutoModelForSequenceClassification.from_pretrained(tiny)
    return Hand(tiny, headscope.load(tiny), hf, AutoTokenizer.from_pretrained(tiny))


@pytest.fixture(scope="module")
def run(hand: Hand) -> headscope.Run:
    return headscope.disable(model=hand.folder, task=hand.task, **QUIET)


def asked(hand: Hand, **more: Any) -> dict[str, Any]:
    return {"model": hand.folder, "task": hand.task, "quiet": True, **more}


CALLS: dict[str, Callable[[Hand, headscope.Run], object]] = {
    "dir(headscope)": lambda h, r: {"disable", "load", "Scorer", "__version__"} < {*dir(headscope)},
    "the version": lambda h, r: re.match(r"\d+\.\d+", headscope.__version__),
    "load a Path": lambda h, r: headscope.load(h.folder).layers == families.LAYERS,
    "maps of a text": lambda h, r: h.model.maps(TEXTS[0]).maps.ndim == 4,
    "maps of a pair": lambda h, r: set(h.model.maps(*PAIR).segments) == {0, 1},
    "plot a head": lambda h, r: h.model.maps(TEXTS[0]).plot("L3H2").to_dict()["title"] == "L3H2",
    "plot two heads": lambda h, r: len(h.model.maps(TEXTS[0]).plot(["L1H1", "L3H2"]).concat) == 2,
    "a map of a head": lambda h, r: h.model.maps(TEXTS[0]).of(headscope.Head(1, 2)).ndim == 2,
    "predict a list": lambda h, r: h.model.predict(TEXTS[:3]).height == 3,
    "predict one text": lambda h, r: h.model.predict(TEXTS[0])["probability"][0] >= 0.5,
    "predict a pair": lambda h, r: "second" in h.model.predict(PAIR).columns,
    "measure a Path": lambda h, r: headscope.measure(**asked(h, measures="entropy")).table("heads").height == 15,
    "measure a list of measures": lambda h, r: headscope.measure(**asked(h, measures=["entropy", "distance"])),
    "measure a Model": lambda h, r: headscope.measure(**asked(h, model=h.model, measures="entropy")),
    "measure builtin": lambda h, r: headscope.measure(model=h.folder, task="builtin", examples=4, measures="entropy", **QUIET),
    "measure texts": lambda h, r: headscope.measure(model=h.model, text=TEXTS, measures="entropy", **QUIET).record.data.validation == 24,
    "compare pairs": lambda h, r: headscope.compare(before=h.folder, after=h.model, text=[PAIR] * 3, measures="entropy", **QUIET).table("change").height == 30,
    "disable a model of transformers": lambda h, r: headscope.disable(**asked(h, model=h.hf, tokenizer=h.tokenizer, heads="L1H1")),
    "disable a pipeline": lambda h, r: headscope.disable(**asked(h, model=pipeline("text-classification", model=h.hf, tokenizer=h.tokenizer), heads="L1H1")),
    "disable a list of heads": lambda h, r: headscope.disable(**asked(h, heads=["L1H1", headscope.Head(3, 2)])).table("disabled")["set"].unique().to_list() == ["L1H1,L3H2"],
    "disable several sets": lambda h, r: headscope.disable(**asked(h, heads=[["L1H1"], {"L1H2", "L2H1"}])).table("disabled")["set"].n_unique() == 2,
    "texts and labels": lambda h, r: headscope.disable(**asked(h, task=(TEXTS, LABELS), heads="layers")),
    "rows": lambda h, r: headscope.disable(**asked(h, task=list(zip(TEXTS, LABELS, strict=True)), heads="L1H1")),
    "dictionaries": lambda h, r: headscope.disable(**asked(h, task=h.task.to_dicts(), heads="L1H1")),
    "splits": lambda h, r: headscope.disable(**asked(h, task={"train": h.task, "validation": h.task}, heads="L1H1")).record.data.validation == 24,
    "out is a string": lambda h, r: headscope.disable(**asked(h, heads="L1H1", out=str(r.path / ".." / "mine"))).path.name == "mine",
    "a table": lambda h, r: r.table("disabled").sort("delta").height == 15,
    "a figure": lambda h, r: r.figure("effect").to_dict()["layer"],
    "a page": lambda h, r: r.report().path.is_file(),
    "report of a run": lambda h, r: headscope.report(r, out=r.path / "report.html").path.is_file(),
    "the run shows itself": lambda h, r: "15 rows" in r._repr_html_() and "disabled (15)" in repr(r),
    "open it again": lambda h, r: headscope.open_run(r.path).table("disabled").equals(r.table("disabled")),
    "heads disabled in a context": lambda h, r: with_disabled(h.model, ["L1H1", headscope.Head(2, 3)]),
    "a search of one's own": lambda h, r: len(list(headscope.Scorer(h.model, h.model.encode(TEXTS)).score(["L1H1", "L1H2,L3H4"]))) == 2,
    "look at a text": lambda h, r: "<iframe" in headscope.look(h.model, TEXTS[0], words="plain")._repr_html_(),
    "look at a pair, heads off": lambda h, r: headscope.look(h.hf, *PAIR, tokenizer=h.tokenizer, off=["L1H1", headscope.Head(2, 3)], words="plain").beginning.heads == "L1H1,L2H3",
    "measures at once": lambda h, r: headscope.head_measures(h.model, TEXTS, "entropy").height == 15,
    "measures of a folder": lambda h, r: headscope.head_measures(str(h.folder), TEXTS[0], "entropy").height == 15,
    "patterns at once": lambda h, r: headscope.head_patterns(h.model, TEXTS).height > 15,
    "effects in groups": lambda h, r: set(headscope.head_effects(h.model, TEXTS, LABELS, "layers", groups=[n // 2 for n in range(24)])["test"]) == {"paired permutation of groups"},
    "effects at once": lambda h, r: headscope.head_effects(h.model, TEXTS, LABELS, "layers").height == 3,
    "changes at once": lambda h, r: headscope.head_changes(h.model, h.model, TEXTS, "entropy").height == 30,
    "interactions at once": lambda h, r: headscope.head_interactions(h.model, TEXTS, LABELS).height == 105,
    "Shapley values at once": lambda h, r: headscope.shapley_values(h.model, TEXTS, LABELS, pairs=2).height == 15,
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_natural_call_works(name: str, hand: Hand, run: headscope.Run) -> None:
    assert CALLS[name](hand, run)


MISTAKES: dict[str, tuple[Callable[[Hand, headscope.Run], object], str]] = {
    "no tokenizer": (lambda h, r: headscope.disable(**asked(h, model=h.hf)), "model is a BertForSequenceClassification in memory, which needs its tokenizer"),
    "a tokenizer too many": (lambda h, r: headscope.disable(**asked(h, tokenizer=h.tokenizer)), "tokenizer goes with a Hugging Face model in memory"),
    "another with a Model": (lambda h, r: headscope.disable(**asked(h, model=h.model, tokenizer=h.tokenizer)), "brings its own"),
    "no model": (lambda h, r: headscope.disable(**asked(h, model=None)), "--model must be a text, got None (NoneType); a path, a headscope.Model"),
    "a number as a model": (lambda h, r: headscope.disable(**asked(h, model=3)), "--model must be a text, got 3"),
    "no task": (lambda h, r: headscope.disable(**asked(h, task=None)), "--task must be a text, got None"),
    "an empty list": (lambda h, r: headscope.disable(**asked(h, task=[])), "task is empty: give at least two rows"),
    "an empty frame": (lambda h, r: headscope.disable(**asked(h, task=h.task.clear())), "task is empty"),
    "one row": (lambda h, r: headscope.disable(**asked(h, task=h.task.head(1))), "task holds one row"),
    "texts alone": (lambda h, r: headscope.disable(**asked(h, task=TEXTS)), "task is a list of texts without labels"),
    "unequal lengths": (lambda h, r: headscope.disable(**asked(h, task=(TEXTS, LABELS[:-1]))), "the columns of task differ in length: text 24, label 23"),
    "a row too short": (lambda h, r: headscope.disable(**asked(h, task=[("a", 0), ("b",)])), "the rows of task differ in length"),
    "rows with other columns": (lambda h, r: headscope.disable(**asked(h, task=[{"text": "a", "label": 0}, {"text": "b"}])), "the rows of task have different columns"),
    "a label that is NaN": (lambda h, r: headscope.disable(**asked(h, task=(TEXTS, [0.0, float("nan"), *LABELS[2:]]))), "row 2 of task has no label (label is nan)"),
    "a label that is None": (lambda h, r: headscope.disable(**asked(h, task=(TEXTS, [*LABELS[:-1], None]))), "row 24 of task has no label"),
    "a label too large": (lambda h, r: headscope.disable(**asked(h, task=(TEXTS, [5, *LABELS[1:]]))), "has a classification head with 2 outputs, the task needs 3"),
    "no label column": (lambda h, r: headscope.disable(**asked(h, task=pl.DataFrame({"a": TEXTS, "b": TEXTS}))), "rows in memory: which column is the label cannot be guessed: name one of its columns (a, b) with --label"),
    "three texts": (lambda h, r: headscope.disable(**asked(h, task=h.task.with_columns(a=pl.lit("the first one"), b=pl.lit("the second one")))), "rows in memory: 3 columns look like texts (sentence, a, b), so they cannot be guessed: name one or two of its columns (sentence, label, a, b)"),
    "a class as a task": (lambda h, r: headscope.disable(**asked(h, task=object())), "task must be a data frame, a datasets.Dataset"),
    "no head": (lambda h, r: headscope.disable(**asked(h, heads=[])), "the list of heads is empty"),
    "an unknown head": (lambda h, r: headscope.disable(**asked(h, heads=["L9H9"])), "L9H9 does not exist"),
    "what is no head": (lambda h, r: headscope.disable(**asked(h, heads=["first"])), "'first' is not a head"),
    "a number as a head": (lambda h, r: headscope.disable(**asked(h, heads=[7])), "heads are names such as 'L7H6' or headscope.Head(7, 6), got 7 (int)"),
    "a head twice": (lambda h, r: headscope.disable(**asked(h, heads=["L1H1", "L1H1"])), "L1H1 is named twice"),
    "a head in a context": (lambda h, r: with_disabled(h.model, 3), "heads are names such as"),
    "arguments by place": (lambda h, r: headscope.disable("minilm", "builtin"), "disable takes its arguments by name"),
    "an unknown argument": (lambda h, r: headscope.disable(**asked(h, head="L1H1")), "unknown argument of disable 'head': did you mean 'heads'?"),
    "an argument too few": (lambda h, r: headscope.disable(model="minilm"), "disable needs task: give task=..."),
    "labels without a folder": (lambda h, r: headscope.annotate(model="minilm", task="builtin"), "annotate needs out"),
    "an unknown table": (lambda h, r: r.table("disable"), "did you mean 'disabled'? Known: disabled, scores, selection"),
    "an unknown figure": (lambda h, r: r.figure("effects"), "did you mean 'effect'?"),
    "a model that was not trained": (lambda h, r: headscope.disable(**asked(h, model=r)), "holds no model that it trained"),
    "no text to measure": (lambda h, r: headscope.measure(model=h.model, text=[], **QUIET), "there are no texts"),
    "no text": (lambda h, r: h.model.predict([]), "there are no texts"),
    "a text that is None": (lambda h, r: h.model.predict(["a", None]), "text 2 is None (NoneType)"),
    "an empty text": (lambda h, r: h.model.predict(["a", " "]), "text 2 is empty"),
    "texts and pairs": (lambda h, r: h.model.predict(["a", ("b", "c")]), "1 of 2 are pairs of texts"),
    "a number as texts": (lambda h, r: h.model.predict(3), "texts must be a text, a pair of texts, or a list of either, got 3 (int)"),
    "an unknown head to plot": (lambda h, r: h.model.maps("a").plot("L9H9"), "L9H9 does not exist"),
    "no model of texts": (lambda h, r: headscope.head_measures(None, TEXTS), "--model must be a text, got None"),
    "an unknown measure": (lambda h, r: headscope.head_measures(h.model, TEXTS, "entropi"), "unknown measure 'entropi': did you mean 'entropy'?"),
    "a measure of pairs of heads": (lambda h, r: headscope.head_measures(h.model, TEXTS, "patterns"), "patterns is not a mean over single maps"),
    "no labels": (lambda h, r: headscope.head_effects(h.model, TEXTS, []), "24 texts have 0 labels"),
    "a wrong label": (lambda h, r: headscope.head_effects(h.model, TEXTS, [2, *LABELS[1:]]), "label 1 is 2: give a class of the model (LABEL_0, LABEL_1) or its index from 0 to 1"),
    "too few groups": (lambda h, r: headscope.head_effects(h.model, TEXTS, LABELS, groups=["a"]), "24 texts have 1 groups: give one a text"),
    "a group that is NaN": (lambda h, r: headscope.shapley_values(h.model, TEXTS, LABELS, groups=[float("nan"), *"abcdefghijklmnopqrstuvw"]), "group 1 is nan"),
    "a label of texts that is NaN": (lambda h, r: headscope.head_effects(h.model, TEXTS, [float("nan"), *LABELS[1:]]), "label 1 is nan"),
    "no pairs of orders": (lambda h, r: headscope.shapley_values(h.model, TEXTS, LABELS, pairs=0), "pairs must be a whole number of at least 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_sentence(name: str, hand: Hand, run: headscope.Run) -> None:
    call, sentence = MISTAKES[name]
    with pytest.raises(HeadscopeError, match=re.escape(sentence)):
        call(hand, run)


def with_disabled(model: headscope.Model, heads: Any) -> bool:
    batch = model.tokenizer(TEXTS[0], return_tensors="pt").to(model.hf.device)
    with torch.inference_mode():
        before = model.hf(**batch).logits
        with model.disabled(heads):
            return not torch.allclose(model.hf(**batch).logits, before)


# ---- what is computed


def test_frames_are_the_tables_of_the_commands(hand: Hand, tmp_path: Path) -> None:
    """The same numbers as the commands write, from texts in memory."""
    task = {"train": hand.task, "validation": hand.task}
    given = asked(hand, task=task, precision="fp32")
    model = hand.model

    def same(frame: pl.DataFrame, table: pl.DataFrame) -> None:
        columns = [name for name in frame.columns if name in table.columns]
        assert columns == frame.columns
        assert_frame_equal(frame, table.select(columns))

    measured = headscope.measure(
        **given, words="plain", measures="entropy,attention_to_cls,patterns"
    )
    heads = headscope.head_measures(
        model, TEXTS, "entropy,attention_to_cls", words="plain", precision="fp32"
    )
    same(heads, measured.table("heads"))
    same(headscope.head_patterns(model, TEXTS, precision="fp32"), measured.table("patterns"))
    disabled = headscope.disable(**given)
    same(headscope.head_effects(model, TEXTS, LABELS, precision="fp32"), disabled.table("disabled"))
    pairs = headscope.disable(**given, heads="pairs")
    same(headscope.head_interactions(model, TEXTS, LABELS), pairs.table("interactions"))
    shapley = headscope.disable(**given, heads="shapley:2", mode="mean")
    same(
        headscope.shapley_values(model, TEXTS, LABELS, pairs=2, mode="mean"),
        shapley.table("shapley"),
    )
    other = headscope.load(hand.folder, init="random", seed=3)
    changed = headscope.compare(
        before=other,
        after=model,
        task=task,
        measures="entropy",
        words="plain",
        precision="fp32",
        quiet=True,
    )
    same(
        headscope.head_changes(other, model, TEXTS, "entropy", words="plain", precision="fp32"),
        changed.table("change"),
    )


def test_predictions_are_those_of_transformers(hand: Hand) -> None:
    said: Any = pipeline(
        "text-classification", model=hand.hf, tokenizer=hand.tokenizer, top_k=None
    )(TEXTS)
    frame = hand.model.predict(TEXTS)
    for scores, row in zip(said, frame.iter_rows(named=True), strict=True):
        by_class = {one["label"]: one["score"] for one in scores}
        for name, score in by_class.items():
            assert row[f"p_{name}"] == pytest.approx(score, abs=1e-5)
        assert row["label"] == max(by_class, key=lambda name: by_class[name])
        assert row["probability"] == pytest.approx(max(by_class.values()), abs=1e-5)


def test_an_encoder_predicts_nothing(tmp_path: Path) -> None:
    bare = headscope.load(families.make_encoder("bert", tmp_path / "bare"))
    with pytest.raises(HeadscopeError, match="has no head for texts"):
        bare.predict("a")
    with pytest.raises(HeadscopeError, match="has no trained head for texts"):
        headscope.head_effects(bare, TEXTS, LABELS)


def test_maps_say_words(hand: Hand) -> None:
    maps = hand.model.maps("The nurse, thanked.", "Who?")
    assert maps.words == word_numbers([(0, 0)], [True], [0]) + maps.words[1:]
    assert [token for token, word in zip(maps.tokens, maps.words, strict=True) if word == 1] == [
        "nurse",
        ",",
    ]
    assert maps.words[-2] == max(maps.words) == 3
    assert {word for word, special in zip(maps.words, maps.special, strict=True) if special} == {-1}
    np.testing.assert_array_equal(maps.of("L2H3"), maps.maps[1, 2])
    weights = maps.plot("L2H3").to_dict()
    (rows,) = (
        weights["datasets"].values() if "datasets" in weights else (weights["data"]["values"],)
    )
    assert len(rows) == len(maps.tokens) ** 2
    drawn = next(row for row in rows if (row["query"], row["key"]) == (2, 3))
    assert drawn["weight"] == pytest.approx(float(maps.maps[1, 2, 1, 2]), abs=1e-4)
    assert (drawn["from"], drawn["to"]) == (maps.tokens[1], maps.tokens[2])


# ---- what is in hand


def test_a_model_in_memory_is_measured_as_the_one_on_disk(hand: Hand) -> None:
    from_disk = headscope.disable(**asked(hand))
    from_memory = headscope.disable(**asked(hand, model=hand.hf, tokenizer=hand.tokenizer))
    assert_frame_equal(
        from_disk.table("disabled").drop("model"), from_memory.table("disabled").drop("model")
    )
    record = from_memory.record
    assert record.model.hash == from_disk.record.model.hash
    assert "in memory" in record.model.name
    assert any("no path leads to it again" in note for note in record.notes)
    assert record.repeat.endswith("# not to be repeated as it is: model, task was in memory")
    assert from_disk.record.data.source.startswith(
        "24 rows in memory: texts from sentence, labels from label"
    )
    assert record.data.hash == from_disk.record.data.hash


def test_a_loaded_model_is_named_by_its_path_until_its_weights_change(tiny: Path) -> None:
    model = headscope.load(tiny)
    assert path_of_model("model", model, None) == str(tiny)
    assert model.hash
    with torch.no_grad():
        next(model.hf.base_model.parameters()).mul_(1.5)
    path = Path(str(path_of_model("model", model, None)))
    assert path != tiny
    again = headscope.load(path)
    assert again.hash == model.hash != headscope.load(tiny).hash
    assert np.allclose(again.maps(TEXTS[0]).maps, model.maps(TEXTS[0]).maps, atol=1e-6)
    with model.disabled("L1H1"), pytest.raises(HeadscopeError, match="is in use"):
        path_of_model("model", model, None)


def test_a_model_that_computes_otherwise_than_its_copy_is_refused(tiny: Path, hand: Hand) -> None:
    hf = AutoModelForSequenceClassification.from_pretrained(tiny)

    def doubled(module: Any, inputs: Any, output: Any) -> Any:
        return 2 * output if torch.is_tensor(output) else (2 * output[0], *output[1:])

    hook = hf.base_model.encoder.layer[0].register_forward_hook(doubled)
    with pytest.raises(HeadscopeError, match="puts out other numbers than a copy of its weights"):
        headscope.disable(**asked(hand, model=hf, tokenizer=hand.tokenizer))
    hook.remove()
    assert headscope.disable(**asked(hand, model=hf, tokenizer=hand.tokenizer, heads="L1H1"))
    hf.train()
    assert path_of_model("model", hf.to(torch.bfloat16), hand.tokenizer)
    assert hf.training


def test_a_run_that_trained_a_model_is_a_model(hand: Hand) -> None:
    tuned = headscope.finetune(model=hand.folder, task=hand.task, epochs=1, lr=1e-3, **QUIET)
    assert headscope.load(tuned.checkpoint).trained_head
    run = headscope.disable(**asked(hand, model=tuned, heads="L1H1"))
    assert run.record.model.hash == headscope.load(tuned.checkpoint).hash
    page = headscope.report(tuned, run, out=run.path / "both.html")
    assert "srcdoc" in page._repr_html_()


def test_the_same_rows_are_the_same_task(
    hand: Hand, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"model": hand.folder, "measures": "entropy", "out": tmp_path / "run"}
    headscope.measure(task=(TEXTS, LABELS), **given)
    said = capsys.readouterr().err
    assert "divided by --seed 0: 16 to train, 8 to validate; 21 rows repeat the texts" in said
    assert "rows in memory: the text column is taken to be 'text', of text, label" in said
    assert "parquet" not in said
    headscope.measure(task=pl.DataFrame({"text": TEXTS, "label": LABELS}), **given)
    assert "holds the result of this very command already" in capsys.readouterr().err
    with pytest.raises(HeadscopeError, match="holds another run"):
        headscope.measure(task=(TEXTS, [1 - label for label in LABELS]), **given)


def test_classes_have_the_order_of_the_head(hand: Hand) -> None:
    model = headscope.load(hand.folder)
    model.hf.config.id2label = {0: "yes", 1: "NO"}
    model.hf.config.label2id = {"yes": 0, "NO": 1}
    words = ["no" if label else "Yes" for label in LABELS]
    by_name = headscope.disable(**asked(hand, model=model, task=(TEXTS, words), heads="L1H1"))
    assert list(by_name.record.task.labels) == ["Yes", "no"]
    by_number = headscope.disable(**asked(hand, model=model, task=(TEXTS, LABELS), heads="L1H1"))
    assert list(by_number.record.task.labels) == ["yes", "NO"]
    columns = ["value", "n"]
    assert_frame_equal(
        by_name.table("scores").select(columns), by_number.table("scores").select(columns)
    )
    effects = headscope.head_effects(model, TEXTS, words)
    assert_frame_equal(effects, headscope.head_effects(model, TEXTS, LABELS))


def test_scores_are_a_regression(tmp_path: Path) -> None:
    bare = families.make_encoder("bert", tmp_path / "bare")
    task = {"a": TEXTS, "b": TEXTS[::-1], "score": [number / 4 for number in range(24)]}
    run = headscope.finetune(model=bare, init="none", task=task, **QUIET)
    assert list(run.record.task.metrics) == ["spearman", "pearson"]
    assert "texts from a and b, labels from score (scores)" in run.record.data.source


def test_frames_of_pandas(hand: Hand) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"sentence": TEXTS, "label": LABELS})
    run = headscope.disable(**asked(hand, task=frame, heads="L1H1"))
    assert run.record.data.hash == headscope.disable(**asked(hand, heads="L1H1")).record.data.hash
    missing = pandas.DataFrame({"sentence": TEXTS, "label": [None, *LABELS[1:]]})
    with pytest.raises(HeadscopeError, match="row 1 of task has no label"):
        headscope.disable(**asked(hand, task=missing))
    assert headscope.head_measures(hand.model, frame["sentence"], "entropy").height == 15
    assert headscope.head_effects(hand.model, frame["sentence"], frame["label"], "L1H1").height


def test_data_sets_of_the_hub(hand: Hand) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    )
    data = datasets.Dataset.from_dict({"sentence": TEXTS, "label": LABELS}, features=features)
    run = headscope.disable(**asked(hand, task=data, heads="L1H1"))
    assert list(run.record.task.labels) == ["bad", "good"]
    splits = datasets.DatasetDict({"train": data, "test": data.select(range(6))})
    assert headscope.disable(**asked(hand, task=splits, heads="L1H1")).record.data.validation == 6


def test_a_data_set_names_its_classes(hand: Hand) -> None:
    """The same without `datasets`: what is looked at is `column_names` and `features`."""

    class Data:
        column_names = ("sentence", "label")
        features: ClassVar = {"sentence": object(), "label": SimpleNamespace(names=["bad", "good"])}

        def __getitem__(self, name: str) -> list[Any]:
            return TEXTS if name == "sentence" else LABELS

    run = headscope.disable(**asked(hand, task=Data(), heads="L1H1"))
    assert list(run.record.task.labels) == ["bad", "good"]


def test_a_data_set_in_which_a_row_has_no_class_is_refused(hand: Hand) -> None:
    data = SimpleNamespace(
        column_names=("sentence", "label"),
        features={"sentence": object(), "label": SimpleNamespace(names=["bad", "good"])},
    )

    class Data(SimpleNamespace):
        def __getitem__(self, name: str) -> list[Any]:
            return TEXTS if name == "sentence" else [-1, *LABELS[1:]]

    with pytest.raises(HeadscopeError, match="rows in memory, row 1: the label -1 is out of range"):
        headscope.disable(**asked(hand, task=Data(**vars(data))))


def test_a_data_set_numbers_its_classes_by_their_index() -> None:
    texts = [f"the text number {number}" for number in range(4)]

    class Data(SimpleNamespace):
        column_names = ("text", "label")

        def __getitem__(self, name: str) -> list[Any]:
            return texts if name == "text" else [1, 2, 0, 1]

    def data(*names: str) -> Data:
        return Data(features={"text": object(), "label": SimpleNamespace(names=list(names))})

    def labels(train: Data, validation: Data) -> list[int]:
        given = {"train": train, "validation": validation}
        path = written_rows("task", given, Chosen(), ("3", "2", "1")).path
        found: list[int] = load_data(find(path)).validation.labels.tolist()
        return found

    assert labels(data("1", "2", "3"), data("1", "2", "3")) == [1, 2, 0, 1]
    with pytest.raises(HeadscopeError, match="validation rows in memory says that its classes are"):
        labels(data("1", "2", "3"), data("3", "2", "1"))


def test_both_texts_of_a_pair_count_also_where_one_is_a_word(hand: Hand) -> None:
    """Nothing is guessed of what stands in a place: a column of single words is no text else."""
    pairs = [(text, "Yes") for text in TEXTS]
    rows = [(*pair, label) for pair, label in zip(pairs, LABELS, strict=True)]
    run = headscope.measure(**asked(hand, task=rows, measures="entropy"))
    assert list(run.record.task.columns) == ["sentence1", "sentence2"]
    run = headscope.measure(model=hand.model, text=pairs, measures="entropy", **QUIET)
    assert list(run.record.task.columns) == ["text", "second"]


def test_columns_of_rows_in_memory_can_be_named(hand: Hand) -> None:
    task = hand.task.with_columns(other=pl.col("sentence"), y=1 - pl.col("label"))
    named = asked(hand, task=task, columns="other", label="y", heads="L1H1")
    record = headscope.disable(**named).record
    assert record.data.source.startswith("24 rows in memory: texts from other, labels from y")
    missing = task.with_columns(y=pl.lit(None))
    assert headscope.disable(**asked(hand, task=missing, columns=["other"], heads="L1H1"))
    with pytest.raises(HeadscopeError, match="the column 'y' holds no label"):
        headscope.disable(**(named | {"task": missing}))


def test_rows_divided_by_another_seed_are_refused(hand: Hand) -> None:
    texts = [f"The nurse number {number} thanked the pilot." for number in range(24)]
    given: dict[str, Any] = {"task": (texts, LABELS), **QUIET}
    tuned = headscope.finetune(model=hand.folder, epochs=1, seed=1, **given)
    sentence = "rows of rows in memory that --seed 1 chose, and --seed 0 divides"
    with pytest.raises(HeadscopeError, match=sentence):
        headscope.disable(model=tuned, seed=0, heads="L1H1", **given)
    assert headscope.disable(model=tuned, seed=1, heads="L1H1", **given)
    other = (texts, [1 - label for label in LABELS])
    assert headscope.disable(model=tuned, seed=0, heads="L1H1", task=other, **QUIET)


@pytest.mark.parametrize(
    ("values", "head", "classes", "labels"),
    [
        ([1, 2, 1, 2], ("1", "2", "3"), ("1", "2", "3"), [0, 1, 0, 1]),
        ([0, 2, 0, 2], ("1", "2", "3"), ("1", "2", "3"), [0, 2, 0, 2]),
        ([0, 2, 0, 2], ("a", "b", "c"), ("a", "b", "c"), [0, 2, 0, 2]),
        ([0.0, 2.0, 0.0, 2.0], ("a", "b", "c"), ("a", "b", "c"), [0, 2, 0, 2]),
        ([True, False, True, False], ("a", "b"), ("a", "b"), [1, 0, 1, 0]),
        (["B", "a", "B", "a"], ("c", "b", "A"), ("c", "B", "a"), [1, 2, 1, 2]),
        ([0, 2, 0, 2], (), ("0", "2"), [0, 1, 0, 1]),
        ([0, "b", 0, "b"], (), ("0", "b"), [0, 1, 0, 1]),
        ([np.int64(4), np.float32(0.5), 1, 2], ("a", "b"), (), [4, 0.5, 1, 2]),
        ([2**70, 1, 2**70, 1], ("a", "b"), ("1", str(2**70)), [1, 0, 1, 0]),
    ],
)
def test_labels_in_memory_mean_what_they_say(
    values: list[Any], head: tuple[str, ...], classes: tuple[str, ...], labels: list[float]
) -> None:
    texts = [f"the text number {number}" for number in range(4)]
    rows = {"sentence": texts, "when": [np.datetime64("2020-01-01")] * 4, "label": values}
    task = find(written_rows("task", {"train": rows, "test": rows}, Chosen(), head).path)
    assert (task.labels, task.name[:5]) == (classes, "rows-")
    data = load_data(task)
    assert data.validation.labels.tolist() == data.train.labels.tolist() == labels
    assert data.source.startswith(
        "8 rows in memory (validation rows are those of 'test'): texts from sentence, labels from"
    )


# ---- what an editor and a notebook are told


def test_every_argument_is_explained() -> None:
    for name in (
        "study",
        "finetune",
        "measure",
        "compare",
        "relations",
        "disable",
        "prune",
        "paper",
        "annotate",
    ):
        function = getattr(headscope, name)
        for argument in inspect.signature(function).parameters:
            assert re.search(rf"\n    {argument}: \w", function.__doc__), (name, argument)
    assert "runs: " in str(headscope.report.__doc__)


def test_the_stub_is_what_the_settings_say() -> None:
    root = Path(__file__).parents[1]
    sys.path.insert(0, str(root / "tools"))
    try:
        import signatures
    finally:
        sys.path.pop(0)
    assert signatures.STUB.read_text() == signatures.stub(), "run python tools/signatures.py"
    assert Path(functions.__file__).parent == root / "src" / "headscope"


def test_what_was_in_memory_goes_with_its_process() -> None:
    code = "from headscope.scratch import scratch; print(scratch('runs'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    path = Path(done.stdout.strip())
    assert path.name == "runs"
    assert not path.exists()


def test_the_page_of_python_runs(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blocks of docs/python.md, one after the other, on a model that is faster."""
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[1] / "docs" / "python.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 5
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block.replace('"minilm"', repr(str(tiny))), names)  # noqa: S102
    assert names["run"].table("disabled").height == families.LAYERS
