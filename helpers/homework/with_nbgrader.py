"""The thin front end for nbgrader: marks.of decides about points, nbgrader keeps, shows and returns them.

Nothing of a submission runs in nbgrader's process: GradeByClaims stands where nbgrader executes a notebook. It writes
into every graded cell what nbgrader would have read there after a run: a message, and the points as the cell's result.
`python -m helpers grade` and nbgrader's own commands in the course folder use the same configuration, `configure`.
"""

import logging
import math
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import nbformat
from nbconvert.preprocessors import ClearMetadataPreprocessor, CSSHTMLHeaderPreprocessor
from nbformat import NotebookNode
from nbgrader import preprocessors as theirs
from nbgrader.plugins import LateSubmissionPlugin
from nbgrader.preprocessors import NbGraderPreprocessor
from sqlalchemy.exc import SAWarning
from traitlets.config import Config

from helpers.homework import draws, hunted, kept, lms, settings
from helpers.homework.collect import about, drawn, points
from helpers.homework.marks import Mark, student_of
from helpers.homework.page import ForStudents, StudentsPage
from helpers.homework.settings import Assignment
from helpers.support import CourseError, cache

SIGNS = {"passed": "✓ passed", "partly": "partly right", "failed": "✗ failed", "crashed": "✗ crashed"}
PUT_BACK = "\n\n*(This cell was missing and was put back. The answer may be elsewhere in the notebook.)*"
DAY = 24 * 60 * 60
WIDTH = 100


class MendCells(NbGraderPreprocessor):
    """Puts edited and deleted cells back, and takes every cell's place and points from the release.

    nbgrader's own `add_missing_cells` needs the cell before the missing one; and a submission whose metadata say
    "an old nbgrader" would end the grading of the whole class.
    """

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        where, course = resources["nbgrader"], self.parent.parent.coursedir
        release = course.format_path(course.release_directory, ".", where["assignment"])
        return mended(nb, nbformat.read(Path(release) / f"{where['notebook']}.ipynb", 4)), resources


def mended(nb: NotebookNode, release: NotebookNode) -> NotebookNode:
    """The student's cells, and every cell of the release that nbgrader knows by name, with the student's answer."""
    named = [cell for cell in release.cells if _id(cell)]
    answers = _answers(nb, {_id(cell): cell.source for cell in named})
    cells = [(_id(cell) if answers.get(_id(cell)) is cell else None, _plain(cell)) for cell in nb.cells]
    last = -1
    for cell in named:
        places = [place for place, (name, _) in enumerate(cells) if name == _id(cell)]
        last = places[0] if places else last + 1
        cells[last : last + len(places)] = [(_id(cell), _answered(cell, answers.get(_id(cell))))]
    made = nbformat.v4.new_notebook(cells=[cell for _, cell in cells], metadata=release.metadata)
    for place, cell in enumerate(made.cells):
        cell.id = f"cell-{place}"
    return made


def _answered(cell: NotebookNode, answer: NotebookNode | None) -> NotebookNode:
    """A cell of the release with the student's text where that is asked for.

    An answer cell that was deleted is put back with a note: unchanged it would count as "no response", without anyone
    having looked whether the answer is elsewhere.
    """
    made = nbformat.from_dict(cell)
    if made.metadata.nbgrader.get("solution"):
        made.source = answer.source if answer else cell.source + (PUT_BACK if cell.cell_type == "markdown" else "")
        if answer and cell.cell_type == "markdown" and isinstance(answer.get("attachments"), dict):
            made.attachments = answer.attachments
    return made


def _answers(nb: NotebookNode, empty: dict[str, str]) -> dict[str, NotebookNode]:
    """The cell that answers for each name: of copies the last that differs from the release's."""
    found: dict[str, NotebookNode] = {}
    for cell in nb.cells:
        name = _id(cell)
        if name in empty and (name not in found or cell.source != empty[name]):
            found[name] = cell
    return found


def _id(cell: NotebookNode) -> str | None:
    about = cell.metadata.get("nbgrader") if isinstance(cell.get("metadata"), dict) else None
    name = about.get("grade_id") if isinstance(about, dict) else None
    return name if isinstance(name, str) else None


def _plain(cell: NotebookNode) -> NotebookNode:
    """A cell of the student's own, without anything but its text."""
    kinds = {"code": nbformat.v4.new_code_cell, "raw": nbformat.v4.new_raw_cell}
    return kinds.get(cell.get("cell_type"), nbformat.v4.new_markdown_cell)(cell.source)


class GradeByClaims(NbGraderPreprocessor):
    """Writes marks.of's message and points into every graded code cell, and what was drawn where it is shown."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        where, course = resources["nbgrader"], self.parent.parent.coursedir
        assignment = settings.load().assignment(where["assignment"])
        agreed(assignment)
        handed_in = Path(course.format_path(course.submitted_directory, where["student"], where["assignment"]))
        file = handed_in / f"{where['notebook']}.ipynb"
        job = submitted(file, where["student"], assignment)
        by_item = {mark.item: _told(mark, assignment, job[1]) for mark in kept.of(*job).marks}
        shown = hunted.shown(assignment, job[1])
        for cell in nb.cells:
            own = cell.metadata.get("nbgrader", {})
            if cell.cell_type == "code" and own.get("grade") and not own.get("solution"):
                cell.outputs = written(by_item[own["grade_id"]], float(own["points"]))
            elif own.get("grade_id") in shown:
                cell.outputs = [shown[own["grade_id"]]]
        nb.cells[:0] = _other_id(student_of(file), job[1])
        nb.metadata["graded"], nb.metadata["drawn"] = stamp(job, handed_in), job[1]
        return nb, resources


def _told(mark: Mark, assignment: Assignment, student: str) -> Mark:
    """A mark as a student's page says it: after the deadline also why a function is wrong that was not exposed."""
    bug = hunted.wrong(assignment, student).get(mark.item)
    if bug and not mark.held and _over(assignment):
        return replace(mark, message=f"{mark.message}\nWhat is wrong with this function: {bug.why}")
    return mark


