"""Which token is [CLS] and which are separators, for marks unlike BERT's: T5's, XLNet's; nothing takes the first word for [CLS]."""

# mypy: disable-error-code="no-untyped-call"

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModel,
    PreTrainedTokenizerFast,
)

import zoo
from headscope.examples import Split, Word
from headscope.measures import MEASURES, measure
from headscope.measures.base import Prepared
from headscope.model.encoding import encode
from headscope.model.layer_maps import LayerMaps
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.passes import batch_of, observe_batch
from headscope.words.align import align
from headscope.words.segment import segment

PAIRS = Split(
    ("The nurse thanked the pilot.", "Ah", "It was the nurse, who thanked him."),
    ("He was in it.", "No, it was not.", "x"),
    np.array([0, 1, 1]),
)
SINGLE = Split(PAIRS.first, None, PAIRS.labels)


@cache
def unigram(kind: str) -> Any:
    """A tokenizer of pieces as T5's and XLNet's are, with their marks."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    special = ["<s>", "<pad>", "</s>", "<unk>", "<cls>", "<sep>"]
    pieces = [*special, "▁", "▁the", "▁nurse", "ing", *letters, *".,!"]
    scores = [(piece, 0.0 if i < 6 else -1.0 - (len(piece) == 1)) for i, piece in enumerate(pieces)]
    backend = Tokenizer(models.Unigram(scores, 3, False))
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    single, pair = {
        "t5": ("$A </s>", "$A </s> $B </s>"),
        "xlnet": ("$A <sep> <cls>:2", "$A <sep> $B:1 <sep>:1 <cls>:2"),
    }[kind]
    backend.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[("</s>", 2), ("<sep>", 5), ("<cls>", 4)]
    )
    options: dict[str, Any] = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "</s>"}
    if kind == "xlnet":
        inputs = ["input_ids", "token_type_ids", "attention_mask"]
        options |= {
            "cls_token": "<cls>",
            "sep_token": "<sep>",
            "bos_token": "<s>",
            "model_input_names": inputs,
        }
        options["padding_side"] = "left"
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=64, **options)


def made(kind: str, root: Path) -> Path:
    """A tiny model of the family with its kind of tokenizer."""
    folder = zoo.folder_of(kind, root)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    unigram(kind).save_pretrained(folder)
    return folder


def test_the_marks_of_t5(tmp_path: Path) -> None:
    model = load(made("t5", tmp_path))
    assert any("gives a text no [CLS], so measures" in note for note in model.notes)
    maps = model.maps("The nurse", "the")
    assert maps.tokens == ("▁the", "▁nurse", "</s>", "▁the", "</s>")
    assert maps.special == (False, False, True, False, True)
    assert maps.segments == (0, 0, 0, 1, 1)
    _, batch = batch_of(encode(PAIRS, model.tokenizer), [1, 0], torch.device("cpu"))
    assert not batch.is_cls.any()
    assert torch.equal(batch.separators, batch.special)
    assert batch.special.sum(1).tolist() == [2, 2]
    # The end mark of an empty text is not [CLS] either.
    empty = encode(Split(("",), None, np.zeros(1)), model.tokenizer)
    assert empty.special == [[True]]
    assert empty.cls_place(0) == -1


def test_the_marks_of_xlnet(tmp_path: Path) -> None:
    model = load(made("xlnet", tmp_path))
    assert not any("no [CLS]" in note for note in model.notes)
    maps = model.maps("The nurse", "the")
    assert maps.tokens == ("▁the", "▁nurse", "<sep>", "▁the", "<sep>", "<cls>")
    assert maps.special == (False, False, True, False, True, True)
    assert maps.segments == (0, 0, 0, 1, 1, 1)
    encoded = encode(PAIRS, model.tokenizer)
    _, batch = batch_of(encoded, [0, 1, 2], torch.device("cpu"))
    for row, ids in enumerate(batch.ids.tolist()):
        assert batch.is_cls[row].tolist() == [token == 4 for token in ids]
        assert batch.separators[row].tolist() == [token == 5 for token in ids]
    # Padding stands at the end, with the tokenizer's own type for it.
    tokenizer = unigram("xlnet")
    tokenizer._pad_token_type_id = 3
    inputs = encode(PAIRS, tokenizer).batch([0, 1, 2])
    is_padding = inputs["attention_mask"] == 0
    assert is_padding[:, -1].any()
    assert not is_padding[:, 0].any()
    assert set(inputs["token_type_ids"][is_padding].tolist()) == {3}


@pytest.mark.parametrize("kind", ["t5", "xlnet"])
@pytest.mark.parametrize("examples", [PAIRS, SINGLE])
def test_cuts_keep_the_special_tokens(kind: str, examples: Split) -> None:
    tokenizer = unigram(kind)
    for length in range(5, 20):
        encoded = encode(examples, tokenizer, length)
        given = (list(examples.first), None if examples.second is None else list(examples.second))
        expected = tokenizer(*given, truncation=True, max_length=length)
        assert encoded.columns["input_ids"] == expected["input_ids"]
        assert encoded.offsets == [entry.offsets for entry in expected.encodings]
    tokenizer.backend_tokenizer.no_truncation()


def by_name(model: Model, examples: Split, names: list[str]) -> dict[str, Any]:
    encoded = encode(examples, model.tokenizer)
    columns = [examples.first] if examples.second is None else [examples.first, examples.second]
    rows: list[list[list[Word]]] = [
        [list(segment(column[row])) for column in columns] for row in range(len(examples))
    ]
    words = align(encoded, examples, rows)
    return measure(model, encoded, names, words=words)


def explicit(model: Model, examples: Split, cls: int | None) -> dict[str, Any]:
    """Attention to and from [CLS] and [SEP], example by example and unpadded, from transformers' own maps."""
    tokenizer = model.tokenizer
    hf = AutoModel.from_pretrained(model.path, attn_implementation="eager").eval()
    values: dict[str, list[Any]] = {}
    for row, first in enumerate(examples.first):
        texts = (first,) if examples.second is None else (first, examples.second[row])
        batch = tokenizer(*texts, return_tensors="pt")
        with torch.no_grad():
            own = hf(**batch, output_attentions=True).attentions
        maps = torch.stack([model.tapping.as_maps(map_)[0] for map_ in own]).double()
        ids = batch["input_ids"][0].tolist()
        seps = [i for i, token in enumerate(ids) if token in (2, 5)]
        received = maps.mean(-2)
        entry = {"attention_to_sep": received[..., seps].amax(-1)}
        if cls is not None:
            at = ids.index(cls)
            entry["attention_to_cls"] = received[..., at]
            entry["from_cls_to_cls"] = maps[..., at, at]
            entry["from_cls_to_sep"] = maps[..., at, seps].amax(-1)
        for name, value in entry.items():
            values.setdefault(name, []).append(value)
    return {name: torch.stack(value).mean(0).numpy() for name, value in values.items()}


