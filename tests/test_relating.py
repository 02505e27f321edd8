"""`headscope relations` from end to end on a tiny model: tables, resuming, what is left out, refusals."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModel

import families
import headscope
from headscope.cli import run as command_line
from headscope.commands.relations import relations
from headscope.corpora import read
from headscope.errors import HeadscopeError
from headscope.linguistics import passes
from headscope.linguistics import treebank as blocks_of_treebanks
from headscope.linguistics.clustered import Clustered
from headscope.linguistics.dependencies import DIRECTIONS, QUANTITIES, Dependencies, Sums
from headscope.linguistics.dependency_rows import diagonal_heads, explained, verdict
from headscope.linguistics.estimates import relation_rows
from headscope.linguistics.linked import link
from headscope.model.loading import load

FORMS = ("the", "old", "nurse", "thanked", "a", "pilot", "today")
HEADS = (3, 3, 4, 0, 6, 4, 4)
RELATIONS = ("det", "amod", "nsubj", "root", "det", "obj", "obl:tmod")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(families.make_encoder("bert", tmp_path_factory.mktemp("models") / "bare"))


@pytest.fixture
def treebank(tmp_path: Path) -> Path:
    path = tmp_path / "en_own-ud-dev.conllu"
    lines = []
    for sentence in range(60):
        keep = len(FORMS) - sentence % 3
        for at in range(keep):
            lines.append(
                f"{at + 1}\t{FORMS[at]}\t{FORMS[at]}\tX\t_\t_\t{HEADS[at]}\t{RELATIONS[at]}\t_\t_"
            )
        if keep < 6:  # "a" needs a head that is there.
            lines[-1] = lines[-1].replace("\t6\t", "\t4\t")
        lines.append("")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_treebank_gives_every_table(
    bare: str, treebank: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert (
        command_line(
            ["relations", "--model", bare, "--corpus", f"ud:{treebank}", "--out", str(out)]
        )
        == 0
    )
    said = capsys.readouterr()
    assert "sentences read: 60" in said.err
    assert "det: L" in said.out
    run = headscope.open_run(out)
    every = run.tables["relations"]
    heads = families.LAYERS * families.HEADS
    accuracy = every.filter(measure="accuracy", relation="det")
    assert accuracy.height == 2 * heads
    assert accuracy["n"].unique().to_list() == [120]  # Two in every sentence.
    assert accuracy.filter(
        (pl.col("low") > pl.col("value")) | (pl.col("high") < pl.col("value"))
    ).is_empty()
    assert {
        "model",
        "task",
        "layer",
        "head",
        "measure",
        "value",
        "low",
        "high",
        "n",
        "unit",
    } <= set(every.columns)
    best = run.tables["relations_best"]
    assert {"det", "nsubj", "amod"} <= set(best["relation"])
    assert (best["p_corrected"] >= best["p"]).all()
    assert best.filter(relation="det")["offset"].to_list() in ([1], [2])
    assert set(run.tables["patterns"]["task"]) == {"ud:en_own-ud-dev"}
    explained = run.tables["explained"]
    assert set(explained["relation"]) == {"nsubj", "obj"}
    assert explained["value"].is_between(0, 1).all()
    assert run.record.command == "relations"
    assert f"--corpus ud:{treebank}" in run.record.repeat
    assert "accuracy_excess" in run.record.definitions


def test_a_broken_run_goes_on_to_the_same_tables(
    bare: str, treebank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {"model": bare, "corpus": f"ud:{treebank}", "quiet": True}
    monkeypatch.setattr(blocks_of_treebanks, "_BLOCK", 25)
    headscope.relations(**given, out=tmp_path / "whole")

    seen = 0
    look = Dependencies.see

    def broken(self: Dependencies, maps: Any, prepared: Any) -> None:
        nonlocal seen
        seen += 1
        if seen > families.LAYERS + 1:
            raise KeyboardInterrupt
        look(self, maps, prepared)

    with monkeypatch.context() as patch:
        patch.setattr(Dependencies, "see", broken)
        with pytest.raises(KeyboardInterrupt):
            headscope.relations(**given, out=tmp_path / "broken")
    assert not (tmp_path / "broken" / "run.json").exists()
    assert len(list((tmp_path / "broken" / "parts" / "relations").iterdir())) == 1
    headscope.relations(**given, out=tmp_path / "broken")
    for name in ("relations", "relations_best", "offsets", "patterns"):
        one, other = (
            pl.read_parquet(tmp_path / run / f"{name}.parquet") for run in ("whole", "broken")
        )
        assert one.equals(other), name
    headscope.relations(**given, out=tmp_path / "at once", batch_tokens=64)
    one, other = (
        pl.read_parquet(tmp_path / run / "relations.parquet") for run in ("whole", "at once")
    )
    np.testing.assert_allclose(
        one.filter(measure="attention")["value"],
        other.filter(measure="attention")["value"],
        atol=1e-5,
    )


class Memory:
    """Blocks that are kept in memory, with the names of those that were put there."""

    def __init__(self) -> None:
        self.arrays: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        return self.arrays.get(name)

    def put(self, name: str, arrays: Any) -> None:
        assert name not in self.arrays
        self.arrays[name] = arrays

    def refuse(self, name: str) -> None:
        raise AssertionError(f"{name} was kept well")


def test_finished_blocks_are_not_passed_again(
    bare: str, treebank: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks_of_treebanks, "_BLOCK", 25)
    model, corpus = load(bare), read([f"ud:{treebank}"], quiet=True)
    linked = link(model, corpus, examples=None, seed=0, max_length=128)
    done: list[int] = []

    def advance(steps: int = 1, note: str = "") -> None:
        done.append(steps)

    settings = blocks_of_treebanks.PassSettings("fp32", 2048, advance)
    blocks = Memory()
    whole = passes.dependencies(model, linked, settings, seed=0, blocks=blocks)
    assert list(blocks.arrays) == ["block-0", "block-25", "block-50", "shuffled"]
    assert sum(done) == passes.sentences_to_pass(linked) == 120
    monkeypatch.setattr(Dependencies, "see", None)
    again = passes.dependencies(model, linked, settings, seed=0, blocks=blocks)
    assert again.relations == whole.relations
    assert again.relations_best == whole.relations_best


def test_a_complete_run_says_the_same_lines_again(
    bare: str, treebank: Path, tmp_path: Path
) -> None:
    path = tmp_path / "short.tsv"
    # Nothing else fits where these spans are, so there is no control.
    path.write_text("sentence\tsource\ttarget\trelation\nthe pilot\tthe\tpilot\tdet\n")
    for corpus, said in ((f"ud:{treebank}", "offset"), (f"tsv:{path}", "99th percentile")):
        given: dict[str, Any] = {"model": bare, "corpus": corpus, "quiet": True}
        outcome = relations(**given, out=tmp_path / corpus[:3])
        assert said in outcome.lines[0]
        assert "beyond other words" not in outcome.lines[0]
        assert relations(**given, out=tmp_path / corpus[:3]) == outcome


def test_ones_own_relations(bare: str, tmp_path: Path) -> None:
    path = tmp_path / "own.tsv"
    lines = ["sentence\tsource\ttarget\trelation"]
    for name in ("nurse", "pilot", "doctor"):
        lines += [
            f"The {name} thanked him.\t{name}\tthanked\tagent",
            f"The {name} thanked him.\thim\tthanked\tpatient",
        ]
    path.write_text("\n".join(lines))
    outcome = relations(model=bare, corpus=f"tsv:{path}", out=tmp_path / "run", quiet=True)
    assert outcome.lines[0].startswith("agent: L")
    heads = pl.read_parquet(tmp_path / "run" / "heads.parquet")
    assert {"agent", "agent_control", "agent_excess", "patient"} <= set(heads["measure"])
    ranked = pl.read_parquet(tmp_path / "run" / "span_heads.parquet").filter(relation="agent")
    assert ranked["value"].is_sorted(descending=True)
    assert ranked["above"].sum() == 1
    shown = pl.read_parquet(tmp_path / "run" / "span_examples.parquet")
    assert set(shown.filter(relation="patient")["source"]) == {"him"}
    # The largest attention by hand, from the maps that transformers gives.
    model = load(bare)
    batch = model.tokenizer("The nurse thanked him.", return_tensors="pt")
    eager = AutoModel.from_pretrained(bare, attn_implementation="eager")
    with torch.inference_mode():
        maps = eager(**batch, output_attentions=True).attentions
    scores = load_file(tmp_path / "run" / "span_scores.safetensors")["scores"]
    words = batch.word_ids()
    rows, columns = ([t for t, w in enumerate(words) if w == at] for at in (1, 2))
    for layer, own in enumerate(maps):
        expected = own[0][:, rows][:, :, columns].amax((1, 2))
        np.testing.assert_allclose(scores[0, 0, layer], expected, atol=1e-5)


def test_what_cannot_be_looked_at_is_counted_or_refused(
    bare: str, treebank: Path, tmp_path: Path
) -> None:
    model, corpus = load(bare), read([f"ud:{treebank}"], quiet=True)
    whole = link(model, corpus, examples=None, seed=0, max_length=128)
    assert dict(whole.counts)["sentences that the model sees"] == 60
    shortest = int(whole.encoded.lengths.min())
    short = link(model, corpus, examples=None, seed=0, max_length=shortest)
    assert 0 < dict(short.counts)["sentences that the model sees"] < 60
    assert any("of more tokens than the limit" in note for note in short.notes)
    with pytest.raises(HeadscopeError, match="no relation between words that .* has tokens for"):
        link(model, corpus, examples=None, seed=0, max_length=3)
    with pytest.raises(HeadscopeError, match="--examples must be at least 1"):
        headscope.relations(model=bare, corpus=f"ud:{treebank}", out=tmp_path / "run", examples=0)


def row(**given: Any) -> dict[str, Any]:
    return {
        "p_corrected": 0.01,
        "excess": 0.2,
        "over_offset_low": 0.1,
        "looks_share": 0.3,
        "looks_at": -1,
        **given,
    }


def test_verdicts_in_words() -> None:
    assert verdict(**row()) == "carries the relation"
    assert (
        verdict(**row(over_offset_low=-0.1))
        == "beyond distance, but no better than the best offset"
    )
    assert verdict(**row(p_corrected=0.2)) == "no more than distance explains"
    assert verdict(**row(excess=-0.1, looks_share=0.8)) == "only looks 1 word left"
    assert (
        verdict(**row(p_corrected=0.2, looks_share=0.8, looks_at=2)) == "only looks 2 words right"
    )


def test_what_diagonal_heads_explain_by_hand() -> None:
    values = {
        "attention": (0.6, 0.2),
        "attention_matched": (0.6, 0.2),
        "attention_control": (0.3, 0.1),
        "accuracy": (0.9, 0.4),
    }
    sums: Sums = {}
    for direction in DIRECTIONS:
        for quantity in QUANTITIES:
            mean = np.array(values.get(quantity, (0.0, 0.0))) * (direction == "to_head")
            n = np.full(1, 30.0 if direction == "to_head" else 0.0)
            sums[direction, quantity] = replace(
                Clustered.zero(1, 1, 2), n=n, total=30 * mean[None, None]
            )
    (found,) = explained(sums, ["nsubj"], np.array([[True, False]]))
    assert found.value == pytest.approx(0.75)
    assert found.distance == pytest.approx(0.5)
    assert (found.best_diagonal, found.best_other, found.diagonal_heads, found.n) == (
        0.9,
        0.4,
        1,
        30,
    )
    (none,) = explained(sums, ["nsubj"], np.array([[False, False]]))
    assert (none.value, none.best_diagonal) == (0, None)
    assert explained(sums, ["amod"], np.array([[True, False]])) == []


def test_a_head_is_diagonal_when_more_than_half_of_its_classified_maps_are() -> None:
    # Classes 1 and 2 are diagonal, and vertical and diagonal; -1 is a map without a class.
    classes = np.array([[[1, 1, 4]], [[2, 2, 1]], [[4, 0, -1]], [[-1, 3, -1]]], dtype=np.int8)
    assert diagonal_heads(classes).tolist() == [[True, False, False]]


def test_relations_that_never_occur_have_no_rows() -> None:
    empty = {"score": Clustered.zero(1, 1, 2)}
    assert relation_rows(empty, ["never"]) == []


def test_a_relation_without_other_words_as_far_apart_is_not_tested(
    bare: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # In sentences of two words nothing else is one word away: the control has no value.
    sentences = [
        f"1\tpilots\t_\tX\t_\t_\t2\tnsubj\t_\t_\n2\tthank{chr(97 + at // 8)}{chr(97 + at % 8)}"
        "\t_\tX\t_\t_\t0\troot\t_\t_\n\n"
        for at in range(60)
    ]
    path = tmp_path / "en_two-ud-dev.conllu"
    path.write_text("".join(sentences))
    out = tmp_path / "run"
    line = ["relations", "--model", bare, "--corpus", f"ud:{path}", "--out", str(out)]
    assert command_line(line) == 0
    shown = capsys.readouterr().out
    assert "nan" not in shown
    assert "not tested: no other words at the same distance" in shown
    row = pl.read_parquet(out / "relations_best.parquet").row(0, named=True)
    assert row["control"] is row["excess"] is row["p"] is None
    # What was written is read again.
    assert command_line(line) == 0
    assert "no other words at the same distance" in capsys.readouterr().out


def test_a_treebank_of_too_few_links_says_so(
    bare: str, treebank: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = tmp_path / "en_few-ud-dev.conllu"
    few.write_text("\n\n".join(treebank.read_text().split("\n\n")[:9]) + "\n\n")
    out = tmp_path / "run"
    line = ["relations", "--model", bare, "--corpus", f"ud:{few}", "--out", str(out)]
    assert command_line(line) == 0
    assert "no relation has 20 links in each half" in capsys.readouterr().out
    headscope.report(out, out=tmp_path / "report.html", quiet=True)
    assert "No relation has 20 links in each half" in (tmp_path / "report.html").read_text()
