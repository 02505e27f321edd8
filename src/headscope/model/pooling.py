"""How an encoder's states become one vector of a text, as sentence-transformers' folders say."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from headscope.errors import HeadscopeError, refusing

Pool = Literal["mean", "cls"]
POOLS: tuple[Pool, ...] = get_args(Pool)
_OLD_NAMES: dict[str, Pool] = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
_HARMLESS = ("Transformer", "Pooling", "Normalize", "Dropout")
"""Modules that are the encoder, the pooling, or leave cosines as they are."""


@dataclass(frozen=True)
class Pooling:
    """How a text becomes a vector.

    Attributes:
        pool: "mean": the mean of the last layer's states over all tokens, special ones included;
            "cls": the state of [CLS].
        prompt: What stands before every text, as in "query: ".
        longest: How many tokens of a text are read at most; None for all that the encoder can read.
        is_lower: Whether texts are put into small letters first.
    """

    pool: Pool
    prompt: str = ""
    longest: int | None = None
    is_lower: bool = False


def says_pooling(folder: Path) -> bool:
    """Whether a model's folder says how its vectors are pooled."""
    return _pooling_file(folder) is not None


def pooling_of(
    folder: Path, name: str, pool: Pool | None = None, prompt: str | None = None
) -> tuple[Pooling, tuple[str, ...]]:
    """How a model's vectors are pooled.

    Args:
        folder: The model's folder.
        name: The model as the user named it.
        pool: What the user asks for; by default what the folder says, else the mean.
        prompt: What is to stand before every text; by default what the folder says.

    Returns:
        The pooling, and what the user must know of it.

    Raises:
        HeadscopeError: The folder says something that cannot be followed: another pooling, layers
            behind it, or a prompt that is left out of the mean.
    """
    notes = []
    if behind := [kind for kind in _kinds(folder) if kind not in _HARMLESS]:
        raise HeadscopeError(
            f"the vectors of {name} go through {' and '.join(behind)} after pooling (modules.json),"
            " which is not read here: give an encoder whose vectors are pooled states"
        )
    if pool is None:
        pool = _pool_in(folder, name)
    if pool is None:
        pool = "mean"
        notes.append(
            f"nothing says how the vectors of {name} are pooled: the mean over tokens is taken; "
            "--pool cls takes [CLS]"
        )
    if prompt is None:
        prompt = _default_prompt(folder)
        if prompt:
            notes.append(f"{prompt!r} stands before every text, as the folder of {name} says")
    file = _pooling_file(folder)
    said = {} if file is None else _object(file)
    if prompt and pool == "mean" and said.get("include_prompt") is False:
        raise HeadscopeError(
            f"{name} leaves the tokens of its prompt out of the mean (include_prompt in "
            "1_Pooling), which is not done here: give --prompt '' for texts without a prompt"
        )
    texts = _object(folder / "sentence_bert_config.json")
    longest = texts.get("max_seq_length")
    return Pooling(
        pool,
        prompt,
        longest if isinstance(longest, int) and longest > 0 else None,
        texts.get("do_lower_case") is True,
    ), tuple(notes)


def _pooling_file(folder: Path) -> Path | None:
    for module in _modules(folder):
        if str(module.get("type", "")).endswith("Pooling"):
            path = str(module.get("path", ""))
            file = folder / path / "config.json"
            # Only plain names count: nothing outside of the folder is read.
            if path and Path(path).name == path and file.is_file():
                return file
    file = folder / "1_Pooling" / "config.json"
    return file if file.is_file() else None


def _pool_in(folder: Path, name: str) -> Pool | None:
    """What the folder says; None where it says nothing."""
    file = _pooling_file(folder)
    if file is None:
        return None
    said = _json(file)
    if not isinstance(said, dict):
        raise HeadscopeError(f"{file} is not a pooling of sentence-transformers: give --pool")
    if "pooling_mode" in said:
        chosen = [str(said["pooling_mode"])]
    else:
        chosen = [key for key, value in said.items() if key.startswith("pooling_mode") and value]
        chosen = [_OLD_NAMES.get(key, key) for key in chosen]
    if len(chosen) == 1 and chosen[0] in POOLS:
        return POOLS[POOLS.index(chosen[0])]
    raise HeadscopeError(
        f"{name} pools its vectors by {' and '.join(chosen) or 'nothing'} ({file.name} in "
        f"{file.parent.name}), and headscope knows {' and '.join(POOLS)}: give one of them as "
        "--pool, or take another model"
    )


def _default_prompt(folder: Path) -> str:
    file = folder / "config_sentence_transformers.json"
    if not file.is_file():
        return ""
    said = _json(file)
    prompts = said.get("prompts") if isinstance(said, dict) else None
    default = said.get("default_prompt_name") if isinstance(said, dict) else None
    found = prompts.get(default, "") if isinstance(prompts, dict) and default else ""
    return str(found or "")


def _kinds(folder: Path) -> list[str]:
    return [str(module.get("type", "")).split(".")[-1] for module in _modules(folder)]


def _modules(folder: Path) -> list[dict[str, Any]]:
    file = folder / "modules.json"
    listed = _json(file) if file.is_file() else []
    return [module for module in listed if isinstance(module, dict)]


def _object(file: Path) -> dict[str, Any]:
    """What a file of settings holds; nothing where there is none."""
    said = _json(file) if file.is_file() else {}
    return said if isinstance(said, dict) else {}


def _json(file: Path) -> Any:
    with refusing(f"{file} cannot be read"):
        return json.loads(file.read_text(encoding="utf-8"))
