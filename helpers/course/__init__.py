"""The machinery behind the course, kept out of the science: set-up, doctor, assets, build, lint, recorded results."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class CourseError(Exception):
    """Something a person can mend: the first line says what happened and what it means, the second what to do."""
