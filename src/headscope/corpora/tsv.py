"""One's own relations: a file of tab-separated lines, `sentence`, `source`, `target`, `relation`.

    sentence                        source   target   relation
    The nurse thanked the pilot.    nurse    thanked  agent
    The nurse thanked the pilot.    18:27    thanked  patient

A span is written out where it occurs once in the sentence, or as START:END, characters counted from
0, END left out. Lines with the same sentence are links of one. Quotation marks are characters like
any other.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from headscope.corpora.base import Corpus, Link, Sentence, content_hash
from headscope.errors import HeadscopeError
from headscope.examples import Word
from headscope.words.segment import segment

COLUMNS = ("sentence", "source", "target", "relation")
_OFFSETS = re.compile(r"([0-9]{1,9}):([0-9]{1,9})")
Span = tuple[int, int]


def read(path: Path) -> Corpus:
    """The sentences of the file, cut into words at white space, at punctuation, and where a span
    begins or ends.

    Raises HeadscopeError, with the line, for a file that is not as said above.
    """
    found: dict[str, list[tuple[Span, Span, str]]] = {}
    words: dict[str, tuple[Word, ...]] = {}
    names: dict[str, str] = {}
    lines = _lines(path)
    _, header = next(lines, (1, ""))
    columns = tuple(name.strip().casefold() for name in header.split("\t"))
    if columns != COLUMNS:
        raise HeadscopeError(
            f"{path} begins with the columns {', '.join(columns) or 'of an empty line'}: the "
            f"first line is {', '.join(COLUMNS)}, separated by tabs"
        )
    for number, line in lines:
        if not line.strip():
            continue
        row = line.split("\t")
        if len(row) != len(COLUMNS):
            raise _wrong(
                path, number, f"it has {len(row)} columns separated by tabs, not {len(COLUMNS)}"
            )
        text, relation = row[0], row[3].strip()
        for name, column in zip(COLUMNS, row, strict=True):
            if not column.strip():
                raise _wrong(path, number, f"it names no {name}")
        if text not in words:
            words[text], names[text] = segment(text), f"{path.name}, line {number}"
        source, target = (
            _span(text, words[text], given.strip(), path, number) for given in row[1:3]
        )
        if max(source[0], target[0]) < min(source[1], target[1]):
            raise _wrong(path, number, f"its two spans, {row[1]!r} and {row[2]!r}, overlap")
        found.setdefault(text, []).append((source, target, relation))
    if not found:
        raise HeadscopeError(f"{path} has no line after the header: give a link a line")
    sentences = tuple(
        _sentence(names[text], text, words[text], links) for text, links in found.items()
    )
    links = sum(len(own) for own in found.values())
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
        raise _wrong(
            path, number, f"it is not UTF-8 ({error.reason}): save the file as UTF-8"
        ) from error
    except OSError as error:
        raise HeadscopeError(
            f"{path} cannot be read ({error.strerror}): name a file with tabs, one link a line"
        ) from error


def _wrong(path: Path, line: int, what: str) -> HeadscopeError:
    return HeadscopeError(f"{path}, line {line}: {what}")


def _span(text: str, words: Sequence[Word], given: str, path: Path, line: int) -> Span:
    """The characters of a span. A span that is written out begins and ends where words do."""
    starts, ends = {word.start for word in words}, {word.end for word in words}
    places = [match.start() for match in re.finditer(f"(?={re.escape(given)})", text)]
    whole = [at for at in places if at in starts and at + len(given) in ends]
    offsets = _OFFSETS.fullmatch(given)
    if offsets:
        start, end = int(offsets[1]), int(offsets[2])
        if whole:
            raise _wrong(
                path,
                line,
                f"{given} could be offsets or the words at {whole[0]}:{whole[0] + len(given)}: "
                f"write these offsets for the words, or 0{given} for the offsets",
            )
        if not start < end <= len(text):
            raise _wrong(path, line, f"{given} names no characters of a sentence of {len(text)}")
        if not any(start < word.end and word.start < end for word in words):
            raise _wrong(
                path, line, f"{given} holds no word: the characters are {text[start:end]!r}"
            )
        return start, end
    if len(whole) != 1:
        how = (
            f"stands {len(whole)} times in the sentence"
            if whole
            else "is not in the sentence as whole words"
        )
        raise _wrong(
            path, line, f"{given!r} {how}: give the span as START:END, characters counted from 0"
        )
    return whole[0], whole[0] + len(given)


def _sentence(
    name: str, text: str, plain: Sequence[Word], links: list[tuple[Span, Span, str]]
) -> Sentence:
    borders = {at for source, target, _ in links for at in (*source, *target)}
    words = []
    for word in plain:
        cuts = sorted({word.start, word.end, *(at for at in borders if word.start < at < word.end)})
        words += [
            Word(text[a:b], text[a:b].casefold(), a, b, word.upos, "", -1)
            for a, b in pairwise(cuts)
        ]

    def within(span: Span) -> tuple[int, ...]:
        return tuple(
            at for at, word in enumerate(words) if span[0] <= word.start and word.end <= span[1]
        )

    return Sentence(
        name,
        text,
        tuple(words),
        tuple(Link(relation, within(source), within(target)) for source, target, relation in links),
    )
