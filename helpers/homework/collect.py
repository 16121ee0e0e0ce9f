"""What was handed in, as Canvas, Moodle or a folder has it: one notebook a student, and a line for what is none.

nbgrader's zip_collect then takes these into its own folders (`gradebook.Course.collect`). It can't find them: it
unpacks every archive whole, has one pattern of names for all files, and ends at the first student with two notebooks.
"""

import re
import shutil
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import nbformat
from nbformat import NotebookNode
from nbgrader.utils import parse_utc

from helpers.homework import draws, marks
from helpers.homework.inbox import MOST, Entry, Unusable, climbs, entries, expanded
from helpers.homework.lms import Person, Roster
from helpers.homework.settings import Assignment
from helpers.support import CourseError, cache

CANVAS = re.compile(r"(?P<name>.+?)_(?P<late>LATE_)?(?P<number>\d+)_(?P<file>\d+)_(?P<rest>.+)")
MOODLE = re.compile(r"(?P<name>.+)_(?P<number>\d+)_assignsubmission_[a-z]+(_(?P<rest>.*))?")
HOMEWORK = re.compile(r"homework[_ -]?(\d\d)", re.I)
NOT_GRADED = "not graded"  # how such a line begins
AGAIN = re.compile(r"(?:-(\d{1,2})| ?\((\d{1,2})\))$")  # Canvas counts resubmissions, a browser counts downloads
START = re.compile(r'^homework\.start\("(?P<name>[^"]*)", "(?P<term>[^"]*)"', re.M)


@dataclass(frozen=True)
class Flag:
    """Something for a person to look at, in one line."""

    student: str
    what: str


@dataclass(frozen=True)
class Submission:
    """The one notebook of a student that counts."""

    student: str  # as the roster or the LMS has it; a safe name of a folder
    assignment: Assignment
    file: Path
    drawn: str  # the id that everything is drawn from
    person: Person
    when: datetime | None = None  # UTC, without a time zone, as nbgrader keeps it


@dataclass(frozen=True)
class Owner:
    """Whose a file is, by the name that the LMS or the instructor gave it."""

    name: str
    number: str = ""  # the LMS's own number of the student
    system: str = ""  # "canvas", "moodle", or neither
    late: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.system, self.number or self.name.casefold()

    def person(self, roster: Roster) -> Person:
        """Who that is: as the roster has them, else as the LMS's name says."""
        numbers = {self.system: self.number} if self.system else {}
        return roster.find(self.name, self.number, self.system) or Person(self.name, self.name, **numbers)


@dataclass
class Pile:
    """Everything that one student handed in."""

    owner: Owner
    entries: list[Entry] = field(default_factory=list)


def collected(
    source: Path, asked: Assignment | None, known: dict[str, Assignment], roster: Roster, into: Path
) -> tuple[list[Submission], list[Flag]]:
    """One notebook a student in `into`/ASSIGNMENT/STUDENT, and a line for everything else. Nothing is run."""
    shutil.rmtree(into, ignore_errors=True)  # of an earlier run
    piles = _piles(source)
    names = _students(piles, roster)
    found, flags = [], []
    for pile in piles:
        student = names[pile.owner.key]
        try:
            entry, others = _chosen(pile, asked)
            named = _named(entry, asked, known)
            content, said = _notebook(entry)
            assignment = _assignment(entry, named, said, known)
        except Unusable as reason:
            flags.append(Flag(student, f"{NOT_GRADED}: {reason}"))
            continue
        file = into / assignment.name / student / f"{assignment.notebook_name}.ipynb"
        with cache.whole(file) as scratch:
            scratch.write_bytes(content)
        person = pile.owner.person(roster)
        when, problem = _when(pile, person)
        flags += [Flag(student, problem)] if problem else []
        flags += [Flag(student, f"{entry.shown} was taken, and not {'; '.join(others)}")] if others else []
        found.append(Submission(student, assignment, file, drawn(file, student, roster), person, when))
    return found, [*flags, *same(found)]


def drawn(file: Path, student: str, roster: Roster) -> str:
    """The id that a submission's tasks were drawn from: what the notebook says, unless the roster knows better."""
    said, person = marks.student_of(file), roster.find(student)
    if person is None:
        return said or student
    return said if draws.identity(said) in person.ids else person.id


