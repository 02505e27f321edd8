"""Sets of heads switched off, and what it costs."""
