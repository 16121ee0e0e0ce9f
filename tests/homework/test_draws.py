"""What students draw: the same again, differently for neighbours, everything about equally often."""

import ast
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from helpers.homework import draws

NAMES = [f"bug {letter}" for letter in "abcdefghi"]
NUMBERED = [f"st{number:05}" for number in range(20_000, 20_200)]
NAMED = [f"{first}.{last}@uni" for first in "abcdefghijklmnopqrst" for last in "kmöpqrstuv"]


@pytest.mark.parametrize("written", ["Ada.Weiß", " ada.weiss ", "ADA.WEISS", "Ａｄａ．Weiß"])
def test_a_student_is_the_same_however_the_id_is_typed(written):
    assert draws.bugs("2026", "01", written, NAMES) == draws.bugs("2026", "01", "ada.weiss", NAMES)


def test_every_part_makes_another_draw():
    ways = [("2026", "01", "a", "x"), ("2027", "01", "a", "x"), ("2026", "02", "a", "x"), ("2026", "01", "b", "x")]
    ways += [("2026", "01", "a", "y"), ("202", "601", "a", "x"), ("2026", "01a", "", "x")]
    assert len({draws.rng(*parts).random() for parts in ways}) == len(ways)


def test_the_draw_of_this_term_stays_what_it_is():
    """A changed draw would send other functions to grading than the students got."""
    assert draws.bugs("2026", "01", "st20001", NAMES) == ["bug a", "bug e"]
    assert draws.bugs("2026", "01", "st20001", NAMES[::-1]) == ["bug a", "bug e"]


@pytest.mark.parametrize("students", [NUMBERED, NAMED])
@pytest.mark.parametrize("names", [NAMES, NAMES[:8]])
def test_each_bug_is_drawn_about_equally_often(students, names):
    drawn = Counter(name for student in students for name in draws.bugs("2026", "01", student, names))
    expected = 2 * len(students) / len(names)
    assert drawn.keys() == set(names)
    assert sum((count - expected) ** 2 for count in drawn.values()) / expected < 26  # chi², 8 degrees: 1 in 1,000


@pytest.mark.parametrize("size", [6, 8, 9])
def test_neighbours_in_a_list_have_none_in_common(size):
    for term in ("2026", "2027"):
        drawn = [draws.bugs(term, "01", student, NAMES[:size]) for student in NUMBERED]
        assert all(len(set(two)) == 2 for two in drawn)
        assert not any(set(one) & set(other) for one, other in pairwise(drawn))


def test_pairs_are_many():
    """Whoever asks a friend for the answer seldom finds one with the same two."""
    pairs = {frozenset(draws.bugs("2026", "01", student, NAMES)) for student in NUMBERED}
    assert len(pairs) > 25  # of 36


def test_few_are_all_given():
    assert draws.bugs("2026", "01", "a", NAMES[:2]) == NAMES[:2]
    assert draws.bugs("2026", "01", "a", []) == []


def test_oral_questions():
    ids = [f"o-{n}" for n in range(6)]
    drawn = [draws.oral("2026", "01", student, ids) for student in NUMBERED]
    assert all(len(set(two)) == 2 for two in drawn)
    often = Counter(one for two in drawn for one in two)
    assert min(often[one] for one in ids) > 40  # 67 expected
    assert draws.oral("2026", "01", "a", ids) == draws.oral("2026", "01", "A ", ids[::-1])


def test_stands_alone():
    tree = ast.parse(Path(draws.__file__).read_text(encoding="utf-8"))
    used = [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    used += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.split(".")[0] for name in used} <= sys.stdlib_module_names
