"""The page of a text in memory: what heads attend to, and what a model says without them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscope.commands.given import HeadsLike, ModelLike, asked_of, heads_spec
from headscope.commands.look import Looking, begins, opened
from headscope.commands.settings import made
from headscope.errors import HeadscopeError
from headscope.explorer.looked import Looked

if TYPE_CHECKING:
    Text = str
else:
    # What is no text is answered in a sentence, not by who checks types at run time.
    Text = object


def look(
    model: ModelLike,
    text: Text,
    second: Text | None = None,
    *,
    beside: ModelLike | None = None,
    kind: str | None = None,
    pool: str | None = None,
    prompt: str | None = None,
    head: HeadsLike | None = None,
    off: HeadsLike | None = None,
    mode: str = "uniform",
    run: str | Path | None = None,
    words: str = "auto",
    language: str = "en",
    tokenizer: Any = None,
) -> Looked:
    """What every head of a model attends to in a text, and what the model says with heads off.

    >>> headscope.look("minilm", "A man sleeps.", "A man naps.")         # doctest: +SKIP

    Args:
        model: A hub name, a folder, the embedded model minilm, a headscope.Model, a Hugging Face
            model (with `tokenizer`), a pipeline of transformers, or a run that trained a model.
        text: The text.
        second: A second text, for models of pairs.
        beside: A second model, which is shown beside the first.
        kind: What the model is to say: classification, regression, embedding, tokens or mlm; by
            default what its head is for.
        pool: How the vectors of an embedder are pooled: mean or cls.
        prompt: What stands before every text of an embedder.
        head: The head that is shown large at first.
        off: Heads that are switched off at first, together.
        mode: What a head that is off puts out: uniform or zero.
        run: A run of prune, disable or study, whose sets of heads can be switched off.
        words: Where words and their tags come from: auto, spacy, spacy:PIPELINE, or plain.
        language: The language of the text.
        tokenizer: The tokenizer of a Hugging Face model in memory.

    Returns:
        The page, which a notebook shows in place; `save("look.html")` writes it. It holds every
        head and every layer switched off, the heads `off`, and the sets of `run`.

    Raises:
        HeadscopeError: The model cannot be looked at, a text is empty or too long, or a head does
            not exist.
    """
    given = {"model": model, "tokenizer": tokenizer}
    path = asked_of("look", ["model"], given)["model"]
    other = None if beside is None else asked_of("look", ["model"], {"model": beside})["model"]
    texts = (text,) if second is None else (text, second)
    for given_text in texts:
        if not isinstance(given_text, str):
            raise HeadscopeError(f"a text must be a text, got {given_text!r:.60}")
    asked = made(
        Looking,
        {
            "texts": texts,
            "model": path,
            "beside": other,
            "kind": kind,
            "pool": pool,
            "prompt": prompt,
            "head": heads_spec(head),
            "off": heads_spec(off),
            "mode": mode,
            "run": run,
            "words": words,
            "language": language,
            "quiet": True,
        },
    )
    models = opened(asked)
    return Looked(models, begins(asked, models))
