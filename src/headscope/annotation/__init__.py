"""Attention maps labelled by looking at them: drawn, kept, shown on a local page, compared between
annotators.
"""
