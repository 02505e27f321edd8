"""What heads attend to in texts in memory: measures, patterns, and what differs between models."""

from collections.abc import Sequence

import polars as pl

from headscope.commands.given import ModelLike
from headscope.commands.session import aligned_words
from headscope.commands.settings import WordSource
from headscope.errors import HeadscopeError
from headscope.in_memory.shared import encoded_texts, frame, model_of
from headscope.measures import OWN_PASS, known
from headscope.measures.base import MeasureObserver, Measures, Moments
from headscope.measures.comparison import ComparisonObserver, check_comparable
from headscope.measures.rows import change_rows, head_rows
from headscope.model.encoding import MAX_LENGTH
from headscope.model.passes import run_pair_pass, run_pass
from headscope.model.precision import Precision
from headscope.model.texts import Texts
from headscope.names import AS_GIVEN
from headscope.patterns.classifier import load_classifier
from headscope.patterns.collect import Collector
from headscope.patterns.rows import pattern_rows
from headscope.progress import say_notes


def head_measures(
    model: ModelLike,
    texts: Texts,
    measures: str | Sequence[str] = "all",
    *,
    words: str = "auto",
    language: str = "en",
    max_length: int = MAX_LENGTH,
    batch_tokens: int | None = None,
    precision: Precision = "auto",
) -> pl.DataFrame:
    """What every head attends to in texts: measures of its maps, means over the texts.

    >>> headscope.head_measures(model, texts, "entropy").sort("value")      # doctest: +SKIP

    Args:
        model: A headscope.Model, or the name or the folder of one.
        texts: A text, a pair of texts in a tuple, or a list of either.
        measures: Names of measures (docs/measures.md), or "all" that are made of single maps.
        words: Where the words of a text and their tags come from: auto, spacy, spacy:PIPELINE, or
            plain.
        language: The language of the texts.
        max_length: Longer texts are cut to so many tokens, and counted in a note.
        batch_tokens: The most tokens in a batch; by default what fits.
        precision: The model's precision; measures compute in float32.

    Returns:
        A row per measure and head, as the table `heads`. Measures that no text has are left out,
        and named in a note.

    Raises:
        HeadscopeError: A measure is unknown, or is not made of single maps; or there is no text.
    """
    names = _names(measures)
    model = model_of("model", model)
    split, encoded = encoded_texts(model, texts, max_length)
    of_words = aligned_words(encoded, split, WordSource(words=words, language=language), quiet=True)
    observer = MeasureObserver(Measures(names, of_words), model.layers, model.heads)
    run_pass(model, encoded, [observer], batch_tokens=batch_tokens, precision=precision)
    moments = observer.moments()
    _say_empty(moments)
    return frame("heads", head_rows(moments))


def head_patterns(
    model: ModelLike,
    texts: Texts,
    *,
    seed: int = 0,
    max_length: int = MAX_LENGTH,
    batch_tokens: int | None = None,
    precision: Precision = "auto",
) -> pl.DataFrame:
    """Which of the five patterns maps of texts have: shares in the model, its layers, its heads.

    >>> headscope.head_patterns(model, texts).filter(measure="share")       # doctest: +SKIP

    Args:
        model: A headscope.Model, or the name or the folder of one.
        texts: A text, a pair of texts in a tuple, or a list of either.
        seed: Random seed of the intervals.
        max_length: Longer texts are cut to so many tokens, and counted in a note.
        batch_tokens: The most tokens in a batch; by default what fits.
        precision: The model's precision.

    Returns:
        A row per class and scope, as the table `patterns`.

    Raises:
        HeadscopeError: There is no text.
    """
    model = model_of("model", model)
    _, encoded = encoded_texts(model, texts, max_length)
    collector = Collector(load_classifier(), len(encoded), model.layers, model.heads)
    run_pass(model, encoded, [collector], batch_tokens=batch_tokens, precision=precision)
    return frame("patterns", pattern_rows({AS_GIVEN: collector.classified()}, seed))


def head_changes(
    before: ModelLike,
    after: ModelLike,
    texts: Texts,
    measures: str | Sequence[str] = "all",
    *,
    words: str = "auto",
    language: str = "en",
    max_length: int = MAX_LENGTH,
    batch_tokens: int | None = None,
    precision: Precision = "auto",
) -> pl.DataFrame:
    """What differs between two models in every head: the cosine of its maps, and every measure.

    >>> headscope.head_changes(pretrained, tuned, texts, "entropy")         # doctest: +SKIP

    Args:
        before: A headscope.Model, or the name or the folder of one.
        after: A model of the same shape and tokens, such as the same one fine-tuned.
        texts: A text, a pair of texts in a tuple, or a list of either.
        measures: Names of measures (docs/measures.md), or "all" that are made of single maps.
        words: Where the words of a text and their tags come from: auto, spacy, spacy:PIPELINE, or
            plain.
        language: The language of the texts.
        max_length: Longer texts are cut to so many tokens, and counted in a note.
        batch_tokens: The most tokens in a batch; by default what fits.
        precision: The models' precision.

    Returns:
        A row per measure and head, as the table `change`.

    Raises:
        HeadscopeError: The models differ in layers, heads or tokens; or as `head_measures`.
    """
    names = _names(measures)
    before, after = model_of("before", before), model_of("after", after)
    check_comparable(before, after)
    split, encoded = encoded_texts(after, texts, max_length)
    of_words = aligned_words(encoded, split, WordSource(words=words, language=language), quiet=True)
    observer = ComparisonObserver(Measures(names, of_words), after.layers, after.heads)
    run_pair_pass(
        before, after, encoded, [observer], batch_tokens=batch_tokens, precision=precision
    )
    comparison = observer.comparison()
    _say_empty(comparison.after)
    return frame("change", change_rows(comparison))


def _names(measures: str | Sequence[str]) -> list[str]:
    """The names of measures that are made of single maps."""
    spec = measures if isinstance(measures, str) else ",".join(map(str, measures))
    if not spec:
        raise HeadscopeError("measures is empty: name at least one, or 'all'")
    names = known(spec)
    if spec == "all":
        return [name for name in names if name not in OWN_PASS]
    for name in names:
        if name in OWN_PASS:
            raise HeadscopeError(
                f"{name} is not a mean over single maps: headscope.measure has it, and "
                "headscope.head_patterns the patterns"
            )
    return names


def _say_empty(moments: dict[str, Moments]) -> None:
    empty = [name for name, of_measure in moments.items() if not of_measure.n.any()]
    if empty:
        say_notes([f"no text has what these measures look at, so they are left out: {empty}"])
