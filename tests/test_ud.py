"""Treebanks: words with their characters, multiword tokens, empty nodes, and what is no CoNLL-U."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headscope.corpora import read as read_any
from headscope.corpora.ud import language, read
from headscope.errors import HeadscopeError

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


def row(number: int, form: str, head: int, relation: str = "dep", misc: str = "_") -> str:
    return f"{number}\t{form}\t{form}\tX\t_\t_\t{head}\t{relation}\t_\t{misc}\n"


def test_words_have_their_characters_and_links_their_words(tmp_path: Path) -> None:
    corpus = read([write(tmp_path, SENTENCE)])
    assert (corpus.name, corpus.kind) == ("ud:fr_x-ud-test", "ud")
    assert dict(corpus.counts) == {
        "sentences read": 1,
        "words": 13,
        "multiword tokens": 2,
        "empty nodes, left out": 1,
        "sentences whose words are not in their text, left out": 0,
        "links": 10,
    }
    (one,) = corpus.sentences
    assert one.name == "s1"
    assert one.text == "Il va au  marché, je n'en ai pas vu."
    shown = [one.text[word.start : word.end] for word in one.words]
    # "à" and "le" share "au"; "n'" and "en" stand side by side in "n'en".
    assert shown == ["Il", "va", "au", "au", "marché", ",", "je", "n'", "en", "ai", "pas", "vu", "."]
    assert [word.form for word in one.words][2:4] == ["à", "le"]
    assert one.words[4].relation == "obl:arg"
    assert [word.head for word in one.words[:3]] == [1, -1, 4]
    named = {(link.relation, one.words[link.source[0]].form, one.words[link.target[0]].form) for link in one.links}
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
    text = row(1, "don't", 0, "root", "SpaceAfter=No") + row(2, "!", 1, "punct") + row(3, "stop", 1) + "\n"
    (one,) = read([write(tmp_path, text)]).sentences
    assert one.text == "don't! stop"
    assert one.name == "fr_x-ud-test, line 1"
    (other,) = read([write(tmp_path, "# text = something else\n" + text)]).sentences
    assert other.text == "don't! stop"


def test_spaces_in_words_and_other_normal_forms(tmp_path: Path) -> None:
    text = "# text = 25\u00a0000 cafe\u0301s\n" + row(1, "25 000", 2) + row(2, "caf\u00e9s", 0, "root") + "\n"
    (one,) = read([write(tmp_path, text)]).sentences
    assert [one.text[w.start : w.end] for w in one.words] == ["25\u00a0000", "cafe\u0301s"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no sentence"),
        ("# only a comment\n\n", "line 1, is no CoNLL-U: a sentence has comments only"),
        ("1\tA\ta\n\n", "line 1, is no CoNLL-U: it has 3 columns separated by tabs, not ten"),
        (row(1, "a", 0, "root") + row(2, "b", 9) + "\n", "line 2, .*the head is 9 in a sentence of 2 words"),
        (row(1, "a", 0, "root") + row(3, "b", 1) + "\n", "line 2, .*numbered 3, and word 2 is next"),
        (row(1, "a", 0, "root") + row(1, "b", 1) + "\n", "line 2, .*numbered 1, and word 2 is next"),
        (row(1, "a", 2) + row(2, "b", 1) + "\n", "0 roots, not one"),
        (row(1, "a", 0) + row(2, "b", 0) + "\n", "line 2, .*2 roots, not one"),
        (row(1, "a", 0) + row(2, "b", 3) + row(3, "c", 2) + "\n", "line 2, .*word 2 is above itself"),
        (row(1, "a", 0) + "x" + row(2, "b", 1) + "\n", "line 2, .*'x2' is not a valid ID"),
        (row(1, "a", 0) + row(2, "b", 1).replace("\t1\t", "\tone\t") + "\n", "line 2, .*'one' is not a valid value"),
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
    cut = tmp_path / "cut.conllu.gz"
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


def test_the_language_is_in_the_name() -> None:
    assert language(Path("en_ewt-ud-train.conllu.gz")) == "en"
    assert language(Path("mine.conllu")) == ""


@st.composite
def trees(draw: st.DrawFn) -> list[tuple[str, int, bool]]:
    """(form, head, whether a space follows) of every word; heads point to earlier words, and the first is the root."""
    letters = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=6)
    count = draw(st.integers(1, 8))
    heads = [0, *(draw(st.integers(1, at)) for at in range(1, count))]
    return [(draw(letters), head, draw(st.booleans())) for head in heads]


@given(trees())
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, tree: list[tuple[str, int, bool]]) -> None:
    text = "".join(form + (" " if gap else "") for form, _, gap in tree).strip()
    rows = "".join(
        row(at, form, head, "root" if head == 0 else "obj", "_" if gap else "SpaceAfter=No")
        for at, (form, head, gap) in enumerate(tree, 1)
    )
    path = write(tmp_path_factory.mktemp("ud"), f"# text = {text}\n{rows}\n")
    (one,) = read([path], quiet=True).sentences
    assert one.text == text
    assert [one.text[w.start : w.end] for w in one.words] == [form for form, _, _ in tree]
    assert [w.head + 1 for w in one.words] == [head for _, head, _ in tree]
    assert len(one.links) == len(tree) - 1


@pytest.mark.skipif(not TREEBANKS.is_dir(), reason=f"the treebanks are not at {TREEBANKS}")
@pytest.mark.parametrize(
    ("treebank", "sentences"),
    [("English-PUD", 1000), ("Turkish-PUD", 1000), ("Japanese-GSD", 507 + 543), ("Finnish-PUD", 1000)],
)
def test_real_treebanks(treebank: str, sentences: int) -> None:
    corpus = read_any([f"ud:{TREEBANKS / treebank}"], quiet=True)
    assert len(corpus.sentences) == sentences == dict(corpus.counts)["sentences read"]
    fused = 0
    for one in corpus.sentences:
        for word in one.words:
            shown = one.text[word.start : word.end]
            fused += " ".join(shown.split()) != " ".join(word.form.split())
        assert all(a.start <= b.start for a, b in zip(one.words, one.words[1:], strict=False))
    assert fused <= 3 * dict(corpus.counts)["multiword tokens"]
