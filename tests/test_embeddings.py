"""Encoders as embedders: vectors, cosines, and what disabled heads do to them, by an explicit form."""

# mypy: disable-error-code="no-untyped-call"

import json
import random
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor, nn
from transformers import AutoModel

import headscope
import zoo
from golden_runs import pair
from headscope import HeadscopeError, cli
from headscope.ablation.joined_scorer import scorer_of
from headscope.ablation.scorer import Scorer
from headscope.axes import Head, all_heads, head_set
from headscope.commands.ablation import OUTPUTS
from headscope.errors import InterventionError
from headscope.examples import Split
from headscope.model.embedder import as_embedder, encoder_of
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.outputs import logits
from headscope.model.pooling import Pool, Pooling, pooling_of, save_pooling, says_pooling
from headscope.model.removal import Removal
from headscope.model.source import find as find_source
from headscope.model.tap import Mode
from headscope.model.text_pairs import TextPairs
from headscope.pruning.checkpoint import check_pooling
from headscope.pruning.full import write_full
from headscope.pruning.small import write_small
from headscope.results.contents import discard, foreign_file
from headscope.results.run import Run
from headscope.stats.means import mean_interval
from headscope.tasks import Chosen, find
from headscope.tasks.alike import (
    alike_class,
    alike_note,
    check_both,
    with_scores,
)
from headscope.tasks.files import Data, load_data
from headscope.tasks.folder import read_task
from headscope.tasks.grouping import group_notes
from headscope.tasks.outputs import losses, majority

SIZE = 16
PAIRS = [pair(random.Random(number)) for number in range(12)]
SPLIT = Split(
    tuple(first for first, _ in PAIRS), tuple(second for _, second in PAIRS), np.zeros(12)
)


def embedder_folder(family: str, root: Path, pool: str | None = "mean") -> Path:
    """A tiny encoder without a head, in the folder of a sentence-transformer."""
    made = zoo.folder_of(family, root / "classifier")
    folder = root / "embedder"
    AutoModel.from_pretrained(made).save_pretrained(folder)
    load(made).tokenizer.save_pretrained(folder)
    if pool is not None:
        (folder / "1_Pooling").mkdir()
        said = {
            "word_embedding_dimension": SIZE,
            "pooling_mode_cls_token": pool == "cls",
            "pooling_mode_mean_tokens": pool == "mean",
            "pooling_mode_max_tokens": pool == "max",
        }
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(said))
    return folder


def explicit_cosines(model: Model, pool: Pool, heads: frozenset[Head], mode: Mode) -> Tensor:
    """Every text by itself through the encoder that headscope's tap edits the slow way."""
    vectors = {}
    for text in {*SPLIT.first, *(SPLIT.second or ())}:
        given = model.tokenizer(text, return_tensors="pt")
        with torch.no_grad(), model.disabled(heads, mode) if heads else nullcontext():
            states = model.hf.base_model(**given)[0][0]
        vectors[text] = states[0] if pool == "cls" else states.mean(0)
    pairs = zip(SPLIT.first, SPLIT.second or (), strict=True)
    return torch.stack(
        [nn.functional.cosine_similarity(vectors[a], vectors[b], 0) for a, b in pairs]
    )


@pytest.mark.parametrize("pool", ["mean", "cls"])
@pytest.mark.parametrize("family", ["bert", "mpnet", "modernbert", "distilbert"])
def test_cosines_are_those_of_every_text_by_itself(family: str, pool: Pool, tmp_path: Path) -> None:
    model = load(embedder_folder(family, tmp_path))
    embedder = as_embedder(model, Pooling(pool))
    pairs = TextPairs.of(SPLIT, model.tokenizer, 128)
    for mode in ("uniform", "zero"):
        scorer = scorer_of(Scorer(embedder, pairs.encoded, mode, precision="auto"), pairs)
        sets = [("L1H2", frozenset([Head(1, 2)])), ("two", frozenset([Head(1, 1), Head(2, 3)]))]
        for result in scorer.score(sets):
            slow = explicit_cosines(model, pool, result.heads, mode)
            np.testing.assert_allclose(result.outputs[:, 0], slow, atol=1e-5)
            assert result.activation_change > 0
            assert np.abs(result.outputs - scorer.unchanged).max() > 1e-4


