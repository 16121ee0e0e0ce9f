"""Small studies for the tests of the runner, which other processes import by name."""

import os
import signal
from pathlib import Path

from helpers.experiments.study import Study


def folder():
    return Path(os.environ["SQUARES"])


def cells():
    """Twelve; and four more once those are recorded."""
    done = len(SQUARES.everything())
    return [{"number": number} for number in range(16 if done >= 12 else 12)]


def square(number):
    """The process that is the first to come to 7 is killed there, as a machine that loses its power."""
    if number == 7:
        try:
            with (folder() / "victim").open("x") as out:
                out.write(str(os.getpid()))
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    return {"value": number**2, "about": {"process": os.getpid()}}


def wait(number):
    """Says that it has begun, and waits for leave."""
    if number == 0:
        print("begun", flush=True)
        with (folder() / "leave").open() as leave:
            leave.read()
    return {"value": number}


def fail(number):
    if number == 2:
        raise ZeroDivisionError("as asked")
    return {"value": number}


def parameters(model, layer):
    return {"value": model.network.num_parameters() + layer}


def five():
    return [{"number": number} for number in range(5)]


SQUARES = Study("squares", cells, square, ())
WAITING = Study("waiting", five, wait, ())
FAILING = Study("failing", five, fail, ())
PLANNED = Study("planned", five, fail, (), planned=True)
SIZES = Study("sizes", lambda: [{"layer": layer} for layer in range(2)], parameters, (), real=True)
STUDIES = {study.name: study for study in (SQUARES, WAITING, FAILING, PLANNED, SIZES)}


def dask_setup(worker):
    """What `dask worker --preload` calls: from then on the catalogue of that process has these studies."""
    from helpers.experiments import catalogue

    catalogue.STUDIES.update(STUDIES)
