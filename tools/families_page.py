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

from transformers import CONFIG_MAPPING

from headscope.errors import HeadscopeError
from headscope.model.families import FAMILIES
from headscope.model.loading import load
from headscope.model.tap import MODES
from pages import ROOT, table

sys.path.insert(0, str(ROOT / "tests"))

import zoo
import zoo_tokenizers
from family_checks import Findings, findings

PAGE, README = ROOT / "docs" / "families.md", ROOT / "README.md"
BEGIN, END = "<!-- families -->", "<!-- end of families -->"
SENTENCE = re.compile(r"Of \d+ families of text encoders .*? with a\s+reason", re.DOTALL)
MOST_MAPS, MOST_STATES, MOST_GRADIENTS = 1e-5, 1e-5, 1e-4
MOST_SCORES = 1e-4
LEAST_CHANGE = 1e-3
_WAYS = {"layers": "layer by layer", "passes": "by its pass", "whole": "whole", "": ""}


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
        try:
            found = findings(family, zoo.folder_of(family, folder))
        except (HeadscopeError, AssertionError) as error:
            failed[family] = str(error) or "gives no number"
            continue
        found.words = words_of(family, folder)
        if wrong := what_is_wrong(family, found):
            failed[family] = wrong
        taken[family] = found
    failed |= {family: "is not refused" for family, reason in refused.items() if not reason}
    return taken, refused, failed


def what_is_wrong(family: str, found: Findings) -> str:
    """What of a family is not as it must be, as a verb phrase; "" if all is."""
    states = max(found.idle, found.seen, *found.modes.values())
    if found.maps > MOST_MAPS or states > MOST_STATES or found.gradients > MOST_GRADIENTS:
        return (
            f"differs by {found.maps:.1e} (maps), {states:.1e} (states), "
            f"{found.gradients:.1e} (gradients)"
        )
    if found.scores > MOST_SCORES:
        return f"is scored otherwise than with its heads disabled, by {found.scores:.1e}"
    if found.least < LEAST_CHANGE:
        return f"has a head that changes its output by {found.least:.1e} only: this shows nothing"
    if zoo.has_classifier(family) and not found.learns:
        return "has a classifier, and does not learn"
    return ""


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
        "family", "tapped through", "maps", "idle", "gradients", "uniform", "zero", "mean", "sets",
        "fine-tunes", "words", "norms",
    )  # fmt: skip
    rows = [row_of(family, found) for family, found in sorted(taken.items())]
    versions = ", ".join(f"{name} {version(name)}" for name in ("transformers", "torch"))
    return "\n\n".join(
        (
            f"Made on {date.today()} by `make families` ({versions}): tiny random models, 3 layers "
            "of 5 heads. *maps*: largest difference of a weight of attention from eager "
            "attention's, over a padded batch, a text and a pair. *idle*: of the encoder's output "
            "with nothing disabled from transformers' own, under SDPA where the family has it, "
            "relative to its largest value. *gradients*: of any weight from eager attention's, "
            "relative to the largest. *uniform*, *zero*, *mean*: of the encoder's output with each "
            "head disabled in turn from that of transformers' own model in double precision whose "
            "output projection reads something else (ModernBERT's and Gemma's in single). *sets*: "
            "how `disable` scores sets: many at once by the model's layers one by one, or by its "
            "own forward pass from a layer on, or the whole model for every set. *words*: "
            "whether words are known with a tokenizer of "
            "the class that transformers has for the family; not said where it has none, so that "
            "the checkpoint's file decides; matched where it is written in Python, and its tokens "
            "are looked for in the texts. *norms*: whether the heads' output projections are "
            "known, which norm-weighted measures need.",
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
        f"{found.gradients:.0e}",
        *modes,
        _WAYS[found.way],
        learns,
        found.words,
        "yes" if found.projections else "no",
    )


def words_of(family: str, folder: Path) -> str:
    """Whether words are known with a tokenizer of the family's own class."""
    if zoo_tokenizers.class_of(family) is None:
        return "not said"
    place = zoo.folder_of(family, folder, vocab_size=zoo_tokenizers.VOCABULARY)
    try:
        zoo_tokenizers.put_beside(family, place)
        model = load(place)
    except ImportError:
        return "needs another package"
    except HeadscopeError as error:
        return "refused: its marks" if "special token" in str(error) else "refused"
    return "yes" if model.tokenizer.is_fast else "matched"


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
