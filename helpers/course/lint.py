"""What is wrong with a notebook before anyone reads it: length, headings, links, alternative text, paths, maths."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from helpers.course import links
from helpers.support import ROOT

LINES, WORDS, ITEM = 15, 160, 60  # of code and of prose in one cell; of prose in one item of a list
LIST = re.compile(r"^ *(?:[-*]|\d+\.) +(.*(?:\n +\S.*)*)", re.M)  # an item and the lines that go on with it
APART = re.compile(r"<details>.*?</details>|^\|.*\|$|```.*?```", re.M | re.S)  # folds, tables, code: not read in one go
MACHINE_PATH = re.compile(r"(?<![\w.])(?:/(?:root|home|Users|tmp|work)/[\w.-]+|[A-Z]:\\Users\\)")
MATHS = re.compile(r"\$\$.+?\$\$|(?<![\\$])\$[^$\n]+\$", re.S)
NOT_EVERYWHERE = re.compile(
    r"\\(mathcal|bm|boldsymbol|label|ref|tag\*|llbracket|newcommand|def|begin\{(?!aligned|cases|[pbvV]?matrix|array))"
)
PICTURE_DATA = re.compile(r'src="data:[^"]*"')


def faults(notebook: NotebookNode, path: Path, solved: bool) -> Iterator[str]:
    """Everything wrong with one notebook, a line each."""
    if "widgets" in notebook.metadata:
        yield "keeps widget state"
    yield from links.dead(links.prose(notebook), path)
    level = 0
    for number, cell in enumerate(notebook.cells):
        found = list(_markdown(cell.source, level) if cell.cell_type == "markdown" else _code(cell, solved))
        yield from (f"cell {number}: {fault}" for fault in found)
        if MACHINE_PATH.search(cell.source):
            yield f"cell {number}: a machine's path"
        levels = [len(hashes) for hashes in _headings(cell.source)] if cell.cell_type == "markdown" else []
        level = levels[-1] if levels else level


def _headings(source: str) -> list[str]:
    return re.findall(r"^(#+) ", re.sub(r"```.*?```", "", source, flags=re.S), re.M)


def _markdown(source: str, level: int) -> Iterator[str]:
    yield from _lengths(APART.sub("", source))
    for hashes in _headings(source):
        if level and len(hashes) > level + 1:
            yield f"heading jumps from level {level} to {len(hashes)}"
        level = len(hashes)
    for maths in MATHS.findall(source):
        if NOT_EVERYWHERE.search(maths):
            yield f"maths that GitHub or JupyterLab can't show: {maths[:40]}"
    for text in re.findall(r"!\[([^\]]*)\]", source):
        if not text.strip():
            yield "a picture without alternative text"


def _lengths(prose: str) -> Iterator[str]:
    """Walls of text: lists are read item by item, and stay whole however many there are."""
    words = len(LIST.sub("", prose).split())
    if words > WORDS:
        yield f"{words} words outside of lists, at most {WORDS}"
    for item in LIST.findall(prose):
        if len(item.split()) > ITEM:
            yield f"an item of {len(item.split())} words, at most {ITEM}: {item[:40]}"


def _code(cell: NotebookNode, solved: bool) -> Iterator[str]:
    lines = [line for line in cell.source.splitlines() if line.strip()]
    if len(lines) > LINES:
        yield f"{len(lines)} lines of code, at most {LINES}"
    if "SOLUTION" in cell.source:
        yield "a solution mark was left in"
    if not solved and (cell.outputs or cell.execution_count):
        yield "outputs in a student notebook"
    if solved and lines and cell.execution_count is None:
        yield "was not executed"
    for output in cell.outputs:
        yield from _output(output)


def _output(output: NotebookNode) -> Iterator[str]:
    if output.output_type == "error":
        yield f"ends in an error: {output.ename}"
    if output.get("name") == "stderr":
        yield f"writes to stderr: {output.text[:60]!r}"
    data = output.get("data", {})
    pictures = re.findall(r"<img[^>]*>", data.get("text/html", ""))
    if ("image/png" in data and not pictures) or not all(re.search(r'alt="[^"]{15,}"', image) for image in pictures):
        yield "a figure without alternative text"
    if "image/svg+xml" in data:
        yield "a figure as SVG: an untrusted notebook does not show it"
    shown = (output.get("text", ""), data.get("text/plain", ""), PICTURE_DATA.sub("", data.get("text/html", "")))
    if MACHINE_PATH.search("\n".join(shown)):
        yield "a machine's path in an output"


def notebooks() -> Iterator[tuple[Path, bool]]:
    """All committed notebooks, and whether each is a solved one."""
    for folder, solved in (("notebooks", False), ("notebooks/solutions", True)):
        yield from ((path, solved) for path in sorted((ROOT / folder).glob("*.ipynb")))


def main() -> int:
    """Run ruff over the code and the checks over all notebooks; 1 if anything is wrong."""
    places = ["helpers", "tests", "notebooks/source"]
    wrong = subprocess.run([sys.executable, "-m", "ruff", "check", *places], cwd=ROOT).returncode
    wrong |= subprocess.run([sys.executable, "-m", "ruff", "format", "--check", *places], cwd=ROOT).returncode
    for path, solved in notebooks():
        for fault in faults(nbformat.read(path, as_version=4), path, solved):
            print(f"{path.relative_to(ROOT)}: {fault}")
            wrong = 1
    return wrong
