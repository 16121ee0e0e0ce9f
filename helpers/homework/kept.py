"""Marks that were given once are kept: by the notebook's content, student, assignment, key and the code that marks."""

import functools
import hashlib
import tempfile
from pathlib import Path

from helpers.homework import marks, settings
from helpers.homework.marks import Marks
from helpers.homework.settings import Assignment
from helpers.support import ROOT, cache

Job = tuple[bytes, str, Assignment, str]  # a submission: content, student, assignment, key


NO_POINTS = (  # files of this room that don't decide about any
    *("bundle.py", "collect.py", "grade.py", "gradebook.py", "hunted.py", "inbox.py", "kept.py", "lms.py"),
    *("notebook.py", "page.py", "release.py", "report.py", "student.py", "with_nbgrader.py", "with_otter.py"),
)


@functools.cache
def version() -> str:
    """Of the code that decides about points: whatever changes here, marks are given anew."""
    shelf, rooms = (ROOT / "helpers").glob("*.py"), ("check", "homework")
    files = [*shelf, *(file for room in rooms for file in (ROOT / "helpers" / room).rglob("*.*"))]
    whole = hashlib.sha256()
    for file in sorted(file for file in files if file.suffix in (".py", ".yaml") and file.name not in NO_POINTS):
        whole.update(file.read_bytes())
    return whole.hexdigest()


def name(content: bytes, student: str, assignment: Assignment, key: str) -> str:
    """What a submission's marks are kept under."""
    without_dates = (assignment.name, assignment.term, assignment.items)
    return cache.digest(hashlib.sha256(content).hexdigest(), student, without_dates, key, version())


def file(name: str) -> Path:
    """Where marks are kept."""
    return settings.folder() / "marks" / f"{name}.json"


def find(content: bytes, student: str, assignment: Assignment, key: str) -> Marks | None:
    """Marks that were given to this submission; None where there are none."""
    try:
        return Marks.from_json(file(name(content, student, assignment, key)).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(found: Marks, content: bytes, student: str, assignment: Assignment, key: str) -> None:
    with cache.whole(file(name(content, student, assignment, key))) as scratch:
        scratch.write_text(found.to_json(), encoding="utf-8")


def of(content: bytes, student: str, assignment: Assignment, key: str) -> Marks:
    """The marks of a submission, kept ones where there are any."""
    found = find(content, student, assignment, key)
    if found is None:
        found = given(content, student, assignment, key)
        keep(found, content, student, assignment, key)
    return found


def given(content: bytes, student: str, assignment: Assignment, key: str) -> Marks:
    """The marks of a submission, given now; a worker on another machine has its content only."""
    with tempfile.TemporaryDirectory() as scratch:
        notebook = Path(scratch) / f"{assignment.notebook_name}.ipynb"
        notebook.write_bytes(content)
        return marks.of(notebook, student, assignment, key)


def elsewhere(content: bytes, student: str, assignment: Assignment, key: str) -> str:
    """A submission's marks as JSON, from another process or machine."""
    return given(content, student, assignment, key).to_json()
