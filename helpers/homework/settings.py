"""What counts, for how much and until when: homework.yaml in the instructor's folder, or sensible defaults."""

import difflib
import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path

import yaml
from filelock import FileLock

from helpers.check import EXERCISES, Exercise
from helpers.homework import bugs, questions
from helpers.support import ROOT, CourseError, cache, named_path

POINTS = {"functions": 25.0, "bugs": 30.0, "verdict": 25.0, "written": 20.0}
LATE = 0.1
HUNTS = 2
MOST = 0.3  # of all points for functions: assistants write them, and the course's own solutions are public
NONE = ("", "none", "null", "~")
WRITTEN = {  # each written item's share of the written points
    "why-1": ("Bug hunt 1: why", 3),
    "why-2": ("Bug hunt 2: why", 3),
    "paragraph": ("The table, in one paragraph", 6),
    "q-1": ("Question 1", 4),
    "q-2": ("Question 2", 4),
}


@dataclass(frozen=True)
class Item:
    """One thing that earns points."""

    id: str  # also the name of its cell: nbgrader's grade_id
    kind: str  # "function", "bug", "verdict" or "written"
    points: float
    title: str
    asks: str  # a function's exercise, a bug's number, a written question's id; nothing for the verdict


@dataclass(frozen=True)
class Assignment:
    """The homework of one notebook."""

    name: str  # "01"
    title: str
    term: str  # part of every draw, so that last year's notebook is recognised
    due: datetime | None  # with a time zone: the instructor's own where none is written
    late: float  # share of the points lost a day
    items: tuple[Item, ...]

    @property
    def points(self) -> float:
        return sum((item.points for item in self.items), 0.0)

    @property
    def notebook_name(self) -> str:
        return f"homework_{self.name}"


@dataclass(frozen=True)
class Settings:
    """All assignments of a term."""

    assignments: tuple[Assignment, ...]

    def assignment(self, name: str) -> Assignment:
        """The assignment called `name`. Raises CourseError with what there is."""
        for assignment in self.assignments:
            if assignment.name == name:
                return assignment
        there = ", ".join(assignment.name for assignment in self.assignments)
        raise CourseError(f"There is no homework {name!r}: no notebook of that number has exercises.\nChoose: {there}")


def folder() -> Path:
    """The instructor's own folder, which is also nbgrader's course folder; nothing is created."""
    return named_path("COURSE_HOMEWORK") or ROOT / "homework"


def key(homework: str) -> str:
    """The key that a homework's hidden inputs are drawn from, 32 hex digits; published, it tells no other's."""
    return hmac.new(_master().encode(), homework.encode(), hashlib.sha256).hexdigest()[:32]


def _master() -> str:
    """What the keys of all homeworks come from; made once, readable by its owner only, and never published."""
    file = folder() / "key"
    folder().mkdir(parents=True, exist_ok=True)
    with FileLock(folder() / ".key.lock"):
        if not file.exists():
            with cache.whole(file) as scratch:
                scratch.touch(0o600)
                scratch.write_text(secrets.token_hex(16) + "\n")
    found = file.read_text(errors="replace").strip()
    if not re.fullmatch("[0-9a-f]{32}", found):
        raise CourseError(
            f"{file} is damaged: 32 hex digits are expected, and without them no mark can be given again.\n"
            "Put the file back from a backup; or delete it: a new key is made, and with it other hidden inputs."
        )
    return found


def load(file: Path | None = None) -> Settings:
    """The settings in `file`, by default homework.yaml in the instructor's folder; defaults where there is none.

    Raises CourseError where something in it is wrong: the line or the key, and the nearest right name.
    """
    file = file or folder() / "homework.yaml"
    text = file.read_bytes() if file.is_file() else default().encode()
    try:
        root = yaml.compose(text, yaml.BaseLoader)  # every value as it was written: 01 is not 1, "no" not False
    except yaml.YAMLError as error:
        line = error.problem_mark.line + 1 if getattr(error, "problem_mark", None) else 1
        _blank_missing(file.name, text.decode(errors="replace").splitlines(), line)
        reason = getattr(error, "problem", None) or getattr(error, "reason", error)
        raise CourseError(
            f"{file.name}, line {line}, can't be read: {reason}.\n"
            "Compare with the lines around it: `name: value`, and two spaces further in for what belongs to a name."
        ) from error
    return _settings(Part(file.name, root, "the whole file"))


def _blank_missing(file: str, lines: list[str], line: int) -> None:
    """Raises CourseError for `name:value` there or just before: YAML reads on, and stumbles a line later."""
    for place in range(line, max(line - 3, 0), -1):
        if found := re.match(r"\s*([\"']?\w+[\"']?):([^\s#].*)", lines[place - 1] if place <= len(lines) else ""):
            name, value = found.groups()
            raise CourseError(
                f"{file}, line {place}: a blank is missing behind `{name}:`.\nWrite `{name}: {value.strip()}`."
            )


