"""Simulations of the tests and intervals: how often a test rejects what is true, how often an
interval covers. Each module has a function `section`, which makes one section of
docs/statistics.md; the tests run the same simulations with few draws.
"""
