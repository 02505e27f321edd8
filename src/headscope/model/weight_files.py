"""The tensors of a model's files, by name: only safetensors, only from the model's own folder, and
nothing is read before it is needed.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from headscope.errors import HeadscopeError, refusing
from headscope.model.source import other_forms

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_FLOATS = ("F64", "F32", "F16", "BF16")
_LFS = b"version https://git-lfs"
_PICKLES = ("*.bin", "*.pt", "*.pth")


@dataclass(frozen=True)
class Stored:
    """A tensor in a file.

    Attributes:
        shape: Its sizes.
        form: The type of its numbers, as safetensors names it.
        lazy: What transformers reads it from.
    """

    shape: tuple[int, ...]
    form: str
    lazy: Any

    @property
    def is_float(self) -> bool:
        """Whether its numbers are what they say, without a scale that is kept elsewhere."""
        return self.form in _FLOATS


@contextmanager
def stored(folder: Path, name: str) -> Iterator[dict[str, Stored]]:
    """While the context is open, the tensors of a model's files can be read.

    Args:
        folder: The model's folder.
        name: The model as the user named it.

    Raises:
        HeadscopeError: There are no weights as safetensors, or a file is damaged.
    """
    with ExitStack() as files:
        tensors: dict[str, Stored] = {}
        for file in _files(folder, name):
            for key, tensor in _open(file, name, files).items():
                if key in tensors:
                    raise HeadscopeError(
                        f"the weights of {name!r} hold the tensor {key} twice, the second time in "
                        f"{file.name}: save the model again"
                    )
                tensors[key] = tensor
        if not tensors:
            raise HeadscopeError(f"the weights of {name!r} hold no tensor: fetch the files again")
        yield tensors


def _open(file: Path, name: str, files: ExitStack) -> dict[str, Stored]:
    with file.open("rb") as handle:
        head = handle.read(len(_LFS))
    if not head:
        raise HeadscopeError(f"{file} is empty: fetch the weights of {name!r} again")
    if head == _LFS:
        raise HeadscopeError(
            f"{file} is not the weights but a pointer to them, as git leaves it where git-lfs is "
            "not installed: run git lfs pull in the folder, or fetch it with hf download"
        )
    tensors = {}
    with refusing(
        f"the weights of {name!r} cannot be loaded as safetensors from {file.name}",
        "the file is damaged or not whole; fetch it again",
    ):
        opened = files.enter_context(safe_open(file, framework="pt", device="cpu"))
        for key in opened.keys():  # noqa: SIM118 - the file is no mapping
            lazy = opened.get_slice(key)
            tensors[str(key)] = Stored(tuple(lazy.get_shape()), str(lazy.get_dtype()), lazy)
    return tensors


def _files(folder: Path, name: str) -> list[Path]:
    """The weights' files: one, or the shards that an index names."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        return _shards(folder, name)
    pickles: list[str] = []
    for pattern in _PICKLES:
        pickles += [path.name for path in sorted(folder.glob(pattern))]
    raise HeadscopeError(
        f"the weights of {name!r} cannot be loaded as safetensors: {folder} has no {WEIGHTS}"
        + _what_there_is(pickles, other_forms(folder))
    )


def _what_there_is(pickles: list[str], forms: list[str]) -> str:
    weights = [name for name in pickles if name != "training_args.bin"]
    if weights:
        return (
            f", only {weights[0]}, a pickle, which could run code: convert it in an environment "
            "without secrets, AutoModel.from_pretrained(folder).save_pretrained(folder) with the "
            "model's own class"
        )
    if forms:
        return (
            f", only {' and '.join(forms)}: load it with the program that made it and save it with "
            "transformers' save_pretrained"
        )
    return ": give a folder that save_pretrained wrote"


def _shards(folder: Path, name: str) -> list[Path]:
    """The files that the index names. Only plain names of safetensors count: an index cannot reach
    outside of the folder, nor name a pickle.
    """
    index = folder / INDEX
    with refusing(f"{index} cannot be read", "fetch it again"):
        named = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted({str(file) for file in named.values()})
    for file in names:
        if not file.endswith(".safetensors") or Path(file).name != file or "\\" in file:
            raise HeadscopeError(
                f"{INDEX} of {name!r} names {file!r}: only safetensors files in the same folder "
                "are read"
            )
        if not (folder / file).is_file():
            raise HeadscopeError(
                f"{INDEX} of {name!r} names {file}, which is not in {folder}: fetch it again"
            )
    return [folder / file for file in names]
