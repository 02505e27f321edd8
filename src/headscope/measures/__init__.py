"""Measures: what a head attends to, as a number per head. Register one with
`MEASURES.register(name)`.
"""

from headscope.errors import unknown

# Importing a module registers its measures; this is the order in which people meet them.
# isort: off
from headscope.measures import tokens as _tokens  # noqa: F401
from headscope.measures import features as _features  # noqa: F401
from headscope.measures import pairs as _pairs  # noqa: F401
from headscope.measures import norms as _norms  # noqa: F401
from headscope.measures import sink as _sink  # noqa: F401

# isort: on
from headscope.measures.base import MEASURES, Measure, Moments, measure
from headscope.measures.gradient import gradient_importance
from headscope.measures.similarity import likeness as likeness_of_heads
from headscope.patterns.collect import Collector as pattern_of_heads  # noqa: N813 - it reads as what it gives

__all__ = ["MEASURES", "OWN_PASS", "Measure", "Moments", "definition", "known", "measure"]

OWN_PASS = {
    "gradient_importance": gradient_importance,
    "likeness": likeness_of_heads,
    "patterns": pattern_of_heads,
}
"""What is no number per example and head: gradients, all pairs of heads, the classes of maps."""


def known(spec: str = "all") -> list[str]:
    """The names of measures that "all" or a list joined by commas means. Raises HeadscopeError for
    an unknown one.
    """
    every = [*MEASURES.names(), *OWN_PASS]
    names = every if spec == "all" else [name.strip() for name in spec.split(",")]
    for name in names:
        if name not in every:
            raise unknown("measure", name, every)
    return names


def definition(name: str) -> str:
    """What a measure is, in a sentence: the docstring of the function that computes it, with its
    unit.
    """
    from headscope.measures.comparison import COSINE, cosine

    if name == COSINE:
        return f"{' '.join((cosine.__doc__ or '').split())} Mean over examples (paper, section 4.3). Unit: cosine."
    if name in OWN_PASS:
        return " ".join((OWN_PASS[name].__doc__ or "").split("Raises")[0].split())
    one = MEASURES.get(name)
    return f"{' '.join((one.update.__doc__ or '').split())} Unit: {one.unit}."
