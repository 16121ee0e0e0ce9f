"""Equation ↔ function ↔ test ↔ notebook: one table, read off the docstrings and the notebooks' sources.

A function computes an equation, and a test proves it, whose docstring begins with its number: "(eq. 2.1): …".
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from helpers.support import ROOT

TAG = re.compile(r"\\tag\{(\d\.\d+)\}")
HEADING = re.compile(r"^# ## (\d+ · [^:\n]+)", re.M)
NUMBERS = re.compile(r"^(?:\(eq\. (\d\.\d+)\)(?:, | and )?)+(?=[: ])")
Named = dict[str, list[str]]  # equation: names


def functions() -> Named:
    """For each equation the functions of `helpers` that compute it, as module.function."""
    rooms = [ROOT / "helpers" / name for name in ("gpt", "lm", "widgets")]
    files = [*(ROOT / "helpers").glob("*.py"), *(file for room in rooms for file in room.glob("*.py"))]
    return _documented(sorted(files), module=True)


def tests() -> Named:
    """For each equation the tests that prove it."""
    return _documented(sorted((ROOT / "tests").rglob("test_*.py")), module=False)


def _documented(files: list[Path], module: bool) -> Named:
    found: Named = {}
    for file in files:
        for name, text in _docstrings(ast.parse(file.read_text(encoding="utf-8")), f"{file.stem}." if module else ""):
            numbers = NUMBERS.match(text)
            for number in re.findall(r"\d\.\d+", numbers[0]) if numbers else ():
                found.setdefault(number, []).append(name)
    return found


def _docstrings(tree: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, str]]:
    """Every function and method with its docstring."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield f"{prefix}{node.name}", ast.get_docstring(node) or ""
        elif isinstance(node, ast.ClassDef):
            yield from _docstrings(node, f"{prefix}{node.name}.")


def places(source: Path) -> dict[str, str]:
    """For each equation of a notebook the section that it stands in: its number and title."""
    text = source.read_text(encoding="utf-8")
    headings = [(match.start(), match[1]) for match in HEADING.finditer(text)]
    return {
        match[1]: next(title for start, title in reversed(headings) if start < match.start())
        for match in TAG.finditer(text)
    }


def equation_table(source: Path) -> str:
    """The rows of one notebook: equation, section, functions, tests."""
    computed, proved = functions(), tests()
    lines = ["| equation | section | function | test |", "|---" * 4 + "|"]
    for number, section in places(source).items():
        names = ("<br>".join(f"`{name}`" for name in named.get(number, ())) for named in (computed, proved))
        lines.append(f"| (eq. {number}) | {section} | {' | '.join(names)} |")
    return "\n".join(lines)
