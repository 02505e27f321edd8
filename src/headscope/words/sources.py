"""Where the words of a text come from: a gold annotation, spaCy, or a plain segmentation."""

from pathlib import Path

from headscope.errors import HeadscopeError, unknown
from headscope.examples import Split, Word
from headscope.words.classes import NEGATIONS, mark_negations
from headscope.words.segment import segment
from headscope.words.spacy_tags import PINNED, default_pipeline, pipelines, spacy_words

_SOURCES = ("auto", "gold", "plain", "spacy")
TaggedExample = tuple[tuple[Word, ...], ...]
"""The words of an example, [text][word]."""


def resolved(split: Split, source: str = "auto", language: str = "en") -> str:
    """What `tag` takes the words from: "gold", "plain", or a pipeline with its version.

    Raises:
        HeadscopeError: There is no such source, or the split has no gold words, or no pipeline for
            the language is installed.
    """
    kind, pipeline = _checked(split, source, language)
    if kind != "spacy":
        return kind
    pipeline = pipeline or _pipeline_for(language)
    return f"{pipeline} {pipelines().get(pipeline, '')}".strip()


def tag(
    split: Split,
    source: str = "auto",
    *,
    language: str = "en",
    cache: Path | None = None,
    quiet: bool = False,
) -> tuple[TaggedExample, ...]:
    """The words of every text of the split, those marked that negate. Equal texts are tagged once.

    Args:
        split: The examples.
        source: "gold" (the words that the split came with), "plain" (`segment`: no tags), "spacy"
            (a pipeline for the language), "spacy:NAME" (any installed pipeline, which brings its
            own language) or "auto": the first of gold, spacy and plain that there is.
        language: The texts' language, such as "en".
        cache: A folder in which spaCy's words are kept; None keeps nothing.
        quiet: Whether to show no progress.

    Returns:
        The words, [example][text][word].

    Raises:
        HeadscopeError: There is no such source, the split has no gold words, or spaCy or its
            pipeline is missing.
    """
    kind, pipeline = _checked(split, source, language)
    if kind == "gold":
        return _gold(split, language)
    columns = [split.first] if split.second is None else [split.first, split.second]
    texts = list(dict.fromkeys(text for column in columns for text in column))
    if kind == "plain":
        words = [segment(text, language) for text in texts]
    else:
        pipeline_language = pipeline.split("_")[0]
        if pipeline_language in NEGATIONS:
            language = pipeline_language
        pipeline = pipeline or _pipeline_for(language)
        words = spacy_words(texts, pipeline, cache, quiet=quiet)
    tagged = {
        text: mark_negations(of_text, language) for text, of_text in zip(texts, words, strict=True)
    }
    return tuple(tuple(tagged[text] for text in row) for row in zip(*columns, strict=True))


def _checked(split: Split, source: str, language: str) -> tuple[str, str]:
    """The kind of a source, not "auto", and the pipeline that it names. Raises HeadscopeError."""
    kind, colon, pipeline = source.partition(":")
    names_a_pipeline = kind == "spacy" and bool(pipeline)
    if kind not in _SOURCES or (colon and not names_a_pipeline):
        raise unknown("source of words", source, [*_SOURCES, "spacy:NAME"])
    if kind == "auto":
        kind = _first_source(split, language)
    if kind == "gold" and split.words is None:
        raise HeadscopeError("the data has no gold words: take the words from 'spacy' or 'plain'.")
    return kind, pipeline


def _first_source(split: Split, language: str) -> str:
    """The best source of words that there is."""
    if split.words is not None:
        return "gold"
    return "spacy" if default_pipeline(language) else "plain"


def _gold(split: Split, language: str) -> tuple[TaggedExample, ...]:
    if split.words is None:
        raise HeadscopeError("the data has no gold words: take the words from 'spacy' or 'plain'.")
    return tuple(tuple(mark_negations(words, language) for words in texts) for texts in split.words)


def _pipeline_for(language: str) -> str:
    """The pipeline to load for a language; where none is installed, the one to ask for."""
    pipeline = default_pipeline(language)
    if pipeline is None and pipelines():
        raise HeadscopeError(
            f"no spaCy pipeline for the language {language!r} is installed: install one, or "
            f"name one as in 'spacy:{PINNED}', or take 'plain'."
        )
    return pipeline or PINNED
