"""Two notebooks on this machine's GPU, and a report to send back: no machine that tests the course has one.

The solved notebooks run as `python -m helpers course` runs them, with every answer computed anew, and go on behind a
cell that fails. Without a GPU the same happens on the CPU, and the report says so first.
"""

import itertools
import json
import platform
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
import torch
import transformers
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from transformers import AutoConfig, PretrainedConfig

from helpers import DEFAULT_MODEL, LARGER_MODEL, gpt
from helpers.course import build, gpu_memory, gpu_report
from helpers.experiments import study
from helpers.gpt import loading
from helpers.support import ROOT, CourseError, cache
from helpers.support.memory import peak

REPORT = ROOT / "build" / "gpu-check"
LARGER = LARGER_MODEL
WORK = {"00_start_here": (16, 1), "04_icl_vs_finetuning": (32, 100)}  # demonstrations and queries of the largest task
LOADED = re.compile(rf'gpt\.load\((?:"{DEFAULT_MODEL}")?\)')
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def main(asked: list[str]) -> int:
    """Run both notebooks with every model asked for, or with the course's and the paper's; 1 if a cell failed."""
    models, left_out = available(asked)
    report = {"machine": machine(), "left out": left_out, "runs": []}
    for model, source in itertools.product(models, build.sources(list(WORK))):
        print(f"{model}, {source.stem}: runs", flush=True)
        report["runs"].append(run(source, model))
        gpu_report.write(report, REPORT)  # whatever happens to the next run, this one is kept
        print(gpu_report.outcome(report["runs"][-1]), flush=True)
    print(f"The report: {REPORT.relative_to(ROOT)}.md and .json. Please send back both.")
    return int(any(found["failed"] or found["stopped"] for found in report["runs"]))


# --- Which models


def available(asked: list[str]) -> tuple[list[str], dict[str, str]]:
    """The models to run, and of the others why not. Raises CourseError for one that somebody asked for by its name."""
    troubles = {model: trouble(model) for model in asked or [DEFAULT_MODEL]}
    for reason in filter(None, troubles.values()):
        first, _, rest = reason.partition("\n")
        raise CourseError(f"{first}\n{rest or 'Without a name the course chooses: python -m helpers gpu-check'}")
    if asked:
        return asked, {}
    why_not = trouble(LARGER) if torch.cuda.is_available() else "There is no GPU, and a CPU would take hours."
    return [DEFAULT_MODEL, *([] if why_not else [LARGER])], {LARGER: why_not} if why_not else {}


def trouble(model: str) -> str:
    """Why this model can't run here; nothing where it can. It is downloaded where HF_HUB_OFFLINE=0 allows that."""
    try:
        gpt.load(model, device="cpu", dtype="bfloat16")
    except Exception as error:  # whatever it is, the course's own model still has its report
        return str(error) if isinstance(error, ValueError | FileNotFoundError) else f"{type(error).__name__}: {error}"
    least, free = gpu_memory.needed(configuration(model), torch.bfloat16).peak, loading.free_memory(device())
    if least > free:
        return f"{model} needs {least / 1e9:.1f} GB in its smallest form, and {free / 1e9:.1f} GB are free on the GPU."
    return ""


def configuration(model: str) -> PretrainedConfig:
    return loading.pretrained(AutoConfig, loading.source_of(model))


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


# --- What machine this is


def machine() -> dict[str, str]:
    """Device, driver and versions."""
    found = {"device": study.machine(device()), "system": platform.platform(), "Python": platform.python_version()}
    found |= {"torch": torch.__version__, "transformers": transformers.__version__}
    found["memory"] = f"{psutil.virtual_memory().available / 1e9:.1f} GB free"
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        found["GPU"] = torch.cuda.get_device_name()
        found["GPU memory"] = f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free"
        found |= {"CUDA": str(torch.version.cuda or torch.version.hip), "driver": driver()}
    return found


def driver() -> str:
    """The version of NVIDIA's driver, as its own tool says it."""
    if not (tool := shutil.which("nvidia-smi")):
        return "unknown: there is no nvidia-smi"
    command = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"