def default() -> str:
    """homework.yaml as it is written the first time: every setting with its default and what it means."""
    notebooks = "".join(
        f'  "{name}":  # {title(name)}\n    due: none\n    exercises: [{", ".join(e.name for e in core(name))}]\n'
        for name in names()
    )
    points = "".join(f"  {kind}: {count:g}\n" for kind, count in POINTS.items())
    return COMMENTED.format(year=date.today().year, late=LATE, points=points, notebooks=notebooks, most=MOST)


COMMENTED = """\
# The homework: what counts, for how much and until when. `python -m helpers homework` reads this file.

# Part of everything that is drawn for a student. Change it each term: last term's notebooks are then recognised.
term: "{year}"

# Share of the points lost for each day late, begun days included. 0: none.
late: {late}

# Points of a notebook. Functions may have at most {most:.0%} of all: assistants write them, and the course's own
# solutions are public. A kind with 0 points is left out; where that leaves functions with too many, lower theirs too.
points:
{points}
# For each notebook: due as 2026-10-12 or 2026-10-12 18:00 (the end of the day where no time is given) or none; and the
# functions that count. A notebook may have `points` and `late` of its own. What is not said here is as above.
notebooks:
{notebooks}"""


def names() -> list[str]:
    """The notebooks that have exercises."""
    return sorted({_notebook(exercise) for exercise in EXERCISES.values()})


def title(name: str) -> str:
    """A notebook's title, from its source."""
    source = next((ROOT / "notebooks" / "source").glob(f"{name}_*.py"))
    return re.search(r"^# # \d+ · (.+)$", source.read_text(encoding="utf-8"), re.M)[1]


def core(name: str) -> list[Exercise]:
    """A notebook's exercises on the core path; all, where it has none there."""
    own = [exercise for exercise in EXERCISES.values() if _notebook(exercise) == name]
    return [exercise for exercise in own if exercise.core] or own


def _notebook(exercise: Exercise) -> str:
    return exercise.number.split(".")[0].zfill(2)


@dataclass(frozen=True)
class Part:
    """A part of the file, which knows where it stands: errors are for the person who wrote the line."""

    file: str
    node: yaml.Node | None
    name: str

    def wrong(self, what: str, remedy: str) -> CourseError:
        line = self.node.start_mark.line + 1 if self.node else 1
        return CourseError(f"{self.file}, line {line}: {what}\n{remedy}")

    def parts(self, known: Iterable[str]) -> "dict[str, Part]":
        """The parts by name; only known names, and each once."""
        known, found = list(known), {}
        if self.node is None or self.node.value in NONE:
            return found
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wrong(f"`{self.name}` must have names and values.", f"Known here: {', '.join(known)}.")
        for label, node in self.node.value:
            part = Part(self.file, node, str(label.value))
            if part.name not in known:
                raise Part(self.file, label, "").wrong(f"`{part.name}` is not known here.", _nearest(part.name, known))
            if part.name in found:
                raise part.wrong(f"`{part.name}` stands here a second time.", "Delete one of the two.")
            found[part.name] = part
        return found

    def text(self) -> str:
        if not isinstance(self.node, yaml.ScalarNode) or self.node.value in NONE:
            raise self.wrong(f"`{self.name}` needs one value.", f"Write `{self.name}: ` and the value behind it.")
        return self.node.value.strip()

    def number(self, most: float) -> float:
        try:
            value = float(self.text())
        except ValueError:
            value = -1.0
        if not 0 <= value <= most or round(value, 2) != value:
            bounds = f"Write a number from 0 to {most:g}, with at most two decimals."
            raise self.wrong(f"`{self.name}` can't be {self.text()}.", bounds)
        return value

    def moment(self) -> datetime | None:
        """A point in time; the end of the day where none is given, the machine's time zone likewise."""
        text = self.node.value if isinstance(self.node, yaml.ScalarNode) else "?"
        if text.strip().lower() in NONE:
            return None
        try:
            day_only = re.fullmatch(r"[\d-]+", text.strip())
            found = datetime.fromisoformat(text.strip())
        except ValueError:
            raise self.wrong(
                f"`{self.name}` can't be {text}: that is no date.", "Write 2026-10-12, 2026-10-12 18:00 or none."
            ) from None
        found = datetime.combine(found, time(23, 59)) if day_only else found
        return found if found.tzinfo else found.astimezone()

    def listed(self) -> "list[Part]":
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wrong(f"`{self.name}` must be a list.", f"Write `{self.name}: [first, second]`.")
        return [Part(self.file, node, self.name) for node in self.node.value]


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean `{near[0]}`?" if near else f"Known here: {', '.join(known)}."


