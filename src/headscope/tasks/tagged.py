"""Sentences whose every word has a tag: from treebanks, files of columns, and tables whose rows are
lists.

Source of the files of columns: Tjong Kim Sang & De Meulder (2003), CoNLL (a word a line, its tag in
the last column, an empty line after a sentence).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headscope.corpora import ud
from headscope.errors import HeadscopeError
from headscope.examples import Split, Word
from headscope.stats.metrics import NO_LABEL
from headscope.tasks.finding import COLUMNS, TREEBANKS, Named, where
from headscope.tasks.own import Chosen
from headscope.tasks.tables import class_names, read_columns, read_text

WORDS = ("tokens", "words", "forms", "sentence", "text")
"""Names of columns that are taken for the words, the likeliest first."""
TAGS = ("ner_tags", "tags", "labels", "upos", "pos_tags", "label", "pos")
"""The same for their tags."""
_TREEBANK_TAGS = ("upos", "deprel")


@dataclass(frozen=True)
class Tagged:
    """Sentences with a tag for every word.

    Attributes:
        texts: The sentences.
        spans: Where their words begin and end.
        tags: The tags of their words.
        notes: What was left out or guessed.
        words: Their words with all that a treebank says of them; None of other files.
    """

    texts: tuple[str, ...]
    spans: tuple[tuple[tuple[int, int], ...], ...]
    tags: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    words: tuple[tuple[Word, ...], ...] | None = None

    @classmethod
    def of(cls, sentences: Iterable[tuple[Sequence[str], Sequence[str]]], where: str) -> "Tagged":
        """Words and tags, sentence by sentence; the words are joined by spaces.

        Raises:
            HeadscopeError: A sentence has more words than tags, or fewer; or there is no sentence.
        """
        texts, spans, tags = [], [], []
        empty = blank = 0
        for number, (words, of_words) in enumerate(sentences, start=1):
            if len(words) != len(of_words):
                raise HeadscopeError(
                    f"{where}, row {number}: {len(words)} words have {len(of_words)} tags: give "
                    "every word one"
                )
            # A tokenizer sees no word where there is none, so such words cannot have a tag.
            whole = [pair for pair in zip(words, of_words, strict=True) if pair[0].strip()]
            empty += not whole
            blank += len(words) - len(whole) if whole else 0
            if whole:
                forms = [word for word, _ in whole]
                texts.append(" ".join(forms))
                spans.append(_spans(forms))
                tags.append(tuple(tag for _, tag in whole))
        if not texts:
            raise HeadscopeError(f"{where} holds no sentence: tags need at least one")
        notes = [
            f"{where}: {count:,} {what} left out"
            for count, what in (
                (empty, "rows without words"),
                (blank, "words of white space alone"),
            )
            if count
        ]
        return cls(tuple(texts), tuple(spans), tuple(tags), tuple(notes))

    def split(self, labels: Sequence[str], width: int) -> Split:
        """The sentences with their tags as indices of `labels`, filled up to `width`."""
        numbers = {label: number for number, label in enumerate(labels)}
        filled = np.full((len(self.texts), width), NO_LABEL, dtype=np.int64)
        for row, tags in enumerate(self.tags):
            filled[row, : len(tags)] = [numbers[tag] for tag in tags]
        words = None if self.words is None else tuple((of_text,) for of_text in self.words)
        return Split(self.texts, None, filled, words=words, spans=self.spans, notes=self.notes)

    @property
    def longest(self) -> int:
        """The most words of a sentence."""
        return max(map(len, self.tags))


def _spans(forms: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Where words stand that are joined by spaces."""
    spans = []
    start = 0
    for form in forms:
        spans.append((start, start + len(form)))
        start += len(form) + 1
    return tuple(spans)


def form_of(path: Path) -> str:
    """Whether a file is a treebank, a file of columns, or a table."""
    name = path.name.lower()
    if name.endswith(TREEBANKS):
        return "treebank"
    if name.removesuffix(".gz").endswith(COLUMNS):
        return "columns"
    return "table"


def read_tagged(files: Sequence[Path], chosen: Chosen) -> Tagged:
    """The sentences of the files of a split."""
    form = form_of(files[0])
    if form == "treebank":
        return _treebank(files, chosen)
    if form == "columns":
        chosen.refuse("a file of columns")
        return _columns(files[0])
    return _table(files, chosen)


def _treebank(files: Sequence[Path], chosen: Chosen) -> Tagged:
    column = chosen.label or "upos"
    if column not in _TREEBANK_TAGS or chosen.columns is not None:
        raise HeadscopeError(
            f"of a treebank the tags are {' or '.join(_TREEBANK_TAGS)}, by --label, got {column}; "
            "it says itself what its words are"
        )
    corpus = ud.read(files, quiet=True)
    texts, spans, tags = [], [], []
    for sentence in corpus.sentences:
        texts.append(sentence.text)
        spans.append(tuple((word.start, word.end) for word in sentence.words))
        tags.append(
            tuple(word.upos if column == "upos" else word.relation for word in sentence.words)
        )
    words = tuple(sentence.words for sentence in corpus.sentences)
    return Tagged(tuple(texts), tuple(spans), tuple(tags), words=words)


