"""The whole paper in one command: its parts, and a verdict on each of its claims."""
