"""What is drawn for a student, and can be drawn again by anyone who knows term, homework and student id.

Standard library only: a copy of this file lies in every student's bundle. Of `random` only `Random.random` is used,
which Python promises to keep the same in every version; `shuffle` and `sample` carry no such promise.
"""

import hashlib
import json
import random
import re
import unicodedata
from collections.abc import Iterable, Sequence


def identity(student: str) -> str:
    """The student id as everything is drawn from it: however it was typed, the same student."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", student).casefold()).strip()


def rng(term: str, assignment: str, student: str, what: str) -> random.Random:
    """A generator of its own for each thing that is drawn for a student."""
    parts = json.dumps([term, assignment, identity(student), what])
    return random.Random(int.from_bytes(hashlib.sha256(parts.encode()).digest(), "big"))


def shuffled(items: Iterable[str], by: random.Random) -> list[str]:
    """The items in a random order."""
    return sorted(items, key=lambda _: by.random())


def bugs(term: str, assignment: str, student: str, names: Iterable[str], count: int = 2) -> list[str]:
    """The names of this student's wrong functions.

    Student ids that end in a number are taken in blocks. Within a block no function is drawn twice, and the first of
    a block gets none of those of the last before: neighbours in a list of students differ, where there are enough.
    """
    stem, digits = re.fullmatch(r"(.*?)([0-9]{0,9})", identity(student), re.DOTALL).groups()
    names = sorted(names)
    if len(names) <= count:
        return names
    block, place = divmod(int(digits or 0), len(names) // count)
    return _block((term, assignment, stem), names, block, count)[place]


def _block(parts: tuple[str, str, str], names: Sequence[str], number: int, count: int) -> list[list[str]]:
    """What each of a block's students gets; blocks of odd number mind the neighbours at both ends."""
    by = rng(*parts, f"bugs {number}")
    shares = _shares(shuffled(names, by), count)
    if number % 2 == 0:
        return shares
    before, after = (_block(parts, names, number + side, count) for side in (-1, 1))
    for _ in range(100):  # of very few functions there may be no such order
        if not (set(shares[0]) & set(before[-1]) or set(shares[-1]) & set(after[0])):
            break
        shares = _shares(shuffled(names, by), count)
    return shares


def _shares(names: Sequence[str], count: int) -> list[list[str]]:
    """The names in groups of `count`; those left over are dropped."""
    return [list(names[start : start + count]) for start in range(0, len(names) - count + 1, count)]


def oral(term: str, assignment: str, student: str, ids: Iterable[str], count: int = 2) -> list[str]:
    """The ids of the questions that this student is asked face to face."""
    return shuffled(sorted(ids), rng(term, assignment, student, "oral"))[:count]
