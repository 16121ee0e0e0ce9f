"""The process that runs submissions: an interpreter with torch loaded, which forks for each of them.

It is started by its path, knows nothing of the course but how a function is called (check/run.py), and holds nothing
that is secret: no claim, no input before it is sent, no expected value. A submission can change everything in here,
these lines too. All it gains is what it could have returned anyway: values, which are judged elsewhere.
What is said of a call besides its value (how much was computed, what else was called) it can forge; see marks.py.
"""

import builtins
import contextlib
import importlib.util
import linecache
import os
import random
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType

import numpy as np
import torch
from IPython.core.inputtransformer2 import TransformerManager

HERE = Path(__file__).resolve().parent
CELL, CELLS = 8.0, 60.0  # seconds of work for one cell, and for all together
SOURCE = 1 << 26  # bytes
TOLD = 2000  # characters of a traceback


def _load(name: str, file: Path) -> ModuleType:
    """A module by its path: packages around it are not looked at."""
    spec = importlib.util.spec_from_file_location(name, file)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


run = _load("_run", HERE.parent / "check" / "run.py")
wire = _load("_wire", HERE / "wire.py")
isolation = _load("_isolation", HERE / "isolation.py")


class Absent:
    """Stands for a module that is not here, and all that is in it: a cell that imports it runs on.

    A function of the course is the notebook's own of that name, where there is one: earlier exercises may be used.
    """

    __all__ = ()
    attempted = False  # whether a function of the notebook is being called
    own: dict = {}  # noqa: RUF012  the names that the notebook has defined

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> "Absent":
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self._name}.{name}")

    def __getitem__(self, _: object) -> "Absent":
        return self

    def __call__(self, *args: object, **more: object) -> object:
        own = self.own.get(self._name.split(".")[-1])
        if isinstance(own, FunctionType):
            return own(*args, **more)
        if Absent.attempted:
            raise ImportError(f"`{self._name}` is not there when homework is graded: write it out.")
        return args[0] if len(args) == 1 and isinstance(args[0], FunctionType) else Absent(f"{self._name}()")


def imported(name: str, *rest: object) -> object:
    """`import` as cells have it: what is not here, and the course always, is `Absent`."""
    if name.split(".")[0] != "helpers":
        with contextlib.suppress(ModuleNotFoundError):
            return builtins.__import__(name, *rest)
    wanted = len(rest) > 2 and rest[2]
    return Absent(name if wanted else name.split(".")[0])


class Shell:
    """IPython as cells see it: magics that run their cell do so, all others and shell lines do nothing."""

    def __init__(self, names: dict) -> None:
        self._names = names

    def run_cell_magic(self, magic: str, _: str, body: str) -> None:
        if magic in ("time", "timeit", "capture", "prun"):
            exec(compile(TransformerManager().transform_cell(body), "<cell>", "exec"), self._names)

    def __getattr__(self, name: str) -> Callable:
        return lambda *_, **__: None


class Notebook:
    """A submission's cells, and the names that they have defined."""

    def __init__(self, cells: tuple[str, ...]) -> None:
        self.cells, self.place = cells, {}  # name: the cell that it was last bound in
        module = sys.modules["__main__"] = ModuleType("__main__")
        self.names = Absent.own = vars(module)
        more = {"__import__": imported, "get_ipython": lambda: Shell(self.names), "display": lambda *_, **__: None}
        self.names["__builtins__"] = vars(builtins) | more

    def run(self, skip: tuple[int, ...], tell: Callable[[int], None]) -> None:
        """From top to bottom; cells that failed again, as long as that helps: some stand in another order."""
        left = [place for place in range(len(self.cells)) if place not in skip]
        process, worked = os.getpid(), time.process_time()
        while left:
            again = []
            for place in left:
                if time.process_time() - worked > CELLS:
                    return
                tell(place)
                if self.fails(place):
                    again.append(place)
                if os.getpid() != process:  # a child of the cell has come this far: only its parent goes on
                    os._exit(0)
            if len(again) == len(left):
                return
            left = again

    def fails(self, place: int) -> bool:
        """Run one cell; whether it may do better once other cells have run."""
        before = dict(self.names)
        try:
            with run.limited(CELL):
                exec(self.compiled(place), self.names)
        except Exception:
            return True
        except BaseException:  # too slow, or it wants to end Python
            return False
        finally:
            self.keep_last(place, before)
        return False

    def compiled(self, place: int) -> object:
        """A cell's code, under a name by which tracebacks find its lines."""
        file, source = f"<cell {place + 1}>", self.cells[place]
        code = TransformerManager().transform_cell(source)
        linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
        return compile(code, file, "exec", dont_inherit=True)

    def keep_last(self, place: int, before: dict) -> None:
        """The last definition in the notebook counts, in whatever order cells had to run; an import is none."""
        for name, value in list(self.names.items()):
            if name in before and before[name] is value:
                continue
            if self.place.get(name, -1) > place or (isinstance(value, Absent) and name in before):
                self.names[name] = before[name]
            else:
                self.place[name] = place

    def answer(self, asked: Mapping) -> dict:
        """A plain value for the name that is asked for, or what a call of it gives."""
        if asked["name"] not in self.names:
            return {"missing": True}
        found = self.names[asked["name"]]
        try:
            if asked["do"] == "read":
                return {"value": run.plain(found)}
            watched = {getattr(torch.nn.functional, name): name for name in asked["watched"]}
            call = run.run(found, asked["args"], watched, set())
            return {"value": call.value, "printed": call.printed, "made": call.made, "operations": call.operations}
        except BaseException as error:
            return {"printed": getattr(error, "printed", ""), **told(error)}


