"""Where the tokens of a text stand in it, for tokenizers that do not say: found by matching them.

Both are compared without case and without the forms that Unicode counts as compatible, character
by character, so that positions in the original text are kept.
"""

import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

Place = tuple[int, int]
"""Start and end in the text, in characters."""
_MARKS_BEFORE, _MARKS_AFTER = ("##", "\u2581"), ("@@", "</w>")


@dataclass(frozen=True)
class Marks:
    """How a tokenizer marks the parts of words: "##ing" in BERT's kin, "play@@" in PhoBERT's.

    Attributes:
        before: What may stand before the characters of a token.
        after: What may stand after them.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]

    @classmethod
    def of(cls, vocabulary: Collection[str]) -> "Marks":
        """The marks that tokens of a vocabulary have."""
        return cls(
            tuple(
                mark
                for mark in _MARKS_BEFORE
                if any(token.startswith(mark) and token != mark for token in vocabulary)
            ),
            tuple(
                mark
                for mark in _MARKS_AFTER
                if any(token.endswith(mark) and token != mark for token in vocabulary)
            ),
        )

    def without(self, token: str) -> str:
        """The characters of a token.

        >>> Marks(("##",), ()).without("##ing"), Marks(("##",), ()).without("##")
        ('ing', '##')
        """
        for mark in self.before:
            if token != mark:
                token = token.removeprefix(mark)
        for mark in self.after:
            if token != mark:
                token = token.removesuffix(mark)
        return token


@dataclass(frozen=True)
class _Unit:
    """A character of a text in the form in which it is compared.

    Attributes:
        form: Without case, decomposed.
        start: Where the character that it is of begins.
        end: Where that ends.
        can_be_dropped: Whether a tokenizer may leave it out: an accent, a control character.
        after_space: Whether white space stands before it.
    """

    form: str
    start: int
    end: int
    can_be_dropped: bool
    after_space: bool


def places(text: str, tokens: Sequence[str], marks: Marks, unknown: str) -> list[Place] | None:
    """Where the tokens of a text stand in it.

    A token that the tokenizer does not know stands for one or more characters without white space
    between them.

    Args:
        text: The text.
        tokens: Its tokens, without special tokens around them.
        marks: How the tokenizer marks the parts of words.
        unknown: What stands for what the tokenizer does not know.

    Returns:
        A start and an end each, or None where the tokens do not match the text, or match it in more
        than one way.

    >>> places("Don\u0027t ab\u00e9", ["don", "\u0027", "t", "abe"], Marks(("##",), ()), "[UNK]")
    [(0, 3), (3, 4), (4, 5), (6, 9)]
    """
    if (of_bytes := _places_of_bytes(text, tokens)) is not None:
        return of_bytes
    units = _units(text)
    forms = [None if token == unknown else _forms(marks.without(token)) for token in tokens]
    reached = _ends(units, forms)
    if reached is None:
        return None
    found = []
    begin = 0
    for form, end in zip(forms, reached, strict=True):
        found.append(_place(units, begin, end, form))
        begin = end
    return found


def _places_of_bytes(text: str, tokens: Sequence[str]) -> list[Place] | None:
    """The places of tokens that are the bytes of the text, as ByT5's are; None if they are not."""
    try:
        is_bytes = "".join(tokens).encode("latin-1").decode("utf-8") == text
    except UnicodeError:
        return None
    if not is_bytes or any(len(token) != 1 for token in tokens):
        return None
    return [
        (index, index + 1)
        for index, character in enumerate(text)
        for _ in character.encode("utf-8")
    ]


def _units(text: str) -> list[_Unit]:
    """The characters of a text as they are compared, without white space."""
    units: list[_Unit] = []
    after_space = False
    for index, character in enumerate(text):
        if character.isspace():
            after_space = True
            continue
        for form in _folded(character):
            # Of a sign that is decomposed into several words.
            if form.isspace():
                continue
            # Marks (accents), and what has no sign of its own: control and format characters.
            can_be_dropped = unicodedata.category(form) == "Mn" or _is_control(form)
            units.append(_Unit(form, index, index + 1, can_be_dropped, after_space))
            after_space = False
    return _in_canonical_order(units)


def _forms(token: str) -> str:
    return "".join(unit.form for unit in _units(token))


def _folded(character: str) -> str:
    decomposed = unicodedata.normalize("NFKD", character)
    return unicodedata.normalize("NFKD", decomposed.casefold())


