"""Every family of transformers' text encoders is measured right or refused in a sentence, and the documents say the same."""

# mypy: disable-error-code="no-untyped-call"

import re
from pathlib import Path

import pytest

import families_page
import zoo
from family_checks import findings
from headscope.model.families import DROPOUT, FAMILIES, INTERFACE, REFUSED

ROOT = Path(__file__).parents[1]
# Where the module computes the same in another order.
ROUNDED = ("deberta", "deberta-v2")
# Whose own code computes positions or norms in single precision, whatever the model's.
SINGLE = ("modernbert", "eurobert", "ultrabert", "embedding_gemma2", *ROUNDED)


@pytest.mark.parametrize("family", zoo.CONFIGS)
def test_maps_and_disabled_heads_are_those_of_the_family(family: str, tmp_path: Path) -> None:
    found = findings(family, zoo.folder_of(family, tmp_path))
    assert found.maps <= (1e-5 if family in ROUNDED else 2e-6)
    # Nothing disabled: the module itself, or SDPA in place of eager attention.
    assert found.idle <= (0 if found.tapped == DROPOUT.name else 3e-5)
    for mode, difference in found.modes.items():
        most = 1e-5 if family in SINGLE else 2e-6
        assert difference <= most, mode
    # Far above what was allowed.
    assert found.least > 1e-3
    assert set(found.modes) == {"uniform", "zero", *(["mean"] * (family != "embedding_gemma2"))}
    assert found.learns == zoo.has_classifier(family)
    assert found.way in (("stacked", "shared", "whole") if found.learns else ("",))


def test_the_registry_holds_what_is_measured() -> None:
    assert set(zoo.CONFIGS) == set(FAMILIES.names())
    assert set(zoo.CONFIGS) <= set(zoo.universe())
    assert len(zoo.CONFIGS) >= 45


@pytest.mark.parametrize("family", sorted(set(zoo.universe()) - set(zoo.CONFIGS)))
def test_every_other_family_is_refused_with_a_reason(family: str, tmp_path: Path) -> None:
    reason = families_page.refusal(family, tmp_path)
    assert reason
    assert reason == REFUSED.get(family, reason)


def test_the_page_and_the_readme_say_what_holds() -> None:
    page = (ROOT / "docs" / "families.md").read_text()
    _, taken, refused = re.split(r"^\| family \|.*$", page, flags=re.MULTILINE)
    rows = re.findall(r"^\| `(\S+)` \| (.*?) \|", taken, flags=re.MULTILINE)
    tapped = dict(rows)
    assert list(tapped) == sorted(FAMILIES.names())
    names = {INTERFACE.name, DROPOUT.name, "its adapter"}
    assert set(tapped.values()) == names
    for family, name in tapped.items():
        assert FAMILIES.get(family).tappings[0].name == name
    others = dict(re.findall(r"^\| (\S+) \| (\w.*) \|$", refused, flags=re.MULTILINE))
    assert sorted(others) == sorted(set(zoo.universe()) - set(tapped))
    for family in REFUSED.keys() & others.keys():
        assert others[family] == REFUSED[family]
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert (
        f"Of {len(tapped) + len(others)} families of text encoders that transformers has, "
        f"{len(tapped)} are supported and {len(others)} refused with a reason"
    ) in readme
