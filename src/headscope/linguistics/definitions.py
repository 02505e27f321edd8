"""What the measures of `headscope relations` are, for the report's page of methods."""

from headscope.corpora.base import Kind

_TESTED = (
    "The p-value is that it is not above 0, by Student's t with sentences as clusters (twice the "
    "one-sided one); fewer than 10 sentences are not tested. Adjusted p-values are Holm's, over "
    "the heads of a relation or over the best heads of all relations."
)
_UD = {
    "accuracy": "Share of words for which the head's arg max is the right word: of the word's row "
    "in the map it is the governor (to_head), or of the governor's column it is the word, which of "
    "all words the governor attends to the most (from_head). "
    "Attention between words is the sum over the pieces of the word attended to and the mean over "
    "those of the word that attends; special tokens are left out and the diagonal is 0 (Clark et "
    "al. 2019, section 4.2).",
    "accuracy_control": "Control at the same distance: the share of the sentence's other words "
    "whose arg max falls at the same signed distance, pairs of the same relation and punctuation "
    "that is attended to left out. It is "
    "what the head finds by distance alone.",
    "accuracy_excess": "Accuracy minus its control, mean over the links that have one. " + _TESTED,
    "accuracy_over_offset": "Accuracy minus that of the best fixed offset on the same words. The "
    "offset is chosen on one half of the sentences; the best head of a relation is chosen on the "
    "same half and scored on the other, the held-out half.",
    "attention": "Attention from the word to its governor (to_head) or from the governor to the "
    "word (from_head), a fraction of mass.",
    "attention_control": "Control at the same distance: the mean attention between the sentence's "
    "other pairs of words at the same signed distance, pairs of the same relation and punctuation "
    "that is attended to left out; it is the mean of what a piece of the word attended to gets, "
    "times the pieces of the linked word.",
    "attention_excess": "Attention minus its control, mean over the links that have one. "
    + _TESTED,
    "looks_at": "Share of all words whose arg max lies so many words away.",
    "through_diagonal": "Share of a relation's attention, summed over heads, that goes through "
    "diagonal heads: those for which more than half of the maps are diagonal, or diagonal and "
    "vertical.",
}
_SPANS = {
    "score": "Largest attention from a token of the source span to one of the target span, over "
    "the links of the relation in a sentence; mean over sentences (paper, section 4.2).",
    "attention": "The same for every link: mean over the links of a sentence, then over sentences.",
    "attention_control": "Control at the same distance: the same with both spans moved by one "
    "number of tokens to every other place of the sentence where they fit, to no punctuation that "
    "is attended to, mean over places. Sizes, distance and the maximum are the same, and there is "
    "no relation.",
    "attention_excess": "Attention minus its control, over the links that have one. " + _TESTED,
    "percentile_99": "The 99th percentile of the scores of all heads (paper, figure 3): one head "
    "in a hundred is above it, whatever the heads do.",
}


def definitions(kind: Kind) -> dict[str, str]:
    """The definitions of the measures of a kind of corpus."""
    return _UD if kind == "ud" else _SPANS
