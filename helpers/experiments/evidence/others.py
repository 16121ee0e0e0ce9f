"""Blocks 4 to 7 of the plan: doses, jitters, competent recipes, untrained networks, layer-causal steps."""

from collections.abc import Iterator

import numpy as np

from helpers import controls
from helpers.controls import Recipe, Trained
from helpers.experiments.accuracy import marks_and_loss, share
from helpers.experiments.evidence import plan, ways
from helpers.experiments.evidence.core import CODE, known_rates
from helpers.experiments.evidence.ways import Draw
from helpers.experiments.small import SMALL
from helpers.experiments.study import Study
from helpers.gpt import GPT
from helpers.support import cache
from helpers.tasks import Task

OPTIMIZERS = {  # of competent finetuning: what learns, how, and the rates tried
    "adam, keys and values": ({"optimizer": "adam"}, (1e-4, 3e-4, 1e-3, 3e-3)),
    "adam, all": ({"optimizer": "adam", "learns": "all"}, (3e-5, 1e-4, 3e-4, 1e-3)),
    "clipped sgd": ({"clip": 1.0}, (0.01, 0.03, 0.1, 0.3)),
}
if SMALL:
    OPTIMIZERS = {how: (options, tried[:2]) for how, (options, tried) in OPTIMIZERS.items()}
PASSES = 8


def one(draw: Draw, trained: Trained) -> dict:
    """The answers after one finetuning, and what it did inside, beside the prompt's."""
    tuned = ways.after(draw.model, draw.task, trained.weights, trained.queries)
    both = {"zero_shot": draw.zsl, "in_context": draw.few, "finetuned": tuned}
    layers = ways.everything(draw, tuned) if tuned else None
    return {"ways": {way: p and marks_and_loss(p) for way, p in both.items()}, "layers": layers}


def at_rate(model: GPT, task: str, seed: int, lr: float, millionths: int = 0) -> dict:
    """The paper's finetuning at any rate."""
    with cache.bypassed():
        draw = Draw.of(model, plan.draw(task, seed))
        return one(draw, controls.finetune(model, draw.task, Recipe(lr * (1 + millionths * 1e-6))))


def dose_cells() -> Iterator[dict]:
    for seed in plan.FEW:
        for task in plan.PRIMARY:
            yield from ({"task": task, "seed": seed, "lr": lr} for lr in plan.LEARNING_RATES)


def primary_rates() -> dict[str, dict]:
    """The known rates of the primary tasks."""
    return {task: found for task, found in known_rates().items() if task in plan.PRIMARY}


def jitter_cells() -> Iterator[dict]:
    known = primary_rates()
    for seed in plan.FEW:
        for task, found in known.items():
            for lr in sorted(set(found.values())):
                yield from ({"task": task, "seed": seed, "lr": lr, "millionths": move} for move in plan.JITTERS)


# --- Competent finetuning


def recipe(how: str, loss: str, lr: float) -> Recipe:
    """Eight passes by one of `OPTIMIZERS`, with the loss of all tokens or of the answer's."""
    return Recipe(lr, passes=PASSES, answer_only=loss == "answer", **OPTIMIZERS[how][0])


def competent_rate_cells() -> Iterator[dict]:
    for task in plan.PRIMARY:
        for how, (_, tried) in OPTIMIZERS.items():
            for loss in ("answer", "all tokens"):
                yield from ({"task": task, "how": how, "loss": loss, "lr": lr} for lr in tried)


def try_competent(model: GPT, task: str, how: str, loss: str, lr: float) -> dict:
    """On one development draw."""
    drawn: Task = plan.development(task, plan.DEV_SEEDS[0])
    with cache.bypassed():
        trained = controls.finetune(model, drawn, recipe(how, loss, lr))
        tuned = ways.after(model, drawn, trained.weights, trained.queries)
    return {"finetuned": tuned and marks_and_loss(tuned)}


def competent_rate(task: str, how: str, loss: str) -> float | None:
    """The best on that draw: accuracy, raw and bias removed averaged; where equal, the lower loss."""
    lines = [
        line
        for line in COMPETENT_RATES.lines()
        if {"task": task, "how": how, "loss": loss}.items() <= line["cell"].items()
    ]
    if len(lines) < len(OPTIMIZERS[how][1]):
        return None

    def score(line: dict) -> tuple[float, float]:
        way = line["result"]["finetuned"]
        return (np.mean([share(way["right"]), share(way["calibrated"])]), -way["loss"]) if way else (-1.0, 0.0)

    return max(lines, key=score)["cell"]["lr"]


def competent_cells() -> Iterator[dict]:
    for seed in plan.FEW:
        for task in plan.PRIMARY:
            for how in OPTIMIZERS:
                for loss in ("answer", "all tokens"):
                    if lr := competent_rate(task, how, loss):
                        yield {"task": task, "seed": seed, "how": how, "loss": loss, "lr": lr}


def competent(model: GPT, task: str, seed: int, how: str, loss: str, lr: float) -> dict:
    """Finetuning that is meant to work, beside the prompt."""
    with cache.bypassed():
        draw = Draw.of(model, plan.draw(task, seed))
        return one(draw, controls.finetune(model, draw.task, recipe(how, loss, lr)))


# --- Networks that know nothing, and steps that respect the layers


def random_cells() -> Iterator[dict]:
    known = primary_rates()
    for seed in plan.FEW:
        for task, found in known.items():
            how = {"task": task, "seed": seed, "lr": found["lr"]}
            yield from (how | {"embeddings": kept} for kept in (True, False))


def untrained(model: GPT, task: str, seed: int, lr: float, embeddings: bool) -> dict:
    """The measurements on a network with random weights, its embeddings kept or not."""
    network = controls.untrained(model, seed, embeddings)
    with cache.bypassed():
        draw = Draw.of(network, plan.draw(task, seed))
        return one(draw, controls.finetune(network, draw.task, Recipe(lr)))


def causal_cells() -> Iterator[dict]:
    known = primary_rates()
    for seed in plan.CAUSAL_SEEDS:
        yield from ({"task": task, "seed": seed, "lr": found["lr"]} for task, found in known.items())


def layer_causal(model: GPT, task: str, seed: int, lr: float) -> dict:
    """Layer-causal steps (Deutch et al. 2311.07772) beside the prompt; Kendall's stand-in from a plain pass."""
    with cache.bypassed():
        draw = Draw.of(model, plan.draw(task, seed))
        weights = controls.layer_causal_steps(model, draw.task, lr)
        with controls.holding(model, weights):
            queries = ways.plain_queries(model, draw.task)
        return one(draw, Trained(weights, queries))


def study(name: str, cells: object, measure: object, *covers: object, **options: object) -> Study:
    """One of the blocks here."""
    return Study(
        f"evidence_{name}", cells, measure, (*CODE, marks_and_loss, *covers), real=True, planned=True, **options
    )


DOSE = study("dose", dose_cells, at_rate, one)
JITTER = study("jitter", jitter_cells, at_rate, one)
COMPETENT_RATES = study("competent_rates", competent_rate_cells, try_competent, recipe, plan.development)
COMPETENT = study("competent", competent_cells, competent, one, recipe)
RANDOM = study("random", random_cells, untrained, one)
CAUSAL = study("causal", causal_cells, layer_causal, one)
STUDIES = (DOSE, JITTER, COMPETENT_RATES, COMPETENT, RANDOM, CAUSAL)
