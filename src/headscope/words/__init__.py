"""The words of a text: where they come from, their tokens, their classes, and the same word in
another text.
"""
