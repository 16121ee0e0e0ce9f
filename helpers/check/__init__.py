"""Exercises and the verdict on an attempt: `check` in a notebook, `verdict` as a record, `grade` for a grader."""

from helpers.check import exercises  # noqa: F401  they register themselves
from helpers.check.display import break_it, check
from helpers.check.engine import EXERCISES, CheckFailed, Exercise, Verdict, grade, verdict
from helpers.check.route import route

__all__ = ["EXERCISES", "CheckFailed", "Exercise", "Verdict", "break_it", "check", "grade", "route", "verdict"]
