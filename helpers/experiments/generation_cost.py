"""Time and memory of one generated token against the length of the text: softmax with a cache, linear with a state.

8 heads of width 64 in float32, on one thread; seconds are the processor's own, so that waiting for it on a busy machine
does not count. The cache holds all keys and values; its room is reserved beforehand, so that nothing is copied when a
token is added. The state is the matrix of (eq. 1.3), changed in place. Every cell runs in a process of its own, so that
its peak memory is its own, and is repeated: a figure shows the median of the repeats.
"""

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from helpers.experiments.attention_cost import HEADS, WIDTH
from helpers.experiments.study import Study
from helpers.support.memory import peak

LENGTHS = tuple(4**power for power in range(3, 9))
REPEATS = 3
TOKENS, SECONDS = 100, 1.0  # a cell times at least so many tokens, for at least about so long
PIECE = 64  # tokens of the past drawn at a time, so that what is no longer needed takes no memory
Step = Callable[[Tensor, Tensor, Tensor], Tensor]  # q, k, v of the new token → its output


def cells() -> Iterator[dict]:
    for repeat in range(REPEATS):
        for n in LENGTHS:
            yield from ({"way": way, "n": n, "repeat": repeat} for way in WAYS)


def draw(n: int, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Random q, k, v [1 heads n width]."""
    return tuple(torch.randn(1, HEADS, n, WIDTH, generator=rng) for _ in range(3))


def past(n: int, rng: torch.Generator) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """The n − 1 tokens before the new one, in pieces: their places, keys and values."""
    for start in range(0, n - 1, PIECE):
        stop = min(start + PIECE, n - 1)
        _, k, v = draw(stop - start, rng)
        yield slice(start, stop), k, v


def with_cache(n: int, rng: torch.Generator) -> tuple[Step, int]:
    """A step of softmax attention over n tokens, the new one included; and the bytes that are kept for it."""
    keys, values = (torch.zeros(1, HEADS, n, WIDTH) for _ in range(2))
    for places, k, v in past(n, rng):
        keys[:, :, places], values[:, :, places] = k, v

    def step(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        keys[:, :, -1:], values[:, :, -1:] = k, v
        return scaled_dot_product_attention(q, keys, values)

    return step, keys.nbytes + values.nbytes


def with_state(n: int, rng: torch.Generator) -> tuple[Step, int]:
    """A step of linear attention over n tokens, the new one included; and the bytes that are kept for it."""
    state = torch.zeros(1, HEADS, WIDTH, WIDTH)
    for _, k, v in past(n, rng):
        state += v.mT @ k

    def step(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        state.addcmul_(v.mT, k)
        return q @ state.mT

    return step, state.nbytes


WAYS = {"softmax, cache": with_cache, "linear, state": with_state}


def cost(way: str, n: int, repeat: int) -> dict:
    """Seconds of one token (median, quartiles), the bytes kept for it, and the process's peak above its start."""
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(1000 * n + repeat)
    token = draw(1, rng)
    WAYS[way](2 * PIECE, rng)[0](*token)  # libraries are loaded before memory is measured
    before = peak()
    step, kept = WAYS[way](n, rng)
    seconds, start = [], time.process_time()
    while len(seconds) < TOKENS or time.process_time() - start < SECONDS:
        began = time.process_time()
        step(*token)
        seconds.append(time.process_time() - began)
    low, middle, high = (float(f"{time:.3g}") for time in np.percentile(seconds, (25, 50, 75)))
    return {"seconds": middle, "quartiles": [low, high], "kept": kept, "peak": peak() - before}


COVERED = (peak, draw, past, with_cache, with_state)
GENERATION = Study("generation", cells, cost, COVERED, alone=True, about="attention alone")
STUDIES = (GENERATION,)


# --- What the lines say


def lengths(what: str = "seconds") -> dict[str, tuple[np.ndarray, ...]]:
    """By way: tokens, and seconds or bytes a token: the median over the repeats, the lowest and the highest."""
    found = GENERATION.frame().groupby(["way", "n"], sort=False)[what].agg(["median", "min", "max"]).reset_index()
    return {way: tuple(rows[column].to_numpy() for column in ("n", "median", "min", "max"))
            for way, rows in found.groupby("way", sort=False)}  # fmt: skip
