"""A live page: type a text, see what every head attends to, switch heads off, see what changes."""
