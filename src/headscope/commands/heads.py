"""A model with a head of the kind that a command scores: the checkpoint's, or a new one."""

from dataclasses import replace
from typing import Literal

from headscope.commands.settings import HeadSettings, training_line
from headscope.errors import HeadscopeError
from headscope.model.classes import Head
from headscope.model.config import read_config
from headscope.model.heads import claims
from headscope.model.loading import Init, load
from headscope.model.model import Model
from headscope.model.source import find


def with_head(
    settings: HeadSettings,
    model: str,
    head: Head,
    outputs: int,
    *,
    kind: Literal["tokens", "qa"],
    does: str,
    init: Init = "pretrained",
    needs_head: bool = False,
) -> Model:
    """Load a model with a head.

    Args:
        settings: What the command was asked.
        model: A hub name, a folder, or the embedded model.
        head: Which kind of head.
        outputs: How many outputs a new one has.
        kind: What `--as` calls it.
        does: What a message says that such a head does.
        init: Whether the weights are the checkpoint's or random.
        needs_head: Whether a model without such a head gets a new one; else it is refused.

    Raises:
        HeadscopeError: The model cannot be loaded, or has no such head.
    """
    source = find(model)
    has_head = claims(read_config(source.folder, source.name), head)
    is_new = needs_head and (init == "random" or not has_head)
    seed = settings.seed
    loaded = load(model, labels=outputs if is_new else None, init=init, seed=seed, head=head)
    if is_new or loaded.trained_head:
        return loaded
    if needs_head:
        # Its config.json names a head that is not in its file: it gets a new one.
        return load(model, labels=outputs, seed=seed, head=head)
    raise HeadscopeError(
        f"{model} has no head that {does}, so there is no score to lose: fine-tune it first with "
        f"{training_line(replace(settings, kind=kind), model)}"
    )
