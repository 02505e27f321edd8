"""The run folder: what writes it, what reads it, and what its tables hold."""
