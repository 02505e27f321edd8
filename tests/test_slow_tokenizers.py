"""Tokenizers in Python: tokens, cuts and places beside those of a fast one with the same vocabulary; what cannot be matched is said."""

# mypy: disable-error-code="no-untyped-call"

import json
import unicodedata
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BertJapaneseTokenizer,
    ByT5Tokenizer,
    EsmTokenizer,
    PreTrainedTokenizerFast,
)
from transformers.models.roc_bert.tokenization_roc_bert import RoCBertTokenizer

import families
from headscope.commands.session import cut_note
from headscope.corpora.base import Corpus, Link, Sentence
from headscope.errors import HeadscopeError
from headscope.examples import Split, Word
from headscope.linguistics.linked import link
from headscope.measures import measure
from headscope.measures.base import FAITHFUL, Moments
from headscope.model.encoding import Encoded, encode, only
from headscope.model.fingerprint import fingerprint
from headscope.model.loading import load
from headscope.model.outputs import logits
from headscope.model.passes import run_pass
from headscope.model.places import Marks, places
from headscope.tasks import find
from headscope.tasks.files import load_data
from headscope.words.align import align
from headscope.words.beginnings import beginnings
from headscope.words.segment import segment
from headscope.words.sources import tag

INPUTS = ["input_ids", "token_type_ids", "attention_mask"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
KANA = "かがきをんコーヒン飲むあ漢字本日"
PIECES = [
    *SPECIAL,
    *"abcdefghijkmnopqrstuvwxyz.,!?'#",
    *(f"##{letter}" for letter in "abcdefghijkmnopqrstuvwxyz"),
    *KANA,
    *(f"##{letter}" for letter in KANA),
    "the",
    "nurse",
    "##ing",
]
# No "l": a word with it is unknown.
TEXTS = st.text(alphabet="abel the nursing.,#'!Éàé 漢字コーヒーがΩ", max_size=40)
ANY = st.text(max_size=30)


def written(folder: Path, pieces: list[str] = PIECES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "vocab.txt"
    path.write_text("\n".join(pieces) + "\n", "utf-8")
    return path


@cache
def slow(root: Path, **options: Any) -> Any:
    name = "-".join(f"{key}-{value}" for key, value in options.items())
    return BertJapaneseTokenizer(
        str(written(root / (name or "plain"))), model_input_names=INPUTS, **options
    )


@cache
def fast(lower: bool) -> Any:
    vocabulary = {piece: number for number, piece in enumerate(PIECES)}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    # What BERT's slow form does: no spaces around CJK, accents stripped with case, and composed first.
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.BertNormalizer(
                clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False
            ),
            normalizers.NFC(),
            *(
                [normalizers.Lowercase(), normalizers.NFD(), normalizers.StripAccents()]
                if lower
                else []
            ),
        ]
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]",
        mask_token="[MASK]", model_max_length=64, model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slow")


def split(first: list[str], second: list[str] | None = None) -> Split:
    both = None if second is None else tuple(second)
    return Split(tuple(first), both, np.zeros(len(first), np.int64))


def words_of(encoded: Encoded, examples: Split) -> Any:
    columns = [examples.first] if examples.second is None else [examples.first, examples.second]
    rows = [[segment(column[row]) for column in columns] for row in range(len(examples))]
    return [entry.tokens for entry in align(encoded, examples, rows)]


@pytest.mark.parametrize("lower", [False, True])
@settings(max_examples=150, deadline=None)
@given(first=TEXTS, second=st.none() | TEXTS, length=st.integers(5, 24))
@example(first="the lab, nursing", second="a  é#", length=9)
@example(first="", second="", length=5)
@example(first="abe", second=None, length=5)
def test_a_slow_tokenizer_gives_what_a_fast_one_gives(
    root: Path, lower: bool, first: str, second: str | None, length: int
) -> None:
    examples = split([first], None if second is None else [second])
    ours = encode(examples, slow(root, do_lower_case=lower), length)
    theirs = encode(examples, fast(lower), length)
    # Where two unknown words touch, no one knows where one ends.
    if ours.unplaced:
        assert ours.offsets == [[(0, 0)] * len(ours.segments[0])]
        ours = replace(ours, offsets=theirs.offsets, unplaced=frozenset())
    assert ours == theirs


