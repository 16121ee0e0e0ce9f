"""What a reader sees of a verdict: a box in Jupyter, plain text elsewhere."""

import html
import sys
import traceback
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from helpers.check import causes, frames, run
from helpers.check.claims import sentence
from helpers.check.engine import CheckFailed, Verdict, is_stub, verdict
from helpers.support import boxes, progress, replace_unprintable
from helpers.support.jupyter import in_jupyter, show_html
from helpers.support.typeset import in_html, number

UNUSABLE = "These inputs can't be used"
HUNT = "Break it"
WRITE = "Replace the line `raise NotImplementedError`; then run its cell, and this one again."
LINES = "margin: 2px 0; padding: 4px 0; font-size: 0.9em"
FAILED_PART = "background-color: rgba(230, 81, 0, 0.25); border-radius: 3px; font-weight: bold"


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
    """Show a verdict, and raise what a wrong attempt raises."""
    about = f"{found.exercise.number} {found.exercise.name}"
    if found.status == "passed":
        _show("passed", f"{about}: passed", found.claim)
    elif found.status == "not attempted":
        _show("not yet", f"{about}: not attempted yet", WRITE)
    elif found.status == "crashed":
        raise _crashed(found.error, about, found.diagnosis)
    else:
        raise _failed(about, found.diagnosis, found.details, found.claim)


def _show(kind: boxes.Kind, title: str, line: str) -> None:
    show_html(boxes.box(kind, in_html(title), in_html(line)), f"{boxes.MARKS[kind]} {title}. {line}")


def _failed(about: str, diagnosis: str, details: str, claim: str = "") -> BaseException:
    """What is wrong, the numbers that show it, the claim that broke."""
    checked = f"{about}: failed. Checked: {claim}." if claim else f"{about}: failed."
    page = boxes.box("failed", in_html(diagnosis), boxes.small_print(in_html(details)), small=in_html(checked))
    text = " ".join(filter(None, (f"{about}: {diagnosis}", details)))
    error = CheckFailed(f"{text}\n  Checked: {claim}." if claim else text)
    return _below(error, about, page, f"✗ {error}")


def _crashed(error: BaseException, about: str, cause: str) -> BaseException:
    """The likeliest cause, the lines of the reader that led to the exception, the exception."""
    lines = "".join(map(_place, frames.places(error)))
    raised = f"<code>{html.escape(f'{type(error).__name__}: {error}')}</code>"
    page = boxes.box("crashed", in_html(cause), lines, raised, small=in_html(f"{about}: crashed."))
    error.add_note(f"Likeliest cause: {cause}")
    return _below(error, about, page, "".join([f"⚠ {about}: crashed.\n", *traceback.format_exception(error)]))


def _below(error: BaseException, about: str, page: str, text: str) -> BaseException:
    """In Jupyter a box is shown, and the exception that comes below it needs no more than its name."""
    if in_jupyter():
        show_html(page, text)
        error._render_traceback_ = lambda: [f"✗ {about}", "See the box above."]
    return error


def _place(place: frames.Place) -> str:
    """A few lines of code, with the one that failed marked."""
    lines = [_line(number, text, place) for number, text in place.lines]
    head = f"line {place.number} of <code>{html.escape(place.function)}</code>"
    return f'{boxes.small_print(head)}<pre style="{LINES}">{chr(10).join(lines)}</pre>'


def _line(number: int, text: str, place: frames.Place) -> str:
    failed, code = number == place.number, html.escape(text)
    if failed:
        part = html.escape(place.failed) or code.strip()
        code = code.replace(part, f'<span style="{FAILED_PART}">{part}</span>', 1)
    return f"{'→' if failed else ' '}{number:3}  {code}"


def break_it(wrong: Callable, right: Callable, inputs: Callable) -> None:
    """Has the reader found inputs on which `wrong` differs from `right`? `inputs()` returns them.

    Raises CheckFailed where the two agree, and what `inputs` raises; a stub is left alone.
    """
    replace_unprintable()
    try:
        given = _tensors(run.called(inputs, ()))
        apart, size = _apart(_answer(wrong, given), _answer(right, given), given)
    except (CheckFailed, run.Fault) as failed:
        raise _failed(HUNT, *sentence(str(failed))) from None
    except Exception as error:
        if not is_stub(error):
            raise _crashed(frames.own(error), HUNT, causes.likeliest(error, "x")) from None
        _show("not yet", f"{HUNT}: not attempted yet", WRITE)
    else:
        differ = f"The two differ by {number(apart, '.2g')}, where the right one is at most {number(size, '.2g')}."
        _show("passed", "Broken: on your inputs the function is wrong", differ)


def _apart(one: Tensor, other: Tensor, given: tuple[Tensor, ...]) -> tuple[float, float]:
    """How far apart two results are, and how large the second is; raises CheckFailed where they agree."""
    if one.shape != other.shape or not other.numel():
        raise CheckFailed(f"{UNUSABLE}: the results have shapes {_shapes([one, other])}. Nothing can be compared.")
    apart, size = (one - other).abs().max(), other.abs().max()
    if torch.isnan(apart):
        raise CheckFailed("On these inputs there is nan: that breaks everything, and shows nothing.")
    if not apart > 1e-6 * size:
        raise CheckFailed(
            f"On these inputs, {_shapes(given)}, both say the same. Read again what the function leaves out."
        )
    return apart.item(), size.item()


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