# --- One notebook with one model


def run(source: Path, model: str) -> dict:
    """What one notebook did: time, memory, the cells that failed, and where it says something else than before."""
    made, stopped, start = with_model(build.notebook(source, solved=True), model), "", time.perf_counter()
    own = made.cells
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        first, last = (nbformat.v4.new_code_cell(code) for code in (BEFORE.format(scratch=scratch), AFTER))
        made.cells = [first, *own, last]
        for cell in made.cells:
            cell.metadata["tags"] = ["raises-exception"]  # which says: the next one runs all the same
        try:
            build.execute(made)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            stopped = private(f"{type(error).__name__}: {error}")[-1000:]
    before, after = said(first), said(last)
    made.cells = own
    return {
        "notebook": source.stem,
        "model": model,
        "loaded": after.get("loaded", "unknown"),
        "seconds": round(time.perf_counter() - start),
        "before": before.get("memory"),
        "peak": after.get("memory"),
        "forecast": forecast(source.stem, model, after.get("dtype")),
        "cells": sum(cell.cell_type == "code" for cell in own),
        "failed": failures(made),
        "stopped": stopped,
        "compared": gpu_report.compared(made, build.SOLVED / f"{source.stem}.ipynb"),
    }


def with_model(made: NotebookNode, model: str) -> NotebookNode:
    """The same notebook with this model, whatever it would have chosen; cells keep their ids."""
    count = 0
    for cell in made.cells:
        if cell.cell_type == "code":
            cell.source, found = LOADED.subn(f"gpt.load({model!r})", cell.source)
            count += found
    if not count:
        raise CourseError("No cell loads a model in a way that is known here.\nLet LOADED in gpu_check.py find it.")
    return made


BEFORE = "from helpers.course import gpu_check as _gpu_check\nprint(_gpu_check.begin({scratch!r}))"
AFTER = "print(_gpu_check.end(globals().get('model')))"


def begin(scratch: str) -> str:
    """In the notebook's kernel: nothing is taken from earlier runs; the memory in use, as JSON."""
    cache.evaluation = lambda key: Path(scratch, f"{cache.digest(*key)}.safetensors")
    return json.dumps({"memory": memory()})


def end(model: gpt.GPT | None) -> str:
    """In the notebook's kernel: the peak of its memory, and the model that was there, as JSON."""
    if model is None:
        return json.dumps({"memory": memory()})
    kind = str(model.dtype).removeprefix("torch.")
    return json.dumps({"memory": memory(), "dtype": kind, "loaded": f"{model.name}, {kind}, {model.device}"})


def memory() -> int:
    """The most bytes that tensors have had on the GPU, or that this process has held."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return peak()


def said(cell: NotebookNode) -> dict:
    """What `begin` or `end` said; nothing where the kernel had died."""
    text = "".join(output.get("text", "") for output in cell.get("outputs", []))
    return json.loads(text) if text.startswith("{") else {}


def forecast(notebook: str, model: str, dtype: str | None) -> int | None:
    """The bytes beyond what was there before, by arithmetic; a GPU takes the longest rows."""
    if dtype is None:
        return None
    longest = (16 if torch.cuda.is_available() else 1) * gpt.scoring.PACKED_TOKENS
    return gpu_memory.needed(configuration(model), getattr(torch, dtype), *WORK[notebook], row=longest).peak


def failures(made: NotebookNode) -> list[dict[str, str]]:
    """Every cell that raised an error: how it begins, the error, and the end of its traceback."""
    found = []
    for cell in (cell for cell in made.cells if cell.cell_type == "code"):
        for error in (output for output in cell.outputs if output.output_type == "error"):
            trace = private(COLOURS.sub("", "\n".join(error.traceback)))
            name = private(f"{error.ename}: {error.evalue}")
            found.append({"cell": gpu_report.title(cell), "error": name, "traceback": trace[-2000:]})
    return found


def private(text: str) -> str:
    """Without the names of folders that lead to the course or to the user's home."""
    return text.replace(str(ROOT), "course").replace(str(Path.home()), "~")
