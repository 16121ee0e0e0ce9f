"""How long one redraw of the microscope takes: from a moved slider to a new page.

    python -m helpers bench microscope

50 redraws of the toy head and of a head of the real GPT, its demonstrations slider going up and down. Prints only.
"""

import time

import numpy as np

from helpers import gpt
from helpers.experiments.study import machine
from helpers.support import formats
from helpers.widgets import Head, gpt_head, toy_head
from helpers.widgets.microscope import Microscope

REDRAWS = 50
LINES = ["fight -> fought", "see -> saw", "take -> took", "sing -> sang", "walk -> walked", "give -> gave", "go ->"]


def redraws(name: str, head: Head) -> list[float]:
    """Seconds of each redraw, after a first one."""
    most, seconds = len(head.demos), []
    scope = Microscope({name: head}, name, most, list(head.queries)[-1])
    for turn in range(REDRAWS):
        scope.reading.value = "relaxed" if turn < REDRAWS / 2 else "softmax"
        before, start = scope.page.value, time.perf_counter()
        scope.demos.value = abs((turn + 1) % (2 * most) - most)
        seconds.append(time.perf_counter() - start)
        assert scope.page.value != before
    return seconds


def main() -> None:
    """Median and worst redraw of each head."""
    print(machine("cpu"))
    for name, head in (("toy", toy_head()), ("GPT", gpt_head(gpt.load(), LINES, 12, 3))):
        found = redraws(name, head)
        median, worst = formats.seconds(float(np.median(found))), formats.seconds(max(found))
        print(f"{name}: {REDRAWS} redraws, median {median}, worst {worst}")


if __name__ == "__main__":
    main()
