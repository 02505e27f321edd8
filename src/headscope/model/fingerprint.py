"""What decides a model's numbers beside its weights: configuration and tokenizer, hashed."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headscope.model.model import Model

_NAMES = (
    "architectures",
    "dtype",
    "finetuning_task",
    "id2label",
    "label2id",
    "name_or_path",
    "problem_type",
    "torch_dtype",
    "transformers_version",
)
"""Keys of a configuration that name something; no output depends on them. How many classes there
are shows in the weights.
"""


def fingerprint(model: Model) -> dict[str, str]:
    """Hashes (16 hex digits) of the configuration and of the tokenizer, by these names.

    Two models with equal weights, configurations and tokenizers give equal outputs; names, paths,
    versions and the number format of the file do not count.
    """
    return {
        "config": configuration(model),
        "tokenizer": _digest(_tokenizer(model.tokenizer)),
    }


def configuration(model: Model) -> str:
    """The hash of the configuration alone."""
    return _digest(_decisive(model.hf.config.to_dict()))


def _decisive(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without names, also in those that it holds."""
    return {
        key: _decisive(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
        if key not in _NAMES and not str(key).startswith("_")
    }


def _tokenizer(tokenizer: Any) -> dict[str, Any]:
    return {
        "content": _fast(tokenizer) if tokenizer.is_fast else _slow(tokenizer),
        "special": {key: str(token) for key, token in tokenizer.special_tokens_map.items()},
        "longest": int(tokenizer.model_max_length),
        "cut": tokenizer.truncation_side,
        "inputs": list(tokenizer.model_input_names),
    }


def _fast(tokenizer: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    # Every call leaves its own behind: lengths are decided anew each time.
    content["truncation"] = content["padding"] = None
    return content


def _slow(tokenizer: Any) -> dict[str, Any]:
    """What a tokenizer in Python is made of: its class, its settings and the files it writes."""
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        files = sorted(Path(folder).iterdir())
        content: dict[str, Any] = {file.name: file.read_bytes().hex() for file in files}
        settings = json.loads((Path(folder) / "tokenizer_config.json").read_text("utf-8"))
    content["tokenizer_config.json"] = _decisive(settings)
    return content


def _digest(content: Mapping[str, Any]) -> str:
    # A configuration may hold what JSON cannot, such as a number format.
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
