"""pip, with a bar in the place of its own output, and what stopped it, read off its own words.

Standard library only: set-up needs this before anything is installed.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

DONE = ("Collecting", "Requirement already", "Ignoring")  # a line of pip's a package
WIDTH = 30
SIGNS = {  # in lower case; the first kind that pip's output shows is the cause
    "hash": ("do not match the hashes",),
    "disk": ("no space left", "file too large", "quota exceeded", "not enough space"),
    "network": (
        "connection",
        "timed out",
        "network is unreachable",
        "name resolution",
        "proxyerror",
        "sslerror",
        "(from versions: none)",  # all that pip says of an index that it can't reach
    ),
}
ASIDES = ("[notice]", "WARNING", "note:", "hint:", "╰─>")


def cause(log: str) -> str:
    """What stopped pip: "hash", "disk", "network"; "" where its output names none of them."""
    log = log.lower()
    return next((kind for kind, signs in SIGNS.items() if any(sign in log for sign in signs)), "")


def last_words(log: str) -> str:
    """The last line of pip's output that tells what happened: an ERROR where there is one."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.strip().startswith(ASIDES)]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["nothing"])[-1][:300]


def run(command: list[str | Path], environment: dict[str, str]) -> tuple[int, str]:
    """Run a pip command; its exit status and what it said on stderr. On a terminal a bar tells how far it is.

    COURSE_VERBOSE shows pip's own output instead.
    """
    if os.environ.get("COURSE_VERBOSE"):
        return subprocess.run(command, env=environment).returncode, "pip said above why."
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "errors": "replace"}
    process = subprocess.Popen(command, env=environment, **pipes)
    said: list[str] = []
    errors: list[str] = []
    readers = [_reading(process.stdout, said), _reading(process.stderr, errors)]
    _watch(readers, said, _packages(command))
    return process.wait(), "".join(errors)


def _reading(stream: Iterable[str], lines: list[str]) -> threading.Thread:
    """A thread that takes in what a stream says, line by line: a pipe that nobody reads would stop pip."""
    reader = threading.Thread(target=lines.extend, args=[stream], daemon=True)
    reader.start()
    return reader


def _packages(command: list[str | Path]) -> int:
    """How many packages the requirement files of a command name; 0 without any."""
    files = [Path(after) for flag, after in itertools.pairwise(command) if flag == "--requirement"]
    return sum("==" in line.partition(";")[0] for file in files for line in file.read_text().splitlines())


def _watch(readers: list[threading.Thread], said: list[str], total: int) -> None:
    """Wait until pip has said all, and draw the bar where there is a terminal."""
    start = time.monotonic()
    terminal = sys.stdout.isatty()
    while any(reader.is_alive() for reader in readers):
        readers[0].join(0.2)
        readers[1].join(0.01)
        if terminal:
            _draw(_bar(said, total, time.monotonic() - start))
    if terminal:
        _draw("")


def _bar(said: list[str], total: int, seconds: float) -> str:
    """One line: packages found so far, then that they are being unpacked; the time in any case."""
    if any(line.startswith("Installing collected") for line in said):
        return f"    unpacking, {seconds:.0f} s"
    if not total:
        return f"    {seconds:.0f} s"
    found = min(total, sum(line.lstrip().startswith(DONE) for line in said))
    filled = WIDTH * found // total
    return f"    [{'#' * filled}{'.' * (WIDTH - filled)}] {found} of {total} packages, {seconds:.0f} s"


def _draw(line: str) -> None:
    columns = shutil.get_terminal_size().columns - 1
    print(f"\r{line[:columns]:{columns}}\r", end="", flush=True)
