"""The one folder where the course keeps what it fetched and computed; a file is written there whole or not at all."""

import functools
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from helpers.support import named_path


def folder(*parts: str) -> Path:
    """The user's cache folder, or what `COURSE_CACHE` names; `parts` are appended, nothing is created."""
    chosen = named_path("COURSE_CACHE")
    if chosen:
        return chosen.joinpath(*parts)
    from platformdirs import user_cache_path  # set-up installs it

    return user_cache_path("icl-as-gradient-descent").joinpath(*parts)


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A temporary path beside `target`, a file or a folder, that takes its name only when the block ends well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=_prefix(target), dir=target.parent))
    try:
        yield scratch / target.name
        made = scratch / target.name
        if target.is_dir() and made.is_dir():
            os.replace(target, scratch / "old")  # deleted only when the new one is in its place
        os.replace(made, target)
    except Exception as error:
        if told := re.search(r"([^:]+) \(os error (\d+)\)", str(error)):  # safetensors and tokenizers, of a full disk
            raise OSError(int(told[2]), told[1].strip()) from error
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def sweep(target: Path) -> None:
    """Remove what a killed process left unfinished beside `target`; only for the holder of the target's lock."""
    for left in target.parent.glob(f"{_prefix(target)}*"):
        shutil.rmtree(left, ignore_errors=True)


def _prefix(target: Path) -> str:
    return f".unfinished-{target.name}-"


def digest(*parts: object) -> str:
    """A short name for content: the first 128 bits of SHA-256 over the parts' representations."""
    return hashlib.sha256("\x1f".join(map(repr, parts)).encode()).hexdigest()[:32]


def evaluation(key: tuple) -> Path:
    """The file that keeps the evaluation with this key."""
    return folder("evaluations", f"{digest(*key)}.safetensors")


_BYPASSED = ContextVar("bypassed", default=False)
LIMIT = 2_000_000_000  # bytes of evaluations; what was read longest ago goes first


@contextmanager
def bypassed() -> Iterator[None]:
    """Within, everything is computed: no evaluation is read or kept."""
    former = _BYPASSED.set(True)
    try:
        yield
    finally:
        _BYPASSED.reset(former)


def is_bypassed() -> bool:
    """Whether nothing is read or kept here."""
    return _BYPASSED.get()


def remember(compute: Callable[[], dict], key: tuple | None) -> dict:
    """`compute()`, a dict of tensors, kept by content: `key` must hold everything that the result depends on.

    Without a key the result is neither read nor kept. An entry that can't be read is computed again and replaced.
    """
    if key is None or is_bypassed():
        return compute()
    path = evaluation(key)
    kept = _read(path)
    return _keep(compute(), path) if kept is None else kept


def _read(path: Path) -> dict | None:
    """The tensors of an entry, in memory only as far as they are looked at; None where there is none that is whole."""
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        with safe_open(path, "pt") as entry:
            if (entry.metadata() or {}).get("entry") != path.stem:  # another program's file, or a renamed one
                return None
        with suppress(OSError):
            os.utime(path)
        return load_file(path)
    except (OSError, SafetensorError):
        return None


def _keep(result: dict, path: Path) -> dict:
    """The result as its entry has it, or as it is where it can't be kept, which is said."""
    from safetensors.torch import save_file

    try:
        with whole(path) as scratch:
            save_file({name: t.contiguous() for name, t in result.items()}, scratch, {"entry": path.stem})
        prune(path.parent, LIMIT)
    except OSError as error:  # a full or read-only disk costs the memory, never the result
        _note(f"Note: this result could not be kept for next time ({error.strerror or error}).")
    return _read(path) or result


_note = functools.cache(print)  # each message once


def prune(evaluations: Path, limit: int) -> None:
    """Delete the entries that were read longest ago, until those left fit into `limit` bytes."""
    entries = []
    for path in evaluations.rglob("*.safetensors"):  # also the half of one that a killed process left
        with suppress(OSError):  # another process was faster
            entries.append((path.stat().st_mtime, path.stat().st_size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= limit:
            return
        with suppress(OSError):
            path.unlink()
            total -= size
