"""Whether the hub can be reached: asked once and quickly, so that work without a network does not
wait for retries.
"""

import os
import socket
from functools import cache
from urllib.parse import urlparse


@cache
def reachable() -> bool:
    """Whether the hub's host has an address here (or a proxy is set, which would look it up
    itself).
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return False
    if any(
        os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
    ):
        return True
    host = urlparse(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).hostname
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True
