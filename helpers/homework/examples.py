"""One small example for an exercise, with its numbers written out: found among what the exercise's own claims ask.

Its inputs are drawn from a salt of their own, rounded, and are therefore none of those that are graded.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.check import Exercise, engine, seeds

SALT = "example"
DIGITS = 6  # of what is expected
Call = tuple[tuple[object, ...], object]  # inputs, answer


@dataclass(frozen=True)
class Example:
    """Inputs by name and the expected answer, as Python code."""

    inputs: dict[str, str]
    expected: str | None  # None where several answers are right


class _Heard(engine.Attempt):
    """The course's own version, and what the claims call it with."""

    def __init__(self, exercise: Exercise) -> None:
        super().__init__(exercise.course, engine.unwatched(exercise))
        self.calls: list[Call] = []

    def __call__(self, *args: object) -> object:
        answer = super().__call__(*args)
        self.calls.append((args, answer))
        return answer


def of(exercise: Exercise) -> Example | None:
    """The smallest example in which no dimension is 1; None where inputs can't be written as numbers."""
    heard = _Heard(exercise)
    with seeds.salted(SALT):
        claims = list(exercise.claims(heard))
    expected = [claim.expected for claim in claims if isinstance(claim.expected, Tensor)]
    calls = [(inputs, answer) for inputs, answer in heard.calls if all(map(_plain, inputs))]
    if not calls:
        return None
    inputs, answer = min(calls, key=lambda call: (not _unique(call[1], expected), _thin(call[0]), _size(call[0])))
    inputs = tuple(map(_rounded, inputs))
    found = _written(exercise.course(*inputs)) if _unique(answer, expected) else None
    names = inspect.signature(exercise.course).parameters
    return Example(dict(zip(names, map(_written, inputs), strict=False)), found)


def _plain(value: object) -> bool:
    return isinstance(value, Tensor | float | int)


def _size(inputs: tuple) -> int:
    return sum(part.numel() for part in inputs if isinstance(part, Tensor))


def _thin(inputs: tuple) -> bool:
    """Whether there is a dimension or a count of 1, where much that is wrong is right."""
    return any(1 in part.shape if isinstance(part, Tensor) else part == 1 for part in inputs)


def _unique(answer: object, expected: list[Tensor]) -> bool:
    """Whether the claims compare each part of the answer itself with a value, not what it does."""
    return all(any(_same(part, other) for other in expected) for part in _parts(answer))


def _parts(answer: object) -> Iterator[Tensor]:
    for part in answer.values() if isinstance(answer, dict) else answer if isinstance(answer, tuple) else (answer,):
        yield torch.as_tensor(part, dtype=torch.float64)


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other.double())


def _rounded(value: object) -> object:
    return value.round(decimals=1) if isinstance(value, Tensor) and value.is_floating_point() else value


def _written(value: object) -> str:
    """Numbers as nested lists, several results as a tuple."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_written, value))})"
    if isinstance(value, Tensor):
        return _listed(value.tolist())
    return _listed(value)


def _listed(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_listed, value))}]"
    return repr(round(value, DIGITS) + 0.0 if isinstance(value, float) else value)
