"""The one base of the exceptions that headscope raises on purpose.

A message is one sentence that says what is wrong, what was expected and what to do. The command
line prints it and ends with exit code 2.
"""

import difflib
from collections.abc import Iterable


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
