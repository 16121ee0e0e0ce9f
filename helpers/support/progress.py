"""What a reader has done: a small JSON file that can be carried along and merged."""

import json
import os
from pathlib import Path

from helpers.support import ROOT, cache

RANKS = ("not attempted", "crashed", "failed", "passed")


def path() -> Path:
    """Where progress is kept: `COURSE_PROGRESS`, or progress.json in the course's folder."""
    return Path(os.environ.get("COURSE_PROGRESS", ROOT / "progress.json")).expanduser()


def read(file: Path | None = None) -> dict[str, dict]:
    """Exercises and predictions as kept; a file that can't be read counts as empty, and stays."""
    empty = {"exercises": {}, "predictions": {}}
    try:
        return empty | json.loads((file or path()).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return empty
    except (ValueError, TypeError, OSError):
        print(f"Note: {(file or path()).name} can't be read as progress; it is left as it is, nothing is kept.")
        return empty | {"broken": True}


def write(kept: dict) -> None:
    if kept.pop("broken", False):
        return
    try:
        with cache.whole(path()) as scratch:
            scratch.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        print(f"Note: progress could not be kept ({error.strerror}).")


def note(found: object) -> None:
    """Keep the latest verdict on an exercise, and the best."""
    kept = read()
    before = kept["exercises"].get(found.exercise.number, {})
    best = better(before.get("best", found.status), found.status)
    kept["exercises"][found.exercise.number] = {"name": found.exercise.name, "latest": found.status, "best": best}
    write(kept)


def predict(key: str, chosen: str, reason: str = "") -> None:
    kept = read()
    kept["predictions"][key] = {"chosen": chosen, "reason": reason}
    write(kept)


def better(a: str, b: str) -> str:
    return max(a, b, key=RANKS.index)


def merge(other: Path) -> None:
    """Take in what another file holds: the better of both verdicts; predictions made here stay."""
    kept, theirs = read(), read(other)
    for number, row in theirs["exercises"].items():
        mine = kept["exercises"].get(number, row)
        kept["exercises"][number] = mine | {"best": better(mine["best"], row["best"])}
    kept["predictions"] = theirs["predictions"] | kept["predictions"]
    write(kept)
