"""Claims about what an attempt returned: plain values in, one sentence out where a claim is broken."""

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from helpers.check.run import Unknown
from helpers.support.typeset import number

UNKNOWN = "These are not the expected numbers, and no known mistake leads to them: do the smallest case by hand."
EXACT, ALIKE = 1e-10, 1e-6  # relative; a known mistake may be computed another way than the attempt computes it
NEARLY = "Nearly: this is rounding, but too much of it. Stay in float64 all the way, and add no small numbers."
Mistakes = Mapping[str, Callable[[], object]]  # what it means: the value it leads to, computed only when needed


@dataclass(frozen=True)
class Claim:
    """What ought to hold; `broken` says what does instead, and is empty where it holds."""

    says: str
    broken: str = ""
    mistake: str = ""  # the known mistake that leads to exactly this value
    expected: object = None
    mistakes: Mistakes = field(default_factory=dict)
    counts: bool = False  # earns part of the points in homework: a claim about values, not about forms
    choices: tuple[str, ...] = ()  # what may be chosen, where that is asked

    @property
    def told(self) -> tuple[str, str]:
        """What is wrong, in one sentence, and what shows it."""
        if self.mistake:
            return self.mistake, self.broken
        return sentence(self.broken) if self.expected is None else (UNKNOWN, self.broken)


def sentence(text: str) -> tuple[str, str]:
    """The first sentence of a text, and the rest."""
    first, *rest = re.split(r"(?<=[.?!]) (?<!eq\. )", text, maxsplit=1)
    return first, "".join(rest)


def is_tensor(
    out: object, *shape: int, name: str = "the result", shapes: Mapping[tuple[int, ...], str] | None = None
) -> Claim:
    """A float64 tensor of this shape, without nan; `shapes` names the known mistake that leads to another shape."""
    says = f"{name} is a float64 tensor of shape {list(shape)}"
    got = tuple(getattr(out, "shape", shape))
    mistake = "" if got == shape else (shapes or {}).get(got, "")
    return Claim(says, _kind(out, name) or _form(out, shape, name), mistake)


def is_number(out: object, name: str = "the result") -> Claim:
    """A Python float, a numpy scalar or a tensor without dimensions; not nan."""
    says = f"{name} is one number"
    if out is None:
        return Claim(says, _kind(out, name))
    if isinstance(out, bool) or not isinstance(out, int | float | np.number | np.ndarray | Tensor):
        return Claim(says, f"{name.capitalize()} must be a number; this is of type {_type(out)}.")
    if getattr(out, "shape", ()) != ():
        return Claim(says, f"{name.capitalize()} has shape {list(out.shape)}; one number is asked for.")
    return Claim(
        says, "" if math.isfinite(out) else f"{name.capitalize()} is {number(float(out), '')}: is it divided by zero?"
    )


def is_dict(out: object, *names: str) -> Claim:
    """A dict with (at least) these names."""
    says = f"the result is a dict of {', '.join(names)}"
    if not isinstance(out, dict):
        return Claim(says, f"A dict of {', '.join(names)} is asked for; this is of type {_type(out)}.")
    missing = [name for name in names if name not in out]
    return Claim(says, f"The dict has no {', no '.join(map(repr, missing))}." if missing else "")


def is_pair(out: object, first: str, second: str) -> Claim:
    """A tuple of two."""
    says = f"the result is a pair, `{first}, {second}`"
    if isinstance(out, tuple) and len(out) == 2:
        return Claim(says)
    one = "one tensor" if isinstance(out, Tensor) else f"one {_type(out)}"
    got = "None" if out is None else f"{len(out)} things" if isinstance(out, tuple) else one
    return Claim(says, f"Two results are asked for, `return {first}, {second}`; this returns {got}.")


def is_choice(out: object, right: str, wrong: Mapping[str, str], name: str = "the answer") -> Claim:
    """One of several answers by its letter or number; `wrong` has a sentence of its own for every other one."""
    choices = tuple(sorted([right, *wrong]))
    says = f"{name} is one of {', '.join(choices)}"
    chosen = str(out).strip().upper()
    if isinstance(out, bool) or not isinstance(out, str | int) or chosen not in choices:
        return Claim(says, f"{name.capitalize()} must be one of {', '.join(choices)}; this is {out!r}.")
    broken = "" if chosen == right else f"Chosen: {chosen}."
    return Claim(says, broken, wrong.get(chosen, ""), counts=True, choices=choices)


