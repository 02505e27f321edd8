"""An encoder as a model whose outputs are the vectors of texts."""

import copy
from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from headscope.errors import HeadscopeError
from headscope.model.model import Model
from headscope.model.pooling import Pool, Pooling


@dataclass(frozen=True)
class Vectors:
    """What an embedder puts out.

    Attributes:
        logits: The vectors, [text, hidden]; named as a classifier's outputs are.
    """

    logits: Tensor


class Embedder(PreTrainedModel):  # type: ignore[no-untyped-call]
    """An encoder and a pooling, to be called as a model of transformers is.

    Args:
        encoder: The encoder, without a head.
        pool: How its states are pooled.
    """

    base_model_prefix = "encoder"

    def __init__(self, encoder: PreTrainedModel, pool: Pool) -> None:
        # What a model of transformers sets up is for making and saving its weights; here they are
        # the encoder's, whose attention is tapped already.
        nn.Module.__init__(self)
        self.encoder = encoder
        self.pool = pool
        self.config = encoder.config

    def forward(self, **inputs: Tensor) -> Vectors:
        """The vectors of a batch of texts."""
        encoder: Any = self.encoder
        states = encoder(**inputs)[0]
        return Vectors(pooled(states, inputs["attention_mask"].bool(), self.pool))


def pooled(
    states: Float[Tensor, "text token hidden"], real: Bool[Tensor, "text token"], pool: Pool
) -> Float[Tensor, "text hidden"]:
    """One vector per text.

    >>> states = torch.tensor([[[1.0], [3.0], [9.0]]])
    >>> pooled(states, torch.tensor([[True, True, False]]), "mean")
    tensor([[2.]])
    """
    if pool == "cls":
        return states[:, 0]
    weights = real[..., None].to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1)


def as_embedder(model: Model, pooling: Pooling) -> Model:
    """The model with the vectors of texts as its outputs; it shares its encoder with `model`.

    Args:
        model: A loaded model; a classification head that it has is left out.
        pooling: How its states become vectors.

    Raises:
        HeadscopeError: Its heads cannot be disabled, or [CLS] is asked for and is not first.
    """
    tokenizer: Any = model.tokenizer
    if pooling.pool == "cls" and tokenizer("a")["input_ids"][0] != tokenizer.cls_token_id:
        raise HeadscopeError(
            f"--pool cls: a text of {model.name} does not begin with [CLS]: give --pool mean"
        )
    if pooling.is_lower and tokenizer("A")["input_ids"] != tokenizer("a")["input_ids"]:
        raise HeadscopeError(
            f"{model.name} puts texts into small letters first (do_lower_case in "
            "sentence_bert_config.json) and its tokenizer does not: that is not done here"
        )
    encoder: Any = model.hf.base_model
    embedder = copy.copy(model)
    hf: Any = Embedder(encoder, pooling.pool)
    embedder.hf = hf.eval()
    embedder.puts_out = "vectors"
    return embedder


def encoder_of(embedder: Model) -> Model:
    """The encoder of an embedder as a model by itself, whose outputs are the states of tokens.

    >>> encoder_of(as_embedder(model, Pooling("mean"))).has_head              # doctest: +SKIP
    False
    """
    hf: Any = embedder.hf
    encoder = copy.copy(embedder)
    encoder.hf = hf.encoder
    encoder.puts_out = "head"
    encoder.trained_head = False
    return encoder
