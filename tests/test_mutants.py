"""Several hundred inputs made wrong on purpose: exit code 0 or 2, no traceback, nothing written outside of --out, and
where the exit is 0 the numbers of the clean input or a note that says what was done.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import families
from mutants import commands, models, tables
from mutants.world import Expect, Mutant, Result, World, clean, complaint, ran, same_numbers

MUTANTS = [*tables.mutants(), *models.mutants(), *commands.mutants()]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with a head for two classes."""
    return families.make("bert", tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture(scope="module")
def reference(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """What the clean input gives, and its folder."""
    world = clean(tmp_path_factory.mktemp("clean") / "world", model)

    class Nothing:
        """Output is let through."""

        @staticmethod
        def readouterr() -> "type[Nothing]":
            return Nothing

        out = err = ""

    result = ran(world, Nothing)
    assert result.code == 0
    assert result.numbers is not None
    return result, world.path / "out"


def test_there_are_enough() -> None:
    assert len(MUTANTS) >= 300
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_refused_or_its_numbers_are_right(
    mutant: Mutant,
    model: Path,
    reference: tuple[Result, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = clean(tmp_path / "world", model)
    mutant.change(world)
    assert not complaint(mutant, ran(world, capsys), reference[0])


@pytest.mark.parametrize(
    ("what", "damage"), [pytest.param(*pair, id=pair[0]) for pair in commands.run_damages()]
)
def test_a_damaged_run_is_made_again_or_refused(
    what: str,
    damage: Callable[[Path], object],
    model: Path,
    reference: tuple[Result, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = clean(tmp_path / "world", model)
    shutil.copytree(reference[1], world.path / "out")
    damage(world.path / "out")
    # The report reads what is there: it may refuse, it must not crash.
    report = World(world.path, ["report", "out", "--out", "page/report.html"])
    shown = ran(report, capsys, out="page")
    assert shown.code in (0, 2)
    result = ran(world, capsys)
    assert not complaint(Mutant(what, _nothing), result, reference[0])
    assert result.code == 2 or same_numbers(result.numbers, reference[0].numbers)


def _nothing(world: World) -> None:
    """Change nothing."""


def test_the_rules_can_be_broken(reference: tuple[Result, Path]) -> None:
    good = reference[0]
    guarded = Mutant("x", _nothing, Expect.GUARDED)
    assert good.numbers is not None
    moved = good.numbers + 1
    sentence = "headscope: the file is bad, expected a good one: take another\n"
    for result, said in (
        (Result(1, "", "", None, (), ()), "exit code 1"),
        (Result(2, "", "Traceback (most recent call last)", None, (), ()), "traceback"),
        (Result(2, "", "KeyError", None, (), ()), "no sentence"),
        (Result(2, "", sentence, None, (), ("task/x",)), "outside of --out"),
        (Result(0, "", "", moved, good.notes, ()), "no note"),
        (Result(0, "", "", None, good.notes, ()), "no note"),
    ):
        assert said in complaint(guarded, result, good)
    assert not complaint(guarded, Result(2, "", sentence, None, (), ()), good)
    assert not complaint(guarded, Result(0, "", "", moved, ("3 rows were left out",), ()), good)
    same = Mutant("x", _nothing, Expect.SAME)
    assert "refused" in complaint(same, Result(2, "", sentence, None, (), ()), good)
    refused = Mutant("x", _nothing, Expect.REFUSED)
    assert "taken" in complaint(refused, Result(0, "", "", moved, ("a note",), ()), good)
