"""The thin front end for nbgrader: marks.of decides about points, nbgrader keeps, shows and returns them.

Nothing of a submission runs in nbgrader's process: GradeByClaims stands where nbgrader executes a notebook. It writes
into every graded cell what nbgrader would have read there after a run: a message, and the points as the cell's result.
`python -m helpers grade` and nbgrader's own commands in the course folder use the same configuration, `configure`.
"""

import json
import logging
import math
import os
import textwrap
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from glob import escape
from pathlib import Path

import nbformat
from nbconvert.preprocessors import ClearMetadataPreprocessor
from nbformat import NotebookNode
from nbgrader import preprocessors as theirs
from nbgrader.api import Gradebook, MissingEntry, SubmittedAssignment
from nbgrader.apps.zipcollectapp import ZipCollectApp
from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.converters.base import BaseConverter, NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.plugins import LateSubmissionPlugin
from nbgrader.preprocessors import NbGraderPreprocessor
from sqlalchemy.exc import SAWarning
from traitlets.config import Config

from helpers.homework import kept, lms, settings
from helpers.homework.collect import Submission, drawn
from helpers.homework.marks import Mark
from helpers.homework.settings import Assignment
from helpers.support import CourseError, cache, sha256

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
    """Writes marks.of's message and points into every graded code cell."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        where, course = resources["nbgrader"], self.parent.parent.coursedir
        assignment = settings.load().assignment(where["assignment"])
        handed_in = Path(course.format_path(course.submitted_directory, where["student"], where["assignment"]))
        job = submitted(handed_in / f"{where['notebook']}.ipynb", where["student"], assignment)
        marks = kept.of(*job)
        by_item = {mark.item: mark for mark in marks.marks}
        for cell in nb.cells:
            about = cell.metadata.get("nbgrader", {})
            if cell.cell_type == "code" and about.get("grade") and not about.get("solution"):
                cell.outputs = written(by_item[about["grade_id"]], float(about["points"]))
        nb.metadata["graded"] = stamp(job, handed_in)
        return nb, resources


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
    return file.read_bytes(), drawn(file, student, roster), assignment, settings.key()


def stamp(job: kept.Job, handed_in: Path) -> str:
    """What nbgrader's own part of the grading depends on."""
    when, (_, _, assignment, _) = handed_in / "timestamp.txt", job
    late = (when.read_text() if when.exists() else "", str(assignment.due), assignment.late)
    return cache.digest(kept.name(*job), late)


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
    c.AssignLatePenalties.plugin_class = LateByDay
    c.FileNameCollectorPlugin.named_regexp = r".*[/\\](?P<student_id>[^/\\]+)[/\\](?P<file_id>[^/\\]+)\.(ipynb|txt)$"
    c.FileNameCollectorPlugin.valid_ext = [".ipynb", ".txt"]  # .txt: timestamp.txt


