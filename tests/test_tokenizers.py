"""A tokenizer that is not the model's, and numbers that are none, end in a sentence."""

# mypy: disable-error-code="no-untyped-call, union-attr, operator"

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import processors

import families
from headscope.commands.session import cut_note
from headscope.corpora.base import Corpus, Link, Sentence
from headscope.errors import HeadscopeError
from headscope.examples import Split, Word
from headscope.linguistics.linked import link
from headscope.measures.comparison import compare
from headscope.model.encoding import encode
from headscope.model.loading import load
from headscope.model.outputs import logits
from headscope.model.passes import run_pass


def split(*texts: str, second: tuple[str, ...] | None = None) -> Split:
    return Split(texts, second, np.zeros(len(texts), np.int64))


@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "camembert", "xlm-roberta"])
def test_without_tokenizer_files_nothing_is_known(tmp_path: Path, family: str) -> None:
    folder = families.make(family, tmp_path / family)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(HeadscopeError, match="has no vocabulary, so every word would be unknown"):
        load(folder)


def test_more_pieces_than_embeddings(tmp_path: Path) -> None:
    folder = families.make("bert", tmp_path / "bert", vocab_size=60)
    with pytest.raises(HeadscopeError, match=r"numbers its tokens up to \d+, but .* for 60,"):
        load(folder)


def test_tokens_that_were_added_without_embeddings(tmp_path: Path) -> None:
    folder = families.make("bert", tmp_path / "bert")
    tokenizer = families.tokenizer(True)
    tokenizer.add_tokens([f"new{number}" for number in range(60)])
    tokenizer.save_pretrained(folder)
    with pytest.raises(HeadscopeError, match="has embeddings for 131, numbered from 0"):
        load(folder)


@pytest.mark.parametrize(
    ("single", "pair"),
    [
        ("$A </s>", "$A </s> $B:1 </s>:1"),
        ("$A </s> <s>", "$A </s> $B:1 </s>:1 <s>:1"),
        ("<s> $A", "<s> $A $B:1"),
        ("$A", "$A $B:1"),
        ("<s> <s> $A </s>", "<s> <s> $A </s> $B:1 </s>:1"),
        ("<s> $A </s>", "<s> $A $B:1 </s>:1"),
    ],
)
def test_special_tokens_stand_where_measures_look(tmp_path: Path, single: str, pair: str) -> None:
    folder = families.make("bert", tmp_path / "bert")
    tokenizer = families.tokenizer(True)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save_pretrained(folder)
    with pytest.raises(HeadscopeError, match="does not put one special token before a"):
        load(folder)


def test_sides_change_nothing_and_the_cut_is_said(tiny: Path, tmp_path: Path) -> None:
    folder = families.make("bert", tmp_path / "bert")
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"truncation_side": "left", "padding_side": "left"}))
    model, right = load(folder), load(tiny)
    assert len(model.notes) == 1
    assert "headscope cuts them at their end" in model.notes[0]
    assert right.notes == ()
    texts = split("The nurse thanked the pilot.", "It was not the pilot who thanked the nurse.")
    ours, theirs = (encode(texts, m.tokenizer, 8) for m in (model, right))
    assert ours == theirs
    np.testing.assert_array_equal(logits(model, ours), logits(right, theirs))


@pytest.mark.parametrize(
    ("settings", "notes"),
    [
        ({}, []),
        (
            {"model_input_names": ["input_ids", "attention_mask"]},
            ["has 2 types of tokens, its tok"],
        ),
        ({"pad_token": "the"}, ["pads with token .* config.json says 1: one of the two may be"]),
    ],
)
def test_what_the_model_and_its_tokenizer_say_differently(
    tmp_path: Path, settings: dict[str, object], notes: list[str]
) -> None:
    folder = families.make("bert", tmp_path / "bert")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    found = load(folder).notes
    assert len(found) == len(notes)
    for note, pattern in zip(found, notes, strict=True):
        assert re.search(pattern, note)