@settings(max_examples=200, deadline=None)
@given(
    first=TEXTS,
    second=st.none() | TEXTS,
    length=st.integers(5, 20),
    side=st.sampled_from(["s", "f"]),
)
def test_cuts_are_those_of_fast_tokenizers(
    root: Path, first: str, second: str | None, length: int, side: str
) -> None:
    """What is cut after the texts are tokenized is what the tokenizer itself would have cut."""
    tokenizer = fast(True)
    encoded = encode(
        split([first], None if second is None else [second]),
        tokenizer if side == "f" else slow(root, do_lower_case=True),
        length,
    )
    given = ([first], None if second is None else [second])
    expected = tokenizer(*given, truncation=True, max_length=length)
    assert encoded.columns["input_ids"] == expected["input_ids"]
    assert encoded.columns["token_type_ids"] == expected["token_type_ids"]
    if not encoded.unplaced:
        assert encoded.offsets == [expected.encodings[0].offsets]
    tokenizer.backend_tokenizer.no_truncation()


CHARACTERS: dict[str, Any] = {"subword_tokenizer_type": "character"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("コーヒー", ["コ", "ー", "ヒ", "ー"]),
        # Half-width letters, whose mark is a character of its own: one token for both.
        ("\uff76\uff9eあ", ["\uff76\uff9e", "あ"]),
        # Full-width letters.
        ("ａｂ a", ["ａ", "ｂ", "a"]),
        # One sign for two letters: both stand where it stands.
        ("㌔あ", ["㌔", "㌔", "あ"]),
        # A letter and its accent, composed by the tokenizer.
        ("か\u3099き", ["か\u3099", "き"]),
        ("🙂あ", ["🙂", "あ"]),
        ("あ🙂🙂い", ["あ", "🙂", "🙂", "い"]),
        ("👩\u200d🚀 あ", ["👩", "🚀", "あ"]),
        ("", []),
        (" \t ", []),
    ],
)
def test_characters_stand_where_they_stand(root: Path, text: str, expected: list[str]) -> None:
    encoded = encode(split([text]), slow(root, **CHARACTERS))
    assert not encoded.unplaced
    assert [text[start:end] for start, end in encoded.offsets[0][1:-1]] == expected
    assert encoded.offsets[0][0] == encoded.offsets[0][-1] == (0, 0)


@settings(max_examples=150, deadline=None)
@given(text=ANY)
def test_no_place_is_guessed(root: Path, text: str) -> None:
    """A known token stands for its own characters; places ascend and cover all that is written."""
    tokenizer = slow(root, **CHARACTERS)
    encoded = encode(split([text]), tokenizer)
    offsets = encoded.offsets[0][1:-1]
    pieces = tokenizer.tokenize(text)
    if encoded.unplaced:
        assert set(offsets) <= {(0, 0)}
        return
    assert offsets == sorted(offsets)
    covered = {index for start, end in offsets for index in range(start, end)}
    for index, character in enumerate(text):
        is_written = unicodedata.category(character)[0] in "LNSP" and not character.isspace()
        decomposed = unicodedata.normalize("NFKD", character)
        if is_written and not decomposed[0].isspace():
            assert index in covered
    for piece, (start, end) in zip(pieces, offsets, strict=True):
        if piece != "[UNK]":
            inside = unicodedata.normalize("NFKC", text[start:end]).casefold()
            assert piece.casefold() in inside


BERT = Marks(("##",), ())


