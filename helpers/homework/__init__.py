"""Homework: released to students, graded in a process of its own, reported to the instructor."""
