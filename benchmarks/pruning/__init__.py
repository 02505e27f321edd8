"""What `tools/pruning_results.py` measures: ways to choose which heads go, on the same models."""
