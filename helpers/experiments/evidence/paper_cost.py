"""What it costs to redo the paper: hours and memory on a GPU, by arithmetic alone. Nothing here was measured.

A forward pass costs 2 operations a token and parameter, a training step 6; attention to other tokens is left out. The
device does `utilisation` of its peak in float32, which is an assumption. Every prompt is taken to fill the model's
2,048 tokens, the most that fits: so a demonstration or a query has 2,048 / (shots + 1). It is an upper bound of tokens.
`gpt.load` takes float32 where 16 bytes a parameter are free, else bfloat16: on a T4 ask it for dtype="float32".

    python -m helpers.experiments.evidence.paper_cost
"""

from dataclasses import dataclass
from functools import cache
from math import ceil

import pandas as pd
import torch
from transformers import XGLMConfig, XGLMForCausalLM

from helpers import gpt
from helpers.experiments.evidence.paper import DATA, PART, QUERIES, SEEDS
from helpers.experiments.tables import markdown
from helpers.icl import POSITIONS

CONTEXT, FLOAT = 2048, 4  # tokens; bytes
UTILISATION = 0.3
VALIDATION = dict(zip(DATA, (872, 1101, 1066, 2000, 7600, 56), strict=True))  # examples, as the paper reports
SHAPES = {  # as the models' own config.json have them
    "fairseq-1.3b": {"num_layers": 24, "d_model": 2048, "attention_heads": 32, "ffn_dim": 8192},
    "fairseq-2.7b": {"num_layers": 32, "d_model": 2560, "attention_heads": 32, "ffn_dim": 10240},
}
KEPT = 10  # vectors as wide as the model that a layer keeps for each token: norms, q, k, v, heads, outputs, residuals
PACKED = 16 * gpt.scoring.PACKED_TOKENS  # the longest row of queries side by side


@dataclass(frozen=True)
class Device:
    """A GPU by its data sheet."""

    peak: float  # float32 operations a second
    memory: float  # bytes


DEVICES = {"T4": Device(8.1e12, 16e9), "A100": Device(19.5e12, 40e9)}


@dataclass(frozen=True)
class Estimate:
    """Hours for the six cells that the paper shows and for all; bytes by what they hold."""

    parameters: int
    hours_shown: float
    hours_all: float
    weights: int
    gradients: int  # of keys' and values' projections, and the copy that gives them back
    activations: int
    cache: int  # keys and values of the prompt
    room: float  # the device's

    @property
    def memory(self) -> int:
        return self.weights + self.gradients + self.activations + self.cache

    @property
    def fits(self) -> bool:
        return self.memory < self.room


def estimate(model: str, device: str, utilisation: float = UTILISATION) -> Estimate:
    """Hours and memory of the paper's model on a device, in float32."""
    parameters, trained = sizes(model)
    layers, width = SHAPES[model]["num_layers"], SHAPES[model]["d_model"]
    speed, room = DEVICES[device].peak * utilisation, DEVICES[device].memory
    hours = sum(operations(task, parameters) for task in DATA) / speed / 3600
    weights, prompt = FLOAT * parameters, FLOAT * 2 * layers * width * CONTEXT
    return Estimate(
        parameters,
        hours,
        hours * len(SEEDS),
        weights,
        2 * FLOAT * trained,
        activations(model),
        prompt,
        room,
    )


def operations(task: str, parameters: int) -> float:
    """Of one cell: three ways at two tokens, part by part; every part encodes the prompt and finetunes anew."""
    shots, queries = DATA[task].shots, min(VALIDATION[task], QUERIES)
    example, parts = CONTEXT / (shots + 1), ceil(queries / PART)
    forward = 3 * queries * example + parts * shots * example
    trained = parts * shots * example
    return len(POSITIONS) * parameters * (2 * forward + 6 * trained)


def activations(model: str) -> int:
    """Bytes: the larger of a training step, every layer kept, and a packed row, one layer at a time with its mask."""
    layers, width, inner = (SHAPES[model][name] for name in ("num_layers", "d_model", "ffn_dim"))
    token = KEPT * width + 2 * inner
    longest = max(CONTEXT / (data.shots + 1) for data in DATA.values())
    training = layers * longest * (token + SHAPES[model]["attention_heads"] * longest)
    row = PACKED * (token + CONTEXT + PACKED) + 2 * width * (CONTEXT + PACKED)
    return int(FLOAT * max(training, row))


@cache
def sizes(model: str) -> tuple[int, int]:
    """All parameters, and those that finetuning moves, counted on transformers' own module; no weight is made."""
    with torch.device("meta"):
        network = XGLMForCausalLM(XGLMConfig(vocab_size=50261, max_position_embeddings=CONTEXT, **SHAPES[model]))
    return network.num_parameters(), sum(p.numel() for p in gpt.key_and_value_weights(network).values())


def table(utilisation: float = UTILISATION) -> str:
    """Both models on both devices, as Markdown."""
    rows = []
    for model in SHAPES:
        for device in DEVICES:
            found = estimate(model, device, utilisation)
            parts = (found.weights, found.gradients, found.activations, found.cache, found.memory)
            gigabytes = [f"{size / 1e9:.1f}" for size in parts]
            hours = [f"{found.hours_shown:.1f}", f"{found.hours_all:.1f}"]
            share = f"{found.memory / found.room:.0%}"
            rows.append([model, device, f"{found.parameters / 1e9:.2f}", *hours, *gigabytes, share])
    names = ["weights", "gradients, copy", "activations", "cache", "all GB", "of the device"]
    return markdown(pd.DataFrame(rows, columns=["model", "GPU", "10⁹ parameters", "hours, 6 cells", "42", *names]))


def show(utilisation: float = UTILISATION) -> None:
    """Print the table, and what it rests on."""
    print(table(utilisation))
    print(f"Arithmetic, not measured: float32 at {utilisation:.0%} of the peak, prompts of {CONTEXT:,} tokens.")


if __name__ == "__main__":
    show()
