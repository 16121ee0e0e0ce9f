"""The lines of a results file: read as far as they are whole, appended whole or not at all, by one run at a time."""

import functools
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from helpers.support import CourseError

PARTS = ("cell", "result", "from")


def read(path: Path) -> list[dict]:
    """Every whole line of a file, not to be changed; none where there is no file.

    Broken lines are named in one warning. A half last line is left out: a run was stopped there, or writes it now.
    """
    found, broken = _lines(path, now) if (now := state(path)) else ([], [])
    if broken:
        todo = "Mend or delete what is broken there: until then it is as if it were not recorded."
        warnings.warn(f"{path}: {', '.join(broken)}; the other lines are used.\n{todo}", stacklevel=2)
    return list(found)


def state(path: Path) -> tuple[int, ...] | None:
    """What changes whenever the file does; None where there is none."""
    if not path.exists():
        return None
    now = path.stat()
    return now.st_mtime_ns, now.st_size, now.st_ino


@functools.lru_cache(maxsize=64)
def _lines(path: Path, _: tuple[int, ...]) -> tuple[list[dict], list[str]]:
    """Whole lines, and what is wrong with the others; read again when the file has changed."""
    found, broken = [], []
    texts = path.read_bytes().split(b"\n")
    for number, text in enumerate(texts, 1):
        line = _parsed(text)
        if isinstance(line, dict):
            found.append(line)
        elif text.strip() and number < len(texts):
            broken.append(f"line {number} {line}")
    return found, broken


def _parsed(text: bytes) -> dict | str:
    """A line, or what is wrong with it."""
    try:
        line = json.loads(text)
    except ValueError:
        return "is not JSON"
    lacking = [part for part in PARTS if not isinstance(line, dict) or not isinstance(line.get(part), dict)]
    return f"has no {' and no '.join(map(repr, lacking))}" if lacking else line


def append(path: Path, line: dict) -> None:
    """Add a line and see it on the disk. Raises CourseError where it can't be; the file then ends as it did before."""
    data = memoryview((json.dumps(line, ensure_ascii=False) + "\n").encode())
    try:
        mend(path)
        with path.open("ab", buffering=0) as out:
            end = out.tell()
            try:
                while data:
                    data = data[out.write(data) :]
                os.fsync(out.fileno())
            except BaseException:
                out.truncate(end)
                raise
    except OSError as error:
        raise CourseError(
            f"{path}: no line could be added ({error.strerror or error}); it ends with its last whole line.\n"
            "Make room, or see to what is said in brackets; then the same command goes on with this cell."
        ) from error


def mend(path: Path) -> None:
    """Give the last line its end; if only half of it was written, cut it off."""
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb+") as file:
        file.seek(-1, os.SEEK_END)
        if file.read() == b"\n":
            return
        file.seek(0)
        before, newline, last = file.read().rpartition(b"\n")
        if isinstance(_parsed(last), dict):
            file.write(b"\n")
        else:
            file.truncate(len(before) + len(newline))


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Within, no other run records into this file; where one does, this one waits for its end and says so."""
    lock = FileLock(path.with_name(f".{path.name}.lock"), is_singleton=True)  # may be held again by its holder
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"Another run records {path.name} now. This one waits for its end; Ctrl-C stops it.", flush=True)
            lock.acquire()
    except (OSError, NotImplementedError) as error:  # the second: a file system without locks
        raise CourseError(
            f"{path} could not be locked for this run ({getattr(error, 'strerror', None) or error}).\n"
            "Record in a copy of the course on a disk that you may write to."
        ) from error
    try:
        yield
    finally:
        lock.release()
