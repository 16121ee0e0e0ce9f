"""A recorded study: a grid of cells, one line of data/results/NAME.jsonl for each, and where every line comes from.

A line is appended whole; a run that was stopped goes on where it was: `python -m helpers results NAME`. What is read
belongs to the current grid and model: a line at another rate or of another model is never averaged in. Of two lines of
one cell today's code counts; a test fails where a line's code is neither today's nor listed in `older.json`. In a
planned study a line of another plan or of such a code does not count at all.
"""

import datetime
import functools
import html
import inspect
import json
import os
import platform
import shlex
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
import transformers
from tqdm.auto import tqdm

from helpers import DEFAULT_MODEL, gpt
from helpers.experiments import lines, small
from helpers.gpt import GPT
from helpers.support import ROOT, CourseError, boxes, cache
from helpers.support.jupyter import show_html
from helpers.support.provenance import code_hash

RESULTS = ROOT / "data" / "results"
FOLDER = small.SMALL or RESULTS
PLAN = RESULTS / "plan.md"
Measure = Callable[[list[dict]], Iterable[dict]]  # the lines of cells, in any order
OLDER = RESULTS / "older.json"  # study: {hash in its lines: {"agrees with": hash, "why": …}}

_MODEL = ContextVar("model", default=DEFAULT_MODEL)


@contextmanager
def of_model(name: str) -> Iterator[None]:
    """Within, studies of the real GPT are about this model: their grids, their lines and their commands."""
    former = _MODEL.set(name)
    try:
        yield
    finally:
        _MODEL.reset(former)


