"""FrameNet's exemplar sentences, filtered as Kovaleva et al. (2019, section 4.2) filter them for
figure 3.

`read` gives the corpus of a release folder (1.5 or 1.7, as unpacked): the sentences that pass five
rules, each with a link from every core frame element to the predicate, and how many sentences each
rule left out.

An exemplar is a `sentence` of a lexical unit's file, as in NLTK's `fn.exemplars()`; the full texts
are not read. Lexical units of status "Problem" are left out, as by NLTK. The rules, in order:

1. The sentence has at most 12 tokens.
2. The predicate, which evokes the frame, is one span.
3. No frame element that is in the sentence has more than 3 tokens.
4. No frame element is within two tokens of the predicate: from any of its tokens to any of the
   predicate's it is at least three steps, so at least two tokens stand between.
5. At least one frame element is core. Elements that are not core are held to rules 3 and 4, and get
   no link.

The corrected form is the text of the paper: positions are character offsets, all layers of frame
elements count, the targets of all annotation sets of the sentence count, and core is what the frame
calls so (coreType "Core"). The faithful form is the published notebook, which differs in five ways:

- core is a member of `FEcoreSets`: most core elements are in no set, and most frames have no set;
- the predicate is looked for as a string and found where it first occurs ("He grinned, and the
  porter grinned back");
- so are tokens of elements, which may be found elsewhere in the sentence;
- a predicate of several tokens is not found, and its sentence left out by rule 4;
- of several annotation sets only the last counts, and of the layers of elements only that of rank
  1.

A sentence is left out, and counted, if a span has no word in the text or if a token cannot be found
in it. Links say where predicate and element are, by offsets, in both forms.

Tokens are those of NLTK's word_tokenize with `preserve_line`: an exemplar is one sentence, so it is
not split into sentences first. That needs no data beside the package; NLTK's sentence splitter
would need a model to be downloaded.
"""

import hashlib
import importlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from headscope.cache import Format, cached
from headscope.corpora.base import Corpus, Link, Sentence, content_hash
from headscope.corpora.framenet_xml import (
    Element,
    Exemplar,
    Frame,
    Span,
    Unit,
    annotations,
    content,
    frame_files,
    read_frames,
    read_unit,
    unit_files,
)
from headscope.errors import HeadscopeError
from headscope.examples import Word
from headscope.progress import progress

LONGEST = 12
"""Tokens of a sentence, at most."""
LONGEST_ELEMENT = 3
"""Tokens of a frame element, at most."""
NEAR = 2
"""Steps between two tokens that are too close."""
RELATION = "frame_element"

TOO_LONG = f"left out: more than {LONGEST} tokens"
MISPLACED = "left out: a span or a token that is not in the text"
TARGETS = "left out: not exactly one target span"
LONG_ELEMENT = f"left out: a frame element of more than {LONGEST_ELEMENT} tokens"
TOO_NEAR = "left out: a frame element within two tokens of the target"
NO_CORE = "left out: no core frame element"
KEPT = "kept"
_FORMAT = 1
_PROBLEM = "Problem"

Tokenizer = Callable[[str], list[str]]


def read(
    folder: Path, *, faithful: bool = False, cache: Path | None = None, quiet: bool = False
) -> Corpus:
    """The exemplars of the FrameNet release in `folder` that pass the filter, with what every rule
    left out.

    With `cache`, a folder, the result is kept in a file that is named by the content of the
    release, the filter and NLTK's version; a damaged file is made anew. Raises HeadscopeError if
    the folder is no release, if a file is broken, or if NLTK is missing.
    """
    _check(folder)
    tokenize = _tokenizer()
    name, source = folder.resolve().name, str(folder)
    if cache is None:
        return _corpus(name, source, *_filtered(folder, tokenize, faithful, quiet))
    made_by = {
        "format": _FORMAT,
        "faithful": faithful,
        "nltk": version("nltk"),
        "release": _digest(folder),
    }
    number = hashlib.sha256(json.dumps(made_by).encode()).hexdigest()[:32]
    kept = cached(
        cache / f"framenet-{number}.jsonl",
        made_by,
        Format("sentences", "reading FrameNet again", _packed, _unpacked),
        lambda: _filtered(folder, tokenize, faithful, quiet),
        quiet=quiet,
    )
    return _corpus(name, source, *kept)


Kept = tuple[tuple[Sentence, ...], tuple[tuple[str, int], ...]]


