"""Universal Dependencies treebanks in CoNLL-U, plain or gzipped, read through the `conllu` library.

The words of the sentence are what relations link. Those of a multiword token have characters of their own where they
stand side by side in it ("do" and "n't"), and share them all where they don't ("à" and "le" in "au"). Empty nodes (1.1) are no words and are left out.
https://universaldependencies.org/format.html
"""

import gzip
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import conllu
from conllu.exceptions import ParseException

from headscope.corpora.base import Corpus, Link, Sentence, content_hash
from headscope.errors import HeadscopeError
from headscope.progress import say
from headscope.tags import Word

_COLUMNS = 10
_UNREAD = {name: lambda line, at: line[at] for name in ("xpos", "feats", "deps", "misc")}
_ENDINGS = (".conllu", ".conllu.gz")


def read(files: Sequence[Path], *, quiet: bool = False) -> Corpus:
    """The sentences of the files with a link from every word but the root and punctuation to its head.

    A link's relation is the one in the file, subtype included. A sentence whose words are not found in its text one
    after the other is left out and counted.

    Raises HeadscopeError for a file that is not there or is no CoNLL-U, with the line and what is wrong in it.
    """
    sentences: list[Sentence] = []
    counts: Counter[str] = Counter()
    for path in files:
        before = len(sentences)
        for number, lines in _blocks(path):
            one = _sentence(path, number, lines, counts)
            if one is not None:
                sentences.append(one)
        if not counts["sentences read"]:
            raise HeadscopeError(f"{path} holds no sentence: a CoNLL-U file has ten columns a word, a line each")
        say(f"{path.name}: {len(sentences) - before} sentences", quiet=quiet)
    counts["links"] = sum(len(one.links) for one in sentences)
    names = ("sentences read", "words", "multiword tokens", "empty nodes, left out",
             "sentences whose words are not in their text, left out", "links")  # fmt: skip
    return Corpus(
        name="ud:" + "+".join(_stem(path) for path in files),
        kind="ud",
        sentences=tuple(sentences),
        counts=tuple((name, counts[name]) for name in names),
        source=", ".join(map(str, files)),
        hash=content_hash(sentences),
    )


def language(path: Path) -> str:
    """The language's code by the file's name, as in `en_ewt-ud-train.conllu`; "" where it has none."""
    found = re.match(r"([a-z]{2,3})_[a-z0-9]+-ud-", path.name)
    return found.group(1) if found else ""


def _stem(path: Path) -> str:
    return next((path.name.removesuffix(e) for e in reversed(_ENDINGS) if path.name.endswith(e)), path.stem)


