"""What momentum costs: attention with it beside torch's own, and a training step of the small model beside plain.

    python -m helpers bench momentum

Attention: 8 heads of width 64 in float32, one η for all, and one learned a head, forward and with backward. The ways
take turns within one process, so that each ratio compares neighbours in time; each peak of memory is a process's own.
"Memory" counts the queries, keys and values that are there anyway (and with backward the gradient that comes in), and
what the call adds to them at its peak. The step: the model and batch of the language experiment, optimiser included.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from attention import HEADS, WIDTH, origin, peak
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from helpers import attention, lm
from helpers.experiments import momentum, results
from helpers.support import ROOT, formats

LENGTHS = tuple(2**power for power in range(9, 15))
ETAS = torch.linspace(0.5, 0.95, HEADS)
WAYS: dict[str, Callable] = {
    "softmax (torch)": lambda q, k, v, eta: scaled_dot_product_attention(q, k, v, is_causal=True),
    "momentum, one η": lambda q, k, v, eta: attention.momentum_attention(q, k, v, 0.9),
    "momentum, η a head": attention.momentum_attention,
}
STEPS = ("plain", "η = 0.9", "η learned", "recency", "convolution", "linear", "momentum-linear")
SECONDS, ROUNDS = 8.0, 5  # a length is timed for about so long, and at least so often


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


def turns(calls: dict[str, Callable[[], None]], seconds: float = SECONDS) -> dict[str, list[float]]:
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


def stepper(variant: str) -> Callable[[], None]:
    """Training steps of the language experiment's model, one a call."""
    model = momentum.build(momentum.SHAPE, variant, 0)
    tokens = torch.randint(momentum.SHAPE.vocabulary, (100_000,), generator=torch.Generator().manual_seed(0))
    steps = lm.training_steps(model, tokens, lm.TrainingConfig(steps=10**9, batch=momentum.RECIPE.batch))
    return lambda: next(steps)


def step_held(variant: str) -> dict:
    """Bytes that three training steps add; to be run in a process of its own."""
    once, before = stepper(variant), peak()
    for _ in range(3):
        once()
    return {"added": peak() - before}


def alone(*arguments: object) -> dict:
    """A measurement in a process of its own."""
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure everything and write data/results/momentum.jsonl."""
    about, rows = origin() | {"command": "python -m helpers bench momentum"}, []
    for backward in (False, True):
        for n in LENGTHS:
            tensors = draw(n, backward)
            times = compared(turns({way: call(way, tensors, backward) for way in WAYS}))
            for way, found in times.items():
                rows.append({"way": way, "n": n, "backward": backward} | found | alone("held", way, n, int(backward)))
                print(rows[-1], flush=True)
    times = compared(turns({variant: stepper(variant) for variant in STEPS}, 10 * SECONDS))
    for variant, found in times.items():
        rows.append({"step": variant} | found | alone("step", variant))
        print(rows[-1], flush=True)
    lines = [json.dumps(row | {"from": about}, ensure_ascii=False) for row in rows]
    (results.FOLDER / "momentum.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(table(), steps_table(), sep="\n\n")


def memory(row: dict) -> int:
    return row.get("inputs", 0) + row["added"]


def table() -> str:
    """The README's table: time and memory over torch's softmax attention, by length."""
    rows = [row for row in results.read("momentum") if "n" in row]
    base = {(row["n"], row["backward"]): row for row in rows if row["way"] == next(iter(WAYS))}
    lines = ["| way | " + " | ".join(f"{n:,}" for n in LENGTHS) + " |", "|---" * (len(LENGTHS) + 1) + "|"]
    for backward in (False, True):
        name = "with backward" if backward else "forward"
        seconds = [formats.seconds(base[n, backward]["seconds"]) for n in LENGTHS]
        lines.append(f"| softmax (torch), {name} | {' | '.join(seconds)} |")
        for way in list(WAYS)[1:]:
            found = {row["n"]: row for row in rows if (row["way"], row["backward"]) == (way, backward)}
            over = [f"{found[n]['ratio'][0] - 1:+.1%}".replace("-", "−") for n in LENGTHS]
            more = [f"× {memory(found[n]) / memory(base[n, backward]):.2f}" for n in LENGTHS]
            lines.append(f"| {way}, {name}: time | {' | '.join(over)} |")
            lines.append(f"| {way}, {name}: memory | {' | '.join(more)} |")
    return "\n".join(lines)


def steps_table() -> str:
    """A training step of the small model, over plain attention."""
    rows = [row for row in results.read("momentum") if "step" in row]
    lines = ["| a training step | time | over plain | memory over plain |", "|---" * 4 + "|"]
    for row in rows:
        over = f"{row['ratio'][0] - 1:+.1%}".replace("-", "−")
        more = f"× {row['added'] / rows[0]['added']:.2f}"
        lines.append(f"| {row['step']} | {formats.seconds(row['seconds'])} | {over} | {more} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["held"]:
        print(json.dumps(held(sys.argv[2], int(sys.argv[3]), sys.argv[4] == "1")))
    elif sys.argv[1:2] == ["step"]:
        print(json.dumps(step_held(sys.argv[2])))
    else:
        main()
