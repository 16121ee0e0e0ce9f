"""The one folder where the course keeps what it fetched and computed; a file is written there whole or not at all."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


KEEP = True


@contextmanager
def unkept() -> Iterator[None]:
    """Within, what is computed is not kept: for sweeps whose internals would fill a disk."""
    global KEEP
    KEEP = False
    try:
        yield
    finally:
        KEEP = True


def remember(compute: Callable[[], dict], key: tuple) -> dict:
    """`compute()`, a dict of tensors, kept by content: `key` must hold everything that the result depends on."""
    from safetensors.torch import load_file, save_file

    path = evaluation(key)
    if path.exists():
        return load_file(path)
    result = compute()
    if not KEEP:
        return result
    try:
        with whole(path) as scratch:
            save_file({name: tensor.contiguous() for name, tensor in result.items()}, scratch)
    except OSError as error:  # a full or read-only disk costs the memory, never the result
        print(f"Note: this result could not be kept for next time ({error.strerror}).")
        return result
    return load_file(path)  # in memory only as far as it is looked at


bypassed = unkept
