"""Load an encoder and check that its heads can be observed and disabled: `headscope.load`."""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as hf_logging

from headscope.errors import HeadscopeError, reason, unknown
from headscope.hub import reachable
from headscope.model.check import check
from headscope.model.embedded import EMBEDDED, embedded_path
from headscope.model.families import refuse
from headscope.model.model import Model
from headscope.model.tokenizers import check_tokenizer

_KNOWN_ON_HUB = (
    "google-bert/bert-base-uncased", "bert-base-uncased", "bert-base-cased", "bert-large-uncased",
    "roberta-base", "distilbert-base-uncased", "albert-base-v2", "xlm-roberta-base",
    "camembert-base", "answerdotai/ModernBERT-base", "google/electra-base-discriminator",
    "sentence-transformers/all-MiniLM-L6-v2",
)  # fmt: skip

Init = Literal["pretrained", "random"]


def load(
    name_or_dir: str | Path,
    *,
    labels: int | None = None,
    init: Init = "pretrained",
    seed: int = 0,
    device: str | None = None,
) -> Model:
    """Load an encoder and check that its heads can be tapped.

    Args:
        name_or_dir: A hub name, a folder, or an embedded model ("minilm").
        labels: How many outputs a classification head must have: 1 for a regression. A checkpoint
            that has such a head keeps it, one that has none gets a new one. None takes the
            checkpoint as it is.
        init: "random" builds the same architecture with random weights.
        seed: Random seed of new weights.
        device: Where the model goes; by default a GPU, if there is one.

    Raises:
        HeadscopeError: An unknown name, a family that cannot be tapped, a head for another number
            of labels, or a model that fails the check at load.
    """
    hf_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    hf_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    name = str(name_or_dir)
    source = str(embedded_path(name)) if name in EMBEDDED else name
    config = _config(name, source)
    refuse(name, config)
    has_head = _has_head(name, config, labels)
    tokenizer = _tokenizer(name, source)
    torch.manual_seed(seed)
    auto: Any = AutoModelForSequenceClassification if has_head or labels is not None else AutoModel
    if labels is not None:
        config.num_labels = labels
    if init == "random":
        hf = auto.from_config(config, dtype=torch.float32)
    else:
        hf = _pretrained(auto, name, source, config)
    hf.eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    notes = check_tokenizer(name, tokenizer, hf)
    model = Model(hf, tokenizer, name, source, has_head and init == "pretrained")
    model.notes = notes
    check(model)
    # Some tokenizer files carry their own cut and padding (128 for all-MiniLM-L6-v2), and every
    # call leaves its own behind; lengths are decided at each call, and a saved tokenizer carries
    # neither.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return model


def _config(name: str, source: str) -> PretrainedConfig:
    is_folder = Path(source).is_dir()
    if is_folder and not (Path(source) / "config.json").is_file():
        raise HeadscopeError(
            f"the folder {source} has no config.json: give a folder that save_pretrained wrote, "
            "or a hub name"
        )
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(
            source, local_files_only=_is_local(source)
        )
    except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
        if isinstance(error, OSError) and not is_folder:
            raise _unreachable(name) from error
        raise HeadscopeError(
            f"the configuration of {name!r} cannot be read: {reason(error)}"
        ) from error
    return config


def _unreachable(name: str) -> HeadscopeError:
    reason = "there is no network and no copy of it in the cache"
    if reachable():
        reason = "the hub has no such model"
    hint = (
        f"it is no folder here, and {reason}; give a folder that save_pretrained wrote, or the "
        "embedded 'minilm'"
    )
    if name in _KNOWN_ON_HUB:
        return HeadscopeError(f"the model {name!r} cannot be had: {hint}")
    return unknown("model", name, [*EMBEDDED, *_KNOWN_ON_HUB], hint)


def _has_head(name: str, config: PretrainedConfig, labels: int | None) -> bool:
    """Whether the checkpoint has a classification head. Raises HeadscopeError for one with another
    number of outputs.
    """
    architectures = config.architectures or ()
    has_head = any(str(kind).endswith("ForSequenceClassification") for kind in architectures)
    if has_head and labels is not None and config.num_labels != labels:
        raise HeadscopeError(
            f"the checkpoint {name} has a classification head with {config.num_labels} outputs, "
            f"the task needs {labels}: use a checkpoint fine-tuned on this task, or fine-tune one "
            "with headscope finetune"
        )
    return has_head


def _tokenizer(name: str, source: str) -> PreTrainedTokenizerFast:
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(source, local_files_only=_is_local(source))
    except (OSError, ValueError) as error:
        raise HeadscopeError(
            f"the tokenizer of {name!r} cannot be loaded: {reason(error)}"
        ) from error
    if not tokenizer.is_fast or tokenizer.pad_token_id is None:
        raise HeadscopeError(
            f"the tokenizer of {name!r} must be a fast one with a padding token: headscope needs "
            "character offsets"
        )
    checked: PreTrainedTokenizerFast = tokenizer
    return checked


def _pretrained(auto: Any, name: str, source: str, config: PretrainedConfig) -> PreTrainedModel:
    try:
        hf: PreTrainedModel = auto.from_pretrained(
            source,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=_is_local(source),
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise HeadscopeError(
            f"the weights of {name!r} cannot be loaded as safetensors: {reason(error)}"
        ) from error
    return hf


def _is_local(source: str) -> bool:
    return Path(source).is_dir() or not reachable()
