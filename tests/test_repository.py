"""What the repository says of itself is true: the README's tree, the pins, the help in the docs."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def tracked() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in done.stdout.splitlines() if (ROOT / line).exists()]


def tree() -> dict[str, str]:
    """The README's file tree: path -> phrase."""
    block = re.search(r"```text tree\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block, "README.md has no block that starts with ```text tree"
    found: dict[str, str] = {}
    parents: list[str] = []
    for line in block[1].splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name, _, phrase = line.strip().partition("  ")
        parents = [*parents[:depth], name]
        found["".join(parents)] = phrase.strip()
    return found


def test_the_readme_tree_is_the_disk() -> None:
    paths = tree()
    for path, phrase in paths.items():
        assert (ROOT / path).exists(), f"{path} is in the README's tree and not on the disk"
        assert phrase, f"{path} has no phrase in the README's tree"
    folders = [p for p in paths if p.endswith("/")]
    for file in tracked():
        inside = [f for f in folders if file.startswith(f)]
        # A folder without entries of its own in the tree stands for all that it holds.
        closed = any(not any(p != f and p.startswith(f) for p in paths) for f in inside)
        assert file in paths or closed or ("/" not in file and file.startswith(".")), (
            f"{file} is missing in the README's tree"
        )


def test_files_are_not_too_long() -> None:
    for path in (ROOT / "src").rglob("*.*"):
        if path.suffix in (".py", ".js", ".j2", ".css"):
            assert len(path.read_text().splitlines()) <= 400, (
                f"{path.relative_to(ROOT)} has more than 400 lines"
            )


def test_every_dependency_is_pinned_for_ci() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = (
        project["dependencies"]
        + project["optional-dependencies"]["dev"]
        + project["optional-dependencies"]["offline"]
    )
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    for requirement in wanted:
        name = re.split(r"[<>=\[]", requirement)[0]
        assert name in pinned, f"{name} is not pinned in constraints.txt"


def test_the_readme_shows_files_that_exist() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), (
                f"{document.name} links to {target}, which is not there"
            )


@pytest.mark.parametrize("name", ["measures", "tables"])
def test_a_page_of_the_docs_is_what_the_code_says(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}_page as made; print(made.page(), end='')"],
        cwd=ROOT / "tools",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (ROOT / "docs" / f"{name}.md").read_text(), (
        f"run python tools/{name}_page.py"
    )


def reads_parquet(node: ast.AST) -> bool:
    names = ("pl.read_parquet", "pl.scan_parquet")
    return isinstance(node, ast.Call) and ast.unparse(node.func) in names


def test_no_path_is_taken_for_a_pattern() -> None:
    """By default polars reads `run1/x.parquet` where `run[1]/x.parquet` is asked for."""
    calls = []
    for path in (ROOT / "src").rglob("*.py"):
        calls += [node for node in ast.walk(ast.parse(path.read_text())) if reads_parquet(node)]
    assert calls
    for call in calls:
        assert "glob=False" in ast.unparse(call)
