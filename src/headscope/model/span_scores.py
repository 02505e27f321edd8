"""A model whose outputs are, for every window of a text, the answer to a question that it finds
there, and its loss.
"""

import copy
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from headscope.errors import InterventionError
from headscope.model.embedder import Vectors
from headscope.model.model import Model
from headscope.model.token_marks import IGNORED
from headscope.model.token_scores import without_labels
from headscope.model.windows import STEP

LONGEST = 30
"""The most tokens of an answer, as usual for SQuAD."""
CONTEXT, START, END, NONE = 1, 2, 4, 8
"""What a token of a window is: one that an answer may have, the first or the last token of the true
answer, the one that stands for no answer ([CLS]). A token may be several: they are added up.
"""
_NEVER = -1e9


class SpanScores(PreTrainedModel):  # type: ignore[no-untyped-call]
    """A model with a head for question answering, to be called with the marks of its tokens.

    What comes out for a window is [loss, score, score of no answer, first token, last token]: of
    the best answer, whose score is the sum of the head's two outputs. It has at most `LONGEST`
    tokens, all of the context.

    Args:
        whole: The model with its head.
    """

    def __init__(self, whole: PreTrainedModel) -> None:
        # As of an embedder, weights and their tap are those of the model.
        nn.Module.__init__(self)
        self.whole = whole
        self.config = whole.config
        encoder: nn.Module = whole.base_model
        # Before the hook that reads the arguments.
        encoder.register_forward_pre_hook(without_labels, prepend=True, with_kwargs=True)

    @property
    def base_model(self) -> nn.Module:
        """The encoder."""
        encoder: nn.Module = self.whole.base_model
        return encoder

    def forward(self, labels: Int[Tensor, "window token"], **inputs: Tensor) -> Vectors:
        """The answers of windows, [window, 5].

        Args:
            labels: The marks of the tokens, `IGNORED` for padding.
            inputs: What the model takes.
        """
        whole: Any = self.whole
        logits = of_places(whole(**inputs), labels)
        start, end = logits.unbind(1)
        is_context = _has(labels, CONTEXT)
        score, first, last = best_spans(start, end, is_context)
        is_none = _has(labels, NONE)
        none = torch.where(is_none, start + end, 0.0).sum(1)
        columns = [_losses(logits, labels), score, none, STEP * first, STEP * last]
        return Vectors(torch.stack(columns, dim=1))


def window_losses(outputs: Any, marks: Int[Tensor, "window token"]) -> Float[Tensor, " window"]:
    """The loss of every window: the mean of the cross entropies of the answer's first and last
    token, in nats. Where a window has no answer, both are the token that stands for none.

    Args:
        outputs: Of a model with a head for question answering.
        marks: The marks of the tokens, `IGNORED` for padding.
    """
    return _losses(of_places(outputs, marks), marks)


def _losses(
    logits: Float[Tensor, "window 2 token"], marks: Int[Tensor, "window token"]
) -> Float[Tensor, " window"]:
    each = functional.cross_entropy(
        logits.flatten(0, 1), targets(marks).flatten(), reduction="none"
    )
    return each.view(-1, 2).mean(1)


def of_places(outputs: Any, marks: Int[Tensor, "window token"]) -> Float[Tensor, "window 2 token"]:
    """What a head says of every token as the first and as the last of an answer, in float32;
    padding is neither.
    """
    both = torch.stack([outputs.start_logits, outputs.end_logits], dim=1).float()
    return both.masked_fill((marks == IGNORED)[:, None], -torch.inf)


def targets(marks: Int[Tensor, "window token"]) -> Int[Tensor, "window 2"]:
    """The first and the last token of the true answer; where a window has none, the token that
    stands for no answer.
    """
    none = _has(marks, NONE).byte()
    # Either of them is a larger number than the other token's.
    firsts = (2 * _has(marks, START).byte() + none).argmax(1)
    lasts = (2 * _has(marks, END).byte() + none).argmax(1)
    return torch.stack([firsts, lasts], dim=1)


def _has(marks: Int[Tensor, "window token"], bit: int) -> Bool[Tensor, "window token"]:
    # The mark of padding has bits too, and is no token's.
    return (marks != IGNORED) & ((marks & bit) != 0)


def best_spans(
    start: Float[Tensor, "window token"],
    end: Float[Tensor, "window token"],
    is_context: Bool[Tensor, "window token"],
) -> tuple[Float[Tensor, " window"], Int[Tensor, " window"], Int[Tensor, " window"]]:
    """The best answer of every window: its score, its first and its last token.

    >>> start, end = torch.tensor([[5.0, 0, 2, 1]]), torch.tensor([[0.0, 4, 1, 2]])
    >>> is_context = torch.tensor([[False, True, True, True]])
    >>> [found.item() for found in best_spans(start, end, is_context)]
    [4.0, 1, 1]
    """
    longest = min(LONGEST, start.shape[1])
    start, end = (logits.masked_fill(~is_context, _NEVER) for logits in (start, end))
    # [window, first token, tokens behind it]
    ends = functional.pad(end, (0, longest - 1), value=_NEVER).unfold(1, longest, 1)
    score, place = (start[..., None] + ends).flatten(1).max(1)
    first = place // longest
    return score, first, first + place % longest


def as_span_scores(model: Model) -> Model:
    """The model with answers as its outputs; it shares its weights with `model`.

    Args:
        model: A model with a head for question answering.

    Raises:
        InterventionError: Its head does not say where an answer begins and ends.
    """
    # It is of the model as it is saved, its head included.
    _ = model.hash
    with torch.inference_mode():
        outputs: Any = model.hf(**model.encode("a probe").batch([0], model.hf.device))
    if not (hasattr(outputs, "start_logits") and hasattr(outputs, "end_logits")):
        raise InterventionError(
            f"the head of {model.name} does not say of every token whether an answer begins and "
            "ends there: please report the model's family"
        )
    scored = copy.copy(model)
    hf: Any = SpanScores(model.hf)
    scored.hf = hf.eval()
    scored.puts_out = "answers"
    return scored
