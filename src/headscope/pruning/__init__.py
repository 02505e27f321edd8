"""Which heads can be removed together, and a model without them."""
