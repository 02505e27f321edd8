"""Inputs made wrong on purpose: a generator of files, configurations, tokenizers, weights, arguments and runs."""
