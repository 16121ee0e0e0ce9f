"""nbgrader's course folder and gradebook, for one assignment: collected, graded, shown, and what is in it then.

nbgrader's converters are called here, all in one process: starting nbgrader once for each submission takes seconds.
"""

import json
import os
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC
from glob import escape
from pathlib import Path

import nbformat
from nbgrader.api import Grade, Gradebook, MissingEntry, SubmittedAssignment
from nbgrader.apps.zipcollectapp import ZipCollectApp
from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.converters.base import BaseConverter, NbGraderException
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from helpers.homework import settings
from helpers.homework.collect import Flag, Submission, drawn, points, safe
from helpers.homework.lms import Person, Roster
from helpers.homework.settings import Assignment
from helpers.homework.with_nbgrader import agreed, configure, penalty, quiet, stamp, submitted
from helpers.support import CourseError, cache, sha256

ANOTHER_ID = (
    "was graded under this name; the roster has them as {id!r}. In no table and not in this report: grade what they "
    "handed in again, then run `nbgrader db student remove --force {student}` in the course folder"
)


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
        """Raises CourseError unless the assignment was made here, as it is now; the gradebook then has its date."""
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
        agreed(self.assignment)

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

    def earlier(self, now: Iterable[Submission], roster: Roster) -> tuple[list[Submission], list[Flag]]:
        """Those of the class that this download has not, as they were handed in; a line for who has another id now."""
        with self.gradebook() as book:
            left = {own.student_id for own in book.assignment_submissions(self.assignment.name)}
        found, flags, known = [], [], self._people()
        for student in sorted(left - {own.student for own in now}):
            listed = roster.find(student)
            if listed and safe(listed.id) != student:
                flags.append(Flag(student, ANOTHER_ID.format(id=listed.id, student=shlex.quote(student))))
                continue
            file = self._file("submitted", student)
            if file.exists():
                person = listed or known.get(student) or Person(student, student)
                found.append(Submission(student, self.assignment, file, drawn(file, student, roster), person))
        return found, flags

    def keep_people(self, people: dict[str, Person]) -> None:
        """Remember who the LMS says each student is: a later download may be of others only."""
        with cache.whole(self._ledger("people")) as scratch:
            scratch.touch(0o600)
            scratch.write_text(json.dumps({student: asdict(person) for student, person in people.items()}))

    def _people(self) -> dict[str, Person]:
        return {student: Person(**about) for student, about in _read(self._ledger("people")).items()}

    def is_graded(self, student: str) -> bool:
        """Whether nbgrader has graded just this submission: grading again would ask for written items again."""
        file = self._file("submitted", student)
        try:
            found = json.loads(self._file("autograded", student).read_text(encoding="utf-8"))["metadata"].get("graded")
            return found == stamp(submitted(file, student, self.assignment), file.parent)
        except (OSError, ValueError, KeyError):
            return False

    def grade(self, student: str) -> str:
        """nbgrader's autograde of one submission; what went wrong, or nothing."""
        with self.gradebook() as book:
            given = self._grades(book, student)
            before = {id: about for id, (own, about) in given.items() if _confirmed(own)}
        problem = self._run(Autograde, student)
        with self.gradebook() as book:
            for id, (own, about) in self._grades(book, student).items():
                if before.get(id) == about:  # nbgrader asks for every point that a person gave once more
                    own.needs_manual_grade = False
            book.db.commit()
        return problem

    def _grades(self, book: Gradebook, student: str) -> dict[str, tuple[Grade, tuple]]:
        """Each grade by its item, with what it is about: the answer, its points, who the tasks were drawn for."""
        name = self.assignment.notebook_name
        try:
            made = nbformat.read(self._file("autograded", student), 4)
            grades = book.find_submission_notebook(name, self.assignment.name, student).grades
        except (OSError, ValueError, MissingEntry):
            return {}
        answers = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell.source for cell in made.cells}
        worth, drawn = points(made), made.metadata.get("drawn")
        return {own.name: (own, (answers.get(own.name), worth.get(own.name), drawn, own.auto_score)) for own in grades}

    def feedback(self, student: str) -> str:
        """nbgrader's page for one student; what went wrong, or nothing."""
        return self._run(GenerateFeedback, student)

    def stale(self, results: dict[str, "Result"]) -> list[str]:
        """The students whose page is missing, or not what the gradebook has now."""
        shown = _read(self._ledger("pages"))
        return [student for student, result in results.items() if shown.get(student) != self._page(student, result)]

    def keep_shown(self, results: dict[str, "Result"]) -> None:
        """Remember what these students' pages show."""
        ledger = self._ledger("pages")
        shown = _read(ledger) | {student: self._page(student, result) for student, result in results.items()}
        with cache.whole(ledger) as scratch:
            scratch.write_text(json.dumps(shown))

    def _ledger(self, kind: str) -> Path:
        return settings.folder() / "marks" / f"{kind}_{self.assignment.name}.json"

    def _file(self, step: str, student: str) -> Path:
        """A student's notebook in one of nbgrader's folders: "submitted" or "autograded"."""
        course = CourseDirectory(config=self.config())
        folder = course.format_path(getattr(course, f"{step}_directory"), student, self.assignment.name)
        return Path(folder) / f"{self.assignment.notebook_name}.ipynb"

    def _page(self, student: str, result: "Result") -> str:
        course = CourseDirectory(config=self.config())
        page = Path(course.format_path(course.feedback_directory, student, self.assignment.name))
        notebook = self._file("autograded", student)
        return cache.digest(result, sha256(notebook) if notebook.exists() else "", page.exists())

    def _run(self, kind: type[BaseConverter], student: str) -> str:
        config = self.config()
        config.CourseDirectory.student_id = escape(student)
        if kind is GenerateFeedback:
            config.HTMLExporter.template_name = "feedback"
            config.CourseDirectory.ignore = ["*"]  # what lies beside a notebook belongs on no page
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


def _read(ledger: Path) -> dict:
    """What was remembered; nothing where that is lost."""
    try:
        return json.loads(ledger.read_text())
    except (OSError, ValueError):
        return {}


def _confirmed(grade: Grade) -> bool:
    return grade.manual_score is not None and not grade.needs_manual_grade


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
