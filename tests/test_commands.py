"""The commands from end to end on a tiny model: tables, resuming, refusals."""

# mypy: disable-error-code="arg-type"

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from safetensors.numpy import load_file

import families
import headscope
from headscope.commands.class_names import foreign_labels
from headscope.commands.rows import chosen_part
from headscope.errors import HeadscopeError
from headscope.model.loading import load
from headscope.results.run import Run
from headscope.tasks import find
from headscope.tasks.files import load_data

SMALL: dict[str, Any] = {"train_examples": 60, "examples": 40, "batch_tokens": 300, "quiet": True}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(families.make_encoder("bert", tmp_path_factory.mktemp("models") / "bare"))


@pytest.fixture(scope="module")
def studied(bare: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "study"
    headscope.study(model=bare, out=out, epochs=1, **SMALL)
    return out


def test_a_study_writes_every_table_and_a_report(studied: Path) -> None:
    heads = families.LAYERS * families.HEADS
    run = headscope.open_run(studied)
    disabled = run.tables["disabled"]
    assert disabled.filter(metric="accuracy")["set"].n_unique() == heads
    assert set(disabled["metric"]) == {"accuracy", "f1"}
    assert disabled["n"].unique().to_list() == [40]
    assert (disabled["activation_change"] > 0).all()
    assert (disabled["p_corrected"] >= disabled["p"]).all()
    measured = run.tables["heads"]
    assert measured.group_by("measure").len()["len"].unique().to_list() == [heads]
    assert {"entropy", "distance", "attention_to_cls", "attention_to_sep"} <= set(
        measured["measure"]
    )
    assert measured.filter(pl.col("low") > pl.col("value")).is_empty()
    scores = run.tables["scores"]
    assert set(scores["configuration"]) == {"pretrained, no fine-tuning", "pretrained + fine-tuned"}
    for table in (disabled, measured, scores):
        assert {"model", "task", "value", "low", "high", "n", "unit"} <= set(table.columns)
    assert run.record.model.layers == families.LAYERS
    assert run.record.data.validation == 40
    assert run.record.repeat.startswith("headscope study --model ")
    assert "in nats" in run.record.definitions["entropy"]
    assert run.record.definitions["cosine_to_pretrained"].startswith(
        "Cosine of the two maps of a head"
    )
    assert run.record.device.startswith(("cpu, ", "NVIDIA"))
    maps = load_file(studied / "maps.safetensors")
    assert {key.split("/")[0] for key in maps} == {"before", "after"}
    assert len(run.tables["examples"]) == 16 == len(maps) // 2
    signals = run.tables["predictors"]
    assert {"gradient_importance", "entropy", "share_vertical"} <= set(signals["measure"])
    assert set(signals["effect"]) == {"loss_moved", "loss", "accuracy", "f1"}
    assert signals["n"].unique().to_list() == [heads]
    assert signals.filter(
        (pl.col("low") > pl.col("value")) | (pl.col("high") < pl.col("value"))
    ).is_empty()
    page = (studied / "report.html").read_text()
    assert "builtin" in page


def test_the_same_command_again_does_nothing(
    studied: Path, bare: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (studied / "disabled.parquet").stat().st_mtime_ns
    headscope.study(model=bare, out=studied, epochs=1, **{**SMALL, "quiet": False})
    assert "holds the result of this very command already" in capsys.readouterr().err
    assert (studied / "disabled.parquet").stat().st_mtime_ns == before


def test_another_study_in_the_same_folder_is_refused(studied: Path, bare: str) -> None:
    with pytest.raises(
        HeadscopeError, match="holds another run .it differs in data, seed.: give another folder"
    ):
        headscope.study(model=bare, out=studied, epochs=1, **{**SMALL, "seed": 1})
    assert (studied / "run.json").is_file()


def test_a_stopped_run_goes_on_and_gives_the_same_table(
    studied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "model": str(studied / "checkpoint"),
        "task": "builtin",
        "examples": 40,
        "batch_tokens": 300,
        "quiet": True,
    }
    headscope.disable(**given, out=tmp_path / "whole")
    scored: list[str] = []
    original = Run.part

    def stop_after(count: int) -> Any:
        def part(run: Run, group: str, name: str, arrays: Any) -> None:
            original(run, group, name, arrays)
            scored.append(name)
            if len(scored) == count:
                raise KeyboardInterrupt

        return part

    monkeypatch.setattr(Run, "part", stop_after(4))
    with pytest.raises(KeyboardInterrupt):
        headscope.disable(**given, out=tmp_path / "broken")
    assert not (tmp_path / "broken" / "run.json").exists()
    monkeypatch.setattr(Run, "part", stop_after(10**6))
    headscope.disable(**given, out=tmp_path / "broken")
    assert len(scored) == len(set(scored)) == families.LAYERS * families.HEADS
    one, two = (
        pl.read_parquet(tmp_path / name / "disabled.parquet") for name in ("whole", "broken")
    )
    assert one.equals(two)


def test_disable_equals_the_table_of_the_study(studied: Path, tmp_path: Path) -> None:
    headscope.disable(
        model=str(studied / "checkpoint"), task="builtin", out=tmp_path / "run", heads="L1H2,L3H5", mode="mean",
        examples=40, batch_tokens=131, quiet=True,
    )  # fmt: skip
    rows = pl.read_parquet(tmp_path / "run" / "disabled.parquet")
    assert rows["set"].unique().to_list() == ["L1H2,L3H5"]
    study = pl.read_parquet(studied / "disabled.parquet")
    assert rows["baseline"].unique().sort().to_list() == pytest.approx(
        study["baseline"].unique().sort().to_list()
    )


def test_heads_found_by_a_measure_are_disabled(studied: Path, tmp_path: Path) -> None:
    given = {"model": str(studied / "checkpoint"), "task": "builtin", "examples": 20, "quiet": True}
    headscope.disable(
        **given, heads="top:entropy:2", measured=studied, memory=1e-9, out=tmp_path / "run"
    )
    measured = (
        pl.read_parquet(studied / "heads.parquet")
        .filter(measure="entropy")
        .sort("value", descending=True)
    )
    names = {f"L{r['layer']}H{r['head']}" for r in measured.head(2).to_dicts()}
    rows = pl.read_parquet(tmp_path / "run" / "disabled.parquet")
    assert set(rows["set"][0].split(",")) == names
    assert rows["layer"].to_list() == rows["head"].to_list() == [None, None]
    for heads, folder, message in (
        ("top:entropy:2", None, "--measured RUN is needed: give the folder"),
        ("top:entropy:2", tmp_path, "holds no heads.parquet: give the folder"),
        ("top:entropy", studied, "write top:MEASURE:COUNT, as in top:entropy:5"),
        ("each", studied, "--measured goes with --heads top:MEASURE:COUNT"),
        ("top:entropy:99", studied, "the top 99 heads by entropy cannot be had of"),
    ):
        with pytest.raises(HeadscopeError, match=message):
            headscope.disable(**given, heads=heads, measured=folder, out=tmp_path / "other")
    with pytest.raises(HeadscopeError, match="--memory must be larger than 0 GiB, got 0"):
        headscope.disable(**given, memory=0.0, out=tmp_path / "other")


def test_devices_that_share_the_work_give_the_same_table(studied: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "model": str(studied / "checkpoint"),
        "task": "builtin",
        "examples": 15,
        "mode": "mean",
        "precision": "fp32",
    }
    headscope.disable(**given, out=tmp_path / "one", quiet=True)
    headscope.disable(**given, out=tmp_path / "two", devices="cpu, cpu", quiet=True)
    one, two = (pl.read_parquet(tmp_path / name / "disabled.parquet") for name in ("one", "two"))
    # A process has a share of the threads, which may add up in another order.
    assert_frame_equal(one, two, abs_tol=1e-5)
    for wrong in ("cpu,cuda:97", "gpu0", "", "hpu", "meta:x"):
        with pytest.raises(
            HeadscopeError,
            match="cannot be used .*: name devices that torch has, as in cuda:0,cuda:1",
        ):
            headscope.disable(**given, out=tmp_path / "three", devices=wrong, quiet=True)


def test_parts_of_the_validation_set_share_nothing_and_hold_all(
    studied: Path, tmp_path: Path
) -> None:
    data = load_data(find("builtin"), None, seed=0, sizes=(10, 31))
    parts = [chosen_part(data, f"{k}/3", seed=5) for k in (1, 2, 3)]
    texts = [
        pair
        for one in parts
        for pair in zip(one.first, one.second or (), one.labels.tolist(), strict=True)
    ]
    whole = data.validation
    assert sorted(texts) == sorted(
        zip(whole.first, whole.second or (), whole.labels.tolist(), strict=True)
    )
    assert {len(one) for one in parts} == {10, 11}
    assert chosen_part(data, "train", 0) is data.train
    for wrong in ("3/2", "0/2", "half", "1/x", "1/", "1/" + "9" * 5000):
        with pytest.raises(
            HeadscopeError, match="is not understood: give validation, train, or K/N"
        ):
            chosen_part(data, wrong, 0)
    with pytest.raises(
        HeadscopeError, match="--part 40/50 is empty: there are 31 validation examples"
    ):
        chosen_part(data, "40/50", 0)
    assert len(chosen_part(data, f"31/{10**14 - 1}", 0)) == 1
    headscope.disable(
        model=str(studied / "checkpoint"), task="builtin", heads="L1H1", part="2/3", examples=9, out=tmp_path / "run",
        quiet=True,
    )  # fmt: skip
    assert pl.read_parquet(tmp_path / "run" / "disabled.parquet")["n"].unique().to_list() == [3]


def test_measures_do_not_depend_on_the_batches(studied: Path, tmp_path: Path) -> None:
    for name, tokens in (("one", 30), ("many", 5000)):
        headscope.measure(
            model=str(studied / "checkpoint"), task="builtin", out=tmp_path / name, examples=23,
            batch_tokens=tokens, quiet=True,
        )  # fmt: skip
    one, two = (pl.read_parquet(tmp_path / name / "heads.parquet") for name in ("one", "many"))
    assert one["measure"].to_list() == two["measure"].to_list()
    for column in ("value", "low", "high"):
        assert one[column].to_list() == pytest.approx(two[column].to_list(), abs=1e-5, rel=1e-4)


def test_what_is_refused(bare: str, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(
        HeadscopeError,
        match="has no classification head, so there is no score to lose: fine-tune it",
    ):
        headscope.disable(model=bare, task="builtin", out=out)
    with pytest.raises(HeadscopeError, match="unknown measure 'entrpy': did you mean 'entropy'"):
        headscope.measure(model=bare, task="builtin", out=out, measures="entrpy")
    with pytest.raises(HeadscopeError, match="--examples must be at least 1, got 0"):
        headscope.measure(model=bare, task="builtin", out=out, examples=0)
    with pytest.raises(HeadscopeError, match="the run folder .* does not exist"):
        headscope.report(out)
    with pytest.raises(HeadscopeError, match="at least one run folder"):
        headscope.report()
    with pytest.raises(HeadscopeError, match="the run folder x does not exist"):
        headscope.report("x", out="page.html")
    for asked in ({"style": "acl"}, {"heads": "L1H1"}):
        with pytest.raises(HeadscopeError, match="is of figures that are saved: give --figures"):
            headscope.report(tmp_path, **asked)
    with pytest.raises(HeadscopeError, match="give --heads, too"):
        headscope.report(tmp_path, figures=out, example=1)
    assert not out.exists()


def test_measures_that_are_asked_for_and_cannot_be_are_an_error(
    bare: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {"model": bare, "task": "builtin", "examples": 4, "words": "plain"}
    for measures, sentence in (
        (
            "entropy,verb_to_subject",
            "--measures verb_to_subject: parts of speech and relations are",
        ),
        ("attention_to_noun", "run pip install 'headscope[words]'"),
        ("gradient_importance", "needs a model with a head that was trained on builtin"),
    ):
        with pytest.raises(HeadscopeError, match=re.escape(sentence)):
            headscope.measure(**given, measures=measures, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    headscope.measure(**given, out=tmp_path / "all")
    said = capsys.readouterr().err
    assert "note: no example has what these measures look at, so they are left out:" in said
    assert "verb_to_subject" in said
    assert "run pip install 'headscope[words]'" in said
    assert "note: gradient_importance needs a trained head of the task, so it is left out" in said
    headscope.measure(**given | {"words": "gold"}, measures="verb_to_subject", out=tmp_path / "one")
    assert pl.read_parquet(tmp_path / "one" / "heads.parquet").height


def test_measures_that_no_example_has_are_an_error(bare: str, tmp_path: Path) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "task.toml").write_text('columns = ["text"]\nlabels = ["no", "yes"]')
    for name in ("train", "validation"):
        rows = [json.dumps({"text": text, "label": i}) for i, text in enumerate(["a b", "b c"])]
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
    with pytest.raises(HeadscopeError, match="--measures same_word_across: no example has what"):
        headscope.measure(
            model=bare, task=str(folder), words="plain", measures="same_word_across",
            out=tmp_path / "run", quiet=True,
        )  # fmt: skip


def test_a_study_takes_the_source_of_words(bare: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    headscope.study(model=bare, out=out, epochs=1, words="plain", language="fi", **SMALL)
    record = json.loads((out / "run.json").read_text())
    assert (record["options"]["words"], record["options"]["language"]) == ("plain", "fi")
    assert "--words plain --language fi" in record["repeat"]
    measured = set(pl.read_parquet(out / "heads.parquet")["measure"])
    assert "entropy" in measured
    assert "attention_to_noun" not in measured


def test_a_long_text_is_cut_counted_and_said(
    bare: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "task.toml").write_text('columns = ["text"]\nlabels = ["no", "yes"]')
    rows = [
        {"text": text, "label": i % 2}
        for i, text in enumerate(["ab", "a " * 300, "b", "c", "d", "e"])
    ]
    for name in ("train", "validation"):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    headscope.finetune(model=bare, task=str(folder), out=tmp_path / "ckpt", epochs=1, lr=1e-3)
    record = json.loads((tmp_path / "ckpt" / "run.json").read_text())
    assert record["notes"] == [
        "1 of 6 validation examples were cut to 128 tokens",
        "1 of 6 training examples were cut to 128 tokens",
    ]
    assert "note: 1 of 6 validation examples were cut to 128 tokens" in capsys.readouterr().err
    assert headscope.load(tmp_path / "ckpt").trained_head


@pytest.mark.parametrize("init", ["random", "none"])
def test_the_other_two_configurations(bare: str, tmp_path: Path, init: Any) -> None:
    headscope.finetune(
        model=bare, task="builtin", out=tmp_path / "ckpt", init=init, epochs=1, **SMALL
    )
    configuration = (
        pl.read_parquet(tmp_path / "ckpt" / "scores.parquet")["configuration"].unique().to_list()
    )
    assert configuration == [
        "random + fine-tuned" if init == "random" else "pretrained, no fine-tuning"
    ]
    trained, given = headscope.load(tmp_path / "ckpt"), headscope.load(bare)
    weight = "encoder.layer.0.output.dense.weight"
    same = (trained.hf.base_model.state_dict()[weight] == given.hf.state_dict()[weight]).all()
    assert bool(same) == (init == "none")


def test_options_that_change_nothing_are_said(
    bare: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {"model": bare, "task": "builtin", "init": "none", "examples": 4}
    headscope.finetune(**given, epochs=5, lr=1e-3, out=tmp_path / "a", train_examples=4)
    note = "--epochs, --lr changed nothing: --init none trains nothing"
    assert f"note: {note}" in capsys.readouterr().err
    assert note in json.loads((tmp_path / "a" / "run.json").read_text())["notes"]
    headscope.finetune(**given, out=tmp_path / "b", train_examples=4)
    assert "changed nothing" not in capsys.readouterr().err
    with pytest.raises(HeadscopeError, match="holds no maps.parquet"):
        headscope.annotate(out=tmp_path / "c", count=7, browser=False)
    said = capsys.readouterr().err
    assert "--count changed nothing: maps are drawn with --model and --task only" in said


def test_odd_texts_are_measured(bare: str, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "task.toml").write_text('columns = ["one", "two"]\nlabels = ["no", "yes"]')
    odd = [
        "🙂🙃",
        "!!!",
        "שלום עולם",
        "a\u200bb",
        "word " * 5000,
        "e\u0301te\u0301",
        "☃",
        "don't",
        "漢字かな",
    ]
    rows = [{"one": text, "two": "the nurse", "label": i % 2} for i, text in enumerate(odd)]
    for name in ("train", "validation"):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "run"
    headscope.measure(model=bare, task=str(folder), out=out, words="plain", quiet=True)
    table = pl.read_parquet(out / "heads.parquet")
    assert table["value"].is_finite().all()
    assert table.filter(measure="entropy")["n"].unique().to_list() == [len(odd)]
    notes = json.loads((out / "run.json").read_text())["notes"]
    assert notes[0] == f"1 of {len(odd)} validation examples were cut to 128 tokens"
    assert "attention_to_noun" in notes[1]
    assert "attention_to_noun" not in table["measure"]


def test_compare_says_what_changed(studied: Path, bare: str, tmp_path: Path) -> None:
    headscope.compare(
        before=bare,
        after=str(studied / "checkpoint"),
        task="builtin",
        out=tmp_path / "run",
        examples=30,
        quiet=True,
    )
    change = pl.read_parquet(tmp_path / "run" / "change.parquet")
    cosine = change.filter(measure="cosine_to_pretrained")
    assert len(cosine) == families.LAYERS * families.HEADS
    assert cosine["value"].is_between(0, 1).all()
    noun = change.filter(measure="attention_to_noun")
    assert noun["value"].to_list() == pytest.approx(
        (noun["after"] - noun["before"]).to_list(), abs=1e-9
    )
    page = (tmp_path / "run").parent / "compared.html"
    headscope.report(tmp_path / "run", out=page)
    assert "Not complete" not in page.read_text()
    assert page.read_text().count("<figure>") >= 5


def test_a_checkpoint_of_another_task_with_as_many_classes_is_refused(
    tmp_path: Path, tiny: Path
) -> None:
    given: dict[str, Any] = {
        "model": str(tiny),
        "task": "builtin",
        "out": tmp_path / "ckpt",
        "quiet": True,
    }
    headscope.finetune(**given, init="none", train_examples=4, examples=4)
    model = load(tmp_path / "ckpt")
    assert foreign_labels(model, find("builtin")) == ""
    assert "the task rte has entailment, not_entailment, in this order" in foreign_labels(
        model, find("rte")
    )
    assert foreign_labels(load(tiny), find("rte")) == ""
    model.hf.config.id2label = {0: "Entailment", 1: "not_entailment"}
    assert foreign_labels(model, find("rte")) == ""
    model.hf.config.id2label = {0: "not_entailment", 1: "entailment"}
    assert "tells apart not_entailment, entailment" in foreign_labels(model, find("rte"))
