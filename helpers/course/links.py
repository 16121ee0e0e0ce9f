"""Links and references that lead nowhere: files, headings, equations, exercises, notebooks."""

import functools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import nbformat
from nbformat import NotebookNode

from helpers.check import EXERCISES
from helpers.check.route import ROUTE
from helpers.course import equations
from helpers.support import ROOT

CODE = re.compile(r"^( *)(```+|~~~+).*?^\1\2|<!--.*?-->", re.M | re.S)
SPAN = re.compile(r"(`+)(?:(?!\n\n).)+?\1", re.S)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)|\b(?:href|src)=[\"']([^\"']+)|^ *\[[^\]]+\]: +(\S+)", re.M)
HEADING = re.compile(r"^ {0,3}#{1,6} +(.*?)[ #]*$", re.M)
NAMED = re.compile(r"<a (?:id|name)=[\"']([^\"']+)")
MARKS = re.compile(r"\[([^\]]*)\]\([^)]*\)|[`*]|<[^>]+>")  # what a heading's text is written with
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.I)
EQUATION = re.compile(r"\(eqs?\. ([^)]+)\)")
NUMBER = re.compile(r"\b\d\.D?\d+\b")
EXERCISE = re.compile(r"\b[Ee]xercises?\s+(\d\.D?\d+(?:(?:, | and | to )\d\.D?\d+)*)")
NOTEBOOK = re.compile(r"\b[Nn]otebooks?\s+(\d\d(?:(?:, | and | to )\d\d)*)")


def dead(text: str, path: Path) -> Iterator[str]:
    """What is wrong with the links and references of a Markdown text that lies at `path`."""
    said = SPAN.sub("", CODE.sub("", text))
    yield from _dead_links(said, path, anchors(text, jupyter=path.suffix == ".ipynb"))
    known = {exercise.number for exercise in EXERCISES.values()}
    for number in NUMBER.findall(" ".join(EQUATION.findall(said))):
        if number not in _equations():
            yield f"no equation ({number})"
    for number in NUMBER.findall(" ".join(EXERCISE.findall(said))):
        if number not in known:
            yield f"no exercise {number}"
    for number in re.findall(r"\d\d", " ".join(NOTEBOOK.findall(said))):
        if number not in ROUTE:
            yield f"no notebook {number}"


def _dead_links(prose: str, path: Path, own: set[str]) -> Iterator[str]:
    """Relative links to files that are not there, and to headings that a file does not have."""
    for found in LINK.finditer(prose):
        target = next(filter(None, found.groups()))
        if ELSEWHERE.match(target):
            continue
        name, _, anchor = unquote(target).partition("#")
        file = path.parent / name if name else path
        if name and not file.exists():
            yield f"dead link {target}"
        elif anchor and anchor not in (anchors_of(file) if name else own):
            yield f"dead anchor {target}"


def anchors_of(file: Path) -> set[str]:
    """The anchors of a Markdown file or notebook."""
    if file.suffix == ".ipynb":
        return anchors(markdown(file), jupyter=True)
    return anchors(file.read_text(encoding="utf-8")) if file.suffix == ".md" else set()


def anchors(text: str, jupyter: bool = False) -> set[str]:
    """The anchors of a text's headings, as GitHub makes them, and those written out; Jupyter only joins the words."""
    prose, seen, found = CODE.sub("", text), Counter(), set(NAMED.findall(text))
    for heading in HEADING.findall(prose):
        title = MARKS.sub(r"\1", heading).strip()
        if jupyter:
            found.add(title.replace(" ", "-"))
            continue
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def markdown(file: Path) -> str:
    """The text of a Markdown file, or of a notebook's Markdown cells."""
    if file.suffix != ".ipynb":
        return file.read_text(encoding="utf-8")
    return prose(nbformat.read(file, as_version=4))


def prose(notebook: NotebookNode) -> str:
    """The text of a notebook's Markdown cells."""
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


@functools.cache
def _equations() -> set[str]:
    """The numbers of all equations that a notebook's source tags."""
    sources = (ROOT / "notebooks" / "source").glob("*.py")
    return {number for source in sources for number in equations.places(source)}
