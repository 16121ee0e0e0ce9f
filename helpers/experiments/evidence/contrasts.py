"""The four primary contrasts of the plan, their rungs and the verdict: from recorded rows alone, without a model.

S[s, t] compares in-context learning with draw s and finetuning on draw t; d_s is its own draw minus the other draws,
for P4 finetuned minus not finetuned. Intervals are over the draws (twelve), d_s averaged over the tasks.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from operator import and_

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import stats

from helpers import icl
from helpers.experiments.evidence import plan, recovery
from helpers.experiments.evidence.core import CORE, MATRIX
from helpers.experiments.study import Study
from helpers.support import CourseError

CLAIMS = {"P1": "Rec2FTP", "P2": "SimAOU", "P3": "SimAM", "P4": "Kendall"}
INSIDE = {"P2": "outputs", "P3": "maps"}  # of what the residuals are
FIRST = {"maps": 1, "sim_am updates": 1}  # the first layer that is read; else all
LEVELS = {"P2": "sim_aou tangential", "P3": "sim_am updates", "P4": "kendall"}  # M of the rungs, as recorded
RUNGS = {1: ("random",), 2: ("shuffled", "mlp")}  # controls that finetuning has to be above
BESIDE = ("random, as long",)  # shown beside the rungs
ALPHA = 0.05

Matrix = Float[np.ndarray, "draws draws"]
Values = Float[np.ndarray, " draws"]
Marks = Bool[np.ndarray, " n"]


# --- Statistics


def recovered(few: Bool[np.ndarray, " n"], tuned: Bool[np.ndarray, " n"], margins: Float[np.ndarray, " n"]) -> float:
    """P(few right | tuned right) − P(few right | tuned wrong), within thirds of the margin, by Mantel and Haenszel."""
    differences, weights = [], []
    for third in np.array_split(np.argsort(margins), 3):
        yes, no = few[third][tuned[third]], few[third][~tuned[third]]
        if len(yes) and len(no):
            differences.append(yes.mean() - no.mean())
            weights.append(len(yes) * len(no) / len(third))
    return float(np.average(differences, weights=weights)) if weights else float("nan")


def interval(values: Float[np.ndarray, " n"]) -> tuple[float, float, float]:
    """The mean, and its two-sided 95 % t interval: the mean itself where all are equal; nan left out, nan of one."""
    values = values[~np.isnan(values)]
    mean = float(np.mean(values)) if len(values) else float("nan")
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    if not np.ptp(values):
        return mean, mean, mean
    low, high = stats.ttest_1samp(values, 0).confidence_interval()
    return mean, float(low), float(high)


def over_tasks(values: Iterable[Float[np.ndarray, " n"]]) -> Float[np.ndarray, " n"]:
    """One number a draw, whose mean is the mean of the tasks' means, also where some tasks have no number at a draw."""
    rows = np.array(list(values))
    means = np.nanmean(rows, axis=1, keepdims=True)
    draws = np.nanmean(rows - means, axis=0)
    return draws - np.nanmean(draws) + np.nanmean(means)


def matching_pvalue(matrices: Float[np.ndarray, "tasks draws draws"], permutations: int = 10_000) -> float:
    """(eq. 5.4) over several tasks, the columns of each permuted apart: how often the own draws are no higher."""
    rng, rows = np.random.default_rng(0), np.arange(matrices.shape[1])
    drawn = [rng.permuted(np.tile(rows, (permutations, 1)), axis=1) for _ in matrices]
    means = np.nanmean([np.nanmean(matrix[rows, d], axis=1) for matrix, d in zip(matrices, drawn, strict=True)], axis=0)
    own = np.nanmean(np.nanmean(matrices.diagonal(axis1=1, axis2=2), axis=1))
    return float(((means >= own - 1e-12).sum() + 1) / (permutations + 1))


def holm(pvalues: Iterable[float]) -> list[float]:
    """Adjusted p-values (Holm 1979); one that could not be measured counts as 1 among the others."""
    found = np.nan_to_num(np.array(list(pvalues)), nan=1.0)
    order = found.argsort()
    adjusted = np.maximum.accumulate(found[order] * np.arange(len(found), 0, -1)).clip(max=1)
    return adjusted[order.argsort()].tolist()


def reached(held: Iterable[bool]) -> int:
    """The highest rung below which none is missing."""
    return sum(accumulate(held, and_))


# --- What is compared


