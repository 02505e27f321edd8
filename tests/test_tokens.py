"""Tags of words and masked tokens: what is scored, by explicit forms and by the field's own
libraries."""

# mypy: disable-error-code="no-untyped-call"

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForTokenClassification,
    BertConfig,
    BertModel,
    PreTrainedTokenizerFast,
)

import headscope
import zoo
from golden_runs import pair
from headscope import HeadscopeError, cli
from headscope.ablation.scorer import Scorer
from headscope.axes import Head
from headscope.examples import Split
from headscope.model.classes import OF_MASKED_TOKENS, OF_TOKENS
from headscope.model.encoding import encode
from headscope.model.loading import load
from headscope.model.token_marks import IGNORED, LABELS, Masker, WordMarker, mark_words
from headscope.model.token_scores import as_token_scores, classes_of_tokens, mean_losses
from headscope.stats.changes import resampled_changes
from headscope.stats.exchange import Outcomes, exchange, permutation
from headscope.stats.metrics import METRICS, NO_LABEL
from headscope.tasks.base import Task
from headscope.tasks.own import Chosen
from headscope.tasks.tagging import is_tagging, of_head, read_tagging
from headscope.training.objective import Objective

TAGS = ("ADJ", "DET", "NOUN", "VERB")
ENTITIES = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
SENTENCES = [pair(random.Random(number))[0].split() for number in range(14)]


EASY = [random.Random(number).choices(["he", "it", "was", "nurse"], k=6) for number in range(60)]
"""Sentences whose tags a tiny model learns."""


def tag_of(word: str) -> str:
    return TAGS[len(word) % len(TAGS)] if word != "it" else TAGS[0]


def rows(sentences: list[list[str]], tags: tuple[str, ...] = TAGS) -> Split:
    """Sentences with tags of their words, as a task has them."""
    width = max(map(len, sentences))
    labels = np.full((len(sentences), width), NO_LABEL, dtype=np.int64)
    spans = []
    for row, words in enumerate(sentences):
        labels[row, : len(words)] = [tags.index(tag_of(word)) for word in words]
        starts = np.cumsum([0, *(len(word) + 1 for word in words)])[:-1]
        places = zip(starts.tolist(), words, strict=True)
        spans.append(tuple((start, start + len(word)) for start, word in places))
    return Split(tuple(map(" ".join, sentences)), None, labels, spans=tuple(spans))


def folder_of(family: str, root: Path, auto: Any, **changes: Any) -> Path:
    """A tiny random model with another head than one for texts."""
    made = zoo.folder_of(family, root / "classifier")
    config = AutoConfig.from_pretrained(made, **changes)
    torch.manual_seed(3)
    model = auto.from_config(config)
    for parameter in model.parameters():
        # Else all outputs are nearly equal.
        parameter.data += 0.1 * torch.randn_like(parameter)
    folder = root / "model"
    model.save_pretrained(folder)
    tokenizer: Any = load(made).tokenizer
    # Tiny tokenizers have no mask token: a word stands in for it.
    tokenizer.mask_token = tokenizer.convert_ids_to_tokens(tokenizer("pilot")["input_ids"][1])
    tokenizer.save_pretrained(folder)
    return folder


def named(tags: tuple[str, ...]) -> dict[str, Any]:
    return {"id2label": dict(enumerate(tags)), "label2id": {tag: i for i, tag in enumerate(tags)}}


# ---- metrics


@st.composite
def tagged(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    lengths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=6))
    labels = np.full((len(lengths), 7), NO_LABEL)
    predictions = labels.copy()
    for row, length in enumerate(lengths):
        for tags in (labels, predictions):
            tags[row, :length] = draw(st.lists(st.integers(0, 4), min_size=length, max_size=length))
    return labels, predictions


@settings(max_examples=300)
@given(tagged())
def test_entities_are_those_of_seqeval(both: tuple[np.ndarray, np.ndarray]) -> None:
    seqeval = pytest.importorskip("seqeval.metrics")
    labels, predictions = both

    def names(tags: np.ndarray) -> list[list[str]]:
        return [[ENTITIES[tag] for tag in row if tag != NO_LABEL] for row in tags]

    expected = seqeval.f1_score(names(labels), names(predictions), zero_division=0)
    assert METRICS["entity_f1"].score(labels, predictions) == pytest.approx(100 * expected)


@given(tagged())
def test_accuracy_of_tokens_is_that_of_scikit_learn(both: tuple[np.ndarray, np.ndarray]) -> None:
    from sklearn.metrics import accuracy_score

    labels, predictions = both
    is_scored = labels != NO_LABEL
    expected = 100 * accuracy_score(labels[is_scored], predictions[is_scored])
    assert METRICS["token_accuracy"].score(labels, predictions) == pytest.approx(expected)


def test_an_entity_begins_and_ends_where_a_reader_would_say() -> None:
    # LOC LOC | PER, then one that is cut short, one of another type, and one without a beginning.
    labels = np.array([[1, 2, 1, 0, 3, 4, 4, 0, 4, -1]])
    predictions = np.array([[1, 2, 1, 0, 3, 4, 0, 0, 2, -1]])
    terms = METRICS["entity_f1"].terms(labels, predictions[None])
    found = {name: int(term.sum()) for name, term in terms.items()}
    assert found == {"true": 4, "predicted": 4, "both": 2}


