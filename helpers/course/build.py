"""Every notebook from its one source: the student's without outputs, the solved one executed."""

import hashlib
import os
import re
import tempfile
import time
from base64 import b64decode
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from helpers.check import EXERCISES, Exercise
from helpers.check.engine import WRITE
from helpers.course import address, equations, kept_back
from helpers.experiments import facts
from helpers.plots.page import EMBEDDED
from helpers.support import ROOT, CourseError, boxes, cache, findings
from helpers.support.typeset import in_markdown
from helpers.widgets.live import VIEW

SOURCES = ROOT / "notebooks" / "source"
STUDENT = ROOT / "notebooks"
SOLVED = ROOT / "notebooks" / "solutions"
SOLUTION = re.compile(r"^( *)# BEGIN SOLUTION\n(.*?)^ *# END SOLUTION\n?", re.M | re.S)
RESULT = re.compile(r"\{result:([^}]+)\}")
EQUATIONS = re.compile(r"\{equations:([^}]+)\}")
EXERCISE = re.compile(r"\{exercise:([^}]+)\}")
ANSWER = re.compile(r"\{solution:([^}]+)\}")
ROWS = re.compile(r"((?:^\|.*\|(?:\n|\Z)){3,})(?=\n|\Z)", re.M)  # a table: on a narrow page it scrolls inside itself
TABLE = "Each equation, its function and its test"
CONCLUSION = "conclusion"  # the tag of a cell on what the reader may conclude and what not
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def sources(names: list[str] | None = None) -> list[Path]:
    """The sources whose name starts with one of `names`; all without any."""
    return [path for path in sorted(SOURCES.glob("*.py")) if path.name.startswith(tuple(names or [""]))]


def notebook(source: Path, solved: bool) -> NotebookNode:
    """A notebook without outputs: set-up in front, solutions kept or stubs, numbers filled in, ids by content.

    The student's keeps its findings back: `kept_of` has them.
    """
    return identified(_both(source, solved)[0])


def kept_of(source: Path) -> kept_back.Kept:
    """What the student's notebook keeps back until a prediction is made."""
    return _both(source, solved=False)[1]


def _both(source: Path, solved: bool) -> tuple[NotebookNode, kept_back.Kept]:
    made = jupytext.read(source)
    _open(made, f"notebooks/{'solutions/' if solved else ''}{source.stem}.ipynb")
    solutions = _solutions(made)
    made.metadata = NotebookNode(kernelspec=KERNEL, language_info={"name": "python"})
    for cell in made.cells:
        stub = r"\2" if solved else r"\1raise NotImplementedError  # your code here" + "\n"
        cell.source = SOLUTION.sub(stub, cell.source + "\n").rstrip("\n")
        cell.metadata = _metadata(cell, solved)
        if cell.cell_type == "markdown":
            cell.source = _filled(cell, solutions)
    made.nbformat, made.nbformat_minor = 4, 5
    return made, {} if solved else kept_back.lift(made)


def _solutions(made: NotebookNode) -> dict[str, str]:
    """The solution of every exercise, by the name of its function."""
    asked = (cell.source + "\n" for cell in made.cells if "# BEGIN SOLUTION" in cell.source)
    return {re.search(r"^def (\w+)", source, re.M)[1]: SOLUTION.sub(r"\2", source).strip() for source in asked}


def _metadata(cell: NotebookNode, solved: bool) -> NotebookNode:
    """A cell's tags; the student's page folds code that is not the lesson."""
    kept = NotebookNode({key: cell.metadata[key] for key in ("tags",) if key in cell.metadata})
    if not solved and kept_back.FOLDED in kept.get("tags", ()):
        kept["jupyter"] = {"source_hidden": True}
    return kept


def _filled(cell: NotebookNode, solutions: dict[str, str]) -> str:
    """A markdown cell's text with results, tables, exercises and solutions in place, and its conclusions in boxes."""
    text = RESULT.sub(lambda match: facts.fact(match[1]), cell.source)
    text = EQUATIONS.sub(lambda match: fold(TABLE, equations.equation_table(sources([match[1]])[0])), text)
    text = EXERCISE.sub(lambda match: asked(EXERCISES[match[1]]), text)
    text = ROWS.sub(r'<div style="overflow-x: auto">\n\n\1\n\n</div>\n', text)
    text = ANSWER.sub(lambda match: fold("Solution", f"```python\n{solutions[match[1]]}\n```"), text)
    return concluded(text) if CONCLUSION in cell.metadata.get("tags", ()) else text


def concluded(text: str) -> str:
    """What a reader may conclude and what not, each in its box."""
    before, mark, may_not = text.partition("**What you may not")
    may = boxes.markdown_box("may", before.strip())
    return f"{may}\n\n{boxes.markdown_box('may not', f'{mark}{may_not}'.strip())}" if mark else may


def identified(made: NotebookNode) -> NotebookNode:
    """The notebook with every cell's id made from what the cell holds."""
    seen: dict[str, int] = {}
    for cell in made.cells:
        name = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
        seen[name] = seen.get(name, 0) + 1
        cell.id = f"{name}-{seen[name]}"
    return made


