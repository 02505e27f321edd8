"""Fixtures that many tests share."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
import torch

import checked

if TYPE_CHECKING:
    import runs

# Before anything of headscope is imported.
checked.install()

# What a shell starts in the background ignores Ctrl-C, and so would every process that a test starts and stops.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HEADSCOPE_CACHE"] = tempfile.mkdtemp(prefix="headscope-cache-")
# Where workers share the tests, each has one thread; and so has every process that a test starts, since with another
# number of threads some processors add in another order.
THREADS = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2
os.environ["OMP_NUM_THREADS"] = str(THREADS)
torch.set_num_threads(THREADS)
# The same examples in every CI run; on a developer's machine new ones each time.
hypothesis.settings.register_profile("ci", derandomize=True)
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")

LONGEST = (
    "golden",
    "shared_passes",
    # Not at the very beginning: while all workers read torch from the disk, nodes miss each other's heartbeats.
    "cluster",
    "replication",
    "commands",
    "study_kinds",
    "prune_command",
    "killed_at_files",
    "small_kinds",
    "patterns",
    "ud",
    "batch",
    "elsewhere",
    "embeddings",
    "notebook",
    "task_files",
    "together",
    "stopping",
)
"""Files of tests that take longest, the longest first: begun last, one of them would be left to a single worker while
the others have nothing to do.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; the order within a file stays."""
    places = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


SHARED = Path(__file__).parents[2] / "shared" / "data" / "glue"


@pytest.fixture(autouse=True, scope="session")
def few_rounds() -> Iterator[None]:
    """Speeds are of tiny models here: two rounds each, in place of up to 60 for every run of `prune`."""
    from headscope.pruning import speed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(speed, "_MOST", 2)
        yield


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random BERT that has a head for two classes."""
    import families

    return families.make("bert", tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture
def glue() -> Path:
    """The real GLUE data, where it is beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"the GLUE data is not at {SHARED}")
    return SHARED


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[runs.Browser]":
    """A tab of a real browser, where there is one."""
    import runs

    if runs.CHROMIUM is None:
        pytest.skip(
            "no Chromium is on this machine: install the package chromium to test the page in a browser"
        )
    tab = runs.Browser(tmp_path_factory.mktemp("profile"))
    yield tab
    tab.close()
