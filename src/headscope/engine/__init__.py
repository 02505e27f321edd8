"""Work as data: items that name a function by its path, and executors that run them."""
