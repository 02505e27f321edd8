"""The files of a model in which heads are missing: safetensors, and a config.json that says which
heads stay. Nothing in them is code.

transformers looks for `model.safetensors` and finds none, so that it never builds the whole model
and fills it with what there is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from headscope.axes import Head
from headscope.errors import HeadscopeError, InterventionError, refusing
from headscope.files import written
from headscope.model.classes import Head as ModelHead
from headscope.model.classes import text_config
from headscope.model.families import Tapping
from headscope.model.heads import check_outputs, head_claimed, kind_note
from headscope.model.model import Model
from headscope.model.reduced import Kept, build
from headscope.model.source import CONFIG, Source
from headscope.model.tap import MODES, Edit, Mode, Observer, Tap
from headscope.model.weights import Loaded, check_finite

REDUCED_WEIGHTS = "model_small.safetensors"
"""The file of the weights."""
KEY = "headscope"
"""What config.json of a model in which heads are missing says of them, under this name."""
FOLDED = "headscope_folded"
"""The same of a whole model into whose weights the removal of heads is folded."""
FORMAT = 1


@dataclass(frozen=True)
class Reduced:
    """Which heads stay in every layer, as config.json says it.

    Attributes:
        format: The version of the format.
        mode: What stands for the removed heads.
        kept: The heads of every layer that stay, counted from 1.
        layers: How many layers the model has.
        heads: How many heads a layer had.
    """

    format: int
    mode: Mode
    kept: tuple[tuple[int, ...], ...]
    layers: int
    heads: int

    @classmethod
    def of(cls, kept: Kept, mode: Mode, heads: int) -> "Reduced":
        """The same of heads that are counted from 0."""
        named = tuple(tuple(head + 1 for head in layer) for layer in kept)
        return cls(FORMAT, mode, named, len(named), heads)

    @property
    def indices(self) -> tuple[tuple[int, ...], ...]:
        """The heads that stay, counted from 0."""
        return tuple(tuple(head - 1 for head in layer) for layer in self.kept)

    @property
    def removed(self) -> tuple[Head, ...]:
        """The heads that are gone."""
        gone = []
        for layer, stay in enumerate(self.kept, start=1):
            gone += [Head(layer, head) for head in range(1, self.heads + 1) if head not in stay]
        return tuple(gone)


def is_reduced(config: PretrainedConfig) -> bool:
    """Whether a configuration is that of a model in which heads are missing."""
    return getattr(config, KEY, None) is not None


def folded_note(config: PretrainedConfig, name: str) -> tuple[str, ...]:
    """A note on heads whose removal is folded into the weights of a model."""
    folded = folded_heads(config, name)
    if not folded:
        return ()
    reduced = read_reduced(config, name, FOLDED)
    return (
        f"the removal of {len(folded)} of the {reduced.layers * reduced.heads} heads of {name} is "
        f"folded into its weights (mode {reduced.mode}): disabling one of them shows little or "
        "nothing",
    )


def folded_heads(config: PretrainedConfig, name: str) -> frozenset[Head]:
    """The heads whose removal is folded into the weights of a model."""
    if getattr(config, FOLDED, None) is None:
        return frozenset()
    return frozenset(read_reduced(config, name, FOLDED).removed)


def read_reduced(config: PretrainedConfig, name: str, key: str = KEY) -> Reduced:
    """Which heads stay, by a configuration.

    Args:
        config: The configuration.
        name: The model as the user named it.
        key: Under which name it says so.

    Raises:
        HeadscopeError: It is of another version, or contradicts the rest of the configuration.
    """
    cannot = f"the heads that {name!r} keeps cannot be read from its {CONFIG}"
    with refusing(cannot, "fetch it again"):
        values = dict(getattr(config, key))
        version, mode = values["format"], values["mode"]
        kept = tuple(tuple(layer) for layer in values["kept"])
    if version != FORMAT:
        raise HeadscopeError(
            f"{name} was written in version {version!r} of the format of models without some heads,"
            f" this headscope reads version {FORMAT}: use the headscope that wrote it"
        )
    encoder = text_config(config)
    layers, heads = int(encoder.num_hidden_layers), int(encoder.num_attention_heads)
    if mode not in MODES:
        raise HeadscopeError(f"{cannot}: the mode {mode!r} is none of {', '.join(MODES)}")
    if len(kept) != layers:
        raise HeadscopeError(f"{cannot}: it lists {len(kept)} layers, the model has {layers}")
    for number, layer in enumerate(kept, start=1):
        are_whole = all(type(head) is int and 1 <= head <= heads for head in layer)
        if not are_whole or list(layer) != sorted(set(layer)):
            raise HeadscopeError(
                f"{cannot}: layer {number} keeps {list(layer)!r}, expected rising numbers from 1 "
                f"to {heads}"
            )
    return Reduced(FORMAT, mode, kept, layers, heads)


def save_reduced(hf: PreTrainedModel, save_directory: str | Path, **_options: Any) -> None:
    """Write config.json and the weights of a model in which heads are missing.

    Args:
        hf: The model.
        save_directory: The folder.

    Raises:
        OSError: It could not be written.
    """
    folder = Path(save_directory)
    folder.mkdir(parents=True, exist_ok=True)
    shared = _shared_names(hf)
    tensors = {
        name: tensor.detach().contiguous()
        for name, tensor in hf.state_dict().items()
        if name not in shared
    }
    with written("the checkpoint without some heads"):
        save_file(tensors, folder / REDUCED_WEIGHTS, {"format": "pt"})
        hf.config.save_pretrained(folder)


def say_reduced(config: PretrainedConfig, reduced: Reduced, key: str) -> None:
    """Write into a configuration which heads stay, as plain data."""
    kept = [list(layer) for layer in reduced.kept]
    setattr(config, key, {**asdict(reduced), "kept": kept})


def as_reduced(hf: PreTrainedModel, reduced: Reduced) -> PreTrainedModel:
    """Let a model in which heads are missing say so where it is saved."""
    say_reduced(hf.config, reduced, KEY)
    hf.config.architectures = [type(hf).__name__]
    # transformers' own would write a folder that transformers fills with random heads.
    hf.__dict__["save_pretrained"] = partial(save_reduced, hf)
    return hf


def load_reduced(
    source: Source, config: PretrainedConfig, labels: int | None, head: ModelHead
) -> Loaded:
    """The model of a folder in which heads are missing, with the head that it has.

    Args:
        source: Where its files are.
        config: Its configuration.
        labels: How many outputs its head must have; None takes what there is.
        head: Which kind of head is asked for: one of another kind does not count as trained.

    Raises:
        HeadscopeError: The configuration is damaged, the weights are not its, or it has no head for
            that many labels.
    """
    name = source.name
    reduced = read_reduced(config, name)
    has_head = head_claimed(config) is head
    if labels is not None and not has_head:
        raise HeadscopeError(
            f"{name} has no {head.called}, and some of its heads are removed: fine-tune the whole "
            "model on the task first"
        )
    check_outputs(config, labels, name, head)
    hf = build(config, reduced.indices, reduced.mode, name)
    file = source.folder / REDUCED_WEIGHTS
    if not file.is_file():
        raise HeadscopeError(f"{source.folder} has no {REDUCED_WEIGHTS}: fetch the folder again")
    with refusing(f"the weights of {name!r} cannot be loaded from {file.name}", "fetch it again"):
        tensors = load_file(file)
        shared = _shared_names(hf).items()
        tensors |= {name: tensors[first] for name, first in shared if first in tensors}
        hf.load_state_dict(tensors, strict=True)
    check_finite(hf, name)
    hf.config.name_or_path = source.path
    gone = len(reduced.removed)
    note = f"{gone} of the {reduced.layers * reduced.heads} heads of {name} are removed"
    notes = (f"{note} (mode {reduced.mode})", *kind_note(config, name))
    return Loaded(as_reduced(hf, reduced), trained_head=has_head, notes=notes)


def _shared_names(hf: PreTrainedModel) -> dict[str, str]:
    """The first name of every tensor that has several, by its other names: a head for masked tokens
    shares the matrix of the embeddings.
    """
    first: dict[int, str] = {}
    shared = {}
    for name, tensor in hf.state_dict(keep_vars=True).items():
        if id(tensor) in first:
            shared[name] = first[id(tensor)]
        else:
            first[id(tensor)] = name
    return shared


class ReducedModel(Model):
    """A model in which heads are missing: it scores and trains, and shows no heads."""

    def edit(self, heads: object, mode: object = "uniform") -> Edit:  # noqa: ARG002
        """Refused."""
        self._refuse()

    @contextmanager
    def observed(self, observer: Observer) -> Iterator[None]:  # noqa: ARG002
        """Refused."""
        self._refuse()
        yield

    @property
    def output_layers(self) -> list[nn.Linear]:
        """Refused."""
        self._refuse()

    @property
    def projections(self) -> list[Float[Tensor, "hidden head d"]]:
        """Refused."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise InterventionError(
            f"heads of {self.name} are removed, and those that stay can be neither seen nor "
            "disabled: use the checkpoint full beside it, which has the same outputs and all heads"
        )


def _without_tap(_hf: PreTrainedModel) -> Tap:
    return Tap()


@contextmanager
def _as_it_is(_hf: PreTrainedModel) -> Iterator[None]:
    yield


UNTAPPED = Tapping("nothing, since heads are removed", _without_tap, _as_it_is)