@dataclass(frozen=True)
class Contrast:
    """One claim: d_s of every task and, but for P4, the draw × draw comparisons that it is taken from."""

    claim: str
    by_task: dict[str, Values]
    matrices: dict[str, Matrix]

    def effect(self) -> tuple[float, float, float]:
        """Mean over the tasks, and its interval over the draws."""
        return interval(over_tasks(self.by_task.values()) if self.by_task else np.array([]))

    def pvalue(self) -> float:
        """One-sided: columns permuted, or for P4 a t-test over the draws; nan where nothing could be measured."""
        if not self.by_task:
            return float("nan")
        if self.matrices:
            return matching_pvalue(np.array(list(self.matrices.values())))
        values = over_tasks(self.by_task.values())
        return float(stats.ttest_1samp(values, 0, alternative="greater", nan_policy="omit").pvalue)

    def against_smallest(self) -> str:
        """Where the interval lies beside the smallest effect of interest."""
        _, low, high = self.effect()
        smallest = plan.SMALLEST[self.claim]
        return "above" if low > smallest else "below" if high < smallest else "not resolved"


def contrast(claim: str, way: str = "finetuned", tasks: Iterable[str] = plan.PRIMARY) -> Contrast:
    """A primary contrast as planned, or of "matched" finetuning, or of other tasks; CourseError where draws lack.

    Without the tasks on which P1 can't be measured or, for P2 and P3, the way's numbers overflowed in a draw.
    """
    if claim == "P4":
        return Contrast(claim, {task: _learned(task, way) for task in tasks}, {})
    if claim == "P1":
        matrices = {task: recovery_matrix(task, way) for task in tasks if measurable(task, way)}
    else:
        found = {task: residual_matrix(task, INSIDE[claim], way) for task in tasks}
        matrices = {task: matrix for task, matrix in found.items() if matrix is not None}
    return Contrast(claim, {task: own_minus_other(matrix) for task, matrix in matrices.items()}, matrices)


def _learned(task: str, way: str) -> Values:
    """P4: τ(finetuned) − τ(not finetuned), over the layers in which both are defined."""
    return np.nanmean(series("P4", task, way) - series("P4", task, "not finetuned"), axis=1)


def own_minus_other(matrix: Matrix) -> Values:
    """d_s: the own draw minus the mean of the other draws that are defined."""
    others = np.where(np.eye(len(matrix), dtype=bool), np.nan, matrix)
    return matrix.diagonal() - np.nanmean(others, axis=1)


def all_draws(study: Study, task: str) -> list[dict]:
    """The rows of a task's twelve draws. Raises CourseError where some are not measured yet."""
    rows = study.rows(task=task)
    if len(rows) < len(plan.SEEDS):
        raise CourseError(f"{study.name}: {len(rows)} of {len(plan.SEEDS)} draws of {task!r}.\nRun: {study.command}")
    return [row["result"] for row in rows]


def residual_matrix(task: str, what: str, way: str) -> Matrix | None:
    """P2 and P3: cosines of demonstration residuals (eq. 5.3), mean over layers; None where numbers overflowed.

    P3 without the first layer, whose scores of the query on itself no demonstration can change.
    """
    [row] = MATRIX.rows(task=task)
    if way not in row["result"][what]:
        return None
    return np.nanmean(np.array(row["result"][what][way], dtype=float)[..., FIRST.get(what, 0) :], axis=-1)


# --- P1: right and wrong


@dataclass(frozen=True)
class Answers:
    """Marks of one draw, label bias removed, on the queries that zero-shot has wrong; their zero-shot margins."""

    margins: Float[np.ndarray, " n"]
    few: Marks
    tuned: dict[str, Marks]
    places: np.ndarray  # of these queries among all

    @classmethod
    def of(cls, ways: dict[str, dict | None], gold: list[int]) -> "Answers":
        marks = {way: np.array(list(found["calibrated"])) == "1" for way, found in ways.items() if found}
        wrong = ~marks.pop("zero_shot")
        margins = zero_shot_margins(ways["zero_shot"]["scores"], gold)
        kept = {way: right[wrong] for way, right in marks.items()}
        return cls(margins[wrong], kept.pop("in_context"), kept, np.flatnonzero(wrong))


def zero_shot_margins(scores: list[list[float]], gold: list[int]) -> Float[np.ndarray, " n"]:
    """Score of the right label minus the best other, label bias removed; of free answers the best right one's score."""
    if len(scores[0]) == 1:
        return np.array(scores)[:, 0]
    table, rows = calibrated(scores), np.arange(len(scores))
    others = table.copy()
    others[rows, gold] = -np.inf
    return table[rows, gold] - others.max(1)


def calibrated(scores: list[list[float]]) -> Float[np.ndarray, "n labels"]:
    """(eq. 4.2) Recorded scores, label bias removed."""
    return icl.calibrate(torch.tensor(scores, dtype=torch.float64)).numpy()


