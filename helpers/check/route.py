"""The way through the course at the top of every notebook: where one is, where the others are, what is done in each."""

import html
import os
from pathlib import Path

from helpers.check.engine import EXERCISES
from helpers.support import ROOT, CourseError, progress
from helpers.support.jupyter import show

ROUTE = {  # number: the notebook's name on disk and on the page
    "00": ("start_here", "start here"),
    "01": ("linear_attention", "linear attention"),
    "02": ("dual_form", "dual form"),
    "03": ("meta_gradients", "meta-gradients"),
    "04": ("icl_vs_finetuning", "ICL vs finetuning"),
    "05": ("controls", "controls"),
    "06": ("momentum_attention", "momentum attention"),
}
HERE, DONE, OPEN = (21, 101, 192), (46, 125, 50), (117, 117, 117)  # of boxes: an exercise, passed, not yet
STOP = (
    "display: inline-block; vertical-align: top; box-sizing: border-box; width: 88px; min-height: 92px; "
    "margin: 0 4px 6px 0; padding: 4px"
)


class Route:
    """Seven stops as a row that wraps, each a link to its notebook; in a terminal one line."""

    def __init__(self, here: str) -> None:
        kept = progress.read()["exercises"]
        self.here = here
        self.passed = dict.fromkeys(ROUTE, 0)
        self.asked = dict(self.passed)
        for exercise in EXERCISES.values():
            notebook = exercise.number.split(".")[0].zfill(2)
            self.asked[notebook] += 1
            self.passed[notebook] += kept.get(exercise.number, {}).get("best") == "passed"

    def __repr__(self) -> str:
        stops = (f"{number} {name} ({self._state(number)})" for number, (_, name) in ROUTE.items())
        return "The route: " + ", ".join(stop.replace(" ()", "") for stop in stops)

    def _repr_html_(self) -> str:
        return f'<div style="max-width: 46em">{"".join(map(self._stop, ROUTE))}</div>'

    def _state(self, number: str) -> str:
        """Whether one is there, and how many of its exercises are passed."""
        passed, asked = self.passed[number], self.asked[number]
        done = f"{passed} of {asked} ✓" if passed else f"{asked} exercises" if asked else ""
        where = "here" if number == self.here else "" if _path(number).exists() else "planned"
        return ", ".join(filter(None, (where, done)))

    def _stop(self, number: str) -> str:
        name = f"<b>{number}</b><br>{html.escape(ROUTE[number][1])}"
        whole = self.asked[number] and self.passed[number] == self.asked[number]
        red, green, blue = HERE if number == self.here else DONE if whole else OPEN
        there = _path(number).exists()
        line, faint = ("solid", "") if there else ("dashed", "; opacity: 0.75")
        look = f"border-top: 5px {line} rgb({red}, {green}, {blue}); line-height: 1.3{faint}"
        if number == self.here:
            look += f"; background-color: rgba({red}, {green}, {blue}, 0.12)"
        elif there and "COLAB_RELEASE_TAG" not in os.environ:  # Colab shows outputs at another address
            name = f'<a href="{_path(number).name}">{name}</a>'
        state = self._state(number).replace(", ", "<br>")
        return f'<div style="{STOP}; {look}">{name}<div style="font-size: 0.85em; opacity: 0.85">{state}</div></div>'


def _path(number: str) -> Path:
    """The student's notebook; the solved one has the same name in a folder of its own."""
    return ROOT / "notebooks" / f"{number}_{ROUTE[number][0]}.ipynb"


def route(here: str) -> None:
    """Show the way through the course from notebook `here`: "00" to "06". Raises CourseError for another one."""
    if here not in ROUTE:
        raise CourseError(f"The course has no notebook {here!r}.\nThere are: {', '.join(ROUTE)}.")
    show(Route(here))
