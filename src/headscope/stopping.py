"""Ctrl-C, SIGTERM and a reader that went away, at any time from the first import to the end.

An interruption is raised as Python raises Ctrl-C, so that everything on its way is closed; what
libraries make of it, in the middle of an import, is told by `Stop.wanted`.
"""

import os
import signal
import sys
from types import FrameType

INTERRUPTED, TERMINATED, UNHEARD = 130, 143, 141
"""Exit codes: 128 and the number of the signal, as a shell has them."""


class Terminated(KeyboardInterrupt):
    """SIGTERM."""


class Stop:
    """What stopped this process, if anything did.

    Attributes:
        code: The exit code; 0 while nothing has.
    """

    code = 0


def listen() -> None:
    """Raise KeyboardInterrupt for Ctrl-C and `Terminated` for SIGTERM from here on.

    A signal that whoever started the process had ignored stays ignored.
    """
    for number, handler in ((signal.SIGINT, _interrupted), (signal.SIGTERM, _terminated)):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def say(error: BaseException | None = None) -> int:
    """The sentence for an interruption, on standard error.

    Args:
        error: What was raised, where the handlers were not there.

    Returns:
        The exit code.
    """
    code = Stop.code or (TERMINATED if isinstance(error, Terminated) else INTERRUPTED)
    try:
        sys.stderr.write(
            "headscope: stopped; what is finished is kept: run the same command again to go on\n"
        )
        sys.stderr.flush()
    except OSError:
        unheard()
    return code


def unheard() -> int:
    """Let nothing more be written to a pipe that nobody reads; returns the exit code."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(nowhere, stream.fileno())
        except (OSError, ValueError):
            continue
    return UNHEARD


def _interrupted(number: int, frame: FrameType | None) -> None:
    del number, frame
    _begin_to_stop(INTERRUPTED)
    raise KeyboardInterrupt


def _terminated(number: int, frame: FrameType | None) -> None:
    del number, frame
    _begin_to_stop(TERMINATED)
    raise Terminated


def _begin_to_stop(code: int) -> None:
    Stop.code = code
    # What a library cannot raise further would be written beside the sentence.
    sys.unraisablehook = lambda _: None
