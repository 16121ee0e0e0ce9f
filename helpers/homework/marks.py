"""Points are decided here and nowhere else: a notebook, a student, an assignment and its key in, marks out.

This process holds the claims, the seeds, the expected values and the key; what the student wrote runs in another
(sandbox.py) and answers with plain values. The same submission gets the same marks at every run.

What this does not stop: a function may be copied from the course's public solutions, or from an assistant. Also what
is told of a call beside its value comes from the submission's own process, which it may change: how much was computed
(asked by a few claims), and whether torch's ready-made function was called. That is why functions count so little.
"""

import functools
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import CodeType

from helpers.check import EXERCISES, Exercise, engine, run, seeds
from helpers.homework import allowed, bugs, draws, tables
from helpers.homework.sandbox import Crashed, Submission
from helpers.homework.settings import Assignment, Item

SIZE, CELLS, TEXT = 20_000_000, 500, 5000  # bytes of a notebook, its code cells, characters of an answer
NO_FUNCTION = "There is no function called `{}` in the notebook."
NO_ANSWER = "Not attempted: `raise NotImplementedError` stands where the answer would be."


@dataclass(frozen=True)
class Mark:
    """What one item has earned, and why."""

    item: str
    held: int
    of: int
    points: float | None  # None: a person gives them
    status: str  # "passed", "partly", "failed", "crashed", "not attempted" or "for a person"
    message: str = ""  # to the student; of a written item the answer itself
    mistake: str = ""  # the known one


@dataclass(frozen=True)
class Marks:
    """All items of one submission."""

    student: str
    assignment: str
    marks: tuple[Mark, ...]
    flags: tuple[str, ...] = ()  # for a person to look at, one line each

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Marks":
        found = json.loads(text)
        return cls(**found | {"marks": tuple(Mark(**mark) for mark in found["marks"]), "flags": tuple(found["flags"])})


@dataclass(frozen=True)
class Notebook:
    """What of a submitted file counts: its code, what stands under our names, and what is odd."""

    code: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)  # grade_id of a markdown cell: what it says
    ids: frozenset[str] = frozenset()
    about: tuple[str, str] | None = None  # the homework and the term that it says it is of
    flags: tuple[str, ...] = ()


def of(notebook: Path, student: str, assignment: Assignment, key: str) -> Marks:
    """The marks of a submission; never raises for what is in it or for what it does."""
    found = read(notebook)
    with Submission(found.code) as submission:
        marks = tuple(_mark(item, Asked(found, submission, student, assignment, key)) for item in assignment.items)
    return Marks(student, assignment.name, marks, (*found.flags, *_odd(found, student, assignment)))


def student_of(notebook: Path) -> str:
    """The student id that the notebook itself names; empty where it names none."""
    return _named(read(notebook).code)


def read(notebook: Path) -> Notebook:
    """A submitted file, whatever it is."""
    if not notebook.is_file():
        return Notebook(flags=("There is no such file.",))
    if notebook.stat().st_size > SIZE:
        return Notebook(flags=(f"The file has more than {SIZE // 1_000_000} MB and was not read.",))
    try:
        content = json.loads(notebook.read_text(encoding="utf-8-sig"))
        parts = [(cell["cell_type"], _joined(cell["source"]), _id(cell)) for cell in content["cells"]]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Notebook(flags=("The file can't be read as a notebook.",))
    code = [source for kind, source, _ in parts if kind == "code" and source.strip()]
    texts = {id: source for kind, source, id in parts if kind != "code" and id}
    long = (f"Only the first {CELLS} code cells were run.",) if len(code) > CELLS else ()
    ids = frozenset(id for *_, id in parts if id)
    return Notebook(tuple(code[:CELLS]), texts, ids, _about(content.get("metadata"), code), long)