@dataclass(frozen=True)
class Study:
    """What is varied, what is measured in one cell, and the code that decides its numbers."""

    name: str
    cells: Callable[[], Iterable[dict]]
    measure: Callable[..., dict]  # one cell's values by name; the real GPT first, where `real`
    covers: tuple[str | Callable, ...]  # modules and functions whose code is hashed with `measure`'s; no constants
    real: bool = False  # about the real GPT
    alone: bool = False  # every cell in a process of its own, so that its peak of memory is its own
    steady: int = 0  # the cell to measure again to see whether lines still agree: one that rounding doesn't decide
    tolerance: float = 2e-3  # relative and absolute, of its numbers: what another machine's rounding makes of them
    rounded: tuple[str, ...] = ()  # names in a result that rounding decides, on any code: not compared
    planned: bool = False  # its lines carry the hash of data/results/plan.md
    models: tuple[str, ...] = ()  # those it is about, where not about any real GPT: for others nothing is measured
    about: str = "linear self-attention, drawn and trained by the seed"  # the model, where it isn't the real GPT

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.jsonl"

    @property
    def command(self) -> str:
        other = self.real and _MODEL.get() != DEFAULT_MODEL
        return f"{small.PREFIX}python -m helpers results {self.name}" + f" --model {shlex.quote(_MODEL.get())}" * other

    def code(self) -> str:
        """The hash of today's code, as in the lines."""
        return code_hash(*self.covers, self.measure)[:12]

    def lines(self) -> list[dict]:
        """All that is recorded, of whatever grid, model and code; of a planned study only what counts."""
        return self.counting() if self.planned else self.everything()

    def everything(self) -> list[dict]:
        """All that is recorded; a line of a plan that names its cell otherwise is as good as broken."""
        found = lines.read(self.path)
        if not self.planned:
            return found
        asked = list(inspect.signature(self.measure).parameters.values())[self.real :]
        known, needed = {each.name for each in asked}, {each.name for each in asked if each.default is each.empty}
        return [line for line in found if needed <= line["cell"].keys() <= known and line["result"]]

    def grid(self) -> list[dict]:
        """The cells for this model: none where the study is about others."""
        return [] if self.models and _MODEL.get() not in self.models else list(self.cells())

    def counting(self) -> list[dict]:
        """The lines of this model; in a planned study those of today's plan and code alone."""
        return [line for line, _ in self._sorted_out(self.counts)[0]]

    def _sorted_out(self, counts: Callable[[str], bool]) -> tuple[list[tuple[dict, str]], str]:
        """Lines that may be used, each with what it differs in; and what others there are, which is also warned of."""
        expected = self.expected()
        pairs = [(line, differing(line, expected)) for line in self.everything()]
        apart = Counter(what for _, what in pairs if what != "model" and not counts(what))
        refused = ", ".join(f"{number} of another {what}" for what, number in apart.items())
        if refused:
            told = f"{self.path.name}: lines that do not count: {refused}"
            warnings.warn(f"{told}.\nWhich and why: {self.command} --keep", stacklevel=1)
        return [pair for pair in pairs if counts(pair[1])], refused

    def expected(self) -> dict[str, set[str]]:
        """What a line says of its origin: this model, today's plan, today's code or one that agrees with it."""
        listed, today = older().get(self.name, {}), self.code()
        found = {"model": {_MODEL.get()}} if self.real else {}
        found |= {"size": {str(small.SIZE)}} | ({"plan": {plan_hash()}} if self.planned else {})
        return found | {"code": {today} | {code for code in listed if self.agrees(code) == today}}

    def counts(self, differs_in: str) -> bool:
        """Whether a line that differs in this ("model", "size", "plan", "code" or "") may be used."""
        return not differs_in or (differs_in == "code" and not self.planned)

    def rows(self, model: str | None = None, **where: object) -> list[dict]:
        """The lines of the current grid, those whose cell says `where`, in the grid's order; of this model or today's.

        Where a cell was measured by several codes, today's counts. Raises CourseError where nothing is recorded.
        """
        with of_model(model or _MODEL.get()):
            return self._rows(where, self.counts)

    def _rows(self, where: dict, counts: Callable[[str], bool]) -> list[dict]:
        found, (pairs, refused) = {}, self._sorted_out(counts)
        for line, differs_in in pairs:
            key = _key(line["cell"])
            if key not in found or not differs_in:
                found[key] = line
        keys = [_key(cell) for cell in self.cells() if where.items() <= cell.items()]
        if rows := [found[key] for key in keys if key in found]:
            return rows
        asked = ", ".join(f"{name} {value}" for name, value in where.items()) or "this grid"
        asked += f" yet; lines that do not count: {refused}" if refused else " yet"
        raise CourseError(f"Nothing is recorded in {self.name!r} for {asked}.\nRun: {self.command}")

    def frame(self, **where: object) -> pd.DataFrame:
        """The same as a table: a column for every key of cells and of results."""
        return pd.DataFrame([row["cell"] | row["result"] for row in self.rows(**where)])

    def agrees(self, code: str | None) -> str | None:
        """The code whose numbers those of this hash are: itself, or what `older.json` says it was compared with."""
        return older().get(self.name, {}).get(str(code), {}).get("agrees with", code)

    def show_source(self, **where: object) -> None:
        """One line under a recorded figure: all dates, models, devices, versions and code of the rows shown."""
        made = sorted((row["from"] for row in self.rows(**where)), key=lambda origin: origin["date"])
        versions = _every(", ".join(f"{name} {v}" for name, v in each["versions"].items()) for each in made)
        dates, devices = (_every(each[what] for each in made) for what in ("date", "device"))
        models = _every(each["model"].partition(", {")[0] for each in made)  # without the shape of a small model
        codes = _every(each.get("code") or "not kept" for each in made)
        whole = sum(where.items() <= cell.items() for cell in self.cells())
        part = f"; only {len(made)} of {whole} cells" if len(made) < whole else ""
        title, where = f"Recorded {dates}", f"{models}, {devices}{part}"
        text = f"{title}: {where}, {versions}; code {codes}; again: {self.command}"
        small = f"{html.escape(f'{versions}; code {codes}; again:')} <code>{html.escape(self.command)}</code>"
        show_html(boxes.box("recorded", title, html.escape(where), small=small), text)

    def record(self, model: str = DEFAULT_MODEL, measure: Measure | None = None) -> None:
        """Measure every cell that is not recorded yet: here, or by what gives the lines of cells in any order."""
        with lines.held(self.path):
            network = course_gpt(model) if self.real and measure is None else None
            name = network.name if network else model
            measure = measure or (lambda cells: (self.measured(cell, model) for cell in cells))
            with of_model(name):
                if network:
                    self._check_weights(network)
                while missing := self.missing():  # what is still to do may depend on what was found
                    for line in tqdm(measure(missing), desc=self.name, unit="cell", total=len(missing)):
                        self._check(line)
                        lines.append(self.path, line)
                whole, path = len(self.grid()), os.path.relpath(self.path, ROOT)
        nothing = f"nothing to measure for {name}: it is about {' and '.join(self.models)}"
        print(f"{self.name}: " + (f"all {whole} cells are recorded in {path}" if whole or not self.models else nothing))

    def _check_weights(self, network: GPT) -> None:
        """Raises CourseError where lines of a model of this name were measured with other weights."""
        measured = {line["from"].get("weights") for line in self.counting()} - {None}
        if measured and measured != {network.fingerprint()}:
            raise CourseError(
                f"{self.name}: the lines of {network.name} were measured with other weights than it has now.\n"
                f"Give the model another name, or measure all of it anew: {self.command} --again"
            )

    def _check(self, line: dict) -> None:
        """Raises CourseError for a line that would not count: it was measured by other code, plan or model."""
        expected = self.expected()
        if what := differing(line, expected):
            raise CourseError(
                f"{self.name}: a cell was measured with {what} {line['from'].get(what)}, not {min(expected[what])}.\n"
                "Bring all machines to the same state of the course, then run the same command."
            )

    def missing(self, model: str | None = None) -> list[dict]:
        """The cells of the grid that are not recorded yet, of this model where it is about the real GPT."""
        with of_model(model or _MODEL.get()):
            done = {_key(line["cell"]) for line in self.counting()}
            return [cell for cell in self.grid() if _key(cell) not in done]

    def measured(self, cell: dict, model: str = DEFAULT_MODEL) -> dict:
        """One line: the cell, its result, and where it comes from."""
        return _in_a_process(self.name, cell, model) if self.alone else self.measured_here(cell, model)

    def measured_here(self, cell: dict, model: str = DEFAULT_MODEL) -> dict:
        """The same, in this process."""
        network, start = (course_gpt(model) if self.real else None), time.perf_counter()
        with of_model(network.name if network else model):
            result = self.measure(*([network] if network else []), **cell)
            seconds = {"seconds": round(time.perf_counter() - start, 1)}
            return {
                "cell": cell,
                "result": result,
                "from": provenance(network, self) | result.pop("about", {}) | seconds,
            }


