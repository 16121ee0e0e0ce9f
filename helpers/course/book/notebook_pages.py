"""A notebook as a page: each exercise as the student finds it, its solution behind a fold, figures as files."""

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from helpers.course import address
from helpers.course.book.links import PICTURES, Book, turned, turned_output
from helpers.plots.page import EMBEDDED
from helpers.support import ROOT, CourseError

STUDENT, SOLVED = ROOT / "notebooks", ROOT / "notebooks" / "solutions"
ON_COLAB = address.setup_cell(None).partition("\n")[0]  # how the cell begins that does something on Colab only
SOLUTION = re.compile(r"<details><summary>Solution</summary>\n\n```python\n(.*?)\n```\n\n</details>\n*", re.S)
FOLD = {"code_prompt_show": "Show the solution", "code_prompt_hide": "Hide the solution"}


def write(path: Path, book: Book) -> None:
    """Write the page of a solved notebook. Raises CourseError where the student's has other cells."""
    solved, student = (nbformat.read(folder / path.name, as_version=4) for folder in (SOLVED, STUDENT))
    if len(solved.cells) != len(student.cells):
        raise CourseError(
            f"{path.name} and its solved notebook have different cells: no page can be made of them.\n"
            f"Run: python -m helpers build {path.stem}"
        )
    _fold_solutions(solved.cells)
    for cell in solved.cells:
        if cell.cell_type == "markdown":
            cell.source = turned(cell.source, path.relative_to(ROOT).as_posix(), book)
        _move_outputs(cell, path.relative_to(ROOT).as_posix(), book)
    solved.cells = list(_shown(solved.cells, student.cells))
    nbformat.write(solved, book.source / path.name)


def _is_exercise(cell: NotebookNode) -> bool:
    return "exercise" in cell.metadata.get("tags", ())


def _fold_solutions(cells: list[NotebookNode]) -> None:
    """Fold every exercise that is solved; the same solution in the text after it goes."""
    exercises = [cell for cell in cells if _is_exercise(cell)]
    solutions = {cell.source for cell in exercises}
    for cell in exercises:
        cell.metadata |= {"tags": [*cell.metadata.tags, "hide-input"], "mystnb": FOLD}
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = SOLUTION.sub(lambda fold: "" if fold[1] in solutions else fold[0], cell.source)


def _move_outputs(cell: NotebookNode, file: str, book: Book) -> None:
    """Html that a cell made: pictures inside it become files, links lead to the book's pages."""

    def lift(found: re.Match) -> str:
        picture = base64.b64decode(found[1])
        name = f"{PICTURES}/{hashlib.sha256(picture).hexdigest()[:16]}.png"
        (book.source / name).write_bytes(picture)
        return f'src="{name}"'

    for output in cell.get("outputs", ()):
        if "text/html" in output.get("data", ()):
            output.data["text/html"] = turned_output(EMBEDDED.sub(lift, output.data["text/html"]), file, book)


def _shown(solved: list[NotebookNode], student: list[NotebookNode]) -> Iterator[NotebookNode]:
    """The page's cells: before a solution what there was to fill in; not the cell for Colab."""
    for cell, asked in zip(solved, student, strict=True):
        if _is_exercise(asked):
            yield asked
        if cell.source.strip() and not cell.source.startswith(ON_COLAB):
            yield cell
