"""Importance proxies on made heads, which are alike in a layer whether or not the proxy says
anything of them.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from headscope.stats.paired import bootstrap, interval
from headscope.stats.proxies import within_layers
from simulations.base import Rate, Section

Array = npt.NDArray[np.float64]
RESAMPLES = 400
PERMUTATIONS = 199


@dataclass(frozen=True)
class Model:
    """How a proxy and the effect of disabling a head are distributed.

    Attributes:
        layers: How many layers there are.
        heads: How many heads a layer has.
        alike: The share of the variance of both that heads of a layer have in common, the proxy's
            and the effect's independent of each other.
        related: The correlation of both inside a layer.
        spread: How much that correlation varies from layer to layer (standard deviation).
    """

    layers: int
    heads: int
    alike: float
    related: float = 0.0
    spread: float = 0.0

    def draw(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """A proxy and an effect of every head, [head]; the effect is skewed."""
        proxy, noise = rng.standard_normal((2, self.layers, self.heads))
        of_layer = rng.standard_normal((2, self.layers, 1))
        # The layers of a model are fixed: their correlations are the same in every draw.
        middle = (self.layers - 1) / 2
        step = np.linspace(-middle, middle, self.layers) / max(middle, 1) * np.sqrt(3)
        related = np.clip(self.related + self.spread * step, -0.95, 0.95)[:, None]
        effect = related * proxy + np.sqrt(1 - related**2) * noise
        inside = np.sqrt(1 - self.alike)
        proxy = np.sqrt(self.alike) * of_layer[0] + inside * proxy
        effect = np.sqrt(self.alike) * of_layer[1] + inside * effect
        return proxy.ravel(), np.exp(effect).ravel()

    @property
    def layer(self) -> npt.NDArray[np.int64]:
        """The layer of every head."""
        return np.repeat(np.arange(self.layers), self.heads)


@dataclass(frozen=True)
class Rates:
    """Of the draws of a model.

    Attributes:
        old_rejects: How often Spearman's t-test over all heads had p < 0.05.
        rejects: How often the permutation test within layers had.
        old_covers: How often the bootstrap over heads covered the mean of Spearman's correlation.
        covers: How often the interval within layers covered the mean of its correlation.
    """

    old_rejects: Rate
    rejects: Rate
    old_covers: Rate | None
    covers: Rate


def rates(model: Model, draws: int, seed: int, *, old_intervals: bool = True) -> Rates:
    """How often tests reject and intervals cover."""
    rng = np.random.default_rng(seed)
    old, new, old_ends, ends = [], [], [], []
    for number in range(draws):
        proxy, effect = model.draw(rng)
        old.append(stats.spearmanr(proxy, effect))
        within = within_layers(proxy[None], effect, model.layer, number, PERMUTATIONS)
        new.append((within.value[0], within.p[0]))
        ends.append((within.low[0], within.high[0]))
        if old_intervals:
            scores = bootstrap("spearman", proxy, [effect], number, RESAMPLES)[0] / 100
            old_ends.append(interval(scores))
    old_values, old_p = np.array(old).T
    values, p = np.array(new).T
    return Rates(
        Rate(int(np.sum(old_p < 0.05)), draws),
        Rate(int(np.sum(p <= 0.05)), draws),
        _covers(np.array(old_ends), old_values) if old_intervals else None,
        _covers(np.array(ends), values),
    )


def _covers(ends: Array, values: Array) -> Rate:
    # What an interval should cover is what comes out on average.
    mean = values.mean()
    return Rate(int(np.sum((ends[:, 0] <= mean) & (mean <= ends[:, 1]))), len(values))


MODELS = (
    *(Model(6, 12, alike) for alike in (0.0, 0.3, 0.5)),
    *(Model(12, 12, alike) for alike in (0.0, 0.3, 0.5)),
    *(Model(6, 12, 0.5, related) for related in (0.3, 0.5, 0.9)),
    Model(6, 12, 0.5, 0.5, 0.3),
    Model(3, 4, 0.5),
    Model(3, 4, 0.5, 0.6),
)


def section() -> Section:
    """The section of docs/statistics.md."""
    rows = []
    for number, model in enumerate(MODELS):
        found = rates(model, 1000, number)
        related = f"{model.related:.1f}"
        if model.spread:
            related += f" ± {model.spread:.1f} over layers"
        rows.append(
            (
                f"{model.layers} x {model.heads}",
                f"{model.alike:.1f}",
                related,
                str(found.old_rejects),
                str(found.rejects),
                str(found.old_covers),
                str(found.covers),
            )
        )
    return Section(
        title="Importance proxies",
        text="""
A proxy and the (skewed) effect of disabling a head are drawn for the heads of a model; heads of a
layer have part of their variance in common ("alike"), in the proxy and, independently, in the
effect. "Related" is the correlation of both inside a layer. The old rule (0.1) was Spearman's
correlation over all heads, with its t-test and a bootstrap of heads; the new one correlates ranks
within layers and permutes within layers. Where nothing is related, tests should reject in 0.05 of
the draws or fewer; elsewhere the rate is the power. Intervals should cover in 0.95 of the draws.
1,000 draws a row; the tests here take 199 permutations, the program 9,999.""".strip(),
        header=(
            "layers x heads",
            "alike",
            "related",
            "old test rejects",
            "new test rejects",
            "old interval covers",
            "new interval covers",
        ),
        rows=rows,
    )
