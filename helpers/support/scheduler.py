"""A Dask cluster, by the address of its scheduler: what experiments and grading have in common."""

import logging

from distributed import Client

from helpers.support import CourseError

PATIENCE = 5  # seconds, until a scheduler has to answer
WORKER = "dask worker {address} --nthreads 1"


def connect(address: str) -> Client:
    """A client of the cluster, for the caller to close. Raises CourseError where no scheduler answers."""
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # what it logs of a lost scheduler is said here
    try:
        return Client(address, timeout=PATIENCE)
    except Exception as error:  # what Dask raises depends on what answers there
        reason = f" ({error})" if isinstance(error, (OSError, ValueError)) else ""
        raise CourseError(
            f"No Dask scheduler answers at {address}{reason}.\nStart one with `dask scheduler`, and in the course's "
            f"folder, on every device, a worker: {WORKER.format(address='ADDRESS')}"
        ) from error
