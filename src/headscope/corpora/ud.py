"""Universal Dependencies treebanks in CoNLL-U, plain or gzipped, read through the `conllu` library.

The words of the sentence are what relations link. Those of a multiword token have characters of
their own where they stand side by side in it ("do" and "n't"), and share them all where they don't
("à" and "le" in "au"). Empty nodes (1.1) are no words and are left out.
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

from conllu import Token, parse_token_and_metadata
from conllu.exceptions import ParseException

from headscope.corpora.base import Corpus, Link, Sentence, content_hash
from headscope.errors import HeadscopeError
from headscope.examples import Word
from headscope.progress import say

_COLUMNS = 10
_UNREAD = {name: lambda line, at: line[at] for name in ("xpos", "feats", "deps", "misc")}
_ENDINGS = (".conllu", ".conllu.gz")
# The library parts columns at two spaces, too, and cuts white space off a line with the columns
# that it empties.
_ODD = re.compile(r"^\s|  |\t\s*\t|\s$")
_READ, _MADE = "sentences read", "texts put together from their words"
_COUNTS = (_READ, "words", "multiword tokens", "empty nodes, left out", _MADE, "links")


def read(files: Sequence[Path], *, quiet: bool = False, limit: int | None = None) -> Corpus:
    """The sentences of the files, the first `limit` of them, with a link from every word to its
    head.

    The root and punctuation have no link; a link's relation is the one in the file, subtype
    included. A word has the form that the text has, where white space or Unicode's normal form
    differ. Where there is no `# text`, or it is not the words one after the other, the text is put
    together from them and SpaceAfter=No; such texts are counted.

    Raises HeadscopeError for a file that is missing, damaged or no CoNLL-U, with the line and what
    is wrong in it.
    """
    sentences: list[Sentence] = []
    counts: Counter[str] = Counter()
    for path in files:
        before, read_before = len(sentences), counts[_READ]
        for number, lines in _blocks(path):
            if limit is not None and counts[_READ] >= limit:
                break
            sentences.append(_sentence(path, number, lines, counts))
        else:
            if counts[_READ] == read_before:
                raise HeadscopeError(
                    f"{path} holds no sentence: a CoNLL-U file has ten columns a word, a line each"
                )
        say(f"{path.name}: {len(sentences) - before} sentences", quiet=quiet)
    counts["links"] = sum(len(one.links) for one in sentences)
    return Corpus(
        name="ud:" + "+".join(_stem(path) for path in files),
        kind="ud",
        sentences=tuple(sentences),
        counts=tuple((name, counts[name]) for name in _COUNTS),
        source=", ".join(map(str, files)),
        hash=content_hash(sentences),
    )


def language(path: Path) -> str:
    """The language's code by the file's name, as in `en_ewt-ud-train.conllu`; "" where it has
    none.
    """
    found = re.match(r"([a-z]{2,3})_[a-z0-9]+-ud-", path.name)
    return found.group(1) if found else ""


def _stem(path: Path) -> str:
    return next(
        (path.name.removesuffix(e) for e in reversed(_ENDINGS) if path.name.endswith(e)), path.stem
    )


def _blocks(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines of every sentence, with the number of the first."""
    number, first = 0, 1
    lines: list[str] = []
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if line.strip():
                    first = first if lines else number
                    lines.append(line)
                elif lines:
                    yield first, lines
                    lines = []
    except UnicodeDecodeError as error:
        raise HeadscopeError(
            f"{path}, line {number}, is not UTF-8 ({error.reason}): CoNLL-U files are"
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise HeadscopeError(
            f"{path} is damaged after line {number} ({error}): fetch it again"
        ) from error
    except OSError as error:
        raise HeadscopeError(
            f"{path} cannot be read ({error.strerror}): name a .conllu or .conllu.gz file"
        ) from error
    if lines:
        yield first, lines


def _sentence(path: Path, number: int, lines: list[str], counts: Counter[str]) -> Sentence:
    rows = [(number + at, line) for at, line in enumerate(lines) if not line.startswith("#")]
    if not rows:
        raise _wrong(path, number, "a sentence has comments only")
    at, clean = [line for line, _ in rows], [_row(path, *row) for row in rows]
    try:
        parsed = parse_token_and_metadata(
            "\n".join([line for line in lines if line.startswith("#")] + clean),
            field_parsers=_UNREAD,
        )
    except (ParseException, ValueError) as error:
        line, what = _first_broken(at, clean)
        raise _wrong(path, line, what) from error
    words = [token for token in parsed if isinstance(token["id"], int)]
    _check_numbers(path, parsed, at)
    _check_tree(
        path,
        words,
        [line for token, line in zip(parsed, at, strict=True) if isinstance(token["id"], int)],
    )
    counts[_READ] += 1
    counts["words"] += len(words)
    kinds = Counter(token["id"][1] for token in parsed if isinstance(token["id"], tuple))
    counts["multiword tokens"] += kinds["-"]
    counts["empty nodes, left out"] += kinds["."]
    surface = list(_surface(parsed))
    text = parsed.metadata.get("text") or ""
    placed = _placed(text, [form for _, form, _ in surface])
    if placed is None:
        text = "".join(form + gap for _, form, gap in surface).rstrip()
        starts = accumulate((len(form + gap) for _, form, gap in surface), initial=0)
        placed = [
            (start, start + len(form)) for (_, form, _), start in zip(surface, starts, strict=False)
        ]
        counts[_MADE] += 1
    spans: list[tuple[int, int]] = []
    own: list[str] = []
    for (ids, form, _), (start, end) in zip(surface, placed, strict=True):
        inner = [words[i - 1]["form"] for i in ids]
        if len(ids) > 1 and text[start:end] == form == "".join(inner):
            spans += pairwise(accumulate(map(len, inner), initial=start))
            own += inner
        else:
            spans += [(start, end)] * len(ids)
            own += inner if len(ids) > 1 else [text[start:end]]
    tagged = tuple(
        Word(
            form=form,
            lemma=token["lemma"],
            start=start,
            end=end,
            upos="X" if token["upos"] == "_" else token["upos"],
            relation=token["deprel"],
            head=token["head"] - 1,
        )
        for token, form, (start, end) in zip(words, own, spans, strict=True)
    )
    links = tuple(
        Link(word.relation, (at,), (word.head,))
        for at, word in enumerate(tagged)
        if word.head >= 0 and word.relation.split(":")[0] not in ("punct", "root")
    )
    return Sentence(
        parsed.metadata.get("sent_id") or f"{_stem(path)}, line {number}", text, tagged, links
    )


def _wrong(path: Path, line: int, what: str) -> HeadscopeError:
    return HeadscopeError(f"{path}, line {line}, is no CoNLL-U: {what}")


def _row(path: Path, number: int, line: str) -> str:
    """The line as the library reads it right. Raises HeadscopeError unless it has ten columns and a
    form.
    """
    tabs = line.count("\t")
    if tabs != _COLUMNS - 1:
        raise _wrong(
            path, number, f"it has {tabs + 1} column{'s' * bool(tabs)} separated by tabs, not ten"
        )
    if not _ODD.search(line):
        return line
    columns = line.split("\t")
    if not columns[1].strip():
        raise _wrong(path, number, "the word has no form")
    return "\t".join(re.sub(" {2,}", " ", column).strip() or "_" for column in columns)


def _first_broken(numbers: Sequence[int], rows: Sequence[str]) -> tuple[int, str]:
    """The first line that the library cannot read by itself, and what it says of it."""
    for number, row in zip(numbers, rows, strict=True):
        try:
            parse_token_and_metadata(row, field_parsers=_UNREAD)
        except (ParseException, ValueError) as error:
            return number, str(error).rstrip(".")
    return numbers[0], "it cannot be read"


def _check_numbers(path: Path, parsed: Sequence[Token], at: Sequence[int]) -> None:
    """Raises HeadscopeError unless words are numbered from 1, multiword tokens stand before their
    first word and share none, and empty nodes stand after the word that they are numbered by.
    """
    last, covered, begun = 0, 0, at[0]
    for token, line in zip(parsed, at, strict=True):
        number = token["id"]
        if isinstance(number, int):
            if number != last + 1:
                raise _wrong(
                    path, line, f"the word is numbered {number}, and word {last + 1} is next"
                )
            last = number
        elif number is None:
            raise _wrong(path, line, "the word has no number")
        elif number[1] == "-":
            start, _, end = number
            if start != last + 1:
                raise _wrong(
                    path, line, f"the multiword token {start}-{end} stands before word {last + 1}"
                )
            if start <= covered or end == start:
                fault = "shares words with the one before" if start <= covered else "is one word"
                raise _wrong(path, line, f"the multiword token {start}-{end} {fault}")
            covered, begun = end, line
        elif number[0] != last:
            raise _wrong(
                path, line, f"the empty node {number[0]}.{number[2]} stands after word {last}"
            )
    if not last:
        raise _wrong(path, at[0], "a sentence has no word")
    if covered > last:
        raise _wrong(
            path,
            begun,
            f"the multiword token ends with word {covered} in a sentence of {last} words",
        )


def _check_tree(path: Path, words: Sequence[Token], at: Sequence[int]) -> None:
    """Raises HeadscopeError unless the heads make a tree and every word has a relation."""
    for word, line in zip(words, at, strict=True):
        head = word["head"]
        if head is None or not 0 <= head <= len(words):
            shown = "_" if head is None else head
            raise _wrong(path, line, f"the head is {shown} in a sentence of {len(words)} words")
        if word["deprel"] == "_":
            raise _wrong(path, line, "the word has no relation to its head")
    roots = [line for word, line in zip(words, at, strict=True) if word["head"] == 0]
    if len(roots) != 1:
        raise _wrong(
            path, roots[1] if roots else at[0], f"the sentence has {len(roots)} roots, not one"
        )
    seen = {0}
    for word in words:
        here, walked = word["id"], set()
        while here not in seen:
            seen.add(here)
            walked.add(here)
            here = words[here - 1]["head"]
        if here in walked:
            raise _wrong(path, at[here - 1], f"word {here} is above itself")


def _surface(parsed: Sequence[Token]) -> Iterator[tuple[tuple[int, ...], str, str]]:
    """(numbers of the words, form, what follows) of every token as it is written."""
    covered = 0
    for token in parsed:
        number = token["id"]
        gap = "" if "SpaceAfter=No" in token["misc"].split("|") else " "
        if isinstance(number, tuple):
            if number[1] == "-":
                covered = number[2]
                yield tuple(range(number[0], number[2] + 1)), token["form"].strip(), gap
        elif number > covered:
            yield (number,), token["form"].strip(), gap


def _placed(text: str, forms: Sequence[str]) -> list[tuple[int, int]] | None:
    """Where the forms stand in the text, one after the other; None if they don't, or if anything
    but white space is left over.
    """
    at, found = 0, []
    for form in forms:
        at = _past_space(text, at)
        end = at + len(form) if text.startswith(form, at) else _end(text, at, form)
        if end is None:
            return None
        found.append((at, end))
        at = end
    return found if _past_space(text, at) == len(text) else None


def _past_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _end(text: str, at: int, form: str) -> int | None:
    """Where the form that begins at `at` ends if white space within it matches any, and a character
    any of its normal forms; None if it is not there.
    """
    parts = form.split()
    for which, part in enumerate(parts):
        start = _past_space(text, at) if which else at
        if which and start == at:
            return None
        wanted = unicodedata.normalize("NFD", part)
        at, length = start, 0
        while length < len(wanted) and at < len(text):
            length += len(unicodedata.normalize("NFD", text[at]))
            at += 1
        if unicodedata.normalize("NFD", text[start:at]) != wanted:
            return None
    return at if parts else None
