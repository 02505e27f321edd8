"""A file's tensors beside the model's: under which prefix they stand, what is missing, and what has
no place.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn
from transformers import CONFIG_MAPPING, PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

from headscope.errors import HeadscopeError
from headscope.model.classes import is_taken_alone

# Heads of pre-training, and buffers that older versions of transformers saved: nothing is lost.
_PRE_TRAINING = frozenset(
    (
        "cls", "lm_head", "predictions", "sop_classifier", "vocab_transform", "vocab_layer_norm",
        "vocab_projector", "generator_predictions", "generator_lm_head",
        "discriminator_predictions", "head", "decoder", "qa_outputs", "classifier",
        "pre_classifier", "contact_head",
    )
)  # fmt: skip
_BUFFERS = ("position_ids", "token_type_ids", "inv_freq", "num_batches_tracked")


@dataclass(frozen=True)
class Differences:
    """What loading a file into a model left over.

    Attributes:
        missing: The model's tensors that the file does not have.
        unexpected: The file's tensors that the model has no place for.
        mismatched: Tensors of another shape: name, shape in the file, shape in the model.
    """

    missing: frozenset[str]
    unexpected: frozenset[str]
    mismatched: frozenset[tuple[str, tuple[int, ...], tuple[int, ...]]]


class Names:
    """Which of a model's tensors are the encoder's, and which a head's.

    Args:
        model: The model, with or without a head.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._base = f"{model.base_model_prefix}."
        self._has_head = model.base_model is not model
        encoder: nn.Module = model.base_model
        self.family = str(model.config.model_type)
        self.encoder = frozenset(encoder.state_dict())
        self._all = frozenset(model.state_dict())
        self._is_alone = is_taken_alone(model.config)
        # Modules, and weights of the encoder itself (XLNet's mask_emb).
        modules = {name for name, _ in encoder.named_children()}
        self._rooms = modules | {name for name, _ in encoder.named_parameters(recurse=False)}
        changes = get_model_conversion_mapping(model)
        self._renamings = [change for change in changes if isinstance(change, WeightRenaming)]
        self._converters = [change for change in changes if isinstance(change, WeightConverter)]

    def is_encoders(self, name: str) -> bool:
        """Whether a name in a file, without a foreign prefix, is of the encoder.

        Files may have the names of older code, which transformers changes as it loads them.
        """
        changed = self._as_the_models(name)
        is_in_encoder = changed.startswith(self._base) or changed.split(".")[0] in self._rooms
        return is_in_encoder and not self.is_decoders(name)

    def is_decoders(self, name: str) -> bool:
        """Whether a name in a file is of the decoder beside an encoder that is taken alone."""
        return self._is_alone and self.bare(name).startswith("decoder.")

    def is_own_heads(self, name: str) -> bool:
        """Whether the model's own head has a place for a name in a file."""
        changed = self._as_the_models(name)
        return changed in self._all and not self.is_encoders(name)

    def _as_the_models(self, name: str) -> str:
        changed, _ = rename_source_key(name, self._renamings, self._converters)
        return str(changed)

    def bare(self, name: str) -> str:
        """A name as the encoder itself has it."""
        return name.removeprefix(self._base)

    def is_heads(self, name: str) -> bool:
        """Whether one of the model's own tensors is of the head, or of the pooler that it reads."""
        if "pooler" in name.split("."):
            return True
        return self._has_head and not name.startswith(self._base)

    def foreign_prefix(self, stored: Iterable[str], name: str) -> str:
        """What stands before the names of a file, beside what transformers itself puts there.

        Args:
            stored: The names in the file.
            name: The model as the user named it.

        Raises:
            HeadscopeError: The file holds the encoder twice, or under another family's name.
        """
        prefixes = Counter(self._prefix(tensor) for tensor in stored)
        prefixes.pop(None, None)
        if not prefixes or max(prefixes[""], prefixes[self._base]) * 2 > len(self.encoder):
            return ""
        (prefix, most), *others = prefixes.most_common(2)
        if others and others[0][1] * 2 > most:
            raise HeadscopeError(
                f"the weights of {name!r} hold more than one encoder, under {prefix!r} and "
                f"{others[0][0]!r}: save the one that is meant with save_pretrained"
            )
        # "0.auto_model." ends with ModernBERT's "model." only by its letters.
        foreign = f".{prefix}".removesuffix(f".{self._base}").removeprefix(".")
        if foreign and not foreign.endswith("."):
            foreign += "."
        for part in foreign.split("."):
            if part in CONFIG_MAPPING and part != self.family:
                raise HeadscopeError(
                    f"the weights of {name!r} are named as those of the family {part} (under "
                    f"{prefix!r}), its config.json says {self.family}: the two compute otherwise, "
                    "correct the model_type"
                )
        return foreign

    def _prefix(self, tensor: str) -> str | None:
        """What stands before the encoder's own name of a tensor; None for any other tensor."""
        parts = self._as_the_models(tensor).split(".")
        for start in range(len(parts)):
            if ".".join(parts[start:]) in self.encoder:
                return "".join(f"{part}." for part in parts[:start])
        return None


