"""A course that was unpacked from the archive of `make bundle`: it sets itself up from a folder in it, without network.

Standard library only: set-up needs this before anything is installed.
"""

from __future__ import annotations  # a Python too old for `X | Y` still gets as far as being told so

import json
import os
import platform
import sys
from pathlib import Path

from helpers.support import ROOT, CourseError, sha256

FOLDER = ROOT / "offline"  # only an unpacked archive has it: every package that set-up installs or reads
NOTE = "made_for.json"  # in it: the machine that it was made for, and each file's hash
AGAIN = "Unpack the archive again, into an empty folder, and run the same command there."


def machine() -> dict[str, str]:
    """What packages depend on: the system, its processor, and Python's version."""
    version = f"{platform.python_implementation()} {sys.version_info[0]}.{sys.version_info[1]}"
    return {"system": platform.system(), "processor": platform.machine(), "python": version}


def is_bundle() -> bool:
    """Whether this course came with its packages."""
    return FOLDER.is_dir()


def check() -> None:
    """Raise CourseError where this course came with packages that are another machine's, lost or damaged."""
    if not is_bundle():
        return
    made_for, files = _note()
    if made_for != machine():
        raise CourseError(
            f"This archive was made for {listed(made_for)}; this is {listed(machine())}.\n"
            "Use it on such a machine with such a Python, or make one on a machine like this: python -m helpers bundle"
        )
    for name, expected in files.items():
        trouble = _trouble(FOLDER / name, expected)
        if trouble:
            raise CourseError(f"The file {FOLDER.name}/{name} of this archive {trouble}. Nothing was made.\n{AGAIN}")


def pip_settings() -> dict[str, str]:
    """The environment variables for pip: as they are; in an unpacked archive with no place but its folder."""
    if not is_bundle():
        return dict(os.environ)
    others = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    # As an address, since pip parts places at spaces.
    return {**others, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": FOLDER.as_uri()}


def _note() -> tuple[dict[str, str], dict[str, str]]:
    """The machine that the packages are for, and each file's hash."""
    try:
        note = json.loads((FOLDER / NOTE).read_text(encoding="utf-8"))
        return {key: note[key] for key in machine()}, note["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CourseError(f"The list of packages {FOLDER.name}/{NOTE} is lost or damaged.\n{AGAIN}") from error


def _trouble(file: Path, expected: str) -> str:
    """What is wrong with a file; empty where it is whole."""
    try:
        return "" if sha256(file) == expected else "is damaged"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"can't be read ({error.strerror})"


def listed(facts: dict[str, str]) -> str:
    """A machine in words."""
    return "{system} {processor}, {python}".format(**facts)
