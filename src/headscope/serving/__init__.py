"""A page on this machine: its parts, what answers it, and the server that lets nobody else in."""

from headscope.serving.page import HOST, Answering, Part
from headscope.serving.server import LocalServer

__all__ = ["HOST", "Answering", "LocalServer", "Part"]
