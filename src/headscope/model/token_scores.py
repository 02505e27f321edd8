"""A model whose outputs are, for every scored token of an example, its loss and its class."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from headscope.errors import InterventionError
from headscope.model.embedder import Vectors
from headscope.model.encoding import Encoded
from headscope.model.model import Model
from headscope.model.token_marks import IGNORED, LABELS
from headscope.stats.metrics import NO_LABEL

_TOLERANCE = 1e-4


class TokenScores(PreTrainedModel):  # type: ignore[no-untyped-call]
    """A model with a head that says something of every token, to be called with the true labels.

    What comes out has the same shape for every example, however many of its tokens are scored: the
    losses of `width` tokens and then their classes. The head reads the states of scored tokens
    alone: it looks at one token at a time, which is checked (`as_token_scores`), and a vocabulary
    is large.

    Args:
        whole: The model with its head.
        width: The most tokens of an example that are scored.
        classes: For every output of the head the class that the task has for it; None where what
            comes out as the class is whether the head is right.
    """

    def __init__(self, whole: PreTrainedModel, width: int, classes: Sequence[int] | None) -> None:
        # As of an embedder, weights and their tap are those of the model.
        nn.Module.__init__(self)
        self.whole, self.width = whole, width
        self.config = whole.config
        self._places: Int[Tensor, "example scored"] | None = None
        table = None if classes is None else torch.tensor(list(classes), device=whole.device)
        self.classes: Tensor | None
        self.register_buffer("classes", table, persistent=False)
        encoder: nn.Module = whole.base_model
        # Before the hook that reads the arguments.
        encoder.register_forward_pre_hook(without_labels, prepend=True, with_kwargs=True)
        encoder.register_forward_hook(self._chosen)

    @property
    def base_model(self) -> nn.Module:
        """The encoder."""
        encoder: nn.Module = self.whole.base_model
        return encoder

    def forward(self, labels: Int[Tensor, "example token"], **inputs: Tensor) -> Vectors:
        """The losses and the classes of the tokens that have a label, [example, 2 * width]."""
        is_scored = labels != IGNORED
        most = max(1, int(is_scored.sum(1).max()))
        if most > self.width:
            raise ValueError(f"{most} tokens of an example have a label, expected {self.width}")
        places = is_scored.byte().argsort(dim=1, descending=True, stable=True)[:, :most]
        logits = self.logits_at(places, **inputs).float()
        truth = labels.gather(1, places)
        loss = functional.cross_entropy(
            logits.transpose(1, 2), truth, ignore_index=IGNORED, reduction="none"
        )
        found = logits.argmax(-1)
        table = self.classes
        classes = found == truth if table is None else table[found]
        classes = torch.where(truth == IGNORED, NO_LABEL, classes)
        beyond = (0, self.width - most)
        return Vectors(
            torch.cat(
                [
                    functional.pad(loss, beyond),
                    functional.pad(classes.to(loss.dtype), beyond, value=float(NO_LABEL)),
                ],
                dim=1,
            )
        )

    def logits_at(
        self, places: Int[Tensor, "example scored"], **inputs: Tensor
    ) -> Float[Tensor, "example scored output"]:
        """What the head puts out for some tokens of every example."""
        self._places = places
        try:
            whole: Any = self.whole
            logits: Tensor = whole(**inputs).logits
        finally:
            self._places = None
        return logits

    def _chosen(self, _encoder: nn.Module, _given: object, output: Any) -> Any:
        """What the encoder puts out with the states of the chosen tokens alone."""
        if self._places is None:
            return None
        states = output[0]
        places = self._places[..., None].expand(-1, -1, states.shape[-1])
        chosen = states.gather(1, places)
        if isinstance(output, tuple):
            return (chosen, *output[1:])
        output["last_hidden_state"] = chosen
        return output


def without_labels(
    _encoder: nn.Module, given: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A hook that keeps the column of labels, which is for the head, from an encoder."""
    return given, {name: value for name, value in named.items() if name != LABELS}


def as_token_scores(model: Model, width: int, classes: Sequence[int] | None) -> Model:
    """The model with the losses and classes of scored tokens as its outputs; it shares its weights
    with `model`.

    Args:
        model: A model with a head that says something of every token.
        width: As of `TokenScores`.
        classes: As of `TokenScores`.

    Raises:
        InterventionError: Its head puts out something else for a token when it reads the states of
            some tokens alone, so it does not look at one token at a time.
    """
    # It is of the model as it is saved, its head included.
    _ = model.hash
    scored = copy.copy(model)
    hf: Any = TokenScores(model.hf, width, classes)
    scored.hf = hf.eval()
    scored.puts_out = "tokens"
    difference = _difference(model, hf)
    # Not-a-number fails as well.
    if not difference <= _TOLERANCE:
        raise InterventionError(
            f"the head of {model.name} looks at several tokens at a time (what it puts out for one "
            f"differs by {difference:.1e} without the others), so tokens cannot be scored one by "
            "one: please report the model's family"
        )
    return scored


def with_own_head(scored: Model) -> Model:
    """The model whose tokens or answers are scored, with the outputs of its head.

    >>> with_own_head(as_token_scores(model, 9, None)).head.task               # doctest: +SKIP
    'fill-mask'
    """
    hf: Any = scored.hf
    model = copy.copy(scored)
    model.hf = hf.whole
    model.puts_out = "head"
    return model


@torch.inference_mode()
def _difference(model: Model, scores: TokenScores) -> float:
    encoded: Encoded = model.encode("the first word, and the last")
    inputs = encoded.batch([0], model.hf.device)
    whole: Any = model.hf
    every = whole(**inputs).logits
    places = torch.tensor([[every.shape[1] - 1, 1]], device=every.device)
    some = scores.logits_at(places, **inputs)
    largest = max(1.0, float(every.abs().max()))
    return float((some - every[:, places[0]]).abs().max()) / largest


Outputs = Float[np.ndarray, "example twice_width"]
"""Of `TokenScores`, for every example."""


def classes_of_tokens(outputs: Outputs) -> npt.NDArray[np.int64]:
    """The classes of every example's tokens, [example, width]."""
    return second_halves(outputs).astype(np.int64)


def second_halves(outputs: Outputs) -> npt.NDArray[np.float64]:
    """What stands behind the losses of every example's tokens or questions, [example, width]."""
    return outputs[:, outputs.shape[1] // 2 :].astype(np.float64)


def mean_losses(outputs: Outputs) -> npt.NDArray[np.float64]:
    """The mean loss of every example's tokens, [example], in double precision."""
    width = outputs.shape[1] // 2
    count = (outputs[:, width:] != NO_LABEL).sum(1)
    total = outputs[:, :width].astype(np.float64).sum(1)
    return np.asarray(total / np.maximum(count, 1))
