"""What a reader sees of a verdict: a box in Jupyter, plain text elsewhere."""

import html
import sys
from collections.abc import Callable

from helpers.check import run
from helpers.check.engine import NOT_ATTEMPTED, CheckFailed, Verdict, verdict
from helpers.support import progress
from helpers.support.jupyter import show

MARKS = {
    "passed": ("✓", "success"),
    "not attempted": ("○", "info"),
    "failed": ("✗", "error"),
    "crashed": ("✗", "error"),
}


class Shown:
    """A verdict as Jupyter and as a terminal show it."""

    def __init__(self, found: Verdict) -> None:
        self.mark, self.colour = MARKS[found.status]
        self.title = f"{found.exercise.number} {found.exercise.name}: {found.status}"
        self.text = found.message

    def __repr__(self) -> str:
        return f"{self.mark} {self.title}. {self.text}"

    def _repr_html_(self) -> str:
        line = f"border-left: 4px solid var(--jp-{self.colour}-color1, gray); padding: 2px 10px"
        return f'<div style="{line}"><b>{self.mark} {html.escape(self.title)}</b><br>{html.escape(self.text)}</div>'


def check(fn: Callable, name: str | None = None) -> None:
    """Try an attempt, say what became of it, and keep it in the progress file.

    Raises CheckFailed where it is wrong, and the attempt's own exception where it raised one; a stub is left alone.
    """
    if not run.can_stop():
        print("(An endless loop can't be stopped here: if this cell never ends, interrupt the kernel.)")
    found = verdict(fn, name)
    if found.printed:
        sys.stdout.write(found.printed)
    progress.note(found)
    if found.status == "crashed":
        raise found.error
    if found.status == "failed":
        raise CheckFailed(f"{found.exercise.number} {found.exercise.name}: {found.message}\n  Claim: {found.claim}.")
    show(Shown(found))


def break_it(wrong: Callable, right: Callable, inputs: Callable) -> None:
    """Has the reader found inputs on which `wrong` differs from `right`? `inputs()` returns them.

    Raises CheckFailed where the two agree; a stub is left alone.
    """
    try:
        found = inputs()
    except NotImplementedError:
        print(f"○ {NOT_ATTEMPTED}")
        return
    try:
        one, other = (f(*(x.double() for x in found)) for f in (wrong, right))
    except Exception as error:
        raise CheckFailed(f"These inputs can't be used: {str(error).splitlines()[0]}") from None
    apart, size = (one - other).abs().max().item(), other.abs().max().item()
    if apart != apart:
        raise CheckFailed("On these inputs there is nan: that breaks everything, and shows nothing.")
    if not apart > 1e-6 * size:
        raise CheckFailed(f"On these inputs, {', '.join(str(list(x.shape)) for x in found)}, both say the same.")
    print(f"✓ Broken: the two differ by {apart:.1g}.")