def _about(metadata: object, code: Iterable[str]) -> tuple[str, str] | None:
    """Which homework of which term it is: as the release wrote it, or as its first cells say."""
    made = metadata.get("homework") if isinstance(metadata, dict) else None
    if isinstance(made, dict):
        return str(made.get("name")), str(made.get("term"))
    said = [hit for source in code for hit in re.findall(r"^homework\.start\(\"(.*?)\", \"(.*?)\"", source, re.M)]
    return said[-1] if said else None


def _joined(source: str | list[str]) -> str:
    return source if isinstance(source, str) else "".join(source)


def _id(cell: dict) -> str:
    """The name that the release gave the cell."""
    return str(cell.get("metadata", {}).get("nbgrader", {}).get("grade_id", ""))


def _named(code: Iterable[str]) -> str:
    """The student id in `student = "…"`."""
    found = [hit[2] for source in code for hit in re.finditer(r"^student *= *([\"'])(.*?)\1", source, re.M)]
    return found[-1].strip() if found else ""


def _odd(found: Notebook, student: str, assignment: Assignment) -> list[str]:
    """What a person should look at."""
    flags, named = [], _named(found.code)
    if found.flags and not found.code:
        return flags
    if named and draws.identity(named) != draws.identity(student):
        flags.append(f"The notebook says student = {named[:80]!r}.")
    if not named:
        flags.append('The notebook has no `student = "…"`.')
    if found.about and found.about != (assignment.name, assignment.term):
        made = "This is homework {!r} of term {!r}; asked for is {!r} of {!r}."
        flags.append(made.format(*(text[:40] for text in found.about), assignment.name, assignment.term))
    if not found.ids & {item.id for item in assignment.items}:
        flags.append(f"The notebook has no cell of homework {assignment.name}.")
    for item in assignment.items:
        if item.kind == "function" and (count := _definitions(item.asks, found.code)) > 1:
            flags.append(f"`{item.asks}` is defined {count} times; the last definition counts.")
    return flags


def _definitions(name: str, code: Iterable[str]) -> int:
    return sum(len(re.findall(rf"^(?:def {name}\b|{name} *=[^=])", source, re.M)) for source in code)


@dataclass(frozen=True)
class Asked:
    """All that a mark depends on."""

    notebook: Notebook
    submission: Submission
    student: str
    assignment: Assignment
    key: str

    def salt(self, item: Item) -> str:
        """What this student's hidden inputs are drawn from."""
        parts = json.dumps([self.assignment.name, draws.identity(self.student), item.id])
        return hmac.new(self.key.encode(), parts.encode(), hashlib.sha256).hexdigest()


def _mark(item: Item, asked: Asked) -> Mark:
    kinds = {"function": _function, "bug": _bug, "verdict": _verdict, "written": _written}
    try:
        return kinds[item.kind](item, asked)
    except run.Fault as fault:  # what was handed in could not be had
        return _machine(item, 0, 1, "failed", str(fault))


def _machine(item: Item, held: int, of: int, status: str, message: str, mistake: str = "") -> Mark:
    return Mark(item.id, held, of, round(item.points * held / of, 2), status, message, mistake)