def test_examples_of_one_token_are_tested_as_whole_examples() -> None:
    """Tokens are resampled and exchanged by example: with one token each nothing differs."""
    rng = np.random.default_rng(0)
    labels, before = rng.integers(0, 3, (2, 90))
    after = np.where(rng.random((4, 90)) < 0.2, rng.integers(0, 3, (4, 90)), before)
    plain = Outcomes("accuracy", labels, before, after)
    wide = Outcomes("token_accuracy", labels[:, None], before[:, None], after[..., None])
    np.testing.assert_allclose(exchange(wide, 1).changes, exchange(plain, 1).changes)
    np.testing.assert_allclose(
        resampled_changes("token_accuracy", labels[:, None], before[None, :, None], after[None, ..., None], 2),
        resampled_changes("accuracy", labels, before[None], after[None], 2),
    )  # fmt: skip


def clustered(rng: np.random.Generator, sentences: int) -> tuple[np.ndarray, ...]:
    """Tags of which whole sentences flip together, as often from right to wrong as back."""
    words = rng.integers(3, 25, sentences)
    is_scored = np.arange(25) < words[:, None]
    labels = np.where(is_scored, 0, NO_LABEL)
    before = np.where(rng.random((sentences, 25)) < 0.3, 1, 0)
    flips = (rng.random(sentences) < 0.15)[:, None]
    after = np.where(flips, 1 - before, before)
    # On average as many are lost as won.
    balance = np.where(rng.random(sentences) < 0.5, 1, 0)[:, None]
    before, after = np.where(balance, before, after), np.where(balance, after, before)
    return labels, np.where(is_scored, before, NO_LABEL), np.where(is_scored, after, NO_LABEL)


def test_words_of_a_sentence_count_as_one() -> None:
    """Where whole sentences change, tests of single words would reject far too often."""
    from headscope.stats.paired import mcnemar

    rng = np.random.default_rng(5)
    by_sentence, by_word, covered = [], [], []
    for trial in range(200):
        labels, before, after = clustered(rng, 60)
        by_sentence.append(permutation("token_accuracy", labels, before, after, trial, 400) < 0.05)
        known = labels != NO_LABEL
        by_word.append(mcnemar(labels[known], before[known], after[known]) < 0.05)
        drawn = resampled_changes(
            "token_accuracy", labels, before[None], after[None, None], trial, 400
        )
        low, high = np.quantile(drawn[0], [0.025, 0.975])
        covered.append(low <= 0 <= high)
    assert np.mean(by_sentence) < 0.09
    assert np.mean(by_word) > 0.2
    assert np.mean(covered) > 0.9


# ---- marks


def test_the_first_token_of_every_word_has_its_label(tiny: Path) -> None:
    model = load(tiny)
    split = rows(SENTENCES)
    encoded = encode(split, model.tokenizer, 128)
    marked = mark_words(split, encoded, (7, 8, 9, 10), "sentences")
    for row, words in enumerate(SENTENCES):
        given: Any = model.tokenizer(words, is_split_into_words=True)
        numbers = given.word_ids()
        expected = []
        for place, number in enumerate(numbers):
            is_first = number is not None and number not in numbers[:place]
            expected.append(7 + TAGS.index(tag_of(words[number])) if is_first else IGNORED)
        assert marked.encoded.columns["input_ids"][row] == given["input_ids"]
        assert marked.encoded.columns[LABELS][row] == expected
        assert marked.split.labels[row].tolist() == split.labels[row].tolist()
    assert not marked.notes


def test_words_without_a_token_are_counted_and_not_scored(tiny: Path) -> None:
    model = load(tiny)
    split = rows(SENTENCES)
    marked = mark_words(split, encode(split, model.tokenizer, 6), (0, 1, 2, 3), "sentences")
    words = sum(map(len, SENTENCES))
    assert f"{words - marked.tokens:,} of {words:,} words" in marked.notes[0]
    kept = [sum(mark != IGNORED for mark in row) for row in marked.encoded.columns[LABELS]]
    assert (marked.split.labels != NO_LABEL).sum(1).tolist() == kept
    # Two words that share their characters have one token.
    shared = Split(("au",), None, np.array([[1, 2]]), spans=(((0, 2), (0, 2)),))
    tokens = encode(shared, model.tokenizer, 9)
    assert mark_words(shared, tokens, (0, 1, 2), "s").tokens == min(2, len(tokens.segments[0]) - 2)


def test_masked_tokens_are_a_share_of_each_text_and_drawn_from_the_seed(tiny: Path) -> None:
    model = load(tiny)
    model.tokenizer.mask_token = model.tokenizer.convert_ids_to_tokens(7)
    split = Split(tuple(" ".join(words * 3) for words in SENTENCES), None, np.zeros(14))
    encoded = encode(split, model.tokenizer, 128)
    marked = Masker(model.tokenizer, 4, 19).mark(split, encoded, "texts")
    again = Masker(model.tokenizer, 4, 19).mark(split, encoded, "texts")
    other = Masker(model.tokenizer, 5, 19).mark(split, encoded, "texts")
    assert marked.encoded.columns == again.encoded.columns != other.encoded.columns
    for row, special in enumerate(encoded.special):
        truth = marked.encoded.columns[LABELS][row]
        ids, own = marked.encoded.columns["input_ids"][row], encoded.columns["input_ids"][row]
        masked = [place for place, label in enumerate(truth) if label != IGNORED]
        assert len(masked) == max(1, round(0.15 * special.count(False)))
        assert not any(special[place] for place in masked)
        assert [truth[place] for place in masked] == [own[place] for place in masked]
        assert all(ids[place] == model.tokenizer.mask_token_id for place in masked)
        assert (marked.split.labels[row] == 1).sum() == len(masked)


