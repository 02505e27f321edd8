"""Treebanks: words with their characters, multiword tokens, empty nodes, and what is no CoNLL-U."""

import gzip
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headscope.corpora import read as read_any
from headscope.corpora.base import Corpus
from headscope.corpora.ud import read
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.model.encoding import encode
from headscope.words.align import Aligned, align
from test_words import minilm, wordpiece

TREEBANKS = Path(__file__).parents[2] / "shared" / "data" / "ud"
SENTENCE = """\
# sent_id = s1
# text = Il va au  marché, je n'en ai pas vu.
1	Il	il	PRON	_	_	2	nsubj	_	_
2	va	aller	VERB	_	_	0	root	_	_
3-4	au	_	_	_	_	_	_	_	_
3	à	à	ADP	_	_	5	case	_	_
4	le	le	DET	_	_	5	det	_	_
5	marché	marché	NOUN	_	_	2	obl:arg	_	SpaceAfter=No
6	,	,	PUNCT	_	_	12	punct	_	_
7	je	je	PRON	_	_	12	nsubj	_	_
8-9	n'en	_	_	_	_	_	_	_	_
8	n'	ne	ADV	_	_	12	advmod	_	_
9	en	en	PRON	_	_	12	iobj	_	_
9.1	rien	rien	PRON	_	_	_	_	2:dep	_
10	ai	avoir	AUX	_	_	12	aux	_	_
11	pas	pas	ADV	_	_	12	advmod	_	_
12	vu	voir	VERB	_	_	2	parataxis	_	SpaceAfter=No
13	.	.	PUNCT	_	_	2	punct	_	_

"""


def write(tmp_path: Path, text: str, name: str = "fr_x-ud-test.conllu") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def aligned(corpus: Corpus, tokenizer: object) -> Sequence[Aligned]:
    split = Split(
        tuple(one.text for one in corpus.sentences),
        None,
        np.zeros(len(corpus.sentences), dtype=np.int64),
    )
    return align(encode(split, tokenizer, 512), split, [(one.words,) for one in corpus.sentences])


def row(number: int, form: str, head: int, relation: str = "dep", misc: str = "_") -> str:
    return f"{number}\t{form}\t{form}\tX\t_\t_\t{head}\t{relation}\t_\t{misc}\n"


def several(first: int, last: int, form: str) -> str:
    return f"{first}-{last}\t{form}" + "\t_" * 8 + "\n"


def test_words_have_their_characters_and_links_their_words(tmp_path: Path) -> None:
    corpus = read([write(tmp_path, SENTENCE)])
    assert (corpus.name, corpus.kind) == ("ud:fr_x-ud-test", "ud")
    assert dict(corpus.counts) == {
        "sentences read": 1,
        "words": 13,
        "multiword tokens": 2,
        "empty nodes, left out": 1,
        "texts put together from their words": 0,
        "links": 10,
    }
    (one,) = corpus.sentences
    assert one.name == "s1"
    assert one.text == "Il va au  marché, je n'en ai pas vu."
    shown = [one.text[word.start : word.end] for word in one.words]
    # "à" and "le" share "au"; "n'" and "en" stand side by side in "n'en".
    assert shown == [
        "Il",
        "va",
        "au",
        "au",
        "marché",
        ",",
        "je",
        "n'",
        "en",
        "ai",
        "pas",
        "vu",
        ".",
    ]
    assert [word.form for word in one.words][2:4] == ["à", "le"]
    assert one.words[4].relation == "obl:arg"
    assert [word.head for word in one.words[:3]] == [1, -1, 4]
    named = {
        (link.relation, one.words[link.source[0]].form, one.words[link.target[0]].form)
        for link in one.links
    }
    assert ("case", "à", "marché") in named
    assert ("iobj", "en", "vu") in named
    assert not {"punct", "root"} & {relation for relation, _, _ in named}


def test_gzipped_files_and_folders_are_read(tmp_path: Path) -> None:
    plain = read([write(tmp_path, SENTENCE)])
    packed = tmp_path / "packed"
    packed.mkdir()
    (packed / "fr_x-ud-test.conllu.gz").write_bytes(gzip.compress(SENTENCE.encode()))
    assert read([packed / "fr_x-ud-test.conllu.gz"]).sentences == plain.sentences
    assert read_any([f"ud:{packed}"], quiet=True).hash == plain.hash
    both = read_any([f"ud:{packed}", str(tmp_path / "fr_x-ud-test.conllu")], quiet=True)
    assert len(both.sentences) == 2


