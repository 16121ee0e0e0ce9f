"""One small example for an exercise, with its numbers written out: found among what the exercise's own claims ask.

Its inputs are drawn from a salt of their own, rounded, and are therefore none of those that are graded.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.check import Exercise, engine, seeds
from helpers.check.claims import Claim

SALT = "example"
DIGITS = 6  # of what is expected
MOST = 150  # numbers that an example may have
Call = tuple[tuple[object, ...], object]  # inputs, answer


@dataclass(frozen=True)
class Example:
    """Inputs by name and the expected answer, as Python code."""

    inputs: dict[str, str]
    expected: str | None  # None where several answers are right
    numbers: bool  # whether the answer is made of float64 tensors


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
    """The smallest example in which no dimension is 1; None where inputs can't be written in a few lines."""
    heard, claims = _heard(exercise)
    expected = [claim.expected for claim in claims if isinstance(claim.expected, Tensor)]
    calls = [call for call in heard.calls if call[0] and all(map(_plain, call[0])) and _size(call[0]) <= MOST]
    if not calls:
        return None
    inputs, answer = min(calls, key=lambda call: (not _unique(call[1], expected), _thin(call[0]), _size(call[0])))
    inputs = tuple(map(_rounded, inputs))
    found = _written(exercise.course(*inputs)) if _unique(answer, expected) else None
    names = inspect.signature(exercise.course).parameters
    return Example(dict(zip(names, map(_written, inputs), strict=False)), found, _is_numbers(answer))


def choices(exercise: Exercise) -> list[tuple[str, ...]]:
    """What may be chosen, for each part of the answer."""
    return [claim.choices for claim in _heard(exercise)[1] if claim.choices]


def _heard(exercise: Exercise) -> tuple[_Heard, list[Claim]]:
    heard = _Heard(exercise)
    with seeds.salted(SALT):
        return heard, list(exercise.claims(heard))


def _plain(value: object) -> bool:
    """Whether it can be written as it is: tensors, numbers, and words, also in lists and by name."""
    if isinstance(value, list):
        return all(isinstance(part, str) for part in value)
    if isinstance(value, dict):
        return all(isinstance(part, str) for part in (*value, *value.values()))
    return isinstance(value, Tensor | float | int | str)


def _is_numbers(answer: object) -> bool:
    """Whether all parts are numbers or tensors of such; whole numbers in a tensor stand for labels."""
    return all(
        part.is_floating_point() if isinstance(part, Tensor) else isinstance(part, float | int)
        for part in _results(answer)
    )


def _results(answer: object) -> tuple[object, ...]:
    if isinstance(answer, dict):
        return tuple(answer.values())
    return answer if isinstance(answer, tuple) else (answer,)


def _size(inputs: tuple) -> int:
    return sum(part.numel() for part in inputs if isinstance(part, Tensor))


def _thin(inputs: tuple) -> bool:
    """Whether there is a dimension or a count of 1, where much that is wrong is right."""
    return any(1 in part.shape if isinstance(part, Tensor) else part == 1 for part in inputs)


def _unique(answer: object, expected: list[Tensor]) -> bool:
    """Whether the claims compare each part of the answer itself with a value, not what it does."""
    return _is_numbers(answer) and all(any(_same(part, other) for other in expected) for part in _parts(answer))


def _parts(answer: object) -> Iterator[Tensor]:
    for part in _results(answer):
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
    return repr(value) if isinstance(value, list | dict | str) else _listed(value)


def _listed(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_listed, value))}]"
    return repr(round(value, DIGITS) + 0.0 if isinstance(value, float) else value)