@pytest.mark.parametrize(
    ("text", "tokens", "expected"),
    [
        ("ab cd", ["ab", "[UNK]"], [(0, 2), (3, 5)]),
        # The unknown word holds the next token's letters: only one way covers the text.
        ("xab a b", ["[UNK]", "a", "b"], [(0, 3), (4, 5), (6, 7)]),
        ("x, y", ["[UNK]", ",", "[UNK]"], [(0, 1), (1, 2), (3, 4)]),
        # Two unknown ones in three letters, and an unknown one that takes in one or two of three.
        ("xyz", ["[UNK]", "[UNK]"], None),
        ("xaa", ["[UNK]", "a"], [(0, 2), (2, 3)]),
        ("xaa a", ["[UNK]", "a"], [(0, 3), (4, 5)]),
        ("xaya", ["[UNK]", "a", "[UNK]"], [(0, 1), (1, 2), (2, 4)]),
        ("xaaa", ["[UNK]", "a", "[UNK]"], None),
        # Not of this text: a letter too many, too few, another.
        ("abc", ["ab"], None),
        ("ab", ["ab", "##c"], None),
        ("ab", ["a", "##c"], None),
        ("", ["a"], None),
        ("", [], []),
        ("a", [], None),
        # Of accents some are kept, some are not; their order does not count.
        ("e\u0301a", ["e", "##a"], [(0, 1), (2, 3)]),
        ("a\u0323\u0307", ["a\u0307\u0323"], [(0, 3)]),
        ("ÉTÉ", ["ete"], [(0, 3)]),
        ("ΟΔΟΣ", ["οδος"], [(0, 4)]),
        ("Straße", ["stra", "##ss", "##e"], [(0, 4), (4, 5), (5, 6)]),
        ("a\u200bb\ufffdc", ["a", "##b", "##c"], [(0, 1), (2, 3), (4, 5)]),
        # Marks are marks of the tokenizer, and letters of a text.
        ("##", ["#", "#"], [(0, 1), (1, 2)]),
        ("##", ["##"], [(0, 2)]),
        ("x##a", ["x", "####", "##a"], [(0, 1), (1, 3), (3, 4)]),
    ],
)
def test_places_worked_by_hand(
    text: str, tokens: list[str], expected: list[tuple[int, int]] | None
) -> None:
    assert places(text, tokens, BERT, "[UNK]") == expected


def test_marks_are_those_that_the_vocabulary_has() -> None:
    assert Marks.of(["a", "##a", "b@@"]) == Marks(("##",), ("@@",))
    assert Marks.of(["##", "@@", "a"]) == Marks((), ())
    assert places("playing it", ["pl@@", "ay@@", "ing", "it"], Marks((), ("@@",)), "<unk>") == [
        (0, 2), (2, 4), (4, 7), (8, 10),
    ]  # fmt: skip
    assert places("##a", ["##a"], Marks((), ()), "<unk>") == [(0, 3)]


def test_many_unknown_words_take_no_longer_than_known_ones() -> None:
    text = "x" * 400 + " y" * 2000
    tokens = ["[UNK]"] * 2001
    assert places(text, tokens, BERT, "[UNK]") is not None
    assert places("xa" * 150, ["[UNK]", "a"] * 150, BERT, "[UNK]") is not None
    assert places("xa" * 150, ["[UNK]", "a"] * 149, BERT, "[UNK]") is None


def test_bytes_stand_where_their_characters_stand() -> None:
    encoded = encode(split(["né 🙂"]), ByT5Tokenizer())
    assert encoded.offsets[0] == [(0, 1), (1, 2), (1, 2), (2, 3), *[(3, 4)] * 4, (0, 0)]
    assert not encoded.unplaced


def japanese(folder: Path, **options: Any) -> Path:
    families.make("bert", folder, pad_token_id=0)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    tokenizer = BertJapaneseTokenizer(
        str(written(folder / "files")), model_max_length=64, **options
    )
    tokenizer.save_pretrained(folder)
    return with_types(folder)


