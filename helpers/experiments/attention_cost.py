"""Time and memory of causal attention against its length: softmax (torch's own), linear as product, recurrence, chunks.

8 heads of width 64 in float32, forward, and forward with backward. Every way at every length runs in a process of its
own, so that its peak memory, above what was there before the first call, is its own.
"""

import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import elu, scaled_dot_product_attention

from helpers import attention
from helpers.experiments.study import Study
from helpers.experiments.tables import markdown
from helpers.support import CourseError, formats
from helpers.support.memory import peak

HEADS, WIDTH = 8, 64
LENGTHS = tuple(2**power for power in range(7, 15))
WAYS: dict[str, Callable] = {
    "softmax (torch)": lambda q, k, v: scaled_dot_product_attention(q, k, v, is_causal=True),
    "linear, parallel": attention.linear_attention,
    "linear, recurrent": lambda q, k, v: attention.recurrent_linear_attention(q, k, v)[0],
    "linear, chunked": attention.chunked_linear_attention,
    "normalised, chunked": attention.normalized_linear_attention,
}
ROOM = 6e9  # bytes; what would take more is left out
SECONDS = 1.0  # a length is timed for about as long


def needs(way: str, n: int, backward: bool) -> float:
    """Bytes that the tables or states of one call take, about."""
    table, states = 4 * HEADS * n**2, 4 * HEADS * n * WIDTH**2
    most = {"linear, parallel": (4 if backward else 2) * table, "linear, recurrent": 3 * states * backward}
    return float(most.get(way, 0))


def cells() -> Iterator[dict]:
    for backward in (False, True):
        for way in WAYS:
            for n in LENGTHS:
                if needs(way, n, backward) < ROOM:
                    yield {"way": way, "n": n, "backward": backward}


def cost(way: str, n: int, backward: bool) -> dict:
    """Median seconds of one call and the bytes it needs on top."""
    rng = torch.Generator().manual_seed(n)
    q, k, v = (torch.randn(1, HEADS, n, WIDTH, generator=rng).requires_grad_(backward) for _ in range(3))
    g = torch.randn(1, HEADS, n, WIDTH, generator=rng)

    def once() -> float:
        start = time.perf_counter()
        out = WAYS[way](q, k, v)
        if backward:
            torch.autograd.grad(out, (q, k, v), g)
        return time.perf_counter() - start

    small = [x[:, :, :16] for x in (q, k, v)]
    WAYS[way](*small)  # libraries are loaded before memory is measured
    before = peak()
    once()
    after = peak()
    torch.ones(7 * 2**20).sum()  # 28 MB come and go, as in any process at work: from now on glibc keeps what is freed
    seconds = [once()]
    while sum(seconds) < SECONDS or len(seconds) < 4:
        seconds.append(once())
    return {"seconds": float(f"{np.median(seconds[1:]):.3g}"), "bytes": after - before}


def beside_public(way: str) -> dict:
    """Values and time beside performer-pytorch's causal linear attention, which runs on a CPU."""
    try:
        from performer_pytorch.performer_pytorch import causal_linear_attention_noncuda as theirs
    except ImportError as error:
        raise CourseError(f"{way} is not installed here.\nTo compare with it: pip install {way}==1.1.4") from error
    q, k, v = (torch.randn(1, HEADS, 2048, WIDTH) for _ in range(3))
    seconds = {"theirs": [], "ours": []}
    for _ in range(5):
        for name in seconds:
            start = time.perf_counter()
            theirs(elu(q) + 1, elu(k) + 1, v) if name == "theirs" else attention.normalized_linear_attention(q, k, v)
            seconds[name].append(time.perf_counter() - start)
    q, k, v = (x[:, :, :512].double() for x in (q, k, v))
    apart = theirs(elu(q) + 1, elu(k) + 1, v, eps=0) - attention.normalized_linear_attention(q, k, v)
    medians = {name: float(f"{np.median(times):.3g}") for name, times in seconds.items()}
    return {"largest_difference": float(f"{apart.abs().max():.1e}")} | medians


ATTENTION = Study("attention", cells, cost, ("attention", peak), alone=True, about="attention alone")
PUBLIC = Study("public", lambda: [{"way": "performer-pytorch"}], beside_public, ("attention",), about="attention alone")
STUDIES = (ATTENTION, PUBLIC)


# --- What the lines say


def lengths(backward: bool = False, what: str = "seconds") -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The recorded cost of every form of attention: numbers of tokens, and seconds or bytes of one call."""
    found = ATTENTION.frame(backward=backward).groupby("way", sort=False)
    return {way: (rows.n.to_numpy(), rows[what].to_numpy()) for way, rows in found}


def attention_table() -> str:
    """The README's table: seconds forward and backward, memory, and exponents over the upper half of the lengths."""
    rows = []
    for way in WAYS:
        row = {"way": way}
        for backward, name in ((False, "forward"), (True, "with backward")):
            found = dict(zip(*lengths(backward)[way], strict=True))
            row |= {f"{n:,} {name}": formats.seconds(found[n]) if n in found else "–" for n in (512, 2048, 8192)}
        memory = dict(zip(*lengths(what="bytes")[way], strict=True)).get(8192)
        row["MB at 8,192"] = f"{memory / 1e6:,.0f}" if memory is not None else "–"
        rows.append(row | {"grows as": f"n^{formats.exponent(*lengths()[way]):.2f}"})
    return markdown(pd.DataFrame(rows))