def _columns(file: Path) -> Tagged:
    """The sentences of a file of columns: the first column is the word, the last its tag."""
    form = "conll.gz" if file.name.lower().endswith(".gz") else "conll"
    text = read_text(Named(file, file.stem, form, 0, 0))
    sentences: list[tuple[list[str], list[str]]] = []
    words: list[str] = []
    tags: list[str] = []
    columns = comments = 0
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        cells = _cells(line)
        if line.startswith("# ") and not words:
            # Within a sentence it is a word: a number sign, or a pound in the Wall Street Journal.
            comments += 1
        elif cells and not line.startswith("-DOCSTART-"):
            columns = columns or len(cells)
            if not 2 <= len(cells) == columns:
                raise HeadscopeError(
                    f"{file}, line {number}: expected a word and its tag in {max(columns, 2)} "
                    f"columns, got {line.strip()[:40]!r}"
                )
            words.append(cells[0])
            tags.append(cells[-1])
        elif words:
            sentences.append((words, tags))
            words, tags = [], []
    _check_words(sentences, file)
    tagged = Tagged.of(sentences, str(file))
    if not comments:
        return tagged
    note = f"{file}: {comments} lines before sentences that begin with # left out as comments"
    return replace(tagged, notes=(*tagged.notes, note))


def _cells(line: str) -> list[str]:
    """The columns of a line: between tabs, where it has any, a word may hold spaces."""
    line = line.rstrip("\r\t ")
    if not line.strip():
        return []
    if "\t" in line:
        return [cell.strip(" ") for cell in re.split(r"\t+", line)]
    return re.split(" +", line.lstrip(" "))


def _check_words(sentences: Sequence[tuple[Sequence[str], object]], file: Path) -> None:
    """Raises HeadscopeError where the first column numbers the words, as in treebanks."""
    are_numbers = [
        words == [str(place + 1) for place in range(len(words))] for words, _ in sentences
    ]
    if sentences and all(are_numbers):
        raise HeadscopeError(
            f"{file}: the first column numbers the words, expected the words themselves: take that "
            "column out, or end the name of a treebank in .conllu"
        )


def _table(files: Sequence[Path], chosen: Chosen) -> Tagged:
    """The sentences of tables whose rows hold a list of words and a list of tags."""
    named = [Named.of(file) for file in files]
    tables = [read_columns(file) for file in named if file is not None]
    if len(tables) < len(files):
        raise HeadscopeError(
            f"{where(files[0])} is no table that can be read, nor a file of tags: expected "
            f"{', '.join((*TREEBANKS, *COLUMNS))}, parquet or jsonl"
        )
    called = where(files[0])
    lists = [name for name, column in tables[0].items() if _holds_lists(column)]
    if chosen.columns is not None and len(chosen.columns) > 1:
        raise HeadscopeError(
            f"--columns: words with tags are in one column, got {', '.join(chosen.columns)}"
        )
    asked = chosen.columns[0] if chosen.columns else None
    words = _column(asked, lists, WORDS, called, "--columns")
    others = [name for name in lists if name != words]
    tags = _column(chosen.label, others, TAGS, called, "--label")
    first = named[0]
    names = () if first is None else class_names(first, tags)
    rows = [
        pair
        for table in tables
        for pair in zip(_lists(table, words, called), _lists(table, tags, called), strict=True)
    ]
    with_names = []
    for number, (of_words, row) in enumerate(rows, start=1):
        at = f"{called}, row {number}"
        with_names.append(
            ([_word(word, at) for word in of_words], [_tag(tag, names, at) for tag in row])
        )
    tagged = Tagged.of(with_names, called)
    guesses = [
        f"{called}: the {what} are taken from {name!r}; {option} names another column"
        for what, name, option, given in (
            ("words", words, "--columns", chosen.columns),
            ("tags", tags, "--label", chosen.label),
        )
        if given is None
    ]
    return replace(tagged, notes=(*guesses, *tagged.notes))


def _column(
    given: str | None, lists: Sequence[str], usual: Sequence[str], called: str, option: str
) -> str:
    """The column that was named, or the one that bears a usual name, or the only one."""
    listed = ", ".join(lists) or "none"
    if given is not None:
        if given not in lists:
            raise HeadscopeError(
                f"{option}: {called} has no column {given!r} whose rows are lists; it has {listed}"
            )
        return given
    for name in usual:
        if name in lists:
            return name
    if len(lists) == 1:
        return lists[0]
    raise HeadscopeError(
        f"{called}: tags need a column with a list of words in every row and one with a list of "
        f"tags; columns of lists are {listed}: name one with {option}"
    )


def _holds_lists(column: Sequence[object]) -> bool:
    return any(isinstance(value, list) for value in column[:100])


def _lists(table: dict[str, list[object]], name: str, called: str) -> list[list[object]]:
    rows = []
    for number, value in enumerate(table.get(name, []), start=1):
        if not isinstance(value, list):
            raise HeadscopeError(
                f"{called}, row {number}: {name!r} is {str(value)[:40]!r}, expected a list"
            )
        rows.append(value)
    return rows


def _word(value: object, at: str) -> str:
    if not isinstance(value, str | int | float):
        raise HeadscopeError(f"{at}: {str(value)[:40]!r} is no word, expected a text")
    return str(value)


def _tag(value: object, names: Sequence[str], at: str) -> str:
    """A tag by its name, where the file says the names of its numbers.

    Raises:
        HeadscopeError: It is none: nothing, a negative number (which stands for no tag), or one
            that has no name.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, int) or value < 0 or (names and value >= len(names)):
        which = f"a number below {len(names)}" if names else "a text or a number"
        raise HeadscopeError(
            f"{at}: {str(value)[:40]!r} is no tag, expected {which}: give every word one, or leave "
            "the row out"
        )
    return names[value] if names else str(value)