def gold_labels(task: str, queries: int) -> list[int]:
    """The right label of every query, 0 for free answers."""
    drawn = plan.draw(task, plan.SEEDS[0], queries)
    return [drawn.labels.index(query.label) if drawn.labels else 0 for query in drawn.queries]


def recovery_answers(task: str) -> list[Answers]:
    """Of every draw, on up to 400 queries; zero-shot, which has no draw, is the first row's for all."""
    draws = all_draws(recovery.RECOVERY, task)
    gold, zero_shot = gold_labels(task, recovery.QUERIES.get(task, 400)), draws[0]["zero_shot"]
    return [Answers.of(ways | {"zero_shot": zero_shot}, gold) for ways in draws]


def recovery_matrix(task: str, way: str) -> Matrix:
    """P1: S[s, t] among the queries that zero-shot has wrong."""
    draws = recovery_answers(task)
    tuned = [draw.tuned.get(way) for draw in draws]
    undefined = float("nan")
    return np.array(
        [[undefined if marks is None else recovered(own.few, marks, own.margins) for marks in tuned] for own in draws]
    )


def events(task: str, way: str = "finetuned") -> tuple[int, int]:
    """How many pairs of draw and query zero-shot has wrong and finetuning right, and how many distinct queries."""
    found = [draw.places[draw.tuned[way]] for draw in recovery_answers(task) if way in draw.tuned]
    every = np.concatenate(found) if found else np.array([])
    return len(every), len(np.unique(every))


def measurable(task: str, way: str = "finetuned") -> bool:
    """Whether there are enough events for P1."""
    return all(np.array(events(task, way)) >= plan.MEASURABLE)


# --- Rungs


def series(claim: str, task: str, way: str, aligned: bool = False) -> Float[np.ndarray, "draws layers"]:
    """M of a way at every draw and layer (P1 has none: one number); nan where its numbers overflowed."""
    draws = all_draws(CORE, task)
    if claim == "P1":
        gold = gold_labels(task, 100)
        return np.array([[_recovered_or_nothing(Answers.of(draw["ways"], gold), way)] for draw in draws])
    name = LEVELS[claim] + " aligned" * aligned
    found = [draw["layers"].get(way, {}).get(name) for draw in draws]
    layers = max((len(row) for row in found if row), default=1)
    every = np.array([row or [float("nan")] * layers for row in found], dtype=float)
    return every[:, FIRST.get(LEVELS[claim], 0) :]


def _recovered_or_nothing(found: Answers, way: str) -> float:
    """S[s, s]; 0 where the way has none or all of the queries right, which shows no connection."""
    if way not in found.tuned:
        return float("nan")
    return float(np.nan_to_num(recovered(found.few, found.tuned[way], found.margins)))


def above(claim: str, control: str, tasks: Iterable[str] = plan.PRIMARY) -> Values:
    """M(finetuned) − M(control) at every draw, over the layers in which both are defined, averaged over the tasks."""
    aligned = claim == "P4" and control == "shuffled"
    pairs = [[series(claim, task, way, aligned) for way in ("finetuned", control)] for task in tasks]
    return over_tasks(np.nanmean(own - other, axis=1) for own, other in pairs)


def rung_controls(claim: str, rung: int) -> tuple[str, ...]:
    """The controls of a rung: for P4 the network that was not finetuned is one more on the first."""
    return RUNGS[rung] + ("not finetuned",) * (claim == "P4" and rung == 1)


@dataclass(frozen=True)
class Verdict:
    """What the plan says of one claim."""

    contrast: Contrast
    pvalue: float
    adjusted: float  # after Holm over the four
    above: dict[str, tuple[float, float, float]]  # M(finetuned) − M(control), by control

    def rungs(self) -> tuple[bool, bool, bool]:
        """Above random updates; above shuffled labels and the MLPs; specific to these demonstrations."""
        claim = self.contrast.claim
        lower = (all(self.above[control][1] > 0 for control in rung_controls(claim, rung)) for rung in RUNGS)
        return (*lower, self.adjusted <= ALPHA)


def verdicts(tasks: Iterable[str] = plan.PRIMARY) -> dict[str, Verdict]:
    """Of every claim; P1's rungs on the tasks on which it can be measured."""
    found = {claim: contrast(claim, tasks=tasks) for claim in CLAIMS}
    pvalues = [each.pvalue() for each in found.values()]
    result = {}
    for (claim, each), pvalue, adjusted in zip(found.items(), pvalues, holm(pvalues), strict=True):
        names = [*(control for rung in RUNGS for control in rung_controls(claim, rung)), *BESIDE]
        differences = {control: above(claim, control, list(each.by_task)) for control in names} if each.by_task else {}
        lower = {control: interval(differences.get(control, np.array([]))) for control in names}
        result[claim] = Verdict(each, pvalue, adjusted, lower)
    return result
