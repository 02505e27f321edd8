"""A corpus passed through a model: which heads carry its relations.

`dependencies` is for links between single words (a treebank), `spans` for links between spans. Both
return rows of tables and write nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from headscope.corpora.base import Sentence
from headscope.linguistics.baselines import CHOOSING, HELD_OUT, best_offsets, halves, shuffled
from headscope.linguistics.dependencies import (
    DIRECTIONS,
    Dependencies,
    WordLinks,
    merged,
    of_both_halves,
    of_direction,
    of_half,
)
from headscope.linguistics.dependency_rows import (
    TreebankSums,
    best_heads,
    diagonal_heads,
    explained,
    offset_rows,
)
from headscope.linguistics.estimates import relation_rows
from headscope.linguistics.linked import (
    LinkedCorpus,
    WordTokens,
    encode_words,
    links_with_tokens,
    punctuation_tokens,
    word_links,
)
from headscope.linguistics.rows import (
    BestHead,
    ExplainedRow,
    OffsetRow,
    RelationRow,
    SpanExample,
    SpanHead,
    SpanMeasure,
)
from headscope.linguistics.span_rows import span_examples, span_heads, span_measures
from headscope.linguistics.spans import Spans
from headscope.model.encoding import Encoded, only
from headscope.model.layer_maps import LayerMaps
from headscope.model.model import Model
from headscope.model.passes import Observer, run_pass
from headscope.model.precision import Precision
from headscope.model.resuming import Arrays, Parts, Schedule, fits
from headscope.names import AS_GIVEN
from headscope.patterns.classifier import load_classifier
from headscope.patterns.collect import Classified, Collector
from headscope.patterns.rows import PatternRow, pattern_rows
from headscope.progress import Advance

SHUFFLED = 1000
"""How many sentences are passed once more with their words shuffled."""
_BLOCK = 2000
"""How many sentences are passed before what is known of them is kept."""


@dataclass(frozen=True)
class PassSettings:
    """How sentences pass through the model."""

    precision: Precision
    batch_tokens: int | None
    advance: Advance


@dataclass(frozen=True)
class DependencyResults:
    """The rows of the tables for a treebank, and the class of every map [sentence, layer, head]."""

    relations: list[RelationRow]
    relations_best: list[BestHead]
    offsets: list[OffsetRow]
    patterns: list[PatternRow]
    explained: list[ExplainedRow]
    classes: npt.NDArray[np.int8]


@dataclass(frozen=True)
class SpanResults:
    """The rows of the tables for links between spans, and the score of every sentence [sentence,
    relation, layer, head], NaN for none.
    """

    relations: list[RelationRow]
    heads: list[SpanMeasure]
    span_heads: list[SpanHead]
    span_examples: list[SpanExample]
    scores: npt.NDArray[np.float32]


def sentences_to_pass(linked: LinkedCorpus) -> int:
    """How many sentences pass through the model, shuffled ones included."""
    sentences = len(linked.sentences)
    is_treebank = linked.corpus.kind == "ud"
    return sentences + (min(SHUFFLED, sentences) if is_treebank else 0)


def dependencies(
    model: Model, linked: LinkedCorpus, settings: PassSettings, *, seed: int, blocks: Parts
) -> DependencyResults:
    """Find the heads that carry the dependencies of a treebank.

    Args:
        model: The model whose heads are looked at.
        linked: The treebank as the model sees it.
        settings: How sentences pass through the model.
        seed: Decides which half a sentence belongs to, and how words are shuffled.
        blocks: Where finished blocks are kept, and taken from.
    """
    treebank = _Treebank.of(model, linked, settings, seed)
    sentences = len(linked.sentences)
    shards: list[Arrays] = []
    for start in range(0, sentences, _BLOCK):
        rows = list(range(start, min(start + _BLOCK, sentences)))
        name = f"block-{start}"
        block = partial(treebank.block, rows)
        shards.append(_kept(blocks, name, block, treebank.empty_block(rows), settings, len(rows)))
    shuffled_rows = min(SHUFFLED, sentences)
    shuffle = partial(treebank.shuffled, seed)
    empty = treebank.observer([], [], [], treebank.half[:0]).arrays()
    of_shuffled = _kept(blocks, "shuffled", shuffle, empty, settings, shuffled_rows)
    return _dependency_results(treebank, shards, of_shuffled, seed)


def _kept(
    blocks: Parts,
    name: str,
    make: Callable[[], Arrays],
    expected: Arrays,
    settings: PassSettings,
    sentences: int,
) -> Arrays:
    """The arrays of a block that an earlier run finished, or of one that is made and kept now.

    Args:
        blocks: Where finished blocks are kept.
        name: The name of the block.
        make: Makes its arrays.
        expected: Arrays of the same names, shapes and types.
        settings: Is told that a kept block is done.
        sentences: How many sentences the block has.
    """
    kept = blocks.get(name)
    if kept is not None and fits(kept, expected):
        settings.advance(sentences)
        return kept
    if kept is not None:
        blocks.refuse(name)
    made = make()
    blocks.put(name, made)
    return made


@dataclass(frozen=True)
class _Treebank:
    """A treebank, and what all its blocks are passed with.

    Attributes:
        model: The model whose heads are looked at.
        linked: The treebank as the model sees it.
        settings: How sentences pass through the model.
        relations: The names of the relations, in the order of their numbers.
        links: The links of every sentence as numbers.
        half: Which half a sentence belongs to, [sentence].
        best_offset: The best fixed offset on the choosing half, [relation].
    """

    model: Model
    linked: LinkedCorpus
    settings: PassSettings
    relations: list[str]
    links: list[WordLinks]
    half: npt.NDArray[np.int64]
    best_offset: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls, model: Model, linked: LinkedCorpus, settings: PassSettings, seed: int
    ) -> "_Treebank":
        relations = linked.relations
        links = word_links(linked.links, relations)
        half = halves(len(linked.sentences), seed)
        best_offset = best_offsets(links, half == CHOOSING, len(relations))
        return cls(model, linked, settings, relations, links, half, best_offset)

    def block(self, rows: list[int]) -> Arrays:
        """The sums over these sentences, and the class of every map."""
        encoded = only(self.linked.encoded, rows)
        sentences = [self.linked.sentences[i] for i in rows]
        tokens = [self.linked.tokens[i] for i in rows]
        links = [self.links[i] for i in rows]
        collector = self.collector(len(rows))
        observer = self.observer(sentences, tokens, links, self.half[rows])
        _pass(self.model, encoded, [observer, collector], self.settings)
        return {**observer.arrays(), **collector.state()}

    def shuffled(self, seed: int) -> Arrays:
        """The sums over sentences whose words were shuffled, of the held-out half first."""
        chosen = np.argsort(self.half != HELD_OUT, kind="stable")[:SHUFFLED]
        sentences = [shuffled(self.linked.sentences[i], seed + i) for i in chosen.tolist()]
        encoded, tokens = encode_words(self.model, sentences, self.linked.encoded.max_length)
        known = [links_with_tokens(*pair) for pair in zip(sentences, tokens, strict=True)]
        links = word_links(known, self.relations)
        observer = self.observer(sentences, tokens, links, self.half[chosen])
        _pass(self.model, encoded, [observer], self.settings)
        return observer.arrays()

    def empty_block(self, rows: list[int]) -> Arrays:
        """What `block` gives, without what is found: names, shapes and types."""
        observer = self.observer([], [], [], self.half[:0])
        return {**observer.arrays(), **self.collector(len(rows)).state()}

    def collector(self, sentences: int) -> Collector:
        """What collects the classes of the maps of so many sentences."""
        return Collector(load_classifier(), sentences, self.model.layers, self.model.heads)

    def observer(
        self,
        sentences: list[Sentence],
        tokens: list[WordTokens],
        links: list[WordLinks],
        half: npt.NDArray[np.int64],
    ) -> Dependencies:
        """What sums up the quantities of some sentences."""
        punctuation = punctuation_tokens(sentences, tokens)
        layers, heads = self.model.layers, self.model.heads
        return Dependencies(tokens, punctuation, links, half, self.best_offset, layers, heads)


def _dependency_results(
    treebank: _Treebank, shards: Sequence[Arrays], of_shuffled: Arrays, seed: int
) -> DependencyResults:
    relations = treebank.relations
    sums, looks = merged(shards)
    sums_of_shuffled, _ = merged([of_shuffled])
    whole = of_both_halves(sums)
    rows: list[RelationRow] = []
    # Every head is shown over all sentences; the best are chosen on one half, scored on the other.
    for direction in DIRECTIONS:
        rows += relation_rows(of_direction(whole, direction), relations, direction)
    treebank_sums = TreebankSums(
        choosing=of_half(sums, CHOOSING),
        held_out=of_half(sums, HELD_OUT),
        shuffled=of_both_halves(sums_of_shuffled),
        best_offset=treebank.best_offset,
        looks=looks,
    )
    classes = np.concatenate([shard["classes"] for shard in shards])
    plausible = np.concatenate([shard["plausible"] for shard in shards])
    return DependencyResults(
        relations=rows,
        relations_best=best_heads(treebank_sums, relations),
        offsets=offset_rows(looks),
        patterns=pattern_rows({AS_GIVEN: Classified.of(classes, plausible)}, seed),
        explained=explained(whole, relations, diagonal_heads(classes)),
        classes=classes,
    )


def spans(
    model: Model,
    linked: LinkedCorpus,
    settings: PassSettings,
    *,
    faithful: bool,
    keeping: Schedule | None = None,
) -> SpanResults:
    """Find the heads that attend between linked spans.

    Args:
        model: The model whose heads are looked at.
        linked: The corpus as the model sees it.
        settings: How sentences pass through the model.
        faithful: Pair tokens one by one, as the paper's notebook does.
        keeping: Where what is found so far is kept.
    """
    names = linked.relations
    observer = Spans(
        linked.tokens,
        linked.punctuation,
        linked.links,
        names,
        model.layers,
        model.heads,
        faithful=faithful,
    )
    _pass(model, linked.encoded, [observer], settings, keeping)
    relations = relation_rows(observer.sums, names)
    heads = span_heads(observer.sums, names)
    return SpanResults(
        relations=relations,
        heads=span_measures(relations),
        span_heads=heads,
        span_examples=span_examples(heads, observer.scores, linked),
        scores=observer.scores,
    )


def _pass(
    model: Model,
    encoded: Encoded,
    observers: Sequence[Observer[LayerMaps, Any]],
    settings: PassSettings,
    keeping: Schedule | None = None,
) -> None:
    run_pass(
        model,
        encoded,
        observers,
        batch_tokens=settings.batch_tokens,
        precision=settings.precision,
        advance=settings.advance,
        keeping=keeping,
    )
