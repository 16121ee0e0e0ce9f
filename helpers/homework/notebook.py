"""The homework notebook of an assignment in nbgrader's format: the instructor's version, of which students' are made.

Names of cells (nbgrader's grade_id) are the items' where points are given. Solutions and hidden tests stand between
nbgrader's own marks; what a student fills in without a mark is tagged PREFILLED, and stays as it stands.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from helpers.check import EXERCISES, Exercise
from helpers.check.engine import WRITE
from helpers.homework import examples, inputs, questions, tables
from helpers.homework.settings import Assignment, Item
from helpers.support import ROOT

PREFILLED = "prefilled"
STUB = "raise NotImplementedError  # your code here"
ANSWER = "*Your answer:*"
MODULES = ("attention", "dual", "regression", "tasks", "icl", "metrics", "controls")
MARK = re.compile(r"\{(?:exercise|solution|equations):[^}]*\}|^#+ .*$", re.M)  # what stands for another text; headings
FIRST = re.compile(r"^\W*1\b", re.M)  # the first line of an analysis
KINDS = {"function": "functions", "bug": "bug hunts", "verdict": "a table", "written": "written answers"}

HEAD = """# Homework {name} · {title}

**{points:g} points, due {due}.** Work from top to bottom, save, and hand in this one file. How it is graded:

{kinds}

*Drawn for you.* Your student id decides which wrong functions and which table you get. Your neighbour has others.

*What you need* for functions, bug hunts and the table: the files in this folder, Python, PyTorch.{needs}

*What counts* is what this notebook says when a grader runs it: if a function is defined twice, the last one. Cells with
checks are help for you; changing or deleting them changes nothing. The course's package `helpers` is not there when
homework is graded. *Predictions* in the course's notebooks are never marked.{late}"""

ABOUT = {
    "function": "they count little, because the course's own solutions are public. They are run on inputs that you "
    "don't see; every claim that holds earns its part.",
    "bug": "you get wrong functions, and find inputs that expose them. Graded by running the wrong function and the "
    "right one on what your `counterexample` returns.",
    "verdict": "which of eight sentences does a table of results allow? Each right answer earns an eighth, each wrong "
    "one takes an eighth away (never below 0), *None* (no answer) does neither. Six right, one wrong, one *None*: "
    "five eighths.",
    "written": "one sentence or one paragraph each. A person reads them.",
}
NEEDS = """ The questions at the end build on notebook {name} of the course, “{title}”: its sections, and where one asks
for a measurement its functions, its data or its model. For those open that notebook in the course's own environment."""
LATE = "\n\n*Late*: each day late, or part of one, costs {late:.0%} of the points."

FUNCTION = """**Exercise {number} · `{name}`** ({points:g} points, about {minutes} minutes)

`{equation}`"""

REASONING = """**Exercise {number} · {title}** (`{name}`; {points:g} points, about {minutes} minutes)

{task}

`{equation}`"""

CHOSEN = "The cell below says whether your answer can be chosen, not whether it is right. {parts}"
SHARED = "Each of its {count} parts earns the same share of the points."

BUG = """## Bug hunt {number}

This function is subtly wrong: on most inputs it gives the right answer. Read it, and find inputs on which it does not.
({points})"""

HUNT = '''def counterexample_{number}():
    """The inputs that expose it, in one tuple, in the order in which they stand above the function.

    Tensors of float64: none of them empty, numbers from −{largest:,.0f} to {largest:,.0f}, at most {most:,} in all.
    Other inputs are plain numbers; what each may be stands behind its name.
    """
    ### BEGIN SOLUTION
    raise NotImplementedError
    ### END SOLUTION'''

WHY = """**Why?** One sentence: what is wrong with the function, and what do your inputs have that shows it?
({points:g} points)"""

TABLE = """## Which sentences does the table allow?

Read the table, then each sentence on its own. **True**: whoever knows only this table may write the sentence.
**False**: the table alone does not allow it, even if it may be true. ({points})"""

PARAGRAPH = """**In one paragraph.** What does this table show, what does it not show, and which one measurement would
you ask for next? ({points:g} points)"""

END = """## Hand in

Is the student id in the first code cell yours, letter by letter? *Kernel → Restart Kernel and Run All Cells*; read
the notes under the checks; save; hand in `{file}`, this one file."""


