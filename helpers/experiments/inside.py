"""The paper's four measurements on the real GPT, layer by layer, with their nulls; and what rounding makes of them."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from helpers import icl, metrics, tasks
from helpers.experiments.accuracy import (
    CLASSIFIED,
    DRAWS,
    FREE,
    best_rate,
    marks_and_loss,
    recovery,
    shots,
)
from helpers.experiments.study import Study
from helpers.experiments.tables import markdown, minus, with_range
from helpers.gpt import GPT
from helpers.support import CourseError, cache

CLOSELY = ("mr", "source-letters", "past")  # the tasks looked into most closely
NO_RATE = 1e-30  # a finetuning that changes no bit
EXACT_QUERIES = 25  # the exact form needs a pass of its own for every query
NOT_FINETUNED = "kendall exact not finetuned"


def inside_cells() -> Iterator[dict]:
    for names, seeds, at in (
        (CLOSELY, DRAWS, "answer"),
        (CLOSELY, DRAWS[:3], "first_label"),
        ([name for name in (*CLASSIFIED, *FREE) if name not in CLOSELY], DRAWS[:3], "answer"),
    ):
        for seed in seeds:
            for name in names:
                yield {"task": name, "lr": best_rate(name), "seed": seed, "at": at}


def inside(model: GPT, task: str, lr: float, seed: int, at: str) -> dict:
    """The four measurements at one token, layer by layer, each with what chance or nothing makes of it."""
    drawn, look = tasks.load(task, shots(task), seed), {"internals": True, "at": at}
    with cache.bypassed():
        zsl, few = icl.zero_shot(model, drawn, **look), icl.in_context(model, drawn, **look)
        tuned, untouched = (icl.finetuned(model, drawn, rate, **look) for rate in (lr, NO_RATE))
        exact = icl.value_update(model, replace(drawn, queries=drawn.queries[:EXACT_QUERIES]), lr)
    rows = metrics.update_similarities(zsl.internals, few.internals, tuned.internals)
    rows |= metrics.rank_correlations(few.internals, tuned.internals)
    attention = few.internals.demo_scores.sum(2)
    examples = [len(ids) for ids in icl.demo_ids(model, drawn)]
    rows["kendall untouched"] = metrics.kendall_taus(attention, untouched.internals.training_attention())
    rows["kendall examples"] = metrics.kendall_taus(
        *(metrics.example_shares(a, examples) for a in (attention, tuned.internals.training_attention()))
    )
    rows["kendall exact"] = metrics.kendall_taus(attention[:EXACT_QUERIES], exact.attention().sum(2)[..., exact.own])
    ways = {way: marks_and_loss(p) for way, p in (("zero_shot", zsl), ("in_context", few), ("finetuned", tuned))}
    return {"ways": ways, "layers": {name: per_layer(values) for name, values in rows.items()}}


def exact_null_cells() -> Iterator[dict]:
    for seed in DRAWS:
        for name in CLOSELY:
            yield {"task": name, "seed": seed}


def exact_null(model: GPT, task: str, seed: int) -> dict:
    """Kendall's τ of the prompt's attention with the exact form of a finetuning that changes nothing."""
    drawn = tasks.load(task, shots(task), seed, queries=EXACT_QUERIES)
    with cache.bypassed():
        attention = icl.in_context(model, drawn, internals=True).internals.demo_scores.sum(2)
        exact = icl.value_update(model, drawn, NO_RATE)
    taus = metrics.kendall_taus(attention, exact.attention().sum(2)[..., exact.own])
    return {"layers": {NOT_FINETUNED: per_layer(taus)}}


def rounding_cells() -> Iterator[dict]:
    """The same finetuning with its rate moved by millionths: what rounding could as well have made of it."""
    for name, seeds, moves in (
        ("past", DRAWS, 3),
        ("antonym", DRAWS[:3], 2),
        ("source-letters", DRAWS[:2], 2),
        ("mr", DRAWS[:2], 2),
    ):
        for seed in seeds:
            for move in range(-moves, moves + 1):
                yield {"task": name, "lr": best_rate(name), "seed": seed, "millionths": move}


def rounding(model: GPT, task: str, lr: float, seed: int, millionths: int) -> dict:
    """Loss, accuracy and similarities, means over layers and 40 queries, after finetuning at lr · (1 + millionths)."""
    drawn = tasks.load(task, shots(task), seed, queries=40)
    with cache.bypassed():
        zsl, few = (way(model, drawn, internals=True) for way in (icl.zero_shot, icl.in_context))
        tuned = icl.finetuned(model, drawn, lr * (1 + millionths * 1e-6), internals=True)
    rows = metrics.update_similarities(zsl.internals, few.internals, tuned.internals)
    means = {series: round(rows[series].nanmean().item(), 4) for series in ("sim_aou", "sim_aou raw", "sim_am after")}
    return {"zero_shot": marks_and_loss(zsl), "finetuned": marks_and_loss(tuned)} | means


def per_layer(values: Float[Tensor, "n layers"]) -> list[float | None]:
    """Mean over the queries, to four digits; None where undefined."""
    return [None if np.isnan(mean) else round(mean, 4) for mean in values.double().mean(0).tolist()]


DECIDES = ("icl", "gpt", "tasks", "support.examples", "metrics", shots, marks_and_loss, per_layer)
# "kendall examples" ranks shares that a softmax of large scores brings to nearly 0: the same code on another machine
# gives other ranks in some layers (by .02 in the mean over queries).
INSIDE = Study("inside", inside_cells, inside, DECIDES, real=True, rounded=("kendall examples",))
EXACT_NULL = Study("exact_null", exact_null_cells, exact_null, DECIDES, real=True)
ROUNDING = Study("rounding", rounding_cells, rounding, DECIDES, real=True, steady=-1)
STUDIES = (INSIDE, EXACT_NULL, ROUNDING)


# --- What the lines say


def layers(task: str, series: str, at: str = "answer") -> Float[np.ndarray, "draws layers"]:
    """One recorded measurement at the answer's token or the first label's; nan where undefined."""
    rows = EXACT_NULL.rows(task=task) if series == NOT_FINETUNED else INSIDE.rows(task=task, at=at)
    known = rows[0]["result"]["layers"]
    if series not in known:
        raise CourseError(f"Nothing called {series!r} is measured inside.\nThere are: {', '.join(known)}")
    return np.array([row["result"]["layers"][series] for row in rows], dtype=float)


def inside_table() -> str:
    """The four measurements: mean over layers and draws [lowest, highest draw], each with its null."""

    def cell(task: str, series: str, null: str = "", word: str = "") -> str:
        beside = f"; {word} {np.nanmean(layers(task, null)):.2f}" if null else ""
        return minus(with_range(np.nanmean(layers(task, series), axis=1).tolist()) + beside)

    rows = []
    for task in CLOSELY:
        hits, fixed, chance = recovery(task)
        rows.append(
            {
                "task": f"`{task}`",
                "Rec2FTP, raw": f"{hits}/{fixed}; chance {chance:.2f}" if fixed else "nothing was fixed",
                "SimAOU": cell(task, "sim_aou", "sim_aou noise", "noise"),
                "not normalised": cell(task, "sim_aou raw"),
                "SimAM, finetuned": cell(task, "sim_am after", "sim_am before", "before"),
                "Kendall": cell(task, "kendall", "kendall untouched", "not finetuned"),
                "Kendall, exact": cell(task, "kendall exact", NOT_FINETUNED, "not finetuned"),
            }
        )
    return markdown(pd.DataFrame(rows))


def against_loss(series: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Per task, a point a finetuning: by how much it changed the loss, and a measurement's mean over layers."""
    found = ROUNDING.frame()
    change = [after["loss"] - before["loss"] for before, after in zip(found.zero_shot, found.finetuned, strict=True)]
    found = found.assign(change=change).groupby("task", sort=False)
    return {task: (rows.change.to_numpy(), rows[series].to_numpy()) for task, rows in found}


def rank_with_loss(task: str, series: str) -> float:
    """Spearman's correlation of a measurement with the change of the loss, over the finetunings."""
    return float(stats.spearmanr(*against_loss(series)[task]).statistic)