def _open(made: NotebookNode, page: str) -> None:
    """Put links under the title, and behind the first cell the set-up cell that all notebooks share."""
    repo = address.repository()
    made.cells[0].source = address.titled(made.cells[0].source, repo, page)
    made.cells.insert(1, nbformat.v4.new_code_cell(address.setup_cell(repo)))


def asked(exercise: Exercise) -> str:
    """The head of an exercise: a heading, and in a box the task, what it costs and is worth, hints behind folds."""
    star = " ★" if exercise.core else ""
    rated = f"difficulty {boxes.dots(exercise.difficulty)} · importance {boxes.dots(exercise.importance)}"
    hints = (fold(f"Hint {number}", in_markdown(hint)) for number, hint in enumerate(exercise.hints, 1))
    task = f"**{boxes.MARKS['exercise']} {in_markdown(exercise.task)}**"
    kind = "" if exercise.kind == WRITE else f"{exercise.kind} · "
    inside = "\n\n".join([task, f"{kind}{rated} · {exercise.minutes} minutes", *hints])
    return f"### Exercise {exercise.number}{star} · {exercise.heading}\n\n{boxes.markdown_box('exercise', inside)}"


def fold(summary: str, text: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"


def execute(made: NotebookNode, timeout: int = 1800) -> NotebookNode:
    """Run every cell in a fresh kernel beside the notebooks; raises CellExecutionError at the first that fails."""
    beside = {"metadata": {"path": STUDENT}}
    quiet = ["--IPKernelApp.log_level=ERROR"]
    client = NotebookClient(
        made, timeout=timeout, kernel_name="python3", resources=beside, record_timing=False, extra_arguments=quiet
    )
    with tempfile.TemporaryDirectory() as scratch:  # a reader who has done nothing yet
        client.execute(env=os.environ | {"COURSE_PROGRESS": str(Path(scratch) / "progress.json")})
    made.metadata.pop("widgets", None)
    for cell in (cell for cell in made.cells if cell.cell_type == "code"):
        cell.outputs = [output for output in cell.outputs if _stays(output)]
    made.metadata.language_info = {"name": "python"}
    return made


def _stays(output: NotebookNode) -> bool:
    """Take out the widget, which needs a running kernel; whether its html is left, or there was none."""
    data = output.get("data", {})
    return data.pop(VIEW, None) is None or "text/html" in data


def write(made: NotebookNode, path: Path) -> None:
    """One form of JSON, so that only what changed differs."""
    with cache.whole(path) as scratch:
        scratch.write_text(text(made), encoding="utf-8")


def kept_path(source: Path) -> Path:
    """Where the student's notebook finds what it keeps back."""
    return findings.FOLDER / f"{source.stem[:2]}.json"


def _write_kept(kept: kept_back.Kept, path: Path) -> None:
    with cache.whole(path) as scratch:
        scratch.write_text(kept_back.text(kept), encoding="utf-8")


def pictures(made: NotebookNode) -> dict[Path, bytes]:
    """The figures that pages outside the notebooks show: those of cells tagged "picture-NAME"."""
    return {
        ROOT / "data" / "results" / f"{tag.removeprefix('picture-')}.png": b64decode(picture)
        for cell in made.cells
        for tag in cell.metadata.get("tags", ())
        if tag.startswith("picture-")
        for output in cell.outputs
        for picture in EMBEDDED.findall(output.get("data", {}).get("text/html", ""))
    }


def text(made: NotebookNode) -> str:
    """A notebook as its file has it."""
    nbformat.validate(made)
    return nbformat.writes(made).rstrip("\n") + "\n"


def main(names: list[str]) -> int:
    """Write the student's notebooks and execute the solved ones whose source starts with one of `names`."""
    for source in _some(names):
        page, kept = _both(source, solved=False)
        write(identified(page), STUDENT / f"{source.stem}.ipynb")
        _write_kept(kept, kept_path(source))
        start = time.perf_counter()
        executed = execute(notebook(source, solved=True))
        write(executed, SOLVED / f"{source.stem}.ipynb")
        for path, picture in pictures(executed).items():
            path.write_bytes(picture)
        print(f"{source.stem}: built, executed in {time.perf_counter() - start:.0f} s", flush=True)
    return 0


def course() -> int:
    """Execute every solved notebook head-less; a table of what passed and how long it took; 1 if one failed."""
    failed = 0
    for source in _some([]):
        start, outcome = time.perf_counter(), "passed"
        try:
            execute(notebook(source, solved=True))
        except CellExecutionError as error:
            failed, outcome = 1, f"FAILED: {error.ename}: {error.evalue}"
        print(f"{source.stem:32} {time.perf_counter() - start:6.1f} s  {outcome}", flush=True)
    return failed


def _some(names: list[str]) -> list[Path]:
    found = sources(names)
    if not found:
        raise CourseError(
            f"No notebook starts with {' or '.join(names)}.\nThere are: {', '.join(p.stem for p in sources())}"
        )
    return found
