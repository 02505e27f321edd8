"""FrameNet's exemplar sentences, filtered as in `framenet_filter`.

`read` gives the corpus of a release folder (1.5 or 1.7, as unpacked): the sentences that pass the
filter, each with a link from every core frame element to the predicate, and how many sentences each
rule left out.

An exemplar is a `sentence` of a lexical unit's file, as in NLTK's `fn.exemplars()`; the full texts
are not read. Lexical units of status "Problem" are left out, as by NLTK.

Tokens are those of NLTK's word_tokenize with `preserve_line`: an exemplar is one sentence, so it is
not split into sentences first. That needs no data beside the package; NLTK's sentence splitter
would need a model to be downloaded.
"""

import hashlib
import importlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from headscope.cache import Format, cached
from headscope.corpora.base import Corpus, Link, Sentence, content_hash
from headscope.corpora.framenet_filter import (
    KEPT,
    LONGEST,
    RELATION,
    RULES,
    TOO_LONG,
    NotebookForm,
    TextForm,
    Tokenizer,
    judged,
    plain_words,
)
from headscope.corpora.framenet_xml import (
    Frame,
    Unit,
    content,
    frame_files,
    read_frames,
    read_unit,
    unit_files,
)
from headscope.errors import HeadscopeError
from headscope.progress import progress

_FORMAT = 1
_PROBLEM = "Problem"


def read(
    folder: Path, *, faithful: bool = False, cache: Path | None = None, quiet: bool = False
) -> Corpus:
    """The exemplars of a FrameNet release that pass the filter, with what every rule left out.

    Args:
        folder: The unpacked release.
        faithful: Filter as the paper's notebook does.
        cache: A folder to keep the result in, in a file that is named by the content of the
            release, the filter and NLTK's version; a damaged file is made anew.
        quiet: Show no progress.

    Raises:
        HeadscopeError: The folder is not a release, a file is broken, or NLTK is missing.
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
    names = [f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir()]
    visible = sorted(name for name in names if not name.startswith("."))
    shown = ", ".join(visible[:6]) or "nothing"
    if len(visible) > 6:
        shown += ", ..."
    advice = "unpack the whole of fndata-1.5 or fndata-1.7 and give its folder"
    for name in visible:
        if unit_files(folder / name) and frame_files(folder / name):
            advice = f"give {folder / name}"
            break
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
    form = NotebookForm() if faithful else TextForm()
    count = Counter[str]()
    kept: list[Sentence] = []
    paths = unit_files(folder)
    problems = sentences = 0
    with progress("reading FrameNet", len(paths), quiet=quiet) as advance:
        for path in paths:
            advance()
            unit = read_unit(path, LONGEST)
            if unit.status == _PROBLEM:
                problems += 1
                continue
            frame = _frame(unit, path, frames)
            sentences += unit.sentences
            count[TOO_LONG] += unit.sentences - len(unit.exemplars)
            for exemplar in unit.exemplars:
                name = f"{unit.name} {path.stem} {exemplar.name}"
                verdict = judged(exemplar, name, frame, tokenize, form)
                if isinstance(verdict, Sentence):
                    kept.append(verdict)
                    verdict = KEPT
                count[verdict] += 1
    counts = (
        ("lexical units", len(paths) - problems),
        ("left out: lexical units of status Problem", problems),
        ("exemplar sentences", sentences),
        *((rule, count[rule]) for rule in RULES),
    )
    return tuple(kept), counts


def _frame(unit: Unit, path: Path, frames: Mapping[str, Frame]) -> Frame:
    if unit.frame not in frames:
        folder = path.parents[1] / "frame"
        raise HeadscopeError(
            f"{path} belongs to the frame {unit.frame}, and no file in {folder} has it: unpack the "
            "whole release again."
        )
    return frames[unit.frame]


def _digest(folder: Path) -> str:
    """Stands for the names and the content of every file that is read."""
    digest = hashlib.blake2b(digest_size=16)
    for path in (*frame_files(folder), *unit_files(folder)):
        data = content(path)
        digest.update(f"{path.parent.name}/{path.name} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()


def _packed(kept: Kept) -> tuple[dict[str, object], list[list[object]]]:
    """The counts, and a row per sentence."""
    sentences, counts = kept
    rows: list[list[object]] = []
    for sentence in sentences:
        words = [(word.start, word.end) for word in sentence.words]
        links = [(link.source, link.target, link.detail) for link in sentence.links]
        rows.append([sentence.name, sentence.text, words, links])
    return {"counts": counts}, rows


def _unpacked(facts: Mapping[str, Any], rows: Sequence[Any]) -> Kept:
    counts = tuple((str(what), int(count)) for what, count in facts["counts"])
    sentences = []
    for name, text, spans, links in rows:
        words = plain_words(text, [(start, end) for start, end in spans])
        linked = [
            Link(RELATION, tuple(source), tuple(target), detail) for source, target, detail in links
        ]
        sentences.append(Sentence(name, text, words, tuple(linked)))
    return tuple(sentences), counts
