"""Where an attempt broke: frames of its own code only, and the lines around the one that failed."""

import inspect
import linecache
import sysconfig
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType

import torch

from helpers.check import run
from helpers.support import ROOT

AROUND = 2  # lines shown before and after the one that failed
LIBRARIES = [sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
OTHERS = ("<frozen", str(ROOT / "helpers"), str(Path(torch.__file__).parent), *LIBRARIES)


@dataclass(frozen=True)
class Place:
    """A line that failed, among its neighbours in the same function."""

    function: str
    number: int
    lines: tuple[tuple[int, str], ...]
    failed: str  # the part of the line that failed


def own(error: Exception) -> Exception:
    """The exception with the attempt's own frames: without those of the engine, torch and other libraries."""
    below = _below(error)
    kept = list(filter(_own, below)) or below
    for before, after in pairwise([*kept, None]):
        before.tb_next = after
    return error.with_traceback(kept[0]) if kept else error


def began(error: Exception) -> bool:
    """Whether the attempt's first line was reached: a wrong number of arguments stops it before."""
    return bool(_below(error)) or not isinstance(error, TypeError)


def places(error: Exception) -> list[Place]:
    """The lines of the attempt that led to the exception, the last one first."""
    found = zip(_chain(error.__traceback__), traceback.extract_tb(error.__traceback__), strict=True)
    return [_place(frame, at) for frame, at in found if _own(frame)][::-1]


def _own(frame: TracebackType) -> bool:
    return not frame.tb_frame.f_code.co_filename.startswith(OTHERS)


def _place(frame: TracebackType, at: traceback.FrameSummary) -> Place:
    code = frame.tb_frame.f_code
    last = max(line for *_, line in code.co_lines() if line)
    text = linecache.getlines(at.filename, frame.tb_frame.f_globals)
    around = range(max(code.co_firstlineno, at.lineno - AROUND), min(last, at.lineno + AROUND, len(text)) + 1)
    one_line = around and at.lineno == at.end_lineno  # as the expression that failed
    failed = text[at.lineno - 1].encode()[at.colno : at.end_colno].decode() if one_line else ""
    return Place(at.name, at.lineno, tuple((number, text[number - 1].rstrip()) for number in around), failed)


def _below(error: Exception) -> list[TracebackType]:
    """The frames below the call of the attempt; all, where it was not reached."""
    frames = list(_chain(error.__traceback__))
    call = inspect.unwrap(run.called).__code__  # tests wrap all functions
    called = [place for place, frame in enumerate(frames) if frame.tb_frame.f_code is call]
    return frames[called[0] + 1 :] if called else frames


def _chain(frame: TracebackType | None) -> Iterator[TracebackType]:
    while frame is not None:
        yield frame
        frame = frame.tb_next
