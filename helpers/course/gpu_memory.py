"""How many bytes a model needs on its device, by arithmetic alone: to load it, to evaluate in context, to finetune.

Counted are the largest tensors that live at one time. Not counted: what a GPU's libraries take for themselves (about
half a gigabyte, which torch's own figures leave out too), and what an allocator leaves between tensors.
"""

from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from helpers.experiments.evidence.paper_cost import KEPT
from helpers.gpt.finetuning import key_and_value_weights
from helpers.gpt.scoring import PACKED_TOKENS

EXAMPLE = 40  # tokens of a demonstration or a query: the film reviews' mean is 35
READ = 2  # places a query whose logits are read: its last token, and one inside a longer answer
LIVE = 8  # vectors as wide as the model that attention holds for each token: residual, norm, q, k, v, turned, outputs
FLOAT = 4  # bytes: logits, gradients and steps are float32 whatever the weights are


@dataclass(frozen=True)
class Needed:
    """Bytes, by what they hold."""

    weights: int
    prompt: int  # keys and values of all demonstrations
    row: int  # queries packed side by side, the layer and the logits that are being computed
    update: int  # of keys' and values' projections: their copy, gradients, and steps in float32
    training: int  # one example's activations in all layers, and its logits

    @property
    def evaluation(self) -> int:
        """The peak of an evaluation in context."""
        return self.weights + self.prompt + self.row

    @property
    def finetuning(self) -> int:
        """The peak of a finetuning of keys and values and of what is predicted after it, without demonstrations."""
        return self.weights + self.update + max(self.training, self.row)

    @property
    def peak(self) -> int:
        return max(self.evaluation, self.finetuning)


def needed(
    config: PretrainedConfig, dtype: torch.dtype, shots: int = 32, queries: int = 100, *, row: int = PACKED_TOKENS
) -> Needed:
    """For a model of this configuration; `row`: the most tokens of one packed row, which a GPU takes longer."""
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config)
    trained = sum(weight.numel() for weight in key_and_value_weights(network).values())
    shape, size, prompt = _shape(network), dtype.itemsize, shots * EXAMPLE
    row = min(row, queries * EXAMPLE)
    half = trained * 2 * FLOAT if size < FLOAT else 0  # weights and gradients as float32, to be stepped
    every = shape.layers * (KEPT * shape.hidden + 3 * shape.inner) * size + 4 * shape.vocabulary * FLOAT
    return Needed(
        network.num_parameters() * size,
        2 * shape.layers * prompt * shape.key * size,
        max(_forward(shape, size, prompt, 0), _forward(shape, size, row, prompt)),
        2 * trained * size + half,
        EXAMPLE * every,
    )


def _forward(shape: "Shape", size: int, tokens: int, before: int) -> int:
    """The peak of one pass without gradients: in a layer's attention or MLP, or at the logits that are read."""
    seen = before + tokens
    pairs = tokens * seen * (size + 1 if before else 0)  # a packed row's mask: numbers, and the truth values it is from
    pairs += 0 if shape.fused else 2 * shape.heads * tokens * seen * size  # scores, and their softmax
    keys = 2 * seen * (shape.key + shape.queries) * size  # joined with the prompt's, then once for every query head
    layer = tokens * max(LIVE * shape.hidden, 2 * shape.hidden + 3 * shape.inner) * size
    logits = READ * max(1, tokens // EXAMPLE) * shape.vocabulary * 2 * FLOAT
    return pairs + max(logits, keys + layer)


@dataclass(frozen=True)
class Shape:
    """A model's measures, whatever its family calls them."""

    layers: int
    hidden: int
    inner: int  # the MLP's width
    heads: int
    queries: int  # all query heads together
    key: int  # all key heads together
    vocabulary: int
    fused: bool  # attention never holds its scores; the paper's own family does, in transformers


def _shape(network: PreTrainedModel) -> Shape:
    """Read from a configuration: transformers knows most of the families' own names."""
    config = network.config
    layers, hidden, heads = config.num_hidden_layers, config.hidden_size, config.num_attention_heads
    head = getattr(config, "head_dim", None) or hidden // heads
    inner = next((n for name in ("intermediate_size", "ffn_dim", "n_inner") if (n := getattr(config, name, None))), 0)
    keys = (getattr(config, "num_key_value_heads", None) or heads) * head
    fused = config._attn_implementation != "eager"
    return Shape(layers, hidden, inner or 4 * hidden, heads, heads * head, keys, config.vocab_size, fused)
