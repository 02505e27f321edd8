"""Measure every family of text encoders that transformers has, on tiny random models, and write the
table of docs/families.md and the sentence of README.md. Called by `make families`.

    python tools/families_page.py [FAMILY ...]

With names the rows are printed and nothing is written. A family that neither loads nor is refused
in a sentence, or that differs from the explicit form, ends in exit code 1.
"""

import re
import sys
import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path

from transformers import CONFIG_MAPPING, PreTrainedTokenizerFast
from transformers.models.auto.tokenization_auto import (
    TOKENIZER_MAPPING_NAMES,
    tokenizer_class_from_name,
)

from headscope.errors import HeadscopeError
from headscope.model.families import FAMILIES
from headscope.model.loading import load
from headscope.model.tap import MODES
from pages import ROOT, table

sys.path.insert(0, str(ROOT / "tests"))

import zoo
from family_checks import Findings, findings

PAGE, README = ROOT / "docs" / "families.md", ROOT / "README.md"
BEGIN, END = "<!-- families -->", "<!-- end of families -->"
SENTENCE = re.compile(r"Of \d+ families of text encoders .*? with a\s+reason", re.DOTALL)
MOST_MAPS, MOST_STATES = 1e-5, 3e-5
_WAYS = {"stacked": "many sets at once", "shared": "lower layers once", "whole": "whole", "": ""}


def main(names: list[str]) -> int:
    """Measure, and write the page if all families are asked for."""
    with tempfile.TemporaryDirectory() as folder:
        taken, refused, failed = measure(names or zoo.universe(), Path(folder))
    text = page(taken, refused)
    if names:
        sys.stdout.write(f"{text}\n")
    elif not failed:
        write(text, len(taken), len(refused))
    for family, reason in failed.items():
        sys.stderr.write(f"{family}: {reason}\n")
    return int(bool(failed))


def measure(
    names: list[str], folder: Path
) -> tuple[dict[str, Findings], dict[str, str], dict[str, str]]:
    """What was found of the families that are taken; why others are refused; what failed."""
    taken: dict[str, Findings] = {}
    refused: dict[str, str] = {}
    failed: dict[str, str] = {}
    for family in names:
        sys.stderr.write(f"{family}\n")
        if family not in FAMILIES.names():
            refused[family] = refusal(family, folder)
            continue
        found = findings(family, zoo.folder_of(family, folder))
        largest = max(found.idle, *found.modes.values())
        if found.maps > MOST_MAPS or largest > MOST_STATES:
            failed[family] = f"differs by {found.maps:.1e} (maps), {largest:.1e} (states)"
        taken[family] = found
    failed |= {family: "is not refused" for family, reason in refused.items() if not reason}
    return taken, refused, failed


def refusal(family: str, folder: Path) -> str:
    """What is said of a folder with the family's own configuration and nothing else; "" if it is
    not refused as a family.
    """
    place = folder / f"refused-{family}"
    CONFIG_MAPPING[family]().save_pretrained(place)
    try:
        load(place)
    except HeadscopeError as error:
        return reason_of(str(error), str(place), family)
    return ""


def reason_of(message: str, place: str, family: str) -> str:
    """The reason in a refusal, without the name and what to do."""
    found = re.match(
        rf"{re.escape(place)} (?:is of the family {family}, which|\({family}\)) (.*?)"
        r"(?:, so its heads|, and transformers has no class|, in which a token|, which headscope"
        r"|, and headscope gives)",
        message,
    )
    return found[1] if found else ""


def page(taken: dict[str, Findings], refused: dict[str, str]) -> str:
    """The two tables."""
    header = (
        "family", "tapped through", "maps", "idle", "uniform", "zero", "mean", "sets", "fine-tunes",
        "words", "norms",
    )  # fmt: skip
    rows = [row_of(family, found) for family, found in sorted(taken.items())]
    versions = ", ".join(f"{name} {version(name)}" for name in ("transformers", "torch"))
    return "\n\n".join(
        (
            f"Made on {date.today()} by `make families` ({versions}): tiny random models, 3 layers "
            "of 5 heads. *maps*: largest difference of a weight of attention from eager "
            "attention's, over a padded batch, a text and a pair. *idle*: of the encoder's output "
            "with nothing disabled, relative to its largest value. *uniform*, *zero*, *mean*: the "
            "same with each head disabled in turn, against transformers' own model in double "
            "precision whose output projection reads something else (ModernBERT's in single). "
            "*sets*: how `disable` scores many sets. *words*: whether the family's tokenizer in "
            "transformers knows where tokens stand. *norms*: whether the heads' output projections "
            "are known, which norm-weighted measures need.",
            table(header, rows),
            "Refused, with what is said:",
            table(("family", "it ..."), sorted(refused.items())),
        )
    )


def row_of(family: str, found: Findings) -> tuple[str, ...]:
    """A family's row."""
    modes = (f"{found.modes[mode]:.0e}" if mode in found.modes else "refused" for mode in MODES)
    learns = "yes" if found.learns else "no classifier"
    return (
        f"`{family}`",
        found.tapped,
        f"{found.maps:.0e}",
        f"{found.idle:.0e}",
        *modes,
        _WAYS[found.way],
        learns,
        words_of(family),
        "yes" if found.projections else "no",
    )


def words_of(family: str) -> str:
    """Whether the tokenizer that transformers has for a family is a fast one."""
    tokenizer = tokenizer_class_from_name(TOKENIZER_MAPPING_NAMES.get(family) or "")
    if tokenizer is None:
        return "not said"
    return "yes" if issubclass(tokenizer, PreTrainedTokenizerFast) else "slow tokenizer"


def write(text: str, taken: int, refused: int) -> None:
    """Put the tables into the page and the numbers into README.md."""
    before, rest = PAGE.read_text("utf-8").split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", "utf-8")
    sentence = (
        f"Of {taken + refused} families of text encoders that transformers has, {taken} are\n"
        f"supported and {refused} refused with a reason"
    )
    README.write_text(SENTENCE.sub(sentence, README.read_text("utf-8"), count=1), "utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
