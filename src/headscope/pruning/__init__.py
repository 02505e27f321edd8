"""Which heads can go together, and checkpoints without them."""
