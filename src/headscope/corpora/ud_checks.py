"""Lines of CoNLL-U to rows that are checked: numbers, multiword tokens, empty nodes, the tree."""

import re
from collections.abc import Sequence

from conllu import Token, parse_token_and_metadata
from conllu.exceptions import ParseException

_COLUMNS = 10
_UNREAD = {name: lambda line, at: line[at] for name in ("xpos", "feats", "deps", "misc")}
# The library parts columns at two spaces, too, and cuts white space off a line with the columns
# that it empties.
_ODD = re.compile(r"^\s|  |\t\s*\t|\s$")
Number = tuple[int, str, int]
"""The number of a multiword token, as (3, "-", 4), or of an empty node, as (3, ".", 1)."""


class NotConlluError(Exception):
    """Says what is wrong with a line, and its number."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


def parse(block: Sequence[str], first: int) -> tuple[list[Token], dict[str, str]]:
    """The rows of a sentence, and what its comments say.

    Args:
        block: Its lines.
        first: The number of the first line.

    Raises:
        NotConlluError: The lines are not a sentence in CoNLL-U.
    """
    comments = [line for line in block if line.startswith("#")]
    lines: list[int] = []
    rows: list[str] = []
    for number, line in enumerate(block, first):
        if not line.startswith("#"):
            lines.append(number)
            rows.append(_clean(line, number))
    if not rows:
        raise NotConlluError(first, "a sentence has comments only")
    try:
        parsed = parse_token_and_metadata("\n".join(comments + rows), field_parsers=_UNREAD)
    except (ParseException, ValueError) as error:
        raise _first_broken(lines, rows) from error
    _check_numbers(parsed, lines)
    words: list[Token] = []
    lines_of_words: list[int] = []
    for token, number in zip(parsed, lines, strict=True):
        if isinstance(token["id"], int):
            words.append(token)
            lines_of_words.append(number)
    _check_heads(words, lines_of_words)
    _check_root(words, lines_of_words)
    _check_cycles(words, lines_of_words)
    return list(parsed), dict(parsed.metadata)


def _clean(line: str, number: int) -> str:
    """The line as the library reads it right. Raises unless it has ten columns and a form."""
    columns = line.split("\t")
    if len(columns) != _COLUMNS:
        plural = "s" if len(columns) > 1 else ""
        raise NotConlluError(
            number, f"it has {len(columns)} column{plural} separated by tabs, not ten"
        )
    if not _ODD.search(line):
        return line
    if not columns[1].strip():
        raise NotConlluError(number, "the word has no form")
    return "\t".join(re.sub(" {2,}", " ", column).strip() or "_" for column in columns)


def _first_broken(lines: Sequence[int], rows: Sequence[str]) -> NotConlluError:
    """The error for the first row that the library cannot read by itself."""
    for line, row in zip(lines, rows, strict=True):
        try:
            parse_token_and_metadata(row, field_parsers=_UNREAD)
        except (ParseException, ValueError) as error:
            return NotConlluError(line, str(error).rstrip("."))
    return NotConlluError(lines[0], "it cannot be read")


def _check_numbers(tokens: Sequence[Token], lines: Sequence[int]) -> None:
    """Raises unless every token has the number that its place asks for."""
    last, covered, line_of_covered = 0, 0, lines[0]
    for token, line in zip(tokens, lines, strict=True):
        number = token["id"]
        if number is None:
            raise NotConlluError(line, "the word has no number")
        if isinstance(number, int):
            if number != last + 1:
                what = f"the word is numbered {number}, and word {last + 1} is next"
                raise NotConlluError(line, what)
            last = number
        elif number[1] == "-":
            _check_multiword(number, last, covered, line)
            covered, line_of_covered = number[2], line
        else:
            _check_empty_node(number, last, line)
    if not last:
        raise NotConlluError(lines[0], "a sentence has no word")
    if covered > last:
        what = f"the multiword token ends with word {covered} in a sentence of {last} words"
        raise NotConlluError(line_of_covered, what)


def _check_multiword(number: Number, last: int, covered: int, line: int) -> None:
    """Raises unless a multiword token stands before its first word, has several and shares none.

    Args:
        number: Its number.
        last: The number of the last word before it.
        covered: The number of the last word of the multiword token before it.
        line: The number of its line.
    """
    start, _, end = number
    name = f"the multiword token {start}-{end}"
    if start != last + 1:
        raise NotConlluError(line, f"{name} stands before word {last + 1}")
    if start <= covered:
        raise NotConlluError(line, f"{name} shares words with the one before")
    if end == start:
        raise NotConlluError(line, f"{name} is one word")


def _check_empty_node(number: Number, last: int, line: int) -> None:
    """Raises unless an empty node stands after the word that it is numbered by."""
    word, _, place = number
    if word != last:
        raise NotConlluError(line, f"the empty node {word}.{place} stands after word {last}")


def _check_heads(words: Sequence[Token], lines: Sequence[int]) -> None:
    """Raises unless every word has a head in the sentence and a relation to it."""
    for word, line in zip(words, lines, strict=True):
        head = word["head"]
        if head is None or not 0 <= head <= len(words):
            shown = "_" if head is None else head
            what = f"the head is {shown} in a sentence of {len(words)} words"
            raise NotConlluError(line, what)
        if word["deprel"] == "_":
            raise NotConlluError(line, "the word has no relation to its head")


def _check_root(words: Sequence[Token], lines: Sequence[int]) -> None:
    """Raises unless one word is the root."""
    roots = [line for word, line in zip(words, lines, strict=True) if word["head"] == 0]
    if len(roots) != 1:
        line = roots[1] if roots else lines[0]
        raise NotConlluError(line, f"the sentence has {len(roots)} roots, not one")


def _check_cycles(words: Sequence[Token], lines: Sequence[int]) -> None:
    """Raises if a word is above itself."""
    seen = {0}
    for word in words:
        # Up from the word to one that was seen before: it leads to the root, or was just passed.
        number, passed = word["id"], set()
        while number not in seen:
            seen.add(number)
            passed.add(number)
            number = words[number - 1]["head"]
        if number in passed:
            raise NotConlluError(lines[number - 1], f"word {number} is above itself")
