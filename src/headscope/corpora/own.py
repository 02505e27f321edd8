"""One's own relations: a file of tab-separated lines, `sentence`, `source`, `target`, `relation`.

    sentence                        source   target   relation
    The nurse thanked the pilot.    nurse    thanked  agent
    The nurse thanked the pilot.    18:27    thanked  patient

A span is written out where it occurs once in the sentence, or as START:END, characters counted from 0, END left out.
Lines with the same sentence are links of one.
"""

import csv
import re
from itertools import pairwise
from pathlib import Path

from headscope.corpora.base import Corpus, Link, Sentence, content_hash
from headscope.errors import HeadscopeError
from headscope.tags import Word
from headscope.words import segment

COLUMNS = ("sentence", "source", "target", "relation")
_OFFSETS = re.compile(r"(\d+):(\d+)")
Span = tuple[int, int]


def read(path: Path) -> Corpus:
    """The sentences of the file, cut into words at white space, at punctuation, and where a span begins or ends.

    Raises HeadscopeError, with the line, for a file that is not as said above.
    """
    found: dict[str, list[tuple[Span, Span, str]]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            header = tuple(name.strip().casefold() for name in next(lines, []))
            if header != COLUMNS:
                raise HeadscopeError(
                    f"{path} begins with the columns {', '.join(header) or 'of an empty line'}: the first line is "
                    f"{', '.join(COLUMNS)}, separated by tabs"
                )
            for number, row in enumerate(lines, 2):
                if not any(row):
                    continue
                if len(row) != len(COLUMNS):
                    raise _wrong(path, number, f"it has {len(row)} columns separated by tabs, not {len(COLUMNS)}")
                text, relation = row[0], row[3].strip()
                if not relation:
                    raise _wrong(path, number, "it names no relation")
                source, target = (_span(text, given, path, number) for given in row[1:3])
                if max(source[0], target[0]) < min(source[1], target[1]):
                    raise _wrong(path, number, f"its two spans, {row[1]!r} and {row[2]!r}, overlap")
                found.setdefault(text, []).append((source, target, relation))
    except UnicodeDecodeError as error:
        raise HeadscopeError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8") from error
    if not found:
        raise HeadscopeError(f"{path} has no line after the header: give a link a line")
    sentences = tuple(_sentence(f"{path.name}, {at}", text, links) for at, (text, links) in enumerate(found.items(), 1))
    links = sum(len(own) for own in found.values())
    return Corpus(
        name=f"tsv:{path.stem}",
        kind="tsv",
        sentences=sentences,
        counts=(("sentences", len(sentences)), ("links", links)),
        source=str(path),
        hash=content_hash(sentences),
    )


def _wrong(path: Path, line: int, what: str) -> HeadscopeError:
    return HeadscopeError(f"{path}, line {line}: {what}")


def _span(text: str, given: str, path: Path, line: int) -> Span:
    offsets = _OFFSETS.fullmatch(given.strip())
    if offsets:
        start, end = int(offsets[1]), int(offsets[2])
        if not 0 <= start < end <= len(text) or not text[start:end].strip():
            raise _wrong(path, line, f"{given.strip()} names no characters of a sentence of {len(text)}")
        return start, end
    given = given.strip()
    places = [at for at in range(len(text)) if given and text.startswith(given, at)]
    whole = [at for at in places if not _inside(text, at) and not _inside(text, at + len(given))]
    if len(whole) != 1:
        how = f"stands {len(whole)} times in the sentence" if whole else "is not in the sentence as whole words"
        raise _wrong(path, line, f"{given!r} {how}: give the span as START:END, characters counted from 0")
    return whole[0], whole[0] + len(given)


def _inside(text: str, at: int) -> bool:
    """Whether a word goes on at this place."""
    return 0 < at < len(text) and text[at - 1].isalnum() and text[at].isalnum()


def _sentence(name: str, text: str, links: list[tuple[Span, Span, str]]) -> Sentence:
    borders = {at for source, target, _ in links for at in (*source, *target)}
    words = []
    for word in segment(text):
        cuts = sorted({word.start, word.end, *(at for at in borders if word.start < at < word.end)})
        words += [Word(text[a:b], text[a:b].casefold(), a, b, word.upos, "", -1) for a, b in pairwise(cuts)]

    def within(span: Span) -> tuple[int, ...]:
        return tuple(at for at, word in enumerate(words) if span[0] <= word.start and word.end <= span[1])

    return Sentence(
        name,
        text,
        tuple(words),
        tuple(Link(relation, within(source), within(target)) for source, target, relation in links),
    )
