"""Measures: what a head attends to, as a number per head. Register one with `MEASURES.register(name)`."""

from headscope.measures import features as _features  # noqa: F401  (registers itself)
from headscope.measures import norms as _norms  # noqa: F401
from headscope.measures import pairs as _pairs  # noqa: F401
from headscope.measures import sink as _sink  # noqa: F401
from headscope.measures import tokens as _tokens  # noqa: F401
from headscope.measures.base import MEASURES, Measure, Moments, measure

__all__ = ["MEASURES", "Measure", "Moments", "measure"]
