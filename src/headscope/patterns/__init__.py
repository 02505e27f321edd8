"""The five patterns of attention maps (paper, section 4.1).

from headscope import patterns
result = patterns.classify(maps)            # [..., query, key], rows summing to 1
result.labels, result.probabilities
"""

from headscope.names import CLASSES
from headscope.patterns.classifier import Patterns, classify

__all__ = ["CLASSES", "Patterns", "classify"]
