"""Examples through a model: its outputs, or its attention maps one layer at a time.

`run_pass` shows the maps of one model to any number of observers, `run_pair_pass` those of two
models side by side; the data runs through a model once. Batches hold examples of like length, and
no map is kept longer than its batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headscope.errors import HeadscopeError
from headscope.model.encoding import BATCH_TOKENS, Encoded, batches, padded
from headscope.model.model import Model
from headscope.model.outputs import refuse_not_finite
from headscope.model.precision import Precision, scoring_autocast
from headscope.model.projections import gram
from headscope.model.resuming import Keeping, unfinished
from headscope.model.tap import Call
from headscope.progress import Advance, silent

BLOCK_BYTES = 2**28
"""Of a layer whose maps take more, heads are shown in blocks: a map of 8,192 tokens takes as much.
"""
WHOLE_BYTES = 2**32
"""How much memory the maps of a batch may take where those of a whole model are held."""


R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True)
class Batch:
    """What is known of the tokens of one batch, the same for all its layers. Read only.

    Attributes:
        examples: The examples' row numbers in the data.
        real: Which tokens are not padding.
        special: Which tokens are [CLS] or [SEP].
        segment: Which text a token belongs to, 0 or 1.
        ids: The token ids.
        cls: Where [CLS] stands in each example, -1 where a text has none; None where it is the
            first token.
    """

    examples: Int[np.ndarray, "batch"]
    real: Bool[Tensor, "batch token"]
    special: Bool[Tensor, "batch token"]
    segment: Int[Tensor, "batch token"]
    ids: Int[Tensor, "batch token"]
    cls: Int[Tensor, "batch"] | None = None

    @cached_property
    def cls_places(self) -> Int[Tensor, "batch"]:
        """Where [CLS] stands in each example; -1 where a text has none."""
        if self.cls is not None:
            return self.cls
        return torch.zeros(len(self.real), dtype=torch.long, device=self.real.device)

    @cached_property
    def is_cls(self) -> Bool[Tensor, "batch token"]:
        """Which token is [CLS]."""
        places = torch.arange(self.real.shape[1], device=self.real.device)
        return places == self.cls_places[:, None]

    @cached_property
    def separators(self) -> Bool[Tensor, "batch token"]:
        """Which tokens are [SEP]: every special token but [CLS]."""
        return self.special & ~self.is_cls


@dataclass(frozen=True)
class LayerMaps:
    """One layer's attention maps of one batch. Read only.

    Attributes:
        layer: The layer, counted from 0.
        batch: What is known of the tokens.
        maps: The attention weights; a row sums to 1, and padding receives nothing.
        values: The heads' values before they are weighted.
        gram: Gives, when it is called, what stands for the layer's output projection in norms
            (`projections.gram`).
        heads: Which of the layer's heads these are: all, or a block of them.
    """

    layer: int
    batch: Batch
    maps: Float[Tensor, "batch head query key"]
    values: Float[Tensor, "batch head key d"]
    gram: Callable[[], Float[Tensor, "head d d"]] | None = None
    heads: slice = field(default_factory=partial(slice, None))
    _shared: dict[tuple[object, int], tuple[object, Any]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def shared(self, compute: Callable[["LayerMaps", T], R], prepared: T) -> R:
        """What `compute` makes of these maps and of what was prepared: computed when it is first
        asked for, so that measures share its work.
        """
        key = (compute, id(prepared))
        if key not in self._shared:
            # What was prepared is kept too: another thing could get its id.
            self._shared[key] = (prepared, compute(self, prepared))
        result: R = self._shared[key][1]
        return result

    @property
    def real(self) -> Bool[Tensor, "batch token"]:
        """Which tokens are not padding."""
        return self.batch.real

    @cached_property
    def received(self) -> Float[Tensor, "batch head key"]:
        """The fraction of all mass that each token receives: column means over the real rows."""
        weight = self.real.to(self.maps.dtype)
        weight = weight / weight.sum(-1, keepdim=True)
        return (weight[:, None, None] @ self.maps)[:, :, 0]

    @cached_property
    def from_cls(self) -> Float[Tensor, "batch head key"]:
        """What [CLS] attends to; NaN for an example that has none."""
        places = self.batch.cls_places
        examples = torch.arange(len(places), device=places.device)
        rows = self.maps[examples, :, places.clamp_min(0)]
        return rows.masked_fill((places < 0)[:, None, None], torch.nan)

    @cached_property
    def value_norms(self) -> Float[Tensor, "batch head key"]:
        """The norm of what each token adds to the layer's output at weight 1: ||value_j W_O^h||.

        Raises:
            HeadscopeError: The maps did not come from a model, so `gram` is not known.
        """
        if self.gram is None:
            raise HeadscopeError(
                "the norms of projected values need the model: get the maps from passes.run_pass"
            )
        squares = (self.values @ self.gram() * self.values).sum(-1)
        return squares.clamp_min(0.0).sqrt()

    def over_queries(
        self, values: Float[Tensor, "batch head query"]
    ) -> Float[Tensor, "batch head"]:
        """The mean over the real rows of a value per row."""
        real = self.real[:, None].to(values.dtype)
        return (values * real).sum(-1) / real.sum(-1)


@dataclass(frozen=True)
class PairMaps:
    """The same layer and batch of two models, as before and after fine-tuning. Read only."""

    before: LayerMaps
    after: LayerMaps


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
    batch_tokens: int = BATCH_TOKENS,
    precision: Precision = "auto",
    advance: Advance = silent,
    keeping: Keeping | None = None,
) -> None:
    """Run every example through the encoder once and show the observers the maps of each layer.

    Args:
        model: The model.
        encoded: The examples.
        observers: Each is shown the same maps, in this order.
        batch_tokens: The most tokens in a batch, padding included.
        precision: The model's precision; maps are shown in float32.
        advance: Is told how many examples are done.
        keeping: Where the observers' state is kept, for a run that is broken off and resumed; they
            must be `Resumable`.
    """
    every = batches(encoded.lengths, batch_tokens)
    for rows in unfinished(every, observers, keeping, advance):
        inputs, batch = batch_of(encoded, rows, model.hf.device)
        audience = _Audience(observers, batch)
        in_blocks = all(isinstance(observer, BlockObserver) for observer in observers)
        observe_batch(model, inputs, batch, audience.show, precision=precision, in_blocks=in_blocks)
        advance(len(rows))


@torch.inference_mode()
def run_pair_pass(
    before: Model,
    after: Model,
    encoded: Encoded,
    observers: Sequence[Observer[PairMaps, Any]],
    *,
    width: int = 0,
    batch_tokens: int = BATCH_TOKENS,
    precision: Precision = "auto",
    advance: Advance = silent,
    keeping: Keeping | None = None,
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
    every = batches(encoded.lengths, batch_tokens)
    check_whole_maps(before, encoded, batch_tokens)
    for rows in unfinished(every, observers, keeping, advance):
        inputs, batch = batch_of(encoded, rows, before.hf.device, width)
        audience = _Audience(observers, batch)
        kept: list[LayerMaps] = []
        show = partial(_show_pair, audience, kept)
        observe_batch(before, inputs, batch, kept.append, precision=precision)
        observe_batch(after, inputs, batch, show, precision=precision)
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


def _show_pair(audience: _Audience, before: list[LayerMaps], after: LayerMaps) -> None:
    audience.show(PairMaps(before[after.layer], after))


def on_device(values: npt.ArrayLike, device: torch.device) -> Tensor:
    """Values of the host as a tensor on the device. The host does not wait for work that the device
    has not done.
    """
    return torch.as_tensor(np.asarray(values)).to(device, non_blocking=True)


def to_host(tensors: Sequence[Tensor]) -> list[npt.NDArray[Any]]:
    """Tensors of one type as arrays of the host, in one copy."""
    if not tensors:
        return []
    flat = torch.cat([tensor.flatten() for tensor in tensors]).cpu().numpy()
    ends = np.cumsum([tensor.numel() for tensor in tensors])
    parts = zip(np.split(flat, ends[:-1]), tensors, strict=True)
    return [part.reshape(tensor.shape) for part, tensor in parts]


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
        special=torch.tensor(special, device=device),
        segment=torch.tensor(segment, device=device),
        ids=inputs["input_ids"],
        cls=torch.tensor([encoded.cls_place(row) for row in rows], device=device),
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
) -> None:
    """Run one batch through the encoder and call `show` with the maps of each layer, in order.

    Args:
        model: The model.
        inputs: Its arguments.
        batch: What is known of the tokens.
        show: Called once a layer, or with `in_blocks` once a block of its heads.
        precision: The model's precision.
        in_blocks: Whether a layer whose maps take more than `BLOCK_BYTES` is shown in blocks.

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