def test_a_text_is_made_of_the_words_where_there_is_none(tmp_path: Path) -> None:
    text = (
        row(1, "don't", 0, "root", "SpaceAfter=No")
        + row(2, "!", 1, "punct")
        + row(3, "stop", 1)
        + "\n"
    )
    (one,) = read([write(tmp_path, text)]).sentences
    assert one.text == "don't! stop"
    assert one.name == "fr_x-ud-test, line 1"
    for other in ("something else", "don't ! stop now", "don't stop", ""):
        corpus = read([write(tmp_path, f"# text = {other}\n{text}")])
        assert corpus.sentences[0].text == "don't! stop"
        assert dict(corpus.counts)["texts put together from their words"] == 1
    fused = (
        several(1, 2, "au")
        + row(1, "à", 3)
        + row(2, "le", 3)
        + row(3, "bal", 0, "root", "A=b|SpaceAfter=No")
        + "\n"
    )
    (one,) = read([write(tmp_path, fused)]).sentences
    assert (one.text, [(w.start, w.end) for w in one.words]) == ("au bal", [(0, 2), (0, 2), (3, 6)])


def test_spaces_in_words_and_other_normal_forms(tmp_path: Path) -> None:
    """A word has the text's form, and so fits it when it is aligned, but in a token whose words are not in the text."""
    jamo = unicodedata.normalize("NFD", "대한민국사람")
    text = f"# text = 25\u00a0000 cafe\u0301s\u00a0 {jamo}  New\tYork du\n".replace("\t", "\u2003")
    text += (
        row(1, "25 000", 2)
        + row(2, "caf\u00e9s", 0, "root")
        + row(3, "대한민국사람", 2)
        + row(4, "New  York", 2)
    )
    corpus = read(
        [write(tmp_path, text + several(5, 6, "du") + row(5, "de", 2) + row(6, "le", 2) + "\n")]
    )
    assert dict(corpus.counts)["texts put together from their words"] == 0
    (one,) = corpus.sentences
    shown = [one.text[w.start : w.end] for w in one.words]
    assert shown == ["25\u00a0000", "cafe\u0301s", jamo, "New\u2003York", "du", "du"]
    assert [w.form for w in one.words] == [*shown[:4], "de", "le"]
    aligned(corpus, wordpiece())


def test_columns_that_the_library_would_lose(tmp_path: Path) -> None:
    """Two spaces part no columns, an empty last one is there, and a comment cannot rename them; nor does a mark count."""
    bare = (
        row(1, "a", 0, "root").replace("\tX\t", "\t\t").replace("_\n", "\n")
        + row(2, "b", 1, "obj", "")
        + "\n"
    )
    corpus = read(
        [
            write(
                tmp_path,
                "\ufeff# global.columns = ID FORM\n# text = a b\n" + bare.replace("\n", "\r\n"),
            )
        ]
    )
    assert [(w.form, w.upos, w.head, w.relation) for w in corpus.sentences[0].words] == [
        ("a", "X", -1, "root"),
        ("b", "X", 0, "obj"),
    ]
    (one,) = read(
        [write(tmp_path, row(1, "a   b", 0, "root") + row(2, "c", 1).rstrip("\n"))]
    ).sentences
    assert [(w.form, w.head) for w in one.words] == [("a b", -1), ("c", 0)]


