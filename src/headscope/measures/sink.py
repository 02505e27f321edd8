"""Attention sinks: heads that park most of their mass on one token (Gu et al. 2025, section
3.2).
"""

from headscope.measures.base import MEASURES, SHARE, Measure, Values
from headscope.model.layer_maps import LayerMaps

EPSILON = 0.3
"""Gu et al.'s threshold: a token that receives more than this fraction of a head's mass is a sink.
"""


def sink_rate(maps: LayerMaps) -> Values:
    """Share of examples in which max_j of the mean over the real rows i of a_ij is over 0.3: in
    which one token, any token, is a sink (Gu et al. 2025, who look at the first token of decoders;
    a text of 3 tokens always has one).
    """
    return (maps.received.amax(-1) > EPSILON).to(maps.maps.dtype)


MEASURES.register("sink_rate")(Measure(SHARE, sink_rate))
