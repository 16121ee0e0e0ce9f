"""Numbers as a page should show them: the same on every machine."""

import math

import numpy as np
import torch
from torch import Tensor

FINEST = {torch.float64: -12, torch.float32: -4}  # powers of ten; below, machines differ


def rounding(difference: Tensor) -> str:
    """The largest absolute difference, as the power of ten it stays below: "< 1e-12"; "nan" where there is one."""
    if not difference.numel():
        raise ValueError(f"rounding: there are no numbers in a tensor of shape {list(difference.shape)}.")
    largest, finest = difference.abs().max().item(), FINEST.get(difference.dtype, -2)
    if not math.isfinite(largest):
        return str(largest)
    return f"< 1e{next((power for power in range(finest, 4) if largest < 10**power), 99)}"


def seconds(time: float) -> str:
    """A time in three digits, in the unit that suits it."""
    for unit, scale in (("s", 1), ("ms", 1e-3)):
        if time >= scale:
            return f"{time / scale:.3g} {unit}"
    return f"{time / 1e-6:.3g} µs"


def exponent(x: np.ndarray, y: np.ndarray) -> float:
    """The power of x that y grows as: slope of log y against log x over the upper half, where constants have faded."""
    half = len(x) // 2
    return float(np.polyfit(np.log(x[half:]), np.log(y[half:]), 1)[0])
