"""A plain segmentation of a text into words by Unicode's classes, without tags."""

import re
import unicodedata
from functools import cache

from headscope.examples import Word

# `_kind` turns every character into a letter, so that a text's kinds are a string of its length
# and words are found by a regular expression over it.
_WORD = re.compile(
    # Letters and digits; don't, 3.14, zero-width characters inside.
    r"[ad](?:[adm]|[fj]+(?=[adm])|(?<=[adm])q(?=a)|(?<=d)n(?=d))*"
    r"|cm*"  # CJK: every character
    r"|rr?m*"  # a flag
    r"|s(?:[mt]|js)*"  # a symbol, an emoji with what modifies it
    r"|(?P<punctuation>[pqn])m*"
    r"|m+"  # a mark that marks nothing
)
_CLITIC = re.compile(r"(?<=\w)(?:n['’]t|['’](?:s|re|ve|ll|d|m))$", re.IGNORECASE)
_CJK = re.compile(
    "[々〆〇\u3041-\u309f\u30a1-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U000323af]"
)


def segment(text: str, language: str = "en") -> tuple[Word, ...]:
    """The words of a text. `upos` is "PUNCT" or "X", the lemma is the casefolded form.

    - A word is a run of letters and digits with their combining marks; an apostrophe between
      letters and a point or comma between digits belong to it, and so do zero-width characters
      inside (the zero-width space parts words).
    - Every Chinese character and Japanese kana is a word. Korean has spaces; Thai and the like stay
      unparted.
    - Every punctuation mark is a word; a repeated one ("...") is one. So is every other symbol, and
      every emoji with its skin tone, joined emoji and variation selector.
    - In English the clitics n't, 's, 're, 've, 'll, 'd and 'm are words of their own, as in
      treebanks.

    >>> [word.form for word in segment("Don't pay 3.50...")]
    ['Do', "n't", 'pay', '3.50', '...']
    """
    kinds = "".join(map(_kind, text))
    # (start, end, upos)
    spans: list[tuple[int, int, str]] = []
    for match in _WORD.finditer(kinds):
        start, end = match.span()
        if match["punctuation"]:
            adjoins = bool(spans) and spans[-1][1:] == (start, "PUNCT")
            if adjoins and text[start - 1 : end] == text[start] * 2:
                start = spans.pop()[0]
            spans.append((start, end, "PUNCT"))
        elif language == "en" and (clitic := _CLITIC.search(text[start:end])):
            middle = start + clitic.start()
            spans.append((start, middle, "X"))
            spans.append((middle, end, "X"))
        else:
            spans.append((start, end, "X"))
    return tuple(_untagged(text, start, end, upos) for start, end, upos in spans)


def _untagged(text: str, start: int, end: int, upos: str) -> Word:
    form = text[start:end]
    return Word(form, form.casefold(), start, end, upos, relation="", head=-1)


@cache
def _kind(character: str) -> str:
    """The kind of a character, as `_WORD` knows it: "a" a letter, "d" a digit, "m" a mark, " " what
    parts words...
    """
    category = unicodedata.category(character)
    if category in ("Zs", "Zl", "Zp", "Cc") or character == "\u200b":
        return " "
    if character in "'’":
        return "q"
    if character in ".,":
        return "n"
    # A skin tone marks, too.
    if category[0] == "M" or "\U0001f3fb" <= character <= "\U0001f3ff":
        return "m"
    if "\U000e0020" <= character <= "\U000e007f":
        return "t"
    if category == "Cf":
        return "j" if character == "\u200d" else "f"
    if "\U0001f1e6" <= character <= "\U0001f1ff":
        return "r"
    if _CJK.match(character):
        return "c"
    return {"L": "a", "N": "d", "P": "p"}.get(category[0], "s")
