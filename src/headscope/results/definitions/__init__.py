"""The tables of every command, a file per room that computes them."""
