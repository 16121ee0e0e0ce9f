"""Submissions at arm's length: processes that are started, limited, isolated, asked, and ended whatever they do.

One warm interpreter (worker.py) for each process that grades; it forks for every submission. What is asked goes over
one socket, and nothing that comes back is trusted: a call that ends the process, never answers or answers nonsense
has failed, and the submission is started afresh for what else is asked of it.
"""

import atexit
import contextlib
import functools
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from helpers.check.run import Call, Fault, Unknown
from helpers.homework import bundle, settings, wire
from helpers.support import ROOT, CourseError

HERE = Path(__file__).resolve().parent
ANSWER, CELLS, ALL = 30.0, 150.0, 300.0  # seconds until an answer, for all cells, for all of a submission
DEATHS = 5  # so often is a submission started afresh
TOLD = 10_000  # characters of any text

ENDED = "It ended Python (`exit`, a crash inside a library, too much memory): nothing came back."
SILENT = "It did not answer in time: is there a loop that never ends?"
GARBLED = "What came back can't be read: return tensors and numbers, of an ordinary size."
TOO_OFTEN = "The notebook has ended Python or kept it busy too often: this could not be run."

ENVIRONMENT = {
    "HOME": "/tmp",
    "IPYTHONDIR": "/tmp",
    "LC_ALL": "C.UTF-8",
    "MPLBACKEND": "Agg",
    "OMP_NUM_THREADS": "1",
    "OMP_THREAD_LIMIT": "1",  # even where a submission asks for more: sums are added in the same order at every run
    "OPENBLAS_NUM_THREADS": "1",
    "PATH": "/usr/bin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",  # sets are read in the same order at every run
}


class Crashed(Exception):
    """An exception of the submission's own: its traceback as text."""


class Running:
    """One process of a submission, until it is closed."""

    def __init__(self, calls: socket.socket, lifeline: socket.socket) -> None:
        self.calls, self.lifeline = calls, lifeline

    def close(self) -> None:
        """End it and all that it has started; when this returns they are gone."""
        self.calls.close()
        with contextlib.suppress(OSError):
            self.lifeline.shutdown(socket.SHUT_WR)
            self.lifeline.settimeout(10)
            self.lifeline.recv(1)  # the end: whoever watches over the submission has done its work
        self.lifeline.close()


