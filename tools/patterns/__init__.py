"""Train the classifier of patterns, judge it, and make maps with a known answer."""