def check_encoder(names: Names, found: Differences, name: str) -> None:
    """Refuse an encoder that is not whole, or that is not the one that config.json describes.

    A pooler may be missing: no attention depends on it.

    Args:
        names: The model's names.
        found: What loading left over.
        name: The model as the user named it.

    Raises:
        HeadscopeError: Names the first tensor, and says how many there are.
    """
    if found.mismatched:
        tensor, stored, expected = min(found.mismatched)
        raise HeadscopeError(
            f"the weights of {name!r} do not fit its config.json: {tensor} is {_sizes(stored)} in "
            f"the file, {_sizes(expected)} are expected (tensors of another shape: "
            f"{len(found.mismatched)}); the config.json is another model's, or heads were pruned"
        )
    missing = in_order(key for key in found.missing if not names.is_heads(key))
    if missing:
        raise HeadscopeError(
            f"the weights of {name!r} lack {len(missing)} of the {len(names.encoder)} tensors of "
            f"the encoder that its config.json describes (first: {missing[0]}): the file is not "
            f"whole, has other names, or {_what_config_says(missing[0])}"
        )
    foreign = in_order(key for key in found.unexpected if _matters(names, key))
    if foreign:
        raise HeadscopeError(
            f"the weights of {name!r} hold {len(foreign)} tensors of the encoder that "
            f"transformers' {names.family} has no place for (first: {foreign[0]}): {_why(foreign)}"
        )


def unused_note(names: Names, found: Differences, name: str) -> tuple[str, ...]:
    """A note on tensors of a file that are neither the encoder's nor of a usual head."""
    others = []
    for key in found.unexpected:
        first = key.split(".")[0]
        if not names.is_encoders(key) and first not in _PRE_TRAINING and not _is_buffer(key):
            others.append(key)
    if not others:
        return ()
    return (
        f"{len(others)} tensors in the weights of {name} are not used: they are not of its encoder "
        f"(first: {in_order(others)[0]})",
    )


def check_twice(names: Names, stored: Mapping[str, object], name: str) -> None:
    """Refuse a file that holds a tensor of the encoder with and without transformers' prefix.

    Raises:
        HeadscopeError: Names the first of them.
    """
    counts = Counter(names.bare(tensor) for tensor in stored)
    twice = [tensor for tensor, count in counts.items() if count > 1 and tensor in names.encoder]
    if twice:
        raise HeadscopeError(
            f"the weights of {name!r} hold {len(twice)} tensors of the encoder twice (first: "
            f"{in_order(twice)[0]}): save the model again"
        )


def _matters(names: Names, key: str) -> bool:
    """Whether a tensor without a place is one that the encoder needs."""
    return names.is_encoders(key) and not _is_buffer(key) and "pooler" not in key.split(".")


def _is_buffer(key: str) -> bool:
    return key.split(".")[-1] in _BUFFERS


def in_order(keys: Iterable[str]) -> list[str]:
    """Names in order, layer 2 before layer 10."""

    def by_numbers(key: str) -> list[tuple[bool, int, str]]:
        parts = key.split(".")
        return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]

    return sorted(keys, key=by_numbers)


def _what_config_says(key: str) -> str:
    if any(part.isdecimal() for part in key.split(".")):
        return "config.json has too many layers"
    return "config.json is another model's"


def _why(foreign: Sequence[str]) -> str:
    if any("lora_" in key or ".base_layer." in key for key in foreign):
        return "an adapter is not merged yet; merge it with peft's merge_and_unload and save that"
    if any("distance_embedding" in key for key in foreign):
        return "relative positions are no longer computed there; use a model with absolute ones"
    if any(part.isdecimal() for part in foreign[0].split(".")):
        return "config.json has too few layers, or the model computes otherwise"
    return "config.json is another model's, or the model computes otherwise"


def _sizes(shape: Sequence[int]) -> str:
    return " x ".join(str(size) for size in shape) or "a single number"
