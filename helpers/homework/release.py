"""`python -m helpers homework`: everything that a homework needs, from homework.yaml and the course's own sources.

Into the instructor's folder, which is nbgrader's course folder: source/NN (the instructor's version), release/NN (made
by nbgrader itself), release/homework_NN.zip (for students), otter/homework_NN.zip (otter's autograder), and
rubrics/homework_NN.md (for whoever grades what is written).
"""

import hashlib
import html
import json
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.converters import GenerateAssignment
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import ClearSolutions
from nbgrader.utils import is_solution
from traitlets.config import Config

from helpers.homework import bundle, notebook, questions, settings, with_nbgrader, with_otter
from helpers.homework.settings import Assignment
from helpers.support import CourseError, cache

CONFIG = """# What nbgrader needs to know. Made once; add your own settings below.
from helpers.homework import release, with_nbgrader

with_nbgrader.configure(get_config())  # noqa: F821  nbgrader provides it
release.configure(get_config())  # noqa: F821
"""
YEAR_ZERO = (1980, 1, 1, 0, 0, 0)  # of every file in an archive: the same content makes the same bytes
NEXT = """
All in {folder}. For you: homework.yaml (points, dates: change them, then run this again), source, rubrics, otter.
Next: give students release/homework_NN.zip; they hand in homework_NN.ipynb. Then: python -m helpers grade FOLDER
Keep the file `key`, and keep it to yourself: the keys of all homeworks come from it."""

