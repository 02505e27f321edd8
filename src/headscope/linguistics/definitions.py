"""What the measures of `headscope relations` are, in a sentence each, for the report's page of
methods.
"""

_UD = {
    "accuracy": "Share of words whose governor is the word that the head's arg max falls on: of the row of the word "
    "(to_head), or of its column (from_head: of all words, the governor attends to it the most). "
    "Word level: sum over the pieces of the word attended to, mean over those of the word that "
    "attends; special tokens are left out, the diagonal is 0 (Clark et al. 2019, section 4.2).",
    "accuracy_control": "The share of the sentence's other words, pairs of the same relation left out, whose arg max "
    "falls at the same signed distance: what the head finds by distance alone.",
    "accuracy_excess": "Accuracy less its control, mean over the links that have one.",
    "accuracy_over_offset": "Accuracy less that of the best fixed offset, on the same words; the offset is chosen on "
    "the other half of the sentences.",
    "attention": "The attention from the word to its governor (to_head) or back (from_head), a fraction of mass.",
    "attention_control": "The mean attention between the sentence's other pairs of words at the same signed distance.",
    "attention_excess": "Attention less its control, mean over the links that have one.",
    "looks_at": "The share of all words whose arg max lies so many words away.",
    "through_diagonal": "The share of a relation's attention, summed over heads, that goes through heads most of whose "
    "maps are diagonal, or diagonal and vertical.",
}
_SPANS = {
    "score": "The largest attention from a token of the source span to one of the target span, over a sentence's links "
    "of the relation; mean over sentences (paper, section 4.2).",
    "attention": "The same for every link, mean over a sentence's links, then over sentences.",
    "attention_control": "The same with both spans moved by one number of words to every other place of the sentence "
    "where they fit, mean over places: same sizes, same distance, same maximum.",
    "attention_excess": "Attention less its control, over the links that have one.",
    "percentile_99": "The 99th percentile of the scores of all heads (paper, figure 3): one head in a hundred is above "
    "it, whatever the heads do.",
}


def definitions(kind: str) -> dict[str, str]:
    """The definitions of the measures of a kind of corpus: "ud", or "framenet" and "tsv"."""
    return _UD if kind == "ud" else _SPANS