def test_only_the_first_sentences(tmp_path: Path) -> None:
    path = write(tmp_path, SENTENCE * 3 + "broken\n")
    for limit in (1, 3):
        corpus = read([path, path], limit=limit)
        assert len(corpus.sentences) == limit == dict(corpus.counts)["sentences read"]
    with pytest.raises(
        HeadscopeError, match="line 58, .*it has 1 column separated by tabs, not ten"
    ):
        read([path], limit=4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no sentence"),
        ("# only a comment\n\n", "line 1, is no CoNLL-U: a sentence has comments only"),
        ("1\tA\ta\n\n", "line 1, is no CoNLL-U: it has 3 columns separated by tabs, not ten"),
        (row(1, "a", 0) + row(2, "", 1) + "\n", "line 2, .*the word has no form"),
        (
            row(1, "a", 0) + row(2, "b", 1, "_") + "\n",
            "line 2, .*the word has no relation to its head",
        ),
        (
            row(1, "a", 0) + row(2, "b", 1).replace("\t1\t", "\t_\t") + "\n",
            "line 2, .*head is _ in a sentence of 2 words",
        ),
        (
            row(1, "a", 0, "root") + row(2, "b", 9) + "\n",
            "line 2, .*the head is 9 in a sentence of 2 words",
        ),
        (
            row(1, "a", 0, "root") + row(3, "b", 1) + "\n",
            "line 2, .*numbered 3, and word 2 is next",
        ),
        (
            row(1, "a", 0, "root") + row(1, "b", 1) + "\n",
            "line 2, .*numbered 1, and word 2 is next",
        ),
        (row(1, "a", 0, "root") * 2 + "\n", "line 2, .*numbered 1, and word 2 is next"),
        ("_" + row(1, "a", 0)[1:] + "\n", "line 1, .*the word has no number"),
        ("1.1" + row(1, "a", 0)[1:] + "\n", "line 1, .*the empty node 1.1 stands after word 0"),
        ("0.1" + row(1, "a", 0)[1:] + "\n", "line 1, .*a sentence has no word"),
        (
            several(1, 3, "ab") + row(1, "a", 0) + row(2, "b", 1) + "\n",
            "line 1, .*ends with word 3 in a sentence of 2 words",
        ),
        (several(1, 1, "ab") + row(1, "a", 0) + "\n", "line 1, .*token 1-1 is one word"),
        (
            row(1, "a", 0) + several(1, 2, "ab") + row(2, "b", 1) + "\n",
            "line 2, .*token 1-2 stands before word 2",
        ),
        (
            several(1, 2, "ab")
            + row(1, "a", 0)
            + several(2, 3, "bc")
            + row(2, "b", 1)
            + row(3, "c", 1)
            + "\n",
            "line 3, .*token 2-3 shares words with the one before",
        ),
        (
            several(2, 1, "ab") + row(1, "a", 0) + row(2, "b", 1) + "\n",
            "line 1, .*'2-1' is not a valid ID",
        ),
        (
            row(1, "a", 0) + row(2, "b", 1).replace("\t1\t", "\t" + "9" * 5000 + "\t") + "\n",
            "line 2, .*is no CoNLL-U",
        ),
        (row(1, "a", 2) + row(2, "b", 1) + "\n", "0 roots, not one"),
        (row(1, "a", 0) + row(2, "b", 0) + "\n", "line 2, .*2 roots, not one"),
        (
            "# text = a b\n" + row(1, "a", 0) + "# in between\n" + row(2, "b", 2) + "\n",
            "line 4, .*word 2 is above itself",
        ),
        (
            SENTENCE + row(1, "a", 0) + row(2, "b", 3) + row(3, "c", 2) + "\n",
            "line 21, .*word 2 is above itself",
        ),
        (
            row(1, "a", 0) + row(2, "b", 3) + row(3, "c", 2) + "\n",
            "line 2, .*word 2 is above itself",
        ),
        (row(1, "a", 0) + "x" + row(2, "b", 1) + "\n", "line 2, .*'x2' is not a valid ID"),
        (
            row(1, "a", 0) + row(2, "b", 1).replace("\t1\t", "\tone\t") + "\n",
            "line 2, .*'one' is not a valid value",
        ),
    ],
)
def test_what_is_no_treebank_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(HeadscopeError, match=said):
        read([write(tmp_path, text)])


def test_files_that_are_damaged_or_not_utf8(tmp_path: Path) -> None:
    latin = tmp_path / "latin.conllu"
    latin.write_bytes(row(1, "é", 0).encode("latin-1"))
    with pytest.raises(HeadscopeError, match="line 1, is not UTF-8"):
        read([latin])
    latin.write_bytes(SENTENCE.encode() + row(1, "é", 0).encode("latin-1"))
    with pytest.raises(HeadscopeError, match="line 20, is not UTF-8"):
        read([latin])
    for missing in (tmp_path / "none.conllu", tmp_path):
        with pytest.raises(
            HeadscopeError, match=r"cannot be read .*: name a \.conllu or \.conllu\.gz file"
        ):
            read([missing])
    with pytest.raises(HeadscopeError, match="empty.conllu holds no sentence"):
        read([write(tmp_path, SENTENCE), write(tmp_path, "", "empty.conllu")])
    cut = tmp_path / "cut.conllu.gz"
    cut.write_bytes(b"no archive")
    with pytest.raises(HeadscopeError, match=r"is damaged after line 0 \(Not a gzipped file"):
        read([cut])
    cut.write_bytes(gzip.compress(SENTENCE.encode() * 50)[:-30])
    with pytest.raises(HeadscopeError, match="is damaged after line"):
        read([cut])


