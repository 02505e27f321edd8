"""What is inside "heterogeneous": its heads grouped by what the measures say of them, with a name
where one is evident.

The paper leaves open what structure hides in the class. Heads most of whose maps are heterogeneous
are compared by their measures, each as its distance from the mean over all heads of the model in
standard deviations, and grouped by Ward's linkage; the number of groups is that with the best mean
silhouette.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
_MOST_GROUPS = 6


@dataclass(frozen=True)
class Group:
    """Heads that are alike in their measures. `name` is that of the measure in which they stand out
    most, by `deviation` standard deviations from the mean of all heads; "no one measure" below one.
    """

    heads: tuple[Head, ...]
    name: str
    measure: str
    deviation: float


def groups(values: Mapping[str, Mapping[Head, float]], chosen: list[Head]) -> list[Group]:
    """The groups among `chosen`, the largest first; values: measure -> head -> value, over all
    heads of the model.
    """
    measures = [
        m
        for m in NAMES
        if m in values and all(np.isfinite(values[m].get(h, np.nan)) for h in chosen)
    ]
    if not chosen or not measures:
        return []
    z = np.array([_deviations(values[m], chosen) for m in measures]).T
    found = []
    for number in range(1, int((labels := _cut(z)).max()) + 1):
        here = labels == number
        mean = z[here].mean(0)
        at = int(mean.argmax())
        name = NAMES[measures[at]] if mean[at] >= EVIDENT else "no one measure"
        heads = tuple(h for h, inside in zip(chosen, here, strict=True) if inside)
        found.append(Group(heads, name, measures[at], float(mean[at])))
    return sorted(found, key=lambda one: (-len(one.heads), one.heads))


def _deviations(values: Mapping[Head, float], chosen: list[Head]) -> list[float]:
    every = np.array([v for v in values.values() if np.isfinite(v)])
    spread = float(every.std()) or 1.0
    return [float((values[h] - every.mean()) / spread) for h in chosen]


def _cut(z: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    if len(z) < 4:
        return np.ones(len(z), np.int64)
    from scipy.cluster.hierarchy import fcluster, linkage
    from sklearn.metrics import silhouette_score

    tree = linkage(z, "ward")
    cuts = [
        np.asarray(fcluster(tree, k, "maxclust"))
        for k in range(2, min(_MOST_GROUPS, len(z) - 1) + 1)
    ]
    whole = [cut for cut in cuts if 1 < cut.max() < len(z)]
    scores = [float(silhouette_score(z, cut)) for cut in whole]
    return whole[int(np.argmax(scores))].astype(np.int64) if whole else np.ones(len(z), np.int64)
