"""Bug hunts: subtly wrong functions, a bank a notebook, and whether given inputs expose one.

Each agrees with the right function on plain random inputs and passes the course's own check: one has to read it.
"""

import functools
import importlib
import pkgutil
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import torch

from helpers.check import EXERCISES
from helpers.homework import draws, inputs
from helpers.homework.inputs import Exposed


@dataclass(frozen=True)
class Bug:
    """A wrong function as the student reads it."""

    name: str
    exercise: str
    source: str
    why: str  # what is wrong with it: the sample answer


def bug(name: str, why: str, source: str) -> Bug:
    """A bug of the exercise whose name its function has."""
    source = textwrap.dedent(source).lstrip()
    return Bug(name, re.match(r"def (\w+)", source)[1], source, why)


def bank(assignment: str) -> dict[str, Bug]:
    """The wrong functions of a notebook, by name; empty where it has none."""
    name = f"notebook_{assignment}"
    if name not in (module.name for module in pkgutil.iter_modules(__path__)):
        return {}
    return {bug.name: bug for bug in importlib.import_module(f"{__name__}.{name}").BUGS}


def drawn(term: str, assignment: str, student: str) -> list[Bug]:
    """The wrong functions of a student, in their order."""
    own = bank(assignment)
    return [own[name] for name in draws.bugs(term, assignment, student, list(own))]


def exposes(bug: Bug, handed_in: object) -> Exposed:
    """Whether wrong and right differ on these inputs, by more than rounding; never raises for what they are."""
    return inputs.exposed(bug.exercise, function(bug), EXERCISES[bug.exercise].course, handed_in)


@functools.cache
def function(bug: Bug) -> Callable:
    """The wrong function itself."""
    names = {"torch": torch}
    exec(compile(bug.source, f"<{bug.name}>", "exec"), names)
    return names[bug.exercise]
