"""What a reader sees of a verdict: a box in Jupyter, plain text elsewhere."""

import html
import sys
from collections.abc import Callable, Iterable

from torch import Tensor

from helpers.check import run
from helpers.check.engine import NOT_ATTEMPTED, CheckFailed, Verdict, verdict
from helpers.support import progress, replace_unprintable
from helpers.support.jupyter import show

MARKS = {
    "passed": ("✓", "success"),
    "not attempted": ("○", "info"),
    "failed": ("✗", "error"),
    "crashed": ("✗", "error"),
}
UNUSABLE = "These inputs can't be used"


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
    replace_unprintable()
    if not run.can_stop():
        print("(An endless loop can't be stopped here: if this cell never ends, interrupt the kernel.)")
    found = verdict(fn, name)
    if found.printed:
        sys.stdout.write(found.printed)
    try:
        _tell(found)
    finally:
        progress.note(found)


def _tell(found: Verdict) -> None:
    """Show a verdict, or raise what a wrong attempt raises."""
    if found.status == "crashed":
        raise found.error
    if found.status == "failed":
        raise CheckFailed(f"{found.exercise.number} {found.exercise.name}: {found.message}\n  Claim: {found.claim}.")
    show(Shown(found))


def break_it(wrong: Callable, right: Callable, inputs: Callable) -> None:
    """Has the reader found inputs on which `wrong` differs from `right`? `inputs()` returns them.

    Raises CheckFailed where the two agree; a stub is left alone.
    """
    replace_unprintable()
    try:
        given = _tensors(inputs())
    except NotImplementedError:
        print(f"○ {NOT_ATTEMPTED}")
        return
    one, other = _answer(wrong, given), _answer(right, given)
    if one.shape != other.shape or not other.numel():
        raise CheckFailed(f"{UNUSABLE}: the results have shapes {_shapes([one, other])}; nothing can be compared.")
    apart, size = (one - other).abs().max().item(), other.abs().max().item()
    if apart != apart:
        raise CheckFailed("On these inputs there is nan: that breaks everything, and shows nothing.")
    if not apart > 1e-6 * size:
        raise CheckFailed(f"On these inputs, {_shapes(given)}, both say the same.")
    print(f"✓ Broken: the two differ by {apart:.1g}.")


def _tensors(given: object) -> tuple[Tensor, ...]:
    """A counterexample as float64 tensors; raises CheckFailed where it is none."""
    if given is None:
        raise CheckFailed(f"{UNUSABLE}: there are none (None). Is the `return` missing?")
    parts = given if isinstance(given, tuple | list) else (given,)
    if not parts:
        raise CheckFailed(f"{UNUSABLE}: there are none. Return one tensor for each argument.")
    for part in parts:
        if not isinstance(part, Tensor):
            raise CheckFailed(f"{UNUSABLE}: one is of type {type(part).__name__}; return tensors.")
    return tuple(part.double() for part in parts)


def _answer(function: Callable, given: tuple[Tensor, ...]) -> Tensor:
    """What a function makes of a counterexample; raises CheckFailed where it can't."""
    try:
        out = function(*given)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise CheckFailed(f"{UNUSABLE}: {reason}") from None
    if not isinstance(out, Tensor):
        raise CheckFailed(f"{UNUSABLE}: the result is of type {type(out).__name__}, a tensor is needed.")
    return out


def _shapes(tensors: Iterable[Tensor]) -> str:
    return ", ".join(str(list(x.shape)) for x in tensors)
