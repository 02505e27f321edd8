"""What `benchmarks/disable.py` measures: the rivals, the limit, whole processes, a search."""
