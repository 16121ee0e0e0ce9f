"""The files that were handed in, those in archives too: read in memory and up to a limit, never unpacked to a disk."""

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from helpers.homework.marks import SIZE
from helpers.support import CourseError

MOST = SIZE  # bytes of a notebook: larger ones would not be marked
MEMBERS = 2_000  # files in a student's archive
CLUTTER = ("__MACOSX", ".ipynb_checkpoints", ".DS_Store", "Thumbs.db", "desktop.ini")


class Unusable(Exception):
    """Why a file can't be graded, in one sentence."""


@dataclass(frozen=True)
class Entry:
    """A file that was handed in; `path` is where the LMS put it, `within` its name in the student's own archive."""

    path: PurePosixPath
    size: int
    read: Callable[[], bytes]
    within: str = ""

    @property
    def name(self) -> str:
        return PurePosixPath((self.within or self.path.name).replace("\\", "/")).name

    @property
    def shown(self) -> str:
        """The name for a person to read: printable, and not long."""
        name = f"{self.path}{' > ' if self.within else ''}{self.within}"
        return "".join(letter if letter.isprintable() else "?" for letter in name)[-120:]


def entries(source: Path, one_students: Callable[[PurePosixPath], bool]) -> Iterator[Entry]:
    """The files below a folder, or in the archive of a whole class: one that is named, or lies alone in the folder.

    An archive whose name is one student's is no class's.
    """
    if not source.exists():
        raise CourseError(f"There is no {source}.\nName the folder or the zip that the LMS's download is in.")
    files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    if len(files) == 1 and files[0].suffix.lower() == ".zip" and not one_students(PurePosixPath(files[0].name)):
        try:
            archive = zipfile.ZipFile(files[0])
        except zipfile.BadZipFile as error:
            raise CourseError(f"{files[0]} is not a whole zip ({error}).\nFetch it from the LMS again.") from error
        yield from (entry for entry in _members(archive) if not _clutter(entry.path))
        return
    root = source.parent if source.is_file() else source
    for path in files:
        below = PurePosixPath(path.relative_to(root).as_posix())
        if not _clutter(below) and not path.is_symlink():
            yield Entry(below, path.stat().st_size, path.read_bytes)


def _clutter(path: PurePosixPath) -> bool:
    return any(part in CLUTTER or part.startswith("._") for part in path.parts)


def _members(archive: zipfile.ZipFile) -> Iterator[Entry]:
    for info in archive.infolist():
        if not info.is_dir():
            parts = [part for part in re.split(r"[/\\]", info.filename) if part not in ("", ".", "..")]
            within = info.filename if climbs(info.filename) else ""
            yield Entry(PurePosixPath(*parts or "_"), info.file_size, partial(_unpacked, archive, info), within)


def climbs(name: str) -> bool:
    """Whether a name in an archive would be written outside of the folder that it is unpacked in."""
    return ".." in re.split(r"[/\\]", name) or bool(re.match(r"[/\\]|[a-zA-Z]:", name))


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """A member of an archive; it may say that it is small and not be."""
    try:
        with archive.open(info) as member:
            content = member.read(MOST + 1)
    except Exception as error:  # zipfile's, zlib's and lzma's own; RuntimeError where it wants a password
        raise Unusable(f"{info.filename!r} can't be unpacked ({error})") from error
    if len(content) > MOST:
        raise Unusable(f"{info.filename!r} is larger than {MOST // 1_000_000} MB when unpacked")
    return content


def expanded(entry: Entry) -> Iterator[Entry]:
    """The file itself, or what is in it where it is an archive: all of that is its owner's."""
    if not entry.name.lower().endswith(".zip"):
        yield entry
        return
    if entry.size > 10 * MOST:
        raise Unusable(f"{entry.shown} has {entry.size / 1e6:,.0f} MB and was not opened")
    try:
        archive = zipfile.ZipFile(io.BytesIO(entry.read()))
    except zipfile.BadZipFile as error:
        raise Unusable(f"{entry.shown} is not a whole zip ({error})") from error
    if len(archive.infolist()) > MEMBERS:
        raise Unusable(f"{entry.shown} has {len(archive.infolist())} files and was not unpacked")
    for info in archive.infolist():
        if not info.is_dir() and not _clutter(PurePosixPath(info.filename)):
            yield Entry(entry.path, info.file_size, partial(_unpacked, archive, info), info.filename)
