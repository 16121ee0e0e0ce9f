"""What a reader has done: a small JSON file that can be carried along and merged."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from helpers.support import ROOT, CourseError, cache, named_path

RANKS = ("not attempted", "crashed", "failed", "passed")
PATIENCE = 10.0  # seconds to wait for another kernel that writes
ELSEWHERE = "Let COURSE_PROGRESS name a file that can be written, or make room; then run the cell again."

Kept = dict[str, dict[str, dict]]  # "exercises" by number, "predictions" by key


def path() -> Path:
    """Where progress is kept: `COURSE_PROGRESS`, or progress.json in the course's folder."""
    return named_path("COURSE_PROGRESS") or ROOT / "progress.json"


def load(file: Path) -> Kept:
    """What a progress file holds. Raises FileNotFoundError; CourseError for a file of another kind."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8-sig"))
        fault = _fault(kept)
    except FileNotFoundError:
        raise
    except OSError as error:
        fault = error.strerror or str(error)
    except (ValueError, RecursionError):
        fault = "it is not JSON"
    if fault:
        raise CourseError(
            f"{file} can't be read as progress: {fault}. It is left as it is, and nothing is kept.\n"
            "Move it away or mend it; a new file is begun where there is none."
        )
    return _empty() | kept


def _fault(kept: object) -> str:
    """Why this is not progress; empty where it is."""
    if not isinstance(kept, dict):
        return "it is no JSON object"
    for part in _empty():
        rows = kept.get(part, {})
        if not isinstance(rows, dict) or not all(isinstance(row, dict) for row in rows.values()):
            return f"{part!r} must be an object of objects"
    for number, row in kept.get("exercises", {}).items():
        for field in ("latest", "best"):
            if row.get(field) not in RANKS:
                return f"exercise {number} has {field!r}: {row.get(field)!r}, which is none of {', '.join(RANKS)}"
    return ""


def _empty() -> Kept:
    return {"exercises": {}, "predictions": {}}


def current() -> Kept:
    """Progress so far. Raises CourseError where the file is no progress."""
    try:
        return load(path())
    except FileNotFoundError:
        return _empty()


def read() -> Kept:
    """Progress so far; a file that can't be read counts as empty, and a note says so."""
    try:
        return current()
    except CourseError as error:
        print(f"Note: {error}")
        return _empty()


@contextmanager
def changing() -> Iterator[Kept]:
    """Progress to change, kept when the block ends; one process at a time. Raises CourseError where it can't be."""
    file = path().resolve()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock"), timeout=PATIENCE):
            kept = current()
            yield kept
            with cache.whole(file) as scratch:
                scratch.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except Timeout as error:
        reason = f"another program has held {file.name} for {PATIENCE:.0f} seconds"
        raise CourseError(
            f"progress could not be kept ({reason}).\nRun the cell again when it has ended: two kernels may take turns."
        ) from error
    except (OSError, NotImplementedError) as error:  # the second: a file system without locks
        raise CourseError(
            f"progress could not be kept ({getattr(error, 'strerror', None) or error}).\n{ELSEWHERE}"
        ) from error


def _keep(change: Callable[[Kept], None]) -> bool:
    """Keep a change, if that is possible; a note says if not. Returns whether it was kept."""
    try:
        with changing() as kept:
            change(kept)
    except CourseError as error:
        print(f"Note: {error}")
        return False
    return True


def note(found: object) -> bool:
    """Keep the latest verdict on an exercise, and the best. Returns whether it was kept."""

    def change(kept: Kept) -> None:
        before = kept["exercises"].get(found.exercise.number, {"best": found.status})
        row = {"name": found.exercise.name, "latest": found.status, "best": better(before["best"], found.status)}
        kept["exercises"][found.exercise.number] = before | row

    return _keep(change)


def predict(key: str, chosen: str, reason: str = "") -> bool:
    """Keep a prediction, "" where it was skipped; another one after its answer was seen is kept beside the first.

    Returns whether it was kept.
    """

    def change(kept: Kept) -> None:
        before = kept["predictions"].get(key, {})
        late = before.get("seen") and chosen != before.get("chosen")
        now = {"later": chosen} if late else {"chosen": chosen, "reason": reason}
        kept["predictions"][key] = before | now

    return _keep(change)


def seen(key: str) -> None:
    """Note that the answer to a question that was answered or skipped is on the page."""
    if not read()["predictions"].get(key, {"seen": True}).get("seen"):
        _keep(lambda kept: kept["predictions"][key].update(seen=True))


def better(a: str, b: str) -> str:
    """The higher of two statuses."""
    return max(a, b, key=RANKS.index)


def merge(other: Path) -> None:
    """Take in what another file holds: the better of both verdicts; predictions made here stay. Raises CourseError."""
    try:
        theirs = load(other)
    except FileNotFoundError:
        raise CourseError(
            f"There is no file {other}; nothing was taken in.\nGive the path of a progress file, from any folder."
        ) from None
    with changing() as kept:
        for number, row in theirs["exercises"].items():
            mine = kept["exercises"].get(number, row)
            kept["exercises"][number] = mine | {"best": better(mine["best"], row["best"])}
        kept["predictions"] = theirs["predictions"] | kept["predictions"]
