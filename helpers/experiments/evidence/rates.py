"""Block 1 of the plan: the rate that is best and stable, and the one at which both updates are equally long."""

import functools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from torch import Tensor

from helpers import icl
from helpers.experiments import lines
from helpers.experiments.accuracy import marks_and_loss, share, shots
from helpers.experiments.evidence.plan import DEV_SEEDS, JITTERS, LEARNING_RATES, STABLE, TASKS, development
from helpers.experiments.study import Study
from helpers.gpt import GPT
from helpers.support import CourseError, cache


def cells() -> Iterator[dict]:
    """All rates as they are; then, task by task and from the best on, moved by millionths until one is stable."""
    for seed in DEV_SEEDS:
        for task in TASKS:
            yield from ({"task": task, "lr": lr, "seed": seed, "millionths": 0} for lr in LEARNING_RATES)
    for task in TASKS:
        for lr in _tried(task):
            for seed in DEV_SEEDS:
                yield from ({"task": task, "lr": lr, "seed": seed, "millionths": move} for move in JITTERS if move)


def try_rate(model: GPT, task: str, lr: float, seed: int, millionths: int) -> dict:
    """The three ways on a development draw, and how long both updates of attention outputs are."""
    drawn = development(task, seed)
    zsl, few = (way(model, drawn, internals=True) for way in (icl.zero_shot, icl.in_context))
    result = {"zero_shot": marks_and_loss(zsl), "in_context": marks_and_loss(few), "finetuned": None}
    result |= {"rho icl": relative_length(few.internals.outputs, zsl.internals.outputs), "rho ft": None}
    try:
        with cache.bypassed():
            tuned = icl.finetuned(model, drawn, lr * (1 + millionths * 1e-6), internals=True)
    except ValueError as error:
        if "nan or infinite" not in str(error):
            raise
        return result
    length = relative_length(tuned.internals.outputs, zsl.internals.outputs)
    return result | {"finetuned": marks_and_loss(tuned), "rho ft": length}


def relative_length(h: Float[Tensor, "n layers d"], base: Float[Tensor, "n layers d"]) -> float:
    """ρ: the length of an update over the length of what it updates, mean over queries and layers."""
    return round(((h - base).norm(dim=-1) / base.norm(dim=-1)).mean().item(), 5)


DECIDES = ("icl", "gpt", "tasks", "support.examples", shots, marks_and_loss, development, relative_length)
RATES = Study("evidence_rates", cells, try_rate, DECIDES, real=True, planned=True, steady=1)
STUDIES = (RATES,)


# --- What the lines say


def _found(task: str) -> dict[tuple, dict]:
    """Every result on a task by rate, seed and millionths."""
    origin = tuple((what, *sorted(known)) for what, known in RATES.expected().items())
    return _by_task(RATES.path, lines.state(RATES.path), origin).get(task, {})


@functools.lru_cache(maxsize=2)
def _by_task(*_: object) -> dict[str, dict[tuple, dict]]:
    """All lines that count, by task: read again where the file or what counts has changed."""
    found: dict[str, dict[tuple, dict]] = {}
    for line in RATES.lines():
        key = tuple(line["cell"][name] for name in ("lr", "seed", "millionths"))
        found.setdefault(line["cell"]["task"], {})[key] = line["result"]
    return found


def ranking(task: str) -> list[float]:
    """The rates from the best on: accuracy, raw and bias removed averaged; where equal, the lower loss."""

    def score(lr: float) -> tuple[float, float]:
        tuned = [found[lr, seed, 0]["finetuned"] for seed in DEV_SEEDS]
        if None in tuned:
            return -1.0, 0.0
        right = np.mean([[share(way["right"]), share(way["calibrated"])] for way in tuned])
        return float(right), -float(np.mean([way["loss"] for way in tuned]))

    found = _found(task)
    if any((lr, seed, 0) not in found for lr in LEARNING_RATES for seed in DEV_SEEDS):
        return []
    return sorted(LEARNING_RATES, key=score, reverse=True)


def spread(task: str, lr: float) -> float | None:
    """Highest minus lowest loss over the millionths, the largest of the draws; None where not all are measured."""
    found = _found(task)
    rows = [[found.get((lr, seed, move)) for move in JITTERS] for seed in DEV_SEEDS]
    if any(None in row for row in rows):
        return None
    losses = [[way["finetuned"]["loss"] if way["finetuned"] else np.inf for way in row] for row in rows]
    return float(max(max(row) - min(row) if np.isfinite(row).all() else np.inf for row in losses))


def _tried(task: str) -> Iterator[float]:
    """From the best rate to the first stable one, or the first whose spread is not known yet."""
    for lr in ranking(task):
        yield lr
        if (found := spread(task, lr)) is None or found <= STABLE:
            return


def stable_rate(task: str) -> float:
    """The rate of the primary contrasts. Raises CourseError while the block is not measured."""
    spreads = {lr: spread(task, lr) for lr in _tried(task)}
    if not spreads or None in spreads.values():
        raise CourseError(f"The rate for {task!r} is not measured yet.\nRun: {RATES.command}")
    stable = [lr for lr, found in spreads.items() if found <= STABLE]
    return stable[0] if stable else min(spreads, key=spreads.get)


def matched_rate(task: str) -> float:
    """Where finetuning's update is as long as the prompt's: log-linear between the neighbouring rates, two digits."""
    found = _found(task)
    ways = [[found[lr, seed, 0] for seed in DEV_SEEDS] for lr in LEARNING_RATES]
    target = np.median([row["rho icl"] for row in ways[0]])
    rhos = np.array([np.median([np.inf if row["rho ft"] is None else row["rho ft"] for row in rows]) for rows in ways])
    above = np.flatnonzero(np.isfinite(rhos) & (rhos >= target))
    if not len(above) or not above[0]:  # never crossed
        return LEARNING_RATES[int(np.argmin(np.abs(rhos - target)))]
    last = above[0]
    place = np.interp(np.log(target), np.log(rhos[last - 1 : last + 1]), np.log(LEARNING_RATES[last - 1 : last + 1]))
    return float(f"{np.exp(place):.2g}")
