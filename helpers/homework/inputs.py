"""Inputs that expose a wrong function: which ones may be handed in, and what counts as a difference.

Torch and the standard library only, and no solution: a copy of this file lies in every student's bundle. What the
student's notebook says of some inputs and what they earn is therefore decided by the same lines.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

MOST_NUMBERS, LARGEST = 2_000, 1e6
DIFFERENT = 1e-6  # relative to the largest number of the right answer
ROUNDING = 1e-12  # a change of the inputs that means nothing
NOISY = 10.0  # how much more than the effect of that is a difference
SIGNATURES = {  # a name with the letters of its dimensions is a tensor, one without a number
    "softmax_attention": "q n d, k n d, v n m",
    "linear_attention": "q n d, k n d, v n m",
    "recurrent_linear_attention": "q n d, k n d, v n m",
    "chunked_linear_attention": "q n d, k n d, v n m, chunk",
    "normalized_linear_attention": "q n d, k n d, v n m",
    "weight_update": "errors n m, inputs n d",
    "gradient_step": "w m d, inputs n d, targets n m, lr",
    "dual_forward": "w0 m d, errors n m, inputs n d, x d",
    "unrolled_training": "w0 m d, inputs n d, targets n m, lr, steps",
    "contributions": "errors n m, inputs n d, x d",
    "meta_gradient": "w_v m e, w_k d e, demos n e",
    "icl_decomposition": "w_v m e, w_k d e, demos n' e, context n e, query d",
    "softmax_decomposition": "q d, k n d, v n m, demos",
    "delta_rule": "q n d, k n d, v n m, lr",
    "gd_as_attention": "w0 m d, lr",
    "best_step_size": "inputs b n d, targets b n, x b d, y b",
    "rank_one_patch": "w m d, before d, after d",
    "momentum_gradients": "gradients n d, eta",
    "momentum_attention": "q n d, k n d, v n m, eta",
    "momentum_scan": "v n m, eta",
    "heavy_ball_layers": "inputs n d, targets n, x d, lr, beta, layers",
}
WHOLE = {"chunk": 2_000, "demos": 2_000, "steps": 100, "layers": 100}  # whole numbers from 1 on, and the largest
BELOW_ONE = ("eta", "beta")  # from 0 on; other numbers from 0 to LARGEST


@dataclass(frozen=True)
class Exposed:
    """Whether inputs expose a wrong function, and what to say of it."""

    ok: bool
    message: str


class Refused(ValueError):
    """These inputs may not be handed in, or the right function has no answer to them; the reason is the message."""


def described(exercise: str) -> str:
    """The inputs in their order: tensors with their shapes, numbers with what they may be."""
    about = ((name, f"[{' '.join(dims)}]" if dims else f"({_span(name)})") for name, *dims in _asked(exercise))
    return ", ".join(map(" ".join, about))


def exposed(
    exercise: str, wrong: Callable, right: Callable, inputs: object, whose: str = "the right function"
) -> Exposed:
    """Whether the two differ on these inputs, by more than rounding; never raises for what the inputs are."""
    try:
        given = judged(exercise, inputs)
        answer, noise = _right(exercise, right, given, whose)
    except Refused as refused:
        return Exposed(False, str(refused))
    try:
        other = parts(exercise, given, _run(wrong, given))
    except Exception as error:
        return Exposed(True, f"Exposed: it fails here ({type(error).__name__}: {error}), {whose} has an answer.")
    return _compared(answer, other, noise, whose)


def judged(exercise: str, inputs: object) -> tuple[Tensor | float | int, ...]:
    """The inputs as the exercise takes them; raises Refused with the reason why they may not be handed in."""
    asked = _asked(exercise)
    names = ", ".join(name for name, *_ in asked)
    if not isinstance(inputs, tuple | list) or len(inputs) != len(asked):
        raise Refused(f"Return the {len(asked)} inputs in one tuple: ({names}).")
    sizes: dict[str, int] = {}
    pairs = list(zip(asked, inputs, strict=True))
    found = tuple(_tensor(name, value, dims, sizes) if dims else _number(name, value) for (name, *dims), value in pairs)
    if (count := sum(part.numel() for part in found if isinstance(part, Tensor))) > MOST_NUMBERS:
        raise Refused(f"These inputs are {count:,} numbers; {MOST_NUMBERS:,} are enough.")
    return found


def parts(exercise: str, given: tuple, result: object) -> list[Tensor]:
    """A result as a list of tensors; a layer by what it makes of some queries, whatever its entries."""
    if exercise == "gd_as_attention":
        result = _predicted(given[0], result)
    results = result if isinstance(result, tuple | list) else (result,)
    return [torch.as_tensor(part, dtype=torch.float64).detach() for part in results]


def _asked(exercise: str) -> list[list[str]]:
    return [part.split() for part in SIGNATURES[exercise].split(", ")]


def _span(name: str) -> str:
    """What a number may be."""
    if name in WHOLE:
        return f"a whole number from 1 to {WHOLE[name]:,}"
    return "from 0 to less than 1" if name in BELOW_ONE else f"from 0 to {LARGEST:,.0f}"


def _tensor(name: str, value: object, dims: list[str], sizes: dict[str, int]) -> Tensor:
    """A tensor of this shape in float64; `sizes` says what each letter is, and learns it."""
    kinds = torch.float64, torch.float32, torch.int64
    if type(value) is not Tensor or value.dtype not in kinds or value.layout != torch.strided:
        raise Refused(f"`{name}` must be a plain tensor of float64 numbers.")
    if value.dim() != len(dims) or 0 in value.shape:
        raise Refused(f"`{name}` must have shape [{' '.join(dims)}], none of them 0; this is {list(value.shape)}.")
    for letter, size in zip(dims, value.shape, strict=True):
        if sizes.setdefault(letter, size) != size:
            raise Refused(f"`{name}` [{' '.join(dims)}]: {letter} is {sizes[letter]} elsewhere and {size} here.")
    if value.numel() > MOST_NUMBERS:
        raise Refused(f"`{name}` has {value.numel():,} numbers; {MOST_NUMBERS:,} in all are enough.")
    numbers = value.detach().cpu().to(torch.float64)
    if not numbers.isfinite().all() or numbers.abs().max() > LARGEST:
        raise Refused(f"The numbers in `{name}` must lie between −{LARGEST:,.0f} and {LARGEST:,.0f}.")
    return numbers


def _number(name: str, value: object) -> float | int:
    if type(value) is Tensor and value.dim() == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int if name in WHOLE else int | float):
        raise Refused(f"`{name}` must be a {'whole number, as in 2' if name in WHOLE else 'number'}.")
    if name in WHOLE and not 1 <= value <= WHOLE[name]:
        raise Refused(f"`{name}` must be between 1 and {WHOLE[name]:,}.")
    if name in BELOW_ONE and not 0 <= value < 1:
        raise Refused(f"`{name}` must be at least 0 and less than 1.")
    if not 0 <= value <= LARGEST and name not in WHOLE:
        raise Refused(f"`{name}` must be between 0 and {LARGEST:,.0f}.")
    return value


def _run(function: Callable, given: tuple) -> object:
    return function(*copy.deepcopy(given))


def _right(exercise: str, right: Callable, given: tuple, whose: str) -> tuple[list[Tensor], list[float]]:
    """The right answer, and how far each part of it moves when the inputs do so by rounding."""
    try:
        answer = parts(exercise, given, _run(right, given))
        noise = _noise(exercise, right, given, answer)
    except Exception as error:
        raise Refused(f"{whose.capitalize()} has no answer here: {error}") from None
    if not all(part.isfinite().all() for part in answer):
        raise Refused(f"The answer of {whose} is itself no number here (inf or nan).")
    return answer, noise


def _noise(exercise: str, right: Callable, given: tuple, answer: list[Tensor]) -> list[float]:
    rng, moved = torch.Generator().manual_seed(0), [0.0] * len(answer)
    for _ in range(3):
        nearby = tuple(_nudged(part, rng) if isinstance(part, Tensor) else part for part in given)
        other = parts(exercise, nearby, _run(right, nearby))
        moved = [max(far, (a - b).abs().max().item()) for far, a, b in zip(moved, other, answer, strict=True)]
    return moved


def _nudged(numbers: Tensor, rng: torch.Generator) -> Tensor:
    return numbers * (1 + ROUNDING * (2 * torch.rand(numbers.shape, generator=rng, dtype=numbers.dtype) - 1))


def _predicted(w0: Tensor, layer: dict[str, Tensor]) -> Tensor:
    """Minus the y part of four random queries after a layer of linear attention over five random demonstrations."""
    (m, d), rng = w0.shape, torch.Generator().manual_seed(0)
    demos = torch.randn(5, d + m, generator=rng, dtype=w0.dtype)
    x = torch.randn(4, d, generator=rng, dtype=w0.dtype)
    tokens = torch.cat([x, -x @ w0.T], 1)
    read, keys, values = (part @ layer[name].T for part, name in ((tokens, "w_q"), (demos, "w_k"), (demos, "w_v")))
    return -(tokens + read @ keys.T @ values @ layer["p"].T)[:, d:]


def _compared(right: list[Tensor], wrong: list[Tensor], noise: list[float], whose: str) -> Exposed:
    if [part.shape for part in right] != [part.shape for part in wrong]:
        return Exposed(True, f"Exposed: its answer has another shape than that of {whose}.")
    for a, b, moved in zip(right, wrong, noise, strict=True):
        apart = (a - b).abs().nan_to_num(nan=math.inf)
        if apart.max() > max(DIFFERENT * a.abs().max().item(), NOISY * moved):
            place = (apart == apart.max()).nonzero()[0].tolist()
            gives, asked = (f"{part[tuple(place)].item():.6g}" for part in (b, a))
            where = f" at {place}" if place else ""
            return Exposed(True, f"Exposed: it gives {gives}{where}, {whose} {asked}.")
    return Exposed(False, "Both say the same on these inputs.")
