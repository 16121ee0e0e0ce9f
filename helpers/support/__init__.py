"""What every room may use: where things lie, errors for people, cache, shape checks, number formats, progress.

This file needs the standard library only: set-up reads it before anything is installed.
"""

from __future__ import annotations  # a Python too old for `X | Y` still gets as far as being told so

import hashlib
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class CourseError(Exception):
    """Something a person can mend: the first line says what happened and what it means, the second what to do."""


def named_path(variable: str) -> Path | None:
    """The path in an environment variable, from the course's folder where it is relative; None if unset or empty."""
    value = os.environ.get(variable, "").strip()
    return ROOT / os.path.expanduser(value) if value else None


def sha256(file: Path) -> str:
    """The hash of a file's content."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def replace_unprintable() -> None:
    """From here on a terminal shows "?" for characters that its encoding lacks, instead of raising an error."""
    if getattr(sys.stdout, "errors", None) in ("strict", "surrogateescape") and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