def with_types(folder: Path) -> Path:
    """transformers asks tokenizers in Python for token types only where their file says so."""
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_input_names": INPUTS}))
    return folder


def test_a_model_with_a_slow_tokenizer(tmp_path: Path) -> None:
    model = load(japanese(tmp_path / "ja"))
    assert model.notes == ()
    assert not model.tokenizer.is_fast
    maps = model.maps("the nurse", "abe")
    assert maps.tokens == ("[CLS]", "the", "nurse", "[SEP]", "a", "##b", "##e", "[SEP]")
    assert maps.special == (True, False, False, True, False, False, False, True)
    assert maps.segments == (0, 0, 0, 0, 1, 1, 1, 1)
    examples = split(["the nurse in it.", "ab", ""], ["abe!", "コーヒー", "a"])
    encoded = encode(examples, model.tokenizer)
    assert words_of(encoded, examples)[0] == ((1,), (2,), (3, 4), (5, 6), (7,), (9, 10, 11), (12,))
    # Alone and padded.
    np.testing.assert_allclose(
        logits(model, encoded), logits(model, encoded, batch_tokens=1), atol=1e-5
    )
    run_pass(model, encoded, [])


def test_the_same_model_with_a_fast_tokenizer_measures_the_same(tmp_path: Path) -> None:
    folder = japanese(tmp_path / "ja", do_lower_case=True)
    model = load(folder)
    for file in (*folder.glob("tokenizer*"), folder / "vocab.txt"):
        file.unlink()
    fast(True).save_pretrained(folder)
    other = load(folder)
    examples = split(["The nurse, in it.", "Abe é"], ["abe!", "コーヒー"])
    values = []
    for each in (model, other):
        encoded = encode(examples, each.tokenizer)
        columns = (examples.first, examples.second or ())
        words = align(
            encoded, examples, [[segment(column[row]) for column in columns] for row in range(2)]
        )
        names = ["attention_to_cls", "attention_to_sep", "attention_to_punctuation", "entropy"]
        values.append(measure(each, encoded, names, words=words))
    assert repr(values[0]) == repr(values[1])


def test_tokens_that_are_not_found_are_said_and_have_no_words(tmp_path: Path) -> None:
    model = load(japanese(tmp_path / "ja", **CHARACTERS))
    # NFKC makes a letter with a space before it of this, which no token holds.
    examples = split(["abe", "ab\u00b4", "ﷺ"])
    encoded = encode(examples, model.tokenizer)
    tokens = words_of(encoded, examples)
    assert encoded.unplaced
    assert 0 not in encoded.unplaced
    missing = len(encoded.unplaced)
    assert only(encoded, [0, *encoded.unplaced]).unplaced == set(range(1, missing + 1))
    note = cut_note(replace(encoded, unknown=0.0), "validation")
    assert f"those of {missing} of 3 validation examples match their texts in no way" in note[0]
    for row, of_words in enumerate(tokens):
        assert (row in encoded.unplaced) != any(of_words)
    run_pass(model, encoded, [])


def sentence(number: str, form: str) -> Sentence:
    first = Word("abe", "", 0, 3, "X", "nsubj", 1)
    second = Word(form, "", 4, 4 + len(form), "X", "root", -1)
    return Sentence(number, f"abe {form}", (first, second), (Link("nsubj", (0,), (1,)),))


def test_sentences_whose_tokens_are_not_found_have_no_links(tmp_path: Path) -> None:
    model = load(japanese(tmp_path / "ja", **CHARACTERS))
    corpus = Corpus(
        "made", "tsv", (sentence("1", "abe"), sentence("2", "a\u00b4")), (), "made.tsv", ""
    )
    linked = link(model, corpus, examples=None, seed=0, max_length=20)
    counts = dict(linked.counts)
    assert counts["links with a word that has no token of its own, left out"] == 1
    assert counts["links that are looked at"] == 1
    (note,) = [note for note in linked.notes if "in no way or in several" in note]
    assert "those of 1 of 2 corpus examples" in note
    only_lost = replace(corpus, sentences=corpus.sentences[1:])
    with pytest.raises(HeadscopeError, match="no relation between words that .* has tokens for"):
        link(model, only_lost, examples=None, seed=0, max_length=20)