@pytest.mark.parametrize(
    ("specs", "said"),
    [
        (["udd:x"], "unknown kind of corpus 'udd': did you mean 'ud'"),
        (["ud:missing.conllu"], "does not exist: name the CoNLL-U files"),
        (["x.conllu"], "one kind at a time; got x.conllu"),
        (["ud:a", "tsv:b"], "one kind at a time; got ud:a, tsv:b"),
        ([], "got nothing"),
    ],
)
def test_a_corpus_that_is_none(specs: list[str], said: str) -> None:
    with pytest.raises(HeadscopeError, match=said):
        read_any(specs)


def test_a_folder_without_treebanks(tmp_path: Path) -> None:
    with pytest.raises(HeadscopeError, match=r"holds no \.conllu"):
        read_any([f"ud:{tmp_path}"])


@dataclass(frozen=True)
class Token:
    """A token that a test writes: one word, or several that are its parts or that have nothing of it."""

    form: str
    words: tuple[str, ...]
    gap: bool
    empty: bool


@st.composite
def tokens(draw: st.DrawFn) -> Token:
    letters = st.text(st.characters(categories=("L", "M", "N", "P", "S")), min_size=1, max_size=5)
    words = tuple(draw(st.lists(letters, min_size=1, max_size=3)))
    fused = len(words) > 1 and draw(st.booleans())
    return Token(
        draw(letters) if fused else "".join(words), words, draw(st.booleans()), draw(st.booleans())
    )


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[Token], list[int]]:
    """Tokens, and the head of every word, from 1; a random order of the words makes any of them the root."""
    chosen = draw(st.lists(tokens(), min_size=1, max_size=5))
    order = draw(st.permutations(range(1, sum(len(t.words) for t in chosen) + 1)))
    heads = dict.fromkeys(order, 0)
    for at, word in enumerate(order[1:], 1):
        heads[word] = order[draw(st.integers(0, at - 1))]
    return chosen, [heads[word] for word in sorted(heads)]


def treebank(chosen: Sequence[Token], heads: Sequence[int]) -> str:
    rows, number = "", 0
    for token in chosen:
        misc = "_" if token.gap else "SpaceAfter=No"
        if len(token.words) > 1:
            rows += several(number + 1, number + len(token.words), token.form)[:-2] + misc + "\n"
        for word in token.words:
            number += 1
            head = heads[number - 1]
            rows += row(
                number,
                word,
                head,
                "nsubj:x" if head else "root",
                "_" if len(token.words) > 1 else misc,
            )
        if token.empty:
            rows += f"{number}.1\tleft out" + "\t_" * 8 + "\n"
    return rows + "\n"


@given(trees(), st.sampled_from(["", "NFC", "NFD", "  "]))
@example(
    (
        [Token("au", ("à", "le"), True, True), Token("x\u0301", ("x", "\u0301"), False, True)],
        [2, 0, 2, 1],
    ),
    "NFD",
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, tree: tuple[list[Token], list[int]], text: str
) -> None:
    """Whatever the text is: none, in either normal form, or with more spaces than there should be."""
    chosen, heads = tree
    plain = "".join(token.form + (" " if token.gap else "") for token in chosen).strip()
    given_ = plain.replace(" ", "  ") if text == "  " else ""
    if text.startswith("NF"):
        given_ = unicodedata.normalize(text, plain)  # type: ignore[arg-type]
    path = write(tmp_path_factory.mktemp("ud"), f"# text = {given_}\n{treebank(chosen, heads)}")
    corpus = read([path], quiet=True)
    (one,) = corpus.sentences
    assert one.text in (given_, plain)
    assert [w.head + 1 for w in one.words] == heads
    assert {link.source[0]: link.target[0] for link in one.links} == {
        at: h - 1 for at, h in enumerate(heads) if h
    }
    counts = dict(corpus.counts)
    assert counts["empty nodes, left out"] == sum(token.empty for token in chosen)
    assert counts["multiword tokens"] == sum(len(token.words) > 1 for token in chosen)
    if text == "  " or given_ == plain:
        assert counts["texts put together from their words"] == 0
    words, at = iter(one.words), 0
    for token in chosen:
        own = [next(words) for _ in token.words]
        assert own[0].start >= at
        at = own[-1].end
        assert unicodedata.normalize("NFD", one.text[own[0].start : at]) == unicodedata.normalize(
            "NFD", token.form
        )
        if len(own) == 1 or one.text[own[0].start : at] == token.form == "".join(token.words):
            assert all(one.text[w.start : w.end] == w.form for w in own)
        else:
            assert tuple(w.form for w in own) == token.words
            assert len({(w.start, w.end) for w in own}) == 1
    aligned(corpus, wordpiece())  # Raises where a word does not fit its text.


