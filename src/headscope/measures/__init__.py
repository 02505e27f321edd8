"""Measures: what a head attends to, as a number per head. Register one with
`MEASURES.register(name)`.
"""

import re
from typing import Any

from headscope.errors import unknown

# Importing a module registers its measures; this is the order in which people meet them.
# isort: off
from headscope.measures import tokens as _tokens  # noqa: F401
from headscope.measures import features as _features  # noqa: F401
from headscope.measures import pairs as _pairs  # noqa: F401
from headscope.measures import norms as _norms  # noqa: F401
from headscope.measures import sink as _sink  # noqa: F401

# isort: on
from headscope.measures.base import MEASURES, Measure, Moments, WordMeasure, measure
from headscope.measures.comparison import COSINE, cosine
from headscope.measures.features import class_masks
from headscope.measures.gradient import IMPORTANCE, gradient_importance
from headscope.measures.pairs import related_tokens
from headscope.measures.similarity import LIKENESS
from headscope.measures.similarity import likeness as _likeness
from headscope.patterns.collect import Collector
from headscope.patterns.rows import PATTERNS

__all__ = [
    "MEASURES",
    "OWN_PASS",
    "Measure",
    "Moments",
    "WordMeasure",
    "definition",
    "known",
    "measure",
    "needs_tags",
]

OWN_PASS = {IMPORTANCE: gradient_importance, LIKENESS: _likeness, PATTERNS: Collector}
"""What is not a number per example and head: gradients, all pairs of heads, the classes of maps."""


def known(spec: str = "all") -> list[str]:
    """The names of measures that "all" or a list joined by commas means.

    Raises:
        HeadscopeError: A measure is unknown.
    """
    every = [*MEASURES.names(), *OWN_PASS]
    names = every if spec == "all" else [name.strip() for name in spec.split(",")]
    for name in names:
        if name not in every:
            raise unknown("measure", name, every)
    return names


def needs_tags(name: str) -> bool:
    """Whether a measure looks at parts of speech or relations, which plain words do not have.

    >>> needs_tags("verb_to_subject"), needs_tags("attention_to_punctuation")
    (True, False)
    """
    if name in OWN_PASS:
        return False
    preparation = getattr(MEASURES.get(name), "preparation", None)
    # Punctuation is told by its characters, a negation by its form.
    is_plain = name.endswith(("_punctuation", "_negation"))
    return preparation is related_tokens or (preparation is class_masks and not is_plain)


def definition(name: str) -> str:
    """What a measure is, in a sentence: the docstring of the function that computes it, with its
    unit.
    """
    if name == COSINE:
        return f"{_prose(cosine)} Mean over examples (paper, section 4.3). Unit: cosine."
    if name in OWN_PASS:
        return _prose(OWN_PASS[name])
    chosen = MEASURES.get(name)
    return f"{_prose(chosen.update)} Unit: {chosen.unit}."


def _prose(documented: Any) -> str:
    """A docstring in one line, without its sections (Args, Returns, ...)."""
    text = re.split(r"\n\s*(?:Args|Attributes|Returns|Raises):", documented.__doc__ or "")[0]
    return " ".join(text.split())
