"""Tokenizers without offsets: their tokens are found in the text, or that they are not is said."""

# mypy: disable-error-code="no-untyped-call, attr-defined"

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertTokenizer, EsmTokenizer, RoCBertTokenizer
from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy
from transformers.models.bert_japanese.tokenization_bert_japanese import BertJapaneseTokenizer

import families
from headscope.commands.session import cut_note
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.model.encoding import Encoded, encode
from headscope.model.fingerprint import fingerprint
from headscope.model.loading import load
from headscope.model.slow_tokenizers import align

LETTERS = "abcdefghijklmnopqrstuvwxyz"
PIECES = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *".,!?'-0123456789", *LETTERS,
    *(f"##{letter}" for letter in LETTERS), "the", "##ed", "nurse", "pilot", "thank", "##s",
]  # fmt: skip
WORDS = [
    "the",
    "nurse",
    "thanked",
    "pilots;",
    "Bär",
    "ﬁre",
    "éa",
    "x1",
    "don't",
    "?!",
    "①",
    "Ａｂ",
    "🙂",
    "日本",
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A fast tokenizer and a slow one of the same vocabulary."""
    vocabulary = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    vocabulary.write_text("\n".join(PIECES))
    fast = BertTokenizer(vocab={piece: i for i, piece in enumerate(PIECES)}, do_lower_case=True)
    slow = BertTokenizerLegacy(str(vocabulary), do_lower_case=True)
    assert fast.is_fast
    assert not slow.is_fast
    return fast, slow


def alike(fast: Encoded, slow: Encoded) -> None:
    assert slow.columns["input_ids"] == fast.columns["input_ids"]
    assert (slow.segments, slow.special) == (fast.segments, fast.special)
    assert (slow.truncated, slow.unknown) == (fast.truncated, fast.unknown)
    assert slow.cls == fast.cls


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.sampled_from(WORDS), max_size=9), min_size=2, max_size=2),
    st.integers(7, 20),
    st.booleans(),
)
def test_a_slow_tokenizer_is_read_as_a_fast_one(
    pair: tuple[Any, Any], texts: list[list[str]], most: int, is_pair: bool
) -> None:
    first, second = (" ".join(words) for words in texts)
    split = Split((first,), (second,) if is_pair else None, np.zeros(1, np.int64))
    fast, slow = (encode(split, tokenizer, most) for tokenizer in pair)
    if is_pair and fast.truncated:
        # Of two texts of one length a fast tokenizer cuts the first, a slow one the second.
        assert len(slow.special[0]) == len(fast.special[0]) == most
        assert abs(sum(slow.segments[0]) - sum(fast.segments[0])) <= 1
        return
    alike(fast, slow)
    if slow.unaligned:
        return
    for token, other, is_special, mark in zip(
        fast.offsets[0], slow.offsets[0], fast.special[0], slow.columns["input_ids"][0], strict=True
    ):
        # An unknown word may have characters that are not compared, as its accents, at its end.
        if not is_special and mark != 1:
            assert other == token


@pytest.mark.parametrize(
    ("text", "tokens", "spans"),
    [
        ("Der Bär.", ["der", "ba", "##r", "."], [(0, 3), (4, 6), (6, 7), (7, 8)]),
        # A ligature is two letters and one character.
        ("ﬁre", ["f", "##ire"], [(0, 1), (0, 3)]),
        ("a 🙂 b", ["a", "[UNK]", "b"], [(0, 1), (2, 3), (4, 5)]),
        ("🙂", ["[UNK]"], [(0, 1)]),
        ("ＡＢ", ["ab"], [(0, 2)]),
        ("e\u0301a", ["e", "##a"], [(0, 1), (2, 3)]),
        ("", [], []),
        ("", ["[UNK]"], [(0, 0)]),
        # The beginning of a text that was cut.
        ("one two three", ["one", "two"], [(0, 3), (4, 7)]),
        # The b behind the unknown word could be either of two.
        ("a 🙂 b b", ["a", "[UNK]", "b"], None),
        ("a c", ["a", "b"], None),
    ],
)
def test_tokens_in_their_text(text: str, tokens: list[str], spans: Any) -> None:
    assert align(text, tokens, "[UNK]") == spans


def with_slow(folder: Path, tokenizer: Any) -> Path:
    for file in folder.glob("*token*"):
        file.unlink()
    tokenizer.save_pretrained(folder)
    return folder


def proteins(root: Path) -> Path:
    """A model of proteins with ESM's own tokenizer, a token for each amino acid."""
    vocabulary = root / "vocab.txt"
    pieces = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWC", "<mask>"]
    vocabulary.write_text("\n".join(pieces))
    folder = families.make("esm", root / "esm", position_embedding_type="absolute", mask_token_id=3)
    return with_slow(folder, EsmTokenizer(str(vocabulary)))


def test_proteins(tmp_path: Path) -> None:
    folder = proteins(tmp_path)
    model = load(folder)
    assert not model.tokenizer.is_fast
    assert any("found there by their characters" in note for note in model.notes)
    split = Split(("MKTAYIAK", "GGG"), None, np.zeros(2, np.int64))
    encoded = encode(split, model.tokenizer)
    assert encoded.offsets[0][1:-1] == [(i, i + 1) for i in range(8)]
    assert encoded.special[0] == [True, *[False] * 8, True]
    assert model.maps("MKTAYIAK").tokens == ("<cls>", *"MKTAYIAK", "<eos>")
    again = load(folder)
    assert fingerprint(model) == fingerprint(again)


def test_shapes_and_sounds_go_to_the_model(tmp_path: Path) -> None:
    pieces = tmp_path / "vocab.txt"
    pieces.write_text("\n".join(PIECES))
    rows = {piece: i for i, piece in enumerate(PIECES)}
    for name in ("word_shape.json", "word_pronunciation.json"):
        (tmp_path / name).write_text(json.dumps(rows))
    tokenizer = RoCBertTokenizer(
        str(pieces), str(tmp_path / "word_shape.json"), str(tmp_path / "word_pronunciation.json")
    )
    folder = families.make("roc_bert", tmp_path / "roc_bert", pad_token_id=0)
    model = load(with_slow(folder, tokenizer))
    encoded = encode(Split(("the nurse", "a"), None, np.zeros(2, np.int64)), model.tokenizer)
    batch = encoded.batch([0, 1])
    assert {"input_shape_ids", "input_pronunciation_ids"} <= set(batch)
    given = model.tokenizer(["the nurse", "a"])
    for name in ("input_shape_ids", "input_pronunciation_ids"):
        for row, ids in enumerate(given[name]):
            padding = [0] * (batch[name].shape[1] - len(ids))
            assert batch[name][row].tolist() == [*ids, *padding]
    assert model.hf(**batch).logits.shape == (2, 2)


def test_japanese_characters(tmp_path: Path) -> None:
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"日本語のテキスト。"])
    )
    tokenizer = BertJapaneseTokenizer(
        str(vocabulary), word_tokenizer_type="basic", subword_tokenizer_type="character"
    )
    split = Split(("日本語のテキスト。",), None, np.zeros(1, np.int64))
    encoded = encode(split, tokenizer)
    assert encoded.offsets[0][1:-1] == [(i, i + 1) for i in range(9)]


def test_words_of_a_text_that_is_not_aligned_are_left_out_and_that_is_said(
    pair: tuple[Any, Any],
) -> None:
    _, slow = pair
    split = Split(("a 🙂b b", "the nurse"), None, np.zeros(2, np.int64))
    encoded = encode(split, slow)
    assert encoded.unaligned == 1
    assert set(encoded.offsets[0]) == {(0, 0)}
    (note,) = [note for note in cut_note(encoded, "validation") if "not found" in note]
    assert note.startswith("in 1 of 2 validation examples the tokens were not found in the text")
    # And is cut where a fast one cuts it.
    fast_cut, slow_cut = (encode(split, tokenizer, 4) for tokenizer in pair)
    alike(fast_cut, slow_cut)


def test_a_tokenizer_that_reads_no_plain_texts_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = proteins(tmp_path)

    def tables(*_given: Any, **_options: Any) -> None:
        raise TypeError("a table is missing")

    monkeypatch.setattr(EsmTokenizer, "__call__", tables)
    with pytest.raises(HeadscopeError, match=r"cannot read plain texts \(a table is missing\)"):
        load(folder)
