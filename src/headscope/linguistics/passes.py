"""A corpus passed through a model: which heads carry its relations.

`dependencies` is for links between single words (a treebank), `spans` for links between spans. Both
return rows of tables and write nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscope.linguistics.baselines import CHOOSING, HELD_OUT
from headscope.linguistics.dependencies import (
    DIRECTIONS,
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
from headscope.linguistics.spans import SpanPass
from headscope.linguistics.treebank import (
    OF_SHUFFLED,
    SHUFFLED,
    PassSettings,
    Treebank,
    kept_block,
    made_blocks,
)
from headscope.model.model import Model
from headscope.model.resuming import Arrays, Parts, Schedule
from headscope.model.sent import SentModel
from headscope.model.shards import share_pass
from headscope.names import AS_GIVEN
from headscope.patterns.collect import Classified
from headscope.patterns.rows import PatternRow, pattern_rows


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
    treebank = Treebank.of(model, linked, settings, seed)
    found = {name: kept_block(blocks, name, treebank) for name in treebank.blocks}
    missing = [name for name, arrays in found.items() if arrays is None]
    for name, arrays in made_blocks(treebank, missing):
        blocks.put(name, arrays)
        found[name] = arrays
    known = {name: arrays for name, arrays in found.items() if arrays is not None}
    return _dependency_results(treebank, known)


def _dependency_results(treebank: Treebank, blocks: Mapping[str, Arrays]) -> DependencyResults:
    relations = treebank.relations
    shards = [blocks[name] for name in treebank.blocks if name != OF_SHUFFLED]
    of_shuffled = blocks[OF_SHUFFLED]
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
        patterns=pattern_rows({AS_GIVEN: Classified.of(classes, plausible)}, treebank.seed),
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
    work = SpanPass.of(
        model,
        linked,
        faithful=faithful,
        batch_tokens=settings.batch_tokens,
        precision=settings.precision,
    )
    (observer,) = work.observers()
    executor, advance = settings.executor, settings.advance
    if executor is None:
        work.run([model], [observer], keeping, advance)
    else:
        sent = [SentModel.of(model, executor)]
        share_pass(work, sent, [observer], executor, advance=advance, keeping=keeping)
    relations = relation_rows(observer.sums, names)
    heads = span_heads(observer.sums, names)
    return SpanResults(
        relations=relations,
        heads=span_measures(relations),
        span_heads=heads,
        span_examples=span_examples(heads, observer.scores, linked),
        scores=observer.scores,
    )
