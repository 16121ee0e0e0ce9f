"""A class whose marks are known before anything is graded: right, half right, wrong, unfinished and broken notebooks.

What a student hands in is drawn from the student's id. The truth comes from where the answers come from, not from the
grader: the bank of attempts says which are right and which mistake the wrong ones make.
"""

import copy
import inspect
import random
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import torch
from nbformat import NotebookNode

from helpers.check import EXERCISES, verdict
from helpers.homework import allowed, bugs, draws, tables
from helpers.homework.marks import Mark, Marks
from helpers.homework.settings import Assignment, Item

sys.path.append(str(Path(__file__).parents[1] / "check"))
from mutants import mutants, sources
from submissions import attempts, enclosed, module
from test_bugs import EXPOSING

FAMILY = ("Ångström", "Björk", "Çelik", "Dvořák", "Ekström", "Fontaine", "García", "Hägg", "Ito", "Jørgensen", "Łukasz")
GIVEN = ("Ada", "Boris", "Chloé", "Dana", "Émile", "Fatima", "Grace", "Hiro", "Ines", "José", "Kaja", "Lena", "Miró")
KINDS = ("right", "mixed", "wrong", "unfinished", "mutated")
OTHERS = re.compile(rf"helpers|\b(?:attention|dual|regression)\.|\b(?:{'|'.join(EXERCISES)})\(")
STUB = "raise NotImplementedError  # your code here"


@dataclass(frozen=True)
class Truth:
    """What an item must be given: all of its parts, none, or fewer than all; and the mistake that must be named."""

    least: float  # shares of the item's parts
    most: float
    said: str = ""

    def met(self, mark: Mark) -> bool:
        share = mark.held / mark.of
        return self.least <= share <= self.most and self.said in f"{mark.message} {mark.mistake}"


ALL, NONE, NOT_ALL = Truth(1, 1), Truth(0, 0), Truth(0, 0.999)


@dataclass
class Student:
    """One of the class: the answers, by the name of their cell, and what each is worth."""

    id: str
    kind: str
    answers: dict[str, str] = field(default_factory=dict)
    truth: dict[str, Truth] = field(default_factory=dict)

    def file(self, folder: Path) -> Path:
        """The notebook that was handed in."""
        return folder / f"{self.id}.ipynb"

    def disagreements(self, found: Marks) -> Iterator[str]:
        """Every item whose mark is another than it must be, in words."""
        for mark in found.marks:
            if mark.points is not None and not self.truth[mark.item].met(mark):
                yield f"{self.id} ({self.kind}), {mark.item}: {mark.held} of {mark.of}, {mark.status}: {mark.message}"


def names(count: int) -> list[str]:
    """Students' ids as a learning platform has them, umlauts included."""
    return [f"{GIVEN[n % len(GIVEN)]}.{FAMILY[n // len(GIVEN) % len(FAMILY)]}{n}".lower() for n in range(count)]


def students(assignment: Assignment, count: int) -> list[Student]:
    """A class; every fifth is all right, the others have made what students make."""
    return [student(assignment, name, KINDS[place % len(KINDS)]) for place, name in enumerate(names(count))]


def student(assignment: Assignment, name: str, kind: str) -> Student:
    rng, made = random.Random(name), Student(name, kind)
    makers = {"function": _function, "bug": _bug, "verdict": _verdict}
    for item in assignment.items:
        right = {"right": True, "wrong": False, "unfinished": None}.get(kind, rng.random() < 0.5)
        if kind == "unfinished" and rng.random() < 0.4:
            right = True
        if item.kind in makers:
            place = {"function": f"write-{item.asks}", "bug": f"counterexample-{item.asks}", "verdict": "fill-verdict"}
            source, made.truth[item.id] = makers[item.kind](item, assignment, made, right, rng)
            made.answers[place[item.kind]] = source
        else:
            made.answers[item.id] = f"What {name} thinks of it, in a sentence or two."
    return made


Made = tuple[str, Truth]


def _function(item: Item, _: Assignment, made: Student, right: bool | None, rng: random.Random) -> Made:
    name = item.asks
    if right is None:
        return f"def {name}(*args):\n    {STUB}", NONE
    if not right and made.kind == "mutated":
        return mutated(name, rng)
    return enclosed(rng.choice(alone(name, bool(right))), name), ALL if right else NOT_ALL


def alone(name: str, right: bool) -> list[Callable]:
    """Attempts that use no other exercise, which this student may have got wrong."""
    return [attempt for attempt in attempts(name, right) if not OTHERS.search(inspect.getsource(attempt))]


def mutated(name: str, rng: random.Random) -> Made:
    """A right attempt with one small change, by which it is no longer right."""
    attempt = rng.choice(alone(name, right=True))
    changes = list(mutants(attempt))
    place = rng.choice([n for n, (_, wrong) in enumerate(changes) if verdict(wrong, name).status != "passed"])
    _, source = list(sources(attempt))[place]
    body = textwrap.indent(f"{module(attempt)}\n\n{source}\nreturn {attempt.__name__}", "    ")
    return f"def make():\n{body}\n\n{name} = make()", NOT_ALL


def _bug(item: Item, assignment: Assignment, made: Student, right: bool | None, rng: random.Random) -> Made:
    name = f"counterexample_{item.asks}"
    bank = bugs.bank(assignment.name)
    drawn = draws.bugs(assignment.term, assignment.name, made.id, list(bank))[int(item.asks) - 1]
    if right is None:
        return f"def {name}():\n    {STUB}", NONE
    if right:
        values = ", ".join(written(value) for value in EXPOSING[drawn])
        return f"import torch\n\n\ndef {name}():\n    return {values},", ALL
    useless = ("return None", "return torch.ones(5, 3)", "return 'everything'", "return 1 / 0", "return")
    return f"import torch\n\n\ndef {name}():\n    {rng.choice(useless)}", NONE


def written(value: object) -> str:
    """A tensor or number as code."""
    if not isinstance(value, torch.Tensor):
        return repr(value)
    return f"torch.tensor({value.tolist()}, dtype=torch.float64)"


def _verdict(_: Item, assignment: Assignment, made: Student, right: bool | None, rng: random.Random) -> Made:
    if right is None:
        return "verdict = {}", NONE
    key = allowed.key(tables.table(assignment.term, assignment.name, made.id))
    wrong = set(rng.sample(sorted(key), 0 if right else rng.randint(1, 8)))
    open_ = set() if right else set(rng.sample(sorted(key), rng.randint(0, 2)))
    answers = {letter: None if letter in open_ else allows != (letter in wrong) for letter, allows in key.items()}
    share = max(0, 8 - len(open_ | wrong) - len(wrong - open_)) / 8
    return f"verdict = {answers}", Truth(share, share)


def filled(blank: NotebookNode, made: Student) -> NotebookNode:
    """The released notebook with a student's answers in the cells that they belong to."""
    notebook = copy.deepcopy(blank)
    answers = {"student": f'student = "{made.id}"', **made.answers}
    for cell in notebook.cells:
        id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if id in answers:
            cell.source = answers[id]
    return notebook


def hand_in(blank: NotebookNode, assignment: Assignment, count: int, folder: Path) -> list[Student]:
    """The whole class's notebooks in a folder, one a student, as a learning platform exports them."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = students(assignment, count)
    for made in whole:
        nbformat.write(filled(blank, made), made.file(folder))
    return whole
