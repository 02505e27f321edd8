"""Write docs/measures.md from the docstrings of the registered measures: python
tools/measures_page.py.
"""

from pathlib import Path

from headscope.measures import MEASURES, OWN_PASS, definition
from headscope.measures.base import FAITHFUL

PAGE = Path(__file__).parents[1] / "docs" / "measures.md"
HEAD = """# Measures

What `headscope measure` gives for every head, each with a 95% interval over examples: Wilson's for
a share of examples, else Student's t, none where fewer than ten examples have a value or all have
the same ([statistics.md](statistics.md) says how well they cover). Written by
`python tools/measures_page.py` from the code; a test keeps it true. a_ij is the attention of token
i (row) to token j (column), L the number of real tokens; padding never counts.

A `_control` is what the head does without the relation; an `_excess` is what is left once that is
taken off. Heads that know of no relation have no excess: [statistics.md](statistics.md) tries it.
`--faithful` gives the form of the paper's notebook where it differs. Classes of words:
every token of the input whose piece occurs in a word of the class counts, a word that contains a
negation ("north") is one, spaCy's `agent` and `expl` are subjects, `attr` and `oprd` objects, and
an example without the class counts as 0 (but for negation). The cosine of `headscope compare
--faithful` counts the rows of the padding to 200 tokens; `--max-length 200` cuts as it does.

| measure | unit | definition | notebook's form |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = []
    for name in MEASURES.names():
        one = MEASURES.get(name)
        text = " ".join((one.update.__doc__ or "").split()).replace("|", "\\|")
        rows.append(f"| `{name}` | {one.unit} | {text} | {'yes' if name in FAITHFUL else ''} |")
    for name in OWN_PASS:
        text = definition(name).replace("|", "\\|")
        rows.append(
            f"| `{name}` | {'share of maps' if name == 'patterns' else 'nats'} | {text} |  |"
        )
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
