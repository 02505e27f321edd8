"""One's own relations: spans as words or characters, sentences on several lines, and what is wrong in a file."""

from pathlib import Path

import pytest

from headscope.corpora import read as read_any
from headscope.corpora.own import read
from headscope.errors import HeadscopeError

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
    assert (corpus.name, corpus.kind, dict(corpus.counts)) == ("tsv:own", "tsv", {"sentences": 2, "links": 3})
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
    assert read_any([f"tsv:{path}"]).hash == corpus.hash


def test_words_are_cut_where_a_span_ends(tmp_path: Path) -> None:
    (one,) = read(write(tmp_path, "unhappiness grows\t0:2\t12:17\tprefix")).sentences
    assert [w.form for w in one.words] == ["un", "happiness", "grows"]
    assert one.links[0].source == (0,)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("one\ttwo\tthree", "line 2: it has 3 columns"),
        (f"{NURSE}\tnurse\tthank\tagent", "line 2: 'nurse' stands 2 times in the sentence: give the span as START:END"),
        (f"{NURSE}\tnur\tthank\tagent", "line 2: 'nur' is not in the sentence as whole words"),
        (f"{NURSE}\t3:99\tthank\tagent", "line 2: 3:99 names no characters of a sentence of 41"),
        (f"{NURSE}\t5:5\tthank\tagent", "line 2: 5:5 names no characters"),
        (f"{NURSE}\t\tthank\tagent", "line 2: '' is not in the sentence"),
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
    with pytest.raises(HeadscopeError, match="begins with the columns a, b: the first line is sentence, source"):
        read(path)
    path.write_bytes(HEADER.encode() + b"\xff\tx\ty\tz\n")
    with pytest.raises(HeadscopeError, match="is not UTF-8"):
        read(path)
