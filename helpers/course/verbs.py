"""python -m helpers VERB: what every make target calls. Standard library only until the environment exists."""

from __future__ import annotations

import argparse
import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from helpers.course import layout, setup
from helpers.support import ROOT, CourseError, replace_unprintable

OUTSIDE = {}  # verbs that any Python can run
INSIDE = {}  # verbs that run in the course's environment


def verb(shelf: dict) -> Callable[[Callable], Callable]:
    """Put a function on a shelf of verbs under its name; setup_ is called setup, gpu_check gpu-check."""

    def keep(function: Callable) -> Callable:
        shelf[function.__name__.rstrip("_").replace("_", "-")] = function
        return function

    return keep


@verb(OUTSIDE)
def setup_(rest: list[str] | None = None) -> int:
    """environment, model and sentences: everything, once [--verbose: pip's own output]"""
    if rest in (["--verbose"], ["-v"]):
        os.environ["COURSE_VERBOSE"] = "1"
    elif rest:
        raise CourseError(f"`setup` takes only --verbose; it got {' '.join(rest)}.\nRun: python -m helpers setup")
    setup.environment()
    status = setup.run("assets")
    if rest is not None and not status:
        print("Everything is here. Start with: make lab (or python -m helpers lab)")
    return status


@verb(OUTSIDE)
def hosted() -> int:
    """in Binder's image: add what the notebooks lack, replace nothing that they use"""
    from helpers.course import hosted

    return hosted.image()


@verb(OUTSIDE)
def lab(rest: list[str]) -> int:
    """set-up, then JupyterLab on notebook 00"""
    if setup_():
        return 1
    landing = "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb"
    command = [setup.python(), "-m", "jupyterlab", f"--ServerApp.root_dir={ROOT}", landing]
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # in a container, where there is nobody else
        command.append("--allow-root")
    return _until_it_ends(subprocess.Popen([*command, *rest], cwd=ROOT, env=layout.environment()))


def _until_it_ends(process: subprocess.Popen) -> int:
    """Wait for a program that answers Ctrl-C itself: JupyterLab asks whether to shut down, and may go on."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


@verb(OUTSIDE)
def test(rest: list[str]) -> int:
    """set-up, then all tests"""
    return setup_() or setup.run("pytest", *rest)


@verb(OUTSIDE)
def quick(rest: list[str]) -> int:
    """lint and the tests that need no real model, notebook, browser or grader"""
    slow = " and ".join(f"not {mark}" for mark in ("real", "notebook", "browser", "grading"))
    return setup_() or setup.run("lint") or setup.run("pytest", "-m", slow, *rest)


@verb(INSIDE)
def assets() -> int:
    """fetch and verify model and sentences"""
    from helpers.course import assets

    assets.ensure()
    return 0


@verb(INSIDE)
def bundle(rest: list[str]) -> int:
    """one archive for a class without network: course, packages, model and texts [FOLDER]"""
    from helpers.course import bundle

    return bundle.main(rest)


@verb(INSIDE)
def doctor() -> int:
    """what this machine has, and what to do where something is missing"""
    from helpers.course import doctor

    return doctor.main()


@verb(INSIDE)
def build(rest: list[str]) -> int:
    """notebooks from their sources; the solved ones are executed [names]"""
    from helpers.course import build

    return build.main(rest)


@verb(INSIDE)
def course() -> int:
    """execute every solved notebook; which passed, and how long each took"""
    from helpers.course import build

    return build.course()


@verb(INSIDE)
def publish(rest: list[str]) -> int:
    """write the repository's address everywhere, or take it back [owner/name | none]"""
    from helpers.course import publish

    return publish.main(rest)


@verb(INSIDE)
def book() -> int:
    """a web site of the executed notebooks, in build/book"""
    from helpers.course import book

    return book.main()


@verb(INSIDE)
def lint() -> int:
    """ruff, and what is wrong with the notebooks"""
    from helpers.course import lint

    return lint.main()


@verb(INSIDE)
def results(rest: list[str]) -> int:
    """measure what is not recorded yet, here or on a cluster [--help] [names]"""
    from helpers.course import recorded

    return recorded.main(rest)


@verb(INSIDE)
def bench(rest: list[str]) -> int:
    """times beside other ways to do it, measured anew [attention public momentum speed scale microscope homework]"""
    from helpers.course import recorded

    return recorded.bench(rest)


@verb(INSIDE)
def gpu_check(rest: list[str]) -> int:
    """notebooks 00 and 04 on this machine's GPU, and a report to send back [models]"""
    from helpers.course import gpu_check

    return gpu_check.main(rest)


@verb(INSIDE)
def homework(rest: list[str]) -> int:
    """what students get and what grades it, from homework.yaml: for all notebooks or some [01 02]"""
    from helpers.homework import release

    return release.main(rest)


@verb(INSIDE)
def grade(rest: list[str]) -> int:
    """mark and return what was handed in, or one's own mark again [FOLDER | --mine FILE --key KEY]"""
    from helpers.homework import grade

    return grade.main(rest)


@verb(INSIDE)
def progress(rest: list[str]) -> int:
    """which exercises are done; takes in another progress file [FILE]"""
    from helpers.check import report
    from helpers.support import progress

    for file in rest:
        progress.merge(Path(file))
    print(report.progress_table())
    return 0


@verb(INSIDE)
def lock() -> int:
    """requirements.lock from requirements.txt"""
    setup.lock()
    return 0


@verb(INSIDE)
def pytest(rest: list[str]) -> int:
    """pytest in the course's environment [its options]"""
    return subprocess.run([sys.executable, "-m", "pytest", *rest], cwd=ROOT).returncode


def _call(name: str, function: Callable, rest: list[str]) -> int:
    """Call a verb; raises CourseError where it was given arguments and takes none."""
    if inspect.signature(function).parameters:
        return function(rest)
    if rest:
        raise CourseError(f"`{name}` takes no arguments; it got {' '.join(rest)}.\nRun: python -m helpers {name}")
    return function()


def main() -> int:
    """Run a verb where it belongs; a CourseError is two lines, not a traceback."""
    replace_unprintable()
    verbs = {**OUTSIDE, **INSIDE}
    listing = "\n".join(f"  {name:9} {function.__doc__}" for name, function in verbs.items())
    parser = argparse.ArgumentParser(
        "python -m helpers", description=f"verbs:\n{listing}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=verbs, metavar="VERB")
    asked, rest = parser.parse_known_args()
    try:
        if asked.verb in INSIDE and Path(sys.executable) != setup.python():
            setup.environment()
            return setup.run(asked.verb, *rest)
        return _call(asked.verb, verbs[asked.verb], rest)
    except CourseError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if setup.ready():
            raise
        print(f"\n{error}: set-up has not ended here.\nRun: python -m helpers setup", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. What was finished stays; the same command goes on from there.", file=sys.stderr)
        return 130