def _corpus(
    name: str, source: str, sentences: tuple[Sentence, ...], counts: tuple[tuple[str, int], ...]
) -> Corpus:
    return Corpus(name, "framenet", sentences, counts, source, content_hash(sentences))


def _check(folder: Path) -> None:
    expected = "expected the folder of a FrameNet release, with frame/ and lu/ in it"
    if folder.is_file():
        raise HeadscopeError(
            f"{folder} is a file, {expected}: unpack it (tar -xf) and give the folder that it "
            "makes."
        )
    if not folder.is_dir():
        raise HeadscopeError(f"{folder} does not exist: {expected}.")
    if unit_files(folder) and frame_files(folder):
        return
    names = sorted(
        p.name + ("/" if p.is_dir() else "") for p in folder.iterdir() if not p.name.startswith(".")
    )
    shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") if names else "nothing"
    inside = next(
        (name for name in names if unit_files(folder / name) and frame_files(folder / name)), ""
    )
    advice = (
        f"give {folder / inside}"
        if inside
        else "unpack the whole of fndata-1.5 or fndata-1.7 and give its folder"
    )
    raise HeadscopeError(
        f"{folder} is no FrameNet: {expected} full of XML files, found {shown}; {advice}."
    )


def _tokenizer() -> Tokenizer:
    if find_spec("nltk") is None:
        raise HeadscopeError(
            "FrameNet is cut into tokens by NLTK, an extra: run pip install 'headscope[framenet]'."
        )
    module: Any = importlib.import_module("nltk.tokenize.destructive")
    tokenize: Tokenizer = module.NLTKWordTokenizer().tokenize
    return tokenize


def _filtered(folder: Path, tokenize: Tokenizer, faithful: bool, quiet: bool) -> Kept:
    frames = read_frames(folder)
    judge = _by_the_notebook if faithful else _by_the_text
    seen = Counter[str]()
    out: list[Sentence] = []
    units = unit_files(folder)
    with progress("reading FrameNet", len(units), quiet=quiet) as advance:
        for path in units:
            advance()
            unit = read_unit(path, LONGEST)
            if unit.status == _PROBLEM:
                seen["problems"] += 1
                continue
            if unit.frame not in frames:
                raise HeadscopeError(
                    f"{path} belongs to the frame {unit.frame}, and no file in {folder / 'frame'} "
                    "has it: unpack the whole release again."
                )
            seen["sentences"] += unit.sentences
            seen[TOO_LONG] += unit.sentences - len(unit.exemplars)
            for exemplar in unit.exemplars:
                verdict = _sentence(exemplar, unit, path.stem, frames[unit.frame], tokenize, judge)
                if isinstance(verdict, Sentence):
                    out.append(verdict)
                    verdict = KEPT
                seen[verdict] += 1
    rules = (TOO_LONG, MISPLACED, TARGETS, LONG_ELEMENT, TOO_NEAR, NO_CORE, KEPT)
    counts = (
        ("lexical units", len(units) - seen["problems"]),
        ("left out: lexical units of status Problem", seen["problems"]),
        ("exemplar sentences", seen["sentences"]),
        *((rule, seen[rule]) for rule in rules),
    )
    return tuple(out), counts


class _Text:
    """A text with its tokens: as NLTK writes them, and where they stand."""

    def __init__(self, text: str, tokenize: Tokenizer):
        self.text = text
        self.tokenize = tokenize
        self.tokens = tokenize(text)
        self.spans = token_spans(text, self.tokens) or []

    def words(self, start: int, end: int) -> tuple[int, ...]:
        """The tokens that have a character in the span."""
        return tuple(i for i, (s, e) in enumerate(self.spans) if s < end and e > start)


Judge = Callable[[Exemplar, _Text, Frame], "str | tuple[Span, list[Element]]"]


def _sentence(
    exemplar: Exemplar, unit: Unit, file: str, frame: Frame, tokenize: Tokenizer, judge: Judge
) -> Sentence | str:
    """The sentence if it is kept, else what it was left out for."""
    text = _Text(exemplar.text, tokenize)
    if len(text.tokens) > LONGEST:
        return TOO_LONG
    verdict = judge(exemplar, text, frame)
    if isinstance(verdict, str):
        return verdict
    predicate, elements = verdict
    words = tuple(_word(text.text, start, end) for start, end in text.spans)
    target = text.words(*predicate)
    links = tuple(
        Link(RELATION, text.words(one.start, one.end), target, f"{frame.name}: {one.name}")
        for one in elements
    )
    return Sentence(f"{unit.name} {file} {exemplar.name}", text.text, words, links)


