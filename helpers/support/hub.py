"""Data sets from the Hugging Face hub: at fixed commits, whole files only, known again by their SHA-256.

What is checked, and what is trusted: a commit names bytes, but a machine that asks for the first time can't know them.
So the first download is trusted; data/hub.lock.json then keeps the SHA-256 of every file, and each later use of the
file, on any machine that has this lock, is checked against it. Only for large files is the first download checked
too: the hub names them by their SHA-256. Downloads, retries and resuming are `huggingface_hub`'s; tried again here is
what it gives up: a 5xx in place of a file, and a connection that is reset.
"""

import errno
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import hf_hub_download, is_offline_mode, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from helpers.support import ROOT, CourseError, cache, sha256

if TYPE_CHECKING:
    import pandas as pd

LOCK = ROOT / "data" / "hub.lock.json"
WAITS = (2, 8, 30)  # seconds before it is tried again, where the hub names none
FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
AGAIN = "run the same command again: whole files are kept"


@dataclass(frozen=True)
class Source:
    """One file of a data set at one commit."""

    repo: str
    revision: str  # the commit, in full: a branch may move
    file: str

    def __str__(self) -> str:
        return f"{self.file} of {self.repo}"

    @property
    def place(self) -> dict[str, str]:
        return {"repo_id": self.repo, "filename": self.file, "revision": self.revision, "repo_type": "dataset"}


def is_here(source: Source) -> bool:
    """Whether the file was fetched before; nothing is asked of the network."""
    return isinstance(try_to_load_from_cache(**source.place, cache_dir=cache.folder("hub")), str)


def fetch(source: Source) -> Path:
    """The file on this machine, downloaded if it isn't here yet. Raises CourseError with what to do."""
    try:
        path = Path(try_to_load_from_cache(**source.place, cache_dir=cache.folder("hub"))) if is_here(source) else None
        path = path or _download(source)
        _check(source, path)
    except OSError as error:
        raise _disk_trouble(source, error) from error
    return path


def read(source: Source) -> "pd.DataFrame":
    """The rows of a parquet or JSON-lines file, in their order."""
    import pandas as pd

    path = fetch(source)
    if source.file.endswith(".parquet"):
        return pd.read_parquet(path)
    return pd.read_json(path, lines=True, dtype=False)


def _download(source: Source) -> Path:
    """Whole or not at all: `huggingface_hub` gives a file its name when all of it has come."""
    if is_offline_mode() or os.environ.get("HF_HUB_OFFLINE") != "0":
        raise CourseError(
            f"{source} is not on this machine, and the course asks no hub unless it is allowed to.\n"
            "Allow it for one command by writing HF_HUB_OFFLINE=0 before it: HF_HUB_OFFLINE=0 python -m helpers …"
        )
    options = {"cache_dir": cache.folder("hub"), "endpoint": os.environ.get("HF_ENDPOINT")}
    for wait in (*WAITS, None):
        try:
            return Path(hf_hub_download(**source.place, **options))
        except (HTTPError, OSError, RuntimeError) as error:  # RuntimeError: hf_xet's, of any kind
            reason = _reason(error)
            if getattr(reason, "errno", None):  # the disk's; the network's have no number
                raise
            if wait is None or not _passes(reason):
                raise _network_trouble(source, reason) from error
            time.sleep(_asked_to_wait(reason) or wait)
    raise AssertionError("the last try returns or raises")


def _reason(error: BaseException) -> BaseException:
    """What the hub's library met before it looked for an older copy."""
    return error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ else error


def _passes(error: Exception) -> bool:
    """Whether it may be gone in a minute: a 5xx or a broken connection. A 429 was waited for already."""
    return error.response.status_code >= 500 if isinstance(error, HfHubHTTPError) else True


def _asked_to_wait(error: Exception) -> int | None:
    """The seconds that the hub asks for, if it does."""
    asked = error.response.headers.get("Retry-After", "") if isinstance(error, HfHubHTTPError) else ""
    return int(asked) if asked.isdigit() else None


def _network_trouble(source: Source, error: Exception) -> CourseError:
    """Two lines for a person."""
    if isinstance(error, (RevisionNotFoundError, RepositoryNotFoundError, EntryNotFoundError)):
        return CourseError(
            f"The hub has no {source} at commit {source.revision}: it was moved, renamed or closed.\n"
            "Nothing that is run again mends this: please report it, with these lines."
        )
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status == 429:
        return CourseError(
            f"{source}: the hub still answers that this network asks too often (429), after all waits.\n"
            f"Wait a quarter of an hour, or set HF_TOKEN to the token of an account; then {AGAIN}."
        )
    what = f"the hub answers {status}" if status else f"{type(error).__name__}, {error}".replace("\n", " ")
    return CourseError(f"{source} could not be downloaded: {what}.\nCheck the network; then {AGAIN}.")


def _disk_trouble(source: Source, error: OSError) -> CourseError:
    reason = error.strerror or str(error).replace("\n", " ")
    remedy = "Make room, or let" if error.errno in FULL else "Let"
    return CourseError(
        f"{source} could not be written or read: {reason}. Nothing half-written was left.\n"
        f"{remedy} COURSE_CACHE name a folder on another disk; then {AGAIN}."
    )


# --- The lock


def _check(source: Source, path: Path) -> None:
    """Compare the file with the lock; the first time write it down. A wrong file is deleted, then CourseError."""
    from filelock import FileLock

    found = sha256(path)
    with FileLock(cache.folder("hub", ".hub.lock.json.lock")):
        locked = locked_hashes()
        expected = locked.get(source) or _name_by_content(path) or found
        if found != expected:
            path.resolve().unlink()
            path.unlink(missing_ok=True)
            raise CourseError(
                f"{source} is not what it was: SHA-256 {found[:12]}…, not {expected[:12]}…. It was deleted.\n"
                f"Run the same command again; if it stays, a proxy changes downloads, or {LOCK.name} is wrong."
            )
        if source not in locked:
            _write(locked | {source: found})


def locked_hashes() -> dict[Source, str]:
    """The SHA-256 of every file that was ever downloaded under this lock."""
    rows = json.loads(LOCK.read_text(encoding="utf-8")) if LOCK.exists() else []
    return {Source(row["repo"], row["revision"], row["file"]): row["sha256"] for row in rows}


def _write(locked: dict[Source, str]) -> None:
    rows = sorted((vars(source) | {"sha256": found} for source, found in locked.items()), key=str)
    with cache.whole(LOCK) as scratch:
        scratch.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _name_by_content(path: Path) -> str | None:
    """The name under which the library keeps the file, where it is a SHA-256: the hub's, of a large file."""
    name = path.resolve().name
    return name if re.fullmatch("[0-9a-f]{64}", name) else None