@dataclass(frozen=True)
class Course:
    """nbgrader's course folder and gradebook, for one assignment."""

    assignment: Assignment

    def config(self) -> Config:
        made = Config()
        configure(made)
        made.CourseDirectory.assignment_id = self.assignment.name
        return made

    def gradebook(self) -> Gradebook:
        return Gradebook(CourseDirectory(config=self.config()).db_url, "")

    def ready(self) -> None:
        """Raises CourseError unless the assignment was made here; the gradebook then has its date."""
        name, due = self.assignment.name, self.assignment.due
        absent = CourseError(
            f"Homework {name} is not in the gradebook in {settings.folder()}: it was not made there.\n"
            f"Run: python -m helpers homework {name}"
        )
        if not (settings.folder() / "gradebook.db").exists():
            raise absent
        with self.gradebook() as book:
            try:
                book.find_assignment(name)
            except MissingEntry:
                raise absent from None
            utc = due.astimezone(UTC).replace(tzinfo=None) if due else None
            book.update_or_create_assignment(name, duedate=utc)

    def collect(self, submissions: Iterable[Submission], extracted: Path) -> None:
        """nbgrader's zip_collect, from what `collect` found: into submitted/STUDENT/ASSIGNMENT, with the time."""
        for submission in submissions:
            if submission.when:
                (submission.file.parent / "timestamp.txt").write_text(f"{submission.when.isoformat(' ')} UTC")
        app = ZipCollectApp(config=self.config(), force=True)
        app.coursedir = CourseDirectory(parent=app)
        app.extracted_directory, app.downloaded_directory = extracted.name, extracted.parent.name
        app.collect_directory_structure = os.path.join("{downloaded}", "{collect_step}", "{assignment_id}")
        with quiet(app.log):
            app.init_plugins()
            app.process_extracted_files()

    def is_graded(self, student: str) -> bool:
        """Whether nbgrader has graded just this submission: grading again would ask for written items again."""
        course = CourseDirectory(config=self.config())
        done, handed_in = (
            Path(course.format_path(step, student, self.assignment.name))
            for step in (course.autograded_directory, course.submitted_directory)
        )
        name = f"{self.assignment.notebook_name}.ipynb"
        try:
            found = json.loads((done / name).read_text(encoding="utf-8"))["metadata"].get("graded")
            return found == stamp(submitted(handed_in / name, student, self.assignment), handed_in)
        except (OSError, ValueError, KeyError):
            return False

    def grade(self, student: str) -> str:
        """nbgrader's autograde of one submission; what went wrong, or nothing."""
        return self._run(Autograde, student)

    def feedback(self, student: str) -> str:
        """nbgrader's page for one student; what went wrong, or nothing."""
        return self._run(GenerateFeedback, student)

    def stale(self, results: dict[str, "Result"]) -> list[str]:
        """The students whose page is missing, or not what the gradebook has now."""
        shown = self._shown()
        return [student for student, result in results.items() if shown.get(student) != self._page(student, result)]

    def keep_shown(self, results: dict[str, "Result"]) -> None:
        """Remember what these students' pages show."""
        shown = self._shown() | {student: self._page(student, result) for student, result in results.items()}
        with cache.whole(self._ledger) as scratch:
            scratch.write_text(json.dumps(shown))

    @property
    def _ledger(self) -> Path:
        return settings.folder() / "marks" / f"pages_{self.assignment.name}.json"

    def _shown(self) -> dict[str, str]:
        try:
            return json.loads(self._ledger.read_text())
        except (OSError, ValueError):
            return {}

    def _page(self, student: str, result: "Result") -> str:
        course = CourseDirectory(config=self.config())
        page = Path(course.format_path(course.feedback_directory, student, self.assignment.name))
        done = Path(course.format_path(course.autograded_directory, student, self.assignment.name))
        notebook = done / f"{self.assignment.notebook_name}.ipynb"
        return cache.digest(result, sha256(notebook) if notebook.exists() else "", page.exists())

    def _run(self, kind: type[BaseConverter], student: str) -> str:
        config = self.config()
        config.CourseDirectory.student_id = escape(student)
        if kind is GenerateFeedback:
            config.HTMLExporter.template_name = "feedback"
        converter = kind(CourseDirectory(config=config), config=config, force=True)
        with quiet(converter.log) as lines:
            try:
                converter.start()
            except NbGraderException as error:
                return next((line for line in reversed(lines) if "rror" in line), str(error))
        return ""

    def submissions(self, book: Gradebook) -> Iterator[SubmittedAssignment]:
        """All that are in the gradebook, with the penalty for being late on what written items have brought since."""
        for submission in book.assignment_submissions(self.assignment.name):
            for notebook in submission.notebooks:
                late = float(submission.total_seconds_late)
                notebook.late_submission_penalty = penalty(self.assignment, notebook.score, late)
            book.db.commit()
            yield submission

    def results(self) -> dict[str, "Result"]:
        """What the gradebook has for each student."""
        with self.gradebook() as book:
            return {submission.student_id: _result(submission) for submission in self.submissions(book)}


@dataclass(frozen=True)
class Result:
    """A student's points, as far as they are known; None for items that wait for a person."""

    items: dict[str, float | None]
    comments: tuple[str, ...]
    penalty: float

    @property
    def points(self) -> float:
        return round(max(0.0, sum(points or 0.0 for points in self.items.values()) - self.penalty), 2)

    @property
    def waiting(self) -> int:
        return sum(points is None for points in self.items.values())


def _result(submission: SubmittedAssignment) -> Result:
    grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
    comments = [comment.comment or "" for notebook in submission.notebooks for comment in notebook.comments]
    items = {grade.name: None if grade.needs_manual_grade else grade.score for grade in grades}
    return Result(items, tuple(comments), submission.late_submission_penalty)


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
