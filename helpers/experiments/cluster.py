"""Cells measured by the workers of a Dask cluster: `python -m helpers results --scheduler ADDRESS NAME`.

Dask hands them out, and hands them out again where a worker is lost. Rows are written by the one process that asked for
them; a row says on which device and machine it was measured.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from distributed import Client, as_completed
from tqdm.auto import tqdm

from helpers.experiments import catalogue
from helpers.experiments.study import Study
from helpers.support import CourseError
from helpers.support.scheduler import WORKER, connect

RETRIES = 2  # of a cell that raised an error; Dask's own limit, 3, holds for workers that a cell took with it
_ONE_CELL = threading.Lock()  # finetuning changes the weights of the one model that all threads of a worker share


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """The cluster behind this scheduler. Raises CourseError where none answers."""
    with connect(address) as client:
        if not client.scheduler_info()["workers"]:
            print(f"No worker is there yet. One a device, in the course's folder: {WORKER.format(address=address)}")
        yield client


def measured(client: Client, study: Study, model: str, cells: Iterable[dict]) -> Iterator[dict]:
    """The lines of these cells, as they are done. Raises CourseError at the end, where cells failed."""
    waiting = {client.submit(measure, study.name, cell, model, pure=False, retries=RETRIES): cell for cell in cells}
    failed, whole = [], len(waiting)
    for future, found in as_completed(list(waiting), with_results=True, raise_errors=False):
        cell, status = waiting.pop(future), future.status
        if status == "finished":
            yield found
        elif status == "error":
            failed.append(f"{cell}: {type(found[1]).__name__}: {found[1]}")
            tqdm.write(f"{study.name}: not measured: {failed[-1]}")
        else:
            raise _lost(study)
    if failed:
        raise CourseError(
            f"{study.name}: {len(failed)} of {whole} cells could not be measured; the first: {failed[0]}\n"
            "All others are recorded. See to the cause; the same command then measures what is missing."
        )


def measure(name: str, cell: dict, model: str) -> dict:
    """One line, on a worker: by its own copy of the course, one cell at a time."""
    with _ONE_CELL:
        return catalogue.find(name).measured(cell, model)


def _lost(study: Study) -> CourseError:
    return CourseError(
        f"{study.name}: the scheduler was lost. All cells that were done are recorded.\n"
        "Start it and its workers again; the same command goes on."
    )