def test_vectors_are_those_of_plain_transformers(tmp_path: Path) -> None:
    folder = embedder_folder("bert", tmp_path)
    model, plain = load(folder), AutoModel.from_pretrained(folder).eval()
    pairs = TextPairs.of(SPLIT, model.tokenizer, 128)
    found = scorer_of(Scorer(as_embedder(model, Pooling("mean")), pairs.encoded), pairs).unchanged
    for number, texts in enumerate(PAIRS):
        batch: Any = model.tokenizer(list(texts), padding=True, return_tensors="pt")
        with torch.no_grad():
            states = plain(**batch)[0]
        mask = batch["attention_mask"][..., None].float()
        first, second = (states * mask).sum(1) / mask.sum(1)
        expected = float(nn.functional.cosine_similarity(first, second, 0))
        assert found[number, 0] == pytest.approx(expected, abs=1e-5)


def test_a_model_keeps_its_own_head(tmp_path: Path) -> None:
    model = load(zoo.folder_of("bert", tmp_path))
    before = model.hash
    embedder = as_embedder(model, Pooling("mean"))
    given = model.tokenizer("the nurse", return_tensors="pt")
    assert model.hf(**given).logits.shape == (1, 3)
    assert model.predicts_classes
    assert not embedder.predicts_classes
    assert model.hash == before


def test_pooling_is_what_the_folder_says(tmp_path: Path) -> None:
    folder = embedder_folder("bert", tmp_path, "cls")
    assert pooling_of(find_source(folder)) == (Pooling("cls"), ())
    assert pooling_of(find_source(folder), "mean", "query: ")[0] == Pooling("mean", "query: ")
    said = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(said))
    found, notes = pooling_of(find_source(folder))
    assert found.prompt == "query: "
    assert "stands before every text" in notes[0]
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "max"}')
    with pytest.raises(HeadscopeError, match="pools its vectors by max .* give one of them as"):
        pooling_of(find_source(folder))
    dense = [{"path": "", "type": "x.Transformer"}, {"path": "2_Dense", "type": "x.Dense"}]
    (folder / "modules.json").write_text(json.dumps(dense))
    with pytest.raises(HeadscopeError, match="go through Dense after pooling"):
        pooling_of(find_source(folder), "mean")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "config.json").write_text("{}")
    found, notes = pooling_of(find_source(empty))
    assert found == Pooling("mean")
    assert "the mean over tokens is taken" in notes[0]


