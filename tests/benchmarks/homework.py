"""How fast, in how much memory, and how rightly a class's homework is graded.

    python -m helpers bench homework

200 notebooks whose marks are known beforehand are made, handed in and graded from nothing, with nbgrader's gradebook
and feedback, in a folder of their own. Prints only; 1 if a single mark is another than it must be.
"""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import psutil

from helpers.experiments.study import machine
from helpers.homework import grade, kept, release, settings

sys.path.append(str(Path(__file__).parents[1] / "homework"))

from classroom import hand_in


def main(count: int = 200, notebook: str = "01") -> int:
    """Make the class, grade it, compare."""
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["COURSE_HOMEWORK"] = str(Path(scratch, "homework"))
        release.main([notebook])
        assignment = settings.load().assignment(notebook)
        blank = nbformat.read(settings.folder() / "release" / notebook / f"{assignment.notebook_name}.ipynb", 4)
        handed_in = Path(scratch, "handed in")
        whole = hand_in(blank, assignment, count, handed_in)
        start, peak = time.perf_counter(), Peak()
        with peak:
            grade.main([str(handed_in), "--notebook", notebook])
        seconds, key = time.perf_counter() - start, settings.key(notebook)
        apart = [
            line
            for made in whole
            for line in made.disagreements(kept.of(made.file(handed_in).read_bytes(), made.id, assignment, key))
        ]
    print("\n".join([machine("cpu"), *apart]))
    print(f"{count} notebooks in {seconds:.0f} s: {60 * count / seconds:.0f} a minute, with gradebook and pages")
    print(f"at most {peak.bytes / 1e9:.1f} GB in all processes; {len(apart)} marks are not what they must be")
    return int(bool(apart))


class Peak(threading.Thread):
    """The most memory that this process and its children have at one time, looked at twice a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes, self._over = 0, threading.Event()

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(0.5):
            own = psutil.Process()
            self.bytes = max(self.bytes, sum(map(shared_out, [own, *own.children(recursive=True)])))


def shared_out(process: psutil.Process) -> int:
    """A process's memory; what several share is counted once in all."""
    try:
        full = process.memory_full_info()
    except psutil.Error:
        return 0
    return getattr(full, "pss", full.uss)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2]), *sys.argv[2:]))
