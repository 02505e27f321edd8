"""One's own relations: spans as words or characters, sentences on several lines, and what is wrong in a file."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from headscope.corpora import kind_and_paths
from headscope.corpora import read as read_any
from headscope.corpora.tsv import read
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.model.encoding import encode
from headscope.words.align import align
from test_words import minilm

HEADER = "sentence\tsource\ttarget\trelation\n"
NURSE = "The nurse didn't thank the nurse's pilot."


def write(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "own.tsv"
    path.write_text(HEADER + "".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_spans_are_words_or_characters(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f"{NURSE}\tThe nurse\tthank\tagent",
        f"{NURSE}\t23:40\t17:22\tpatient",
        'She said "no".\tno\tsaid\tpatient',
        "",
    )
    corpus = read(path)
    assert (corpus.name, corpus.kind, dict(corpus.counts)) == (
        "tsv:own",
        "tsv",
        {"sentences": 2, "links": 3},
    )
    assert corpus.relations == {"patient": 2, "agent": 1}
    first, second = corpus.sentences
    agent, patient = first.links

    def words(which: tuple[int, ...]) -> list[str]:
        return [first.words[w].form for w in which]

    assert words(agent.source) == ["The", "nurse"]
    assert words(agent.target) == words(patient.target) == ["thank"]
    assert words(patient.source) == ["the", "nurse", "'s", "pilot"]
    assert [w.form for w in second.words] == ["She", "said", '"', "no", '"', "."]
    assert all(one.text[w.start : w.end] == w.form for one in corpus.sentences for w in one.words)
    assert [one.name for one in corpus.sentences] == ["own.tsv, line 2", "own.tsv, line 4"]
    assert read_any([f"tsv:{path}"]).hash == corpus.hash
    split = Split(tuple(one.text for one in corpus.sentences), None, np.zeros(2, dtype=np.int64))
    aligned = align(encode(split, minilm()), split, [(one.words,) for one in corpus.sentences])
    assert all(tokens for one in aligned for tokens in one.tokens)


def test_texts_without_spaces_and_from_a_spreadsheet(tmp_path: Path) -> None:
    (one,) = read(write(tmp_path, "日本語が好き\t日本\t好き\tobj")).sentences
    assert (one.links[0].source, one.links[0].target) == ((0, 1), (4, 5))
    path = tmp_path / "own.tsv"
    path.write_bytes(
        ("\ufeff" + HEADER.title() + "a b\ta\tb\tx\n\n").replace("\n", "\r\n").encode()
    )
    (one,) = read(path).sentences
    assert [w.form for w in one.words] == ["a", "b"]
    (one,) = read(write(tmp_path, "a\rb \x00c\tb\tc\tx", "")).sentences
    assert [w.form for w in one.words] == ["a", "b", "c"]
    path = write(tmp_path, "word " * 40_000 + "end\t0:4\tend\tx")
    assert read(path).sentences[0].links[0].target == (40_000,)


def test_the_time_of_day_is_no_offset(tmp_path: Path) -> None:
    text = "We met at 3:04 and left."
    with pytest.raises(
        HeadscopeError,
        match="line 2: 3:04 could be offsets or the words at 10:14: write these offsets",
    ):
        read(write(tmp_path, f"{text}\t3:04\tmet\ttime"))
    for written, words in (("10:14", ["3", ":", "04"]), ("03:04", ["m"])):
        (one,) = read(write(tmp_path, f"{text}\t{written}\tleft\ttime")).sentences
        assert [one.words[w].form for w in one.links[0].source] == words


TEXT = st.text(st.sampled_from("abc  .'日é\u0301😀3"), min_size=4, max_size=20)


@given(st.data())
def test_spans_are_found_again(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Every link's words are the words of its span and no others, whatever the text and the borders."""
    text = data.draw(TEXT)
    cuts = st.lists(st.integers(0, len(text)), min_size=4, max_size=4, unique=True).map(sorted)
    spans = data.draw(st.lists(cuts, min_size=1, max_size=3))
    assume(all(text[a:b].strip() and text[c:d].strip() for a, b, c, d in spans))
    rows = [f"{text}\t{a}:{b}\t{c}:{d}\tx" for a, b, c, d in spans]
    corpus = read(write(tmp_path_factory.mktemp("own"), *rows))
    (one,) = corpus.sentences
    assert all(one.text[w.start : w.end] == w.form for w in one.words)
    for (a, b, c, d), link in zip(spans, one.links, strict=True):
        for (start, end), which in (((a, b), link.source), ((c, d), link.target)):
            assert which
            covered = {at for w in which for at in range(one.words[w].start, one.words[w].end)}
            assert covered == {
                at for w in one.words for at in range(w.start, w.end) if start <= at < end
            }


def test_words_are_cut_where_a_span_ends(tmp_path: Path) -> None:
    (one,) = read(write(tmp_path, "unhappiness grows\t0:2\t12:17\tprefix")).sentences
    assert [w.form for w in one.words] == ["un", "happiness", "grows"]
    assert one.links[0].source == (0,)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("one\ttwo\tthree", "line 2: it has 3 columns"),
        (
            f"{NURSE}\tnurse\tthank\tagent",
            "line 2: 'nurse' stands 2 times in the sentence: give the span as START:END",
        ),
        (f"{NURSE}\tnur\tthank\tagent", "line 2: 'nur' is not in the sentence as whole words"),
        (f"{NURSE}\t3:99\tthank\tagent", "line 2: 3:99 names no characters of a sentence of 41"),
        (f"{NURSE}\t5:5\tthank\tagent", "line 2: 5:5 names no characters"),
        (f"{NURSE}\t \tthank\tagent", "line 2: it names no source"),
        ("\tnurse\tthank\tagent", "line 2: it names no sentence"),
        ("a \u200b b\t2:3\tb\tx", r"line 2: 2:3 holds no word: the characters are '\\u200b'"),
        (
            f"{NURSE}\t{'9' * 5000}:{'9' * 5001}\tthank\tagent",
            "is not in the sentence as whole words",
        ),
        (f"{NURSE}\tthank\tpilot\t ", "line 2: it names no relation"),
        (f"{NURSE}\tnurse didn't\tdidn't thank\tx", "line 2: its two spans, .* overlap"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(HeadscopeError, match=said):
        read(write(tmp_path, line))


def test_files_that_are_no_relations(tmp_path: Path) -> None:
    with pytest.raises(HeadscopeError, match="has no line after the header"):
        read(write(tmp_path))
    path = tmp_path / "other.tsv"
    path.write_text("a\tb\n")
    with pytest.raises(
        HeadscopeError, match="begins with the columns a, b: the first line is sentence, source"
    ):
        read(path)
    path.write_bytes(HEADER.encode() + b"a b\ta\tb\tz\n\xff\tx\ty\tz\n")
    with pytest.raises(
        HeadscopeError, match=r"other\.tsv, line 3: it is not UTF-8 .*: save the file as UTF-8"
    ):
        read(path)
    path.write_bytes(b"")
    with pytest.raises(
        HeadscopeError, match="begins with the columns of an empty line: the first line is sentence"
    ):
        read(path)
    for missing in (tmp_path / "none.tsv", tmp_path):
        with pytest.raises(HeadscopeError, match="cannot be read .*: name a file with tabs"):
            read(missing)


def test_the_files_of_a_corpus_are_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    odd = tmp_path / "a:b.tsv"
    odd.write_text("")
    assert kind_and_paths([f"tsv:{odd}"]) == ("tsv", [odd])
    assert kind_and_paths(["ud:~/one", str(odd)]) == ("ud", [tmp_path / "one", odd])
