"""The pages of headscope as HTML: templates, scripts and styles, which the report and the live page
share.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from headscope.figures.style import label
from headscope.reporting.payload import embedded
from headscope.reporting.reading import text
from headscope.results.numbers import number, p_value, with_minus

PAGE = Path(__file__).parent / "page"
SHARED = Path(__file__).parents[1] / "page"
_LONG = 260
"""Of a finding with more characters the first sentence is shown, and the rest on demand."""
Files = Mapping[Path, Sequence[str]]
"""Names of files by folder, in the order in which they are joined."""


def joined(files: Files) -> str:
    """The files as one text."""
    texts = []
    for folder, names in files.items():
        texts += [(folder / name).read_text(encoding="utf-8") for name in names]
    return "\n".join(texts)


def in_one_scope(files: Files) -> str:
    """Scripts as one, in one scope, which nothing else sees."""
    return f"(() => {{\n{joined(files)}\n}})();\n"


def hashed(content: str) -> str:
    """The hash by which a content security policy names a script or a style."""
    digest = hashlib.sha256(content.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def offline_policy(script: str, style: str) -> str:
    """A content security policy by which a page runs this script and nothing else, and loads
    nothing.
    """
    policy = {
        "default-src": "'none'",
        "script-src": f"'{hashed(script)}'",
        "style-src": f"'{hashed(style)}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{rule} {value}" for rule, value in policy.items())


def environment(*folders: Path) -> jinja2.Environment:
    """Templates of some folders, before those of the report. Every value is escaped."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, PAGE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": number,
        "p_value": p_value,
        "label": label,
        "words": text,
        "percent": _percent,
        "grouped": _grouped,
        "json": _json,
        "minus": with_minus,
        "sentences": _sentences,
        "trusted": Markup,  # the files of the package, never data
    }
    return made


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%"


def _sentences(said: str) -> list[str]:
    """A long text in its first sentence and the rest; a short one whole."""
    if len(said) <= _LONG:
        return [said]
    return re.split(r"(?<=[.]) (?=[A-Z])", said, maxsplit=1)


def _grouped(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _json(value: object) -> Markup:
    return Markup(embedded(value))  # noqa: S704 - holds no character that HTML reads
