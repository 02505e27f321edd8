"""A file per command: a function with the command's name and arguments, which a notebook calls and
the command line parses.

Everything heavy is imported inside the functions, so that `headscope --help` answers at once.
"""
