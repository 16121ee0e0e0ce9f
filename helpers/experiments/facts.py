"""What prose may take from recorded runs: `{result:KEY}` in a notebook's source; an unknown key names the nearest."""

import difflib
import functools
import itertools
from collections.abc import Callable, Iterator

import numpy as np

from helpers.experiments import (
    accuracy,
    depth,
    inside,
    momentum,
    one_step,
    patching,
    preconditioning,
    pretrained,
    shots,
    transfer,
)
from helpers.experiments.accuracy import CLASSIFIED, FREE, WAYS
from helpers.experiments.tables import minus, with_interval
from helpers.support import CourseError

Facts = Iterator[tuple[str, Callable[[], str]]]  # key, and what makes its text


def fact(key: str) -> str:
    """A number or table by its key. Raises CourseError for an unknown one, with the nearest."""
    found = facts()
    if key not in found:
        near = difflib.get_close_matches(key, found, n=3, cutoff=0.3)
        raise CourseError(f"No recorded result is called {key!r}.\nNearest: {', '.join(map(repr, near))}")
    return found[key]()


@functools.cache
def facts() -> dict[str, Callable[[], str]]:
    """All of them: keys are known at once, a text is made when it is asked for."""
    return dict([*_tables(), *_accuracies(), *_inside(), *_curves(), *_momentum(), *_shots()])


def _tables() -> Facts:
    yield "three ways", accuracy.accuracy_table
    yield "table", inside.inside_table
    yield "one step", one_step.one_step_table
    yield "layers", one_step.layers_table
    yield "two tuned steps", lambda: f"{one_step.LAYERS.rows(way='steps', layers=2)[0]['result']['loss']:.3f}"
    yield "unequal inputs", preconditioning.one_layer_table
    yield "two layers", preconditioning.two_layers_table
    yield "patches", patching.patches_table
    yield "transfer", transfer.transfer_table
    yield "transfer layer", lambda: str(transfer.best_layer())
    for shown, rung, score in itertools.product(transfer.SHOWN, transfer.LADDER, transfer.SCORES):
        yield f"transfer {shown}, {rung}, {score}", functools.partial(_share, shown, rung, score)
    yield "depth", depth.depth_table


def _share(*which: str) -> str:
    """A share of the transfer ladder, mean over the draws."""
    return f"{transfer.shares(*which).mean():.2f}"


def _accuracies() -> Facts:
    for task in (*CLASSIFIED, *FREE):
        for kind in ("right", "calibrated"):
            tail = "" if kind == "right" else f" {kind}"  # raw is what is meant where nothing is said
            yield f"recovery {task}{tail}", functools.partial(_recovery, task, kind)
            yield f"gain {task}{tail}", functools.partial(_gain, task, kind)
            for way in WAYS:
                yield f"estimate {task} {way}{tail}", functools.partial(_estimate, task, way, kind)
                yield f"first {task} {way}{tail}", functools.partial(_first, task, way, kind)
            yield f"gain {task} {kind} finetuned", functools.partial(_gain, task, kind, "finetuned")


def _gain(*which: str) -> str:
    return with_interval(accuracy.gain(*which), sign="+")


def _estimate(*which: str) -> str:
    return with_interval(accuracy.estimate(*which))


def _first(*which: str) -> str:
    """The first draw, which notebook 04 also measures live."""
    return f"{accuracy.marks(*which)[0].mean():.2f}"


def _recovery(*which: str) -> str:
    hits, fixed, chance = accuracy.recovery(*which)
    return f"{hits} of {fixed} (chance {chance:.2f})"


def _inside() -> Facts:
    for row in inside.INSIDE.rows():
        task, at = row["cell"]["task"], row["cell"]["at"]
        for series in row["result"]["layers"]:
            yield f"inside {task} {at} {series}", functools.partial(_mean, task, series, at)
    for task in inside.CLOSELY:
        yield f"inside {task} answer {inside.NOT_FINETUNED}", functools.partial(_mean, task, inside.NOT_FINETUNED)
    for task in inside.ROUNDING.frame().task.unique():
        for series in ("sim_aou", "sim_aou raw", "sim_am after"):
            yield f"rank {task} {series}", functools.partial(_rank, task, series)


def _mean(*which: str) -> str:
    return minus(f"{np.nanmean(inside.layers(*which)):.2f}")


def _rank(*which: str) -> str:
    return minus(f"{inside.rank_with_loss(*which):.2f}")


def _curves() -> Facts:
    yield "level", lambda: f"{accuracy.curve_levels().mean():.1f}"
    for name in accuracy.curves():
        for passes in accuracy.EPOCHS:
            yield f"curve {name}: {passes}", functools.partial(_loss, name, passes)


def _loss(name: str, passes: int) -> str:
    return f"{accuracy.loss_after(name, passes):.1f}"


def _momentum() -> Facts:
    studies = {
        "lm": (momentum.LANGUAGE_STUDY, momentum.final_loss),
        "regression in context": (momentum.REGRESSION_STUDY, momentum.last),
        "recall in context": (momentum.RECALL_STUDY, momentum.last),
    }
    for key, (study, read) in studies.items():
        yield key, lambda study=study, read=read: momentum.seeds_table(study.rows(), read=read)
    yield "lm gain", functools.partial(momentum.loss_gain, "η learned")
    yield "lm gain recency", functools.partial(momentum.loss_gain, "recency")
    for length in ("256", "512", "1024"):
        yield f"lm at {length}", functools.partial(momentum.loss_change, length)
    for key, what in {"test": "test", **{task: f"{task} right" for task in pretrained.ASKED}}.items():
        yield (
            f"pretrained {key}",
            lambda what=what: pretrained.differences_table(pretrained.PRETRAINED.rows(), what),
        )
    yield "pretrained etas", lambda: pretrained.eta_table(pretrained.PRETRAINED.rows(), 3)


def _shots() -> Facts:
    for count in shots.SHOTS:
        yield f"shots {count}", functools.partial(shots.shots_table, count)
    for cell in shots.shot_cells():
        for what in shots.ANSWERS:
            kind, count = cell["kind"], cell["shots"]
            yield f"shots {kind} {count} {what}", functools.partial(_shot, kind, count, what)


def _shot(kind: str, count: int, what: str) -> str:
    return with_interval(shots.estimate(kind, count, what))