@functools.cache
def _course_gpt() -> GPT:
    """The course's own GPT, whatever else this machine has; loaded once in a process."""
    return gpt.load(DEFAULT_MODEL)


@functools.cache
def _other_gpt(name: str) -> GPT:
    try:
        return gpt.load(name)
    except (ValueError, FileNotFoundError) as error:  # no such name; not on this machine
        raise CourseError(str(error).replace(". Nearest", ".\nNearest")) from error


def course_gpt(name: str) -> GPT:
    """The model that a study is recorded with; loaded once in a process. Raises CourseError where it can't be had."""
    return _course_gpt() if name == DEFAULT_MODEL else _other_gpt(name)


def differing(line: dict, expected: dict[str, set[str]]) -> str:
    """The first of "model", "size", "plan" and "code" in which a line is not as expected; "" where it is."""
    return next((what for what, known in expected.items() if str(line["from"].get(what)) not in known), "")


def provenance(model: GPT | None, study: Study) -> dict:
    """Model, versions, device, date and command: what it takes to get the same numbers again."""
    about = {"model": study.about, "weights": "drawn by the seed"}
    device, dtype = "cpu", "float32"
    if model is not None:
        about = {"model": model.name, "weights": model.fingerprint()}
        device, dtype = model.device.type, str(model.dtype).removeprefix("torch.")
    if study.planned:
        about["plan"] = plan_hash()
    if small.SIZE:
        about["size"] = small.SIZE
    return about | {
        "code": study.code(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "device": f"{device}, {torch.get_num_threads()} threads, {dtype}",
        "machine": machine(device),
        "date": datetime.date.today().isoformat(),
        "command": study.command,
    }


def plan_hash() -> str:
    """Of the plan's text up to its deviations, which may be added."""
    return cache.digest(_text(PLAN).partition("\n## Deviations")[0])[:12]


def machine(device: str) -> str:
    """The processor or GPU by name, and what else it was doing."""
    lines = _text(Path("/proc/cpuinfo")).splitlines()
    cpu = next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())
    name = torch.cuda.get_device_name() if device == "cuda" else cpu
    return f"{name}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else name


def older() -> dict[str, dict[str, dict]]:
    """Hashes that today's code doesn't have and whose lines still count: with what they were compared, and why."""
    return json.loads(_text(OLDER) or "{}")


def _in_a_process(name: str, cell: dict, model: str) -> dict:
    """One cell measured by a fresh Python."""
    command = [sys.executable, "-m", "helpers.experiments.catalogue", name, json.dumps(cell), model]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise CourseError(f"{name}: the cell {cell} could not be measured.\n{done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _key(cell: dict) -> str:
    return json.dumps(cell, sort_keys=True)


def _every(values: Iterable[str]) -> str:
    """The different ones, in order."""
    return " / ".join(dict.fromkeys(values))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