def same(found: list[Submission]) -> Iterator[Flag]:
    """A line for each of several notebooks that name the same student."""
    for own in found:
        others = [other.student for other in found if other != own and _who(other) == _who(own)]
        if others:
            yield Flag(own.student, f"has the tasks of {own.drawn!r}; so has {'; '.join(others)}")


def _who(submission: Submission) -> tuple[str, str]:
    return submission.assignment.name, draws.identity(submission.drawn)


def _piles(source: Path) -> list[Pile]:
    """All files by their owner."""
    piles: dict[tuple[str, str], Pile] = {}
    for entry in entries(source, lambda path: owner_of(path).system != ""):
        owner = owner_of(entry.path)
        piles.setdefault(owner.key, Pile(owner)).entries.append(entry)
    if not piles:
        raise CourseError(f"Nothing was handed in: {source} is empty.\nUnpack the LMS's download there, or name a zip.")
    return [piles[key] for key in sorted(piles)]


def owner_of(path: PurePosixPath) -> Owner:
    """Whose a file is: by Canvas' or Moodle's names anywhere in its path, else by its folder, else by its own name."""
    parts = [unicodedata.normalize("NFC", part) for part in path.parts]
    for part in parts:
        for system, pattern in (("moodle", MOODLE), ("canvas", CANVAS)):
            if match := pattern.fullmatch(part):
                return Owner(match["name"], match["number"], system, bool(match.groupdict().get("late")))
    folders = [part for part in parts[:-1] if not re.fullmatch(r"(homework[_ -]?)?\d\d|submitted", part)]
    if folders:
        return Owner(folders[-1])
    stem = PurePosixPath(parts[-1]).stem
    return Owner(HOMEWORK.sub("", stem).strip(" _-") or stem)


def _students(piles: list[Pile], roster: Roster) -> dict[tuple[str, str], str]:
    """Each owner's id: from the roster, else the name found, with the LMS's number where two have the same."""
    found = {}
    for pile in piles:
        found[pile.owner.key] = safe(pile.owner.person(roster).id)
    names = [name.casefold() for name in found.values()]
    same = {key for key, name in found.items() if names.count(name.casefold()) > 1}
    return {key: safe(f"{name} {' '.join(key)}") if key in same else name for key, name in found.items()}


def safe(name: str) -> str:
    """A student's id as the name of a folder, the same on every system; nothing in it is a pattern or a path."""
    kept = re.sub(r"[^\w .@'-]", "_", unicodedata.normalize("NFC", name)).strip(" .")
    return kept[:100] or "_"


def _chosen(pile: Pile, asked: Assignment | None) -> tuple[Entry, list[str]]:
    """The notebook that counts, of versions the latest, and the names of others that may be meant.

    Raises Unusable where there is none, or not clearly one.
    """
    files = [file for entry in pile.entries for file in expanded(entry)]
    if climbing := [entry for entry in files if climbs(entry.within)]:
        raise Unusable(f"{climbing[0].shown}: this name leads out of the archive; look at it before it is graded")
    notebooks = [entry for entry in files if entry.name.lower().endswith(".ipynb")]
    if not notebooks:
        raise Unusable(_instead(pile, files))
    named = [entry for entry in notebooks if HOMEWORK.search(entry.name)]
    if asked and len(notebooks) > 1:
        named = [entry for entry in named if HOMEWORK.search(entry.name)[1] == asked.name]
    latest = max(_version(entry) for entry in (named or notebooks))
    left = [entry for entry in (named or notebooks) if _version(entry) == latest]
    if len({_content(entry) for entry in left}) > 1:
        raise Unusable(f"{len(left)} notebooks: {', '.join(entry.shown for entry in left)}; leave one and grade again")
    homework = HOMEWORK.search(left[0].name)
    others = [entry for entry in notebooks if _content(entry) != _content(left[0]) and _may_be(entry, homework)]
    return left[0], [entry.shown for entry in others]


def _content(entry: Entry) -> bytes | Entry:
    """What tells two notebooks apart; one that is too large is not read."""
    return entry.read() if entry.size <= MOST else entry


