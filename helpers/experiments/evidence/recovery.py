"""Block 3 of the plan: right or wrong on up to 400 queries; and on `mr` the best of 36 rates and 7 draws."""

from collections.abc import Iterator

from helpers import icl
from helpers.experiments.accuracy import marks_and_loss, shots
from helpers.experiments.evidence import plan, ways
from helpers.experiments.evidence.core import known_rates
from helpers.experiments.study import Study
from helpers.gpt import GPT
from helpers.icl import Predictions
from helpers.support import cache
from helpers.tasks import Task

QUERIES = {"antonym": 100}  # all there are; 400 elsewhere
TRIED = tuple(round(first * 10**power, 6) for power in (-4, -3, -2, -1) for first in range(1, 10))  # the paper's 36


def cells() -> Iterator[dict]:
    known = known_rates()
    for seed in plan.SEEDS:
        names = [task for task in (*plan.PRIMARY, *plan.DESCRIPTIVE) if task in known]
        yield from ({"task": task, "seed": seed} | known[task] for task in names)


def asked(task: str, seed: int) -> Task:
    """A draw and its queries."""
    return plan.draw(task, seed, QUERIES.get(task, 400))


def recover(model: GPT, task: str, seed: int, lr: float, matched: float) -> dict:
    """Marks of four ways; of zero-shot the scores too, for its margins."""
    drawn = asked(task, seed)
    with cache.bypassed():
        zsl = ways.summary(icl.zero_shot(model, drawn))
        few = marks_and_loss(icl.in_context(model, drawn))
        tuned = {name: plain(model, drawn, rate) for name, rate in (("finetuned", lr), ("matched", matched))}
    return {"zero_shot": zsl, "in_context": few} | {way: p and marks_and_loss(p) for way, p in tuned.items()}


def plain(model: GPT, task: Task, lr: float) -> Predictions | None:
    """Finetuned; None where numbers overflow."""
    try:
        return icl.finetuned(model, task, lr)
    except ValueError as error:
        if "nan or infinit" not in str(error):
            raise
        return None


def best_cells() -> Iterator[dict]:
    for seed in plan.BEST_SEEDS:
        yield from ({"task": "mr", "lr": lr, "seed": seed} for lr in TRIED)


def try_one(model: GPT, task: str, lr: float, seed: int) -> dict:
    """One of the 36 × 7: finetuned, on the queries that are reported."""
    with cache.bypassed():
        found = plain(model, asked(task, seed), lr)
    return {"finetuned": found and marks_and_loss(found)}


CODE = ("icl", "gpt", "tasks", "support.examples", shots, plan.draw, marks_and_loss, asked, plain)
RECOVERY = Study("evidence_recovery", cells, recover, (*CODE, ways.summary), real=True, planned=True)
BEST = Study("evidence_best_of", best_cells, try_one, CODE, real=True, planned=True)
STUDIES = (RECOVERY, BEST)
