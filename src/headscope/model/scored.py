"""What is scored of a model, as data: with a checkpoint, all that scoring it elsewhere takes."""

from dataclasses import dataclass
from typing import ClassVar

from headscope.model.classes import OF_MASKED_TOKENS, OF_QUESTIONS, OF_TOKENS
from headscope.model.embedder import as_embedder
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.pooling import Pooling
from headscope.model.questions import QuestionMarker
from headscope.model.span_scores import as_span_scores
from headscope.model.token_marks import TokenMarker
from headscope.model.token_scores import as_token_scores


@dataclass(frozen=True)
class OfTexts:
    """The outputs of a classification head.

    Attributes:
        labels: How many there are.
        puts_out: What `Model.puts_out` calls them.
    """

    labels: int
    puts_out: ClassVar = "head"

    def of(self, model: Model) -> Model:
        """The model with these outputs, which shares its weights."""
        return model

    def load(self, path: str, device: str | None = None) -> Model:
        """The model of a checkpoint with these outputs.

        Args:
            path: The checkpoint's folder or hub name.
            device: Where the model goes; None for the best that there is.
        """
        return load(path, labels=self.labels, device=device)


@dataclass(frozen=True)
class OfVectors:
    """The vectors of texts.

    Attributes:
        pooling: How the states of tokens become vectors.
        puts_out: What `Model.puts_out` calls them.
    """

    pooling: Pooling
    puts_out: ClassVar = "vectors"

    def of(self, model: Model) -> Model:
        """The model with these outputs, which shares its weights."""
        return as_embedder(model, self.pooling)

    def load(self, path: str, device: str | None = None) -> Model:
        """As `OfTexts.load`."""
        return self.of(load(path, device=device))


@dataclass(frozen=True)
class OfTokens:
    """The losses and classes of tokens (`token_scores`).

    Attributes:
        width: The most tokens of an example that are scored.
        classes: For every output of the head the class that the task has for it; None for masked
            tokens.
        puts_out: What `Model.puts_out` calls them.
    """

    width: int
    classes: tuple[int, ...] | None
    puts_out: ClassVar = "tokens"

    def of(self, model: Model) -> Model:
        """The model with these outputs, which shares its weights."""
        return as_token_scores(model, self.width, self.classes)

    def load(self, path: str, device: str | None = None) -> Model:
        """As `OfTexts.load`."""
        head = OF_MASKED_TOKENS if self.classes is None else OF_TOKENS
        return self.of(load(path, device=device, head=head))


@dataclass(frozen=True)
class OfQuestions:
    """Answers to questions (`span_scores`).

    Attributes:
        puts_out: What `Model.puts_out` calls them.
    """

    puts_out: ClassVar = "answers"

    def of(self, model: Model) -> Model:
        """The model with these outputs, which shares its weights."""
        return as_span_scores(model)

    def load(self, path: str, device: str | None = None) -> Model:
        """As `OfTexts.load`."""
        return self.of(load(path, device=device, head=OF_QUESTIONS))


Outputs = OfTexts | OfVectors | OfTokens | OfQuestions
"""What is scored of a model."""


def outputs_of(
    labels: int, pooling: Pooling | None, marker: TokenMarker | QuestionMarker | None
) -> Outputs:
    """What is scored of a model.

    Args:
        labels: How many outputs a classification head has.
        pooling: How the states of an embedder become vectors; None for a head.
        marker: Says which tokens or questions are scored; None where texts are.

    Example:
        >>> outputs_of(2, None, None)
        OfTexts(labels=2)
    """
    if pooling is not None:
        return OfVectors(pooling)
    if marker is None:
        return OfTexts(labels)
    if isinstance(marker, QuestionMarker):
        return OfQuestions()
    return OfTokens(marker.width, marker.classes)