def made(assignment: Assignment) -> NotebookNode:
    """The instructor's version."""
    cells = list(_cells(assignment))
    for place, cell in enumerate(cells):
        cell.id = cell.metadata.nbgrader.grade_id if "nbgrader" in cell.metadata else f"text-{place}"
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    about = {"name": assignment.name, "term": assignment.term}
    return nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}, "homework": about}
    )


def _cells(assignment: Assignment) -> Iterator[NotebookNode]:
    items = {item.id: item for item in assignment.items}
    yield _text(head(assignment))
    yield _fill('student = ""  # your student id, exactly as your instructor has it', "student")
    start = f'homework.start("{assignment.name}", "{assignment.term}", student)'  # read again when it is handed in
    yield _code(f"import torch\n\nimport homework\n\n{start}", "start", locked=True)
    functions = [item for item in assignment.items if item.kind == "function"]
    if functions:
        yield _text("## Functions")
    for item in functions:
        yield from _function(item, {item.asks for item in functions})
    for item in assignment.items:
        if item.kind == "bug":
            yield from _hunt(item, items.get(f"why-{item.asks}"))
    if "verdict" in items:
        yield from _verdict(items["verdict"])
    if "paragraph" in items:
        yield from _written(items["paragraph"], PARAGRAPH.format(points=items["paragraph"].points))
    yield from _questions(assignment)
    yield _text(END.format(file=f"{assignment.notebook_name}.ipynb"))


def head(assignment: Assignment) -> str:
    """The title, and in plain words how the homework is graded."""
    points = {kind: sum(item.points for item in assignment.items if item.kind == kind) for kind in KINDS}
    kinds = "\n".join(f"- **{KINDS[kind]}, {points[kind]:g} points**: {ABOUT[kind]}" for kind in KINDS if points[kind])
    late = LATE.format(late=assignment.late) if assignment.due and assignment.late else ""
    return HEAD.format(
        name=assignment.name,
        title=assignment.title,
        points=assignment.points,
        due=when(assignment.due),
        kinds=kinds,
        late=late,
        needs=needs(assignment),
    )


def needs(assignment: Assignment) -> str:
    """What its questions need beside the files that students get."""
    asked = any(item.id.startswith("q-") for item in assignment.items)
    return NEEDS.format(name=assignment.name, title=assignment.title) if asked else ""


def when(due: datetime | None) -> str:
    """A date as students read it."""
    return f"{due:%A} {due.day} {due:%B %Y, %H:%M}" if due else "when your instructor says"


def _function(item: Item, chosen: set[str]) -> Iterator[NotebookNode]:
    exercise = EXERCISES[item.asks]
    yield _text("\n\n".join(_posed(exercise, item.points)))
    yield _code(_asked(exercise, chosen), f"write-{exercise.name}", solution=True)
    hidden = f"from helpers.check import grade\n\ngrade({exercise.name})"
    yield _checked(item, f"{_visible(exercise)}\n### BEGIN HIDDEN TESTS\n{hidden}\n### END HIDDEN TESTS")


def _posed(exercise: Exercise, points: float) -> Iterator[str]:
    """What is asked; to find the flaw in an analysis, that analysis, too."""
    text = FUNCTION if exercise.kind == WRITE else REASONING
    about = {name: getattr(exercise, name) for name in ("number", "name", "title", "task", "equation", "minutes")}
    yield text.format(points=points, **about)
    if exercise.kind == "diagnose":
        yield analysis(exercise)
        count = len(examples.choices(exercise))
        yield CHOSEN.format(parts=SHARED.format(count=count) if count > 1 else "").strip()


def analysis(exercise: Exercise) -> str:
    """The text around `{exercise:NAME}`; where no line 1 is there, behind that of the cell before."""
    cells = jupytext.read(_source(exercise)).cells
    place = next(n for n, cell in enumerate(cells) if f"{{exercise:{exercise.name}}}" in cell.source)
    text = MARK.sub("", cells[place].source).strip()
    if not FIRST.search(text):
        text = f"{MARK.sub('', cells[place - 1].source).strip()}\n\n{text}".strip()
    return text


def _source(exercise: Exercise) -> Path:
    """The notebook that asks it."""
    return next((ROOT / "notebooks" / "source").glob(f"{exercise.number.split('.')[0].zfill(2)}_*.py"))