class Remote(engine.Attempt):
    """A submission's function under examination: every call is made in the submission's process.

    Claims are read twice, for what to say and for how much holds; calls that were made are not made again.
    """

    def __init__(self, submission: Submission, exercise: Exercise) -> None:
        super().__init__(exercise.course, exercise)
        ready_made = [name for code, name in exercise.watched.items() if not isinstance(code, CodeType)]
        self._call = functools.partial(submission.call, exercise.name, watched=ready_made)
        self._made: list[tuple[tuple, run.Call | BaseException]] = []
        self._next = 0

    def again(self) -> "Remote":
        """The same attempt, from the start."""
        self._next, self.printed = 0, ""
        return self

    def once(self, args: tuple) -> run.Call:
        if self._next == len(self._made):
            try:
                self._made.append((args, self._call(args)))
            except (Exception, run.Fault) as error:
                self._made.append((args, error))
        asked, outcome = self._made[self._next]
        self._next += 1
        if not run.same(asked, args):
            raise RuntimeError("claims asked for another call than when they were read before")
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def _function(item: Item, asked: Asked) -> Mark:
    """By the claims of its exercise, on this student's own inputs."""
    exercise = EXERCISES[item.asks]
    of = engine.worth(exercise.name)
    try:
        asked.submission.read(exercise.name)
    except LookupError:
        return _machine(item, 0, of, "not attempted", NO_FUNCTION.format(exercise.name))
    with seeds.salted(asked.salt(item)):
        attempt = Remote(asked.submission, exercise)
        found = engine.judged(exercise, attempt)
        if found.status == "passed":
            return _machine(item, of, of, "passed", found.message)
        if found.status == "not attempted":
            return _machine(item, 0, of, "not attempted", NO_ANSWER)
        if found.status == "crashed" and not isinstance(found.error, Crashed):  # here, not there: no student's fault
            raise found.error
        held, _ = engine.credit(exercise, attempt.again())
    message = str(found.error) if isinstance(found.error, Crashed) else found.message
    status = "partly" if held and found.status == "failed" else found.status
    return _machine(item, held, of, status, message, found.mistake)


def _bug(item: Item, asked: Asked) -> Mark:
    """By what the inputs that were handed in do to the wrong function and to the right one, here."""
    bug = bugs.drawn(asked.assignment.term, asked.assignment.name, asked.student)[int(item.asks) - 1]
    name = f"counterexample_{item.asks}"
    try:
        inputs = asked.submission.call(name, ()).value
    except LookupError:
        return _machine(item, 0, 1, "not attempted", NO_FUNCTION.format(name))
    except NotImplementedError:
        return _machine(item, 0, 1, "not attempted", NO_ANSWER)
    except Crashed as crashed:
        return _machine(item, 0, 1, "crashed", str(crashed))
    exposed = bugs.exposes(bug, inputs)
    return _machine(item, int(exposed.ok), 1, "passed" if exposed.ok else "failed", exposed.message)


def _verdict(item: Item, asked: Asked) -> Mark:
    """By the key of this student's table: a right sentence earns a part, a wrong one takes one, an open one neither."""
    try:
        given = asked.submission.read("verdict")
    except LookupError:
        given = None
    answers = {letter: given.get(letter) for letter in tables.LETTERS} if isinstance(given, Mapping) else {}
    answers = {letter: answer for letter, answer in answers.items() if isinstance(answer, bool)}
    of = len(tables.LETTERS)
    if not answers:
        return _machine(item, 0, of, "not attempted", "`verdict` answers nothing: True or False for each letter.")
    table = tables.table(asked.assignment.term, asked.assignment.name, asked.student)
    right, why = allowed.key(table), allowed.why(table)
    wrong = [letter for letter in answers if answers[letter] != right[letter]]
    held = max(0, len(answers) - 2 * len(wrong))
    status = "passed" if held == of else "partly" if held else "failed"
    told = " ".join([_counted(answers, wrong), *(f"{letter}: {why[letter]}" for letter in wrong)])
    return _machine(item, held, of, status, told)


def _counted(answers: Mapping[str, bool], wrong: list[str]) -> str:
    """How many sentences are right, wrong and open, and which of them are open."""
    left = [letter for letter in tables.LETTERS if letter not in answers]
    open_ = f"{len(left)} open" + (f" ({', '.join(left)})" if left else "")
    return f"{len(answers) - len(wrong)} right, {len(wrong)} wrong, {open_}."


def _written(item: Item, asked: Asked) -> Mark:
    """For a person, with the text that was handed in."""
    text = re.sub(r"^\*[^*\n]*:\*", "", asked.notebook.texts.get(item.id, "").strip()).strip()  # "*Your answer:*"
    return Mark(item.id, 0, 1, None, "for a person", text[:TEXT])
