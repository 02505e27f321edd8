"""Corpora whose sentences say which words stand in which relation: FrameNet, Universal Dependencies, one's own."""
