"""Bug hunts: subtly wrong functions, a bank a notebook, and whether given inputs expose one.

Each agrees with the right function on plain random inputs and passes the course's own check: one has to read it.
"""

import copy
import functools
import importlib
import math
import pkgutil
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers import regression
from helpers.check import EXERCISES

MOST_NUMBERS, LARGEST = 2_000, 1_000.0
DIFFERENT = 1e-6  # relative to the largest number of the right answer
ROUNDING, NOISY = (
    1e-12,
    10.0,
)  # a change of the inputs that means nothing; how much more than its effect is a difference
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
    "gd_as_attention": "w0 m d, lr",
    "best_step_size": "inputs b n d, targets b n, x b d, y b",
    "rank_one_patch": "w m d, before d, after d",
    "momentum_gradients": "gradients n d, eta",
    "momentum_attention": "q n d, k n d, v n m, eta",
    "momentum_scan": "v n m, eta",
    "heavy_ball_layers": "inputs n d, targets n, x d, lr, beta, layers",
}
WHOLE = {"chunk": 2_000, "steps": 100, "layers": 100}  # whole numbers from 1 on, and the largest
BELOW_ONE = ("eta", "beta")  # from 0 on; other numbers from 0 to LARGEST


@dataclass(frozen=True)
class Bug:
    """A wrong function as the student reads it."""

    name: str
    exercise: str
    source: str
    why: str  # what is wrong with it: the sample answer


@dataclass(frozen=True)
class Exposed:
    """Whether inputs expose a bug, and what to say of it."""

    ok: bool
    message: str


def bug(name: str, why: str, source: str) -> Bug:
    """A bug of the exercise whose name its function has."""
    source = textwrap.dedent(source).lstrip()
    return Bug(name, re.match(r"def (\w+)", source)[1], source, why)


class _Refused(ValueError):
    """These inputs are none of the exercise's."""


def bank(assignment: str) -> dict[str, Bug]:
    """The wrong functions of a notebook, by name; empty where it has none."""
    name = f"notebook_{assignment}"
    if name not in (module.name for module in pkgutil.iter_modules(__path__)):
        return {}
    return {bug.name: bug for bug in importlib.import_module(f"{__name__}.{name}").BUGS}


def exposes(bug: Bug, inputs: object) -> Exposed:
    """Whether wrong and right differ on these inputs, by more than rounding; never raises for what they are."""
    try:
        given = _judged(bug.exercise, inputs)
        right = _parts(bug.exercise, given, _right(bug.exercise, given))
        if not all(part.isfinite().all() for part in right):
            raise _Refused("On these inputs the right answer itself is no number any more (inf or nan).")
    except _Refused as refused:
        return Exposed(False, str(refused))
    try:
        wrong = _parts(bug.exercise, given, _run(function(bug), given))
    except Exception as error:
        kind = type(error).__name__
        return Exposed(True, f"Exposed: the function fails here ({kind}), where the right one has an answer.")
    return _compared(right, wrong, _noise(bug.exercise, given, right))


@functools.cache
def function(bug: Bug) -> Callable:
    """The wrong function itself."""
    names = {"torch": torch}
    exec(compile(bug.source, f"<{bug.name}>", "exec"), names)
    return names[bug.exercise]


def _run(function: Callable, given: tuple) -> object:
    return function(*copy.deepcopy(given))


def _right(exercise: str, given: tuple) -> object:
    try:
        return _run(EXERCISES[exercise].course, given)
    except Exception as error:
        raise _Refused(f"The right function refuses these inputs: {error}") from None


def _parts(exercise: str, given: tuple, result: object) -> list[Tensor]:
    """A result as a list of tensors; a layer by what it makes of some queries, whatever its entries."""
    if exercise == "gd_as_attention":
        result = _predicted(given[0], result)
    results = result if isinstance(result, tuple | list) else (result,)
    return [torch.as_tensor(part, dtype=torch.float64).detach() for part in results]


def _predicted(w0: Tensor, layer: dict[str, Tensor]) -> Tensor:
    """Minus the y part of four random queries after five random demonstrations."""
    (m, d), rng = w0.shape, torch.Generator().manual_seed(0)
    demos = torch.randn(5, d + m, generator=rng, dtype=w0.dtype)
    x = torch.randn(4, d, generator=rng, dtype=w0.dtype)
    return -regression.attend(layer, demos, torch.cat([x, -x @ w0.T], 1))[:, d:]


