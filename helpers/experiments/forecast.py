"""Before a run: what it would measure, how long that takes and how much memory; and which lines would not count."""

import json
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from helpers.experiments import catalogue
from helpers.experiments.study import Study, differing, of_model
from helpers.gpt import loading
from helpers.support import CourseError

UNKNOWN = "not known yet"
NOTE = """\
hours: one worker, from the seconds of recorded cells of the same kind, on the devices that measured those.
memory: the weights in float32, and what the whole task at full size needed beyond its weights ({measured}).
A grid may get new cells by what is found in it."""


def forecast(studies: Iterable[Study], model: str) -> str:
    """A line for every study: its cells, what is missing, hours and memory. Nothing is measured or loaded."""
    with of_model(model):
        table = pd.DataFrame([_expected(study, model) for study in studies])
    return f"{table.to_string(index=False)}\n{NOTE.format(measured=_measured_memory()[1])}"


def _expected(study: Study, model: str) -> dict[str, object]:
    memory = _memory(model) if study.real else "no GPT"
    try:
        cells, missing = study.grid(), study.missing()
    except CourseError as error:  # the grid rests on another study
        first = str(error).partition("\n")[0]
        return {"study": study.name, "cells": UNKNOWN, "recorded": "", "missing": first, "hours": "", "memory": memory}
    counts = {"cells": len(cells), "recorded": len(cells) - len(missing), "missing": len(missing)}
    return {"study": study.name} | counts | {"hours": hours(study, missing), "memory": memory}


def hours(study: Study, missing: list[dict]) -> str:
    """What these cells take; a cell as long as the median of those that differ in their seed alone, or of its task."""
    times, unknown = {}, 0
    for line in study.counting():
        if (seconds := line["from"].get("seconds")) is not None:
            for kind in _kinds(line["cell"]):
                times.setdefault(kind, []).append(seconds)
    total = 0.0
    for cell in missing:
        found = next((times[kind] for kind in _kinds(cell) if kind in times), None)
        total, unknown = (total, unknown + 1) if found is None else (total + np.median(found), unknown)
    if unknown == len(missing) and missing:
        return UNKNOWN
    return f"{total / 3600:.2g}" + (f", and {unknown} cells {UNKNOWN}" if unknown else "")


def _kinds(cell: dict) -> tuple[str, str]:
    """From like to less like: all but the seed; the task, where a cell has one."""
    return tuple(json.dumps(kind, sort_keys=True) for kind in (cell | {"seed": None}, {"task": cell.get("task")}))


def _memory(model: str) -> str:
    """The peak of one worker, estimated from the model's configuration."""
    try:
        weights = parameters(model) * 4e-9
    except (ValueError, FileNotFoundError) as error:
        return f"{UNKNOWN}: {str(error).partition('. ')[0]}".partition("\n")[0]
    return f"{weights + _measured_memory()[0]:.1f} GB, {weights:.2g} of it weights"


def parameters(model: str) -> int:
    """How many a model has, by its configuration alone."""
    with torch.device("meta"):
        config = loading.pretrained(AutoConfig, loading.source_of(model))
        return AutoModelForCausalLM.from_config(config).num_parameters()


def _measured_memory() -> tuple[float, str]:
    """Gigabytes beyond the weights, as the benchmark of evaluations recorded them; and which run that was."""
    try:
        (row,) = catalogue.STUDIES["speed"].everything()
        name, needed = row["from"]["model"], row["result"]["whole task, all measurements"]["peak_gb"]
        return needed - parameters(name) * 4e-9, f"{needed} GB in all with {name}, {row['from']['device']}"
    except (ValueError, FileNotFoundError):  # no such run, or not one; no model here
        return 0.0, "not measured here, so left out"


def apart(studies: Iterable[Study], model: str) -> str:
    """How many lines are of another plan, model or code, and what is done with them."""
    with of_model(model):
        found = [line for study in studies for line in _apart(study)]
    return (
        pd.DataFrame(found).to_string(index=False) if found else "All lines are of this model, today's plan and code."
    )


def _apart(study: Study) -> list[dict]:
    expected = study.expected()
    pairs = [(differing(line, expected), line["from"]) for line in study.everything()]
    groups = Counter((what, str(origin.get(what))) for what, origin in pairs if what)
    used = "used where today's code has no line"
    return [
        {
            "study": study.name,
            "lines": count,
            "of another": what,
            "which": which,
            "instead of": min(expected[what]) if what != "code" else study.code(),
            "they are": used if study.counts(what) else "not used",
        }
        for (what, which), count in groups.items()
    ]
