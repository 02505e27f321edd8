"""Relations of the user's own: a file of tab-separated lines, `sentence`, `source`, `target`,
`relation`.

    sentence                        source   target   relation
    The nurse thanked the pilot.    nurse    thanked  agent
    The nurse thanked the pilot.    18:27    thanked  patient

A span is written out where it occurs once in the sentence, or as START:END, characters counted from
0, END left out. Lines with the same sentence are links of one. Quotation marks are characters like
any other.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from headscope.corpora.base import Corpus, Link, Sentence, content_hash
from headscope.errors import HeadscopeError
from headscope.examples import Word
from headscope.words.segment import segment

COLUMNS = ("sentence", "source", "target", "relation")
_OFFSETS = re.compile(r"([0-9]{1,9}):([0-9]{1,9})")
Span = tuple[int, int]
"""Character offsets into a text, the end exclusive."""


@dataclass
class _Draft:
    """A sentence, with the links that lines have named so far: source, target, relation."""

    name: str
    text: str
    words: tuple[Word, ...]
    links: list[tuple[Span, Span, str]] = field(default_factory=list)


class _LineError(Exception):
    """Says what is wrong with a line."""


def read(path: Path) -> Corpus:
    """The sentences of a file, cut into words at white space, at punctuation, and where a span
    begins or ends.

    Raises:
        HeadscopeError: The file is not as said above; the error names the line.
    """
    lines = _lines(path)
    _check_header(path, next(lines, (1, ""))[1])
    drafts: dict[str, _Draft] = {}
    for number, line in lines:
        place = f"line {number}"
        if line.strip():
            try:
                _add(drafts, line.split("\t"), f"{path.name}, {place}")
            except _LineError as error:
                raise HeadscopeError(f"{path}, {place}: {error}") from error
    if not drafts:
        raise HeadscopeError(f"{path} has no line after the header: give a link a line")
    sentences = tuple(_sentence(draft) for draft in drafts.values())
    links = sum(len(sentence.links) for sentence in sentences)
    return Corpus(
        name=f"tsv:{path.stem}",
        kind="tsv",
        sentences=sentences,
        counts=(("sentences", len(sentences)), ("links", links)),
        source=str(path),
        hash=content_hash(sentences),
    )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Every line with its number."""
    number = 0
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise HeadscopeError(
            f"{path}, line {number}: it is not UTF-8 ({error.reason}): save the file as UTF-8"
        ) from error
    except OSError as error:
        raise HeadscopeError(
            f"{path} cannot be read ({error.strerror}): name a file with tabs, one link a line"
        ) from error


def _check_header(path: Path, line: str) -> None:
    columns = tuple(name.strip().casefold() for name in line.split("\t"))
    if columns != COLUMNS:
        raise HeadscopeError(
            f"{path} begins with the columns {', '.join(columns) or 'of an empty line'}: the "
            f"first line is {', '.join(COLUMNS)}, separated by tabs"
        )


def _add(drafts: dict[str, _Draft], row: list[str], name: str) -> None:
    """Add the link of a line to the draft of its sentence; `name` is that of a new one."""
    if len(row) != len(COLUMNS):
        raise _LineError(f"it has {len(row)} columns separated by tabs, not {len(COLUMNS)}")
    for column, value in zip(COLUMNS, row, strict=True):
        if not value.strip():
            raise _LineError(f"it names no {column}")
    text = row[0]
    if text not in drafts:
        drafts[text] = _Draft(name, text, segment(text))
    draft = drafts[text]
    source = _span(draft, row[1].strip())
    target = _span(draft, row[2].strip())
    if max(source[0], target[0]) < min(source[1], target[1]):
        raise _LineError(f"its two spans, {row[1]!r} and {row[2]!r}, overlap")
    draft.links.append((source, target, row[3].strip()))


def _span(draft: _Draft, written: str) -> Span:
    """The characters of a span. A span that is written out begins and ends where words do."""
    starts = {word.start for word in draft.words}
    ends = {word.end for word in draft.words}
    # The lookahead finds places that overlap, too.
    places = [match.start() for match in re.finditer(f"(?={re.escape(written)})", draft.text)]
    whole = [start for start in places if start in starts and start + len(written) in ends]
    if offsets := _OFFSETS.fullmatch(written):
        if whole:
            raise _LineError(
                f"{written} could be offsets or the words at "
                f"{whole[0]}:{whole[0] + len(written)}: write these offsets for the words, or "
                f"0{written} for the offsets"
            )
        return _checked(draft, int(offsets[1]), int(offsets[2]), written)
    if len(whole) != 1:
        how = "is not in the sentence as whole words"
        if whole:
            how = f"stands {len(whole)} times in the sentence"
        raise _LineError(
            f"{written!r} {how}: give the span as START:END, characters counted from 0"
        )
    return whole[0], whole[0] + len(written)


def _checked(draft: _Draft, start: int, end: int, written: str) -> Span:
    """The span with these offsets, which must hold a word."""
    length = len(draft.text)
    if not start < end <= length:
        raise _LineError(f"{written} names no characters of a sentence of {length}")
    if not any(start < word.end and word.start < end for word in draft.words):
        raise _LineError(f"{written} holds no word: the characters are {draft.text[start:end]!r}")
    return start, end


def _sentence(draft: _Draft) -> Sentence:
    borders: set[int] = set()
    for source, target, _ in draft.links:
        borders.update(source, target)
    words: list[Word] = []
    for word in draft.words:
        inside = {border for border in borders if word.start < border < word.end}
        for start, end in pairwise(sorted({word.start, word.end, *inside})):
            form = draft.text[start:end]
            words.append(Word(form, form.casefold(), start, end, word.upos, "", -1))
    links = [
        Link(relation, _words_within(words, source), _words_within(words, target))
        for source, target, relation in draft.links
    ]
    return Sentence(draft.name, draft.text, tuple(words), tuple(links))


def _words_within(words: Sequence[Word], span: Span) -> tuple[int, ...]:
    start, end = span
    return tuple(
        index for index, word in enumerate(words) if start <= word.start and word.end <= end
    )
