"""What every room may use: where things lie, errors for people, cache, shape checks, number formats, progress.

This file and `places` need the standard library only: set-up reads them before anything is installed.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class CourseError(Exception):
    """Something a person can mend: the first line says what happened and what it means, the second what to do."""