def test_the_folders_of_a_whole_sentence_transformer(tmp_path: Path) -> None:
    """Older ones keep the encoder in a folder beside the pooling's."""
    inner = embedder_folder("bert", tmp_path, None)
    folder = tmp_path / "whole"
    (folder / "1_Pooling").mkdir(parents=True)
    inner.rename(folder / "0_Transformer")
    listed = [
        {"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    (folder / "0_Transformer" / "sentence_bert_config.json").write_text('{"max_seq_length": 9}')
    source = find_source(folder)
    assert says_pooling(source)
    assert pooling_of(source) == (Pooling("cls", longest=9), ())
    general = {"similarity_fn_name": "dot"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(general))
    _, notes = pooling_of(source)
    assert "compares vectors by dot; their cosine is scored" in notes[0]


def test_a_folder_cannot_pass_for_a_model_in_memory(tmp_path: Path) -> None:
    folder = embedder_folder("bert", tmp_path)
    (folder / "in-memory.txt").write_text("another model")
    source = find_source(folder)
    assert (source.name, source.notes) == (str(folder), ())


class Letters:
    """Stands for a tokenizer of single letters."""

    def __init__(self, ids: dict[str, int]) -> None:
        self.ids = ids

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": [self.ids[text]]}


def test_what_else_a_folder_says_is_followed_or_refused(tmp_path: Path) -> None:
    folder = embedder_folder("bert", tmp_path)
    said = {"pooling_mode": "mean", "include_prompt": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(said))
    assert pooling_of(find_source(folder))[0] == Pooling("mean")
    with pytest.raises(HeadscopeError, match="leaves the tokens of its prompt out of the mean"):
        pooling_of(find_source(folder), prompt="query: ")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 8}')
    assert pooling_of(find_source(folder))[0].longest == 8
    with pytest.raises(HeadscopeError, match="more than the 8 tokens"):
        headscope.alike(str(folder), "the nurse thanked the pilot " * 3, "the pilot")
    model = load(folder)
    lower = Pooling("mean", is_lower=True)
    for letters, is_refused in (({"A": 5, "a": 6}, True), ({"A": 6, "a": 6}, False)):
        tokenizer: Any = Letters(letters)
        model.tokenizer = tokenizer
        if is_refused:
            with pytest.raises(HeadscopeError, match="puts texts into small letters first"):
                as_embedder(model, lower)
        else:
            assert as_embedder(model, lower).puts_out == "vectors"


def test_the_loss_is_around_the_line_that_fits_the_labels_best() -> None:
    from sklearn.linear_model import LinearRegression

    task = find("stsb").as_similarity()
    rng = np.random.default_rng(0)
    labels = rng.uniform(0, 5, 60)
    cosines = (0.7 + 0.05 * labels + rng.normal(0, 0.1, 60)).astype(np.float32)[:, None]
    line = LinearRegression().fit(cosines.astype(np.float64), labels / 5)
    found = losses(task, labels, cosines)
    expected = (labels / 5 - line.predict(cosines.astype(np.float64))) ** 2
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    r = np.corrcoef(cosines[:, 0].astype(np.float64), labels)[0, 1]
    assert found.mean() == pytest.approx((1 - r**2) * (labels / 5).var(), rel=1e-9)
    # Where cosines begin and how far they are spread makes no difference; that they fall does.
    moved = losses(task, labels, (cosines / 4 + 0.5).astype(np.float32))
    np.testing.assert_allclose(moved, found, atol=1e-6)
    for useless in (-cosines, np.ones_like(cosines)):
        assert losses(task, labels, useless).mean() == pytest.approx((labels / 5).var())
    for name in ("mnli", "sst2"):
        with pytest.raises(HeadscopeError, match="compared in pairs whose similarity has a score"):
            find(name).as_similarity()


@pytest.mark.parametrize("classes", [False, True], ids=["scores", "two classes"])
def test_the_interval_of_a_change_of_the_loss_covers(classes: bool) -> None:
    """The line is fitted on the same pairs, before and after: that must not make the interval too short."""
    task = find("qqp" if classes else "stsb").as_similarity()
    rng = np.random.default_rng(1)

    def as_outputs(cosines: np.ndarray) -> np.ndarray:
        return cosines.astype(np.float32)[:, None]

    def drawn(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        true = rng.normal(size=n)
        before = true + rng.normal(0, 0.7, n)
        after = 0.2 * before + 0.1 * rng.normal(0, 1.0, n)
        labels = (true > 0.3).astype(float) if classes else np.clip(2.5 + true, 0, 5)
        return labels, as_outputs(before), as_outputs(after)

    def change(n: int) -> np.ndarray:
        labels, before, after = drawn(n)
        return losses(task, labels, after) - losses(task, labels, before)

    true = change(1_000_000).mean()
    draws = np.stack([change(100) for _ in range(1000)])
    count = np.full(len(draws), 100)
    _, low, high = mean_interval(count, draws.sum(1), (draws**2).sum(1))
    covered = ((low <= true) & (true <= high)).mean()
    assert 0.93 <= covered <= 0.97


def test_pairs_of_two_classes_become_scores() -> None:
    task = find("qqp").as_similarity()
    assert task.metrics == ("average_precision", "roc_auc")
    found = losses(task, np.array([0.0, 1.0, 1.0]), np.array([[0.0], [0.5], [1.0]], np.float32))
    # The line of least squares through (0, 0), (0.5, 1) and (1, 1) is 1/6 + x.
    np.testing.assert_allclose(found, [1 / 36, 1 / 9, 1 / 36])
    assert (majority(task, np.zeros(0), np.ones(3)) == 0).all()


@pytest.mark.parametrize("kind", ['labels = ["no", "yes"]', "limits = [0, 1]"])
def test_a_ranking_is_no_metric_of_a_head(kind: str, tmp_path: Path) -> None:
    asked = f'columns = ["one", "two"]\n{kind}\nmetrics = ["average_precision"]\n'
    (tmp_path / "task.toml").write_text(asked)
    with pytest.raises(HeadscopeError, match="average_precision does not fit.*--as embedding"):
        read_task(tmp_path)


@pytest.mark.parametrize(
    ("labels", "number", "is_said"),
    [
        (("not_duplicate", "duplicate"), 1, True),
        (("entailment", "not_entailment"), 0, True),
        (("relevant", "irrelevant"), 0, True),
        (("yes", "no"), 0, True),
        (("0", "1"), 1, False),
        (("same", "similar"), 1, False),
        (("a", "b"), 1, False),
    ],
)
def test_the_class_of_pairs_that_are_alike(
    labels: tuple[str, str], number: int, is_said: bool
) -> None:
    task = replace(find("qqp"), labels=labels)
    assert alike_class(task) == number
    assert repr(labels[number]) in alike_note(task).split(",")[0]
    assert ("as its name says" in alike_note(task)) == is_said
    split = Split(("a", "b"), ("c", "d"), np.array([0, 1]))
    scored = with_scores(Data.of(split, split, "here"), task)
    assert scored.train.labels.tolist() == [1 - number, number]
    assert scored.validation.labels.tolist() == [1 - number, number]
    assert scored.hash == Data.of(split, split, "here").hash


def test_pairs_of_one_class_and_pairs_that_share_texts() -> None:
    task = find("qqp")
    split = Split(("a", "b"), ("c", "d"), np.array([1.0, 1.0]))
    with pytest.raises(HeadscopeError, match="all 2 pairs of qqp .* are of the class 'duplicate'"):
        check_both(split, task)
    assert group_notes(task, split) == ()
    (said,) = group_notes(task, Split(("a", "a"), ("a", "d"), np.zeros(2)))
    assert said.startswith("2 of the 2 pairs")
    assert "--group question1 takes those" in said
    assert group_notes(task, Split(("a", "b"), ("a", "d"), np.zeros(2))) == ()
    many = Split(tuple("abcdefg"), ("h", "i", "j", "k", "l", "m", "a"), np.zeros(7))
    assert "2 of the 7 pairs have a text that is in other pairs too" in group_notes(task, many)[0]


@pytest.fixture
def retrieval(similarities: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """The same embedder, and a table of queries and documents: relevant where cosines are high."""
    folder, task = similarities
    table = tmp_path / "pairs.tsv"
    frame = pl.read_csv(task / "train.tsv", separator="\t")
    noise = np.random.default_rng(1).normal(0, frame["score"].to_numpy().std(), frame.height)
    scores = frame["score"] + pl.Series(noise)
    is_high = scores > scores.median()
    words = ["relevant" if high else "irrelevant" for high in is_high]
    frame = frame.select(query="one", document="two").with_columns(verdict=pl.Series(words))
    frame.write_csv(table, separator="\t")
    return folder, table


def test_retrieval_from_a_table_is_scored_by_average_precision(
    retrieval: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, table = retrieval
    out = tmp_path / "run"
    asked = ["disable", "--model", str(folder), "--task", str(table), "--as", "embedding"]
    asked += ["--columns", "query,document", "--label", "verdict"]
    assert cli.run([*asked, "--out", str(out)]) == 0
    said = "".join(capsys.readouterr())
    assert "pairs of the class 'relevant' are taken to be alike, as its name says" in said
    assert "cosines that are all the same give" in said
    assert "ROC AUC" not in said
    rows = pl.read_parquet(out / "disabled.parquet")
    assert rows["metric"].unique(maintain_order=True).to_list() == ["average_precision", "roc_auc"]
    kept = Run(out).saved_arrays(OUTPUTS)
    assert kept is not None
    expected = average_precision_score(kept["labels"], kept["logits"][:, 0])
    assert rows["baseline"][0] == pytest.approx(100 * expected)
    area = roc_auc_score(kept["labels"], kept["logits"][:, 0])
    assert rows.filter(metric="roc_auc")["baseline"][0] == pytest.approx(100 * area)
    assert 55 < rows["baseline"][0] < 100
    scores = pl.read_parquet(out / "scores.parquet")
    share = 100 * kept["labels"].mean()
    assert scores["majority"].to_list() == pytest.approx([share, 50])
    assert scores["low"][0] < scores["value"][0] < scores["high"][0]
    selection = pl.read_parquet(out / "selection.parquet")
    assert selection["metric"].to_list() == ["average_precision", "roc_auc"]
    assert "average precision" in selection["text"][0]
    # The class that is not alike, by its name, is told at once.
    words = {"relevant": "unlike", "irrelevant": "match"}
    frame = pl.read_csv(table, separator="\t").with_columns(pl.col("verdict").replace(words))
    frame.write_csv(table, separator="\t")
    assert cli.run([*asked, "--out", str(tmp_path / "wrong")]) == 0
    said = "".join(capsys.readouterr())
    assert "the class that was taken for pairs that are alike may be the other one" in said


def test_retrieval_by_queries_is_scored_query_by_query(
    retrieval: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, table = retrieval
    frame = pl.read_csv(table, separator="\t")
    # Every query has five documents, not next to each other.
    queries = [f"the query number {row % (frame.height // 5)}" for row in range(frame.height)]
    frame.with_columns(query=pl.Series(queries)).write_csv(table, separator="\t")
    out = tmp_path / "run"
    asked = ["disable", "--model", str(folder), "--task", str(table), "--as", "embedding"]
    asked += ["--columns", "query,document", "--label", "verdict", "--heads", "layers"]
    assert cli.run([*asked, "--out", str(tmp_path / "alone")]) == 0
    assert "--group query takes those with the same query" in "".join(capsys.readouterr())
    assert cli.run([*asked, "--group", "query", "--out", str(out)]) == 0
    said = "".join(capsys.readouterr())
    assert "the groups of query are queries, whose documents are ranked by their cosines" in said
    scores = pl.read_parquet(out / "scores.parquet").rows_by_key("metric", named=True, unique=True)
    assert [*scores] == ["mean_average_precision", "ndcg_at_10", "average_precision", "roc_auc"]
    kept = Run(out).saved_arrays(OUTPUTS)
    assert kept is not None
    task = find(str(table), Chosen(("query", "document"), "verdict", "query"))
    names = np.array(load_data(task, seed=0).validation.groups)
    precisions = []
    for name in np.unique(names):
        labels = kept["labels"][names == name]
        if len({*labels}) == 2:
            cosines = kept["logits"][names == name, 0]
            precisions.append(average_precision_score(labels, cosines))
    assert len(precisions) >= 3
    assert scores["mean_average_precision"]["value"] == pytest.approx(100 * np.mean(precisions))
    # The n of a mean over queries is that of queries, the n of the others that of pairs.
    assert [row["n"] for row in scores.values()] == [len(precisions)] * 2 + [len(names)] * 2
    changes = pl.read_parquet(out / "disabled.parquet")
    assert changes.filter(metric="ndcg_at_10")["n"].unique().to_list() == [len(precisions)]
    # Cosines that are all the same have the share of relevant documents, query by query.
    shares = [kept["labels"][names == name].mean() for name in np.unique(names)]
    expected = 100 * np.mean([share for share in shares if 0 < share < 1])
    assert scores["mean_average_precision"]["majority"] == pytest.approx(expected)
    headscope.report(out, out=tmp_path / "page.html", quiet=True)
    page = (tmp_path / "page.html").read_text()
    assert "nDCG@10" in page
    assert "MAP" in page


@pytest.fixture
def similarities(tmp_path: Path) -> tuple[Path, Path]:
    """An embedder, and a task that it does well."""
    folder = embedder_folder("bert", tmp_path)
    model = load(folder)
    task = tmp_path / "similar"
    task.mkdir()
    (task / "task.toml").write_text(
        'columns = ["one", "two"]\nlimits = [-1, 1]\nlabel = "score"\nmetrics = ["spearman"]\n'
    )
    rng = np.random.default_rng(0)
    for split, count in (("train", 160), ("validation", 40)):
        source = random.Random(split)
        rows = [pair(source) for _ in range(count)]
        texts = Split(tuple(a for a, _ in rows), tuple(b for _, b in rows), np.zeros(count))
        pairs = TextPairs.of(texts, model.tokenizer, 128)
        scorer = scorer_of(Scorer(as_embedder(model, Pooling("mean")), pairs.encoded), pairs)
        said = scorer.unchanged[:, 0] + rng.normal(0, 0.02, count)
        lines = [f"{a}\t{b}\t{np.clip(s, -1, 1):.4f}" for (a, b), s in zip(rows, said, strict=True)]
        (task / f"{split}.tsv").write_text("\n".join(["one\ttwo\tscore", *lines]) + "\n")
    return folder, task


def test_disable_scores_an_embedder(
    similarities: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, task = similarities
    out = tmp_path / "run"
    common = ["--model", str(folder), "--task", str(task)]
    assert cli.run(["disable", *common, "--out", str(out)]) == 0
    assert "--as embedding" in capsys.readouterr().err
    rows = pl.read_parquet(out / "disabled.parquet")
    assert set(rows["metric"]) == {"spearman"}
    assert rows.height == 15
    assert rows["baseline"][0] > 90
    assert (rows["activation_change"] > 0).all()
    record = json.loads((out / "run.json").read_text())
    assert record["options"]["as"] == "embedding"
    assert record["options"]["pool"] == "mean"
    # With prompts the vectors are others, and so is the run.
    other = tmp_path / "prompted"
    asked = ["disable", *common, "--prompt", "the pilot ", "--as", "embedding"]
    assert cli.run([*asked, "--out", str(other)]) == 0
    assert pl.read_parquet(other / "disabled.parquet")["baseline"][0] != rows["baseline"][0]
    assert "--as embedding" in json.loads((other / "run.json").read_text())["repeat"]
    # Pairs of heads, and one call after the other gives the same.
    assert cli.run(["disable", *common, "--heads", "pairs", "--out", str(tmp_path / "pairs")]) == 0
    assert pl.read_parquet(tmp_path / "pairs" / "interactions.parquet").height == 105


def check_smaller(out: Path, folder: Path, kept: str) -> None:
    """Both checkpoints give the cosines of the whole model with the other heads zeroed."""
    model = load(folder)
    gone = frozenset(all_heads(model.layers, model.heads)) - head_set(kept)
    assert len(gone) == 3
    expected = explicit_cosines(model, "mean", gone, "zero")
    whole = explicit_cosines(model, "mean", frozenset(), "zero")
    assert float((expected - whole).abs().max()) > 1e-3
    for name in ("full", "small"):
        found = find_source(out / name)
        pooling, notes = pooling_of(found)
        assert (pooling, notes) == (Pooling("mean"), ())
        written = load(out / name)
        pairs = TextPairs.of(SPLIT, written.tokenizer, 128)
        vectors = logits(as_embedder(written, pooling), pairs.encoded)
        np.testing.assert_allclose(pairs.joined(vectors)[:, 0], expected, atol=1e-5)
    # The files are those of plain transformers.
    plain, tokenizer = AutoModel.from_pretrained(out / "full").eval(), model.tokenizer
    for (first, second), cosine in zip(PAIRS, expected, strict=True):
        with torch.no_grad():
            states = [plain(**tokenizer(t, return_tensors="pt"))[0][0] for t in (first, second)]
        alike = nn.functional.cosine_similarity(states[0].mean(0), states[1].mean(0), 0)
        assert float(alike) == pytest.approx(float(cosine), abs=1e-5)
    for name, words in (("full", "SentenceTransformer"), ("small", "headscope.load")):
        card = (out / name / "README.md").read_text()
        assert words in card
        assert "3 of 15 heads, mode zero" in card
        assert "pipeline_tag: sentence-similarity" in card
        assert "spearman" in card


@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_the_files_beside_an_embedder_say_how_it_was_scored(pool: Pool, tmp_path: Path) -> None:
    folder = embedder_folder("bert", tmp_path, "mean")
    listed = [
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 24}')
    general = {"similarity_fn_name": "cosine", "prompts": {"q": "the "}, "default_prompt_name": "q"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(general))
    source = find_source(folder)
    for prompt in (None, "a pilot ", ""):
        pooling, _ = pooling_of(source, pool, prompt)
        out = tmp_path / f"prompt {prompt}"
        out.mkdir()
        save_pooling(pooling, source, SIZE, out)
        (out / "config.json").write_text("{}")
        again, _ = pooling_of(find_source(out))
        assert again == pooling == Pooling(pool, "the " if prompt is None else prompt, 24)
        kinds = [module.kind for module in find_source(out).modules]
        assert kinds == ["Transformer", "Pooling", "Normalize"]
        check_pooling(pooling, out, "full")
        with pytest.raises(InterventionError, match="says of its vectors"):
            check_pooling(replace(pooling, prompt="another"), out, "full")


@pytest.mark.parametrize("family", ["bert", "roberta", "mpnet"])
def test_the_encoder_of_a_classifier_is_written(family: str, tmp_path: Path) -> None:
    """Some of them have no pooler, which AutoModel builds."""
    model = load(zoo.folder_of(family, tmp_path / "classifier"))
    pooling = Pooling("mean")
    encoder = encoder_of(as_embedder(model, pooling))
    removal = Removal.of(model, "L1H2,L3H1", "zero")
    task = find("stsb").as_similarity()
    expected = explicit_cosines(model, "mean", removal.heads, "zero")
    for write in (write_full, write_small):
        folder = tmp_path / write.__name__
        assert write(encoder, removal, task, folder, pooling=pooling).difference < 1e-5
        written = as_embedder(load(folder), pooling)
        pairs = TextPairs.of(SPLIT, written.tokenizer, 128)
        found = pairs.joined(logits(written, pairs.encoded))[:, 0]
        np.testing.assert_allclose(found, expected, atol=1e-5)
    config = json.loads((tmp_path / "write_full" / "config.json").read_text())
    assert "ForSequenceClassification" not in config["architectures"][0]


def test_a_written_embedder_is_one_of_sentence_transformers(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    model = load("minilm")
    pooling, _ = pooling_of(find_source("minilm"))
    removal = Removal.of(model, "L1H2,L3H8,L6H1", "zero")
    encoder = encoder_of(as_embedder(model, pooling))
    task = find("stsb").as_similarity()
    write_full(encoder, removal, task, tmp_path / "full", pooling=pooling)
    own = library.SentenceTransformer(str(tmp_path / "full"), device="cpu")
    assert own.max_seq_length == pooling.longest
    split = Split(tuple(a for a, _ in REAL), tuple(b for _, b in REAL), np.zeros(len(REAL)))
    pairs = TextPairs.of(split, model.tokenizer, 128, pooling.prompt)
    scorer = scorer_of(Scorer(as_embedder(model, pooling), pairs.encoded, "zero"), pairs)
    (expected,) = scorer.score([("gone", removal.heads)])
    first, second = (own.encode([pair[place] for pair in REAL]) for place in (0, 1))
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = (first * second).sum(1) / norms
    np.testing.assert_allclose(expected.outputs[:, 0], cosines, atol=1e-5)
    assert np.abs(scorer.unchanged[:, 0] - cosines).max() > 1e-3


def test_a_search_needs_no_fine_tuning(
    similarities: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, task = similarities
    out = tmp_path / "path"
    given = ["--model", str(folder), "--task", str(task), "--search-examples", "60"]
    assert cli.run(["prune", *given, "--keep", "0.8", "--out", str(out)]) == 0
    rows = pl.read_parquet(out / "pruned.parquet")
    assert rows["removed"].to_list() == list(range(16))
    assert "sentence-transformers" in capsys.readouterr().out
    check_smaller(out, folder, rows.filter(removed=3)["heads"][0])
    # What says how the vectors are pooled is part of the run: damaged, the folder is made again.
    record = json.loads((out / "run.json").read_text())["files"]
    assert {"full/modules.json", "full/1_Pooling/config.json"} <= {*record}
    (out / "small" / "1_Pooling" / "config.json").write_text("{}")
    discard(out, "small/1_Pooling/config.json")
    assert not (out / "small").exists()
    assert (out / "full" / "1_Pooling").is_dir()
    assert foreign_file(out) is None
    (out / "full" / "notes.txt").write_text("mine")
    assert foreign_file(out) == out / "full" / "notes.txt"
    assert cli.run(["prune", *given, "--repair", "--out", str(tmp_path / "other")]) == 2


def test_what_does_not_fit_is_refused(similarities: tuple[Path, Path], tmp_path: Path) -> None:
    folder, task = similarities
    common: dict[str, Any] = {"model": str(folder), "out": tmp_path / "run"}
    with pytest.raises(HeadscopeError, match="--pool are of embeddings|--pool .* add --as"):
        headscope.disable(**common, task=str(task), kind="regression", pool="cls")
    with pytest.raises(HeadscopeError, match="name another task"):
        headscope.disable(**common, task="mnli", kind="embedding")


def test_devices_share_the_work_on_an_embedder(
    similarities: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, task = similarities
    given: dict[str, Any] = {"model": str(folder), "task": str(task), "quiet": True, "mode": "mean"}
    tables = []
    for name, devices in (("alone", None), ("one", "cpu"), ("two", "cpu,cpu")):
        headscope.disable(**given, out=tmp_path / name, devices=devices)
        tables.append(pl.read_parquet(tmp_path / name / "disabled.parquet"))
    alone, one, two = tables
    assert alone.equals(one)
    assert alone.equals(two)
    assert (alone["activation_change"] > 0).all()


def test_heads_that_make_two_texts_alike(similarities: tuple[Path, Path]) -> None:
    folder, _ = similarities
    first, second = PAIRS[0]
    found = headscope.alike(str(folder), first, second)
    assert found["set"].to_list() != sorted(found["set"].to_list())
    assert found["change"].is_sorted()
    assert found.height == 15
    assert (found["activation_change"] > 0).all()
    model = load(folder)
    whole = explicit_pair(model, first, second, None)
    for row in found.to_dicts():
        without = explicit_pair(model, first, second, row["set"])
        assert row["cosine"] == pytest.approx(without, abs=1e-5)
        assert row["change"] == pytest.approx(without - whole, abs=2e-5)
    with pytest.raises(HeadscopeError, match="a text is empty"):
        headscope.alike(str(folder), first, " ")
    wrong: Any = "max"
    with pytest.raises(HeadscopeError, match="unknown pooling 'max'"):
        headscope.alike(str(folder), first, second, pool=wrong)


REAL = [
    ("A man is playing a guitar.", "A man plays an instrument."),
    ("The cat sleeps.", "Stock prices fell sharply on Tuesday."),
    ("Two dogs run across a wide, snowy field.", "Dogs are running through the snow."),
]


def real_cosines() -> tuple[Model, NDArray[np.float32]]:
    model = load("minilm")
    pooling, _ = pooling_of(find_source("minilm"))
    split = Split(tuple(a for a, _ in REAL), tuple(b for _, b in REAL), np.zeros(len(REAL)))
    pairs = TextPairs.of(split, model.tokenizer, 128, pooling.prompt)
    embedder = as_embedder(model, pooling)
    return model, scorer_of(Scorer(embedder, pairs.encoded), pairs).unchanged[:, 0]


def test_a_real_embedder_without_a_head_is_that_of_a_hook() -> None:
    """all-MiniLM-L6-v2 by plain transformers, the head zeroed where the output projection reads it."""
    model, whole = real_cosines()
    pooling, _ = pooling_of(find_source("minilm"))
    plain: Any = AutoModel.from_pretrained(model.path).eval()
    split = Split(tuple(a for a, _ in REAL), tuple(b for _, b in REAL), np.zeros(len(REAL)))
    pairs = TextPairs.of(split, model.tokenizer, 128)
    scorer = scorer_of(Scorer(as_embedder(model, pooling), pairs.encoded, "zero"), pairs)
    (without,) = scorer.score([("L3H8", frozenset([Head(3, 8)]))])

    def cosine(texts: tuple[str, str]) -> float:
        states = [plain(**model.tokenizer(text, return_tensors="pt"))[0][0] for text in texts]
        first, second = (of_text.mean(0) for of_text in states)
        return float(nn.functional.cosine_similarity(first, second, 0))

    def zeroed(_module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor]:
        states = given[0].clone()
        states[..., 7 * 32 : 8 * 32] = 0
        return (states,)

    with torch.no_grad():
        np.testing.assert_allclose(whole, [cosine(texts) for texts in REAL], atol=1e-5)
        dense = plain.encoder.layer[2].attention.output.dense
        dense.register_forward_pre_hook(zeroed)
        slow = [cosine(texts) for texts in REAL]
    np.testing.assert_allclose(without.outputs[:, 0], slow, atol=1e-5)
    assert np.abs(without.outputs[:, 0] - whole).max() > 1e-3


def test_cosines_are_those_of_sentence_transformers() -> None:
    library = pytest.importorskip("sentence_transformers")
    model, whole = real_cosines()
    own = library.SentenceTransformer(model.path, device="cpu")
    first, second = (own.encode([pair[place] for pair in REAL]) for place in (0, 1))
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    np.testing.assert_allclose(whole, (first * second).sum(1) / norms, atol=1e-5)


def explicit_pair(model: Model, first: str, second: str, name: str | None) -> float:
    vectors = []
    for text in (first, second):
        given = model.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            if name is None:
                states = model.hf.base_model(**given)[0][0]
            else:
                with model.disabled(name, "uniform"):
                    states = model.hf.base_model(**given)[0][0]
        vectors.append(states.mean(0))
    return float(nn.functional.cosine_similarity(vectors[0], vectors[1], 0))
