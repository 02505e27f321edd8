"""Run the simulations of all tests and intervals and write docs/statistics.md.

    python tools/statistics_page.py [SECTION]...

Called by `make results`. With names (modules of tools/simulations) only these are run anew, the
other sections of the page stay. Everything is drawn from fixed seeds.
"""

import importlib
import os
import re
import sys
from collections.abc import Callable

from pages import ROOT
from simulations.base import Section

PAGE = ROOT / "docs" / "statistics.md"
SECTIONS: tuple[str, ...] = (
    "paired",
    "correlations",
    "rankings",
    "groups",
    "queries",
    "selection",
    "seeds",
    "interactions",
    "noninferiority",
    "means",
    "clusters",
    "controls",
    "linked",
    "proxies",
    "claims",
)
"""The modules of tools/simulations, in the order of the page."""

NEEDS = {"controls": "HEADSCOPE_UD", "linked": "HEADSCOPE_FRAMENET"}
"""The environment variable that names the data of a section; see tools/relation_results.py."""

HEAD = """# How far the statistics can be trusted

Every test and every interval that headscope prints is tried here on made data of which the truth
is known: a test at the 5% level should reject a true null hypothesis in 5% of the draws or fewer, a
95% interval should cover the truth in 95% or more. Rates carry their own 95% interval (Wilson). The
sections are made by `python tools/statistics_page.py` (part of `make results`) from fixed seeds;
the tests of the repository run the same simulations with fewer draws.
"""


def made(name: str) -> Section:
    """Run the simulation of a module."""
    section: Callable[[], Section] = importlib.import_module(f"simulations.{name}").section
    return section()


def marked(name: str, text: str) -> str:
    """The text of a section between marks by which it is found again."""
    return f"<!-- {name} -->\n{text}<!-- end of {name} -->\n"


def kept(name: str, page: str) -> str | None:
    """The text of a section of the page as it is; None where it is not there."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end of {name} -->", page, re.DOTALL)
    return found[1] if found else None


def main() -> None:
    """Write the page."""
    # Without the data that a section needs, the page keeps what it says.
    has_data = {name: name not in NEEDS or os.environ.get(NEEDS[name]) for name in SECTIONS}
    asked = sys.argv[1:] or [name for name in SECTIONS if has_data[name]]
    if unknown := sorted(set(asked) - set(SECTIONS)):
        sys.exit(f"no such section: {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    page = PAGE.read_text() if PAGE.exists() else ""
    parts = [HEAD]
    for name in SECTIONS:
        text = None if name in asked else kept(name, page)
        if text is None:
            print(f"{name} ...", flush=True)
            text = made(name).markdown()
        parts.append(marked(name, text))
    PAGE.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
