"""What the rows of the plan say so far, as tables: python -m helpers.experiments.evidence.verdict"""

import argparse
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from helpers import DEFAULT_MODEL
from helpers.experiments.accuracy import share
from helpers.experiments.evidence import contrasts, plan
from helpers.experiments.evidence.contrasts import CLAIMS, calibrated, interval
from helpers.experiments.evidence.core import CORE
from helpers.experiments.evidence.others import CAUSAL, COMPETENT, DOSE, JITTER, RANDOM
from helpers.experiments.evidence.recovery import BEST, RECOVERY
from helpers.experiments.study import of_model
from helpers.experiments.tables import markdown, minus, with_interval
from helpers.support import CourseError

CONTROLS = ("random", "random, as long", "not finetuned", "shuffled", "mlp")
SERIES = ("rho", "sim_aou", "sim_aou tangential", "sim_am", "sim_am updates", "kendall")
NOTHING = "not measured yet"
WAYS = ("zero_shot", "in_context", "finetuned", "matched", "in_context flipped", "finetuned flipped", "shuffled", "mlp")


def verdict() -> str:
    """The four claims on the primary tasks: the planned contrast, finetuning above each control, and the rung.

    The contrast: own draw minus other draws; P4's: finetuned minus not finetuned. The matched rate is in no test.
    """
    rows = []
    for claim, found in contrasts.verdicts().items():
        each, matched = found.contrast, contrasts.contrast(claim, "matched")
        above = {f"above {name}": _or_none(found.above.get(name)) for name in CONTROLS}
        rows.append(
            {"claim": f"{claim} {CLAIMS[claim]}", "tasks": ", ".join(each.by_task), "contrast": _or_none(each.effect())}
            | {"at the matched rate": _or_none(matched.effect())}
            | {"p": _pvalue(found.pvalue), "after Holm": _pvalue(found.adjusted)}
            | above
            | {"rung": contrasts.reached(found.rungs()) if each.by_task else "not measurable"}
            | {"smallest effect of interest": f"{plan.SMALLEST[claim]:.2f}: {each.against_smallest()}"}
        )
    return _table(rows)


def by_task() -> str:
    """The same contrasts task by task, at both rates; intervals over the draws."""
    rows = []
    for claim in CLAIMS:
        for way in ("finetuned", "matched"):
            row = {"claim": f"{claim} {CLAIMS[claim]}", "rate": "stable" if way == "finetuned" else "matched"}
            for task in plan.TASKS:
                row[task] = _tried(lambda claim=claim, way=way, task=task: _task_effect(claim, way, task))
            rows.append(row)
    return _table(rows)


def _task_effect(claim: str, way: str, task: str) -> str:
    if claim == "P1" and task in plan.SECONDARY:
        return "not planned"
    found = contrasts.contrast(claim, way, (task,)).by_task
    if task not in found:
        if claim != "P1":
            return "numbers overflowed"
        number, distinct = contrasts.events(task, way)
        return f"not measurable ({number} events, {distinct} queries)"
    return _or_none(interval(found[task])) or "undefined"


def levels() -> str:
    """What was measured at the same draw, of every way: means over draws, and over the layers where it is defined."""
    rows = []
    for task in plan.TASKS:
        draws = [row["result"]["layers"] for row in _rows(CORE, task=task)]
        for way in dict.fromkeys(way for draw in draws for way in draw):
            values = {name: [_mean(draw.get(way, {}).get(name)) for draw in draws] for name in SERIES}
            rows.append({"task": task, "draws": len(draws), "way": way} | {n: _figure(v) for n, v in values.items()})
    return _table(rows)


def accuracies() -> str:
    """Right answers, label bias removed, and raw; answers right by the flipped labels; intervals over draws."""
    rows = []
    for task in plan.TASKS:
        draws = [row["result"]["ways"] for row in _rows(CORE, task=task)]
        for way in WAYS if draws else ():
            marks = [draw[way] for draw in draws if draw[way]]
            kinds = (np.array([share(found[kind]) for found in marks]) for kind in ("calibrated", "right"))
            shown, raw = (interval(values) for values in kinds)
            rows.append({"task": task, "way": way, "draws": len(marks), "right": _or_none(shown, 2, "")})
            rows[-1] |= {"raw": _or_none(raw, 2, ""), "as flipped": _or_none(_as_flipped(task, marks), 2, "")}
    return _table(rows)


def _as_flipped(task: str, marks: list[dict]) -> tuple[float, float, float]:
    """Answers, label bias removed, that are the label after the right one; free answers have none."""
    number = len(marks[0]["scores"][0])
    if number == 1:
        return interval(np.array([]))
    after = (np.array(contrasts.gold_labels(task, 100)) + 1) % number
    return interval(np.array([(calibrated(found["scores"]).argmax(1) == after).mean() for found in marks]))


