"""What a homework notebook imports, under the name `homework`: it lies in the same folder.

It needs Python and torch only, knows no solution, and marks nothing: it shows what was drawn for you, and helps you
to look at your own work. Everything is drawn from your student id, so that you get the same at every start.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

if __package__:
    from . import draws, tables
else:
    import draws
    import tables

HERE = Path(__file__).resolve().parent
BUGS = {file.stem[-2:]: json.loads(file.read_text(encoding="utf-8")) for file in HERE.glob("bugs_??.json")}
STUB = "○ Not attempted yet: replace the line `raise NotImplementedError`."
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
    """Say who you are. The cells below need it."""
    drawn_for.clear()
    if not isinstance(student, str) or not draws.identity(student):
        raise Told('Write your student id into the first code cell, student = "…", and run that cell and this one.')
    drawn_for.update(name=name, term=term, student=student)
    print(f"Homework {name}, drawn for {draws.identity(student)}.")


def _drawn() -> tuple[str, str, str]:
    """Term, homework and student."""
    if not drawn_for:
        raise Told("Run the first two code cells: they say who you are.")
    return drawn_for["term"], drawn_for["name"], drawn_for["student"]


def example(function: Callable, expected: object, **inputs: object) -> None:
    """Does your function give the expected numbers on this one example?"""
    found = _tried(function, inputs)
    if found is None:
        return
    if wrong := _difference(found, _numbers(expected)):
        raise Told(f"{function.__name__}: {wrong}")
    print(f"✓ {function.__name__} gives the expected numbers on this example. It is graded on others.")


def runs(function: Callable, **inputs: object) -> None:
    """Does your function give an answer on this one example? Right answers can look different here."""
    found = _tried(function, inputs)
    if found is not None:
        print(f"{function.__name__} gives {found}.\nSeveral answers can be right: they are graded by what they do.")


def _tried(function: Callable, inputs: Mapping[str, object]) -> object:
    """What your function answers; None where it is not written yet."""
    try:
        found = function(*map(_numbers, inputs.values()))
    except NotImplementedError:
        print(STUB)
        return None
    if found is None:
        raise Told(f"{function.__name__}: the result is None: is the `return` missing?")
    return found


def _numbers(value: object) -> object:
    """Lists of numbers as tensors, in float64 unless they are whole or truth values."""
    if isinstance(value, tuple):
        return tuple(map(_numbers, value))
    if not isinstance(value, list):
        return value
    made = torch.tensor(value)
    return torch.tensor(value, dtype=torch.float64) if made.is_floating_point() else made


def bug(number: int) -> Callable:
    """The wrong function that was drawn for you: shown, and returned, so that you can try it."""
    drawn = _bug(number)
    about = BUGS[_drawn()[1]]["exercises"][drawn["exercise"]]
    print(f"Exercise {about['number']}, {about['equation']}\nInputs: {about['inputs']}\n\n{drawn['source']}")
    names: dict = {"torch": torch}
    exec(compile(drawn["source"], f"<bug {number}>", "exec"), names)
    return names[drawn["exercise"]]


def _bug(number: int) -> dict[str, str]:
    term, name, student = _drawn()
    bank = BUGS[name]["bugs"]
    return bank[draws.bugs(term, name, student, list(bank))[number - 1]]


def compare(wrong: Callable, inputs: Callable, own: Mapping[str, object]) -> None:
    """Run the wrong function and your own on your inputs. You are graded against the right one, not against yours."""
    try:
        given = inputs()
    except NotImplementedError:
        print(STUB)
        return
    if not isinstance(given, tuple | list) or not given:
        raise Told("Return all inputs of the function in one tuple, in their order.")
    try:
        found = wrong(*given)
    except Exception as error:
        print(f"The wrong function stops here: {type(error).__name__}: {error}. Would the right one have an answer?")
        return
    mine = own.get(wrong.__name__)
    if not callable(mine):
        print(f"It gives {found}. Write `{wrong.__name__}` yourself, and your answer is compared with it here.")
        return
    _compared(found, mine, given)


def _compared(found: object, mine: Callable, given: tuple) -> None:
    try:
        wanted = mine(*given)
    except NotImplementedError:
        print(f"It gives {found}. Your own `{mine.__name__}` is not written yet: then the two are compared here.")
        return
    apart = _difference(found, wanted)
    print(f"They differ. {apart} (“Expected” is yours.)" if apart else "On these inputs both say the same.")


def table() -> Page:
    """The study that was drawn for you, and the eight sentences."""
    drawn = tables.table(*_drawn())
    return Page(
        drawn.text() + "\n\n" + "\n".join(f"- **{letter}.** {text}" for letter, text in drawn.sentences.items())
    )


def answered(verdict: Mapping[str, object]) -> None:
    """How many sentences you have judged; not whether you are right."""
    letters = "ABCDEFGH"
    if not isinstance(verdict, Mapping):
        raise Told('`verdict` must stay a dict: {"A": True, "B": False, …}.')
    odd = [letter for letter in letters if verdict.get(letter) not in (True, False, None)]
    if odd:
        raise Told(f"Write True, False or None behind {', '.join(odd)}.")
    done = [letter for letter in letters if verdict.get(letter) is not None]
    left = ", ".join(letter for letter in letters if letter not in done)
    print(
        f"✓ All {len(letters)} are judged." if not left else f"○ Judged: {len(done)} of {len(letters)}; left: {left}."
    )


def _difference(found: object, expected: object) -> str:
    """Where two answers differ, in a sentence; empty where they agree."""
    one, other = list(_parts(found)), list(_parts(expected))
    if len(one) != len(other):
        return f"It gives {len(one)} results where {len(other)} are expected."
    for place, (a, b) in enumerate(zip(one, other, strict=True), 1):
        which = f"result {place}: " if len(one) > 1 else ""
        if a.shape != b.shape:
            return f"{which}It has shape {list(a.shape)} where {list(b.shape)} is expected."
        apart = (a - b).abs()
        if apart.numel() and not bool((apart <= NEAR * max(1.0, b.abs().max().item())).all()):
            worst = apart.nan_to_num(nan=torch.inf).argmax()
            at = [int(index) for index in torch.unravel_index(worst, a.shape)]
            return f"{which}At {at} it gives {a.flatten()[worst]:.6g} where {b.flatten()[worst]:.6g} is expected."
    return ""


def _parts(answer: object) -> Iterable[Tensor]:
    """The tensors and numbers of an answer."""
    if isinstance(answer, Mapping):
        answer = tuple(answer[name] for name in sorted(answer))
    for part in answer if isinstance(answer, tuple | list) else (answer,):
        try:
            yield torch.as_tensor(part, dtype=torch.float64).detach()
        except (TypeError, ValueError, RuntimeError):
            raise Told(f"An answer is made of tensors and numbers; this is of type {type(part).__name__}.") from None
