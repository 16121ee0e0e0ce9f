"""Which code computed a number: a hash of modules without their comments and docstrings, so that prose is free."""

import ast
import functools
import hashlib
import inspect
import io
import textwrap
import tokenize
from collections.abc import Callable
from pathlib import Path

from helpers.support import ROOT


@functools.cache
def code_hash(*parts: str | Callable) -> str:
    """128 bits over code: functions, and modules of `helpers`, as "icl", "gpt.scoring", or "gpt" for all of a room."""
    files = sorted({file for part in parts if isinstance(part, str) for file in _files(part)})
    sources = [file.read_text(encoding="utf-8") for file in files]
    sources += [textwrap.dedent(inspect.getsource(part)) for part in parts if not isinstance(part, str)]
    return hashlib.sha256("\x1f".join(map(bare, sources)).encode()).hexdigest()[:32]


def _files(module: str) -> list[Path]:
    """The sources of a module or room. Raises ValueError where there is none."""
    place = ROOT / "helpers" / module.replace(".", "/")
    found = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    if not found or not all(file.is_file() for file in found):
        raise ValueError(f"code_hash: helpers has no module called {module!r}.")
    return found


def bare(source: str) -> str:
    """Source text without comments, docstrings and empty lines."""
    lines = source.splitlines()
    for first, last in _docstrings(ast.parse(source)):
        lines[first - 1 : last] = [""] * (last - first + 1)
    tokens = tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline)
    for token in tokens:
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _docstrings(tree: ast.Module) -> list[tuple[int, int]]:
    """First and last line of every docstring."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, documented) and ast.get_docstring(node) is not None]
    return [(node.body[0].lineno, node.body[0].end_lineno) for node in nodes]
