"""The class report: what it says of items, students and mistakes, and what it keeps to itself."""

import re

import pytest

from helpers.homework import report
from helpers.homework.collect import Flag
from helpers.homework.marks import Mark, Marks
from helpers.homework.report import Class
from helpers.homework.settings import Assignment, Item

ITEMS = (
    Item("f-x", "function", 10.0, "Exercise 1.1", "x"),
    Item("bug-1", "bug", 20.0, "Bug <hunt> 1", "1"),
    Item("q-1", "written", 5.0, "Question 1", "q-1"),
)
HOMEWORK = Assignment("01", "Linear attention", "2026", None, 0.1, ITEMS)
MASK = "The mask is missing: a token sees the future & more."


def about(shares: dict[str, tuple[float, float]], **more) -> Class:
    """A class by the shares of the first two items."""
    marks, points = {}, {}
    for student, (function, bug) in shares.items():
        each = [_mark("f-x", function, 10.0), _mark("bug-1", bug, 20.0), Mark("q-1", 0, 1, None, "for a person")]
        marks[student] = Marks(student, "01", tuple(each))
        points[student] = {mark.item: mark.points for mark in each}
    return Class(HOMEWORK, marks, points, **more)


def _mark(item: str, share: float, points: float) -> Mark:
    status = {1.0: "passed", 0.0: "failed"}.get(share, "partly")
    return Mark(item, int(4 * share), 4, share * points, status, "", MASK if status == "failed" else "")


FIVE = {"a": (1.0, 1.0), "b": (1.0, 0.5), "c": (0.5, 0.5), "d": (0.0, 0.0), "e": (0.0, 0.0)}


def test_difficulty_and_discrimination():
    whole = about(FIVE)
    assert report.shares(ITEMS[0], whole) == {student: share for student, (share, _) in FIVE.items()}
    assert report.discrimination(ITEMS[0], whole) == pytest.approx(0.8964, abs=1e-4)  # by hand
    assert report.discrimination(ITEMS[2], whole) is None  # nobody has read it yet
    page = report.page(whole)
    assert ">0.50<" in page
    assert ">+0.90<" in page


def test_an_item_that_all_have_right_has_no_correlation():
    assert report.discrimination(ITEMS[0], about({name: (1.0, share) for name, (share, _) in FIVE.items()})) is None


def test_mistakes_are_counted_by_student():
    assert report.mistakes(about(FIVE)) == [(2, "Exercise 1.1", MASK), (2, "Bug <hunt> 1", MASK)]


def test_no_statistic_over_fewer_than_five():
    page = report.page(about(dict(list(FIVE.items())[:4])))
    assert "Fewer than 5" in page
    assert not re.search(r"median|Success by item|misconceptions", page)


def test_flags_and_questions_are_shown_and_nothing_in_them_is_markup():
    flags = [Flag("<b>x</b>", "a name leads out: ../../<script>")]
    page = report.page(about(FIVE, flags=flags, oral={"a": ["Why & how?"]}, missing=["Ada <A>"]))
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "../../&lt;script&gt;" in page
    assert "Why &amp; how?" in page
    assert "<script" not in page
    assert "Bug &lt;hunt&gt; 1" in page
    assert "Ada &lt;A&gt;" in page


def test_only_its_owner_can_read_it(tmp_path):
    report.write(report.page(about(FIVE)), tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_mode & 0o077 == 0
