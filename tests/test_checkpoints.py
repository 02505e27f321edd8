"""What training leaves in a run folder: whole checkpoints of finite weights, and no state beside them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import headscope
from headscope import cli
from headscope.errors import HeadscopeError
from headscope.files import written
from headscope.model.loading import load
from headscope.tasks import find

Say = pytest.CaptureFixture[str]
SMALL: dict[str, Any] = {"task": "builtin", "examples": 8, "precision": "fp32"}


@pytest.fixture(scope="module")
def tuned(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "tuned"
    headscope.finetune(**SMALL, model=str(tiny), train_examples=16, epochs=1, out=out, quiet=True)
    return out


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_an_infinite_rate_leaves_no_checkpoint(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step: no loss after the update would show it."""

    def infinite(*given: object) -> float:
        return float("inf")

    monkeypatch.setattr("headscope.training.loop.learning_rate", infinite)
    with pytest.raises(HeadscopeError, match=r"diverged at step 1 of 1 \(the weights after it are"):
        headscope.finetune(
            **SMALL, model=str(tiny), train_examples=16, epochs=1, out=tmp_path / "run"
        )
    assert not (tmp_path / "run" / "config.json").exists()
    assert not (tmp_path / "run" / "run.json").exists()


def without_position(path: Path) -> None:
    save_file(load_file(path), path)


def of_other_shapes(path: Path) -> None:
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = {
        name: tensor if name == "rng" else tensor.flatten()
        for name, tensor in load_file(path).items()
    }
    save_file(tensors, path, metadata)


def not_finite(path: Path) -> None:
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    name = next(name for name in tensors if name.startswith("exp_avg"))
    save_file({**tensors, name: tensors[name] * torch.nan}, path, metadata)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


STATES: list[Callable[[Path], None]] = [
    without_position,
    of_other_shapes,
    not_finite,
    cut,
    emptied,
]


def test_a_damaged_state_of_a_training_begins_anew(
    tiny: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Say
) -> None:
    from headscope.commands import checkpoint
    from headscope.training import loop

    def train(*given: Any, **more: Any) -> None:
        loop.train(*given, **more, save_every=0.0)

    def stop(*given: Any) -> None:
        raise KeyboardInterrupt

    given = {**SMALL, "model": str(tiny), "train_examples": 16, "epochs": 1, "batch_size": 4}
    monkeypatch.setattr(checkpoint, "train", train)
    headscope.finetune(**given, out=tmp_path / "whole")
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save_checkpoint", stop)
        with pytest.raises(KeyboardInterrupt):
            headscope.finetune(**given, out=out)
    state = (out / "training.safetensors").read_bytes()
    for damage in STATES:
        for name in ("config.json", "model.safetensors", "run.json"):
            (out / name).unlink(missing_ok=True)
        (out / "training.safetensors").write_bytes(state)
        damage(out / "training.safetensors")
        capsys.readouterr()
        headscope.finetune(**given, out=out)
        assert "training.safetensors is damaged: it begins anew" in capsys.readouterr().err
        weights = [folder / "model.safetensors" for folder in (tmp_path / "whole", out)]
        assert weights[0].read_bytes() == weights[1].read_bytes()
        assert not (out / "training.safetensors").exists()


def test_a_state_beside_a_whole_checkpoint_is_removed(
    tiny: Path, tuned: Path, tmp_path: Path
) -> None:
    """Killed between the last file of the checkpoint and the removal of the state."""
    out = tmp_path / "run"
    shutil.copytree(tuned, out)
    (out / "run.json").unlink()
    (out / "training.safetensors").write_bytes(b"whatever")
    headscope.finetune(**SMALL, model=str(tiny), train_examples=16, epochs=1, out=out)
    assert not (out / "training.safetensors").exists()


def test_outputs_that_are_not_finite_have_no_score(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    def broken(*given: object, **more: object) -> Any:
        return np.array([[0.0, 1.0], [np.nan, 1.0]] * 4, np.float32)

    monkeypatch.setattr("headscope.commands.scoring.logits", broken)
    with pytest.raises(HeadscopeError, match="are not finite for 4 of 8 examples, so there is no"):
        headscope.disable(**SMALL, model=str(tiny), out=tmp_path / "run", quiet=True)


def test_weights_that_are_not_finite_are_never_saved(tiny: Path, tmp_path: Path) -> None:
    from headscope.training.checkpoint import save_checkpoint

    model = load(tiny)
    with torch.no_grad():
        next(iter(model.hf.parameters()))[0, 0] = torch.nan
    with pytest.raises(HeadscopeError, match="not finite .the first is in .*word_embeddings"):
        save_checkpoint(model, find("sst2"), tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()


def test_a_full_disk_while_the_tokenizer_is_saved_is_said(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Say
) -> None:
    from transformers import PreTrainedTokenizerFast

    def full(*given: object, **more: object) -> None:
        # What the writer of tokenizers raises, which is in Rust.
        raise Exception("No space left on device (os error 28)")

    words = f"finetune --model {tiny} --task builtin --init none --examples 8 --quiet --out "
    with monkeypatch.context() as patched:
        patched.setattr(PreTrainedTokenizerFast, "save_pretrained", full)
        assert cli.run([*words.split(), str(tmp_path / "run")]) == 2
    assert "the disk is full: make room and run the same command" in capsys.readouterr().err
    assert cli.run([*words.split(), str(tmp_path / "run")]) == 0
    assert not list((tmp_path / "run").glob(".saving-*"))


def test_other_errors_while_writing_keep_their_words() -> None:
    with pytest.raises(OSError, match="the x could not be written: no such key"), written("the x"):
        raise ValueError("no such key")
    with pytest.raises(OSError, match="^mine$"), written("the x"):
        raise OSError("mine")