def _may_be(entry: Entry, homework: re.Match | None) -> bool:
    """Whether a notebook's name says no other homework than that."""
    own = HOMEWORK.search(entry.name)
    return not (own and homework) or own[1] == homework[1]


def _instead(pile: Pile, files: list[Entry]) -> str:
    others = [entry.shown for entry in files if entry.name != "timestamp.txt"]
    if others:
        return f"no notebook was handed in, but {', '.join(others[:3])}{' …' if len(others) > 3 else ''}"
    return f"{pile.entries[0].shown} is empty"


def _version(entry: Entry) -> int:
    """Which resubmission a file is: Canvas' -1, -2; 0 for the first."""
    match = AGAIN.search(PurePosixPath(entry.name).stem)
    return int(match[1] or match[2]) if match and HOMEWORK.search(entry.name) else 0


def _named(entry: Entry, asked: Assignment | None, known: dict[str, Assignment]) -> Assignment | None:
    """The homework that a notebook's name says, else the one that was asked for."""
    match = HOMEWORK.search(entry.name)
    if match and match[1] not in known:
        raise Unusable(f"{entry.shown}: there is no homework {match[1]}")
    if match and asked and match[1] != asked.name:
        raise Unusable(f"{entry.shown} is homework {match[1]}, not {asked.name}")
    return known[match[1]] if match else asked


def _notebook(entry: Entry) -> tuple[bytes, dict[str, str]]:
    """The content of a notebook that can be read, and which homework of which term it says it is. Raises Unusable."""
    if entry.size > MOST:
        raise Unusable(f"{entry.shown} has {entry.size / 1e6:,.0f} MB and was not read")
    content = entry.read()
    if not content.strip():
        raise Unusable(f"{entry.shown} is an empty file")
    try:
        made = nbformat.reads(content.decode("utf-8-sig"), as_version=4)
        return content, about(made)
    except Exception as error:  # whatever is in it
        raise Unusable(f"{entry.shown} is not a notebook, or is damaged ({type(error).__name__})") from error


def about(made: NotebookNode) -> dict[str, str]:
    """Name and term: the release writes both into the notebook, and some editors keep only the cells."""
    started = [match for cell in made.cells for match in START.finditer(cell.source) if cell.cell_type == "code"]
    said = started[0].groupdict() if started else {}
    kept = made.metadata.get("homework", {})
    return said | {key: str(kept[key]) for key in ("name", "term") if key in kept}


def points(made: NotebookNode) -> dict[str, float]:
    """Each item's points, as the release wrote them."""
    own = [cell.metadata.get("nbgrader", {}) for cell in made.cells]
    return {about["grade_id"]: float(about["points"]) for about in own if about.get("grade") and "points" in about}


def _assignment(
    entry: Entry, named: Assignment | None, said: dict[str, str], known: dict[str, Assignment]
) -> Assignment:
    """The homework that a notebook is, of this term."""
    name = said.get("name", named.name if named else "")
    if named and name != named.name:
        raise Unusable(f"{entry.shown} has the cells of homework {name}, not {named.name}")
    if name not in known:
        raise Unusable(f"neither the name of {entry.shown} nor its cells say which homework it is")
    term = known[name].term
    if said.get("term", term) != term:
        raise Unusable(f"{entry.shown} is the homework of another term, {said['term']!r}; this one is {term!r}")
    return known[name]


def _when(pile: Pile, person: Person) -> tuple[datetime | None, str]:
    """When it was handed in, in UTC: from timestamp.txt, which only the instructor can lay there, or the roster."""
    stamps = [entry for entry in pile.entries if entry.name == "timestamp.txt" and not pile.owner.system]
    text = stamps[0].read()[:100].decode(errors="replace").strip() if stamps else person.submitted
    if text:
        try:
            found = parse_utc(re.sub(r" (?=[+-]\d\d:?\d\d$)", "", text))  # with the blank +0100 is read as seconds
        except (ValueError, OverflowError, TypeError):
            return None, f"the time {text!r} can't be read: see whether it is late"
        return found if stamps else found.astimezone(UTC).replace(tzinfo=None), ""  # an LMS writes local time
    if pile.owner.late:
        return None, "late, as Canvas says, but not by how much: no points were taken off; do so by hand, or let Canvas"
    return None, ""