def _over(assignment: Assignment) -> bool:
    return assignment.due is not None and datetime.now(UTC) > assignment.due


def _other_id(named: str, drawn: str) -> list[NotebookNode]:
    """A note where the notebook names somebody else than its tasks were drawn for: nothing in it may fit then."""
    if draws.identity(named) == draws.identity(drawn):
        return []
    said = f"names another id ({named[:80]!r})" if named else "names no id"
    text = f"**Your notebook {said}: functions and table here are those of {drawn!r}.** If that is you, they are yours."
    return [nbformat.v4.new_markdown_cell(text, id="another-id")]


def agreed(assignment: Assignment) -> None:
    """Raises CourseError where the release has other points than homework.yaml: nbgrader would mix the two for good."""
    file = settings.folder() / "release" / assignment.name / f"{assignment.notebook_name}.ipynb"
    made = nbformat.read(file, 4) if file.exists() else nbformat.v4.new_notebook()
    now, then = {item.id: item.points for item in assignment.items}, points(made)
    term = about(made).get("term", assignment.term)
    other = [id for id in now | then if now.get(id) != then.get(id)] + ["term"] * (term != assignment.term)
    if other:
        raise CourseError(
            f"Homework {assignment.name} was made by another homework.yaml than this: {', '.join(other)} differ.\n"
            f"Run: python -m helpers homework {assignment.name}; it says so where a change comes too late. Then grade."
        )


def written(mark: Mark, most: float) -> list[NotebookNode]:
    """What determine_grade reads: without a result it would give all points, so there always is one."""
    points = min(mark.points or 0.0, most)
    said = f"{SIGNS.get(mark.status, mark.status)}: {points:g} of {most:g} points"
    told = nbformat.v4.new_output("stream", name="stdout", text=f"{said}\n{_wrapped(mark.message)}\n")
    return [told, nbformat.v4.new_output("execute_result", data={"text/plain": repr(float(points))})]


def _wrapped(message: str) -> str:
    """Sentences in lines that fit on a page; lines of a traceback stay as they are."""
    return "\n".join(line if line[:1] == " " else textwrap.fill(line, WIDTH) for line in message.splitlines())


def submitted(file: Path, student: str, assignment: Assignment) -> kept.Job:
    """A submission as nbgrader has it in its folders."""
    roster = lms.roster(settings.folder() / lms.ROSTER)
    return file.read_bytes(), drawn(file, student, roster), assignment, settings.key(assignment.name)


def stamp(job: kept.Job, handed_in: Path) -> str:
    """What nbgrader's own part of the grading depends on."""
    when = handed_in / "timestamp.txt"
    return cache.digest(kept.name(*job), when.read_text() if when.exists() else "", _over(job[2]))


class LateByDay(LateSubmissionPlugin):
    """Takes off the share that homework.yaml says for each day that has begun."""

    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float | None:
        return penalty(settings.load().assignment(self.parent.assignment_id), score, total_seconds_late)


def penalty(assignment: Assignment, score: float, seconds: float) -> float | None:
    days = math.ceil(seconds / DAY)
    return round(min(1.0, assignment.late * days) * score, 2) if days > 0 else None


def configure(c: Config) -> None:
    """nbgrader's configuration for this homework: nbgrader_config.py calls it, and so does `grade`."""
    c.CourseDirectory.root = str(settings.folder().resolve())
    c.Autograde.sanitize_preprocessors = [
        MendCells,
        theirs.ClearOutput,
        theirs.DeduplicateIds,
        theirs.OverwriteKernelspec,
        theirs.OverwriteCells,
        theirs.CheckCellMetadata,
    ]
    c.Autograde.autograde_preprocessors = [
        GradeByClaims,
        theirs.ClearHiddenTests,
        theirs.IgnorePattern,
        ClearMetadataPreprocessor,
        theirs.LimitOutput,
        theirs.SaveAutoGrades,
        theirs.AssignLatePenalties,
        theirs.CheckCellMetadata,
    ]
    c.GenerateFeedback.preprocessors = [theirs.GetGrades, ForStudents, CSSHTMLHeaderPreprocessor]
    c.GenerateFeedback.exporter_class = StudentsPage
    c.HTMLExporter.exclude_input_prompt = c.HTMLExporter.exclude_output_prompt = True
    c.AssignLatePenalties.plugin_class = LateByDay
    c.FileNameCollectorPlugin.named_regexp = r".*[/\\](?P<student_id>[^/\\]+)[/\\](?P<file_id>[^/\\]+)\.(ipynb|txt)$"
    c.FileNameCollectorPlugin.valid_ext = [".ipynb", ".txt"]  # .txt: timestamp.txt


@contextmanager
def quiet(log: logging.Logger) -> Iterator[list[str]]:
    """nbgrader's log in a list, not on the screen."""
    lines: list[str] = []
    keeper = logging.Handler()
    keeper.emit = lambda record: lines.extend(record.getMessage().strip().splitlines())
    former, log.handlers, spread, log.propagate = log.handlers, [keeper], log.propagate, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)  # nbgrader 0.9.6 with SQLAlchemy 2
            yield lines
    finally:
        log.handlers, log.propagate = former, spread
