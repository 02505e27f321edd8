"""Examples through a model: its outputs, or its attention maps one layer at a time.

`run_pass` shows the maps of one model to any number of observers, `run_pair_pass` those of two
models side by side; the data runs through a model once. Batches hold examples of like length, and
no map is kept longer than its batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headscope.errors import HeadscopeError
from headscope.model.budget import OF_ALL_LAYERS, fitting_tokens
from headscope.model.encoding import Encoded, batches, padded
from headscope.model.layer_maps import Batch, LayerMaps, PairMaps
from headscope.model.model import Model
from headscope.model.outputs import refuse_not_finite
from headscope.model.precision import Precision, scoring_autocast
from headscope.model.projections import gram
from headscope.model.resuming import Schedule, unfinished
from headscope.model.tap import Call
from headscope.model.transfer import Ahead, on_device
from headscope.progress import Advance, silent

BLOCK_BYTES = 2**28
"""Of a layer whose maps take more, heads are shown in blocks: a map of 8,192 tokens takes as much.
"""
WHOLE_BYTES = 2**32
"""How much memory the maps of a batch may take where those of a whole model are held."""


T = TypeVar("T")


Maps = TypeVar("Maps", contravariant=True)
"""What an observer is shown: `LayerMaps` or `PairMaps`."""


@runtime_checkable
class Observer(Protocol[Maps, T]):
    """Something that is shown maps during a pass. It must not change them.

    An observer keeps what it finds, and says it when the pass has ended.
    """

    def prepare(self, batch: Batch) -> T:
        """Called once a batch, before its layers: what `see` needs besides maps, or None."""

    def see(self, maps: Maps, prepared: T) -> None:
        """Called once a layer of each batch, in order, with what `prepare` returned."""


@runtime_checkable
class BlockObserver(Protocol):
    """An observer that looks at every head by itself, so that a layer with large maps can be shown
    to it in blocks of heads (`LayerMaps.heads`).

    Attributes:
        heads_by_themselves: Says so.
    """

    heads_by_themselves: bool


@torch.inference_mode()
def run_pass(
    model: Model,
    encoded: Encoded,
    observers: Sequence[Observer[LayerMaps, Any]],
    *,
    batch_tokens: int | None = None,
    precision: Precision = "auto",
    advance: Advance = silent,
    keeping: Schedule | None = None,
) -> None:
    """Run every example through the encoder once and show the observers the maps of each layer.

    Args:
        model: The model.
        encoded: The examples.
        observers: Each is shown the same maps, in this order.
        batch_tokens: The most tokens in a batch, padding included; by default what fits.
        precision: The model's precision; maps are shown in float32.
        advance: Is told how many examples are done.
        keeping: Where the observers' state is kept, for a run that is broken off and resumed; they
            must be `Resumable`.
    """
    every = list(batches(encoded.lengths, fitting_tokens(model, batch_tokens)))
    ready = Ahead(every, partial(_Ready.of, encoded, observers, model.hf.device))
    in_blocks = all(isinstance(observer, BlockObserver) for observer in observers)
    for rows in unfinished(every, observers, keeping, advance):
        now = ready.take(rows)
        observe_batch(
            model,
            now.inputs,
            now.batch,
            now.audience.show,
            precision=precision,
            in_blocks=in_blocks,
            meanwhile=partial(ready.make_following, rows),
        )
        advance(len(rows))


@dataclass(frozen=True, eq=False)
class EncoderPass:
    """A pass of examples through an encoder, as data; what looks at its maps, a subclass says.

    Attributes:
        encoded: The examples.
        layers: How many layers the model has.
        heads: How many heads a layer has.
        batch_tokens: The most tokens of a batch.
        precision: The number format.
        runs_head: The head of the model is not run.
    """

    encoded: Encoded
    layers: int
    heads: int
    batch_tokens: int
    precision: Precision
    runs_head: ClassVar[bool] = False

    @property
    def batches(self) -> list[list[int]]:
        """All batches, as row numbers."""
        return list(batches(self.encoded.lengths, self.batch_tokens))

    def run(
        self,
        models: Sequence[Model],
        observers: Sequence[Any],
        schedule: Schedule | None,
        advance: Advance,
    ) -> None:
        """Pass the examples through the model, the only one."""
        (model,) = models
        run_pass(
            model,
            self.encoded,
            observers,
            batch_tokens=self.batch_tokens,
            precision=self.precision,
            advance=advance,
            keeping=schedule,
        )


@torch.inference_mode()
def run_pair_pass(
    before: Model,
    after: Model,
    encoded: Encoded,
    observers: Sequence[Observer[PairMaps, Any]],
    *,
    width: int = 0,
    batch_tokens: int | None = None,
    precision: Precision = "auto",
    advance: Advance = silent,
    keeping: Schedule | None = None,
) -> None:
    """Run every example through two models and show the observers both maps of each layer.

    The first model's maps of one batch are held, all layers, until the second has seen the batch.

    Args:
        before: The first model.
        after: The second model, with as many layers and heads.
        encoded: The examples.
        observers: Each is shown the same maps, in this order.
        width: Pad every batch to at least so many tokens.
        batch_tokens: The most tokens in a batch, padding to `width` not counted.
        precision: The models' precision; maps are shown in float32.
        advance: Is told how many examples are done.
        keeping: Where the observers' state is kept, as for `run_pass`.

    Raises:
        HeadscopeError: The models differ in their layers or heads, or the maps of a batch do not
            fit into memory.
    """
    check_like(before, after)
    tokens = fitting_tokens(before, batch_tokens, OF_ALL_LAYERS)
    every = list(batches(encoded.lengths, tokens))
    check_whole_maps(before, encoded, tokens)
    ready = Ahead(every, partial(_Ready.of, encoded, observers, before.hf.device, width=width))
    for rows in unfinished(every, observers, keeping, advance):
        now = ready.take(rows)
        kept: list[LayerMaps] = []
        show = partial(_show_pair, now.audience, kept)
        observe_batch(before, now.inputs, now.batch, kept.append, precision=precision)
        observe_batch(
            after,
            now.inputs,
            now.batch,
            show,
            precision=precision,
            meanwhile=partial(ready.make_following, rows),
        )
        advance(len(rows))


def check_whole_maps(model: Model, encoded: Encoded, batch_tokens: int) -> None:
    """Refuse work that holds the maps of all layers of a batch where they are too large.

    Raises:
        HeadscopeError: Names the memory that it takes, and the length.
    """
    needed = longest = 0
    # The batches that are made: few examples do not fill one.
    for rows in batches(encoded.lengths, batch_tokens):
        tokens = int(encoded.lengths[rows].max())
        of_batch = 4 * len(rows) * model.layers * model.heads * tokens**2
        if of_batch > needed:
            needed, longest = of_batch, tokens
    if needed > WHOLE_BYTES:
        raise HeadscopeError(
            "comparing two models holds the maps of all layers of a batch: "
            f"{needed / 2**30:.0f} GiB for {longest} tokens; give a smaller --max-length or "
            "--batch-tokens"
        )


def check_like(before: Model, after: Model) -> None:
    """Raises HeadscopeError for two models that differ in their layers or heads."""
    if (before.layers, before.heads) != (after.layers, after.heads):
        raise HeadscopeError(
            f"{before.name} has {before.layers} x {before.heads} heads, {after.name} "
            f"{after.layers} x {after.heads}: compare a model with its own fine-tuned form"
        )


class _Audience:
    """Observers with what each prepared of one batch."""

    def __init__(self, observers: Sequence[Observer[Any, Any]], batch: Batch) -> None:
        self._observers = [(observer, observer.prepare(batch)) for observer in observers]

    def show(self, maps: LayerMaps | PairMaps) -> None:
        for observer, prepared in self._observers:
            observer.see(maps, prepared)


@dataclass(frozen=True)
class _Ready:
    """A batch with all that is found before the model runs on it."""

    inputs: dict[str, Tensor]
    batch: Batch
    audience: _Audience

    @classmethod
    def of(
        cls,
        encoded: Encoded,
        observers: Sequence[Observer[Any, Any]],
        device: torch.device,
        rows: Sequence[int],
        *,
        width: int = 0,
    ) -> "_Ready":
        inputs, batch = batch_of(encoded, rows, device, width)
        return cls(inputs, batch, _Audience(observers, batch))


def _show_pair(audience: _Audience, before: list[LayerMaps], after: LayerMaps) -> None:
    audience.show(PairMaps(before[after.layer], after))


def batch_of(
    encoded: Encoded, rows: Sequence[int], device: torch.device, width: int = 0
) -> tuple[dict[str, Tensor], Batch]:
    """What the model takes of the examples `rows`, and what observers know of them.

    Args:
        encoded: All examples.
        rows: The row numbers of the batch.
        device: Where the tensors go.
        width: Pad to at least so many tokens.

    Returns:
        The model's arguments, each [batch, token], and the batch.
    """
    inputs = encoded.batch(rows, device, width)
    real = inputs["attention_mask"].bool()
    special = padded([encoded.special[i] for i in rows], real.shape[1], False)
    segment = padded([encoded.segments[i] for i in rows], real.shape[1], 0)
    batch = Batch(
        examples=np.array(rows),
        real=real,
        special=on_device(special, device),
        segment=on_device(segment, device),
        ids=inputs["input_ids"],
        cls=on_device([encoded.cls_place(row) for row in rows], device),
    )
    return inputs, batch


@torch.inference_mode()
def observe_batch(
    model: Model,
    inputs: dict[str, Tensor],
    batch: Batch,
    show: Callable[[LayerMaps], None],
    *,
    precision: Precision = "auto",
    in_blocks: bool = False,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Run one batch through the encoder and call `show` with the maps of each layer, in order.

    Args:
        model: The model.
        inputs: Its arguments.
        batch: What is known of the tokens.
        show: Called once a layer, or with `in_blocks` once a block of its heads.
        precision: The model's precision.
        in_blocks: Whether a layer whose maps take more than `BLOCK_BYTES` is shown in blocks.
        meanwhile: Called when the device has all its work but the host has not waited for it.

    Raises:
        HeadscopeError: What the encoder puts out for an example is not finite; says which.
    """
    blocks = _blocks(model.heads, batch) if in_blocks else [slice(None)]

    def on_attention(call: Call) -> None:
        for heads in blocks:
            maps = call.maps if len(blocks) == 1 else call.maps_of(heads)
            shown = LayerMaps(
                layer=call.layer,
                batch=batch,
                maps=maps.float(),
                values=call.value[:, heads].float(),
                gram=partial(_gram, model, call.layer, heads),
                heads=heads,
            )
            # The model may run in bfloat16; what is made of its maps may not.
            with torch.autocast(model.hf.device.type, enabled=False):
                show(shown)
            # Or they would be there while the next block is made.
            del maps, shown

    with model.observed(on_attention), scoring_autocast(precision, model.hf.device):
        states = model.hf.base_model(**inputs)[0]
    # A map that is not finite leaves no finite state behind it.
    is_finite = torch.isfinite(states).all(-1) | ~batch.real
    meanwhile()
    refuse_not_finite(model, batch.examples, is_finite.all(-1).cpu().numpy())


def _blocks(heads: int, batch: Batch) -> list[slice]:
    """The heads of a layer in blocks whose maps take at most `BLOCK_BYTES`, at least one head."""
    examples, tokens = batch.real.shape
    size = max(1, BLOCK_BYTES // (4 * examples * tokens**2))
    if size >= heads:
        return [slice(None)]
    return [slice(start, min(start + size, heads)) for start in range(0, heads, size)]


def _gram(model: Model, layer: int, heads: slice) -> Float[Tensor, "head d d"]:
    return gram(model.projections[layer])[heads]