def is_diagnosis(
    out: object, right: tuple[int, str], lines: Mapping[str, str], reasons: Mapping[str, str]
) -> Iterator[Claim]:
    """The line of an analysis that is wrong, and the letter of the reason: `is_choice` for each."""
    yield is_pair(out, "line", "reason")
    line, reason = out
    yield is_choice(line, str(right[0]), lines, "the line")
    yield is_choice(reason, right[1], reasons, "the reason")


def is_list(out: object, among: Collection[str], what: str) -> Claim:
    """A list of words, each one of `among`, called `what`; an attempt's list arrives as a tuple."""
    fine = isinstance(out, tuple) and all(isinstance(word, str) and word in among for word in out)
    kind = "list of others" if isinstance(out, tuple) else _type(out)
    told = f"A list of words is asked for, each one of {what}; this is a {kind}."
    return Claim("a list of words", "" if fine else told)


def _kind(out: object, name: str) -> str:
    if out is None:
        return f"{name.capitalize()} is None: is the `return` missing?"
    if isinstance(out, np.ndarray | np.generic):
        return f"{name.capitalize()} is a numpy array: stay in torch (`torch.as_tensor`)."
    if isinstance(out, tuple):
        return (
            f"{name.capitalize()} is {len(out)} things: return one tensor (`torch.stack` and `torch.cat` join a list)."
        )
    return "" if isinstance(out, Tensor) else f"{name.capitalize()} must be a tensor; this is of type {_type(out)}."


def _type(out: object) -> str:
    return out.kind if isinstance(out, Unknown) else type(out).__name__


def _form(out: Tensor, shape: tuple[int, ...], name: str) -> str:
    if tuple(out.shape) != shape:
        return f"{name.capitalize()} has shape {list(out.shape)}; it must be {list(shape)}."
    if out.dtype != torch.float64:
        return f"{name.capitalize()} is {out.dtype} for float64 inputs: make new tensors with the input's dtype."
    if not out.isfinite().all():
        place = (~out.isfinite()).nonzero()[0].tolist()
        why = "something is divided by zero or overflows, or a row of the mask sees nothing"
        return f"{name.capitalize()} has {number(out[tuple(place)].item(), '')} at {place}: {why}."
    return ""


def equals(out: Tensor, expected: Tensor, says: str, mistakes: Mistakes | None = None) -> Claim:
    """Equal to 1e-10 relative; where not, the known mistake that explains it is named."""
    mistakes = mistakes or {}
    if close(out, expected, EXACT):
        return Claim(says, expected=expected, mistakes=mistakes, counts=True)
    if close(out, expected, 1e-4):
        off = f"It is off by {number((out - expected).abs().max().item(), '.0e')}, where rounding makes 1e−15."
        return Claim(says, off, NEARLY, expected, mistakes, counts=True)
    mistake = next((meaning for meaning, wrong in mistakes.items() if close(out, wrong(), ALIKE)), "")
    return Claim(says, _difference(out, expected), mistake, expected, mistakes, counts=True)


def close(a: Tensor, b: Tensor, relative: float) -> bool:
    """Equal, relative to the largest number; what isn't finite is equal to nothing."""
    if a.shape != b.shape or not b.isfinite().all():
        return False
    return torch.allclose(a, b, rtol=relative, atol=relative * b.abs().max().item())


def _difference(out: Tensor, expected: Tensor) -> str:
    wrong = (out - expected).abs() > EXACT * expected.abs().max()
    place = wrong.nonzero()[0].tolist()
    got, asked = (number(x[tuple(place)].item(), ".4f" if place else ".4g") for x in (out, expected))
    if not place:
        return f"It gives {got} where {asked} is expected."
    return f"At {place} it gives {got} where {asked} is expected; {_count(int(wrong.sum()), wrong.numel())}."


def _count(wrong: int, of: int) -> str:
    return f"all {of} numbers differ" if wrong == of > 1 else f"{wrong} of {of} numbers differ"


def holds(truth: bool, says: str, broken: str, counts: bool = False) -> Claim:
    """Any other fact about plain values; `counts` where it is what was asked for, not a form."""
    return Claim(says, "" if truth else broken, counts=counts)
