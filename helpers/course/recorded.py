"""The verbs of recorded runs: measure what is missing, all of it anew, or one cell to see whether it still agrees."""

import argparse
import os
import subprocess
import sys

from helpers import plots
from helpers.experiments import attention_cost, catalogue, study
from helpers.support import ROOT, CourseError

MICROSCOPE = "microscope"  # a time that is printed, not recorded


def main(rest: list[str]) -> int:
    """`python -m helpers results [--again | --agree] [NAME …]`."""
    parser = argparse.ArgumentParser("python -m helpers results", description="measure what is not recorded yet")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(catalogue.STUDIES)}; all without any")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--again", action="store_true", help="measure every cell anew, and replace what was recorded")
    how.add_argument("--agree", action="store_true", help="measure one cell; if it agrees, older lines stand for it")
    asked = parser.parse_args(rest)
    for found in [catalogue.find(name) for name in asked.names] or catalogue.STUDIES.values():
        if asked.agree and found.name not in catalogue.COSTS:
            study.agree(found)
        elif asked.again:
            again(found)
        elif not asked.agree:
            found.record()
    return 0


def bench(rest: list[str]) -> int:
    """Time everything that is named, or all of it, and replace what was recorded."""
    known = (*catalogue.COSTS, MICROSCOPE)
    if unknown := [name for name in rest if name not in known]:
        raise CourseError(f"There is no benchmark called {unknown[0]!r}.\nThere are: {', '.join(known)}")
    for name in rest or known:
        if name == MICROSCOPE:
            script = ROOT / "tests" / "benchmarks" / "microscope.py"
            subprocess.run([sys.executable, script], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
        else:
            again(catalogue.find(name))
    return 0


def again(found: study.Study) -> None:
    """Measure a study anew; what was recorded stays until all of it is measured."""
    kept = found.path.with_suffix(".before")
    if found.path.exists() and not kept.exists():  # otherwise a run that was stopped goes on
        found.path.rename(kept)
    try:
        found.record()
    except BaseException:
        print(
            f"{found.name}: stopped. The former lines are kept in {kept.name}; the same command goes on.",
            file=sys.stderr,
        )
        raise
    kept.unlink(missing_ok=True)
    if found is attention_cost.ATTENTION:
        draw_attention()


def draw_attention() -> None:
    """The README's picture of what attention costs."""
    title = "Measured: softmax and the table bend up, the others hardly"
    picture = study.FOLDER / "attention.png"
    lengths = attention_cost.lengths()
    plots.lines(lengths, "tokens n", "seconds a call, forward", title, log="xy", save=picture)
