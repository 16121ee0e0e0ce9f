"""What a homework notebook imports, under the name `homework`: it lies in the same folder.

It needs Python and torch only, knows no solution, and marks nothing: it shows what was drawn for you, and helps you
to look at your own work. Everything is drawn from your student id, so that you get the same at every start.
"""

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

if __package__:
    from . import draws, inputs, tables
else:
    import draws
    import inputs
    import tables

HERE = Path(__file__).resolve().parent
BUGS = {file.stem[-2:]: json.loads(file.read_text(encoding="utf-8")) for file in HERE.glob("bugs_??.json")}
STUB = "○ Not attempted yet: replace the line `raise NotImplementedError`."
FIRST = "○ Your student id comes first: write it into the first code cell, and run that one and the next."
NEAR = 2e-6  # relative to the largest number; an example's numbers are written with six digits behind the point

drawn_for: dict[str, str] = {}  # which homework, of which term, and for whom; filled in by `start`


class Told(Exception):
    """Something for you to read: Jupyter shows the sentence, and no traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"\x1b[31m✗\x1b[0m {self}"]


class Page:
    """Text that Jupyter shows as a page."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.text


def start(name: str, term: str, student: str) -> None:
    """Say who you are. The cells below need it: everything is drawn from this id, letter by letter."""
    drawn_for.clear()
    if not isinstance(student, str) or not draws.identity(student):
        raise Told('Write your student id into the first code cell, student = "…", and run that cell and this one.')
    drawn_for.update(name=name, term=term, student=student)
    print(
        f"Homework {name}, drawn for {draws.identity(student)}.\n"
        "Compare it with the id that your instructor gave you: with any other spelling you get what is another's, "
        "and it does not count as yours."
    )


def _drawn() -> tuple[str, str, str]:
    """Term, homework and student."""
    return drawn_for["term"], drawn_for["name"], drawn_for["student"]


def example(function: Callable, expected: object, **given: object) -> None:
    """Does your function give the expected numbers, in the expected form, on this one example?"""
    found = _tried(function, given)
    if found is None:
        return
    if wrong := _wrong(found, _numbers(expected)):
        raise Told(f"{function.__name__}: {wrong}")
    print(f"✓ {function.__name__} gives the expected numbers, in float64, on this example. Grading uses other inputs.")


def runs(function: Callable, **given: object) -> None:
    """Does your function give an answer on this one example? Right answers can look different here."""
    found = _tried(function, given)
    if found is None:
        return
    for name, part in found.items() if isinstance(found, Mapping) else (("the result", found),):
        if wrong := _form(part, name):
            raise Told(f"{function.__name__}: {wrong}")
    print(f"{function.__name__} gives {found}.\nSeveral answers can be right: they are graded by what they do.")


def gives(function: Callable, **given: object) -> None:
    """What does your function answer on this one example? Many answers can be right, of many forms."""
    found = _tried(function, given)
    if found is not None:
        print(f"{function.__name__} gives {found}.\nSeveral answers can be right: they are graded by what they do.")


def chosen(function: Callable, *options: str) -> None:
    """Can your answer be chosen? Each of `options` names the choices for one part. Not whether it is right."""
    found = _tried(function, {})
    if found is None:
        return
    parts = found if isinstance(found, tuple | list) else (found,)
    if len(parts) != len(options):
        raise Told(f"{function.__name__}: {len(options)} things are asked for; this returns {len(parts)}.")
    for part, choices in zip(parts, map(str.split, options), strict=True):
        if isinstance(part, bool) or not isinstance(part, str | int) or str(part).strip().upper() not in choices:
            raise Told(f"{function.__name__}: {part!r} can't be chosen; choose one of {', '.join(choices)}.")
    print(f"✓ Chosen: {', '.join(str(part).strip().upper() for part in parts)}. Whether it is right, grading says.")


def _tried(function: Callable, given: Mapping[str, object]) -> object:
    """What your function answers; None where it is not written yet."""
    try:
        found = function(*map(_numbers, given.values()))
    except NotImplementedError:
        print(STUB)
        return None
    if found is None:
        raise Told(f"{function.__name__}: the result is None: is the `return` missing?")
    return found


def _numbers(value: object) -> object:
    """Lists of numbers as tensors, in float64 unless they are whole or truth values; lists of words stay lists."""
    if isinstance(value, tuple):
        return tuple(map(_numbers, value))
    if not isinstance(value, list) or any(isinstance(part, str) for part in value):
        return value
    made = torch.tensor(value)
    return torch.tensor(value, dtype=torch.float64) if made.is_floating_point() else made


def bug(number: int) -> Callable | None:
    """The wrong function that was drawn for you: shown, and returned, so that you can try it."""
    if not drawn_for:
        print(FIRST)
        return None
    drawn = _bug(number)
    about = BUGS[drawn_for["name"]]["exercises"][drawn["exercise"]]
    print(posed(about, drawn["source"]))
    names: dict = {"torch": torch}
    exec(compile(drawn["source"], f"<bug {number}>", "exec"), names)
    return names[drawn["exercise"]]