def _noise(exercise: str, given: tuple, right: list[Tensor]) -> list[float]:
    """How far each part of the right answer moves when the inputs do so by rounding."""
    rng, moved = torch.Generator().manual_seed(0), [0.0] * len(right)
    for _ in range(3):
        nearby = tuple(_nudged(part, rng) if isinstance(part, Tensor) else part for part in given)
        answer = _parts(exercise, nearby, _run(EXERCISES[exercise].course, nearby))
        moved = [max(far, (a - b).abs().max().item()) for far, a, b in zip(moved, answer, right, strict=True)]
    return moved


def _nudged(numbers: Tensor, rng: torch.Generator) -> Tensor:
    return numbers * (1 + ROUNDING * (2 * torch.rand(numbers.shape, generator=rng, dtype=numbers.dtype) - 1))


def _compared(right: list[Tensor], wrong: list[Tensor], noise: list[float]) -> Exposed:
    if [part.shape for part in right] != [part.shape for part in wrong]:
        return Exposed(True, "Exposed: the function's answer has another shape than the right one's.")
    for a, b, moved in zip(right, wrong, noise, strict=True):
        apart = (a - b).abs().nan_to_num(nan=math.inf)
        if apart.max() > max(DIFFERENT * a.abs().max().item(), NOISY * moved):
            place = (apart == apart.max()).nonzero()[0].tolist()
            gives, right_one = (f"{part[tuple(place)].item():.6g}" for part in (b, a))
            where = f" at {place}" if place else ""
            return Exposed(True, f"Exposed: it gives {gives}{where}, the right one {right_one}.")
    return Exposed(False, "Both say the same on these inputs.")


def _judged(exercise: str, inputs: object) -> tuple[Tensor | float | int, ...]:
    """The inputs as the exercise takes them; raises _Refused with the reason why they are none."""
    asked = [part.split() for part in SIGNATURES[exercise].split(", ")]
    names = ", ".join(name for name, *_ in asked)
    if not isinstance(inputs, tuple | list) or len(inputs) != len(asked):
        raise _Refused(f"Return the {len(asked)} inputs in one tuple: ({names}).")
    sizes: dict[str, int] = {}
    pairs = list(zip(asked, inputs, strict=True))
    found = tuple(_tensor(name, value, dims, sizes) if dims else _number(name, value) for (name, *dims), value in pairs)
    if (count := sum(part.numel() for part in found if isinstance(part, Tensor))) > MOST_NUMBERS:
        raise _Refused(f"These inputs are {count:,} numbers; {MOST_NUMBERS:,} are enough.")
    return found


def _tensor(name: str, value: object, dims: list[str], sizes: dict[str, int]) -> Tensor:
    """A tensor of this shape in float64; `sizes` says what each letter is, and learns it."""
    kinds = torch.float64, torch.float32, torch.int64
    if type(value) is not Tensor or value.dtype not in kinds or value.layout != torch.strided:
        raise _Refused(f"`{name}` must be a plain tensor of float64 numbers.")
    if value.dim() != len(dims) or 0 in value.shape:
        raise _Refused(f"`{name}` must have shape [{' '.join(dims)}], none of them 0; this is {list(value.shape)}.")
    for letter, size in zip(dims, value.shape, strict=True):
        if sizes.setdefault(letter, size) != size:
            raise _Refused(f"`{name}` [{' '.join(dims)}]: {letter} is {sizes[letter]} elsewhere and {size} here.")
    if value.numel() > MOST_NUMBERS:
        raise _Refused(f"`{name}` has {value.numel():,} numbers; {MOST_NUMBERS:,} in all are enough.")
    numbers = value.detach().cpu().to(torch.float64)
    if not numbers.isfinite().all() or numbers.abs().max() > LARGEST:
        raise _Refused(f"The numbers in `{name}` must lie between −{LARGEST:,.0f} and {LARGEST:,.0f}.")
    return numbers


def _number(name: str, value: object) -> float | int:
    if type(value) is Tensor and value.dim() == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int if name in WHOLE else int | float):
        raise _Refused(f"`{name}` must be {'a whole' if name in WHOLE else 'a'} number.")
    if name in WHOLE and not 1 <= value <= WHOLE[name]:
        raise _Refused(f"`{name}` must be between 1 and {WHOLE[name]:,}.")
    if name in BELOW_ONE and not 0 <= value < 1:
        raise _Refused(f"`{name}` must be at least 0 and less than 1.")
    if not 0 <= value <= LARGEST and name not in WHOLE:
        raise _Refused(f"`{name}` must be between 0 and {LARGEST:,.0f}.")
    return value
