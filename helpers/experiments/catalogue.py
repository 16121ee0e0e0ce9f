"""All studies by name.

python -m helpers results [NAME …]            measure what is not recorded yet
python -m helpers results --again NAME …      measure all of it anew (benchmarks: other machines, other times)
python -m helpers results --agree NAME …      measure one cell again; if it agrees, older lines stand for today's code
python -m helpers results --dry-run NAME …    measure nothing: cells, missing, hours, memory
python -m helpers results --keep NAME …       measure nothing: how many lines are of another plan, model or code
--scheduler ADDRESS                           a Dask cluster measures; --model NAME: with another GPT

`evidence` stands for all studies of the plan; with COURSE_SMALL=FOLDER in the environment they are small, to try them.
"""

import difflib
import json
import sys

from helpers.experiments import (
    accuracy,
    attention_cost,
    depth,
    evaluation_cost,
    generation_cost,
    inside,
    momentum,
    momentum_cost,
    one_step,
    patching,
    preconditioning,
    pretrained,
    shots,
    transfer,
)
from helpers.experiments.evidence import core, known, orders, others, paper, rates, recovery, vectors
from helpers.experiments.study import Study
from helpers.support import CourseError

MEASURED = (
    accuracy,
    inside,
    one_step,
    preconditioning,
    patching,
    transfer,
    pretrained,
    momentum,
    depth,
    shots,
)
EVIDENCE = (rates, core, recovery, others, orders, vectors, known, paper)  # as planned; the paper on its own models
TIMED = (attention_cost, generation_cost, momentum_cost, evaluation_cost)  # seconds and bytes: another run gives others
STUDIES = {study.name: study for module in (*MEASURED, *EVIDENCE, *TIMED) for study in module.STUDIES}
GROUPS = {"evidence": tuple(study.name for module in EVIDENCE for study in module.STUDIES)}
COSTS = tuple(study.name for module in TIMED for study in module.STUDIES)


def find(name: str) -> Study:
    """A study by name; CourseError with the nearest names where there is none."""
    if name not in STUDIES:
        near = difflib.get_close_matches(name, [*STUDIES, *GROUPS], n=3, cutoff=0.4) or sorted(STUDIES)
        raise CourseError(f"There is no study called {name!r}.\nNearest: {', '.join(near)}")
    return STUDIES[name]


def chosen(names: list[str]) -> list[Study]:
    """The studies of these names and groups; all without any."""
    every = [found for name in names for found in GROUPS.get(name, (name,))]
    return [find(name) for name in dict.fromkeys(every)] or list(STUDIES.values())


if __name__ == "__main__":  # one cell, in a process of its own
    name, cell, model = sys.argv[1:]
    print(json.dumps(find(name).measured_here(json.loads(cell), model), ensure_ascii=False))
