"""Opens a model to be looked at: with the outputs of its head, or the vectors of texts."""

from dataclasses import dataclass

from transformers import PretrainedConfig

from headscope.errors import HeadscopeError
from headscope.explorer.answers import Kind
from headscope.explorer.viewed import Viewed, WordsOf
from headscope.model.classes import OF_MASKED_TOKENS, OF_TEXTS, OF_TOKENS, Head
from headscope.model.config import read_config
from headscope.model.embedder import as_embedder
from headscope.model.example_maps import WHOLE
from headscope.model.heads import architecture, claims, is_encoder, is_pre_training
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.pooling import pooling_of, says_pooling
from headscope.model.reduced_files import is_reduced
from headscope.model.source import find

EMBEDDING = "embedding"
HEADS = {
    "classification": OF_TEXTS,
    "regression": OF_TEXTS,
    "tokens": OF_TOKENS,
    "mlm": OF_MASKED_TOKENS,
}
"""The kinds of outputs by their names on the command line, and the head that they are of."""


@dataclass(frozen=True)
class Wanted:
    """How a model is to be looked at.

    Attributes:
        kind: What it is to say: of `HEADS`, or `EMBEDDING`; None for what its head is for, or
            vectors where it has none.
        pool: How the vectors of texts are pooled; None for what its folder says.
        prompt: What stands before every text of an embedder; None for what its folder says.
    """

    kind: str | None = None
    pool: str | None = None
    prompt: str | None = None


def open_viewed(name: str, wanted: Wanted, words_of: WordsOf) -> Viewed:
    """Open a model.

    Args:
        name: A hub name, a folder, or the embedded model.
        wanted: How it is to be looked at.
        words_of: Who says what the words of a text are.

    Raises:
        HeadscopeError: The model cannot be loaded or tapped, has no head of the kind that was
            asked for, or has removed heads.
    """
    source = find(name)
    config = read_config(source.folder, source.name)
    if is_reduced(config):
        raise HeadscopeError(
            f"heads are removed from {name}, and its other heads can be neither observed nor "
            "switched off: look at the folder 'full' beside it"
        )
    head = _head(name, config, wanted)
    if head is None:
        return _vectors(name, wanted, words_of, _left_out(name, config, wanted))
    if wanted.pool is not None or wanted.prompt is not None:
        raise HeadscopeError(
            "--pool and --prompt are of embeddings, and a head is looked at: add --as embedding"
        )
    model = load(name, head=head)
    if not model.trained_head:
        if wanted.kind is None:
            return _vectors(name, wanted, words_of, ())
        raise HeadscopeError(
            f"the file of {name} has no weights of a {head.called} (--as {wanted.kind}), though "
            "its config.json names one: leave --as out to look at its vectors"
        )
    kind, outputs = _said(model, head)
    return Viewed(model, kind, outputs, words_of, notes=model.notes)


def _head(name: str, config: PretrainedConfig, wanted: Wanted) -> Head | None:
    """The head whose outputs are looked at; None for vectors.

    Raises:
        HeadscopeError: The model has no head of the kind that was asked for.
    """
    if wanted.kind == EMBEDDING:
        return None
    if wanted.kind is not None:
        head = HEADS[wanted.kind]
        if not claims(config, head):
            raise HeadscopeError(
                f"{name} has no {head.called} (--as {wanted.kind}): leave --as out, or name a "
                "model that has one"
            )
        return head
    there = [kind for kind, head in HEADS.items() if claims(config, head)]
    # Embedders keep the name of the class that they were pre-trained as, without its head.
    if not there or (there[0] == "mlm" and says_pooling(find(name))):
        return None
    return HEADS[there[0]]


def _said(model: Model, head: Head) -> tuple[Kind, list[str]]:
    """What the outputs of a head are, and their names."""
    if head is OF_MASKED_TOKENS:
        tokenizer = model.tokenizer
        if tokenizer.mask_token is None:
            raise HeadscopeError(
                f"the tokenizer of {model.name} has no mask: look at its vectors (--as embedding)"
            )
        # A head may have more outputs than there are tokens, for speed, and their numbers gaps.
        of_token = {number: token for token, number in tokenizer.get_vocab().items()}
        size = int(model.hf.config.vocab_size)
        return "masks", [of_token.get(number, f"unused {number}") for number in range(size)]
    classes = list(model.classes)
    if head is OF_TOKENS:
        return "tags", classes
    if len(classes) == 1:
        return "score", classes
    is_multiple = model.hf.config.problem_type == "multi_label_classification"
    return ("labels" if is_multiple else "classes"), classes


def _left_out(name: str, config: PretrainedConfig, wanted: Wanted) -> tuple[str, ...]:
    """A note on a head that the model has and that is not looked at, where nobody chose so."""
    claimed = architecture(config)
    if wanted.kind is not None or not claimed or is_encoder(claimed) or is_pre_training(claimed):
        return ()
    return (f"the head of {name} ({claimed}) is not looked at: the vectors of texts are",)


def _vectors(name: str, wanted: Wanted, words_of: WordsOf, said: tuple[str, ...]) -> Viewed:
    """A model whose outputs are the vectors of texts; `said` are notes on how that was chosen."""
    pooling, notes = pooling_of(find(name), wanted.pool, wanted.prompt)
    embedder = as_embedder(load(name), pooling)
    return Viewed(
        model=embedder,
        kind="vectors",
        outputs=(),
        words_of=words_of,
        prompt=pooling.prompt,
        longest=pooling.longest or WHOLE,
        notes=(*embedder.notes, *said, *notes),
    )
