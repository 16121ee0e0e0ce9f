"""Grades in the columns that Canvas and Moodle import, and who is in the class, from what the two export.

Canvas: Instructor Guide, "How do I import grades in the Gradebook?", and what reads the file, canvas-lms
`lib/gradebook_importer.rb`: the columns Student, ID, (SIS User ID, SIS Login ID,) Section come first, in this order; a
student is found by ID, else SIS User ID, else SIS Login ID, else name; "title (id)" names an assignment, a title alone
makes a new one; a row "Points Possible" follows the header; an empty cell changes nothing.

Moodle: docs "Assignment FAQ", grading worksheet, and what reads it, `mod/assign/feedback/offline/importgradeslib.php`:
Identifier ("Participant 12345"), Grade and Last modified (grade) must be there, in English; Feedback comments is read
where that kind of feedback is on; the other columns are ignored. A grade that was changed in Moodle after "Last
modified" is left alone unless the box "Allow updating records that have been modified more recently" is ticked.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pandas as pd

from helpers.homework import draws
from helpers.homework.settings import Assignment
from helpers.support import CourseError, cache

ROSTER = "roster.csv"
CANVAS = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
MOODLE = [
    "Identifier",
    "Full name",
    "Email address",
    "Status",
    "Grade",
    "Maximum Grade",
    "Grade can be changed",
    "Last modified (submission)",
    "Last modified (grade)",
    "Feedback comments",
]


@dataclass(frozen=True)
class Person:
    """A student as the roster has them; what it does not have is empty."""

    id: str
    name: str = ""
    email: str = ""
    canvas: str = ""  # Canvas' own number: ID
    sis: str = ""
    login: str = ""
    section: str = ""
    moodle: str = ""  # Moodle's own number: the one in "Participant 12345"
    submitted: str = ""

    @property
    def ids(self) -> set[str]:
        """What a student may have written as "my id"."""
        return {draws.identity(id) for id in (self.id, self.login, self.sis, self.email, self.canvas) if id}


@dataclass(frozen=True)
class Roster:
    """Who is in the class; `columns` are those of the file that it was read from."""

    people: tuple[Person, ...] = ()
    columns: tuple[str, ...] = ()

    def find(self, name: str, number: str = "", system: str = "") -> Person | None:
        """The one person with this number in that system, or with this id, e-mail address or name; None if not one."""
        if system:
            own = [person for person in self.people if number and getattr(person, system) == number]
            if own:
                return own[0] if len(own) == 1 else None
        wanted = draws.identity(name)
        for what in ("id", "login", "sis", "email", "canvas", "moodle"):
            if found := [p for p in self.people if wanted and draws.identity(getattr(p, what)) == wanted]:
                return found[0] if len(found) == 1 else None
        found = [person for person in self.people if _letters(name) and _letters(name) == _letters(person.name)]
        return found[0] if len(found) == 1 else None


def _letters(name: str) -> str:
    """A name's letters in a fixed order: Canvas takes out spaces and commas, and puts the last name first."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return "".join(sorted(letter for letter in plain if letter.isalnum()))


def roster(file: Path) -> Roster:
    """The roster in `file`: Canvas' export, Moodle's grading worksheet, or columns of our own; empty without a file."""
    if not file.is_file():
        return Roster()
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False, sep=None, engine="python", encoding="utf-8-sig")
    except Exception as error:  # what pandas raises depends on what is in the file
        first = str(error).splitlines()[0]
        raise CourseError(f"{file} can't be read as a table ({first}).\nExport it again, as CSV in UTF-8.") from error
    table.columns = [str(column).strip() for column in table.columns]
    rows = [{column: str(value).strip() for column, value in row.items()} for row in table.to_dict("records")]
    people = tuple(person for row in rows if (person := _person(row, file)).id)
    return Roster(people, tuple(table.columns))