def spaced(kind: str) -> Any:
    """A tokenizer of which a space may be a token of its own."""
    if kind == "unigram":
        pieces = ["<unk>", "<pad>", "▁", "你好", "▁he", "llo", "▁a", "x"]
        made = Tokenizer(models.Unigram([(piece, -2.0) for piece in pieces], 0))
        made.pre_tokenizer = pre_tokenizers.Metaspace()
    else:
        letters = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "Ġh", "<pad>", "<unk>"]
        vocabulary = {letter: number for number, letter in enumerate(letters)}
        made = Tokenizer(models.BPE(vocabulary, [("Ġ", "h")]))
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        made.post_processor = processors.ByteLevel(trim_offsets=kind == "trimmed")
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", pad_token="<pad>")


@pytest.mark.parametrize("kind", ["unigram", "trimmed", "untrimmed"])
def test_a_space_of_its_own_is_the_first_token_of_its_word(kind: str) -> None:
    """So transformers' word_ids have it, by which taggers are trained."""
    tokenizer = spaced(kind)
    words = ["你好", "hello", "x", "你好", "a", "é", "你好"]
    width = range(len(words))
    starts = np.cumsum([0, *(len(word) + 1 for word in words)])
    spans = tuple((int(starts[i]), int(starts[i]) + len(words[i])) for i in width)
    split = Split((" ".join(words),), None, np.array([list(width)]), spans=(spans,))
    marked = mark_words(split, encode(split, tokenizer, 128), list(width), "sentences")
    given: Any = tokenizer(words, is_split_into_words=True)
    numbers = given.word_ids()
    assert marked.encoded.columns["input_ids"][0] == given["input_ids"]
    expected = [
        number if number not in numbers[:place] else IGNORED for place, number in enumerate(numbers)
    ]
    assert marked.encoded.columns[LABELS][0] == expected


# ---- scores, against plain transformers


def explicit(
    folder: Path, auto: Any, ids: list[int], truth: list[int], head: Head | None
) -> tuple[float, list[int]]:
    """The mean loss and the answers of one text by plain transformers, a head's output zeroed."""
    plain: Any = auto.from_pretrained(folder, attn_implementation="eager").eval()
    width = plain.config.hidden_size // plain.config.num_attention_heads

    def zeroed(_module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor]:
        states = given[0].clone()
        assert head is not None
        states[..., (head.head - 1) * width : head.head * width] = 0
        return (states,)

    if head is not None:
        layer = plain.base_model.encoder.layer[head.layer - 1]
        layer.attention.output.dense.register_forward_pre_hook(zeroed)
    with torch.no_grad():
        logits = plain(input_ids=torch.tensor([ids])).logits[0]
    places = [place for place, label in enumerate(truth) if label != IGNORED]
    wanted = torch.tensor([truth[place] for place in places])
    loss = nn.functional.cross_entropy(logits[places], wanted)
    return float(loss), logits[places].argmax(-1).tolist()


@pytest.mark.parametrize("head", [None, Head(1, 2), Head(3, 4)])
def test_tags_are_scored_as_every_sentence_by_itself(head: Head | None, tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path, AutoModelForTokenClassification, **named(TAGS))
    model = load(folder, head=OF_TOKENS)
    assert model.trained_head
    split = rows(SENTENCES)
    marked = WordMarker((0, 1, 2, 3), (0, 1, 2, 3), split.labels.shape[1]).mark(
        split, encode(split, model.tokenizer, 128), "sentences"
    )
    scored = as_token_scores(model, split.labels.shape[1], (0, 1, 2, 3))
    scorer = Scorer(scored, marked.encoded, "zero", batch_tokens=64)
    outputs = scorer.unchanged
    if head is not None:
        (result,) = scorer.score([("one", frozenset([head]))])
        assert result.activation_change > 0
        assert np.abs(result.outputs - outputs).max() > 1e-3
        outputs = result.outputs
    assert scorer.way == "passes"
    for row, truth in enumerate(marked.encoded.columns[LABELS]):
        ids = marked.encoded.columns["input_ids"][row]
        loss, answers = explicit(folder, AutoModelForTokenClassification, ids, truth, head)
        assert mean_losses(outputs)[row] == pytest.approx(loss, abs=1e-5)
        found = classes_of_tokens(outputs)[row]
        assert found[found != NO_LABEL].tolist() == answers


@pytest.mark.parametrize(
    "family", ["bert", "roberta", "distilbert", "modernbert", "mpnet", "electra"]
)
def test_masked_tokens_are_scored_as_every_text_by_itself(family: str, tmp_path: Path) -> None:
    folder = folder_of(family, tmp_path, AutoModelForMaskedLM)
    model = load(folder, head=OF_MASKED_TOKENS)
    assert model.trained_head, model.notes
    split = Split(tuple(" ".join(words * 2) for words in SENTENCES), None, np.zeros(14))
    marker = Masker(model.tokenizer, 0, 9)
    marked = marker.mark(split, encode(split, model.tokenizer, 40), "texts")
    outputs = Scorer(as_token_scores(model, 9, None), marked.encoded, batch_tokens=90).unchanged
    for row, truth in enumerate(marked.encoded.columns[LABELS]):
        ids = marked.encoded.columns["input_ids"][row]
        loss, answers = explicit(folder, AutoModelForMaskedLM, ids, truth, None)
        assert mean_losses(outputs)[row] == pytest.approx(loss, rel=1e-4)
        wanted = [label for label in truth if label != IGNORED]
        found = classes_of_tokens(outputs)[row]
        right = [int(a == b) for a, b in zip(answers, wanted, strict=True)]
        assert found[found != NO_LABEL].tolist() == right


