"""What is inside "heterogeneous": its heads grouped by what the measures say of them, with a name
where one is evident.

The paper leaves open what structure hides in the class. Heads most of whose maps are heterogeneous
are compared by their measures, each as its distance from the mean over all heads of the model in
standard deviations, and grouped by Ward's linkage; the number of groups is that with the best mean
silhouette.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from headscope.axes import Head

NAMES = {
    "same_word_across_excess": "same word in the other text",
    "verb_to_subject_excess": "verb to subject",
    "subject_to_verb_excess": "subject to verb",
    "noun_to_pronoun_excess": "noun to pronoun",
    "pronoun_to_noun_excess": "pronoun to noun",
    "attention_to_punctuation": "punctuation",
    "attention_to_noun": "nouns",
    "attention_to_verb": "verbs",
    "attention_to_pronoun": "pronouns",
    "attention_to_negation": "negation",
    "attention_to_sep": "partly [SEP]",
    "attention_to_cls": "partly [CLS]",
    "entropy": "broad",
    "distance": "far",
}
"""The measures that groups are made by, and what a group is called that stands out in one."""
EVIDENT = 1.0
"""A group has a name if it stands out by so many standard deviations."""
_FEWEST_HEADS, _MOST_GROUPS = 4, 6


@dataclass(frozen=True)
class Group:
    """Heads that are alike in their measures.

    Attributes:
        heads: The heads, in order.
        name: That of `measure`, or "no one measure" where the group does not stand out.
        measure: The measure in which the heads stand out most.
        deviation: By how much, in standard deviations from the mean of all heads.
    """

    heads: tuple[Head, ...]
    name: str
    measure: str
    deviation: float


def groups(values: Mapping[str, Mapping[Head, float]], chosen: Sequence[Head]) -> list[Group]:
    """The groups among some heads, the largest first.

    Args:
        values: measure -> head -> value, over all heads of the model.
        chosen: The heads to group.
    """
    measures = [
        name
        for name in NAMES
        if name in values and all(np.isfinite(values[name].get(head, np.nan)) for head in chosen)
    ]
    if not chosen or not measures:
        return []
    # [head, measure]
    deviations = np.array([_deviations(values[name], chosen) for name in measures]).T
    labels = _cut(deviations)
    grouped = []
    for number in range(1, int(labels.max()) + 1):
        is_member = labels == number
        means = deviations[is_member].mean(0)
        most = int(means.argmax())
        measure, deviation = measures[most], float(means[most])
        name = NAMES[measure] if deviation >= EVIDENT else "no one measure"
        heads = tuple(itertools.compress(chosen, is_member))
        grouped.append(Group(heads, name, measure, deviation))
    return sorted(grouped, key=lambda group: (-len(group.heads), group.heads))


def _deviations(values: Mapping[Head, float], chosen: Sequence[Head]) -> Float[np.ndarray, " head"]:
    """How far the chosen heads are from the mean of all heads, in standard deviations."""
    every = np.array([value for value in values.values() if np.isfinite(value)])
    spread = float(every.std()) or 1.0
    return np.array([(values[head] - every.mean()) / spread for head in chosen])


def _cut(deviations: Float[np.ndarray, "head measure"]) -> Int[np.ndarray, " head"]:
    """The number of each head's group, from 1."""
    heads = len(deviations)
    together = np.ones(heads, np.int64)
    if heads < _FEWEST_HEADS:
        return together
    from scipy.cluster.hierarchy import fcluster, linkage
    from sklearn.metrics import silhouette_score

    tree = linkage(deviations, "ward")
    best, best_score = together, -np.inf
    for count in range(2, min(_MOST_GROUPS, heads - 1) + 1):
        labels = np.asarray(fcluster(tree, count, "maxclust")).astype(np.int64)
        # Where heads are equal, fewer groups come out than were asked for.
        if not 1 < labels.max() < heads:
            continue
        score = float(silhouette_score(deviations, labels))
        if score > best_score:
            best, best_score = labels, score
    return best
