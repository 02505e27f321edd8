"""The shipped classifier: load its weights, and apply it to arrays of maps."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from headscope.errors import HeadscopeError
from headscope.names import CLASSES
from headscope.patterns.map_features import Frame, features
from headscope.patterns.network import PatternNet

WEIGHTS = "weights.safetensors"
PLAUSIBLE = 0.1
"""The probability from which on a class is plausible."""
_TOLERANCE = 0.02
_CHUNK = 512
_ROWS = 2**13
"""How many maps the network sees at once: five networks of 64 units, 10 MiB."""


@dataclass(frozen=True)
class Patterns:
    """What the classifier says of maps.

    Attributes:
        probabilities: The probability of each class in the order of `CLASSES`, [..., class].
            docs/patterns.md says how well they are calibrated on models not learned from.
    """

    probabilities: npt.NDArray[np.float32]

    @property
    def labels(self) -> npt.NDArray[Any]:
        """The most probable class of every map, [...]."""
        return np.asarray(np.array(CLASSES)[self.probabilities.argmax(-1)])

    @property
    def plausible(self) -> npt.NDArray[np.bool_]:
        """The classes of every map with a probability of `PLAUSIBLE` or more, [..., class].

        The class that annotators settled on is among them in 97% of the maps of a family of models
        that was not learned from (93% to 99% by family): see docs/patterns.md.
        """
        return np.asarray(self.probabilities >= PLAUSIBLE)

    @property
    def uncertain(self) -> npt.NDArray[np.bool_]:
        """Whether more than one class is plausible, of every map, [...]."""
        return np.asarray(self.plausible.sum(-1) > 1)


@dataclass(frozen=True)
class Classifier:
    """A trained network."""

    net: PatternNet

    @torch.inference_mode()
    def scores(
        self, maps: Float[Tensor, "batch head query key"], frame: Frame
    ) -> Float[Tensor, "batch head class"]:
        """The log-probabilities of the classes of every map."""
        of_maps = features(maps, frame)
        return self.scores_of(of_maps.flatten(0, 1)).view(*of_maps.shape[:2], len(CLASSES))

    @torch.inference_mode()
    def scores_of(self, of_maps: Float[Tensor, "map feature"]) -> Float[Tensor, "map class"]:
        """The log-probabilities of the classes of maps with these features."""
        net = self.net.to(of_maps.device)
        return torch.cat([net(chunk) for chunk in torch.split(of_maps, _ROWS)])


@cache
def load_classifier(path: Path | None = None) -> Classifier:
    """The classifier in the package, or one that tools/train_patterns.py wrote.

    Raises:
        HeadscopeError: The file holds no classifier of these classes.
    """
    source = path or _shipped()
    try:
        with safe_open(source, framework="pt") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in names}
        if json.loads(metadata["classes"]) != list(CLASSES):
            raise HeadscopeError(
                f"{source} is a classifier of other classes: this version knows "
                f"{', '.join(CLASSES)}"
            )
        net = PatternNet()
        net.load_state_dict(tensors)
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise HeadscopeError(
            f"{source} is no classifier of patterns that this version can read: {error}"
        ) from error
    return Classifier(net.eval())


def save_classifier(net: PatternNet, path: Path | None = None) -> None:
    """Write a trained network where `load_classifier` finds it."""
    tensors = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    save_file(tensors, path or _shipped(), metadata={"classes": json.dumps(CLASSES)})


def _shipped() -> Path:
    return Path(str(files("headscope.patterns").joinpath(WEIGHTS)))


def classify(
    maps: npt.ArrayLike | Tensor,
    *,
    special: Sequence[bool] | None = None,
    segments: Sequence[int] | None = None,
    classifier: Path | None = None,
) -> Patterns:
    """The pattern of every attention map of one example.

    >>> classify(np.eye(12)).labels.item()
    'diagonal'
    >>> classify(np.eye(12)).uncertain.item()
    False

    Args:
        maps: One or many maps over the same tokens, [..., query, key], rows summing to 1, without
            padding.
        special: Which tokens are [CLS] or [SEP]; the first and the last if it is not given.
        segments: Which text a token belongs to, 0 or 1; one text if it is not given, and then no
            map is `block`.
        classifier: A file of your own weights instead of those in the package.

    Raises:
        HeadscopeError: The maps are not maps: not square, of one token, NaN, negative, or with rows
            that do not sum to 1.
    """
    array = torch.as_tensor(
        np.asarray(maps.detach().float().cpu()) if isinstance(maps, Tensor) else np.asarray(maps)
    )
    _check_shape(array)
    array = array.float()
    _check_rows(array)
    tokens = array.shape[-1]
    if special is None:
        special = [index in (0, tokens - 1) for index in range(tokens)]
    if segments is None:
        segments = [0] * tokens
    marks = [bool(mark) for mark in special]
    texts = [int(text) for text in segments]
    _check_tokens(marks, texts, tokens)
    real = torch.ones(1, tokens, dtype=torch.bool)
    frame = Frame.of(real, torch.tensor([marks]), torch.tensor([texts]))
    trained = load_classifier(classifier)
    # All maps are of one example: they stand in the place of heads.
    chunks = torch.split(array.reshape(1, -1, tokens, tokens), _CHUNK, dim=1)
    scores = torch.cat([trained.scores(chunk, frame) for chunk in chunks], 1)
    probabilities = scores.softmax(-1).reshape(*array.shape[:-2], len(CLASSES))
    return Patterns(probabilities.numpy())


def _check_shape(maps: Tensor) -> None:
    if maps.ndim < 2 or maps.shape[-1] != maps.shape[-2]:
        raise HeadscopeError(
            f"attention maps are square, [..., query, key], got the shape {tuple(maps.shape)}: "
            "give maps of a text with itself, a row for every token that attends"
        )
    if maps.shape[-1] < 2:
        raise HeadscopeError(
            f"a map of {maps.shape[-1]} token has no pattern: give maps of at least two tokens"
        )


def _check_rows(maps: Tensor) -> None:
    if not bool(torch.isfinite(maps).all()):
        raise HeadscopeError(
            "the maps hold NaN or infinite values: attention weights are between 0 and 1"
        )
    if bool((maps < -_TOLERANCE).any()):
        raise HeadscopeError(
            "the maps hold negative values: give the weights after the softmax, not the scores"
        )
    sums = maps.sum(-1).flatten()
    off = (sums - 1).abs()
    if len(off) and float(off.max()) > _TOLERANCE:
        raise HeadscopeError(
            f"the rows of a map sum to 1, one sums to {float(sums[off.argmax()]):.3g}: cut the "
            "padding off, and give queries as rows"
        )


def _check_tokens(special: Sequence[bool], segments: Sequence[int], tokens: int) -> None:
    for name, values in (("special", special), ("segments", segments)):
        if len(values) != tokens:
            raise HeadscopeError(
                f"{name} must have an entry for each of the {tokens} tokens, got {len(values)}"
            )
    if not set(segments) <= {0, 1}:
        raise HeadscopeError(
            f"segments are 0 for the first text and 1 for the second, got {sorted(set(segments))}"
        )
