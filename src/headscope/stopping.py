"""Ctrl-C, SIGTERM and a reader that went away, at any time from the first import to the end.

An interruption is raised as Python raises Ctrl-C, so that everything on its way is closed. In the
middle of an import it waits until that is done: raised within the start of a library's C++ code it
would end the process without a word. Who cannot wait presses Ctrl-C again.
"""

import os
import signal
import sys
from types import FrameType

INTERRUPTED, TERMINATED, UNHEARD = 130, 143, 141
"""Exit codes: 128 and the number of the signal, as a shell has them."""
_SOON = 0.02
"""After so many seconds it is looked again whether an import is over."""


class Terminated(KeyboardInterrupt):
    """SIGTERM."""


class Stop:
    """What stopped this process, if anything did.

    Attributes:
        code: The exit code; 0 while nothing has.
        is_waiting: Whether it waits for the end of an import.
    """

    code = 0
    is_waiting = False


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


def ended(code: int) -> int:
    """The exit code of a command that came to its end: of a stop, where one still waited.

    Python takes its answers to signals back as it ends, and an alarm without one kills.
    """
    if not Stop.is_waiting:
        return code
    signal.setitimer(signal.ITIMER_REAL, 0)
    Stop.is_waiting = False
    return say()


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
    del number
    _stop(INTERRUPTED, frame)


def _terminated(number: int, frame: FrameType | None) -> None:
    del number
    _stop(TERMINATED, frame)


def _stop(code: int, frame: FrameType | None) -> None:
    is_first = not Stop.code
    Stop.code = code
    sys.unraisablehook = _not_raised
    if is_first and _is_importing(frame) and hasattr(signal, "setitimer"):
        _wait()
        return
    _raise()


def _not_raised(lost: "sys.UnraisableHookArgs") -> None:
    """What a library cannot raise further is not written, which would stand beside the sentence.

    An interruption within the code that Python calls as it frees an object is lost there: it is
    raised again.
    """
    if isinstance(lost.exc_value, KeyboardInterrupt) and hasattr(signal, "setitimer"):
        _wait()


def _wait() -> None:
    """Look again soon whether the interruption can be raised."""
    Stop.is_waiting = True
    signal.signal(signal.SIGALRM, _look_again)
    signal.setitimer(signal.ITIMER_REAL, _SOON)


def _look_again(number: int, frame: FrameType | None) -> None:
    del number
    if _is_importing(frame):
        signal.setitimer(signal.ITIMER_REAL, _SOON)
        return
    _raise()


def _raise() -> None:
    Stop.is_waiting = False
    raise Terminated if Stop.code == TERMINATED else KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    """Whether the code that was interrupted is part of an import."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
