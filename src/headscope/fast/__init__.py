"""Many sets of disabled heads at once, exactly: nothing is computed that the sets share, or that no one reads."""

from headscope.fast.guard import Guard
from headscope.fast.variants import MEMORY, Scored, known, score_sets

__all__ = ["MEMORY", "Guard", "Scored", "known", "score_sets"]
