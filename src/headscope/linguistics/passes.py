"""A corpus put before a model: its sentences encoded, its links as words that have tokens, and the
passes over them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from headscope.axes import all_heads
from headscope.corpora.base import Corpus, Link, Sentence
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.linguistics import rows as tables
from headscope.linguistics.baselines import best_offsets, halves, shuffled
from headscope.linguistics.dependencies import (
    DIRECTIONS,
    QUANTITIES,
    Dependencies,
    WordLinks,
    merged,
)
from headscope.linguistics.spans import Spans
from headscope.model.encoding import Encoded, encode, only
from headscope.model.model import Model
from headscope.model.passes import BATCH_TOKENS, LayerMaps, Observer, run_pass
from headscope.model.precision import Precision
from headscope.names import AS_GIVEN, CLASSES, DIAGONAL, VERTICAL_DIAGONAL
from headscope.patterns.classifier import load_classifier
from headscope.patterns.collect import Collector
from headscope.patterns.rows import PATTERNS, pattern_rows, shares_of_heads
from headscope.progress import Advance, silent
from headscope.results.run import Run
from headscope.words.align import align

SHUFFLED = 1000
"""How many sentences are run once more with their words shuffled."""
_BLOCK = 2000
_SHOWN_HEADS, _SHOWN_EXAMPLES = 3, 5


@dataclass(frozen=True)
class Passing:
    """How sentences pass through the model."""

    precision: Precision = "auto"
    batch_tokens: int = BATCH_TOKENS
    advance: Advance = silent


@dataclass(frozen=True)
class Linked:
    """The sentences of a corpus that a model can be shown, with the tokens of every word
    [sentence][word] and the links whose words all have tokens. `counts` says what was left out,
    `work` how many sentences will pass the model.
    """

    corpus: Corpus
    sentences: tuple[Sentence, ...]
    encoded: Encoded
    tokens: list[tuple[tuple[int, ...], ...]]
    links: list[tuple[Link, ...]]
    counts: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]

    @property
    def relations(self) -> list[str]:
        """The relations that are there, the most frequent first, then by name."""
        count: dict[str, int] = {}
        for links in self.links:
            for link in links:
                count[link.relation] = count.get(link.relation, 0) + 1
        return sorted(count, key=lambda name: (-count[name], name))

    @property
    def work(self) -> int:
        """How many sentences pass through the model."""
        return len(self.sentences) + (
            min(SHUFFLED, len(self.sentences)) if self.corpus.kind == "ud" else 0
        )


def link(
    model: Model, corpus: Corpus, *, examples: int | None, seed: int, max_length: int
) -> Linked:
    """Encode the sentences and find the tokens of every word.

    A sentence of more than `max_length` tokens is left out, as is a link one of whose words has no
    token of its own; both are counted. Raises HeadscopeError when nothing is left.
    """
    sentences = corpus.sentences
    if examples is not None and examples < len(sentences):
        drawn = np.sort(np.random.default_rng(seed).choice(len(sentences), examples, replace=False))
        sentences = tuple(sentences[i] for i in drawn)
    encoded, tokens = _encode(model, sentences, max_length)
    kept = [
        i
        for i, one in enumerate(sentences)
        if encoded.offsets[i] and not _is_cut(one, tokens[i], encoded, i)
    ]
    links = [_with_tokens(sentences[i], tokens[i]) for i in kept]
    lost = sum(len(sentences[i].links) for i in kept) - sum(len(own) for own in links)
    counts = (
        ("sentences of more tokens than the limit, left out", len(sentences) - len(kept)),
        ("links with a word that has no token of its own, left out", lost),
        ("sentences that the model sees", len(kept)),
        ("links that are looked at", sum(len(own) for own in links)),
    )
    if not any(links):
        raise HeadscopeError(
            f"{corpus.source} has no relation between words that {model.name} has tokens for: "
            "give a corpus in a language that the model's tokenizer knows, or a larger "
            "--max-length"
        )
    notes = tuple(f"{n} {what}" for what, n in counts[:2] if n)
    return Linked(
        corpus,
        tuple(sentences[i] for i in kept),
        only(encoded, kept),
        [tokens[i] for i in kept],
        links,
        counts,
        notes,
    )


def _encode(
    model: Model, sentences: Sequence[Sentence], max_length: int
) -> tuple[Encoded, list[tuple[tuple[int, ...], ...]]]:
    split = Split(
        tuple(one.text for one in sentences), None, np.zeros(len(sentences), dtype=np.int64)
    )
    encoded = encode(split, model.tokenizer, min(max_length, model.max_length))
    aligned = align(encoded, split, [(one.words,) for one in sentences])
    return encoded, [one.tokens for one in aligned]


def _is_cut(sentence: Sentence, tokens: Sequence[Sequence[int]], encoded: Encoded, at: int) -> bool:
    """Whether the end of the sentence was cut off: the last token ends before the last word
    begins.
    """
    if len(encoded.segments[at]) < encoded.max_length or not sentence.words:
        return False
    return max(end for _, end in encoded.offsets[at]) <= sentence.words[-1].start and not tokens[-1]


def _with_tokens(sentence: Sentence, tokens: Sequence[Sequence[int]]) -> tuple[Link, ...]:
    return tuple(
        one for one in sentence.links if all(tokens[w] for w in (*one.source, *one.target))
    )


def word_links(links: Sequence[Sequence[Link]], relations: Sequence[str]) -> list[WordLinks]:
    """The links between single words as numbers, for every sentence."""
    number = {name: at for at, name in enumerate(relations)}
    out = []
    for own in links:
        rows = [
            (one.source[0], one.target[0], number[one.relation])
            for one in own
            if one.relation in number
        ]
        dependent, head, relation = (
            np.array([row[i] for row in rows], dtype=np.int64) for i in range(3)
        )
        out.append(WordLinks(dependent, head, relation))
    return out


def dependencies(
    model: Model,
    linked: Linked,
    run: Run,
    passing: Passing = Passing(),
    seed: int = 0,
) -> None:
    """Write `relations`, `relations_best`, `offsets`, `patterns` and `explained` for a treebank,
    block by block.
    """
    names = linked.relations
    links = word_links(linked.links, names)
    half = halves(len(linked.sentences), seed)
    best = best_offsets(links, half == 0, len(names))
    saved = run.finished_parts("relations")
    parts, classes = [], []
    for start in range(0, len(linked.sentences), _BLOCK):
        rows = list(range(start, min(start + _BLOCK, len(linked.sentences))))
        name = f"block-{start}"
        if name not in saved:
            found = Dependencies(
                [linked.tokens[i] for i in rows],
                [links[i] for i in rows],
                half[rows],
                best,
                model.layers,
                model.heads,
            )
            collector = Collector(load_classifier(), len(rows), model.layers, model.heads)
            _pass(model, only(linked.encoded, rows), found, passing, collector)
            saved[name] = {**found.arrays(), "classes": collector.classes}
            run.part("relations", name, saved[name])
        else:
            passing.advance(len(rows))
        parts.append(saved[name])
        classes.append(saved[name]["classes"])
    sums, looks = merged(parts)
    if "shuffled" not in saved:
        saved["shuffled"] = _shuffled(model, linked, seed, half, best, passing)
        run.part("relations", "shuffled", saved["shuffled"])
    ids = {"model": model.name, "task": linked.corpus.name}
    every = []
    for direction in DIRECTIONS:
        both = {q: tables.together(sums[direction, q], len(names)) for q in QUANTITIES}
        every += tables.every_head(both, names, direction)
    run.table("relations", every, **ids)
    run.table(
        "relations_best",
        tables.best_heads(sums, merged([saved["shuffled"]])[0], names, best, looks),
        **ids,
    )
    run.table("offsets", tables.offset_rows(looks), **ids)
    of_maps = np.concatenate(classes)
    shares = pattern_rows({AS_GIVEN: of_maps}, load_classifier().groups, seed)
    run.arrays(PATTERNS, {AS_GIVEN.replace(" ", "_"): of_maps})
    run.table(PATTERNS, shares, **ids)
    is_diagonal = [CLASSES.index(name) for name in (DIAGONAL, VERTICAL_DIAGONAL)]
    diagonal = {
        (head.layer, head.head): float(share[is_diagonal].sum())
        for head, share in shares_of_heads(shares, AS_GIVEN).items()
    }
    core = [name for name in names if name.split(":")[0] in ("nsubj", "csubj", "obj", "iobj")]
    if rows_of := tables.explained(every, diagonal, core):
        run.table("explained", rows_of, **ids)


def _pass(
    model: Model,
    encoded: Encoded,
    found: Dependencies | Spans,
    passing: Passing,
    collector: Collector | None = None,
) -> None:
    observers: list[Observer[LayerMaps, Any]] = [found]
    if collector is not None:
        observers.append(collector)
    run_pass(
        model,
        encoded,
        observers,
        batch_tokens=passing.batch_tokens,
        precision=passing.precision,
        advance=passing.advance,
    )


def _shuffled(
    model: Model,
    linked: Linked,
    seed: int,
    half: npt.NDArray[np.int64],
    best: npt.NDArray[np.int64],
    passing: Passing,
) -> dict[str, npt.NDArray[np.float64]]:
    """The sums over sentences whose words were shuffled, of the scoring half first."""
    order = np.argsort(-half, kind="stable")[:SHUFFLED]
    sentences = [shuffled(linked.sentences[i], seed + i) for i in order.tolist()]
    encoded, tokens = _encode(model, sentences, linked.encoded.max_length)
    own = [_with_tokens(one, tokens[at]) for at, one in enumerate(sentences)]
    found = Dependencies(
        tokens, word_links(own, linked.relations), half[order], best, model.layers, model.heads
    )
    _pass(model, encoded, found, passing)
    return found.arrays()


def spans(
    model: Model,
    linked: Linked,
    run: Run,
    passing: Passing = Passing(),
    *,
    faithful: bool = False,
) -> None:
    """Write `relations`, `heads`, `span_heads` and `span_examples` for links between spans."""
    names = linked.relations
    found = Spans(linked.tokens, linked.links, names, model.layers, model.heads, faithful=faithful)
    _pass(model, linked.encoded, found, passing)
    ids = {"model": model.name, "task": linked.corpus.name}
    every = tables.every_head(found.sums, names)
    run.table("relations", every, **ids)
    heads = [
        {name: row[name] for name in ("layer", "head", "value", "low", "high", "n", "unit")}
        | {
            "measure": row["relation"]
            + ("" if row["measure"] == "score" else row["measure"].removeprefix("attention"))
        }
        for row in every
        if row["measure"] in ("score", "attention_control", "attention_excess")
    ]
    run.table("heads", heads, **ids)
    best = tables.span_heads(every, names)
    run.table("span_heads", best, **ids)
    run.arrays("span_scores", {"scores": found.scores})
    number = {head: head.index for head in all_heads(model.layers, model.heads)}
    rows = []
    for row in best:
        if row["rank"] > _SHOWN_HEADS:
            continue
        at = next(index for head, index in number.items() if str(head) == row["set"])
        scores = found.scores[:, names.index(row["relation"]), at[0], at[1]]
        for i in np.argsort(np.where(np.isnan(scores), -1.0, -scores), kind="stable")[
            :_SHOWN_EXAMPLES
        ].tolist():
            one = linked.sentences[i]
            own = [x for x in linked.links[i] if x.relation == row["relation"]]
            rows.append(
                {
                    "relation": row["relation"], "set": row["set"], "layer": row["layer"], "head": row["head"],
                    "sentence": one.name, "text": one.text, "value": float(scores[i]),
                    "source": "; ".join(_words(one, x.source) for x in own),
                    "target": "; ".join(dict.fromkeys(_words(one, x.target) for x in own)),
                    "detail": "; ".join(x.detail for x in own if x.detail), "unit": "fraction of mass",
                }
            )  # fmt: skip
    run.table("span_examples", rows, **ids)


def load_scores(run: Path) -> npt.NDArray[np.float32]:
    """The paper's score of every sentence of a run of `spans`: [sentence, relation, layer, head],
    NaN for none.
    """
    return load_file(run / "span_scores.safetensors")["scores"]


def _words(sentence: Sentence, which: Sequence[int]) -> str:
    return sentence.text[sentence.words[which[0]].start : sentence.words[which[-1]].end]
