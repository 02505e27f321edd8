"""Where families whose layers are built like BERT's have the parts of a layer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerParts:
    """Where a layer that is built like BERT's has its parts, by path: attention, added to what
    entered, a normalisation, a feed-forward network, added again, a normalisation.

    Attributes:
        query: The linear layer of the queries, as `key` and `value`.
        key: That of the keys.
        value: That of the values.
        output: That which reads the concatenated heads.
        attention_norm: The normalisation after it.
        first: The first linear layer of the feed-forward network.
        activation: What comes between.
        second: The second.
        norm: The normalisation after it.
        bias: At which place a layer is given a bias of its scores for the distance of two tokens,
            the same for every example; None where it is not.
        in_tuple: Whether a layer returns its states in a tuple.
    """

    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    output: str = "attention.output.dense"
    attention_norm: str = "attention.output.LayerNorm"
    first: str = "intermediate.dense"
    activation: str = "intermediate.intermediate_act_fn"
    second: str = "output.dense"
    norm: str = "output.LayerNorm"
    bias: int | None = None
    in_tuple: bool = False


BERT_LAYER = LayerParts()
MPNET_LAYER = LayerParts(
    query="attention.attn.q",
    key="attention.attn.k",
    value="attention.attn.v",
    output="attention.attn.o",
    attention_norm="attention.LayerNorm",
    bias=2,
    in_tuple=True,
)
DISTILBERT_LAYER = LayerParts(
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    output="attention.out_lin",
    attention_norm="sa_layer_norm",
    first="ffn.lin1",
    activation="ffn.activation",
    second="ffn.lin2",
    norm="output_layer_norm",
)
# A layer of its only group; where a group has several, they are not found.
ALBERT_LAYER = LayerParts(
    query="albert_layers.0.attention.query",
    key="albert_layers.0.attention.key",
    value="albert_layers.0.attention.value",
    output="albert_layers.0.attention.dense",
    attention_norm="albert_layers.0.attention.LayerNorm",
    first="albert_layers.0.ffn",
    activation="albert_layers.0.activation",
    second="albert_layers.0.ffn_output",
    norm="albert_layers.0.full_layer_layer_norm",
)
