"""The one base of the exceptions that headscope raises on purpose.

A message is one sentence that says what is wrong, what was expected and what to do. The command
line prints it and ends with exit code 2.
"""

import difflib
import errno
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_LONGEST = 300


class HeadscopeError(Exception):
    """Something the user can mend: the message says how."""


class InterventionError(HeadscopeError):
    """A head was to be observed or disabled, and the model did not let it happen."""


def unknown(kind: str, name: str, known: Iterable[str], hint: str = "") -> HeadscopeError:
    """An error for a `name` that is none of the `known` ones: names them all, and the nearest
    first.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    nearest = f"did you mean {near[0]!r}? " if near else ""
    tail = f"; {hint}" if hint else ""
    return HeadscopeError(
        f"unknown {kind} {name!r}: {nearest}Known: {', '.join(names) or 'none'}{tail}."
    )


def reason(error: BaseException) -> str:
    """The beginning of the first line of what an error says, as a clause to put into a sentence;
    its kind where it says nothing.
    """
    first = str(error).strip().split("\n")[0].rstrip(".:")
    clause = textwrap.shorten(first, _LONGEST, placeholder=" ...")
    return clause or type(error).__name__


@contextmanager
def refusing(what: str, way_out: str = "") -> Iterator[None]:
    """Turn whatever a library raises in the block into one sentence: for files that others made.

    Headscope's own errors pass, and so does what is not of the file: a full disk, no memory left.

    Args:
        what: What failed, as in "the tokenizer of 'x' cannot be loaded".
        way_out: What to do.

    Raises:
        HeadscopeError: Anything was raised; says `what`, the reason, and the way out.
    """
    try:
        yield
    except (HeadscopeError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        tail = f": {way_out}" if way_out else ""
        raise HeadscopeError(f"{what} ({reason(error)}){tail}") from error
