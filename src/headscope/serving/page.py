"""What a local page is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

HOST = "127.0.0.1"
"""The only address that a page is served on: this machine's own."""


@dataclass(frozen=True)
class Part:
    """A part of the page, as the browser loads it.

    Attributes:
        media_type: "text/html", "text/javascript" or "text/css".
        text: What it holds.
    """

    media_type: str
    text: str


Answering = Callable[[Mapping[str, Any]], object]
"""From the JSON object of a POST, or the query of a GET, to a dataclass or a list of what becomes
JSON. Runs in a thread of its own. Raises HeadscopeError for what the page is to show, and KeyError,
ValueError, IndexError, TypeError or OverflowError for what the page would not have asked."""
