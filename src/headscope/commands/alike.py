"""Which heads make two texts alike for an embedder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headscope.errors import HeadscopeError

if TYPE_CHECKING:
    import polars as pl

    from headscope.commands.given import ModelLike
    from headscope.model.pooling import Pool
    from headscope.model.tap import Mode


def alike(
    model: ModelLike,
    first: str,
    second: str,
    *,
    mode: Mode = "uniform",
    pool: Pool | None = None,
    prompt: str | None = None,
) -> pl.DataFrame:
    """The cosine of two texts' vectors with every head disabled in turn.

    Args:
        model: A hub name, a folder, the embedded model minilm, or a headscope.Model.
        first: A text.
        second: Another.
        mode: What a disabled head puts out: "uniform" or "zero".
        pool: How vectors are pooled, "mean" or "cls"; by default as the model's folder says.
        prompt: What stands before every text; by default what the folder says.

    Returns:
        A row per head, the one without which the texts are least alike first: `set` (as in L3H8),
        `layer`, `head`, `cosine` without it, `change` of the cosine (below 0: the head makes them
        alike) and `activation_change`, how far its output moved, relative to its norm. Single
        changes do not add up, and one pair of texts says nothing of others.

    Raises:
        HeadscopeError: The model or its pooling cannot be used, or a text is empty.

    Example:
        >>> import headscope
        >>> headscope.alike("minilm", "A man sleeps.", "A man naps.").head(3)     # doctest: +SKIP
    """
    import polars as pl

    from headscope.ablation.joined_scorer import scorer_of
    from headscope.ablation.scorer import Scorer
    from headscope.ablation.sets import parse_sets
    from headscope.commands.given import asked_of
    from headscope.model.embedder import as_embedder
    from headscope.model.loading import load
    from headscope.model.pooling import pooling_of
    from headscope.model.source import find
    from headscope.model.text_pairs import TextPairs
    from headscope.model.texts import split_of
    from headscope.progress import say_notes

    name = str(asked_of("alike", ["model"], {"model": model})["model"])
    if not all(isinstance(text, str) and text.strip() for text in (first, second)):
        raise HeadscopeError("a text is empty, or is none: give two texts to compare")
    split = split_of((first, second))
    if mode == "mean":
        raise HeadscopeError("the mode mean is of many texts: give uniform or zero")
    pooling, notes = pooling_of(find(name), pool, prompt)
    say_notes(notes, quiet=False)
    embedder = as_embedder(load(name), pooling)
    limit = min(embedder.max_length, pooling.longest or embedder.max_length)
    pairs = TextPairs.of(split, embedder.tokenizer, limit, pooling.prompt)
    if pairs.encoded.truncated:
        raise HeadscopeError(
            f"a text has more than the {limit} tokens that {name} can read: give a shorter one"
        )
    scorer = scorer_of(Scorer(embedder, pairs.encoded, mode, precision="fp32"), pairs)
    whole = float(scorer.unchanged[0, 0])
    rows = []
    for result in scorer.score(parse_sets("each", embedder.layers, embedder.heads)):
        (head,) = result.heads
        cosine = float(result.outputs[0, 0])
        rows.append(
            {
                "set": result.name,
                "layer": head.layer,
                "head": head.head,
                "cosine": cosine,
                "change": cosine - whole,
                "activation_change": result.activation_change,
            }
        )
    return pl.DataFrame(rows).sort("change")
