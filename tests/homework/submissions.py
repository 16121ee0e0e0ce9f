"""Notebooks as students hand them in, made of functions and text."""

import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path

from helpers.homework.settings import Assignment, Item

KEY, STUDENT, TERM = "0123456789abcdef0123456789abcdef", "ada", "2026"
HEAD = f'student = "{STUDENT}"'


def assignment(name: str, *items: Item) -> Assignment:
    """A homework of these items only."""
    return Assignment(name, "A title", TERM, None, 0.1, items)


def functions(*names: str) -> list[Item]:
    """Items of exercises, ten points each."""
    return [Item(f"f-{name}", "function", 10.0, name, name) for name in names]


def notebook(path: Path, code: Iterable[str], texts: dict[str, str] | None = None, **ids: str) -> Path:
    """A notebook with these code cells; `texts` are markdown cells by grade_id."""
    cells = [_cell("code", source, f"cell-{place}") for place, source in enumerate([HEAD, *code])]
    cells += [_cell("markdown", source, id) for id, source in (texts or {}).items()]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), encoding="utf-8")
    return path


def _cell(kind: str, source: str, id: str) -> dict:
    metadata = {"nbgrader": {"grade_id": id, "grade": True, "solution": True, "schema_version": 3}}
    return {"cell_type": kind, "id": id, "metadata": metadata, "source": source, "outputs": [], "execution_count": None}


def source(function: Callable, name: str) -> str:
    """A function's code under another name, with the imports and helpers that it uses from its own module."""
    code = textwrap.dedent(inspect.getsource(function))
    code = "\n".join(line for line in code.splitlines() if not re.match(r"@(right|wrong)\b", line))
    code = re.sub(rf"\b{function.__name__}\b", name, code)
    return f"{around(function)}\n\n\n{code}"


def around(function: Callable) -> str:
    """What stands in the function's module beside the attempts: imports, constants, helpers."""
    text = inspect.getsource(inspect.getmodule(function))
    blocks = re.split(r"\n(?=\S)", text)
    kept, skipping = [], False
    for block in blocks:
        decorated = re.match(r"@(right|wrong)\b", block)
        if skipping or decorated:
            skipping = bool(decorated)
            continue
        kept.append(block)
    return "\n".join(block for block in kept if not re.match(r"from \.|NAME =|\"\"\"", block))
