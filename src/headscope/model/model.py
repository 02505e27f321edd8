"""An encoder whose heads can be observed and disabled. `loading.load` makes one."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Literal

import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from headscope.axes import Heads, check_inside, head_set
from headscope.errors import HeadscopeError, unknown
from headscope.model.classes import Head, head_of, text_config
from headscope.model.encoding import Encoded, encode
from headscope.model.families import Tapping, family_of
from headscope.model.layers import layer_modules
from headscope.model.projections import split
from headscope.model.tap import MODES, Call, Edit, Mode, Observer
from headscope.model.text_maps import TextMaps, numbers_of_words
from headscope.model.texts import Texts, split_of

_MOST_BYTES = 2**34


class Model:
    """An encoder with its tokenizer, whose attention heads can be observed and disabled.

    Attributes:
        hf: The ordinary Hugging Face model: call it, train it, save it.
        tokenizer: Its tokenizer.
        name: The model as the user named it.
        path: The folder or hub name that its files come from.
        trained_head: Whether the checkpoint brought its own classification head.
        tapping: How its attention is tapped.
        notes: What the user must know of how it was loaded.
        new: The encoder's tensors that no file brought and that are random: a pooler's.
        layers: How many layers it has.
        heads: How many heads a layer has.
        tap: Who observes its attention, and what is disabled.
        means: The heads' mean outputs, once `measure_means` has run.
        puts_out: What its outputs are: those of a head, the vectors of texts (`embedder`), losses
            and classes of tokens (`token_scores`), or answers (`span_scores`).
    """

    def __init__(
        self,
        hf: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        name: str,
        path: str,
        trained_head: bool,
        tapping: Tapping,
        notes: tuple[str, ...] = (),
        new: frozenset[str] = frozenset(),
    ) -> None:
        self.hf = hf
        self.tokenizer = tokenizer
        self.name = name
        self.path = path
        self.trained_head = trained_head
        self.notes = notes
        self.new = new
        self.layers = int(text_config(hf.config).num_hidden_layers)
        self.heads = family_of(self.family).heads(hf.config)
        self.tapping = tapping
        self.tap = tapping.attach(hf)
        self.means: Float[Tensor, "layer head d"] | None = None
        self.puts_out: Literal["head", "vectors", "tokens", "answers"] = "head"

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
    def head(self) -> Head | None:
        """The kind of its head; None of an encoder alone, and where its outputs are what is made of
        those of a head (`puts_out`).
        """
        return head_of(type(self.hf).__name__)

    @property
    def predicts_classes(self) -> bool:
        """Whether the largest of its outputs is what it predicts."""
        return self.puts_out == "head" and int(self.hf.config.num_labels or 0) > 1

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the outputs of its head, in their order; one for a regression."""
        config: Any = self.hf.config
        names = config.id2label or {}
        return tuple(str(names.get(number, number)) for number in range(config.num_labels))

    @cached_property
    def _positions(self) -> int:
        return family_of(self.family).positions(self.hf, self.tap, self.tokenizer)

    @property
    def positions(self) -> int:
        """How many tokens the model has positions for, whatever the tokenizer says."""
        return self._positions

    @property
    def max_length(self) -> int:
        """How many tokens the model can read, [CLS] and [SEP] included."""
        return min(self._positions, int(self.tokenizer.model_max_length))

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the weights' names and bytes, first 16 hex digits, without a head or
        a pooler that is not trained yet.

        Read once: after training, load again.
        """
        is_whole = self.trained_head and self.puts_out != "vectors"
        return self._hash_of(self.hf) if is_whole else self.encoder_hash

    @cached_property
    def encoder_hash(self) -> str:
        """The same of the encoder alone, whether or not it has a head."""
        return self._hash_of(self.hf.base_model)

    def _hash_of(self, trained: nn.Module) -> str:
        digest = hashlib.sha256()
        for name, tensor in sorted(trained.state_dict().items()):
            if name in self.new:
                continue
            digest.update(name.encode())
            weights = tensor.detach().cpu().contiguous().flatten()
            digest.update(weights.view(torch.uint8).numpy().data)
        return digest.hexdigest()[:16]

    @cached_property
    def output_layers(self) -> list[nn.Linear]:
        """The linear layer that reads the concatenated heads of every layer."""
        find = family_of(self.family).output_layers
        return find(self.hf, self.tap, self.tokenizer, self.name)

    @cached_property
    def layer_modules(self) -> list[nn.Module]:
        """The module of every layer; [] where layers share one or are not found."""
        return layer_modules(self.hf, self.tap, self.tokenizer)

    @property
    def projections(self) -> list[Float[Tensor, "hidden head d"]]:
        """The output projection of every layer's attention by head: head h adds `projections[l][:,
        h] @ z_h`.

        Views of the weights as they are now.

        Raises:
            InterventionError: In a layer they are not found.
        """
        return [split(linear, self.heads) for linear in self.output_layers]

    @torch.inference_mode()
    def maps(self, text: str, second: str | None = None) -> TextMaps:
        """The attention maps of a text, or of a pair of texts.

        >>> maps = model.maps("The nurse thanked the pilot.")     # doctest: +SKIP
        >>> maps.maps.shape, maps.tokens[:3]                      # doctest: +SKIP
        ((6, 12, 8, 8), ('[CLS]', 'the', 'nurse'))
        >>> maps.plot("L3H10")                                    # doctest: +SKIP

        Args:
            text: The text.
            second: The second text of a pair.

        Raises:
            HeadscopeError: The model cannot read that many tokens, or their maps take over 16 GiB.
        """
        encoded = self.encode([text] if second is None else [(text, second)])
        if encoded.truncated:
            raise HeadscopeError(
                f"the text has more than the {self.max_length} tokens that {self.name} can read: "
                "give a shorter one"
            )
        size = 4 * self.layers * self.heads * int(encoded.lengths[0]) ** 2
        if size > _MOST_BYTES:
            raise HeadscopeError(
                f"the maps of a text of {int(encoded.lengths[0])} tokens take {size / 2**30:.0f} "
                "GiB: give a shorter one, or measure it with headscope measure, which holds a head "
                "at a time"
            )
        layers: list[Tensor] = []

        def keep(call: Call) -> None:
            layers.append(call.maps[0].float().cpu())

        with self.observed(keep):
            self.hf.base_model(**encoded.batch([0], self.hf.device))
        words = numbers_of_words(encoded, 0) or tuple([-1] * int(encoded.lengths[0]))
        return TextMaps(
            maps=torch.stack(layers).numpy(),
            tokens=tuple(self.tokenizer.convert_ids_to_tokens(encoded.columns["input_ids"][0])),
            special=tuple(encoded.special[0]),
            segments=tuple(encoded.segments[0]),
            words=words,
        )

    def encode(self, texts: Texts, max_length: int | None = None) -> Encoded:
        """Texts as token ids, as `headscope.Scorer` takes them.

        Args:
            texts: A text, a pair of texts in a tuple, or a list of either.
            max_length: Longer texts are cut to so many tokens, and counted in `truncated`; by
                default what the model can read.

        Raises:
            HeadscopeError: There is none, or one of them is no text.
        """
        limit = self.max_length if max_length is None else min(max_length, self.max_length)
        return encode(split_of(texts), self.tokenizer, limit)

    def predict(self, texts: Texts, max_length: int | None = None) -> pl.DataFrame:
        """What the model says of texts, a row per text.

        >>> model.predict(["A fine film.", "A dull film."])        # doctest: +SKIP

        Args:
            texts: A text, a pair of texts in a tuple, or a list of either.
            max_length: Longer texts are cut to so many tokens; by default what the model can read.

        Returns:
            `text` (and `second`), then `label`, its `probability`, and `p_<class>` of every class;
            for a regression `score`.

        Raises:
            HeadscopeError: The model has no head for texts, or there is no text.
        """
        from headscope.model.predicting import predict

        return predict(self, split_of(texts), self.encode(texts, max_length))

    @contextmanager
    def disabled(self, heads: Heads, mode: Mode | str = "uniform") -> Iterator[Edit]:
        """While the context is open, these heads do not attend. Runs under SDPA; nests; restores
        after an exception.

        >>> with model.disabled("L1H2,L7H6"):                     # doctest: +SKIP
        ...     logits = model.hf(**batch).logits

        Args:
            heads: The heads, counted from 1.
            mode: "uniform" spreads a head's attention evenly over the real tokens, 1/L each,
                padding excluded (Kovaleva et al. 2019, section 4.6); "zero" makes its output 0;
                "mean" makes it the head's mean output over a data set (call `measure_means` first).
                In an inner context the inner mode wins.

        Yields:
            An `Edit` whose `change` says, after the first forward pass, how far each head's output
            moved.

        Raises:
            HeadscopeError: A head does not exist.
            InterventionError: The model ran and a head was not met.
        """
        with self.tap.edited(self.edit(heads, mode)) as edit:
            yield edit

    def edit(self, heads: Heads, mode: Mode | str = "uniform") -> Edit:
        """What `disabled` holds open; one may be opened for batch after batch.

        Raises:
            HeadscopeError: A head or a mode does not exist, or the mode is "mean" and the means are
                not known.
        """
        modes: dict[str, Mode] = {known: known for known in MODES}
        if mode not in modes:
            raise unknown("mode", mode, MODES)
        wanted = head_set(heads)
        check_inside(wanted, self.layers, self.heads)
        if mode == "mean" and self.means is None:
            raise HeadscopeError(
                "mode 'mean' needs the heads' mean outputs: call model.measure_means(batches) first"
            )
        by_layer: dict[int, list[int]] = {}
        for head in sorted(wanted):
            layer, index = head.index
            by_layer.setdefault(layer, []).append(index)
        device = self.hf.device
        tensors = {
            layer: torch.tensor(indices, device=device) for layer, indices in by_layer.items()
        }
        return Edit(tensors, modes[mode], self.means)

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

        Args:
            batches: What the model is called with, every value [batch, token].

        Raises:
            HeadscopeError: There is no batch, or heads differ in size from layer to layer.
        """
        sums: list[Tensor] = []
        tokens = 0

        def add(call: Call) -> None:
            nonlocal tokens
            total = call.output[call.real].double().sum(0)  # [head, d]
            if call.layer == len(sums):
                sums.append(torch.zeros_like(total))
            sums[call.layer] += total
            if call.layer == 0:
                tokens += int(call.real.sum())

        with self.observed(add):
            for batch in batches:
                self.hf(**batch)
        if not tokens:
            raise HeadscopeError("the mean output of the heads needs at least one batch, got none")
        sizes = {total.shape for total in sums}
        if len(sizes) > 1:
            raise HeadscopeError(
                f"the heads of {self.name} differ in size from layer to layer, and their mean "
                "outputs cannot be kept: disable heads with uniform or zero"
            )
        self.means = torch.stack([total / tokens for total in sums]).float()
        return self.means