@pytest.mark.parametrize("examples", [PAIRS, SINGLE])
def test_attention_to_and_from_cls_where_it_stands(tmp_path: Path, examples: Split) -> None:
    model = load(made("xlnet", tmp_path))
    names = ["attention_to_cls", "attention_to_sep", "from_cls_to_cls", "from_cls_to_sep"]
    found = by_name(model, examples, names)
    expected = explicit(model, examples, 4)
    assert set(expected) == set(names)
    for name in names:
        np.testing.assert_allclose(
            found[name].compute()[0], expected[name], atol=1e-5, err_msg=name
        )


def test_without_cls_its_measures_have_no_value(tmp_path: Path) -> None:
    model = load(made("t5", tmp_path))
    names = [name for name in MEASURES.names() if "projection" not in name]
    found = by_name(model, PAIRS, names)
    of_cls = [name for name in names if "cls" in name]
    assert len(of_cls) > 8
    for name in of_cls:
        assert not found[name].n.any(), name
        assert np.isnan(found[name].compute()[0]).all(), name
    for name in (
        "attention_to_sep",
        "norm_attention_to_sep",
        "entropy",
        "attention_to_punctuation",
    ):
        assert np.isfinite(found[name].compute()[0]).all(), name


def test_the_row_of_cls_is_the_first_in_berts_kin(tiny: Path) -> None:
    model = load(tiny)
    inputs, batch = batch_of(encode(PAIRS, model.tokenizer), [0, 1, 2], torch.device("cpu"))
    seen: list[LayerMaps] = []
    observe_batch(model, inputs, batch, seen.append)
    for maps in seen:
        assert torch.equal(maps.from_cls, maps.maps[:, :, 0])
        for name, expected in {
            "attention_to_cls": maps.received[..., 0],
            "from_cls_to_cls": maps.maps[:, :, 0, 0],
        }.items():
            found = MEASURES.get(name).values(maps, Prepared(batch, []))
            assert torch.equal(found, expected)


@torch.no_grad()
def test_padding_behind_a_text_changes_nothing_in_xlnet(tmp_path: Path) -> None:
    """Its tokenizer asks for padding before a text; its positions are relative, so no real token sees a difference."""
    model = load(made("xlnet", tmp_path))
    encoded = encode(PAIRS, model.tokenizer)
    assert len(set(encoded.lengths)) == 3
    right = model.hf(**encoded.batch([0, 1, 2]))[0]
    left = model.tokenizer(
        list(PAIRS.first), list(PAIRS.second or ()), padding=True, return_tensors="pt"
    )
    assert left["attention_mask"][0, 0] == 0 or left["attention_mask"][1, 0] == 0
    before = model.hf(**left)[0]
    for row, length in enumerate(encoded.lengths):
        expected = model.hf(**encoded.batch([row]))[0][0]
        torch.testing.assert_close(right[row, :length], expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(before[row, -length:], expected, atol=1e-5, rtol=1e-4)
