"""All studies by name, and how near a cell measured again must come to the recorded one.

python -m helpers results [NAME …]            measure what is not recorded yet
python -m helpers results --again NAME …      measure all of it anew (benchmarks: other machines, other times)
python -m helpers results --agree NAME …      measure one cell again; if it agrees, older lines stand for today's code
"""

import difflib
import json
import sys

import numpy as np

from helpers.experiments import (
    accuracy,
    attention_cost,
    depth,
    evaluation_cost,
    inside,
    momentum,
    momentum_cost,
    one_step,
    patching,
    pretrained,
)
from helpers.experiments.study import Study
from helpers.support import CourseError

MEASURED = (accuracy, inside, one_step, patching, pretrained, momentum, depth)
TIMED = (attention_cost, momentum_cost, evaluation_cost)  # seconds and bytes: another run gives others
STUDIES = {study.name: study for module in (*MEASURED, *TIMED) for study in module.STUDIES}
COSTS = tuple(study.name for module in TIMED for study in module.STUDIES)


def find(name: str) -> Study:
    """A study by name; CourseError with the nearest names where there is none."""
    if name not in STUDIES:
        near = difflib.get_close_matches(name, STUDIES, n=3, cutoff=0.4) or sorted(STUDIES)
        raise CourseError(f"There is no study called {name!r}.\nNearest: {', '.join(near)}")
    return STUDIES[name]


def differs(recorded: object, again: object, study: Study, path: str = "") -> str:
    """Where two results differ by more than machines do, in words; "" where they agree.

    Of marks ("0110…") one may differ, for a near tie falls either way; of numbers the study's
    tolerance. What rounding decides is not compared.
    """
    if isinstance(recorded, dict):
        pairs = [(recorded[key], again.get(key), f"{path} {key}") for key in recorded if key not in study.rounded]
    elif isinstance(recorded, (list, tuple)):
        pairs = [(a, b, f"{path}[{i}]") for i, (a, b) in enumerate(zip(recorded, again, strict=True))]
    elif isinstance(recorded, str):
        apart = sum(a != b for a, b in zip(recorded, str(again), strict=False))
        return "" if apart <= 1 else f"{path.strip()}: {apart} of {len(recorded)} marks"
    elif recorded is None or again is None:
        return "" if recorded is again else f"{path.strip()}: {recorded} against {again}"
    else:
        near = np.isclose(recorded, again, rtol=study.tolerance, atol=study.tolerance)
        return "" if near else f"{path.strip()}: {recorded} against {again}"
    return next((found for a, b, where in pairs if (found := differs(a, b, study, where))), "")


if __name__ == "__main__":  # one cell, in a process of its own
    print(json.dumps(find(sys.argv[1]).measured(json.loads(sys.argv[2])), ensure_ascii=False))
