"""The words of a text: their boundaries, their tokens, their classes, and the same word in another
text.
"""