def posed(about: Mapping[str, str], source: str) -> str:
    """A bug hunt's text: what the function should do and takes, and the wrong function."""
    return f"Exercise {about['number']}, {about['equation']}\n{about['what']}\nInputs: {about['inputs']}\n\n{source}"


def _bug(number: int) -> dict[str, str]:
    term, name, student = _drawn()
    bank = BUGS[name]["bugs"]
    return bank[draws.bugs(term, name, student, list(bank))[number - 1]]


def compare(wrong: Callable | None, counterexample: Callable, own: Mapping[str, object]) -> None:
    """Run the wrong function and your own on your inputs, by the rules of grading, which uses the right function."""
    if wrong is None:
        print(FIRST if not drawn_for else "○ First run the cell above that shows the wrong function.")
        return
    try:
        given = inputs.judged(wrong.__name__, counterexample())
    except NotImplementedError:
        print(STUB)
        return
    except inputs.Refused as refused:
        raise Told(f"These inputs don't count: {refused}") from None
    mine = own.get(wrong.__name__)
    if not callable(mine) or not _is_written(mine, given):
        print(_alone(wrong, given))
        return
    found = inputs.exposed(wrong.__name__, wrong, mine, given, "your own function")
    print(f"✓ {found.message} It counts if yours is right." if found.ok else f"✗ {found.message}")


def _is_written(mine: Callable, given: tuple) -> bool:
    try:
        mine(*copy.deepcopy(given))
    except NotImplementedError as error:
        return bool(error.args)  # torch's own have something to say
    except Exception:
        return True
    return True


def _alone(wrong: Callable, given: tuple) -> str:
    """What can be said without a function of your own."""
    try:
        found = f"It gives {wrong(*copy.deepcopy(given))}."
    except Exception as error:
        found = f"It fails here ({type(error).__name__}: {error}): that counts if the right function has an answer."
    return f"{found} Write `{wrong.__name__}` yourself in a cell of your own: then the two are compared here."


def table() -> Page:
    """The study that was drawn for you, and the eight sentences."""
    if not drawn_for:
        return Page(FIRST)
    return Page(tables.table(*_drawn()).page())


def answered(verdict: Mapping[str, object]) -> None:
    """How many sentences you have judged; not whether you are right."""
    if not isinstance(verdict, Mapping):
        raise Told('`verdict` must stay a dict: {"A": True, "B": False, …}.')
    letters = tables.LETTERS
    odd = [letter for letter in letters if verdict.get(letter) not in (True, False, None)]
    if odd:
        raise Told(f"Write True, False or None behind {', '.join(odd)}.")
    done = [letter for letter in letters if verdict.get(letter) is not None]
    left = ", ".join(letter for letter in letters if letter not in done)
    print(
        f"✓ All {len(letters)} are judged." if not left else f"○ Judged: {len(done)} of {len(letters)}; left: {left}."
    )


def _wrong(found: object, expected: object) -> str:
    """What is wrong with an answer, in a sentence, by the rules of grading; empty where nothing is."""
    if not isinstance(expected, tuple):
        return _one(found, expected, "the result")
    if not isinstance(found, tuple) or len(found) != len(expected):
        count = len(found) if isinstance(found, tuple) else 1
        return f"It gives {count} results where {len(expected)} are expected."
    pairs = enumerate(zip(found, expected, strict=True), 1)
    return next(filter(None, (_one(a, b, f"result {place}") for place, (a, b) in pairs)), "")


def _one(found: object, expected: object, name: str) -> str:
    if not isinstance(expected, Tensor):
        return _number(found, expected)
    if wrong := _form(found, name, expected.shape):
        return wrong
    apart = (found - expected).abs()
    if not apart.numel() or bool((apart <= NEAR * max(1.0, expected.abs().max().item())).all()):
        return ""
    worst = apart.argmax()
    at = [int(index) for index in torch.unravel_index(worst, apart.shape)]
    return f"{name}: at {at} it gives {found.flatten()[worst]:.6g} where {expected.flatten()[worst]:.6g} is expected."


def _number(found: object, expected: float) -> str:
    shape = list(getattr(found, "shape", ()))
    if isinstance(found, bool | str) or shape or not hasattr(found, "__float__"):
        kind = f"has shape {shape}" if shape else f"is of type {type(found).__name__}"
        return f"One number is expected; the result {kind}."
    if abs(float(found) - expected) <= NEAR * max(1.0, abs(expected)):
        return ""
    return f"It gives {float(found):.6g} where {expected:.6g} is expected."


def _form(found: object, name: str, shape: torch.Size | None = None) -> str:
    """What is wrong with a result that must be a tensor of finite float64 numbers, of this shape where one is known."""
    if not isinstance(found, Tensor):
        count = f"; it is {len(found)} things" if isinstance(found, tuple | list) else ""
        return f"{name} must be a tensor; this is of type {type(found).__name__}{count}."
    if shape is not None and found.shape != shape:
        return f"{name} has shape {list(found.shape)} where {list(shape)} is expected."
    if found.dtype != torch.float64:
        return (
            f"{name} is {found.dtype} for float64 inputs and would not count: make new tensors with the input's dtype, "
            "as in torch.zeros(2, 3, dtype=x.dtype)."
        )
    return "" if found.isfinite().all() else f"{name} has inf or nan in it."