def kendall() -> str:
    """P4's τ in its other forms: finetuned and not finetuned; intervals over draws."""
    rows = []
    for task in plan.TASKS:
        draws = [row["result"]["layers"] for row in _rows(CORE, task=task)]
        for name in ("kendall", "kendall examples", "kendall exact", "kendall exact within") if draws else ():
            ways = {w: np.array([_mean(d.get(w, {}).get(name)) for d in draws]) for w in ("finetuned", "not finetuned")}
            figures = {way: _or_none(interval(values)) for way, values in ways.items()}
            paired = interval(ways["finetuned"] - ways["not finetuned"])
            rows.append({"task": task, "τ": name} | figures | {"difference": _or_none(paired)})
    return _table(rows)


def others() -> str:
    """Blocks 4 to 7: right answers and the measurements, means over the draws measured."""
    rows = []
    for study in (DOSE, JITTER, COMPETENT, RANDOM, CAUSAL):
        groups: dict[tuple, list[dict]] = {}
        for row in _rows(study):
            cell = {name: value for name, value in row["cell"].items() if name != "seed"}
            groups.setdefault(tuple(cell.items()), []).append(row["result"])
        for cell, found in sorted(groups.items(), key=str):
            shares = {
                way: _figure([share(r["ways"][way]["calibrated"]) if r["ways"][way] else np.nan for r in found])
                for way in ("zero_shot", "in_context", "finetuned")
            }
            values = {name: _figure([_mean((r["layers"] or {}).get(name)) for r in found]) for name in SERIES}
            how = ", ".join(f"{name} {value}" for name, value in cell)
            rows.append({"block": study.name, "cell": how, "draws": len(found)} | shares | values)
    return _table(rows)


def best_of() -> str:
    """`mr` as the paper did it: the best of all rates and draws, chosen on the queries that are reported."""
    tried = [row["result"]["finetuned"] for row in _rows(BEST)]
    every = [share(found["calibrated"]) for found in tried if found]
    if not every:
        return NOTHING
    found = [row["result"]["finetuned"] for row in _rows(RECOVERY, task="mr")]
    planned = [share(way["calibrated"]) for way in found if way]
    row = {"tried": len(tried), "best": f"{max(every):.3f}", "median": f"{np.median(every):.3f}"}
    return _table([row | {"at the rate of the plan, mean over its draws": _figure(planned)}])


TABLES = (verdict, by_task, accuracies, levels, kendall, others, best_of)


def _table(rows: list[dict]) -> str:
    return markdown(pd.DataFrame(rows)) if rows else NOTHING


def _rows(study: object, **where: object) -> list[dict]:
    """The rows there are; none where nothing is recorded yet."""
    try:
        return study.rows(**where)
    except CourseError:
        return []


def _tried(shown: Callable[[], str]) -> str:
    try:
        return shown()
    except CourseError:
        return NOTHING


def _mean(series: Iterable[float | None] | None) -> float:
    return float("nan") if series is None else float(np.nanmean(np.array(series, dtype=float)))


def _figure(values: Sequence[float]) -> str | None:
    """A mean over draws; None where nothing is defined."""
    values = np.array(values, dtype=float)
    return None if np.isnan(values).all() else minus(f"{np.nanmean(values):.3f}")


def _or_none(found: tuple[float, float, float] | None, digits: int = 3, sign: str = "+") -> str | None:
    """A mean with its interval, where one draw gives any."""
    if found is None or np.isnan(found[0]):
        return None
    return minus(f"{found[0]:{sign}.{digits}f}") if np.isnan(found[1]) else with_interval(found, digits, sign)


def _pvalue(p: float) -> str | None:
    return None if np.isnan(p) else f"{p:.4f}"


def main() -> int:
    """Print every table, or those named, of the default model or another."""
    parser = argparse.ArgumentParser("python -m helpers.experiments.evidence.verdict", description="print the tables")
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(t.__name__ for t in TABLES)}")
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME", help="as it was recorded")
    asked = parser.parse_args()
    known = [table.__name__ for table in TABLES]
    if unknown := [name for name in asked.tables if name not in known]:
        parser.error(f"there is no table {unknown[0]!r}; there are: {', '.join(known)}")
    if asked.model not in (with_rows := {line["from"]["model"] for line in CORE.everything()}):
        parser.error(f"nothing is recorded of {asked.model!r} in {CORE.path}; of: {', '.join(with_rows) or 'none'}")
    with warnings.catch_warnings(), of_model(asked.model):
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing is nan
        for table in TABLES:
            if not asked.tables or table.__name__ in asked.tables:
                print(f"\n**{table.__doc__.strip()}**\n\n{_tried(table)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