def test_slow_tokenizers_that_are_not_the_models_are_refused(tmp_path: Path) -> None:
    folder = japanese(tmp_path / "ja")
    written(folder, [*PIECES, *(f"new{number}" for number in range(60))])
    with pytest.raises(HeadscopeError, match=r"numbers its tokens up to \d+, but .* for 131,"):
        load(folder)
    written(folder, [piece for piece in PIECES if piece != "[SEP]"])
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["added_tokens_decoder"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(HeadscopeError, match=r"has no \[SEP\] in its tokenizer_config.json"):
        load(folder)
    written(folder, SPECIAL)
    with pytest.raises(HeadscopeError, match="has no vocabulary"):
        load(folder)
    (folder / "vocab.txt").unlink()
    with pytest.raises(HeadscopeError, match="tokenizer of .* cannot be loaded"):
        load(folder)


def test_a_slow_tokenizer_that_needs_a_library_says_which(tmp_path: Path) -> None:
    folder = japanese(tmp_path / "ja")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"word_tokenizer_type": "mecab"}))
    with pytest.raises(HeadscopeError, match=r"cannot be loaded \(.*fugashi"):
        load(folder)


def test_the_fingerprint_knows_what_a_slow_tokenizer_is_made_of(tmp_path: Path) -> None:
    first = japanese(tmp_path / "first")
    again = japanese(tmp_path / "again")
    lower = japanese(tmp_path / "lower", do_lower_case=True)
    other = japanese(tmp_path / "other")
    written(other, [*PIECES[:-1], "##nurse"])
    hashes = [fingerprint(load(path))["tokenizer"] for path in (first, again, lower, other)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_esm_reads_proteins_and_says_what_it_does_not_know(tmp_path: Path) -> None:
    folder = families.make("esm", tmp_path / "esm", mask_token_id=4, token_dropout=False)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    pieces = ["<cls>", "<pad>", "<eos>", "<unk>", "<mask>", *"LAGVSERTIDPKQNFYMHWCXBUZO."]
    EsmTokenizer(str(written(folder / "files", pieces)), model_max_length=64).save_pretrained(
        folder
    )
    model = load(folder)
    assert model.maps("MKTAY").tokens == ("<cls>", *"MKTAY", "<eos>")
    encoded = encode(split(["MKTAYI AKQR", "MkT"], ["LAG", "V"]), model.tokenizer)
    assert encoded.columns["input_ids"][1].count(3) == 1
    assert encoded.unknown == pytest.approx(1 / 17)
    assert encoded.offsets[0] == [
        (0, 0), *((i, i + 1) for i in (*range(6), *range(7, 11))), (0, 0), (0, 1), (1, 2), (2, 3), (0, 0),
    ]  # fmt: skip
    assert encoded.offsets[1] == [(0, 0), (0, 1), (1, 2), (2, 3), (0, 0), (0, 1), (0, 0)]


def roc_bert(folder: Path) -> Path:
    torch.manual_seed(17)
    config = AutoConfig.for_model(
        "roc_bert", **{**families.SIZES, "pad_token_id": 0, "shape_vocab_size": 40, "pronunciation_vocab_size": 50},
        shape_embed_dim=6, pronunciation_embed_dim=6,
    )  # fmt: skip
    hf = AutoModelForSequenceClassification.from_config(config)
    hf.save_pretrained(folder)
    pieces = [*SPECIAL, *"abcde漢字本日"]
    vocabulary = written(folder / "files", pieces)
    tables = []
    for name, step in (("shape", 2), ("pronunciation", 3)):
        path = folder / "files" / f"word_{name}.json"
        # Numbers of their own, and none is the padding's.
        table = {piece: 1 + step * number for number, piece in enumerate(pieces)}
        path.write_text(json.dumps(table, ensure_ascii=False), "utf-8")
        tables.append(str(path))
    RoCBertTokenizer(
        str(vocabulary), *tables, model_max_length=64, model_input_names=INPUTS
    ).save_pretrained(folder)
    return with_types(folder)


@torch.no_grad()
def test_rocbert_sees_shapes_and_sounds(tmp_path: Path) -> None:
    folder = roc_bert(tmp_path / "roc")
    model = load(folder)
    examples = split(["漢字a", "b"], ["本", "日本c"])
    encoded = encode(examples, model.tokenizer)
    assert set(encoded.columns) == {
        "input_ids", "token_type_ids", "input_shape_ids", "input_pronunciation_ids",
    }  # fmt: skip
    batch = encoded.batch([0, 1], width=11)
    own = model.tokenizer(
        list(examples.first), list(examples.second or ()), padding="max_length", max_length=11, return_tensors="pt",
    )  # fmt: skip
    assert set(own) == set(batch)
    for name, values in own.items():
        assert torch.equal(batch[name], values), name
    hf = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    expected = hf(**own).logits
    np.testing.assert_allclose(logits(model, encoded), expected, atol=1e-5)
    # They count: without them the model says something else.
    assert (model.hf(input_ids=own["input_ids"]).logits - expected).abs().max() > 1e-3
    assert encoded.offsets[0] == [(0, 0), (0, 1), (1, 2), (2, 3), (0, 0), (0, 1), (0, 0)]
    cut = encode(examples, model.tokenizer, 5)
    assert {len(column[0]) for column in cut.columns.values()} == {5}
    whole = encoded.columns["input_shape_ids"][0]
    assert cut.columns["input_shape_ids"][0] == [whole[i] for i in (0, 1, 4, 5, 6)]


def unplaced(encoded: Encoded, row: int) -> Encoded:
    """The same examples, as if the tokens of one had not been found in its text."""
    offsets = list(encoded.offsets)
    offsets[row] = [(0, 0)] * len(offsets[row])
    return replace(encoded, offsets=offsets, unplaced=frozenset([row]))


def test_the_notebooks_zeros_leave_out_an_example_that_is_not_placed(tiny: Path) -> None:
    model = load(tiny)
    split = load_data(find("builtin"), sizes=(1, 2)).validation
    encoded = encode(split, model.tokenizer)
    words = tag(split, "gold")
    names = [name for name in FAITHFUL if name.startswith("attention_to_")]
    assert names

    def moments(encoded: Encoded, rows: list[int]) -> dict[str, Moments]:
        chosen = only(encoded, rows)
        aligned = [align(encoded, split, words)[row] for row in rows]
        return measure(model, chosen, names, words=aligned, faithful=True)

    alone = moments(encoded, [0])
    together = moments(unplaced(encoded, 1), [0, 1])
    for name in names:
        assert np.array_equal(together[name].n, alone[name].n)
        np.testing.assert_allclose(together[name].total, alone[name].total, rtol=1e-5, atol=1e-7)
    assert alone["attention_to_noun"].total.all()
    # An example whose words are placed counts, with the class or, as 0, without it.
    placed = moments(encoded, [0, 1])
    assert (placed["attention_to_noun"].n == 2).all()
    assert (placed["attention_to_pronoun"].n == 2).all()


def test_a_text_that_is_not_placed_is_not_said_to_be_cut(tiny: Path) -> None:
    model = load(tiny)
    split = Split(("the nurse " * 80, "it was " * 2000), None, np.zeros(2, np.int64))
    encoded = encode(split, model.tokenizer, 2000)
    texts, cut = beginnings(unplaced(encoded, 0), split)
    assert texts.first[0] == split.first[0]
    assert cut == 1
    assert len(texts.first[1]) < len(split.first[1])
