"""Every exercise and what became of it, as text."""

from helpers.check.engine import EXERCISES
from helpers.support import progress


def progress_table() -> str:
    """A line for each exercise, and how many passed. Raises CourseError where the progress file can't be read."""
    kept = progress.current()["exercises"]
    rows = [(e.number, "★" if e.core else " ", e.name, kept.get(e.number, {})) for e in EXERCISES.values()]
    lines = [f"{n:4} {star} {name:32} {row.get('best', 'not attempted')}" for n, star, name, row in sorted(rows)]
    passed = sum(row.get("best") == "passed" for *_, row in rows)
    return "\n".join([*lines, f"{passed} of {len(rows)} passed; kept in {progress.path().name}"])
