"""A recorded study: a grid of cells, one line of data/results/NAME.jsonl for each, and where every line comes from.

A line is appended whole; a run that was stopped goes on where it was: `python -m helpers results NAME`. What is read
belongs to the current grid and model: a line at another rate or of another model is never averaged in. Of two lines of
one cell today's code counts; a test fails where a line's code is neither today's nor listed in `older.json`.
"""

import datetime
import functools
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import transformers
from tqdm.auto import tqdm

from helpers import DEFAULT_MODEL, gpt
from helpers.gpt import GPT
from helpers.support import ROOT, CourseError, cache
from helpers.support.provenance import code_hash

FOLDER = ROOT / "data" / "results"
PLAN = FOLDER / "plan.md"
OLDER = FOLDER / "older.json"  # study: {hash in its lines: {"agrees with": hash, "why": …}}


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
    about: str = "linear self-attention, drawn and trained by the seed"  # the model, where it isn't the real GPT

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.jsonl"

    @property
    def command(self) -> str:
        return f"python -m helpers results {self.name}"

    def code(self) -> str:
        """The hash of today's code, as in the lines."""
        return code_hash(*self.covers, self.measure)[:12]

    def lines(self) -> list[dict]:
        """All that is recorded, of whatever grid, model and code."""
        return [json.loads(line) for line in _text(self.path).splitlines()]

    def rows(self, model: str = DEFAULT_MODEL, **where: object) -> list[dict]:
        """The lines of the current grid, those whose cell says `where`, in the grid's order.

        Where a cell was measured by several codes, today's counts. Raises CourseError where nothing is recorded.
        """
        found: dict[str, dict] = {}
        for line in self.lines():
            key = _key(line["cell"])
            if self.real and line["from"]["model"] != model:
                continue
            if key not in found or self.agrees(line["from"].get("code")) == self.code():
                found[key] = line
        cells = [cell for cell in self.cells() if where.items() <= cell.items()]
        rows = [found[_key(cell)] for cell in cells if _key(cell) in found]
        if not rows:
            asked = ", ".join(f"{name} {value}" for name, value in where.items()) or "this grid"
            raise CourseError(f"Nothing is recorded in {self.name!r} for {asked} yet.\nRun: {self.command}")
        return rows

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
        dates, models, devices = (_every(each[what] for each in made) for what in ("date", "model", "device"))
        codes = _every(each.get("code") or "not kept" for each in made)
        whole = sum(where.items() <= cell.items() for cell in self.cells())
        part = f"; only {len(made)} of {whole} cells" if len(made) < whole else ""
        print(f"recorded {dates}: {models}, {devices}, {versions}; code {codes}{part}; again: {self.command}")

    def record(self) -> None:
        """Measure every cell that is not recorded yet."""
        model = _course_gpt().name if self.real else ""
        while missing := self.missing(model):  # what is still to do may depend on what was found
            for cell in tqdm(missing, desc=self.name, unit="cell"):
                line = json.dumps(self.measured(cell), ensure_ascii=False)
                with self.path.open("a", encoding="utf-8") as out:
                    out.write(line + "\n")
        print(f"{self.name}: all {len(list(self.cells()))} cells are recorded in {self.path.relative_to(ROOT)}")

    def missing(self, model: str = DEFAULT_MODEL) -> list[dict]:
        """The cells of the grid that are not recorded yet, of this model where it is about the real GPT."""
        lines = [line for line in self.lines() if not self.real or line["from"]["model"] == model]
        done = {_key(line["cell"]) for line in lines}
        return [cell for cell in self.cells() if _key(cell) not in done]

    def measured(self, cell: dict) -> dict:
        """One line: the cell, its result, and where it comes from."""
        return _in_a_process(self.name, cell) if self.alone else self.measured_here(cell)

    def measured_here(self, cell: dict) -> dict:
        """The same, in this process."""
        model, start = (_course_gpt() if self.real else None), time.perf_counter()
        result = self.measure(*([model] if model else []), **cell)
        seconds = {"seconds": round(time.perf_counter() - start, 1)}
        return {"cell": cell, "result": result, "from": provenance(model, self) | result.pop("about", {}) | seconds}


@functools.cache
def _course_gpt() -> GPT:
    """The course's own GPT, whatever else this machine has; loaded once in a process."""
    return gpt.load(DEFAULT_MODEL)


def provenance(model: GPT | None, study: Study) -> dict:
    """Model, versions, device, date and command: what it takes to get the same numbers again."""
    about = {"model": study.about, "weights": "drawn by the seed"}
    device, dtype = "cpu", "float32"
    if model is not None:
        about = {"model": model.name, "weights": model.fingerprint()}
        device, dtype = model.device.type, str(model.dtype).removeprefix("torch.")
    if study.planned:
        about["plan"] = plan_hash()
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


def agree(study: Study) -> None:
    """Measure a cell of every older code again; where it agrees, write down that its lines stand for today's code.

    Raises CourseError where it does not: then the code changed the numbers, and they are to be recorded again.
    """
    rows, listed = study.rows(), older()
    for row in _one_of_each_code([rows[study.steady], *rows]):
        code = str(row["from"].get("code"))
        if code == study.code():
            continue
        with cache.bypassed():
            again = study.measured(row["cell"])
        if difference := differs(row["result"], again["result"], study):
            raise CourseError(
                f"{study.name}: measured again, {row['cell']} differs: {difference}.\n"
                f"The code has changed the numbers: delete {study.path.relative_to(ROOT)} and run {study.command}"
            )
        compared = {"compared": [row["cell"], datetime.date.today().isoformat()], "agrees with": study.code()}
        why = listed.get(study.name, {}).get(code, {}).get("why", "the code was moved or reworded since")
        listed.setdefault(study.name, {})[code] = compared | {"why": why}
        print(f"{study.name}: {row['cell']} agrees; lines of code {code} stand for code {study.code()}")
    with cache.whole(OLDER) as scratch:
        scratch.write_text(json.dumps(listed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def differs(recorded: object, again: object, study: Study, path: str = "") -> str:
    """Where two results differ by more than machines do, in words; "" where they agree.

    Of marks ("0110…") one may differ, for a near tie falls either way; of numbers the study's
    tolerance. What rounding decides is not compared.
    """
    if isinstance(recorded, dict):
        pairs = [(recorded[key], again.get(key), f"{path} {key}") for key in recorded if key not in study.rounded]
    elif isinstance(recorded, (list, tuple)):
        pairs = [(a, b, f"{path}[{i}]") for i, (a, b) in enumerate(zip(recorded, again, strict=True))]
    elif isinstance(recorded, str):
        apart = sum(a != b for a, b in zip(recorded, str(again), strict=False))
        return "" if apart <= 1 else f"{path.strip()}: {apart} of {len(recorded)} marks"
    elif recorded is None or again is None:
        return "" if recorded is again else f"{path.strip()}: {recorded} against {again}"
    else:
        near = np.isclose(recorded, again, rtol=study.tolerance, atol=study.tolerance)
        return "" if near else f"{path.strip()}: {recorded} against {again}"
    return next((found for a, b, where in pairs if (found := differs(a, b, study, where))), "")


def _one_of_each_code(rows: list[dict]) -> list[dict]:
    """The first row of every code."""
    return list({row["from"].get("code"): row for row in reversed(rows)}.values())


def _in_a_process(name: str, cell: dict) -> dict:
    """One cell measured by a fresh Python."""
    command = [sys.executable, "-m", "helpers.experiments.catalogue", name, json.dumps(cell)]
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
