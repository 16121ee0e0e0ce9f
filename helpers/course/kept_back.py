"""What the student's notebook keeps back until its reader has predicted: lifted out of the page by the build.

In a source: `reveal(key, right, because)`, `finding(key, title)`, and markdown cells tagged "after-KEY".
"""

import ast
import json
import re

import nbformat
from nbformat import NotebookNode

from helpers.support import CourseError

TAG = "after-"
FOLDED = "hide-input"  # the tag that JupyterLab's own mark and the book's toggle are made of
IMPORT = re.compile(r"^from helpers\.widgets import (.+)$", re.M)
KINDS = {"reveal": ("right", "reveal"), "finding": ("title",)}  # a call's texts, in their order
Kept = dict[str, dict[str, list[str]]]


def lift(made: NotebookNode) -> Kept:
    """Take the findings out of a notebook, in place. Raises CourseError for one that isn't written as text."""
    kept: Kept = {}
    for place, cell in enumerate(made.cells):
        key = next((tag.removeprefix(TAG) for tag in cell.metadata.get("tags", ()) if tag.startswith(TAG)), "")
        if cell.cell_type == "code":
            cell.source = _without_texts(cell.source, kept)
        elif key:
            made.cells[place] = _explaining(key, _add(kept, key, "explanation", cell.source))
    if any("explanation" in texts for texts in kept.values()):
        _import_explain(made)
    return kept


def text(kept: Kept) -> str:
    """The findings of a notebook as their file has them."""
    return json.dumps(kept, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _explaining(key: str, number: int) -> NotebookNode:
    """The cell that shows an explanation once it may be seen; what it says is not in it."""
    which = f", {number}" if number > 1 else ""
    metadata = {"tags": [FOLDED], "jupyter": {"source_hidden": True}}
    return nbformat.v4.new_code_cell(f'explain("{key}"{which})', metadata=metadata)


def _import_explain(made: NotebookNode) -> None:
    def names(found: re.Match) -> str:
        return f"from helpers.widgets import {', '.join(sorted({*found[1].split(', '), 'explain'}))}"

    for cell in made.cells:
        if cell.cell_type == "code" and IMPORT.search(cell.source):
            cell.source = IMPORT.sub(names, cell.source)
            return
    raise CourseError("Cells wait for a prediction, and nothing is imported from helpers.widgets.\nImport `predict`.")


def _without_texts(source: str, kept: Kept) -> str:
    """A cell's code whose calls name their question only."""
    if not any(f"{name}(" in source for name in KINDS):
        return source
    calls = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS
    ]
    in_order = sorted(calls, key=lambda call: (call.lineno, call.col_offset))
    shorter = [(call, _short(call, source, kept)) for call in in_order]
    for call, new in reversed(shorter):  # from the end, so that places before stay what they are
        start = _offset(source, call.lineno, call.col_offset)
        source = source[:start] + new + source[_offset(source, call.end_lineno, call.end_col_offset) :]
    return source


def _short(call: ast.Call, source: str, kept: Kept) -> str:
    """A call without its texts, which are kept: with a number where its question has several."""
    name, (key, *texts) = call.func.id, call.args
    if not all(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in (key, *texts)):
        raise CourseError(
            f"In a source {name}(...) takes plain strings, and numbers by name.\nNot so: {ast.unparse(call)}"
        )
    numbers = [_add(kept, key.value, kind, part.value) for kind, part in zip(KINDS[name], texts, strict=True)]
    number = max(numbers)  # they are alike: a question's texts of one call are added together
    given = [ast.get_source_segment(source, value) for value in call.keywords]
    return f"{name}({', '.join([json.dumps(key.value), *([str(number)] if number > 1 else []), *given])})"


def _add(kept: Kept, key: str, kind: str, said: str) -> int:
    """Keep a text; its number from 1."""
    texts = kept.setdefault(key, {}).setdefault(kind, [])
    texts.append(said)
    return len(texts)


def _offset(source: str, line: int, column: int) -> int:
    """Where a place of the syntax tree, whose columns count bytes, is in the text."""
    lines = source.splitlines(keepends=True)
    return sum(map(len, lines[: line - 1])) + len(lines[line - 1].encode()[:column].decode())
