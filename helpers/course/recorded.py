"""The verbs of recorded runs: what is missing, measured; all of it anew; one cell, to see whether it still agrees."""

import argparse
import functools
import os
import subprocess
import sys
import warnings
from contextlib import ExitStack
from pathlib import Path

from helpers import DEFAULT_MODEL, gpt, plots
from helpers.experiments import agreement, attention_cost, catalogue, forecast, lines, small, study
from helpers.support import ROOT, CourseError, cache

SCRIPTS = ("microscope", "homework")  # in tests/benchmarks: they print, and record nothing


def main(rest: list[str]) -> int:
    """`python -m helpers results [options] [NAME …]`."""
    asked = _parser().parse_args(rest)
    found = _small(asked) if small.SMALL else catalogue.chosen(asked.names)
    if asked.model != DEFAULT_MODEL:
        found = _about_a_gpt(found, asked.names)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"Note: {message}", file=sys.stderr)
        if asked.dry_run:
            print(forecast.forecast(found, asked.model))
        elif asked.keep:
            print(forecast.apart(found, asked.model))
        elif asked.agree:
            for each in found:
                with study.of_model(asked.model):
                    if each.name not in catalogue.COSTS and (each.name in asked.names or each.counting()):
                        agreement.agree(each, asked.model)
        else:
            _record(found, asked)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m helpers results", description="measure what is not recorded yet")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join((*catalogue.STUDIES, *catalogue.GROUPS))}; all without any",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--again", action="store_true", help="measure every cell anew, and replace what was recorded")
    how.add_argument("--agree", action="store_true", help="measure one cell; if it agrees, older lines stand for it")
    how.add_argument("--dry-run", action="store_true", help="measure nothing: cells, missing, hours and memory")
    how.add_argument("--keep", action="store_true", help="measure nothing: lines of another plan, model or code, apart")
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="let a Dask cluster measure, as tcp://HOST:8786, where `dask scheduler` runs; one worker a device, in the "
        "course's folder and in the same state of it: CUDA_VISIBLE_DEVICES=0 dask worker ADDRESS --nthreads 1",
    )
    known = ", ".join(gpt.KNOWN)
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, metavar="NAME", help=f"record with another GPT: {known}, a folder, a hub name"
    )
    return parser


def _small(asked: argparse.Namespace) -> list[study.Study]:
    """What is asked for of the studies that have a small grid. Raises CourseError for others."""
    small.check()
    found = catalogue.chosen(asked.names or ["evidence"])
    if others := [each.name for each in found if each.name not in catalogue.GROUPS["evidence"]]:
        raise CourseError(f"With COURSE_SMALL there is no {', '.join(others)}.\nUnset it, or name `evidence`.")
    if asked.agree:
        raise CourseError("With COURSE_SMALL nothing can be compared with what is recorded.\nUnset it for --agree.")
    return found


def _about_a_gpt(found: list[study.Study], names: list[str]) -> list[study.Study]:
    """Of these studies those for which the model makes a difference. Raises CourseError where others were named."""
    if others := [each.name for each in found if not each.real and each.name in names]:
        raise CourseError(f"{', '.join(others)}: not about a GPT, so --model changes nothing.\nRun it without --model.")
    return [each for each in found if each.real]


def _record(found: list[study.Study], asked: argparse.Namespace) -> None:
    """Measure what is missing, or all anew; here or on a cluster."""
    with ExitStack() as stack:
        client = None
        if asked.scheduler:
            from helpers.experiments import cluster

            client = stack.enter_context(cluster.connected(asked.scheduler))
        for each in found:
            measure = functools.partial(cluster.measured, client, each, asked.model) if client else None
            (again if asked.again else study.Study.record)(each, asked.model, measure)


def bench(rest: list[str]) -> int:
    """Time everything that is named, or all of it, and replace what was recorded."""
    known = (*catalogue.COSTS, *SCRIPTS)
    if unknown := [name for name in rest if name not in known]:
        raise CourseError(f"There is no benchmark called {unknown[0]!r}.\nThere are: {', '.join(known)}")
    for name in rest or known:
        if name in SCRIPTS:
            script = ROOT / "tests" / "benchmarks" / f"{name}.py"
            subprocess.run([sys.executable, script], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
        else:
            again(catalogue.find(name))
    return 0


def again(found: study.Study, model: str = DEFAULT_MODEL, measure: study.Measure | None = None) -> None:
    """Measure a study anew with a model; what was recorded stays until all of it is measured."""
    kept = found.path.with_suffix(f".{cache.digest(model)[:8]}.before" if found.real else ".before")
    with lines.held(found.path):
        if others := [path.name for path in found.path.parent.glob(f"{found.name}.*before") if path != kept]:
            raise CourseError(
                f"{found.name}: --again with another model was stopped, and its former lines lie in {others[0]}.\n"
                "Run that command again first: it goes on."
            )
        if found.path.exists() and not kept.exists():  # otherwise a run that was stopped goes on
            found.path.rename(kept)
        if found.real and not found.path.exists():
            _keep_other_models(kept, found.path, model)
        try:
            found.record(model, measure)
        except BaseException:
            kept_there = f"The former lines are kept in {kept.name}; the" if kept.exists() else "The"
            print(f"{found.name}: stopped. {kept_there} same command goes on.", file=sys.stderr)
            raise
        kept.unlink(missing_ok=True)
    if found is attention_cost.ATTENTION:
        draw_attention()


def _keep_other_models(kept: Path, path: Path, model: str) -> None:
    """The new file starts with what is not measured anew."""
    others = [line for line in lines.read(kept) if line["from"].get("model") != model]
    with cache.whole(path) as scratch:
        scratch.touch()
        for line in others:
            lines.append(scratch, line)


def draw_attention() -> None:
    """The README's picture of what attention costs."""
    title = "Measured: softmax and the table bend up, the others hardly"
    picture = study.FOLDER / "attention.png"
    lengths = attention_cost.lengths()
    plots.lines(lengths, "tokens n", "seconds a call, forward", title, log="xy", save=picture)
