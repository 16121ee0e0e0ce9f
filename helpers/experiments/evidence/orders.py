"""Block 8 of the plan: the demonstrations in reverse order, both ways, and the ceilings of the residuals."""

from collections.abc import Iterator

import torch
from torch import Tensor

from helpers import controls, icl
from helpers.experiments.evidence import plan, ways
from helpers.experiments.evidence.core import CODE, known_rates, rounded
from helpers.experiments.study import Study
from helpers.gpt import GPT
from helpers.support import cache

WAYS = ("in_context", "finetuned")


def cells() -> Iterator[dict]:
    known = known_rates()
    yield from ({"task": task, "lr": known[task]["lr"]} for task in plan.PRIMARY if task in known)


def both_orders(model: GPT, task: str, lr: float) -> dict:
    """Answers in both orders; cosines of the residuals of draw s in one order with those of draw t in the other."""
    answers: dict = {}
    inside: dict[tuple, list[Tensor]] = {}
    for seed in plan.SEEDS:
        drawn = plan.draw(task, seed)
        for order, shown in (("", drawn), (" reversed", controls.reversed_demonstrations(drawn))):
            with cache.bypassed():
                found = icl.in_context(model, shown, internals=True), ways.finetuned(model, shown, lr)
            for way, p in zip(WAYS, found, strict=True):
                answers.setdefault(way + order, []).append(ways.summary(p))
                if p:
                    inside.setdefault((way, order, "outputs"), []).append(p.internals.outputs)
                    inside.setdefault((way, order, "maps"), []).append(controls.centred(p.internals.query_scores))
    similar: dict = {"outputs": {}, "maps": {}}
    for what, result in similar.items():
        for way in WAYS:
            pair = [inside.get((way, order, what), []) for order in ("", " reversed")]
            if min(map(len, pair)) == len(plan.SEEDS):
                ours, theirs = (controls.demonstration_residuals(torch.stack(draws)) for draws in pair)
                result[way] = rounded(controls.draw_similarities(ours, theirs))
    return {"seeds": list(plan.SEEDS), "ways": answers} | similar


ORDERS = Study("evidence_orders", cells, both_orders, (*CODE, rounded), real=True, planned=True)
STUDIES = (ORDERS,)
