"""The state of a training in progress, in one safetensors file: weights, optimiser, random state,
position. A run that takes it up ends with the same weights as an unbroken one.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from headscope.errors import HeadscopeError, reason
from headscope.files import replacing, written
from headscope.model.model import Model
from headscope.training.recipe import Recipe

RandomState = dict[str, Tensor]
_RANDOM = ("rng", "rng.cuda")


class DamagedStateError(HeadscopeError):
    """The file of a training in progress is not what such a training writes."""


@dataclass(frozen=True)
class Position:
    """How far a training is.

    Attributes:
        step: How many steps are done.
        part_size: How many examples of a batch are computed at once.
    """

    step: int
    part_size: int


def random_state(device: torch.device) -> RandomState:
    """The state of the generators that draw dropout on this device."""
    state = {"rng": torch.get_rng_state()}
    if device.type == "cuda":
        state["rng.cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: RandomState) -> None:
    """Go back to what `random_state` gave."""
    torch.set_rng_state(state["rng"].cpu())
    if "rng.cuda" in state:
        torch.cuda.set_rng_state(state["rng.cuda"].cpu())


def save_state(
    path: Path,
    model: Model,
    optimiser: torch.optim.AdamW,
    recipe: Recipe,
    position: Position,
    random: RandomState,
) -> None:
    """Write the state to `path`, which holds either the old state or the new one, also after a
    kill.

    Raises:
        OSError: It could not be written.
    """
    tensors = dict(random)
    for name, parameter in model.hf.named_parameters():
        tensors[f"weight.{name}"] = parameter.detach()
        for key, value in optimiser.state.get(parameter, {}).items():
            tensors[f"{key}.{name}"] = value
    metadata = {
        "step": str(position.step),
        "recipe": repr(asdict(recipe)),
        "part": str(position.part_size),
    }
    with replacing(path) as unfinished, written("the state of the training"):
        # Straight from the tensors: bytes in between would take the state's size twice over.
        save_file(tensors, unfinished, metadata)


def saved_step(path: Path) -> int:
    """How many steps the state in `path` has done."""
    with safetensors.safe_open(path, "pt") as file:
        return int(file.metadata()["step"])


def resume(path: Path, model: Model, optimiser: torch.optim.AdamW, recipe: Recipe) -> Position:
    """Take up the state in `path`: weights, optimiser and random state.

    Returns:
        How far the training was.

    Raises:
        DamagedStateError: The file is no state, or one of another model; nothing is taken up.
        HeadscopeError: The state is of another recipe.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        tensors = load_file(path, device=str(model.hf.device))
    except (safetensors.SafetensorError, OSError) as error:
        raise _damaged(path, reason(error)) from error
    if wrong := _wrong(metadata, tensors, model):
        raise _damaged(path, wrong)
    if metadata["recipe"] != repr(asdict(recipe)):
        raise HeadscopeError(
            f"{path} is the state of a run with another recipe: remove it, or use another --out"
        )
    set_random_state({key: tensors.pop(key) for key in _RANDOM if key in tensors})
    # The rest is named KEY.PARAMETER: the weight, and what AdamW keeps of it.
    by_parameter: dict[str, dict[str, Tensor]] = {}
    for key_and_name, tensor in tensors.items():
        key, name = key_and_name.split(".", 1)
        by_parameter.setdefault(name, {})[key] = tensor
    with torch.no_grad():
        for name, parameter in model.hf.named_parameters():
            kept = by_parameter[name]
            parameter.copy_(kept.pop("weight"))
            if kept:
                optimiser.state[parameter] = kept
    return Position(int(metadata["step"]), int(metadata["part"]))


def _damaged(path: Path, why: str) -> DamagedStateError:
    return DamagedStateError(f"the state of the training in {path} is damaged ({why}): remove it")


def _wrong(metadata: dict[str, str], tensors: dict[str, Tensor], model: Model) -> str:
    """What is wrong with the content of a state, in a clause; empty if nothing is."""
    if not {"step", "part", "recipe"} <= metadata.keys() or "rng" not in tensors:
        return "it says no position"
    if not (metadata["step"].isdecimal() and metadata["part"].isdecimal()):
        return "its position is no number"
    shapes = {name: parameter.shape for name, parameter in model.hf.named_parameters()}
    if any(f"weight.{name}" not in tensors for name in shapes):
        return "a weight is missing"
    for key_and_name, tensor in tensors.items():
        if key_and_name in _RANDOM:
            continue
        key, _, name = key_and_name.partition(".")
        # AdamW counts its steps in a scalar; all else has the shape of its weight.
        if name not in shapes or (key != "step" and tensor.shape != shapes[name]):
            return f"{key_and_name} is of another model"
        if not bool(tensor.isfinite().all()):
            return f"{key_and_name} is not finite"
    return ""