def _settings(root: Part) -> Settings:
    parts = root.parts(["term", "late", "points", "notebooks"])
    own = parts["notebooks"].parts(names()) if "notebooks" in parts else {}
    term = parts["term"].text() if "term" in parts else str(date.today().year)
    if not re.fullmatch(r"[\w .:/-]+", term):
        raise parts["term"].wrong(f"`term` can't be {term}.", "Use letters, digits, spaces and . : / - only.")
    return Settings(tuple(_assignment(name, term, parts, own.get(name)) for name in names()))


def _assignment(name: str, term: str, common: dict[str, Part], own: Part | None) -> Assignment:
    """A notebook's own settings go before the common ones, and these before the defaults."""
    parts = own.parts(["due", "late", "points", "exercises"]) if own else {}
    due = parts["due"].moment() if "due" in parts else None
    late = parts.get("late") or common.get("late")
    chosen = _exercises(name, parts.get("exercises"))
    points = _points([part for part in (common.get("points"), parts.get("points")) if part], chosen, name)
    share = late.number(1.0) if late else LATE
    items = _items(chosen, points, questions.written(name))
    return Assignment(name, title(name), term, due, share, tuple(items))


def _points(given: list[Part], chosen: list[Exercise], name: str) -> dict[str, float]:
    """The points of each kind. Raises CourseError where functions have too many, or nothing has any.

    A notebook that has no wrong functions yet gives what they would have earned to the verdict.
    """
    points = POINTS.copy()
    written = {kind: own.number(1000.0) for part in given for kind, own in part.parts(POINTS).items()}
    points |= written
    if len(bugs.bank(name)) < HUNTS:
        points["verdict"] += points["bugs"]
        points["bugs"] = 0.0
    if not chosen:
        points["functions"] = 0.0
    if not sum(points.values()):
        raise given[-1].wrong("no kind has points.", "Give at least one of them some.")
    most = _most(points)
    if "functions" not in written:
        points["functions"] = min(points["functions"], most)
    if points["functions"] > MOST * (total := sum(points.values())):
        much = f"functions have {points['functions']:g} of {total:g} points; {MOST:.0%} is the most."
        raise given[-1].wrong(much, f"Write `functions: {most:g}` or less, or give more to bugs, verdict and written.")
    return points


def _most(points: dict[str, float]) -> float:
    """The most whole points that functions may have beside the others."""
    others = sum(points.values()) - points["functions"]
    return float(int(others * MOST / (1 - MOST) + 1e-9))


def _exercises(name: str, part: Part | None) -> list[Exercise]:
    if part is None:
        return core(name)
    own = {e.name: e for e in EXERCISES.values() if _notebook(e) == name}
    chosen: dict[str, Exercise] = {}
    for entry in part.listed():
        asked = entry.text()
        if asked not in own:
            raise entry.wrong(f"notebook {name} has no exercise `{asked}`.", _nearest(asked, list(own)))
        if asked in chosen:
            raise entry.wrong(f"`{asked}` stands in the list twice.", "Delete one of the two.")
        chosen[asked] = own[asked]
    return list(chosen.values())


def _items(chosen: list[Exercise], points: dict[str, float], asked: Collection[str]) -> list[Item]:
    """All items that earn points, in the order of the notebook; `asked` are the written questions that there are."""
    shares = shared(points["functions"], [exercise.minutes for exercise in chosen])
    functions = [
        Item(f"f-{e.name}", "function", share, f"Exercise {e.number}: {e.heading}", e.name)
        for e, share in zip(chosen, shares, strict=True)
    ]
    hunts = [
        Item(f"bug-{n}", "bug", share, f"Bug hunt {n}", str(n))
        for n, share in enumerate(shared(points["bugs"], [1] * HUNTS), 1)
    ]
    verdict = Item("verdict", "verdict", points["verdict"], "What the table allows", "")
    there = [id for id in WRITTEN if id in asked and (points["bugs"] or not id.startswith("why"))]
    split = shared(points["written"], [WRITTEN[id][1] for id in there])
    written = [Item(id, "written", share, WRITTEN[id][0], id) for id, share in zip(there, split, strict=True)]
    return [item for item in [*functions, *hunts, verdict, *written] if item.points]


def shared(total: float, weights: list[int]) -> list[float]:
    """`total` in parts that go by the weights, in half points where that is possible, else in hundredths."""
    unit = 0.5 if total % 0.5 == 0 and total >= len(weights) else 0.01
    exact = [total / unit * weight / sum(weights) for weight in weights]
    parts = [int(part) for part in exact]
    by_rest = sorted(range(len(parts)), key=lambda place: parts[place] - exact[place])
    for place in by_rest[: round(total / unit) - sum(parts)]:
        parts[place] += 1
    return [round(part * unit, 2) for part in parts]