def _visible(exercise: Exercise) -> str:
    """The check that a student can run: one example with its numbers, or whether an answer can be chosen."""
    if exercise.kind == "diagnose":
        options = ", ".join(f'"{" ".join(choices)}"' for choices in examples.choices(exercise))
        return f"homework.chosen({exercise.name}, {options})"
    example = examples.of(exercise)
    if example is None:
        return f"{exercise.name}  # graded by what it does; there is no example that could be written out here"
    given = "".join(f"    {name}={value},\n" for name, value in example.inputs.items())
    if example.expected is None:
        return f"homework.{'runs' if example.numbers else 'gives'}(\n    {exercise.name},\n{given})"
    return f"homework.example(\n    {exercise.name},\n{given}    expected={example.expected},\n)"


def _asked(exercise: Exercise, chosen: set[str]) -> str:
    """The exercise as the course's own notebook asks it; its solution imports what it took from the course."""
    cells = (
        cell.source for cell in jupytext.read(_source(exercise)).cells if "exercise" in cell.metadata.get("tags", ())
    )
    found = next(cell for cell in cells if re.search(rf"^def {exercise.name}\(", cell, re.M))
    solution = found.split("# BEGIN SOLUTION")[1]
    shelf = [f"from helpers import {name}" for name in MODULES if re.search(rf"\b{name}\.\w", solution)]
    others = {name: EXERCISES[name].course for name in EXERCISES if re.search(rf"(?<![.\w]){name}\(", solution)}
    own = [f"from {course.__module__} import {name}" for name, course in others.items() if name not in chosen]
    begin = "\n".join(f"    {line}" for line in ["### BEGIN SOLUTION", *shelf, *own])
    return found.replace("    # BEGIN SOLUTION", begin).replace("# END SOLUTION", "### END SOLUTION")


def _hunt(item: Item, why: Item | None) -> Iterator[NotebookNode]:
    number = item.asks
    hunt = HUNT.format(number=number, largest=inputs.LARGEST, most=inputs.MOST_NUMBERS)
    yield _text(BUG.format(number=number, points=f"{item.points:g} points"))
    yield _code(f"wrong_{number} = homework.bug({number})", f"show-bug-{number}", locked=True)
    yield _code(
        hunt,
        f"counterexample-{number}",
        solution=True,
    )
    yield _checked(item, f"homework.compare(wrong_{number}, counterexample_{number}, globals())")
    if why:
        yield from _written(why, WHY.format(points=why.points))


def _verdict(item: Item) -> Iterator[NotebookNode]:
    yield _text(TABLE.format(points=f"{item.points:g} points"))
    yield _code("homework.table()", "show-table", locked=True)
    answers = "".join(f'    "{letter}": None,\n' for letter in tables.LETTERS)
    yield _fill(f"verdict = {{  # True, False, or None for no answer\n{answers}}}", "fill-verdict")
    yield _checked(item, "homework.answered(verdict)")


def _questions(assignment: Assignment) -> Iterator[NotebookNode]:
    asked = [item for item in assignment.items if item.id.startswith("q-")]
    if asked:
        yield _text("## Questions")
    for item in asked:
        question = questions.written(assignment.name)[item.asks]
        yield from _written(item, f"{question.text.strip()} ({item.points:g} points)")


def _written(item: Item, asked: str) -> Iterator[NotebookNode]:
    yield _text(asked)
    cell = nbformat.v4.new_markdown_cell(ANSWER)
    yield _named(cell, item.id, grade=True, solution=True, points=item.points)


def _text(source: str) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(source)


def _code(source: str, id: str, *, solution: bool = False, locked: bool = False) -> NotebookNode:
    return _named(nbformat.v4.new_code_cell(source), id, solution=solution, locked=locked)


def _fill(source: str, id: str) -> NotebookNode:
    """A cell that the student completes."""
    cell = _code(source, id, solution=True)
    cell.metadata.tags = [PREFILLED]
    return cell


def _checked(item: Item, source: str) -> NotebookNode:
    """The cell that stands for an item's points."""
    return _named(nbformat.v4.new_code_cell(source), item.id, grade=True, locked=True, points=item.points)


def _named(cell: NotebookNode, id: str, *, points: float | None = None, **roles: bool) -> NotebookNode:
    about = {"grade": False, "solution": False, "locked": False, "task": False} | roles
    about |= {"grade_id": id, "schema_version": 3} | ({"points": points} if points is not None else {})
    cell.metadata.nbgrader = about
    return cell