def told(error: BaseException) -> dict:
    """What went wrong in a call, in words; the frames are those of the notebook only."""
    if isinstance(error, run.Fault):
        return {"fault": str(error)}
    if isinstance(error, NotImplementedError) and not error.args:
        return {"stub": True}
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith("<cell ")]
    if not own and isinstance(error, TypeError):
        return {"fault": f"It can't be called as the exercise asks: {str(error)[:TOLD]}."}
    lines = [*traceback.format_list(own), *traceback.format_exception_only(error)]
    return {"crashed": "".join(lines)[-TOLD:]}


def serve(calls: socket.socket, stopped: list[str]) -> None:
    """Run a notebook, then answer for it until nobody asks any more."""
    wire.send(calls, {"stopped": stopped})
    asked = wire.receive(calls, text=SOURCE)
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    notebook = Notebook(asked["cells"])
    notebook.run(asked["skip"], lambda place: wire.send(calls, {"cell": place}))
    wire.send(calls, {"cell": None})
    Absent.attempted, process = True, os.getpid()
    with contextlib.suppress(EOFError):
        while True:
            asked = wire.receive(calls)
            answer = notebook.answer(asked)
            if os.getpid() != process:
                os._exit(0)
            reply(calls, {"number": asked["number"], **answer})


def reply(calls: socket.socket, answer: dict) -> None:
    """Send an answer; one that can't be sent says so."""
    try:
        packed = wire.pack(answer)
    except Exception as error:
        packed = wire.pack({"number": answer["number"], "fault": f"The result can't be looked at: {str(error)[:TOLD]}"})
    wire.write(calls, packed)


def watch(calls: int, lifeline: int, empty: str, hidden: list[str]) -> None:
    """Start a submission's own process, and end it, with all that it has started, when the grader hangs up."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    separated, number = isolation.separate(), os.getppid()
    child = os.fork()
    if child == 0:
        os.setsid()
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(silence, stream)
        os.closerange(3, calls)
        os.closerange(calls + 1, 4096)
        serve(socket.socket(fileno=calls), isolation.confine(separated, empty, hidden, number))
        os._exit(0)
    os.close(calls)
    grader = socket.socket(fileno=lifeline)  # it waits there until this process has ended
    with contextlib.suppress(OSError):
        grader.recv(1)
    isolation.end_all(child)


def submissions(control: socket.socket) -> Iterator[list[int]]:
    """The two sockets of each submission that is to be run."""
    while True:
        message, sockets, *_ = socket.recv_fds(control, 1, 2)
        if not message:
            return
        yield sockets


def warm_up(beside: str) -> None:
    """Load here, once, what takes seconds in every submission that uses it."""
    torch.set_num_threads(1)
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)  # the first optimiser imports much
    os.environ["MPLCONFIGDIR"] = beside  # where matplotlib keeps which fonts there are
    with contextlib.suppress(ImportError):
        importlib.import_module("matplotlib.pyplot")
    os.environ["MPLCONFIGDIR"] = "/tmp"


def main() -> None:
    """Wait, warm, for submissions."""
    control, empty, beside, *hidden = sys.argv[1:]
    control = socket.socket(fileno=int(control))
    os.umask(0o022)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those who watch submissions need nobody to wait for them
    isolation.first_to_go()
    warm_up(beside)
    sys.path[:] = [path for path in sys.path if path.startswith((sys.prefix, sys.base_prefix)) or "packages" in path]
    sys.meta_path[:] = [finder for finder in sys.meta_path if not str(finder).startswith("<class '__editable__")]
    sys.path.insert(0, beside)
    _load("homework", Path(beside) / "homework.py")  # as it lies beside every student's notebook
    sys.path.remove(beside)
    for calls, lifeline in submissions(control):
        if os.fork() == 0:
            control.close()
            try:
                watch(calls, lifeline, empty, hidden)
            finally:
                os._exit(0)
        os.close(calls)
        os.close(lifeline)


if __name__ == "__main__":
    main()
