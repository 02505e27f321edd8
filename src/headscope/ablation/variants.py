"""Score a classifier under many sets of disabled heads, unit by unit: the sets of a unit begin in
the same layer.

The order is layers outside, batches inside. A unit is finished for all examples before the next
begins, so that its results can be saved and a killed run goes on there; what enters the layer is
kept for every batch and moved one layer up when the last unit of a layer is done, so the layers
below the first disabled head run once for all sets. What does not fit into the memory budget is
computed again for each unit, from the tokens.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headscope.ablation.encoder import Encoder
from headscope.ablation.guard import Guard
from headscope.axes import Head, HeadSet
from headscope.model.attention import Mode
from headscope.model.encoding import Encoded, batches, only
from headscope.model.model import Model
from headscope.model.precision import Precision, scoring_autocast
from headscope.progress import say

MEMORY = 2 * 2**30
# So many sets are scored together. A stack holds many sets of few examples: examples of like
# length, no padding.
UNIT = 16
# On a processor larger stacks are slower: what lies between two layers leaves the cache.
CPU_TOKENS = 1024
TOLERANCE = 1e-4


class Scored(NamedTuple):
    """A set's outputs, [example, output], and by how much the least moved of its heads moved
    (relative norm, > 0).
    """

    name: str
    logits: npt.NDArray[np.float32]
    change: float


class Kept:
    """What enters a layer, batch by batch: kept while it fits into `memory` bytes, else computed
    when it is needed.
    """

    def __init__(self, encoder: Encoder, encoded: Encoded, batch_tokens: int, memory: int) -> None:
        self.encoder, self.encoded, self.left = encoder, encoded, memory
        self.batches = list(batches(encoded.lengths, batch_tokens))
        self._states: dict[int, tuple[int, Tensor]] = {}

    def at(self, number: int, layer: int) -> tuple[Tensor, Tensor]:
        """What enters `layer` for a batch, [batch, token, hidden], and which tokens are real.
        Layers must not fall.
        """
        inputs = self.encoded.batch(self.batches[number], self.encoder.model.hf.device)
        real = inputs["attention_mask"].bool()
        before, states = self._states.get(number) or (0, self.encoder.enter(inputs))
        for below in range(before, layer):
            states = self.encoder.run(below, states, real)
        size = states.numel() * states.element_size()
        if number in self._states or size <= self.left:
            self.left -= 0 if number in self._states else size
            self._states[number] = (layer, states)
        return states, real


def removal(sets: Sequence[HeadSet], model: Model) -> Bool[Tensor, "variant layer head"]:
    """Which heads each set disables."""
    removed = np.zeros((len(sets), model.layers, model.heads), dtype=bool)
    for variant, heads in enumerate(sets):
        for head in heads:
            removed[variant][head.index] = True
    return torch.from_numpy(removed).to(model.hf.device)


def _relative(
    output: Float[Tensor, "batch query head d"],
    other: Float[Tensor, "batch query head d"],
    real: Bool[Tensor, "batch token"],
    variants: int,
) -> Float[Tensor, "variant head"]:
    """How far `other` lies from `output` over the real tokens, relative to its norm, for each head
    of each variant.
    """
    weight = real[:, :, None, None].float()
    moved, before = (
        (part.float() * weight).view(variants, -1, *part.shape[1:]).square().sum((1, 2, 4))
        for part in (other - output, output)
    )
    return (moved.sqrt() / before.sqrt().clamp_min(1e-30)).to(output.device)


def variants(
    encoder: Encoder,
    layer: int,
    states: Float[Tensor, "batch token hidden"],
    real: Bool[Tensor, "batch token"],
    removed: Bool[Tensor, "variant layer head"],
    mode: Mode,
    *,
    batch_tokens: int,
    measure: bool,
) -> tuple[Float[Tensor, "variant batch output"], Float[Tensor, "variant"]]:
    """The outputs of one batch under each set, none of which has a head below `layer`; and how far
    its heads moved.

    measure: run the last layer for all tokens, so that how far heads move is known there too; else
    it is run for the first token alone, which is all that the classifier reads, and what is
    returned of it is infinite.
    """
    last = len(encoder.layers) - 1
    heads = encoder.heads(layer, states, real, mode, first=layer == last and not measure)
    other = heads.disabled()
    attended = encoder.project(layer, heads.output, states)
    difference = other - heads.output
    moved = _relative(heads.output, other, real, 1) if measure else None
    most = max(1, batch_tokens // max(1, real.numel()))
    out, change = [], []
    for part in removed.tensor_split(-(-len(removed) // most)):
        least = torch.full((len(part),), torch.inf, device=states.device)
        if moved is not None:
            least = torch.where(part[:, layer], moved, torch.inf).amin(1)
        stack = _edited(attended, difference, part[:, layer], encoder.projections(layer))
        stack = encoder.close(layer, stack.flatten(0, 1))
        all_real = real.repeat(len(part), 1)
        for at in range(layer + 1, last + 1):
            heads = encoder.heads(at, stack, all_real, mode, first=at == last and not measure)
            output = heads.output
            if bool(part[:, at].any()):
                other = heads.disabled()
                if measure:
                    far = torch.where(
                        part[:, at], _relative(output, other, all_real, len(part)), torch.inf
                    )
                    least = torch.minimum(least, far.amin(1))
                chosen = part[:, at].repeat_interleave(len(real), 0)
                output = torch.where(chosen[:, None, :, None], other, output)
            stack = encoder.close(at, encoder.project(at, output, stack))
        out.append(encoder.classify(stack).float().view(len(part), len(real), -1))
        change.append(least)
    return torch.cat(out), torch.cat(change)


def _edited(
    attended: Float[Tensor, "batch query hidden"],
    difference: Float[Tensor, "batch query head d"],
    removed: Bool[Tensor, "variant head"],
    projections: Float[Tensor, "head d hidden"],
) -> Float[Tensor, "variant batch query hidden"]:
    """`attended` for every set: plus W_h (z'_h - z_h), summed over the heads h that the set
    disables in this layer.
    """
    size = int(removed.sum(1).max())
    # The disabled heads first; where a set has fewer than `size`, a head that stays, with a
    # projection of zero.
    chosen = removed.byte().argsort(1, descending=True)[:, :size]
    weights = projections[chosen] * removed.gather(1, chosen)[:, :, None, None]
    parts = difference.flatten(0, 1)[:, chosen].flatten(-2).transpose(0, 1)
    flat = attended.flatten(0, 1).expand(len(removed), -1, -1)
    return torch.baddbmm(flat, parts, weights.flatten(1, 2)).view(-1, *attended.shape)


def known(
    model: Model, encoded: Encoded, mode: Mode, note: Callable[[str], object] = say
) -> Encoder | None:
    """The model by its parts if it is built like BERT and scores a few of the examples as the model
    itself does.

    Compared in float32, within 1e-4: nothing disabled, a head of every layer disabled, a head of
    the last layer. Of a model that is built like BERT and fails, `note` is told; None also where
    heads are observed or disabled already.
    """
    if (
        model.hf.training
        or model.tap.edits
        or model.tap.observers
        or not len(encoded)
        or not Encoder.fits(model)
    ):
        return None
    order = np.argsort(encoded.lengths, kind="stable")
    few = only(encoded, sorted({int(order[len(order) * part // 4]) for part in range(4)}))
    inputs = few.batch(range(len(few)), model.hf.device)
    every = frozenset(Head.at(layer, layer % model.heads) for layer in range(model.layers))
    top = frozenset([Head(model.layers, 1)])
    try:
        with torch.inference_mode(), torch.autocast(model.hf.device.type, enabled=False):
            expected = [model.hf(**inputs).logits]
            for heads in (every, top):
                with model.disabled(heads, mode):
                    expected.append(model.hf(**inputs).logits)
            encoder = Encoder(model)
            kept = Kept(encoder, few, int(1e9), MEMORY)
            found = [
                variants(
                    encoder,
                    layer,
                    *kept.at(0, layer),
                    removal(sets, model),
                    mode,
                    batch_tokens=10**9,
                    measure=False,
                )[0][:, np.argsort(kept.batches[0]).tolist()]
                for layer, sets in ((0, [frozenset(), every]), (model.layers - 1, [top]))
            ]
            off = float((torch.cat(found) - torch.stack(expected)).abs().max())
            bound = TOLERANCE * max(1.0, float(expected[0].abs().max()))
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        note(
            f"{model.name} is built like BERT but cannot be run by its parts ({error}): the "
            "slower general path is used"
        )
        return None
    if not off <= bound:
        note(
            f"{model.name} is built like BERT, but run by its parts its outputs differ by "
            f"{off:.1e}: the slower general path is used"
        )
        return None
    return encoder


def score_sets(
    encoder: Encoder,
    encoded: Encoded,
    sets: Sequence[tuple[str, HeadSet]],
    mode: Mode,
    *,
    batch_tokens: int,
    precision: Precision,
    memory: int = MEMORY,
    guard: Guard | None = None,
    done: Collection[str] = (),
) -> Iterator[Scored]:
    """Each set's outputs for all examples, by the layer in which it begins; up to `UNIT` sets are
    ready at a time.

    memory: how many bytes of what enters a layer are kept. done: names of sets whose outputs are
    known. A unit is computed as a whole or not at all: in a stack of other sets the same set's
    outputs may round otherwise. guard: compute in bfloat16, and again in float32 where the guard
    says so, whatever `precision` is.
    """
    device = encoder.model.hf.device
    units = _units(sets, encoder.model.layers)
    batch_tokens = min(batch_tokens, CPU_TOKENS) if device.type == "cpu" else batch_tokens
    kept = Kept(
        encoder,
        encoded,
        max(1, batch_tokens // max((len(unit) for _, unit in units), default=1)),
        memory,
    )
    for layer, unit in units:
        if all(name in done for name, _ in unit):
            continue
        removed = removal([heads for _, heads in unit], encoder.model)

        def run(
            number: int,
            states: Tensor,
            real: Tensor,
            *,
            layer: int = layer,
            removed: Tensor = removed,
        ) -> tuple[Tensor, Tensor]:
            return variants(
                encoder,
                layer,
                states,
                real,
                removed,
                mode,
                batch_tokens=batch_tokens,
                measure=number == 0,
            )

        while True:
            outputs, change, sure = _score_unit(run, kept, layer, precision, guard)
            if sure:
                break
        for (name, _), own, far in zip(unit, outputs, change, strict=True):
            if name not in done:
                yield Scored(name, own, far)


def _score_unit(
    run: Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]],
    kept: Kept,
    layer: int,
    precision: Precision,
    guard: Guard | None,
) -> tuple[npt.NDArray[np.float32], list[float], bool]:
    """The outputs [set, example, output] and changes of a unit, and whether the guard's bound held
    throughout.
    """
    parts: list[npt.NDArray[np.float32]] = []
    change: list[float] = []
    sure = True
    device = kept.encoder.model.hf.device

    def exact() -> AbstractContextManager[object]:
        return nullcontext() if guard is None else torch.autocast(device.type, enabled=False)

    # One context for all batches: autocast forgets the weights that it has rounded when its
    # outermost context ends.
    with torch.inference_mode(), scoring_autocast(precision if guard is None else "bf16", device):
        for number in range(len(kept.batches)):
            with exact():
                states, real = kept.at(number, layer)
            found, moved = run(number, states, real)
            if guard is not None:
                # The first batch always, so that the bound is tried on every unit.
                doubtful = guard.doubtful(found) | (number == 0)
                if bool(doubtful.any()):
                    with exact():
                        again, moved = run(number, states[doubtful], real[doubtful])
                    sure = guard.learn(found[:, doubtful], again) and sure
                    found[:, doubtful] = again
            parts.append(found.cpu().numpy())
            change = moved.tolist() if number == 0 else change
    outputs = np.concatenate(parts, axis=1)
    outputs[:, np.concatenate(kept.batches)] = outputs.copy()
    return outputs, change, sure


def _units(
    sets: Sequence[tuple[str, HeadSet]], layers: int
) -> list[tuple[int, list[tuple[str, HeadSet]]]]:
    """Sets that begin in the same layer (from 0), at most `UNIT` together, from the first layer
    on.
    """
    by_layer: list[list[tuple[str, HeadSet]]] = [[] for _ in range(layers)]
    for name, heads in sets:
        by_layer[min(heads).index[0]].append((name, heads))
    return [
        (layer, own[start : start + UNIT])
        for layer, own in enumerate(by_layer)
        for start in range(0, len(own), UNIT)
    ]
