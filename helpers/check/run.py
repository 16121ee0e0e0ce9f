"""One call of an attempt: the boundary behind which nothing but plain values is seen.

What comes out is a `Call`: copies of values, numbers and text. It could as well have come from another process.
"""

import contextlib
import copy
import io
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import no_type_check

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SECONDS = 4.0  # of this thread's own work: an attempt may be the first to import something large, as `torch.optim` does
PATIENCE = 20.0  # by the clock: the machine may be busy, the attempt asleep
PRINTED = 10_000


class Fault(BaseException):
    """A sentence on what a call did wrong; no `except Exception` of an attempt can swallow it."""


@dataclass(frozen=True)
class Unknown:
    """What stands for a value that is none of the plain kinds."""

    kind: str


@dataclass(frozen=True)
class Call:
    """What one call of an attempt gave, and what else is known of it."""

    value: object  # a tensor, number, array, or tuples, lists and dicts of them; `Unknown` for any other
    printed: str
    made: int  # numbers in all tensors that were made on the way
    operations: int  # of torch


def run(attempt: Callable, args: tuple, watched: Mapping[CodeType | Callable, str], allowed: set[CodeType]) -> Call:
    """Call an attempt once, on copies of `args`; raises Fault, or whatever the attempt raises.

    `watched` maps code that may not be run to its name, unless code in `allowed` runs it.
    """
    given, output = copy.deepcopy(args), _Limited()
    try:
        with (
            _counting() as counted,
            _listening(output),
            torch.enable_grad(),
            limited(SECONDS),
            _watching(watched, allowed) as used,
        ):
            value = called(attempt, given)
        if used:
            raise Fault(f"It calls `{used[0]}`, which does the exercise: write it out instead.")
        if not same(given, args):
            raise Fault("It changes its input in place (`+=`, `x[...] =`, `fill_`): work on a new tensor.")
        return Call(plain(value), output.getvalue(), counted.made, counted.operations)
    except BaseException as error:
        error.printed = output.getvalue()  # before it failed
        raise


def called(attempt: Callable, given: tuple) -> object:
    try:
        return attempt(*given)
    except RecursionError:
        raise Fault("It calls itself without end: the recursion has no last step.") from None
    except SystemExit:
        raise Fault("It ends Python (`exit`, `quit`): return the result instead.") from None


def can_stop() -> bool:
    """Whether an endless loop can be stopped here: in the main thread, on POSIX."""
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()


def same(a: object, b: object, relative: float = 0.0) -> bool:
    """Equal all the way down, nan included; numbers to `relative` times the largest, in every bit by default."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and _near(a, b, relative)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(same(x, y, relative) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name], relative) for name in a)
    if type(a) is not type(b):
        return False
    if isinstance(a, float | np.floating | np.ndarray) and np.asarray(a).dtype.kind == "f":
        return same(torch.as_tensor(a), torch.as_tensor(b), relative)
    return bool(np.array_equal(a, b))


def _near(a: Tensor, b: Tensor, relative: float) -> bool:
    """Equal to `relative` times the largest finite number of `b`; nan and infinity where the other has them."""
    if not a.is_floating_point():
        return torch.equal(a, b)
    largest = b.abs()[b.isfinite()].max().item() if b.isfinite().any() else 0.0
    return torch.allclose(a, b, rtol=0.0, atol=relative * largest, equal_nan=True)


def plain(value: object) -> object:
    if isinstance(value, torch.nn.Parameter):
        raise Fault("It returns a Parameter: a result is a plain tensor (`.detach()`, or don't wrap it).")
    if isinstance(value, Tensor) and (value.layout != torch.strided or value.device.type != "cpu"):
        raise Fault("It returns a sparse tensor, or one on another device: `.to_dense()`, `.cpu()`.")
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, tuple | list):
        return tuple(map(plain, value))
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    known = isinstance(value, bool | int | float | str | np.ndarray | np.generic | None)
    return value if known else Unknown(type(value).__name__)


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Stop what works longer than that, or takes longer than `PATIENCE`, where that is possible."""
    if not can_stop():
        yield
        return

    worked, began = time.thread_time(), time.monotonic()

    def stop(signum: int, frame: FrameType | None) -> None:
        if time.thread_time() - worked < seconds and time.monotonic() - began < PATIENCE:
            return
        sys.settrace(lambda *_: None)
        while frame is not None and frame.f_globals is not globals():  # the attempt's own frames
            frame.f_trace, frame = late, frame.f_back  # again at the next line: a bare `except:` may swallow the first
        late()

    def late(frame: FrameType | None = None, event: str = "line", _: object = None) -> None:
        if event == "line":
            spent = f"{time.monotonic() - began:.0f} seconds"
            raise Fault(f"It was still running after {spent}: is there a loop that never ends, or a very slow one?")

    traced, former = sys.gettrace(), signal.signal(signal.SIGALRM, stop)
    rest, again = signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, rest, again)
        signal.signal(signal.SIGALRM, former)
        sys.settrace(traced)


class _Limited(io.StringIO):
    def write(self, text: str) -> int:
        if self.tell() > PRINTED:
            raise Fault(f"It prints more than {PRINTED:,} characters: is there a `print` in a loop?")
        return super().write(text)


@contextlib.contextmanager
def _listening(output: io.StringIO) -> Iterator[None]:
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        yield


class _counting(TorchDispatchMode):
    made = operations = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # or the first operation would import torch's compiler: seconds, inside the attempt

    def __torch_dispatch__(self, function: Callable, types: object, args: tuple = (), kwargs: dict | None = None):  # noqa: ANN204
        out = function(*args, **(kwargs or {}))
        self.operations += 1
        self.made += sum(x.numel() for x in tree_leaves(out) if isinstance(x, Tensor))
        return out


@contextlib.contextmanager
def _watching(watched: Mapping[CodeType | Callable, str], allowed: set[CodeType]) -> Iterator[list[str]]:
    """Note which watched code runs; a profiler that was there before is there again afterwards."""
    former, used, within = sys.getprofile(), [], []

    @no_type_check  # called many thousand times: checking its arguments would take longer than the attempt
    def look(frame: FrameType, event: str, builtin: object) -> None:
        if event == "return" and within and within[-1] is frame:
            within.pop()
        elif event == "call" and frame.f_code in allowed:
            within.append(frame)
        elif not within and event in ("call", "c_call"):
            runs = frame.f_code if event == "call" else builtin
            if runs in watched:
                used.append(watched[runs])

    sys.setprofile(look)
    try:
        yield used
    finally:
        sys.setprofile(former)
