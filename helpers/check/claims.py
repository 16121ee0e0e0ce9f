"""Claims about what an attempt returned: plain values in, one sentence out where a claim is broken."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from helpers.check.run import Unknown

EXACT, ALIKE = 1e-10, 1e-6  # relative; a known mistake may be computed another way than the attempt computes it
Mistakes = Mapping[str, Callable[[], object]]  # what it means: the value it leads to, computed only when needed


@dataclass(frozen=True)
class Claim:
    """What ought to hold; `broken` says what does instead, and is empty where it holds."""

    says: str
    broken: str = ""
    mistake: str = ""  # the known mistake that leads to exactly this value
    expected: object = None
    mistakes: Mistakes = field(default_factory=dict)
    counts: bool = False  # earns part of the points in homework: a claim about values, not about forms


def is_tensor(
    out: object, *shape: int, name: str = "the result", shapes: Mapping[tuple[int, ...], str] | None = None
) -> Claim:
    """A float64 tensor of this shape, without nan; `shapes` names the known mistake that leads to another shape."""
    says = f"{name} is a float64 tensor of shape {list(shape)}"
    got = tuple(getattr(out, "shape", shape))
    mistake = "" if got == shape else (shapes or {}).get(got, "")
    return Claim(says, _kind(out, name) or _form(out, shape, name), mistake)


def is_number(out: object, name: str = "the result") -> Claim:
    """A Python float, a numpy scalar or a tensor without dimensions; not nan."""
    says = f"{name} is one number"
    if out is None:
        return Claim(says, _kind(out, name))
    if isinstance(out, bool) or not isinstance(out, int | float | np.number | np.ndarray | Tensor):
        return Claim(says, f"{name.capitalize()} must be a number; this is of type {_type(out)}.")
    if getattr(out, "shape", ()) != ():
        return Claim(says, f"{name.capitalize()} has shape {list(out.shape)}; one number is asked for.")
    return Claim(says, "" if math.isfinite(out) else f"{name.capitalize()} is {float(out)}: is it divided by zero?")


def is_dict(out: object, *names: str) -> Claim:
    """A dict with (at least) these names."""
    says = f"the result is a dict of {', '.join(names)}"
    if not isinstance(out, dict):
        return Claim(says, f"A dict of {', '.join(names)} is asked for; this is of type {_type(out)}.")
    missing = [name for name in names if name not in out]
    return Claim(says, f"The dict has no {', no '.join(map(repr, missing))}." if missing else "")


def is_pair(out: object, first: str, second: str) -> Claim:
    """A tuple of two."""
    says = f"the result is a pair: ({first}, {second})"
    if isinstance(out, tuple) and len(out) == 2:
        return Claim(says)
    got = f"{len(out)} things" if isinstance(out, tuple) else "one tensor" if isinstance(out, Tensor) else "none"
    return Claim(says, f"Two results are asked for, `return {first}, {second}`; this returns {got}.")


def _kind(out: object, name: str) -> str:
    if out is None:
        return f"{name.capitalize()} is None: is the `return` missing?"
    if isinstance(out, np.ndarray | np.generic):
        return f"{name.capitalize()} is a numpy array: stay in torch (`torch.as_tensor`)."
    if isinstance(out, tuple):
        return (
            f"{name.capitalize()} is {len(out)} things: return one tensor (`torch.stack` and `torch.cat` join a list)."
        )
    return "" if isinstance(out, Tensor) else f"{name.capitalize()} must be a tensor; this is of type {_type(out)}."


def _type(out: object) -> str:
    return out.kind if isinstance(out, Unknown) else type(out).__name__


def _form(out: Tensor, shape: tuple[int, ...], name: str) -> str:
    if tuple(out.shape) != shape:
        return f"{name.capitalize()} has shape {list(out.shape)}; it must be {list(shape)}."
    if out.dtype != torch.float64:
        return f"{name.capitalize()} is {out.dtype} for float64 inputs: make new tensors with the input's dtype."
    if not out.isfinite().all():
        place = (~out.isfinite()).nonzero()[0].tolist()
        why = "something is divided by zero or overflows, or a row of the mask sees nothing"
        return f"{name.capitalize()} has {out[tuple(place)].item()} at {place}: {why}."
    return ""


def equals(out: Tensor, expected: Tensor, says: str, mistakes: Mistakes | None = None) -> Claim:
    """Equal to 1e-10 relative; where not, the known mistake that explains it is named."""
    mistakes = mistakes or {}
    if close(out, expected, EXACT):
        return Claim(says, expected=expected, mistakes=mistakes, counts=True)
    broken = _difference(out, expected)
    mistake = next((meaning for meaning, wrong in mistakes.items() if close(out, wrong(), ALIKE)), "")
    return Claim(says, broken, mistake, expected, mistakes, counts=True)


def close(a: Tensor, b: Tensor, relative: float) -> bool:
    """Equal, relative to the largest number; what isn't finite is equal to nothing."""
    if a.shape != b.shape or not b.isfinite().all():
        return False
    return torch.allclose(a, b, rtol=relative, atol=relative * b.abs().max().item())


def _difference(out: Tensor, expected: Tensor) -> str:
    apart = (out - expected).abs()
    wrong = apart > EXACT * expected.abs().max()
    if close(out, expected, 1e-4):
        return (
            f"Nearly: off by {apart.max():.0e}, where rounding makes 1e-15. Stay in float64, and add no small numbers."
        )
    place = wrong.nonzero()[0].tolist()
    got, asked = (x[tuple(place)].item() for x in (out, expected))
    if not place:
        return f"It gives {got:.4g} where {asked:.4g} is expected."
    count = f"{int(wrong.sum())} of {wrong.numel()} numbers differ"
    return f"At {place} it gives {got:.4f} where {asked:.4f} is expected; {count}."


def holds(truth: bool, says: str, broken: str) -> Claim:
    """Any other fact about plain values."""
    return Claim(says, "" if truth else broken)
