"""Tables to charts: heat maps, effects, the paper's figures."""

from headscope.figures.style import PATTERN_COLOURS

__all__ = ["PATTERN_COLOURS"]