def _by_the_text(exemplar: Exemplar, text: _Text, frame: Frame) -> str | tuple[Span, list[Element]]:
    """The predicate and the core elements by the paper's text, or the rule that leaves the sentence
    out.
    """
    targets = {span for one in annotations(exemplar) for layer in one.targets for span in layer}
    elements = sorted(
        {
            element
            for one in annotations(exemplar)
            for layer in one.elements.values()
            for element in layer
        }
    )
    if len(targets) != 1:
        return TARGETS
    (predicate,) = targets
    at = text.words(*predicate)
    places = [text.words(one.start, one.end) for one in elements]
    if not at or not all(places):
        return MISPLACED
    if any(len(words) > LONGEST_ELEMENT for words in places):
        return LONG_ELEMENT
    if any(abs(i - j) <= NEAR for words in places for i in words for j in at):
        return TOO_NEAR
    core = [one for one in elements if one.name in frame.core]
    return (predicate, core) if core else NO_CORE


def _by_the_notebook(
    exemplar: Exemplar, text: _Text, frame: Frame
) -> str | tuple[Span, list[Element]]:
    """The same as the notebook does it, by strings: see the top of this file."""
    targets = next((one.targets[0] for one in reversed(exemplar.sets) if one.targets), [])
    elements = sorted(
        next((one.elements[1] for one in reversed(exemplar.sets) if 1 in one.elements), [])
    )
    if len(targets) != 1:
        return TARGETS
    (predicate,) = targets
    if not text.words(*predicate) or not all(text.words(one.start, one.end) for one in elements):
        return MISPLACED
    pieces = [text.tokenize(text.text[one.start : one.end]) for one in elements]
    if any(len(piece) > LONGEST_ELEMENT for piece in pieces):
        return LONG_ELEMENT
    form = text.text[slice(*predicate)]
    if form not in text.tokens:
        return TOO_NEAR
    at = text.tokens.index(form)
    around = set(text.tokens[max(0, at - NEAR) : at + NEAR + 1])
    if any(around & set(piece) for piece in pieces):
        return TOO_NEAR
    core = [one for one in elements if one.name in frame.in_sets]
    return (predicate, core) if core else NO_CORE


def token_spans(text: str, tokens: Sequence[str]) -> list[Span] | None:
    """Where NLTK's tokens stand in their text, or None if one is not there.

    NLTK only adds spaces, but for double quotes, which it writes as two backquotes or apostrophes.
    Its own `span_tokenize` raises an error for some texts with quotes of several kinds.
    """
    out = []
    at = 0
    for token in tokens:
        at += len(text[at:]) - len(text[at:].lstrip())
        for form in (token, '"', "''") if token in ("``", "''") else (token,):
            if text.startswith(form, at):
                out.append((at, at + len(form)))
                at += len(form)
                break
        else:
            return None
    return out


def _digest(folder: Path) -> str:
    """Stands for the names and the content of every file that is read."""
    digest = hashlib.blake2b(digest_size=16)
    for path in (*frame_files(folder), *unit_files(folder)):
        data = content(path)
        digest.update(f"{path.parent.name}/{path.name} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()


def _packed(kept: Kept) -> tuple[dict[str, Any], list[list[Any]]]:
    """The counts, and a row per sentence."""
    sentences, counts = kept
    rows = []
    for sentence in sentences:
        words = [(word.start, word.end) for word in sentence.words]
        links = [(link.source, link.target, link.detail) for link in sentence.links]
        rows.append([sentence.name, sentence.text, words, links])
    return {"counts": counts}, rows


def _unpacked(facts: Mapping[str, Any], rows: Sequence[Any]) -> Kept:
    counts = tuple((str(what), int(count)) for what, count in facts["counts"])
    sentences = []
    for name, text, spans, links in rows:
        words = tuple(_word(text, start, end) for start, end in spans)
        linked = tuple(Link(RELATION, tuple(s), tuple(t), detail) for s, t, detail in links)
        sentences.append(Sentence(name, text, words, linked))
    return tuple(sentences), counts


def _word(text: str, start: int, end: int) -> Word:
    form = text[start:end]
    return Word(form, form, start, end, upos="X", relation="dep", head=-1)
