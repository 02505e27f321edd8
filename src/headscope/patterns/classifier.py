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
_TOLERANCE = 0.02
_CHUNK = 512


@dataclass(frozen=True)
class Patterns:
    """What the classifier says of maps: a probability per class, [..., class], in the order of
    `CLASSES`.
    """

    probabilities: npt.NDArray[np.float32]

    @property
    def labels(self) -> npt.NDArray[Any]:
        """The most probable class of every map, [...]."""
        return np.asarray(np.array(CLASSES)[self.probabilities.argmax(-1)])


@dataclass(frozen=True)
class Classifier:
    """A trained network with what is known of its errors.

    `groups` holds, for every group of annotated maps that belong together (a head of a family of
    models), the confusion counts [true class, predicted class] of predictions by networks that saw
    no map of that head and none of that model.
    """

    net: PatternNet
    groups: npt.NDArray[np.int64]

    @torch.inference_mode()
    def scores(
        self, maps: Float[Tensor, "batch head query key"], frame: Frame
    ) -> Float[Tensor, "batch head class"]:
        """The log-probabilities of the classes of every map."""
        found = features(maps, frame)
        out: Tensor = self.net.to(found.device)(found.flatten(0, 1))
        return out.view(*found.shape[:2], len(CLASSES))


@cache
def load_classifier(path: Path | None = None) -> Classifier:
    """The classifier in the package, or one that `patterns.training` wrote. Raises HeadscopeError
    if it is none.
    """
    source = path or Path(str(files("headscope.patterns").joinpath(WEIGHTS)))
    try:
        with safe_open(source, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        groups = tensors.pop("confusion").numpy().astype(np.int64)
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
    return Classifier(net.eval(), groups)


def save_classifier(
    net: PatternNet, groups: npt.NDArray[np.int64], path: Path | None = None
) -> None:
    """Write a trained network and what is known of its errors, where `load_classifier` finds it."""
    target = path or Path(str(files("headscope.patterns").joinpath(WEIGHTS)))
    tensors = {**net.state_dict(), "confusion": torch.from_numpy(groups.astype(np.int16))}
    save_file(
        {k: v.contiguous() for k, v in tensors.items()},
        target,
        metadata={"classes": json.dumps(CLASSES)},
    )


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

    maps: [..., query, key], one or many maps over the same tokens, rows summing to 1, without
    padding. special: which tokens are [CLS] or [SEP]; the first and the last if it is not given.
    segments: which text a token belongs to, 0 or 1; one text if it is not given, and then no map is
    `block`. classifier: weights of your own instead of those in the package.

    Raises HeadscopeError for maps that are none: not square, one token, NaN, negative, rows that
    don't sum to 1.
    """
    array = torch.as_tensor(
        np.asarray(maps.detach().float().cpu()) if isinstance(maps, Tensor) else np.asarray(maps)
    )
    if array.ndim < 2 or array.shape[-1] != array.shape[-2]:
        raise HeadscopeError(
            f"attention maps are square, [..., query, key], got the shape {tuple(array.shape)}: "
            "give maps of a text with itself, a row for every token that attends"
        )
    tokens = array.shape[-1]
    if tokens < 2:
        raise HeadscopeError(
            f"a map of {tokens} token has no pattern: give maps of at least two tokens"
        )
    array = array.float()
    _check_rows(array)
    kinds = _kinds(special, segments, tokens)
    flat = array.reshape(-1, tokens, tokens)
    real = torch.ones(1, tokens, dtype=torch.bool)
    frame = Frame.of(real, torch.tensor([kinds[0]]), torch.tensor([kinds[1]]))
    trained = load_classifier(classifier)
    parts = [trained.scores(part[None], frame)[0] for part in torch.split(flat, _CHUNK)]
    out = torch.cat(parts) if parts else torch.empty(0, len(CLASSES))
    return Patterns(out.softmax(-1).reshape(*array.shape[:-2], len(CLASSES)).numpy())


def _check_rows(maps: Tensor) -> None:
    if not bool(torch.isfinite(maps).all()):
        raise HeadscopeError(
            "the maps hold NaN or infinite values: attention weights are between 0 and 1"
        )
    if bool((maps < -_TOLERANCE).any()):
        raise HeadscopeError(
            "the maps hold negative values: give the weights after the softmax, not the scores"
        )
    sums = maps.sum(-1)
    if maps.numel() and bool(((sums - 1).abs() > _TOLERANCE).any()):
        worst = float(sums.flatten()[(sums.flatten() - 1).abs().argmax()])
        raise HeadscopeError(
            f"the rows of a map sum to 1, one sums to {worst:.3g}: cut the padding off, and give "
            "queries as rows"
        )


def _kinds(
    special: Sequence[bool] | None, segments: Sequence[int] | None, tokens: int
) -> tuple[list[bool], list[int]]:
    marks = (
        [i in (0, tokens - 1) for i in range(tokens)]
        if special is None
        else [bool(x) for x in special]
    )
    texts = [0] * tokens if segments is None else [int(x) for x in segments]
    for name, given in (("special", marks), ("segments", texts)):
        if len(given) != tokens:
            raise HeadscopeError(
                f"{name} must have an entry for each of the {tokens} tokens, got {len(given)}"
            )
    if not set(texts) <= {0, 1}:
        raise HeadscopeError(
            f"segments are 0 for the first text and 1 for the second, got {sorted(set(texts))}"
        )
    return marks, texts
