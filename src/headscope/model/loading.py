"""Load an encoder and check that its heads can be observed and disabled: `headscope.load`."""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import (
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as hf_logging

from headscope.errors import HeadscopeError, InterventionError, refusing
from headscope.model.check import check
from headscope.model.classes import (
    OF_TEXTS,
    Head,
    encoder_class,
    refuse_classifier,
    texts_alone,
    without_decoder,
)
from headscope.model.config import language_note, read_config
from headscope.model.families import family_of, refuse
from headscope.model.heads import check_outputs, claims
from headscope.model.model import Model
from headscope.model.reduced_files import (
    UNTAPPED,
    ReducedModel,
    folded_note,
    is_reduced,
    load_reduced,
)
from headscope.model.source import Source, find
from headscope.model.tokenizers import check_tokenizer
from headscope.model.weights import Loaded, pretrained

Init = Literal["pretrained", "random"]


def load(
    name_or_dir: str | Path,
    *,
    labels: int | None = None,
    init: Init = "pretrained",
    seed: int = 0,
    device: str | None = None,
    head: Head = OF_TEXTS,
) -> Model:
    """Load an encoder and check that its heads can be tapped.

    A folder `small` from which heads are removed gives a model that scores and trains, and whose
    heads can be neither observed nor disabled.

    Args:
        name_or_dir: A hub name, a folder, or an embedded model ("minilm").
        labels: How many outputs a classification head must have: 1 for a regression. A checkpoint
            that has such a head keeps it, one that has none gets a new one. None takes the
            checkpoint as it is.
        init: "random" builds the same architecture with random weights.
        seed: Random seed of new weights.
        device: Where the model goes; by default a GPU, if there is one.
        head: Which kind of head the checkpoint may have, or gets: of `model.classes`. One of
            another kind is left out.

    Raises:
        HeadscopeError: An unknown name, a family that cannot be tapped, a head for another number
            of labels, weights that are not those of the model that config.json describes, or a
            model that fails the check at load.
    """
    hf_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    hf_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    source = find(name_or_dir)
    config = read_config(source.folder, source.name)
    refuse(source.name, config)
    parts = texts_alone(config, source.name) + language_note(config, source.name)
    parts += folded_note(config, source.name)
    without_decoder(config)
    if labels is not None:
        refuse_classifier(config, source.name, head)
    tokenizer = _tokenizer(source, config)
    if is_reduced(config):
        loaded = _reduced(source, config, labels, init, head)
    elif init == "random":
        loaded = _random(source, config, labels, seed, head)
    else:
        loaded = pretrained(source, config, labels, seed, head)
    hf: Any = loaded.hf
    hf.eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    marks = check_tokenizer(source.name, tokenizer, hf, source.folder)
    note = family_of(config.model_type).note
    notes = (*source.notes, *parts, *loaded.notes, *((note,) if note else ()), *marks)
    if is_reduced(config):
        where = (source.name, source.path)
        model: Model = ReducedModel(
            loaded.hf, tokenizer, *where, loaded.trained_head, UNTAPPED, notes
        )
    else:
        model = _tapped(loaded, tokenizer, source, notes)
    # Some tokenizer files carry their own cut and padding (128 for all-MiniLM-L6-v2), and every
    # call leaves its own behind; lengths are decided at each call, and a saved tokenizer carries
    # neither.
    if tokenizer.is_fast:
        backend: Any = tokenizer
        backend.backend_tokenizer.no_truncation()
        backend.backend_tokenizer.no_padding()
    return model


def _tapped(
    loaded: Loaded, tokenizer: PreTrainedTokenizerBase, source: Source, notes: tuple[str, ...]
) -> Model:
    """The model, tapped in the first of its family's ways that passes the check.

    Raises:
        InterventionError: None does; says what failed in each.
    """
    family = family_of(loaded.hf.config.model_type)
    failures: list[HeadscopeError] = []
    for tapping in family.tappings:
        try:
            with refusing(
                f"{source.name} ({family.model_type}) cannot be run",
                "its config.json contradicts its family, or transformers lacks what it needs",
            ):
                model = Model(
                    loaded.hf,
                    tokenizer,
                    source.name,
                    source.path,
                    loaded.trained_head,
                    tapping,
                    notes,
                    loaded.new,
                )
                model.notes += check(model)
                return model
        except HeadscopeError as error:
            failures.append(error)
    refused = [str(error) for error in failures if isinstance(error, InterventionError)]
    if not refused:
        raise failures[0]
    # Damaged weights fail in every way alike.
    reasons = "; ".join(dict.fromkeys(refused))
    tried = " and ".join(tapping.name for tapping in family.tappings)
    how = f" (tried: {tried})" if len(family.tappings) > 1 else ""
    raise InterventionError(
        f"{source.name} ({family.model_type}) failed the check at load{how}: {reasons}. Its heads "
        "cannot be measured or disabled reliably; use a model of another family (bert, roberta, "
        "electra, ...) or report this one"
    )


def _reduced(
    source: Source, config: PretrainedConfig, labels: int | None, init: Init, head: Head
) -> Loaded:
    """A model from which heads are removed."""
    if init == "random":
        raise HeadscopeError(
            f"heads of {source.name} are removed, so random weights say nothing of its family: use "
            "the model that it was made from"
        )
    return load_reduced(source, config, labels, head)


def _random(
    source: Source, config: PretrainedConfig, labels: int | None, seed: int, head: Head
) -> Loaded:
    """The same architecture with random weights; no weights are read."""
    has_head = claims(config, head)
    if has_head:
        check_outputs(config, labels, source.name, head)
    auto: Any = encoder_class(config)
    if has_head or labels is not None:
        auto = head.auto
    if labels is not None:
        config.num_labels = labels
    torch.manual_seed(seed)
    with refusing(f"no model can be built from the config.json of {source.name!r}", "correct it"):
        hf = auto.from_config(config, dtype=torch.float32, trust_remote_code=False)
    return Loaded(hf, trained_head=False, notes=())


def _tokenizer(source: Source, config: PretrainedConfig) -> PreTrainedTokenizerBase:
    with refusing(f"the tokenizer of {source.name!r} cannot be loaded"):
        settings = source.folder / "tokenizer_config.json"
        has_code = settings.is_file() and json.loads(settings.read_text("utf-8")).get("auto_map")
    if has_code:
        raise HeadscopeError(
            f"the tokenizer of {source.name!r} has code of its own (auto_map in {settings.name}), "
            "which is not run: use a model whose tokenizer transformers has"
        )
    with refusing(f"the tokenizer of {source.name!r} cannot be loaded"):
        tokenizer: Any = AutoTokenizer.from_pretrained(
            source.folder, config=config, local_files_only=True, trust_remote_code=False
        )
    if tokenizer.pad_token_id is None:
        raise HeadscopeError(
            f"the tokenizer of {source.name!r} has no padding token, and texts of several lengths "
            "are run together: name one in tokenizer_config.json (pad_token)"
        )
    checked: PreTrainedTokenizerBase = tokenizer
    return checked
