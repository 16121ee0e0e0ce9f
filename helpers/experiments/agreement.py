"""Whether lines of older code still stand: a cell measured again, and what counts as the same."""

import datetime
import json
import os

import numpy as np

from helpers import DEFAULT_MODEL
from helpers.experiments import study
from helpers.experiments.study import Study, older
from helpers.support import ROOT, CourseError, cache


def agree(found: Study, model: str = DEFAULT_MODEL) -> None:
    """Measure a cell of every older code again; where it agrees, write down that its lines stand for today's code.

    Raises CourseError where it does not: then the code changed the numbers, and they are to be recorded again.
    """
    rows, listed = found._rows({}, lambda differs_in: differs_in in ("", "code")), older()
    steady = found.steady if -len(rows) <= found.steady < len(rows) else 0
    for row in _one_of_each_code([rows[steady], *rows]):
        code = str(row["from"].get("code"))
        if code == found.code():
            continue
        with cache.bypassed():
            again = found.measured(row["cell"], model)
        if difference := differs(row["result"], again["result"], found):
            raise CourseError(
                f"{found.name}: measured again, {row['cell']} differs: {difference}.\n"
                f"The code has changed the numbers: delete {os.path.relpath(found.path, ROOT)} and run {found.command}"
            )
        compared = {"compared": [row["cell"], datetime.date.today().isoformat()], "agrees with": found.code()}
        why = listed.get(found.name, {}).get(code, {}).get("why", "the code was moved or reworded since")
        listed.setdefault(found.name, {})[code] = compared | {"why": why}
        print(f"{found.name}: {row['cell']} agrees; lines of code {code} stand for code {found.code()}")
    if listed != older():
        with cache.whole(study.OLDER) as scratch:
            scratch.write_text(json.dumps(listed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def differs(recorded: object, again: object, found: Study, path: str = "") -> str:
    """Where two results differ by more than machines do, in words; "" where they agree.

    Of marks ("0110…") one may differ, for a near tie falls either way; of numbers the study's
    tolerance. What rounding decides is not compared.
    """
    if isinstance(recorded, dict):
        pairs = [(recorded[key], again.get(key), f"{path} {key}") for key in recorded if key not in found.rounded]
    elif isinstance(recorded, (list, tuple)):
        pairs = [(a, b, f"{path}[{i}]") for i, (a, b) in enumerate(zip(recorded, again, strict=True))]
    elif isinstance(recorded, str):
        apart = sum(a != b for a, b in zip(recorded, str(again), strict=False))
        return "" if apart <= 1 else f"{path.strip()}: {apart} of {len(recorded)} marks"
    elif recorded is None or again is None:
        return "" if recorded is again else f"{path.strip()}: {recorded} against {again}"
    else:
        near = np.isclose(recorded, again, rtol=found.tolerance, atol=found.tolerance)
        return "" if near else f"{path.strip()}: {recorded} against {again}"
    return next((apart for a, b, where in pairs if (apart := differs(a, b, found, where))), "")


def _one_of_each_code(rows: list[dict]) -> list[dict]:
    """The first row of every code."""
    return list({row["from"].get("code"): row for row in reversed(rows)}.values())
