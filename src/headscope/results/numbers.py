"""Numbers as people read them."""

import re
from decimal import ROUND_HALF_UP, Decimal


def number(value: float | None, unit: str | None = "", signed: bool = False, more: int = 0) -> str:
    """A number as text: points to a tenth, others to a hundredth, `more` digits on request or where
    that hides it.

    >>> number(81.13, "points"), number(-0.74, "points", signed=True)
    ('81.1', '−0.7')
    >>> number(-0.04, "points"), number(0.2, "nats")
    ('−0.04', '0.20')
    """
    if value is None:
        return "–"
    if abs(value) >= 1e9:
        return f"{value:.3g}"
    digits = (1 if unit == "points" else 2) + more
    digits += 0 < abs(value) < 10.0**-digits
    # Halves are rounded away from 0, as the script of the page does.
    text = str(Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))
    if float(text) == 0:
        return text.lstrip("-")
    return ("+" if signed and value > 0 else "") + text.replace("-", "−")


def p_value(p: float | None) -> str:
    """A p value to three digits, `< 0.001` below that."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def interval(low: float | None, high: float | None, digits: int, scale: float = 1.0) -> str:
    """A 95% interval in a line of the console, its ends times `scale`.

    >>> interval(0.1234, 0.5, 2), interval(None, None, 2)
    ('95% 0.12 to 0.50', 'no interval')
    """
    if low is None or high is None:
        return "no interval"
    return f"95% {scale * low:.{digits}f} to {scale * high:.{digits}f}"


def with_minus(text: str) -> str:
    """A sentence whose negative numbers have a minus sign in place of a hyphen.

    >>> with_minus("all-but-one: -6.90 to +15.74 (p < 1e-05, 2026-11-28)")
    'all-but-one: −6.90 to +15.74 (p < 1e-05, 2026-11-28)'
    """
    return re.sub(r"(?<![\w-])-(?=\d)", "−", text)