def test_a_head_that_looks_at_several_tokens_is_refused(tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path, AutoModelForTokenClassification, **named(TAGS))
    model = load(folder, head=OF_TOKENS)
    hf: Any = model.hf

    class Neighbours(nn.Module):
        def forward(self, states: Tensor) -> Tensor:
            return states + states.mean(1, keepdim=True)

    hf.dropout = Neighbours()
    with pytest.raises(HeadscopeError, match="looks at several tokens at a time"):
        as_token_scores(model, 5, (0, 1, 2, 3))


# ---- data


CONLL = "-DOCSTART- -X- O O\n\nAnna NNP B-PER\nSmith NNP I-PER\nleft VBD O\nOslo NNP B-LOC\n\nIt rains O\n"


def test_files_of_columns_are_read_as_they_stand(tmp_path: Path) -> None:
    for name in ("eng.train.conll", "eng.testa.conll"):
        (tmp_path / name).write_text(CONLL)
    (tmp_path / "eng.testb.conll").write_text("never\tread\n")
    task, data = read_tagging(str(tmp_path))
    assert task.labels == ENTITIES
    assert task.metrics == ("entity_f1", "token_accuracy")
    assert data.validation.first == ("Anna Smith left Oslo", "It")
    assert data.validation.labels.tolist() == [[3, 4, 0, 1], [0, -1, -1, -1]]
    assert data.validation.spans == (((0, 4), (5, 10), (11, 15), (16, 20)), ((0, 2),))


def test_tables_of_lists_are_read_with_the_names_of_their_classes(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"id": [1, 2], "tokens": [["Anna", "left"], ["It"]], "ner_tags": [[1, 0], [0]]}
    )
    feature = {"feature": {"names": ["O", "B-PER"], "_type": "ClassLabel"}, "_type": "Sequence"}
    said = json.dumps({"info": {"features": {"ner_tags": feature}}})
    for split in ("train", "validation"):
        frame.write_parquet(tmp_path / f"{split}.parquet", metadata={"huggingface": said})
    task, data = read_tagging(str(tmp_path))
    assert task.labels == ("O", "B-PER", "I-PER")
    assert data.train.labels.tolist() == [[1, 0], [0, -1]]
    assert "the words are taken from 'tokens'" in data.validation.notes[0]
    with pytest.raises(HeadscopeError, match="words with tags are in one column, got id, tokens"):
        read_tagging(str(tmp_path), Chosen(("id", "tokens"), None))
    gaps = frame.with_columns(tokens=pl.Series([["Anna", " "], ["It"]]))
    gaps.write_parquet(tmp_path / "train.parquet", metadata={"huggingface": said})
    _, data = read_tagging(str(tmp_path))
    assert "1 words of white space alone left out" in data.train.notes[-1]
    frame.with_columns(ner_tags=pl.Series([[2, 0], [0]])).write_parquet(
        tmp_path / "train.parquet", metadata={"huggingface": said}
    )
    with pytest.raises(HeadscopeError, match="row 1: '2' is no tag, expected a number below 2"):
        read_tagging(str(tmp_path))


def test_the_tags_of_a_head_are_found_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "own.conll").write_text(CONLL.replace("B-LOC", "O") * 4 + "\nEva NNP B-PER\n")
    task, _ = read_tagging(str(tmp_path / "own.conll"))
    assert task.labels == ("O", "B-PER", "I-PER")
    # The head has them in another order, and types that these sentences lack.
    wider, classes = of_head(task, ("I-LOC", "B-PER", "O", "I-PER"))
    assert wider.labels == ENTITIES
    assert classes == [2, 3, 0, 4]
    with pytest.raises(HeadscopeError, match="knows the tags O, B-LOC, and own.conll has B-PER"):
        of_head(task, ("O", "B-LOC"))


def test_a_head_that_the_file_lacks_is_made_anew(tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path, AutoModelForTokenClassification, **named(TAGS[:3]))
    plain: Any = AutoModelForTokenClassification.from_pretrained(folder)
    weights = {f"bert.{name}": tensor for name, tensor in plain.base_model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    write_task(tmp_path / "task", EASY)
    tuned = headscope.finetune(
        model=folder, task=tmp_path / "task", epochs=1, out=tmp_path / "ckpt", quiet=True
    )
    assert any("is not in the file" in note for note in tuned.record.notes)
    config = AutoConfig.from_pretrained(tmp_path / "ckpt")
    assert tuple(config.id2label.values()) == TAGS
    with pytest.raises(HeadscopeError, match="has no head that tags tokens"):
        headscope.disable(model=folder, task=tmp_path / "task", quiet=True)


def test_lists_in_memory_are_tags_of_words(tiny: Path, tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"tokens": EASY, "tags": [[tag_of(word) for word in words] for words in EASY]}
    )
    model = learner(tiny, tmp_path / "encoder")
    task = {"train": frame, "test": frame}
    common: dict[str, Any] = {"precision": "fp32", "quiet": True}
    tuned = headscope.finetune(
        model=model, task=task, epochs=4, lr=3e-3, out=tmp_path / "ckpt", **common
    )
    assert tuned.table("scores")["metric"].to_list() == ["token_accuracy"]
    assert any("scored are 360 words of 60" in note for note in tuned.record.notes)
    assert any("have tags: they are scored" in note for note in tuned.record.notes)
    run = headscope.disable(model=tuned, task=task, heads=["L1H1"], **common)
    assert run.table("disabled")["baseline"][0] == tuned.table("scores")["value"][0]
    rows = [{"tokens": words, "tags": [0, 1, 2, 3, 0, 1]} for words in EASY]
    with pytest.raises(HeadscopeError, match="knows the tags ADJ, DET, NOUN, VERB, and rows-"):
        headscope.disable(model=tuned, task=rows, heads=["L1H1"], **common)
    page = run.report()
    assert "accuracy of tokens" in str(page.path.read_text(encoding="utf-8"))


