"""What momentum costs: attention with it beside torch's own, and a training step of the small model beside plain.

Attention: 8 heads of width 64 in float32, one η for all, and one learned a head, forward and with backward. The ways
take turns within one process, so that each ratio compares neighbours in time; each peak of memory is a process's own.
"Memory" counts the queries, keys and values that are there anyway (and with backward the gradient that comes in), and
what the call adds to them at its peak. The step: the model and batch of the language study, optimiser included.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from helpers import attention, lm
from helpers.experiments import momentum
from helpers.experiments.attention_cost import HEADS, WIDTH
from helpers.experiments.study import Study
from helpers.experiments.tables import markdown, minus
from helpers.support import formats
from helpers.support.memory import peak

LENGTHS = tuple(2**power for power in range(9, 15))
ETAS = torch.linspace(0.5, 0.95, HEADS)
WAYS: dict[str, Callable] = {
    "softmax (torch)": lambda q, k, v, eta: scaled_dot_product_attention(q, k, v, is_causal=True),
    "momentum, one η": lambda q, k, v, eta: attention.momentum_attention(q, k, v, 0.9),
    "momentum, η a head": attention.momentum_attention,
}
STEPS = ("plain", "η = 0.9", "η learned", "recency", "convolution", "linear", "momentum-linear")
SECONDS, ROUNDS = 8.0, 5  # a length is timed for about so long, and at least so often


def cells() -> Iterator[dict]:
    for backward in (False, True):
        yield from ({"what": "attention", "n": n, "backward": backward} for n in LENGTHS)
    yield {"what": "training step"}


def cost(what: str, n: int = 0, backward: bool = True) -> dict:
    """Of every way: median seconds, ratio to the first way (median and quartiles over rounds), and bytes."""
    if what == "attention":
        inputs = draw(n, backward)
        times = turns({way: call(way, inputs, backward) for way in WAYS}, SECONDS)
        return {way: found | alone(held, way, n, backward) for way, found in compared(times).items()}
    times = turns({variant: training_step(variant) for variant in STEPS}, 10 * SECONDS)
    return {variant: found | alone(step_held, variant) for variant, found in compared(times).items()}


def call(way: str, tensors: list[Tensor], backward: bool) -> Callable[[], None]:
    """One call of a way, to be timed."""
    *inputs, g = tensors
    learns = backward and way == "momentum, η a head"
    eta = ETAS.clone().requires_grad_(learns)

    def once() -> None:
        with torch.set_grad_enabled(backward):
            out = WAYS[way](*inputs, eta)
        if backward:
            torch.autograd.grad(out, (*inputs, eta) if learns else inputs, g)

    return once


def draw(n: int, backward: bool) -> list[Tensor]:
    rng = torch.Generator().manual_seed(n)
    q, k, v, g = (torch.randn(1, HEADS, n, WIDTH, generator=rng) for _ in range(4))
    return [*(x.requires_grad_(backward) for x in (q, k, v)), g]


def turns(calls: dict[str, Callable[[], None]], seconds: float) -> dict[str, list[float]]:
    """Seconds of every call, the calls taking turns."""
    for once in calls.values():
        once()
    found, start = {name: [] for name in calls}, time.perf_counter()
    while time.perf_counter() - start < seconds or len(next(iter(found.values()))) < ROUNDS:
        for name, once in calls.items():
            before = time.perf_counter()
            once()
            found[name].append(time.perf_counter() - before)
    return found


def compared(found: dict[str, list[float]]) -> dict[str, dict]:
    """Median seconds, and the median over rounds of the ratio to the first way, with its quartiles."""
    base = np.array(next(iter(found.values())))
    return {
        name: {
            "seconds": float(f"{np.median(times):.3g}"),
            "ratio": np.percentile(times / base, (50, 25, 75)).round(4).tolist(),
        }
        for name, times in ((name, np.array(times)) for name, times in found.items())
    }


def held(way: str, n: int, backward: bool) -> dict:
    """Bytes of a call's inputs and what it adds at its peak; to be run in a process of its own."""
    tensors = draw(n, backward)
    call(way, [x[:, :, :64] for x in tensors], backward)()  # libraries are loaded before memory is measured
    before = peak()
    call(way, tensors, backward)()
    inputs = sum(x.numel() * x.element_size() for x in (tensors if backward else tensors[:3]))
    return {"inputs": inputs, "added": peak() - before}


def training_step(variant: str) -> Callable[[], None]:
    """Training steps of the language study's model, one a call."""
    model = momentum.build(momentum.SHAPE, variant, 0)
    tokens = torch.randint(momentum.SHAPE.vocabulary, (100_000,), generator=torch.Generator().manual_seed(0))
    steps = lm.training_steps(model, tokens, lm.TrainingConfig(steps=10**9, batch=momentum.RECIPE.batch))
    return lambda: next(steps)


def step_held(variant: str) -> dict:
    """Bytes that three training steps add; to be run in a process of its own."""
    once, before = training_step(variant), peak()
    for _ in range(3):
        once()
    return {"added": peak() - before}


def alone(measure: Callable[..., dict], *arguments: object) -> dict:
    """A measurement in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as one:
        return one.submit(measure, *arguments).result()


COST = Study("momentum", cells, cost, ("attention", "lm", call, draw, training_step), about="attention alone")
STUDIES = (COST,)


# --- What the lines say


def memory(found: dict) -> int:
    return found.get("inputs", 0) + found["added"]


def momentum_table() -> str:
    """The README's table: time and memory over torch's softmax attention, by length."""
    rows, base = [], next(iter(WAYS))
    for backward, name in ((False, "forward"), (True, "with backward")):
        found = {row["cell"]["n"]: row["result"] for row in COST.rows(backward=backward)}
        rows.append([f"{base}, {name}", *(formats.seconds(ways[base]["seconds"]) for ways in found.values())])
        for way in [way for way in WAYS if way != base]:
            over = [minus(f"{ways[way]['ratio'][0] - 1:+.1%}") for ways in found.values()]
            more = [f"× {memory(ways[way]) / memory(ways[base]):.2f}" for ways in found.values()]
            rows += [[f"{way}, {name}: time", *over], [f"{way}, {name}: memory", *more]]
    return markdown(pd.DataFrame(rows, columns=["way", *(f"{n:,}" for n in LENGTHS)]))


def steps_table() -> str:
    """A training step of the small model, over plain attention."""
    (row,), rows = COST.rows(what="training step"), []
    for variant, found in row["result"].items():
        over = minus(f"{found['ratio'][0] - 1:+.1%}")
        more = f"× {found['added'] / row['result']['plain']['added']:.2f}"
        rows.append([variant, formats.seconds(found["seconds"]), over, more])
    return markdown(pd.DataFrame(rows, columns=["a training step", "time", "over plain", "memory over plain"]))
