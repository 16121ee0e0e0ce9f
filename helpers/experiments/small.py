"""With COURSE_SMALL=FOLDER in the environment the plan's blocks have small grids, tried out and recorded in there."""

import os
import shlex

from helpers.support import ROOT, CourseError, named_path

SMALL = named_path("COURSE_SMALL")
SIZE = "small" if SMALL else None  # as the lines say
PREFIX = f"COURSE_SMALL={shlex.quote(str(SMALL))} " * bool(SMALL)  # of commands


def check() -> None:
    """Make the folder. Raises CourseError where it can't be used."""
    if SMALL.resolve().is_relative_to(ROOT / "data"):
        raise CourseError(f"COURSE_SMALL names {SMALL}, where the course's own files lie.\nName a folder elsewhere.")
    try:
        SMALL.mkdir(parents=True, exist_ok=True)
        usable = os.access(SMALL, os.W_OK)
    except OSError:
        usable = False
    if not usable:
        raise CourseError(f"COURSE_SMALL names {SMALL}, where nothing can be written.\nName another folder.")