def test_special_tokens_that_are_in_no_file(tmp_path: Path) -> None:
    folder = families.make("bert", tmp_path / "bert")
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(HeadscopeError, match=r"has no \[CLS\], \[SEP\] in its tokenizer.json"):
        load(folder)


def test_a_length_that_is_no_number(tmp_path: Path) -> None:
    folder = families.make("bert", tmp_path / "bert")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": "many"}))
    with pytest.raises(HeadscopeError, match="has the model_max_length 'many'"):
        load(folder)


def test_unknown_words_are_said_and_many_are_an_error(tiny: Path) -> None:
    model = load(tiny)
    known = encode(split("the nurse " * 5), model.tokenizer)
    assert known.unknown == 0
    assert cut_note(known, "validation") == ()
    some = encode(split("the nurse " * 4 + "\u03b1 \u03b2"), model.tokenizer)
    assert some.unknown == pytest.approx(0.2)
    (note,) = cut_note(some, "validation")
    assert note == "the tokenizer does not know 20% of the tokens of the validation examples"
    assert cut_note(replace(some, unknown=0.05), "validation") == ()
    most = encode(split("the \u03b1 \u03b2"), model.tokenizer)
    with pytest.raises(HeadscopeError, match="does not know 67% of the tokens of the train"):
        cut_note(most, "training")


@pytest.mark.parametrize(("second", "least"), [(None, 3), (("a b c",), 5)])
def test_the_fewest_tokens(tiny: Path, second: tuple[str, ...] | None, least: int) -> None:
    tokenizer = load(tiny).tokenizer
    texts = split("the nurse was in it", second=second)
    for length in (0, 1, 2, least - 1):
        with pytest.raises(HeadscopeError, match=f"give a --max-length of at least {least}"):
            encode(texts, tokenizer, length)
    assert encode(texts, tokenizer, least).lengths.tolist() == [least]


def test_what_is_not_finite_names_its_example(tiny: Path) -> None:
    model = load(tiny)
    # A late position that the check at load does not reach.
    model.hf.base_model.embeddings.position_embeddings.weight.data[60] = torch.nan
    encoded = encode(split("it", "the nurse " * 40, "in it"), model.tokenizer)
    # Each in a batch of its own: padding to the long one would damage the others too.
    message = "puts out for example 2 is not finite"
    with pytest.raises(HeadscopeError, match=message):
        logits(model, encoded, batch_tokens=1)
    with pytest.raises(HeadscopeError, match=message):
        run_pass(model, encoded, [], batch_tokens=1)


def test_faithful_needs_the_notebooks_positions(tiny: Path) -> None:
    model = load(tiny)
    encoded = encode(split("the nurse"), model.tokenizer)
    with pytest.raises(HeadscopeError, match="to 200 tokens, .* have positions for 149: leave out"):
        compare(model, model, encoded, ["entropy"], faithful=True)


def test_models_that_number_their_tokens_differently_are_not_compared(
    tiny: Path, tmp_path: Path
) -> None:
    folder = families.make("bert", tmp_path / "bert")
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    pieces = content["model"]["vocab"]
    pieces["nurse"], pieces["pilot"] = pieces["pilot"], pieces["nurse"]
    path.write_text(json.dumps(content))
    before, after = load(folder), load(tiny)
    encoded = encode(split("the nurse"), after.tokenizer)
    with pytest.raises(HeadscopeError, match="number their tokens differently"):
        compare(before, after, encoded, ["entropy"])


def test_a_corpus_of_unknown_words_is_refused(tiny: Path) -> None:
    alpha = Word("\u03b1", "", 0, 1, "X", "nsubj", 1)
    beta = Word("\u03b2", "", 2, 3, "X", "root", -1)
    sentence = Sentence("1", "\u03b1 \u03b2", (alpha, beta), (Link("nsubj", (0,), (1,)),))
    corpus = Corpus("greek", "tsv", (sentence,), (), "greek.tsv", "")
    with pytest.raises(HeadscopeError, match="100% of the tokens of the corpus examples"):
        link(load(tiny), corpus, examples=None, seed=0, max_length=20)
