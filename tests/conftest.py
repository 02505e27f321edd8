"""Fixtures that many tests share."""

import os
from pathlib import Path

import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"
torch.set_num_threads(2)

SHARED = Path(__file__).parents[2] / "shared" / "data" / "glue"


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
