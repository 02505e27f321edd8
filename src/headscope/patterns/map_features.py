"""What the classifier sees of a map: how its rows spread their mass over the places that define the
patterns.

A map is never scaled, which would blur a diagonal that is one token wide: every quantity is taken
from the rows of the map as they are. Then 16 groups of neighbouring rows are averaged, so that maps
of any size become comparable, and what is kept of the groups is their mean, their spread and their
quartiles: a stripe that only half of the rows see has the same mean as a pale one that all see, but
not the same quartiles. Padding never counts.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

GROUPS = 16
PROFILES = (
    "band",
    "wide_band",
    "best_offset",
    "crest",
    "strongest",
    "second",
    "third",
    "fourth",
    "stripes",
    "special",
    "own_text",
    "other_text",
    "own_share",
    "spread",
    "far",
    "evenness",
    "maximum",
)
"""What is taken from every row: see `row_profiles`."""
FEATURES = 5 * len(PROFILES) + 5
_STRIPES, _WIDE = 4, 3


@dataclass(frozen=True)
class Frame:
    """What is known of the tokens of a batch, the same for all maps of it.

    `groups` averages rows into groups, [batch, group, token]. `kinds` marks words of the first
    text, of the second, and [CLS] and [SEP], then gives the place and its square, as fractions of
    the length: [batch, token, 5]. `stripes` says how many columns count as stripes, `place` where a
    row is, `fixed` is [batch, 2]: length and whether it is a pair. `across` and `mirrored` are
    those of `edge`, None where no example is a pair.
    """

    real: Bool[Tensor, "batch token"]
    groups: Float[Tensor, "batch group token"]
    kinds: Float[Tensor, "batch token 5"]
    second: Float[Tensor, "batch token"]
    place: Float[Tensor, "batch token"]
    stripes: Int[Tensor, "batch"]
    fixed: Float[Tensor, "batch 2"]
    across: Float[Tensor, "batch query key"] | None
    mirrored: Float[Tensor, "batch query key"] | None

    @classmethod
    def of(
        cls,
        real: Bool[Tensor, "batch token"],
        special: Bool[Tensor, "batch token"],
        segment: Int[Tensor, "batch token"],
    ) -> "Frame":
        """The frame of a batch: which tokens are no padding, which are [CLS] or [SEP], which text
        they belong to.
        """
        n = real.sum(-1)
        width = n[:, None, None] / GROUPS
        group = torch.arange(GROUPS, device=real.device)[:, None]
        token = torch.arange(real.shape[1], device=real.device)
        # By area: a group covers n/16 rows, fractions included, so that short maps work too.
        overlap = torch.minimum(token + 1, (group + 1) * width) - torch.maximum(
            token, group * width
        )
        groups = overlap.clamp_min(0.0) * real[:, None] / width
        second = ((segment > 0) & real).float()
        word = (real & ~special).float()
        place = token / n[:, None]
        kinds = torch.stack(
            [
                word * (1 - second),
                word * second,
                (special & real).float(),
                word * place,
                word * place.square(),
            ],
            -1,
        )
        stripes = torch.maximum(n.clamp_max(_STRIPES), (n / 20).ceil().long())
        fixed = torch.stack([n.log2() / 9, second.amax(-1)], -1)
        pairs = mirrors(word > 0, segment) if bool(second.any()) else (None, None)
        return cls(real, groups, kinds, second, place, stripes, fixed, *pairs)


def mirrors(
    word: Bool[Tensor, "batch token"], segment: Int[Tensor, "batch token"]
) -> tuple[Float[Tensor, "batch query key"], Float[Tensor, "batch query key"]]:
    """Pairs of words of different texts, and the words of the query's own text on its other side,
    as far away.

    Only pairs for which there is such a word: the two masks hold equally many ones, at equal
    distances.
    """
    n = word.shape[1]
    at = torch.arange(n, device=word.device)
    other = 2 * at[:, None] - at
    inside = (other >= 0) & (other < n)
    other = other.clamp(0, n - 1)
    both = word[:, :, None] & word[:, None]
    same = (segment[:, :, None] == segment[:, None]) & both
    apart = both & ~same
    # Turning a row around its token is its own inverse.
    across = apart & same.gather(2, other.expand_as(same)) & inside
    mirrored = same & apart.gather(2, other.expand_as(apart)) & inside
    return across.float(), mirrored.float()


def edge(
    maps: Float[Tensor, "batch head query key"], frame: Frame
) -> Float[Tensor, "batch head 3"]:
    """Is there an edge at the border of the texts? A cloud around the diagonal has none, a block
    has.

    Words of the other text against words of the own at the same distance (`mirrors`): the
    difference of what they get as a fraction of their sum (-1 to 1), the least of the two texts',
    and the sum as a fraction of mass; 0 for single texts.
    """
    if frame.across is None or frame.mirrored is None:
        return maps.new_zeros(*maps.shape[:2], 3)
    lost = (maps * frame.across[:, None]).sum(-1)
    kept = (maps * frame.mirrored[:, None]).sum(-1)
    second = frame.second[:, None]
    halves = torch.stack([1 - second, second])
    differing, total = ((kept - lost) * halves).sum(-1), ((kept + lost) * halves).sum(-1)
    whole = total.sum(0)
    least = (differing / total.clamp_min(1e-6)).amin(0)
    return torch.stack(
        [differing.sum(0) / whole.clamp_min(1e-6), least, whole / frame.real.sum(-1)[:, None]], -1
    )


def features(
    maps: Float[Tensor, "batch head query key"], frame: Frame
) -> Float[Tensor, "batch head feature"]:
    """Of every profile of `row_profiles` the mean, standard deviation, quartiles and median over 16
    groups of rows; the edge between two texts (`edge`); the length (as a binary logarithm, in
    ninths) and whether the map is of a pair.
    """
    grouped = (frame.groups[:, None] @ row_profiles(maps, frame)).mT
    ordered = grouped.sort(-1).values
    mean = grouped.mean(-1)
    spread = ((grouped - mean[..., None]).square().sum(-1) / (GROUPS - 1)).sqrt()
    parts = [mean, spread, *(ordered[..., at] for at in (3, 8, 12))]
    fixed = frame.fixed[:, None].expand(*maps.shape[:2], 2)
    return torch.cat([*parts, edge(maps, frame), fixed], -1)


def row_profiles(
    maps: Float[Tensor, "batch head query key"], frame: Frame
) -> Float[Tensor, "batch head query profile"]:
    """What is taken from every row, `PROFILES`; fractions of mass where nothing else is said, 0 for
    padding.

    band: on the previous, the same and the next token; wide_band: up to three tokens away;
    best_offset: on the one of the three that holds most in the whole map; crest: whether the row's
    largest weight is in the band (0 or 1). strongest to fourth: on each of the four columns that
    receive most; stripes: on all four, or one in twenty of all columns if that is more. special: on
    [CLS] and [SEP]; own_text, other_text: on words of the token's own and of the other text;
    own_share: the own text's part of the mass on words; spread: the root of the mass on words times
    their square distance, as a fraction of the length; far: the same divided by the root of their
    mass, the root mean square distance of the words attended to; evenness: over how much of the own
    text its mass is spread, 1 where all its words get the same (the participation ratio: squared
    sum over sum of squares, by its number of words); maximum: the row's largest weight.
    """
    real = frame.real[:, None].to(maps.dtype)
    maximum = maps.amax(-1)
    wide = torch.stack([_diagonal(maps, offset) for offset in range(-_WIDE, _WIDE + 1)])
    offsets = wide[_WIDE - 1 : _WIDE + 2]
    best = (offsets * real).sum(-1).argmax(0)
    on_best = offsets.gather(0, best[None, ..., None].expand(1, *maps.shape[:3]))[0]
    received = (real[:, :, None] @ maps)[:, :, 0]
    most = min(int(frame.stripes.max()), maps.shape[-1])
    top = received.topk(most, -1).indices
    counted = torch.arange(most, device=maps.device) < frame.stripes[:, None]
    columns = (
        maps.gather(-1, top[:, :, None].expand(*maps.shape[:3], most)) * counted[:, None, None]
    )
    four = nn.functional.pad(columns[..., :_STRIPES], (0, max(0, _STRIPES - most)))
    first, second, special, place, square = (maps @ frame.kinds[:, None]).unbind(-1)
    in_second, own_place = frame.second[:, None], frame.place[:, None]
    words = first + second
    distance = (square - 2 * own_place * place + own_place.square() * words).clamp_min(0.0).sqrt()
    own = first * (1 - in_second) + second * in_second
    squares = (maps.square() @ frame.kinds[:, None, :, :2]).unbind(-1)
    counts = frame.kinds[:, :, :2].sum(1)[:, None, None].unbind(-1)
    own_squares, own_count = (a * (1 - in_second) + b * in_second for a, b in (squares, counts))
    profiles = [
        offsets.sum(0),
        wide.sum(0),
        on_best,
        (offsets.amax(0) >= maximum).to(maps.dtype),
        *four.unbind(-1),
        columns.sum(-1),
        special,
        own,
        words - own,
        own / words.clamp_min(1e-6),
        distance,
        (distance / words.clamp_min(1e-6).sqrt()).clamp_max(1.0),
        (own.square() / (own_squares * own_count).clamp_min(1e-12)).clamp_max(1.0),
        maximum,
    ]
    return torch.stack(profiles, -1) * real[..., None]


def _diagonal(
    maps: Float[Tensor, "batch head query key"], offset: int
) -> Float[Tensor, "batch head query"]:
    """The weight that every token gives the token `offset` places on; 0 where there is none."""
    if abs(offset) >= maps.shape[-1]:
        return torch.zeros_like(maps[..., 0])
    line = maps.diagonal(offset, -2, -1)
    return nn.functional.pad(line, (-offset, 0) if offset < 0 else (0, offset))
