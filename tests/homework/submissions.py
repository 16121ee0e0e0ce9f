"""Notebooks as students hand them in, made of functions and text."""

import functools
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path

from helpers.check import EXERCISES
from helpers.homework.settings import Assignment, Item

sys.path.append(str(Path(__file__).parents[1] / "check"))
from misconceptions import bank

KEY, STUDENT, TERM = "0123456789abcdef0123456789abcdef", "ada", "2026"
HEAD = f'student = "{STUDENT}"'
REGISTERS = """
def wrong(*_):
    def keep(attempt):
        globals()[attempt.__name__] = attempt
    return keep


"""  # attempts that a loop makes


def assignment(name: str, *items: Item) -> Assignment:
    """A homework of these items only."""
    return Assignment(name, "A title", TERM, None, 0.1, items)


def functions(*names: str) -> list[Item]:
    """Items of exercises, ten points each."""
    return [Item(f"f-{name}", "function", 10.0, name, name) for name in names]


def notebook(path: Path, code: Iterable[str], texts: dict[str, str] | None = None, **metadata: object) -> Path:
    """A notebook with these code cells; `texts` are markdown cells by grade_id."""
    cells = [_cell("code", source, f"cell-{place}") for place, source in enumerate([HEAD, *code])]
    cells += [_cell("markdown", source, id) for id, source in (texts or {}).items()]
    content = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def _cell(kind: str, source: str, id: str) -> dict:
    metadata = {"nbgrader": {"grade_id": id, "grade": True, "solution": True, "schema_version": 3}}
    code = {"outputs": [], "execution_count": None} if kind == "code" else {}
    return {"cell_type": kind, "id": id, "metadata": metadata, "source": source} | code


def attempts(name: str, right: bool) -> list[Callable]:
    """The right or the wrong attempts at an exercise, of the bank."""
    return [attempt for exercise, attempt, said in bank() if exercise == name and (said is None) == right]


def module(attempt: Callable) -> str:
    """The whole file that an attempt stands in, without what makes a bank of it."""
    source = inspect.getsource(inspect.getmodule(attempt))
    source = re.sub(r"^@(right|wrong)\(.*\)\n", "", source, flags=re.M)
    if "lfilter" not in inspect.getsource(attempt):  # scipy takes longer to load than all else
        source = re.sub(r"^from scipy.*\n", "", source, flags=re.M)
    return re.sub(
        r"^from \. import .*\n", REGISTERS if re.search(r"^\s*wrong\(", source, re.M) else "", source, flags=re.M
    )


def named(attempt: Callable, name: str) -> list[str]:
    """Two cells: one with the attempt and all around it, one that gives it the exercise's name."""
    return [module(attempt), f"{name} = {attempt.__name__}"]


def enclosed(attempt: Callable, name: str) -> str:
    """One cell: the exercise's name, and no other, for the attempt."""
    body = textwrap.indent(f"{module(attempt)}\nreturn {attempt.__name__}", "    ")
    return f"def make():\n{body}\n\n{name} = make()"


@functools.cache
def solved(attempt: Callable) -> tuple[str, ...]:
    """A cell for every other exercise that an attempt uses, as the student's own."""
    used = [name for name in EXERCISES if re.search(rf"\b(import .*|dual\.|attention\.){name}\b", module(attempt))]
    alone = {name: [a for a in attempts(name, right=True) if "helpers" not in inspect.getsource(a)] for name in used}
    return tuple(enclosed(alone[name][-1], name) for name in used)
