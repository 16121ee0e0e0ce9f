"""What data/results/plan.md fixed before anything was measured, as constants, and its draws.

With COURSE_SMALL=FOLDER in the environment all is small: to see in minutes that every block runs on a machine or model.
"""

import functools
from collections.abc import Callable
from dataclasses import replace

from helpers import tasks
from helpers.experiments.accuracy import shots
from helpers.experiments.small import SMALL
from helpers.tasks import Task

PRIMARY, SECONDARY, DESCRIPTIVE = ("antonym", "source-letters", "subj"), ("past", "capital"), ("mr",)
TASKS = (*PRIMARY, *SECONDARY, *DESCRIPTIVE)
SEEDS = range(100, 112)  # draws of demonstrations: the units
FEW, CAUSAL_SEEDS, BEST_SEEDS = SEEDS[:3], SEEDS[:4], SEEDS[:7]  # of the blocks that cost much
DEV_SEEDS, DEV_QUERIES = range(2000, 2004), 50
LEARNING_RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
JITTERS, STABLE = (-2, -1, 0, 1, 2), 0.1  # millionths of the rate; nats between the highest and the lowest loss
KENDALL_QUERIES = 25
SMALLEST = {"P1": 0.10, "P2": 0.05, "P3": 0.05, "P4": 0.03}  # effects of interest
MEASURABLE = (40, 20)  # events, and distinct queries among them


def draw(task: str, seed: int, queries: int = 100) -> Task:
    """One unit: demonstrations drawn by the seed, and the same queries for every seed."""
    return tasks.load(task, shots(task), seed, queries=queries)


def development(task: str, seed: int) -> Task:
    """A development draw whose queries were not used to choose templates."""
    seen = 50 if task in ("past", "antonym", "capital") else 100
    try:
        drawn = tasks.load(task, shots(task), seed, queries=seen + DEV_QUERIES, split="dev")
    except ValueError:  # capital has 51 words there: those of the training split that are not shown
        drawn = tasks.load(task, shots(task), seed, queries=50, split="train")
        return replace(drawn, queries=tuple(query for query in drawn.queries if query not in drawn.demos))
    return replace(drawn, queries=drawn.queries[seen:])


# --- Small


def cut(drawing: Callable[..., Task]) -> Callable[..., Task]:
    """The same draw with three demonstrations of every label, or six, and eight queries."""

    @functools.wraps(drawing)
    def small(*arguments: object, **options: object) -> Task:
        task = drawing(*arguments, **options)
        kinds = [[demo for demo in task.demos if demo.label == label] for label in task.labels]
        few = [demo for kind in kinds for demo in kind[:3]] or task.demos[:6]
        return replace(task, demos=tuple(few), queries=task.queries[:8])

    return small


if SMALL:
    SEEDS, DEV_SEEDS, MEASURABLE = SEEDS[:3], DEV_SEEDS[:1], (2, 2)
    FEW = CAUSAL_SEEDS = BEST_SEEDS = SEEDS[:1]
    draw, development = cut(draw), cut(development)
