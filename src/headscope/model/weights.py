"""Put a file's tensors into a model, and be sure that they are the model's: all of the encoder,
under its names, in its shapes, finite.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel

from headscope.errors import HeadscopeError, refusing
from headscope.model.classes import OF_TEXTS, Head, encoder_class
from headscope.model.compared import (
    Differences,
    Names,
    check_encoder,
    check_twice,
    unused_note,
)
from headscope.model.heads import (
    architecture,
    beside_the_encoder,
    check_outputs,
    claims,
    expect,
    is_pre_training,
    kind_note,
    unused_notes,
)
from headscope.model.source import Source
from headscope.model.weight_files import Stored, stored

# A new head may be larger than what the file holds of a small encoder.
_ROOM_FOR_HEADS = 10**7


@dataclass(frozen=True)
class Loaded:
    """A model with the weights of a file.

    Attributes:
        hf: The model.
        trained_head: Whether a classification head came with it, whole.
        notes: What the user must know of the weights.
        new: The encoder's tensors that are not in the file and have random values: a pooler's.
    """

    hf: PreTrainedModel
    trained_head: bool
    notes: tuple[str, ...]
    new: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Shell:
    """A model without memory for its weights, and the names of its tensors."""

    model: PreTrainedModel
    names: Names


@dataclass(frozen=True)
class _Attempt:
    hf: PreTrainedModel
    names: Names
    found: Differences

    @property
    def missing_head(self) -> list[str]:
        return sorted(key for key in self.found.missing if self.names.is_heads(key))


def pretrained(
    source: Source, config: PretrainedConfig, labels: int | None, seed: int, head: Head = OF_TEXTS
) -> Loaded:
    """A model with the weights of its files.

    Args:
        source: Where the files are.
        config: The model's configuration.
        labels: How many outputs a classification head must have; None takes what there is.
        seed: Random seed of new weights.
        head: Which kind of head it may have, or gets.

    Raises:
        HeadscopeError: The weights are not those of the encoder that the configuration describes,
            or the head has another number of outputs.
    """
    with stored(source.folder, source.name) as tensors:
        _check_forms(tensors, source.name)
        encoder = _shell(encoder_class(config), config, source.name)
        tensors, notes = _without_prefix(encoder.names, tensors, source.name)
        claimed = architecture(config, head)
        if claims(config, head):
            shell = _shell(head.auto, config, source.name)
            attempt = _load(shell, source, config, tensors, seed)
            if not attempt.missing_head:
                check_outputs(config, labels, source.name, head)
                notes += unused_note(shell.names, attempt.found, source.name)
                return Loaded(attempt.hf, True, notes + kind_note(config, source.name))
            notes += (
                f"{source.name} is not fine-tuned: its config.json names a {claimed}, but "
                f"{attempt.missing_head[0]} is not in the file",
            )
        shell = encoder
        if labels is not None:
            expect(config, labels)
            shell = _shell(head.auto, config, source.name)
        unused = beside_the_encoder(encoder.names, tensors)
        if is_pre_training(claimed):
            taken = [key for key in unused.head if shell.names.is_own_heads(key)]
            unused = replace(unused, taken=taken)
        left_out = {*unused.decoder, *unused.head} - {*unused.taken}
        kept = {key: tensor for key, tensor in tensors.items() if key not in left_out}
        attempt = _load(shell, source, config, kept, seed)
        new = frozenset(map(shell.names.bare, attempt.found.missing)) & shell.names.encoder
        if not claims(config, head):
            notes += unused_notes(unused, config, new, labels, source.name)
        return Loaded(attempt.hf, False, notes, new)


def check_finite(hf: PreTrainedModel, name: str) -> None:
    """Refuse weights of which one is NaN or infinite.

    Raises:
        HeadscopeError: Names the first tensor, and says how many of its values are not finite.
    """
    for key, tensor in hf.named_parameters():
        # A sum is finite only if every value is; it may overflow where all are.
        if torch.isfinite(tensor.detach().sum()):
            continue
        damaged = int((~torch.isfinite(tensor)).sum())
        if damaged:
            raise HeadscopeError(
                f"the weights of {name!r} are damaged: {damaged} of {tensor.numel()} values of "
                f"{key} are not finite; train it again or fetch it again"
            )


def _check_forms(tensors: Mapping[str, Stored], name: str) -> None:
    for key, tensor in tensors.items():
        if not tensor.is_float and key.endswith(("weight", "bias", "gamma", "beta")):
            raise HeadscopeError(
                f"the weights of {name!r} are quantised ({key} holds numbers of the type "
                f"{tensor.form}): headscope measures float weights; use the model from which this "
                "one was made"
            )


def _without_prefix(
    names: Names, tensors: Mapping[str, Stored], name: str
) -> tuple[dict[str, Stored], tuple[str, ...]]:
    """The tensors under the names that transformers expects, and a note if they had others."""
    prefix = names.foreign_prefix(tensors, name)
    renamed = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
    if len(renamed) < len(tensors):
        raise HeadscopeError(
            f"the weights of {name!r} hold tensors with and without the prefix {prefix!r}: save "
            "the one that is meant with save_pretrained"
        )
    check_twice(names, renamed, name)
    if not prefix:
        return renamed, ()
    count = sum(key.startswith(prefix) for key in tensors)
    return renamed, (
        f"the prefix {prefix!r} was taken from the names of {count} tensors in the weights of "
        f"{name}",
    )


def _shell(auto: Any, config: PretrainedConfig, name: str) -> _Shell:
    """The shell of the model that a class of transformers builds."""
    with (
        refusing(f"no model can be built from the config.json of {name!r}", "correct it"),
        torch.device("meta"),
    ):
        model = auto.from_config(config, dtype=torch.float32, trust_remote_code=False)
    return _Shell(model, Names(model))


def _load(
    shell: _Shell,
    source: Source,
    config: PretrainedConfig,
    tensors: Mapping[str, Stored],
    seed: int,
) -> _Attempt:
    """Load the tensors, and check that the encoder is the one that they belong to."""
    name = source.name
    _check_size(shell.model, tensors, name)
    torch.manual_seed(seed)
    with refusing(f"the weights of {name!r} cannot be loaded", "save the model again"):
        # The class itself, and no folder: transformers finds no file that was not checked.
        model_class: Any = type(shell.model)
        hf, info = model_class.from_pretrained(
            None,
            config=config,
            state_dict={key: tensor.lazy for key, tensor in tensors.items()},
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    hf.config.name_or_path = source.path
    found = Differences(
        missing=frozenset(info["missing_keys"]),
        unexpected=frozenset(info["unexpected_keys"]),
        mismatched=frozenset(
            (key, tuple(stored), tuple(expected))
            for key, stored, expected in info["mismatched_keys"]
        ),
    )
    check_encoder(shell.names, found, name)
    check_finite(hf, name)
    return _Attempt(hf, shell.names, found)


def _check_size(shell: PreTrainedModel, tensors: Mapping[str, Stored], name: str) -> None:
    """Refuse a model that is far larger than its file, before memory is taken for it."""
    needed = sum(parameter.numel() for parameter in shell.parameters())
    held = sum(math.prod(tensor.shape) for tensor in tensors.values())
    if needed > 2 * held + _ROOM_FOR_HEADS:
        raise HeadscopeError(
            f"the config.json of {name!r} describes a model of {needed:,} weights, its file holds "
            f"{held:,}: the config.json is another model's or damaged"
        )
