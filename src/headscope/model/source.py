"""Where a model's files are: a folder, an embedded model, or a copy of the hub's."""

import json
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError

from headscope.errors import HeadscopeError, refusing, unknown
from headscope.hub import reachable
from headscope.model.embedded import EMBEDDED, embedded_path
from headscope.scratch import in_words

CONFIG = "config.json"
ADAPTER = "adapter_config.json"
MODULES = "modules.json"
"""What sentence-transformers runs one after the other."""

_KNOWN_ON_HUB = (
    "google-bert/bert-base-uncased", "bert-base-uncased", "bert-base-cased", "bert-large-uncased",
    "roberta-base", "distilbert-base-uncased", "albert-base-v2", "xlm-roberta-base",
    "camembert-base", "answerdotai/ModernBERT-base", "google/electra-base-discriminator",
    "sentence-transformers/all-MiniLM-L6-v2",
)  # fmt: skip
# What a model needs, and nothing that could be a pickle or somebody's code.
_FILES_OF_A_MODEL = (
    "*.json",
    "*.txt",
    "*.model",
    "model*.safetensors",
    "adapter_model.safetensors",
)
_OTHER_FORMS = {
    ".onnx": "ONNX",
    ".gguf": "GGUF",
    ".h5": "TensorFlow",
    ".ckpt": "a training checkpoint",
    ".index": "TensorFlow 1",
    ".msgpack": "Flax",
    ".tflite": "TensorFlow Lite",
}

# Modules of sentence-transformers that are the encoder itself, or compute without weights.
_WITHOUT_WEIGHTS = ("Transformer", "Pooling", "Normalize", "Dropout")


@dataclass(frozen=True)
class Module:
    """A module that sentence-transformers runs.

    Attributes:
        path: Its folder, within the model's.
        kind: The name of its class.
    """

    path: str
    kind: str

    @property
    def folder_name(self) -> str:
        """Its folder by name; "" for a path that may lead out of the model's."""
        return self.path if Path(self.path).name == self.path else ""


@dataclass(frozen=True)
class Source:
    """The files of a model.

    Attributes:
        name: The model as the user named it.
        path: The folder or hub name, as `load` takes it again.
        folder: Where the files of the encoder are on this machine.
        root: The folder that was named or fetched, in which sentence-transformers may keep the
            encoder's as one of several.
        notes: What the user must know of how they were found.
    """

    name: str
    path: str
    folder: Path
    root: Path
    notes: tuple[str, ...] = ()

    @property
    def modules(self) -> list[Module]:
        """What sentence-transformers runs one after the other."""
        return _modules(self.root)

    @property
    def trained_behind(self) -> list[str]:
        """The kinds of modules behind the encoder that have weights of their own."""
        return _trained(self.root)


def find(name_or_dir: str | Path) -> Source:
    """Find a model's files; those of a hub name are fetched if there is a network.

    Args:
        name_or_dir: A folder ("~" is the home folder), a hub name, or an embedded model.

    Raises:
        HeadscopeError: There are none.
    """
    name = str(name_or_dir)
    if name in EMBEDDED:
        folder = embedded_path(name)
        return Source(name, str(folder), folder, folder)
    with refusing(f"the path {name!r} cannot be used"):
        path = Path(name).expanduser()
        is_folder, exists = path.is_dir(), path.exists()
    if is_folder:
        return _in_folder(name, str(path), path)
    if exists:
        raise HeadscopeError(
            f"{name} is a file: give the folder that holds {CONFIG} and the weights"
        )
    if _is_path(name_or_dir):
        raise HeadscopeError(
            f"there is no folder {path}: give one that save_pretrained wrote, a hub name, or the "
            "embedded 'minilm'"
        )
    return _in_folder(name, name, _from_hub(name))


def _is_path(name_or_dir: str | Path) -> bool:
    """Whether a name can only be meant as a path: a hub name has one slash at most."""
    name = str(name_or_dir)
    if isinstance(name_or_dir, Path) and len(name_or_dir.parts) != 2:
        return True
    return name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1


def _from_hub(name: str) -> Path:
    """The folder of the cache that holds a model of the hub."""
    try:
        return Path(
            snapshot_download(
                name,
                allow_patterns=list(_FILES_OF_A_MODEL),
                ignore_patterns=["onnx/*", "openvino/*"],
                local_files_only=not reachable(),
            )
        )
    except GatedRepoError as error:
        raise HeadscopeError(
            f"the model {name!r} is only for those who accepted its terms: accept them on its page "
            "of the hub, then run hf auth login"
        ) from error
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        raise _unreachable(name) from error


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


def _in_folder(name: str, path: str, folder: Path) -> Source:
    """The folder itself, or the one within it where sentence-transformers keeps the encoder."""
    if (folder / ADAPTER).is_file():
        raise HeadscopeError(
            f"{folder} holds an adapter ({ADAPTER}), which is not merged here: load it with peft, "
            "call merge_and_unload and save_pretrained, and give that folder"
        )
    trained = _trained_modules(folder, name)
    called = in_words(folder)
    if called is not None:
        note = (
            f"{called} was given in memory: its weights are known by the hash in run.json, and no "
            "path leads to it again"
        )
        return Source(called, path, folder, folder, (note, *trained))
    if (folder / CONFIG).is_file():
        return Source(name, path, folder, folder, trained)
    inner = _sentence_transformer(folder)
    if inner is not None:
        note = f"the encoder of {name} is read from its folder {inner.name}"
        return Source(name, path, inner, folder, (note, *trained))
    forms = other_forms(folder)
    holds = f" (it holds {' and '.join(forms)})" if forms else ""
    raise HeadscopeError(
        f"the folder {folder} has no {CONFIG}{holds}: give a folder that save_pretrained wrote, "
        "or a hub name"
    )


def _sentence_transformer(folder: Path) -> Path | None:
    """The first folder that modules.json names and that holds an encoder. Only plain names count:
    nothing outside of the folder is read.
    """
    for module in _modules(folder):
        name = module.folder_name
        if name and (folder / name / CONFIG).is_file():
            return folder / name
    return None


def _modules(folder: Path) -> list[Module]:
    """What sentence-transformers runs one after the other, as modules.json says."""
    path = folder / MODULES
    if not path.is_file():
        return []
    with refusing(f"{path} cannot be read"):
        listed = json.loads(path.read_text(encoding="utf-8"))
        return [
            Module(str(module["path"]), str(module.get("type", "")).split(".")[-1])
            for module in listed
        ]


def _trained_modules(folder: Path, name: str) -> tuple[str, ...]:
    """A note on modules behind the encoder that have weights of their own."""
    trained = _trained(folder)
    if not trained:
        return ()
    return (
        f"of {name}, an embedder of sentences, the encoder is used and not what was trained on "
        f"it: {', '.join(trained)} (modules.json)",
    )


def _trained(folder: Path) -> list[str]:
    kinds = [module.kind for module in _modules(folder)]
    return [kind for kind in kinds if kind and kind not in _WITHOUT_WEIGHTS]


def other_forms(folder: Path) -> list[str]:
    """The files of a folder that hold weights for other programs, each form once.

    Returns:
        Clauses as in "model.onnx, ONNX".
    """
    forms: dict[str, str] = {}
    for file in [*sorted(folder.glob("*")), *sorted(folder.glob("onnx/*"))]:
        form = _OTHER_FORMS.get(file.suffix)
        if form is not None:
            forms.setdefault(form, file.name)
    return [f"{name}, {form}" for form, name in forms.items()]
