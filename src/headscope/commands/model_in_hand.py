"""A model in hand as a path: of a `headscope.Model` the one that it came from, of a Hugging Face
model a copy that is written for this process.

A copy that computes otherwise than the model in hand is refused: then something was changed in it
that its weights and its configuration do not hold.
"""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as hf_logging

from headscope.commands.checks import ArgumentError, checked
from headscope.errors import HeadscopeError, refusing
from headscope.model.fingerprint import fingerprint
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.scratch import NAME, scratch

TEXT = "The nurse thanked the pilot."
"""What the model in hand and its copy are run on."""
_TOLERANCE, _TOLERANCE_OF_HALF = 1e-3, 5e-2
"""How far the copy, in float32, may differ from a model in float32 or in half precision, relative
to the largest of its numbers.
"""


def path_of_model(argument: str, given: object, tokenizer: object) -> object:
    """The path of a model in hand; a name or a path as it is.

    Args:
        argument: The name of the argument, for messages.
        given: What the user gave.
        tokenizer: The tokenizer of a Hugging Face model; None if none was given.

    Raises:
        HeadscopeError: It is no model, or it cannot be written and read as what it is.
    """
    # A pipeline of transformers has both.
    inner = getattr(given, "model", None)
    if isinstance(inner, PreTrainedModel):
        tokenizer = getattr(given, "tokenizer", None) if tokenizer is None else tokenizer
        given = inner
    if isinstance(given, PreTrainedModel):
        if not isinstance(tokenizer, PreTrainedTokenizerBase):
            got = "" if tokenizer is None else f", got {type(tokenizer).__name__}"
            raise HeadscopeError(
                f"{argument} is a {type(given).__name__} in memory, which needs its tokenizer: "
                f"give tokenizer=AutoTokenizer.from_pretrained(...){got}"
            )
        return str(_written(given, tokenizer))
    if tokenizer is not None:
        raise HeadscopeError(
            f"tokenizer goes with a Hugging Face model in memory, and {argument} is a "
            f"{type(given).__name__}, which brings its own: leave tokenizer out"
        )
    if isinstance(given, Model):
        return _again(argument, given)
    if isinstance(given, str | Path):
        return given
    try:
        return checked(f"--{argument}", given, str, None)
    except ArgumentError as error:
        raise ArgumentError(
            f"{error}; a path, a headscope.Model, or a Hugging Face model with tokenizer= will do, "
            "too"
        ) from error


def _again(argument: str, model: Model) -> str:
    """The name that loads the same weights again, or the path of a copy."""
    if not model.tap.is_idle:
        raise HeadscopeError(
            f"{argument} is in use (its heads are disabled or observed): leave that context first"
        )
    # The hash is read once and kept, and the weights may have changed since.
    vars(model).pop("hash", None)
    for name in (model.name, model.path):
        with suppress(HeadscopeError):
            again = load(name)
            is_same = again.hash == model.hash and again.classes == model.classes
            if is_same and fingerprint(again) == fingerprint(model):
                return name
    return str(_written(model.hf, model.tokenizer))


def _written(hf: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Path:
    """A copy of a model and its tokenizer in a folder of this process."""
    digest = hashlib.sha256(hf.config.to_json_string().encode())
    for name, tensor in sorted(hf.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    label = Path(str(hf.name_or_path or "")).name or type(hf).__name__
    called = f"{label} in memory ({digest.hexdigest()[:8]})"
    folder = scratch("models") / digest.hexdigest()[:16]
    hf_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with refusing(f"the model in memory, a {type(hf).__name__}, cannot be written"):
        hf.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    (folder / NAME).write_text(called, encoding="utf-8")
    _check_copy(called, hf, load(folder, device=str(hf.device)))
    return folder


def _check_copy(called: str, hf: PreTrainedModel, copy: Model) -> None:
    """Raises HeadscopeError unless the copy computes what the model in hand does."""
    what = f"{called} cannot be run on a short text"
    with refusing(what, "give a model of transformers that takes what its tokenizer gives"):
        batch = copy.tokenizer(TEXT, return_tensors="pt").to(hf.device)
        here, there = _outputs(hf, batch), _outputs(copy.hf, batch)
    is_half = hf.dtype in (torch.float16, torch.bfloat16)
    tolerance = _TOLERANCE_OF_HALF if is_half else _TOLERANCE
    for one, other in zip(here, there, strict=False):
        if one.shape != other.shape:
            continue
        difference = float((one - other).abs().max()) / max(1.0, float(one.abs().max()))
        # Not-a-number fails as well.
        if not difference <= tolerance:
            raise HeadscopeError(
                f"{called} puts out other numbers than a copy of its weights and configuration "
                f"(relative difference {difference:.1e}): something else was changed in it, such "
                "as a hook, an adapter or a module; undo or merge it, save the model, and give its "
                "folder"
            )


@torch.no_grad()
def _outputs(hf: PreTrainedModel, batch: Any) -> list[Tensor]:
    """The last hidden states for a text, and what a head puts out, in float32."""
    was_training = hf.training
    hf.train(False)
    try:
        encoder: Any = hf.get_encoder() if hf.config.is_encoder_decoder else hf.base_model
        outputs = [encoder(**batch).last_hidden_state.float()]
        if hf.base_model is not hf and not hf.config.is_encoder_decoder:
            logits = getattr(hf(**batch), "logits", None)
            outputs += [] if logits is None else [logits.float()]
        return outputs
    finally:
        hf.train(was_training)