SHEET = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>Homework {name}</title>
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 2rem auto; padding: 0 1rem }}
td, th {{ text-align: left; padding: .1rem 1rem .1rem 0 }}</style>
<h1>Homework {name}: {title}</h1>
<p><b>{points:g} points. Due {due}.</b>{late}</p>
<h2>How to start</h2>
<ol>
<li>Unpack all files into one folder. You need Python with PyTorch and Jupyter
(<code>pip install torch jupyterlab</code>, or the course's own environment). On Colab: upload all files.{needs}</li>
<li>Open <code>{notebook}.ipynb</code>, for instance with <code>jupyter lab {notebook}.ipynb</code>.</li>
<li>Write your student id into the first code cell, exactly as your instructor has it. It decides what is drawn for you;
with another spelling you work on what is another's.</li>
<li>Work from top to bottom. Restart the kernel and run all cells once more before you hand in.</li>
<li>Hand in <code>{notebook}.ipynb</code>, only this file, under this name.</li>
</ol>
<h2>What counts</h2>
<table><tr><th>part<th>points</tr>
{rows}
</table>
<p>How each part is graded stands at the top of the notebook. Your mark can be given again when your instructor makes
the key public, with the whole course and not with these files alone:
<code>python -m helpers grade --mine {notebook}.ipynb --key KEY</code></p>
</html>
"""


def main(names: list[str]) -> int:
    """Make the homework of these notebooks, or of all."""
    _first_time()
    known = settings.load()
    asked = [known.assignment(name.zfill(2)) for name in names] or known.assignments
    settings.key(known.assignments[0].name)  # made now, if there is none
    for assignment in asked:
        archive = made(assignment)
        print(f"release/{archive.name} ({archive.stat().st_size / 1000:.0f} kB): {_told(assignment)}")
    print(NEXT.format(folder=settings.folder()))
    return 0


def _first_time() -> None:
    """The settings with their comments, and nbgrader's configuration, where there are none yet."""
    for name, text in (("homework.yaml", settings.default()), ("nbgrader_config.py", CONFIG)):
        file = settings.folder() / name
        if not file.exists():
            with cache.whole(file) as scratch:
                scratch.write_text(text, encoding="utf-8")
            if name == "homework.yaml":
                print(f"{file} is new: what counts, for how much and until when. Change it, and run this again.")


def _told(assignment: Assignment) -> str:
    """Points, date and what there is, in one line."""
    counts = {many: sum(item.kind == kind for item in assignment.items) for kind, many in notebook.KINDS.items()}
    parts = [many if many.startswith("a ") else f"{count} {many}" for many, count in counts.items() if count]
    due = f"due {assignment.due:%Y-%m-%d %H:%M}" if assignment.due else "no date"
    return f"{assignment.points:g} points, {due}; {', '.join(parts)}"


def made(assignment: Assignment) -> Path:
    """Write all that an assignment needs; the students' archive."""
    name, root = assignment.name, settings.folder()
    with _put_back(root / "source" / name, root / "release" / name):
        _source(assignment)
        _generate(assignment)
    files = {file.name: file.read_bytes() for file in (root / "release" / name).iterdir() if file.is_file()}
    files["start_here.html"] = sheet(assignment).encode()
    with cache.whole(root / "rubrics" / f"{assignment.notebook_name}.md") as scratch:
        scratch.write_text(questions.sheet(name), encoding="utf-8")
    write(root / "otter" / f"{assignment.notebook_name}.zip", with_otter.autograder(assignment))
    return write(root / "release" / f"{assignment.notebook_name}.zip", files)


@contextmanager
def _put_back(*folders: Path) -> Iterator[None]:
    """Where what is inside fails, the folders are as they were: nbgrader deletes what it could not make anew."""
    with tempfile.TemporaryDirectory() as scratch:
        kept = {folder: Path(scratch, str(place)) for place, folder in enumerate(folders) if folder.exists()}
        for folder, copy in kept.items():
            shutil.copytree(folder, copy)
        try:
            yield
        except BaseException:
            for folder, copy in kept.items():
                shutil.rmtree(folder, ignore_errors=True)
                shutil.copytree(copy, folder)
            raise


def _source(assignment: Assignment) -> None:
    """nbgrader's source folder. Raises CourseError rather than overwrite what somebody has changed there."""
    target = settings.folder() / "source" / assignment.name
    file = target / f"{assignment.notebook_name}.ipynb"
    if file.exists() and not untouched(nbformat.read(file, 4)):
        raise CourseError(
            f"{file} was changed by hand, and would be written anew.\n"
            "Move it to another folder, or delete it; points, dates and exercises are changed in homework.yaml."
        )
    source = notebook.made(assignment)
    source.metadata.homework.made = _digest(source)
    nbformat.validate(source)
    files = {file.name: nbformat.writes(source) + "\n"} | bundle.files(assignment.name)
    with cache.whole(target) as scratch:
        scratch.mkdir()
        for name, text in files.items():
            (scratch / name).write_text(text, encoding="utf-8")


def untouched(source: NotebookNode) -> bool:
    """Whether a source has the cells that it was made with."""
    return source.metadata.get("homework", {}).get("made") == _digest(source)


def _digest(source: NotebookNode) -> str:
    cells = [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in source.cells]
    return hashlib.sha256(json.dumps(cells, sort_keys=True).encode()).hexdigest()[:16]


class ClearMarkedSolutions(ClearSolutions):
    """nbgrader's own; but a cell that a student fills in as it stands, and says so, is left as it is."""

    def preprocess_cell(self, cell: NotebookNode, resources: dict, cell_index: int) -> tuple[NotebookNode, dict]:
        if is_solution(cell) and notebook.PREFILLED in cell.metadata.get("tags", ()):
            return cell, resources
        return super().preprocess_cell(cell, resources, cell_index)


def configure(c: Config) -> None:
    """nbgrader's configuration for making the students' version."""
    theirs = GenerateAssignment.class_traits()["preprocessors"].default()
    c.GenerateAssignment.preprocessors = [ClearMarkedSolutions if step is ClearSolutions else step for step in theirs]
    c.ClearMarkedSolutions.code_stub = {"python": notebook.STUB}
    c.ClearMarkedSolutions.text_stub = notebook.ANSWER


def _generate(assignment: Assignment) -> None:
    """nbgrader's generate_assignment: the students' version, and the gradebook's entry. Raises CourseError."""
    config = Config()
    with_nbgrader.configure(config)
    configure(config)
    config.CourseDirectory.assignment_id = assignment.name
    converter = GenerateAssignment(CourseDirectory(config=config), config=config, force=True)
    with _findable(), with_nbgrader.quiet(converter.log) as lines:
        try:
            converter.start()
        except NbGraderException as error:
            reason = next((line for line in reversed(lines) if re.match(r"\w+(Error|Exception): ", line)), str(error))
            raise CourseError(
                f"nbgrader could not make homework {assignment.name}: {reason}\n"
                "Once something is graded, points and dates can change, and what is asked can't: take that back."
            ) from error


@contextmanager
def _findable() -> Iterator[None]:
    """nbgrader calls alembic by its name: within, programs of this environment are found."""
    path = os.environ["PATH"]
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), path])
    try:
        yield
    finally:
        os.environ["PATH"] = path


def sheet(assignment: Assignment) -> str:
    """One page for students: what counts, until when, and how to start."""
    rows = "\n".join(f"<tr><td>{html.escape(item.title)}<td>{item.points:g}</tr>" for item in assignment.items)
    late = f" Each day late, or part of one, costs {assignment.late:.0%} of the points." if assignment.late else ""
    return SHEET.format(
        name=assignment.name,
        title=html.escape(assignment.title),
        points=assignment.points,
        due=notebook.when(assignment.due),
        late=late if assignment.due else "",
        notebook=assignment.notebook_name,
        rows=rows,
        needs=html.escape(notebook.needs(assignment)),
    )


def write(target: Path, files: Mapping[str, bytes]) -> Path:
    """An archive; the same files make the same bytes."""
    with cache.whole(target) as scratch, zipfile.ZipFile(scratch, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, YEAR_ZERO)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return target