def _is_control(form: str) -> bool:
    return unicodedata.category(form).startswith("C") or form == "\ufffd"


def _in_canonical_order(units: list[_Unit]) -> list[_Unit]:
    """Accents on one letter in the order that Unicode gives them, whatever order they came in."""
    ordered: list[_Unit] = []
    accents: list[_Unit] = []
    for unit in units:
        if unicodedata.combining(unit.form):
            accents.append(unit)
            continue
        ordered += sorted(accents, key=lambda accent: unicodedata.combining(accent.form))
        accents = []
        ordered.append(unit)
    return ordered + sorted(accents, key=lambda accent: unicodedata.combining(accent.form))


def _ends(units: Sequence[_Unit], forms: Sequence[str | None]) -> list[int] | None:
    """Where each token ends, in units, if there is one way to cover all units; else None."""
    stretches = _Stretches(units)
    # Forwards: where each token may begin if those before it are matched.
    starts = [{0}]
    for index, form in enumerate(forms, start=1):
        if form is None:
            ends = stretches.ends(starts[-1])
        else:
            found = [_end_of(units, start, form) for start in starts[-1]]
            ends = {end for end in found if end is not None}
        starts.append({end for end in ends if stretches.least[end] <= len(forms) - index})
    # Backwards: where it ends if those after it are matched too, and only there.
    last = {end for end in starts.pop() if all(unit.can_be_dropped for unit in units[end:])}
    reached: list[int] = []
    for form, begins in zip(reversed(forms), reversed(starts), strict=True):
        if len(last) != 1:
            return None
        (end,) = last
        reached.append(end)
        if form is None:
            last = {start for start in begins if stretches.reach(start, end)}
        else:
            last = {start for start in begins if _end_of(units, start, form) == end}
    return reached[::-1] if last == {0} else None


class _Stretches:
    """Where a token may end of which only that is known: that it stands for something in one piece.

    Args:
        units: Those of the text.
    """

    def __init__(self, units: Sequence[_Unit]) -> None:
        count = len(units)
        # For each unit the first from there on that cannot be dropped, and the end of its stretch.
        self._solid = [count] * (count + 1)
        self._limit = [count] * (count + 1)
        for index in range(count - 1, -1, -1):
            dropped = units[index].can_be_dropped
            self._solid[index] = self._solid[index + 1] if dropped else index
            at_limit = index + 1 < count and units[index + 1].after_space
            self._limit[index] = index + 1 if at_limit else self._limit[index + 1]
        # How many tokens it takes at least from there on: no token has white space in it.
        self.least = [0] * (count + 1)
        for index in range(count - 1, -1, -1):
            first = self._solid[index]
            self.least[index] = 0 if first == count else 1 + self.least[self._limit[first]]
        # Accents belong to the letter before them.
        self._may_end = [not unit.can_be_dropped for unit in units] + [True]

    def ends(self, starts: Iterable[int]) -> set[int]:
        """Where the token may end if it begins at one of `starts`."""
        lowest: dict[int, int] = {}
        for start in starts:
            first = self._solid[start]
            limit = self._limit[first]
            lowest[limit] = min(first, lowest.get(limit, first))
        return {
            end
            for limit, first in lowest.items()
            for end in range(first + 1, limit + 1)
            if self._may_end[end]
        }

    def reach(self, start: int, end: int) -> bool:
        """Whether it may end at `end`, one of `ends`, if it begins at `start`."""
        first = self._solid[start]
        return first < end <= self._limit[first]


def _end_of(units: Sequence[_Unit], start: int, form: str) -> int | None:
    """Where the characters of `form` end, of which accents and the like may be left out."""
    place = start
    has_begun = False
    for character in form:
        while place < len(units) and units[place].form != character:
            if not units[place].can_be_dropped:
                return None
            place += 1
        if place == len(units) or (has_begun and units[place].after_space):
            return None
        place += 1
        has_begun = True
    return place


def _place(units: Sequence[_Unit], begin: int, end: int, form: str | None) -> Place:
    covered = list(units[begin:end])
    # What was left out before the first character does not belong to the token.
    while covered and covered[0].can_be_dropped and not (form or "").startswith(covered[0].form):
        covered.pop(0)
    while form is None and covered and _is_control(covered[-1].form):
        covered.pop()
    if not covered:
        return (0, 0)
    return (min(unit.start for unit in covered), max(unit.end for unit in covered))
