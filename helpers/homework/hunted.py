"""What was drawn for a student, as whoever reads their answers needs it: on their pages, and with reasons and keys."""

from collections.abc import Iterator, Mapping

import nbformat
from nbformat import NotebookNode

from helpers.homework import allowed, bugs, bundle, tables
from helpers.homework.bugs import Bug
from helpers.homework.settings import Assignment
from helpers.homework.student import posed
from helpers.homework.tables import Table

HEAD = """# Homework {name}: what was drawn for each student

For whoever reads the written answers. Not for students: reasons and keys are in it."""


def wrong(assignment: Assignment, student: str) -> dict[str, Bug]:
    """The wrong functions of a student, by item."""
    drawn = bugs.drawn(assignment.term, assignment.name, student)
    return {item.id: drawn[int(item.asks) - 1] for item in assignment.items if item.kind == "bug"}


def _table(assignment: Assignment, student: str) -> Table:
    return tables.table(assignment.term, assignment.name, student)


def shown(assignment: Assignment, student: str) -> dict[str, NotebookNode]:
    """What the cells of the notebook that show a student's tasks print, by the cells' names."""
    found = {}
    for id, bug in wrong(assignment, student).items():
        text = posed(bundle.about(bug.exercise), bug.source)
        found[f"show-{id}"] = nbformat.v4.new_output("stream", name="stdout", text=text)
    text = _table(assignment, student).page()
    found["show-table"] = nbformat.v4.new_output("display_data", data={"text/markdown": text, "text/plain": text})
    return found


def for_graders(assignment: Assignment, students: Mapping[str, str]) -> str:
    """For each student, by the id that their tasks were drawn from: the wrong functions, the table, reasons and key."""
    parts = [HEAD.format(name=assignment.name)]
    for student, drawn in sorted(students.items()):
        parts += [f"## {student}", *_hunts(assignment, drawn), *_key(_table(assignment, drawn))]
    return "\n\n".join(parts) + "\n"


def _hunts(assignment: Assignment, student: str) -> Iterator[str]:
    titles = {item.id: item.title for item in assignment.items}
    for id, bug in wrong(assignment, student).items():
        yield f"**{titles[id]}** (`{bug.name}`): {bug.why}\n\n```python\n{bug.source.strip()}\n```"


def _key(table: Table) -> Iterator[str]:
    yield table.text()
    key, why = allowed.key(table), allowed.why(table)
    lines = (f"- **{letter}: {key[letter]}.** {text} *{why[letter]}*" for letter, text in table.sentences.items())
    yield "\n".join(lines)