@given(st.data())
def test_a_damaged_file_is_refused_or_fits(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever a few bytes become, the only error is the project's own, and what is read can be aligned."""
    whole = bytearray(SENTENCE.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 4))] = data.draw(
            st.sampled_from([*b"019-._\t\n #\xff", *b"\r\x00a"]).map(lambda byte: bytes([byte]))
            | st.sampled_from([b"", b"\t_", b"  ", b"\xc2\xa0", b"\n1\t"])
        )
    path = tmp_path_factory.mktemp("ud") / "damaged.conllu"
    path.write_bytes(whole)
    try:
        corpus = read([path], quiet=True)
    except HeadscopeError:
        return
    aligned(corpus, wordpiece())


def raw(path: Path) -> list[list[list[str]]]:
    """The columns of every word, by a reader that knows no more than tabs and empty lines: [sentence][word][column]."""
    text = gzip.decompress(path.read_bytes()).decode()
    blocks = [
        [line.split("\t") for line in block.split("\n") if line[:1] not in ("", "#")]
        for block in text.split("\n\n")
    ]
    return [[columns for columns in block if columns[0].isdigit()] for block in blocks if block]


@pytest.mark.skipif(not TREEBANKS.is_dir(), reason=f"the treebanks are not at {TREEBANKS}")
@pytest.mark.parametrize(
    ("treebank", "sentences"),
    [
        pytest.param("English-EWT/en_ewt-ud-train", 12_544, marks=pytest.mark.slow),
        ("English-EWT/en_ewt-ud-dev", 2_001),
        ("English-EWT/en_ewt-ud-test", 2_077),
        ("English-PUD/", 1_000),
        ("Finnish-PUD/", 1_000),
        ("Finnish-TDT/", 1_364 + 1_555),
        ("Japanese-GSD/", 507 + 543),
        ("Korean-GSD/", 950 + 989),
        ("Korean-PUD/", 1_000),
        ("Russian-GSD/", 579 + 601),
        ("Russian-PUD/", 1_000),
        ("Turkish-PUD/", 1_000),
    ],
)
def test_real_treebanks(treebank: str, sentences: int) -> None:
    files = sorted(TREEBANKS.glob(f"{treebank}*.conllu.gz"))
    corpus = read(files, quiet=True)
    assert len(corpus.sentences) == sentences == dict(corpus.counts)["sentences read"]
    assert dict(corpus.counts)["texts put together from their words"] == 0
    for one, expected in zip(
        corpus.sentences, (block for file in files for block in raw(file)), strict=True
    ):
        spans = [(w.start, w.end) for w in one.words]
        assert [(w.lemma, w.upos, w.head + 1, w.relation) for w in one.words] == [
            (c[2], c[3], int(c[6]), c[7]) for c in expected
        ]
        for w, span, columns in zip(one.words, spans, expected, strict=True):
            if spans.count(span) == 1:
                assert one.text[w.start : w.end] == w.form
            assert w.form.split() == columns[1].split()
        covered = {at for start, end in spans for at in range(start, end)}
        assert all(
            character.isspace() for at, character in enumerate(one.text) if at not in covered
        )
        assert len(one.links) == sum(c[6] != "0" and c[7] != "punct" for c in expected)
    if sentences <= 2_100:
        aligned(corpus, minilm())


def test_pipes_devices_and_impossible_names_are_refused(tmp_path: Path) -> None:
    for name in ("a.conllu", "a.tsv"):
        os.mkfifo(tmp_path / name)
    for spec in (f"ud:{tmp_path}/a.conllu", f"tsv:{tmp_path}/a.tsv", "framenet:/dev/null"):
        with pytest.raises(HeadscopeError, match="is a pipe or a device: name the"):
            read_any([spec])
    with pytest.raises(HeadscopeError, match="holds no .conllu"):
        read_any([f"ud:{tmp_path}"])
    with pytest.raises(HeadscopeError, match="names no file"):
        read_any(["ud:" + "a" * 300])


def test_the_home_folder_of_a_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(HeadscopeError, match=f"ud:{tmp_path}/a.conllu does not exist"):
        read_any(["ud:~/a.conllu"])
