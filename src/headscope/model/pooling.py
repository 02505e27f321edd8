"""How an encoder's states become one vector of a text, as sentence-transformers' folders say."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from headscope.errors import HeadscopeError, refusing, unknown
from headscope.model.source import MODULES, Source

Pool = Literal["mean", "cls"]
POOLS: tuple[Pool, ...] = get_args(Pool)
_OLD_NAMES: dict[str, Pool] = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
_COSINES = ("", "cosine", "cos_sim")
"""What a folder says where cosines are how its vectors are compared."""


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


def says_pooling(source: Source) -> bool:
    """Whether a model's folder says how its vectors are pooled."""
    return _pooling_file(source) is not None


def pooling_of(
    source: Source, pool: str | None = None, prompt: str | None = None
) -> tuple[Pooling, tuple[str, ...]]:
    """How a model's vectors are pooled.

    Args:
        source: The model's files.
        pool: What the user asks for; by default what the folder says, else the mean.
        prompt: What is to stand before every text; by default what the folder says.

    Returns:
        The pooling, and what the user must know of it.

    Raises:
        HeadscopeError: The pooling is unknown; or the folder says something that cannot be
            followed: another pooling, layers behind it, a prompt that is left out of the mean.
    """
    name = source.name
    if behind := source.trained_behind:
        raise HeadscopeError(
            f"the vectors of {name} go through {' and '.join(behind)} after pooling (modules.json),"
            " which is not read here: give an encoder whose vectors are pooled states"
        )
    file = _pooling_file(source)
    said = {} if file is None else _object(file)
    notes = []
    if pool is None:
        pool = None if file is None else _said_pool(said, file, name)
    if pool is None:
        pool = "mean"
        notes.append(
            f"nothing says how the vectors of {name} are pooled: the mean over tokens is taken; "
            "--pool cls takes [CLS]"
        )
    known = _known_pool(pool)
    general = _object(source.root / "config_sentence_transformers.json")
    if prompt is None:
        prompt = _default_prompt(general)
        if prompt:
            notes.append(f"{prompt!r} stands before every text, as the folder of {name} says")
    if prompt and known == "mean" and said.get("include_prompt") is False:
        raise HeadscopeError(
            f"{name} leaves the tokens of its prompt out of the mean (include_prompt in "
            f"{file}), which is not done here: give --prompt '' for texts without a prompt"
        )
    compared = str(general.get("similarity_fn_name") or "")
    if compared not in _COSINES:
        notes.append(f"the folder of {name} compares vectors by {compared}; their cosine is scored")
    of_texts = _object(source.folder / "sentence_bert_config.json")
    longest = of_texts.get("max_seq_length")
    pooling = Pooling(
        pool=known,
        prompt=prompt,
        longest=longest if isinstance(longest, int) and longest > 0 else None,
        is_lower=of_texts.get("do_lower_case") is True,
    )
    return pooling, tuple(notes)


def save_pooling(pooling: Pooling, source: Source, width: int, folder: Path) -> None:
    """Write the small files by which sentence-transformers and headscope pool in the same way.

    What else the folder of the source says there is kept; a pooling or a prompt that the user asked
    for stands in the place of the folder's own.

    Args:
        pooling: How vectors are pooled.
        source: The model whose files are kept.
        width: How many numbers a vector has.
        folder: Where they go; the encoder is in it.

    Raises:
        OSError: They could not be written.
    """
    file = _pooling_file(source)
    said = {} if file is None else dict(_object(file))
    for key in [key for key in said if key.startswith("pooling_mode")]:
        del said[key]
    said |= {
        "word_embedding_dimension": width,
        "pooling_mode_cls_token": pooling.pool == "cls",
        "pooling_mode_mean_tokens": pooling.pool == "mean",
    }
    _write(folder / "1_Pooling" / "config.json", said)
    kinds = {"": "Transformer", "1_Pooling": "Pooling"}
    if any(module.kind == "Normalize" for module in source.modules):
        kinds["2_Normalize"] = "Normalize"
    modules = []
    for number, (path, kind) in enumerate(kinds.items()):
        kind_path = f"sentence_transformers.models.{kind}"
        modules.append({"idx": number, "name": str(number), "path": path, "type": kind_path})
    _write(folder / MODULES, modules)
    if of_texts := _object(source.folder / "sentence_bert_config.json"):
        _write(folder / "sentence_bert_config.json", of_texts)
    general = dict(_object(source.root / "config_sentence_transformers.json"))
    if pooling.prompt != _default_prompt(general):
        general |= {"prompts": {"text": pooling.prompt}, "default_prompt_name": "text"}
    if general:
        _write(folder / "config_sentence_transformers.json", general)


def _write(file: Path, said: object) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def _known_pool(pool: str) -> Pool:
    for known in POOLS:
        if pool == known:
            return known
    raise unknown("pooling", pool, POOLS)


def _pooling_file(source: Source) -> Path | None:
    named = [module.folder_name for module in source.modules if module.kind == "Pooling"]
    for name in (*named, "1_Pooling"):
        file = source.root / name / "config.json"
        if name and file.is_file():
            return file
    return None


def _said_pool(said: Mapping[str, object], file: Path, name: str) -> str:
    """What a folder says."""
    if "pooling_mode" in said:
        chosen = [str(said["pooling_mode"])]
    else:
        chosen = [key for key, value in said.items() if key.startswith("pooling_mode") and value]
        chosen = [_OLD_NAMES.get(key, key) for key in chosen]
    if len(chosen) == 1 and chosen[0] in POOLS:
        return chosen[0]
    raise HeadscopeError(
        f"{name} pools its vectors by {' and '.join(chosen) or 'nothing'} ({file.name} in "
        f"{file.parent.name}), and headscope knows {' and '.join(POOLS)}: give one of them as "
        "--pool, or take another model"
    )


def _default_prompt(general: Mapping[str, object]) -> str:
    prompts, default = general.get("prompts"), general.get("default_prompt_name")
    found = prompts.get(default, "") if isinstance(prompts, dict) and default else ""
    return str(found or "")


def _object(file: Path) -> Mapping[str, object]:
    """What a file of settings holds; nothing where there is none.

    Raises:
        HeadscopeError: It is damaged, or holds something else.
    """
    if not file.is_file():
        return {}
    with refusing(f"{file} cannot be read"):
        said = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(said, dict):
        raise HeadscopeError(f"{file} holds no settings of sentence-transformers: mend it")
    return said