WRONG = {
    "more tags than words": ('{"tokens": ["a", "b"], "tags": ["X", "Y", "X"]}', "row 1: 2 words have 3 tags"),
    "no lists": ('{"text": "a b", "tags": "X Y"}', "columns of lists are none: name one with --columns"),
    "one list": ('{"tokens": ["a"], "label": "X"}', "columns of lists are none: name one with --label"),
    "a row without": ('{"tokens": ["a"], "tags": ["X"]}\n{"tokens": null, "tags": []}', "row 2: 'tokens' is 'None', expected a list"),
    "one tag": ('{"tokens": ["a"], "tags": ["X"]}\n{"tokens": ["b"], "tags": ["X"]}', "has one tag alone (X)"),
    "a word that is missing": ('{"tokens": ["a", null], "tags": ["X", "Y"]}', "row 1: 'None' is no word"),
    "a tag that is missing": ('{"tokens": ["a", "b"], "tags": ["X", null]}', "row 1: 'None' is no tag"),
    "a number for no tag": ('{"tokens": ["a", "b"], "tags": [0, -100]}', "row 1: '-100' is no tag"),
    "no words": ('{"tokens": [], "tags": []}', "holds no sentence"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_tables_of_tags_are_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    import re

    content, sentence = WRONG[name]
    (tmp_path / "own.jsonl").write_text(content + "\n")
    with pytest.raises(HeadscopeError, match=re.escape(sentence)):
        read_tagging(str(tmp_path / "own.jsonl"))


def test_other_columns_of_a_treebank_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.conllu").write_text("")
    with pytest.raises(HeadscopeError, match="the tags are upos or deprel, by --label, got xpos"):
        read_tagging(f"ud:{tmp_path / 'a.conllu'}", Chosen(None, "xpos"))
    for name in ("ud:nowhere.conllu", "ud:/dev/null"):
        with pytest.raises(
            HeadscopeError, match="does not exist as .*: tags are read from ud:FILE"
        ):
            read_tagging(name)


# ---- training


@pytest.mark.parametrize("part_size", [14, 5])
def test_the_gradient_is_that_of_transformers_own_loss(part_size: int, tmp_path: Path) -> None:
    """In parts too: each part counts by its tokens, not by its sentences."""
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    folder = folder_of(
        "bert", tmp_path, AutoModelForTokenClassification, **named(TAGS), **no_dropout
    )
    model, plain = load(folder, head=OF_TOKENS), load(folder, head=OF_TOKENS)
    split = rows(SENTENCES)
    marked = mark_words(split, encode(split, model.tokenizer, 128), (0, 1, 2, 3), "sentences")
    task = Task("own", ("words",), TAGS, ("token_accuracy",), of_tokens=True)
    objective = Objective.of(model, task, marked.encoded, marked.split.labels, "fp32")
    loss = objective.add_gradients(list(range(14)), part_size)
    expected = plain.hf(**marked.encoded.batch(range(14))).loss
    expected.backward()
    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
    for own, theirs in zip(model.hf.parameters(), plain.hf.parameters(), strict=True):
        if theirs.grad is not None:
            torch.testing.assert_close(own.grad, theirs.grad, rtol=1e-4, atol=1e-6)


# ---- commands


def learner(tiny: Path, folder: Path) -> Path:
    """A small encoder with the weights that transformers would begin to train."""
    tokenizer: Any = load(tiny).tokenizer
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64}
    sizes |= {"num_attention_heads": 4, "max_position_embeddings": 40}
    sizes |= {"vocab_size": max(tokenizer.get_vocab().values()) + 1}
    BertModel(BertConfig(**sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_task(folder: Path, sentences: list[list[str]]) -> None:
    folder.mkdir()
    for split in ("train", "validation"):
        lines = [
            "\n".join(f"{word}\t{tag_of(word)}" for word in words) + "\n" for words in sentences
        ]
        (folder / f"{split}.conll").write_text("\n".join(lines))


def test_a_tagger_is_trained_disabled_and_pruned(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_task(tmp_path / "task", EASY)
    task = str(tmp_path / "task")
    common = ["--seed", "0", "--precision", "fp32"]
    ckpt = str(tmp_path / "ckpt")
    model = str(learner(tiny, tmp_path / "encoder"))
    arguments = ["finetune", "--model", model, "--task", task, "--epochs", "4", "--lr", "3e-3"]
    with pytest.raises(SystemExit) as ended:
        cli.main([*arguments, "--out", ckpt, *common])
    assert ended.value.code == 0
    said = capsys.readouterr()
    assert "validation sentences" in said.err
    assert "--as tokens" in said.out or "headscope disable" in said.out
    plain = AutoModelForTokenClassification.from_pretrained(ckpt)
    assert tuple(plain.config.id2label.values()) == TAGS
    scores = pl.read_parquet(f"{ckpt}/scores.parquet").to_dicts()[0]
    assert scores["metric"] == "token_accuracy"
    assert scores["value"] > scores["majority"] + 20
    # The score, by transformers' pipeline of the library's own.
    run = headscope.disable(model=ckpt, task=task, precision="fp32", quiet=True)
    table = run.table("disabled")
    assert table["baseline"][0] == pytest.approx(scores["value"])
    assert table.height == plain.config.num_hidden_layers * plain.config.num_attention_heads
    assert (table["activation_change"] > 0).all()
    right = total = 0
    for words in EASY:
        given: Any = load(tiny).tokenizer(words, is_split_into_words=True, return_tensors="pt")
        answers = plain.eval()(**given).logits[0].argmax(-1).tolist()
        numbers = given.word_ids()
        for place, number in enumerate(numbers):
            if number is not None and number not in numbers[:place]:
                total += 1
                right += TAGS[answers[place]] == tag_of(words[number])
    assert scores["value"] == pytest.approx(100 * right / total)
    pairs = headscope.disable(model=ckpt, task=task, heads="pairs", precision="fp32", quiet=True)
    assert pairs.table("interactions")["unit"][0] == "nats"
    path = headscope.prune(
        model=ckpt, task=task, search_examples=60, keep="0.5", precision="fp32", quiet=True
    )
    assert path.table("pruned")["metric"].unique().to_list() == ["token_accuracy"]


def test_a_registered_task_is_no_folder_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("stsb", "own"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.conll").write_text("a X\n")
    assert (is_tagging("stsb"), is_tagging("own")) == (False, True)


def test_what_was_guessed_of_texts_to_mask_is_said_once(tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path, AutoModelForMaskedLM)
    table = tmp_path / "texts.csv"
    table.write_text("text,label\n" + "".join(f"{' '.join(words)},1\n" for words in EASY))
    run = headscope.disable(model=folder, task=table, kind="mlm", heads="L1H1", quiet=True)
    notes = [note for note in run.record.notes if "text column" in note]
    assert len(notes) == 1


def test_masked_tokens_need_no_labels(tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path, AutoModelForMaskedLM)
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(" ".join(words) for words in SENTENCES))
    run = headscope.disable(model=folder, task=texts, kind="mlm", precision="fp32", quiet=True)
    row = run.table("disabled").to_dicts()[0]
    assert (row["metric"], row["n"]) == ("token_accuracy", len(SENTENCES))
    assert run.table("scores")["majority"][0] is None
    model = load(folder, head=OF_MASKED_TOKENS)
    split = Split(tuple(texts.read_text().split("\n")), None, np.zeros(14))
    marked = Masker(model.tokenizer, 0, 19).mark(split, encode(split, model.tokenizer, 128), "")
    scored = as_token_scores(model, 19, None)
    scorer = Scorer(scored, marked.encoded, precision="fp32")
    (result,) = scorer.score(["L1H1"])
    expected = (mean_losses(result.outputs) - mean_losses(scorer.unchanged)).mean()
    assert run.table("disabled").filter(set="L1H1")["loss_change"][0] == pytest.approx(
        expected, abs=1e-6
    )


def test_a_folder_of_lines_has_texts_to_search_and_texts_to_judge_by(tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path, AutoModelForMaskedLM)
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "dev.txt").write_text("\n".join(map(" ".join, SENTENCES)))
    run = headscope.disable(
        model=folder, task=texts, kind="mlm", heads="L1H1", precision="fp32", quiet=True
    )
    assert run.record.data.train == 0
    (texts / "train.txt").write_text("\n".join(map(" ".join, SENTENCES * 5)))
    path = headscope.prune(
        model=folder,
        task=texts,
        kind="mlm",
        keep="0.5",
        search_examples=60,
        precision="fp32",
        quiet=True,
    )
    assert path.record.data.train == 70
    assert path.table("pruned")["n"].unique().to_list() == [len(SENTENCES)]


def test_labels_of_texts_are_no_baseline_of_masked_tokens(tmp_path: Path) -> None:
    """Else the commonest class of the texts would pass for the answer to every mask."""
    folder = folder_of("bert", tmp_path, AutoModelForMaskedLM)
    run = headscope.prune(
        model=folder,
        task="builtin",
        kind="mlm",
        keep="0.5",
        search_examples=50,
        examples=40,
        precision="fp32",
        quiet=True,
    )
    for name in ("scores", "pruned"):
        assert run.table(name)["majority"].null_count() == run.table(name).height
    assert run.findings
    (tmp_path / "texts.txt").write_text("one\ntwo\n")
    with pytest.raises(HeadscopeError, match="--label is of texts with labels"):
        headscope.disable(
            model=folder, task=tmp_path / "texts.txt", kind="mlm", label="x", quiet=True
        )
    with pytest.raises(HeadscopeError, match="a search needs training texts beside those"):
        headscope.prune(model=folder, task=tmp_path / "texts.txt", kind="mlm", quiet=True)


REFUSED = {
    "an encoder without the head": ("tiny", "x.conll", {}, "has no head that tags tokens"),
    "a classifier on masked tokens": ("tiny", "x.txt", {"kind": "mlm"}, "has no head for masked language modelling"),
    "a tagger on texts": ("model", "builtin", {"kind": "classification"}, "has no classification head"),
    "scores as classes": ("tiny", "builtin", {"kind": "regression"}, "--as regression: the labels of builtin make it a classification"),
    "an unknown kind": ("tiny", "builtin", {"kind": "tagging"}, "--as"),
    "a pooling of tokens": ("model", "x.conll", {"pool": "cls"}, "--pool are of embeddings"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_one_sentence(name: str, tiny: Path, tmp_path: Path) -> None:
    import re

    folder_of("bert", tmp_path, AutoModelForTokenClassification, **named(TAGS))
    (tmp_path / "x.conll").write_text("a NOUN\nb VERB\n\nc DET\nd ADJ\n" * 3)
    (tmp_path / "x.txt").write_text("the nurse\nthe pilot\n")
    model, task, others, sentence = REFUSED[name]
    asked: dict[str, Any] = {"model": tiny if model == "tiny" else tmp_path / model, **others}
    with pytest.raises(HeadscopeError, match=re.escape(sentence)):
        headscope.disable(task=task if task == "builtin" else tmp_path / task, quiet=True, **asked)


def test_commands_that_know_no_tags_say_which_do(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(HeadscopeError, match="en.conllu does not exist as a file or a folder"):
        headscope.study(model=tiny, task="ud:en.conllu", out=tmp_path / "x", quiet=True)
    (tmp_path / "train.conll").write_text("a X\n")
    with pytest.raises(HeadscopeError, match="which finetune, disable, prune and study score"):
        headscope.measure(model=tiny, task=tmp_path, out=tmp_path / "x", quiet=True)


def test_measures_take_the_words_of_a_treebank(tiny: Path, tmp_path: Path) -> None:
    file = tmp_path / "own-ud-dev.conllu"
    tagged = [("the", "DET"), ("nurse", "NOUN"), ("thanked", "VERB"), ("him", "NOUN")]
    lines = [
        f"{number}\t{form}\t{form}\t{upos}\t_\t_\t{0 if number == 1 else 1}\t"
        f"{'root' if number == 1 else 'dep'}\t_\t_"
        for number, (form, upos) in enumerate(tagged, start=1)
    ]
    file.write_text("\n".join([*lines, ""] * 12) + "\n")
    names = "entropy,attention_to_noun"
    of_file = headscope.measure(model=tiny, task=f"ud:{file}", measures=names, quiet=True)
    of_folder = headscope.measure(model=tiny, task=f"ud:{tmp_path}", measures=names, quiet=True)
    text = " ".join(form for form, _ in tagged)
    of_texts = headscope.measure(model=tiny, text=[text] * 12, measures="entropy", quiet=True)
    table = of_file.table("heads")
    assert table["value"].to_list() == of_folder.table("heads")["value"].to_list()
    entropy = table.filter(measure="entropy")["value"].to_list()
    assert entropy == pytest.approx(of_texts.table("heads")["value"].to_list())
    # The nouns are those that the treebank says, among them one that no parser would name.
    model = load(tiny)
    encoded: Any = model.tokenizer(text.split(), is_split_into_words=True)
    nouns = [number in (1, 3) for number in encoded.word_ids()]
    maps = model.maps(text).maps
    found = table.filter(measure="attention_to_noun", layer=2, head=3)["value"][0]
    assert found == pytest.approx(float(maps[1, 2][:, nouns].mean(0).max()), rel=1e-4)
    assert any("the treebank's" in note for note in of_file.record.notes)
    assert of_file.record.data.source == of_folder.record.data.source == str(file.resolve())
    (tmp_path / "two-ud-dev.conllu").write_text(file.read_text())
    with pytest.raises(HeadscopeError, match="found own-ud-dev.conllu, two-ud-dev.conllu"):
        headscope.measure(model=tiny, task=f"ud:{tmp_path}", measures="entropy", quiet=True)


def test_a_trainer_of_texts_or_tags_alone(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(HeadscopeError, match="finetune trains a head for texts, for tags"):
        headscope.finetune(model=tiny, task="builtin", kind="mlm", out=tmp_path / "x", quiet=True)


# ---- what could be read wrongly


def test_a_tagger_keeps_the_order_of_its_tags(tmp_path: Path) -> None:
    """Else its outputs would be saved under the names of other tags."""
    write_task(tmp_path / "task", EASY[:12])
    order = ("VERB", "DET", "ADJ", "NOUN")
    folder = folder_of("bert", tmp_path, AutoModelForTokenClassification, **named(order))
    common: dict[str, Any] = {"task": tmp_path / "task", "precision": "fp32", "quiet": True}
    tuned = headscope.finetune(model=folder, epochs=1, out=tmp_path / "tuned", **common)
    saved = AutoConfig.from_pretrained(tmp_path / "tuned")
    assert tuple(saved.id2label.values()) == order
    run = headscope.disable(model=tmp_path / "tuned", heads=["L1H1"], **common)
    assert run.table("scores")["value"][0] == tuned.table("scores")["value"][0]


@pytest.mark.parametrize("extra", ["X", "[PAD]", "E-PER"])
def test_entities_are_not_counted_where_a_head_has_other_tags(extra: str, tmp_path: Path) -> None:
    """Entities are counted by the places of tags in the list, which other tags would move."""
    (tmp_path / "other.conll").write_text(CONLL * 2 + "\nEva NNP O\n")
    task, _ = read_tagging(str(tmp_path / "other.conll"))
    wider, classes = of_head(task, (*ENTITIES, extra))
    assert wider.metrics == ("token_accuracy",)
    assert extra in wider.guessed[-1]
    assert [wider.labels[number] for number in classes] == [*ENTITIES, extra]
    assert of_head(task, ENTITIES)[0].metrics == ("entity_f1", "token_accuracy")


def test_words_of_files_of_columns_are_not_cut_or_lost(tmp_path: Path) -> None:
    """A word may hold a space between tabs, and be a number sign."""
    lines = "# id 1\nNew York\tNNP\tB-LOC\n10\u00a0000\tCD\tO\n\nC\tX\tO\n-DOCSTART-\n"
    (tmp_path / "train.conll").write_text(lines + "d\tX\tO\n", encoding="utf-8")
    (tmp_path / "dev.conll").write_text("cost NN O\n# # B-LOC\n3 CD I-LOC\n")
    _, data = read_tagging(str(tmp_path))
    assert data.train.first == ("New York 10\u00a0000", "C", "d")
    assert data.train.spans is not None
    assert data.train.spans[0] == ((0, 8), (9, 15))
    assert "1 lines before sentences that begin with # left out" in data.train.notes[-1]
    assert data.validation.first == ("cost # 3",)
    assert data.validation.labels.tolist() == [[0, 1, 2]]
    for content, sentence in (
        ("a NN O\nb NN\n", "line 2: expected a word and its tag in 3 columns, got 'b NN'"),
        ("New York B-LOC\nb O\n", "line 2: expected a word and its tag in 3 columns"),
        ("a\n", "line 1: expected a word and its tag in 2 columns"),
        ("1 a O\n2 b B-X\n\n1 c O\n", "the first column numbers the words"),
    ):
        (tmp_path / "dev.conll").write_text(content)
        with pytest.raises(HeadscopeError, match=sentence):
            read_tagging(str(tmp_path))


def test_lists_in_memory_with_gaps_are_no_words(tiny: Path, tmp_path: Path) -> None:
    """Else a whole list would be one word, and its tags one tag."""
    rows = [
        {"tokens": ["a", None], "tags": ["X", None]},
        {"tokens": ["b", "c"], "tags": ["X", "Y"]},
    ]
    asked: dict[str, Any] = {"model": tiny, "kind": "tokens", "out": tmp_path / "x", "quiet": True}
    with pytest.raises(HeadscopeError, match="row 1: .* is no word"):
        headscope.finetune(task=rows, **asked)
    # Tokens beside texts are no tags, and a text without a label is refused as without them.
    texts: dict[str, Any] = {"text": ["a", "b", "c"], "label": [1, None, 0]}
    texts |= {"input_ids": [[1], [2], [3]], "attention_mask": [[1], [1], [1]]}
    with pytest.raises(HeadscopeError, match="row 2 of task has no label"):
        headscope.finetune(task=texts, **(asked | {"kind": None}))


def test_examples_without_a_scored_token_are_left_out(tmp_path: Path) -> None:
    """Else they would count with a loss of 0, and a batch of them alone could not be trained on."""
    folder = folder_of("bert", tmp_path, AutoModelForTokenClassification, **named(TAGS))
    model = load(folder, head=OF_TOKENS)
    split = rows([*SENTENCES[:3], ["it"], SENTENCES[4]])
    split = dataclasses.replace(split, first=(*split.first[:3], "\u200b", split.first[4]))
    encoded = encode(split, model.tokenizer, 128)
    marked = mark_words(split, encoded, (0, 1, 2, 3), "sentences")
    assert len(marked.split) == len(marked.encoded) == 4
    assert marked.split.first[3] == split.first[4]
    assert marked.encoded.columns["input_ids"][3] == encoded.columns["input_ids"][4]
    assert "1 of the 5 sentences have no scored token: left out" in marked.notes[-1]
    masked = Masker(model.tokenizer, 0, 19).mark(split, encoded, "texts")
    assert len(masked.split) == len(masked.encoded) == 4
    empty = Split(("\u200b",), None, np.zeros(1))
    with pytest.raises(HeadscopeError, match="sees no token in any of the 1 texts"):
        Masker(model.tokenizer, 0, 19).mark(empty, encode(empty, model.tokenizer, 9), "texts")


def test_a_tagger_can_begin_at_random(tmp_path: Path) -> None:
    write_task(tmp_path / "task", EASY[:12])
    folder = folder_of("bert", tmp_path, AutoModelForTokenClassification, **named(TAGS))
    task, out = tmp_path / "task", tmp_path / "out"
    run = headscope.finetune(model=folder, task=task, init="random", epochs=1, out=out, quiet=True)
    assert run.table("scores")["configuration"].to_list() == ["random + fine-tuned"]


def test_tokens_beside_texts_are_not_guessed_to_be_tags(tmp_path: Path) -> None:
    texts = pl.DataFrame(
        {"text": ["a b"], "label": [1], "tokens": [["a", "b"]], "input_ids": [[4, 5]]}
    )
    texts.write_parquet(tmp_path / "texts.parquet")
    assert not is_tagging(str(tmp_path / "texts.parquet"))
    texts.rename({"input_ids": "ner_tags"}).write_parquet(tmp_path / "tags.parquet")
    assert is_tagging(str(tmp_path / "tags.parquet"))
    texts.select("tokens", "input_ids").write_parquet(tmp_path / "own.parquet")
    assert is_tagging(str(tmp_path / "own.parquet"))
