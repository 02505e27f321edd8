"""What the commands compute, of texts in memory and as data frames: nothing is written.

A frame has the columns of the table of its kind (docs/tables.md) but for `model` and `task`.
"""