class Interpreter:
    """A warm interpreter. Its environment, command line and memory hold nothing that a submission may not see."""

    def __init__(self) -> None:
        self._empty, self._beside = (Path(tempfile.mkdtemp(prefix="homework-")) for _ in range(2))
        for name, text in bundle.files(*settings.names()).items():
            (self._beside / name).write_text(text, encoding="utf-8")
        self._told = self._beside / "told.txt"
        self._control, theirs = socket.socketpair()
        with theirs, self._told.open("wb") as told:
            self.process = subprocess.Popen(
                self._command(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                env=ENVIRONMENT,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=told,
                start_new_session=True,
            )

    def _command(self, control: int) -> list[str]:
        flags = ["-P", "-s"]  # neither the folder of worker.py nor the user's packages; no -I: the hash seed is wanted
        hidden = (ROOT / "helpers", ROOT / "notebooks", ROOT / "tests", settings.folder())
        return [sys.executable, *flags, *map(str, (HERE / "worker.py", control, self._empty, self._beside, *hidden))]

    def start(self) -> Running:
        """A process for one submission."""
        (calls, theirs), (lifeline, watched) = socket.socketpair(), socket.socketpair()
        with theirs, watched:
            socket.send_fds(self._control, [b"!"], [theirs.fileno(), watched.fileno()])
        return Running(calls, lifeline)

    def told(self) -> str:
        """The last thing that it said."""
        lines = self._told.read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it does not answer"

    def close(self) -> None:
        self._control.close()
        self.process.kill()
        self.process.wait()
        for folder in (self._empty, self._beside):
            shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _interpreter(process: int) -> Interpreter:
    """The one of this process; a fork of it gets its own."""
    interpreter = Interpreter()
    atexit.register(lambda: interpreter.close() if os.getpid() == process else None)
    return interpreter


def started() -> tuple[Running, tuple[str, ...]]:
    """A process that is ready for a submission, and what it is kept from. Raises CourseError where there can be none.

    That is never the fault of the submission that is to be run; one before may have ended the warm interpreter.
    """
    if not hasattr(os, "fork"):
        raise CourseError(
            "Homework can't be graded on Windows: what a submission does can't be limited there.\n"
            "Grade on Linux, on macOS or in a container."
        )
    for _ in range(2):
        interpreter = _interpreter(os.getpid())
        try:
            running = interpreter.start()
            return running, wire.receive(running.calls, CELLS)["stopped"]
        except (EOFError, OSError):
            told = interpreter.told()
            interpreter.close()
            _interpreter.cache_clear()
    raise CourseError(
        f"No process for submissions can be started: {told}.\n"
        "Nothing was graded. Mend that, or set the course up again, then grade once more."
    )


def isolation() -> str:
    """What the system keeps a submission from, or doesn't, in one line."""
    running, stopped = started()
    running.close()
    missing = [what for what in ("network", "processes", "files") if what not in stopped]
    if not missing:
        return "A submission has no network, sees no other process, and no file but Python's own."
    return f"Not stopped here, but by a container around the grader: a submission's use of {', '.join(missing)}."


class Submission:
    """A notebook's code cells, run in a process of their own: calls a function there, reads a value."""

    def __init__(self, cells: Iterable[str]) -> None:
        self._cells, self._skip = tuple(cells), []
        self._running: Running | None = None
        self._at: object = None  # the place of the cell that is being run
        self._deaths, self._until = 0, time.monotonic() + ALL

    def __enter__(self) -> "Submission":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def call(self, name: str, args: tuple, watched: Iterable[str] = ()) -> Call:
        """One call of a function. Raises Fault, Crashed, NotImplementedError for a stub, LookupError if undefined."""
        answer = self._ask({"do": "call", "name": name, "args": args, "watched": tuple(watched)})
        printed, made, operations = _text(answer, "printed"), _count(answer, "made"), _count(answer, "operations")
        return Call(answer.get("value"), printed, made, operations)

    def read(self, name: str) -> object:
        """The plain value of a name; Unknown for a function. Raises Fault, LookupError if undefined."""
        return self._ask({"do": "read", "name": name}).get("value")

    def _ask(self, asked: dict) -> dict:
        """The answer to one question; raises what `call` raises."""
        number = secrets.token_hex(8)  # an answer that was written before the question has another one
        running = self._ready()
        try:
            wire.send(running.calls, {"number": number, **asked})
            answer = self._receive(running, ANSWER)
            if answer.get("number") != number:
                raise wire.Garbled
        except (EOFError, OSError, wire.Garbled) as error:
            self._died()
            raise Fault(_reason(error)) from None
        return _good(answer)

    def _ready(self) -> Running:
        """A process in which the cells have run; those that ended it before are left out."""
        while self._running is None:
            if self._deaths > DEATHS or time.monotonic() > self._until:
                raise Fault(TOO_OFTEN)
            (self._running, _), self._at = started(), None
            try:
                wire.send(self._running.calls, {"cells": self._cells, "skip": tuple(self._skip)})
                self._wait_for_cells(self._running)
            except (EOFError, OSError, wire.Garbled):
                self._skip += [self._at] if isinstance(self._at, int) else []
                self._died()
        return self._running

    def _wait_for_cells(self, running: Running) -> None:
        """Note which cell is being run, as the process tells it, until all have been."""
        until = time.monotonic() + CELLS
        for _ in range(50 * len(self._cells) + 50):
            self._at = self._receive(running, until - time.monotonic()).get("cell")
            if self._at is None:
                return
        raise wire.Garbled

    def _receive(self, running: Running, seconds: float) -> dict:
        """The next message of a submission: a dict, whatever is in it."""
        seconds = min(seconds, self._until - time.monotonic())
        message = wire.receive(running.calls, max(seconds, 0.01), unknown=Unknown)
        if not isinstance(message, dict):
            raise wire.Garbled
        return message

    def _died(self) -> None:
        self._deaths += 1
        self._end()

    def _end(self) -> None:
        if self._running is not None:
            self._running.close()
        self._running = None


def _good(answer: dict) -> dict:
    """The answer, where it is one; what it tells of a failure is raised, with what was printed before."""
    if answer.get("missing"):
        raise LookupError
    failed: BaseException | None = None
    if "fault" in answer:
        failed = Fault(_text(answer, "fault"))
    elif answer.get("stub") is True:
        failed = NotImplementedError()
    elif "crashed" in answer:
        failed = Crashed(_text(answer, "crashed"))
    if failed is None:
        return answer
    failed.printed = _text(answer, "printed")
    raise failed


def _reason(error: Exception) -> str:
    """What ended a process, as far as it can be seen from here."""
    return SILENT if isinstance(error, TimeoutError) else GARBLED if isinstance(error, wire.Garbled) else ENDED


def _text(answer: dict, name: str) -> str:
    """A text of an answer, of an ordinary length."""
    text = answer.get(name, "")
    return text[:TOLD] if isinstance(text, str) else ""


def _count(answer: dict, name: str) -> int:
    """A count of an answer, if it is one."""
    count = answer.get(name, 0)
    return count if type(count) is int and 0 <= count < 1 << 53 else 0