def _person(row: dict[str, str], file: Path) -> Person:
    if "Student" in row and "ID" in row:
        return _from_canvas(row)
    if "Identifier" in row:
        return _from_moodle(row)
    own = {column.lower(): value for column, value in row.items()}
    if "id" not in own:
        raise CourseError(
            f"{file} has no column `id`.\n"
            "Columns: id, name, email, canvas, moodle, section; or Canvas' export or Moodle's grading worksheet."
        )
    return Person(**{name: own.get(name, "") for name in Person.__dataclass_fields__})


def _from_canvas(row: dict[str, str]) -> Person:
    get = row.get
    if not get("ID"):  # the rows "Points Possible" and "Manual Posting"
        return Person("")
    sis, login = get("SIS User ID", ""), get("SIS Login ID", "")
    name = re.sub(r'^="(.*)"$', r"\1", get("Student", ""))  # Canvas' own guard against formulas
    return Person(login or sis or get("ID"), name, "", get("ID"), sis, login, get("Section", ""))


def _from_moodle(row: dict[str, str]) -> Person:
    number = re.sub(r"\D", "", row["Identifier"])
    name, email = row.get("Full name", ""), row.get("Email address", "")
    submitted = row.get("Last modified (submission)", "").strip("- ")
    id = row.get("ID number") or row.get("Username") or email or name or number
    return Person(id, name, email, moodle=number, submitted=submitted)


@dataclass(frozen=True)
class Grade:
    """What a student gets; `points` is None where there is nothing to import."""

    person: Person
    points: float | None
    comments: tuple[str, ...] = ()


def canvas(grades: Iterable[Grade], assignment: Assignment, roster: Roster, file: Path) -> None:
    """A file for Canvas' Gradebook > Import."""
    title = _title(assignment, roster)
    rows = [{"Student": "    Points Possible", title: f"{assignment.points:g}"}]
    for grade in grades:
        person = grade.person
        known = [harmless(person.name or person.id), person.canvas, person.sis, person.login, person.section]
        rows.append(dict(zip(CANVAS, map(harmless, known), strict=True)) | {title: _points(grade.points)})
    _write(pd.DataFrame(rows, columns=[*CANVAS, title]), file)


def _title(assignment: Assignment, roster: Roster) -> str:
    """The assignment's column in Canvas' own export, which ends in its id; without one Canvas makes a new one."""
    own = assignment.notebook_name
    columns = [column for column in roster.columns if re.fullmatch(rf"{own}\b.*\(\d+\)", column, re.I)]
    return columns[0] if columns else own


def moodle(grades: Iterable[Grade], assignment: Assignment, file: Path) -> None:
    """A file for Moodle's assignment > Upload grading worksheet."""
    rows = []
    for grade in grades:
        person = grade.person
        rows.append(
            {
                "Identifier": f"Participant {person.moodle}" if person.moodle else "",
                "Full name": harmless(person.name or person.id),
                "Email address": harmless(person.email),
                "Grade": _points(grade.points),
                "Maximum Grade": f"{assignment.points:g}",
                "Grade can be changed": "Yes",
                "Last modified (submission)": harmless(person.submitted or ""),
                "Last modified (grade)": "-",
                "Feedback comments": harmless("<br>".join(escape(line, quote=False) for line in grade.comments)),
            }
        )
    _write(pd.DataFrame(rows, columns=MOODLE), file)


def harmless(text: str) -> str:
    """Text that a spreadsheet shows and does not compute; both systems find a student by number, not by name."""
    return f"'{text}" if text.lstrip()[:1] in tuple("=+-@|%") or text[:1] in ("\t", "\r", "\n") else text


def _points(points: float | None) -> str:
    return "" if points is None else f"{points:.2f}".rstrip("0").rstrip(".")


def _write(table: pd.DataFrame, file: Path) -> None:
    with cache.whole(file) as scratch:
        table.to_csv(scratch, index=False, encoding="utf-8", lineterminator="\n")


def lacking(grades: Iterable[Grade], column: str) -> int:
    """How many students lack the LMS's own number ("canvas" or "moodle"), by which it finds them."""
    return sum(not getattr(grade.person, column) for grade in grades)
