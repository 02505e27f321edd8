"""Questions about texts, as a model reads them: a question with a window of the text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from headscope.errors import HeadscopeError
from headscope.examples import Answer, Question, Split
from headscope.model.classes import OF_QUESTIONS
from headscope.model.encoding import check_room, encoded_tokens
from headscope.model.span_scores import CONTEXT, END, NONE, START
from headscope.model.token_marks import Marked, with_labels
from headscope.model.tokenized import Tokens, tokenized
from headscope.model.windows import Windows
from headscope.stats.answers import true_labels

OVERLAP = 128
"""How many tokens of a text two windows share, where they have room for twice as many."""


def _questions(split: Split) -> tuple[tuple[Question, ...], ...]:
    if split.questions is None:
        raise HeadscopeError("answers are sought to questions, and the examples have none")
    return split.questions


@dataclass(frozen=True)
class QuestionMarker:
    """Reads questions in windows, and marks the true answers.

    Attributes:
        kind: What `--as` calls it.
        head: Which kind of head answers.
        unit: What the examples are called.
        scored: What is scored of them.
        allows_none: Whether no answer is one.
    """

    kind: ClassVar = "qa"
    head: ClassVar = OF_QUESTIONS
    unit: ClassVar = "texts"
    scored: ClassVar = "questions"

    allows_none: bool

    def read(self, split: Split, tokenizer: Any, max_length: int, called: str) -> Marked:
        """Texts with questions as a model reads them.

        A text that is too long is read in windows that overlap by `OVERLAP` tokens, or by half of
        their room where that is less. Where no window has the whole true answer (of several, the
        first), the one with most of it has the loss.

        Args:
            split: The texts and the questions.
            tokenizer: The model's.
            max_length: The most tokens of a window.
            called: What a note calls the texts.

        Raises:
            HeadscopeError: No question can be read, or the tokenizer has no [CLS].
        """
        check_room(max_length, tokenizer, 2)
        asked = [
            (row, question)
            for row, questions in enumerate(_questions(split))
            for question in questions
        ]
        read = _read(split, asked, tokenizer, max_length)
        kept = [number for number, one in enumerate(read) if one.is_placed]
        if asked and not kept:
            raise HeadscopeError(
                f"of no question about the {len(split)} {called} is it known where the tokens of "
                "the text stand in it, so answers have no text: take a model with a fast tokenizer"
            )
        joining = _joining(
            _only(split, [asked[number] for number in kept]),
            [read[number] for number in kept],
            tokenizer,
            max_length,
            allows_none=self.allows_none,
        )
        notes = _notes([read[number] for number in kept], len(asked), called, max_length)
        return Marked(joining.split, joining.encoded, notes, joining)


def _read(
    split: Split, asked: Sequence[tuple[int, Question]], tokenizer: Any, max_length: int
) -> list["_Read"]:
    """Every question with the windows of its text."""
    if not asked:
        return []
    questions = [question.text for _, question in asked]
    texts = [split.first[row] for row, _ in asked]
    whole = tokenized(questions, texts, tokenizer)
    return [
        _Read.of(question, tokens, max_length)
        for (_, question), tokens in zip(asked, whole, strict=True)
    ]


def _joining(
    split: Split, read: Sequence["_Read"], tokenizer: Any, max_length: int, *, allows_none: bool
) -> Windows:
    """The windows of all questions, one after the other, with the marks of their tokens."""
    windows = [window for one in read for window in one.windows]
    encoded = encoded_tokens(windows, tokenizer, max_length)
    if windows and encoded.cls is None:
        raise HeadscopeError(
            "the tokenizer puts no [CLS] beside a text, which stands for no answer: take a model "
            "of a family that has it, as bert"
        )
    marks: list[list[int]] = []
    first = []
    for one in read:
        first.append(len(marks))
        rows = range(len(marks), len(marks) + len(one.windows))
        marks += one.marks([encoded.cls_place(row) for row in rows])
    has_answer = [any(mark & START for mark in of_window) for of_window in marks]
    places = [
        (row, number)
        for row, questions in enumerate(_questions(split))
        for number in range(len(questions))
    ]
    return Windows(
        split=split,
        questions=tuple(one.question for one in read),
        encoded=with_labels(encoded, marks),
        places=tuple(places),
        first=np.array(first, dtype=np.int64),
        has_answer=np.array(has_answer, dtype=np.bool_),
        allows_none=allows_none,
    )


def _only(split: Split, kept: Sequence[tuple[int, Question]]) -> Split:
    """The texts with some of their questions, without those that have none left."""
    of_row: dict[int, list[Question]] = {}
    for row, question in kept:
        of_row.setdefault(row, []).append(question)
    left = split.take(np.array(list(of_row), dtype=np.int64))
    questions = tuple(map(tuple, of_row.values()))
    labels = true_labels([len(of_text) for of_text in questions], split.labels.shape[1])
    return replace(left, questions=questions, labels=labels)


@dataclass(frozen=True, eq=False)
class _Read:
    """A question with its text as tokens.

    Attributes:
        question: The question.
        windows: The question with each window of the text.
        spans: For every window the first and the last token of the part of the answer in it; None
            where it has none. [CLS] is where there is no answer.
        is_whole: Whether a window has the whole answer.
        is_cut: Whether the question was cut.
        is_placed: Whether the tokens of the answer are known.
    """

    question: Question
    windows: list[Tokens]
    spans: list[tuple[int, int] | None]
    is_whole: bool
    is_cut: bool
    is_placed: bool

    @classmethod
    def of(cls, question: Question, whole: Tokens, max_length: int) -> "_Read":
        """The windows of a text and the answer in them."""
        room = max_length - whole.texts.count(None)
        asked = whole.texts.count(0)
        # A long question leaves half of the room to the text.
        most = min(asked, room // 2)
        windows = list(_windows(whole, most, room - most))
        if not question.answers:
            is_placed = whole.is_placed and 1 in whole.texts
            return cls(question, windows, [None] * len(windows), True, most < asked, is_placed)
        answer = question.answers[0]
        all_tokens = len(_tokens_of(whole, answer))
        parts = [_tokens_of(window, answer) for window in windows]
        largest = max(map(len, parts), default=0)
        spans = [
            (tokens[0], tokens[-1]) if tokens and len(tokens) == largest else None
            for tokens in parts
        ]
        if largest < all_tokens:
            # Of several windows with as much of it, the first.
            begun = [number for number, span in enumerate(spans) if span is not None]
            spans = [span if number == begun[0] else None for number, span in enumerate(spans)]
        return cls(question, windows, spans, largest == all_tokens, most < asked, largest > 0)

    def marks(self, none: Sequence[int]) -> list[list[int]]:
        """What the tokens of every window are (`span_scores`), by the place of its [CLS]."""
        marks = []
        for window, span, cls in zip(self.windows, self.spans, none, strict=True):
            of_window = [CONTEXT if text == 1 else 0 for text in window.texts]
            of_window[cls] |= NONE
            if not self.question.answers:
                span = (cls, cls)
            if span is not None:
                of_window[span[0]] |= START
                of_window[span[1]] |= END
            marks.append(of_window)
        return marks


def _windows(whole: Tokens, asked: int, room: int) -> Iterator[Tokens]:
    """A question's first tokens with so many tokens of the text at a time."""
    context = [place for place, text in enumerate(whole.texts) if text == 1]
    question = [place for place, text in enumerate(whole.texts) if text == 0]
    always = {*question[:asked], *(place for place, text in enumerate(whole.texts) if text is None)}
    step = room - min(OVERLAP, room // 2)
    for start in range(0, max(1, len(context)), step):
        stays = {*always, *context[start : start + room]}
        yield whole.only([place in stays for place in range(len(whole))])
        if start + room >= len(context):
            return


def _tokens_of(tokens: Tokens, answer: Answer) -> list[int]:
    """The tokens of the text that share a character with an answer."""
    if not tokens.is_placed:
        return []
    return [
        place
        for place, (text, (start, end)) in enumerate(zip(tokens.texts, tokens.offsets, strict=True))
        if text == 1 and start < answer.end and end > answer.start
    ]


def _notes(read: Sequence[_Read], asked: int, called: str, max_length: int) -> tuple[str, ...]:
    """What the user must know of how the questions were read."""
    of = f"of {len(read):,} questions about {called}"
    several = sum(len(one.windows) > 1 for one in read)
    parts = sum(not one.is_whole for one in read)
    cut = sum(one.is_cut for one in read)
    none = sum(not one.question.answers for one in read)
    notes = (
        (
            asked - len(read),
            f"of {asked:,} questions about {called} the answer has no token: left out",
        ),
        (
            several,
            f"{of} are read in several windows of {max_length} tokens; the best answer of all "
            "counts",
        ),
        (parts, f"{of} no window has the whole answer: their loss is of the part in one window"),
        (cut, f"{of} were cut to leave half of a window to the text"),
        (none, f"{of} have no answer: to say so is right"),
    )
    return tuple(f"{count:,} {note}" for count, note in notes if count)