def _blocks(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines of every sentence, with the number of the first."""
    number, first = 0, 1
    lines: list[str] = []
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                line = raw.decode("utf-8").rstrip("\r\n")
                if line.strip():
                    first = first if lines else number
                    lines.append(line)
                elif lines:
                    yield first, lines
                    lines = []
    except UnicodeDecodeError as error:
        raise HeadscopeError(f"{path}, line {number}, is not UTF-8 ({error.reason}): CoNLL-U files are") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise HeadscopeError(f"{path} is damaged after line {number} ({error}): fetch it again") from error
    if lines:
        yield first, lines


def _sentence(path: Path, number: int, lines: list[str], counts: Counter[str]) -> Sentence | None:
    rows = [line for line in lines if not line.startswith("#")]
    for at, line in enumerate(lines):
        if not line.startswith("#") and line.count("\t") != _COLUMNS - 1:
            raise _wrong(path, number + at, f"it has {line.count(chr(9)) + 1} columns separated by tabs, not ten")
    if not rows:
        raise _wrong(path, number, "a sentence has comments only")
    try:
        (parsed,) = conllu.parse("\n".join(lines) + "\n\n", field_parsers=_UNREAD)
    except ParseException as error:
        raise _wrong(path, number + _first_broken(lines), str(error).rstrip(".")) from error
    words = [token for token in parsed if isinstance(token["id"], int)]
    where = {token["id"]: number + lines.index(row) for token, row in zip(parsed, rows, strict=True)}
    _check(path, words, where)
    counts["sentences read"] += 1
    counts["words"] += len(words)
    counts["multiword tokens"] += sum(isinstance(t["id"], tuple) and t["id"][1] == "-" for t in parsed)
    counts["empty nodes, left out"] += sum(isinstance(t["id"], tuple) and t["id"][1] == "." for t in parsed)
    surface = list(_surface(parsed))
    text = parsed.metadata.get("text") or ""
    placed = _placed(text, [form for _, form, _ in surface])
    if placed is None:
        text = "".join(form + gap for _, form, gap in surface).strip()
        placed = _placed(text, [form for _, form, _ in surface])
    if placed is None:
        counts["sentences whose words are not in their text, left out"] += 1
        return None
    spans: dict[int, tuple[int, int]] = {}
    for (ids, form, _), span in zip(surface, placed, strict=True):
        spans |= _shared(ids, form, span, [words[i - 1]["form"] for i in ids])
    tagged = tuple(
        Word(
            form=token["form"],
            lemma=token["lemma"] or token["form"],
            start=spans[token["id"]][0],
            end=spans[token["id"]][1],
            upos=token["upos"] or "X",
            relation=token["deprel"] or "dep",
            head=token["head"] - 1,
        )
        for token in words
    )
    links = tuple(
        Link(word.relation, (at,), (word.head,))
        for at, word in enumerate(tagged)
        if word.head >= 0 and word.relation.split(":")[0] not in ("punct", "root")
    )
    name = parsed.metadata.get("sent_id") or f"{_stem(path)}, line {number}"
    return Sentence(name, text, tagged, links)


def _wrong(path: Path, line: int, what: str) -> HeadscopeError:
    return HeadscopeError(f"{path}, line {line}, is no CoNLL-U: {what}")


def _first_broken(lines: Sequence[str]) -> int:
    """The place of the first line that the library cannot read by itself."""
    for at, line in enumerate(lines):
        try:
            conllu.parse(line + "\n\n", field_parsers=_UNREAD)
        except ParseException:
            return at
    return 0


def _check(path: Path, words: Sequence[Any], where: dict[Any, int]) -> None:
    """Raises HeadscopeError unless words are numbered from 1 and their heads make a tree."""
    if not words:
        raise _wrong(path, min(where.values()), "a sentence has no word")
    for at, word in enumerate(words, 1):
        line = where[word["id"]]
        if word["id"] != at:
            raise _wrong(path, line, f"the word is numbered {word['id']}, and word {at} is next")
        head = word["head"]
        if head is None or not 0 <= head <= len(words):
            raise _wrong(
                path, line, f"the head is {head if head is not None else '_'} in a sentence of {len(words)} words"
            )
    roots = [word for word in words if word["head"] == 0]
    if len(roots) != 1:
        line = where[roots[1]["id"]] if roots else where[1]
        raise _wrong(path, line, f"the sentence has {len(roots)} roots, not one")
    seen: dict[int, int] = {0: 0}
    for word in words:
        at, walked = word["id"], []
        while at not in seen:
            seen[at] = word["id"]
            walked.append(at)
            at = words[at - 1]["head"]
        if at in walked:
            raise _wrong(path, where[at], f"word {at} is above itself")


def _surface(parsed: Any) -> Iterator[tuple[tuple[int, ...], str, str]]:
    """(numbers of the words, form, what follows) of every token as it is written."""
    covered = 0
    for token in parsed:
        number = token["id"]
        gap = "" if "SpaceAfter=No" in (token["misc"] or "").split("|") else " "
        if isinstance(number, tuple):
            if number[1] == "-":
                covered = number[2]
                yield tuple(range(number[0], number[2] + 1)), token["form"], gap
        elif number > covered:
            yield (number,), token["form"], gap


def _shared(ids: Sequence[int], form: str, span: tuple[int, int], forms: Sequence[str]) -> dict[int, tuple[int, int]]:
    """The characters of every word of a token: "don't" is "do" and "n't" side by side, "au" is "à" and "le" in one."""
    if len(ids) == 1 or "".join(forms) != form or span[1] - span[0] != len(form):
        return dict.fromkeys(ids, span)
    ends = list(accumulate(map(len, forms), initial=span[0]))
    return dict(zip(ids, pairwise(ends), strict=True))


def _placed(text: str, forms: Sequence[str]) -> list[tuple[int, int]] | None:
    """Where the forms stand in the text, one after the other; None if they don't, or if anything but white space is
    left over. White space within a form matches any, and so do the two normal forms of a character."""
    at, found = 0, []
    for form in forms:
        while at < len(text) and text[at].isspace():
            at += 1
        end = at + len(form)
        if text[at:end] != form:
            pattern = r"\s+".join(map(re.escape, form.split()))
            match = re.compile(pattern).match(text, at) if form.split() else None
            if match is not None:
                end = match.end()
            elif (length := _alike(text[at:], form)) is not None:
                end = at + length
            else:
                return None
        found.append((at, end))
        at = end
    return found if not text[at:].strip() else None


def _alike(text: str, form: str) -> int | None:
    """How many of the first characters of `text` are `form` in another normal form."""
    wanted = unicodedata.normalize("NFC", form)
    for length in range(1, min(len(text), 2 * len(form) + 4) + 1):
        if unicodedata.normalize("NFC", text[:length]) == wanted and not (
            length < len(text) and unicodedata.combining(text[length])
        ):
            return length
    return None
