"""Intervals and tests over examples. Pure NumPy and SciPy; knows nothing of models."""
