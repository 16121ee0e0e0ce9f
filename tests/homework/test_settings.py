"""homework.yaml: sensible without a word in it, and every slip answered with its line and the nearest right name."""

import os
import re
import stat
from datetime import UTC, datetime, timedelta

import pytest

from helpers.check import EXERCISES
from helpers.homework import settings
from helpers.support import CourseError


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Settings from a text; without one, from the file as it is written the first time."""
    monkeypatch.setenv("COURSE_HOMEWORK", str(tmp_path))

    def reader(text: str) -> settings.Settings:
        (tmp_path / "homework.yaml").write_text(text, encoding="utf-8")
        return settings.load()

    return reader


def points(assignment: settings.Assignment) -> dict[str, float]:
    """Points by kind."""
    return {
        kind: sum(item.points for item in assignment.items if item.kind == kind)
        for kind in ("function", "bug", "verdict", "written")
    }


def test_the_default_file_says_what_holds_without_it(read, tmp_path):
    without = settings.load()
    assert read(settings.default()) == without
    assert [assignment.name for assignment in without.assignments] == settings.names()
    for assignment in without.assignments:
        assert assignment.points == 100
        assert assignment.due is None
        assert assignment.late == 0.1
        assert points(assignment) == {"function": 25, "bug": 30, "verdict": 25, "written": 20}
        functions = [EXERCISES[item.asks] for item in assignment.items if item.kind == "function"]
        assert functions
        assert all(exercise.core for exercise in functions)


def test_an_empty_file_and_empty_parts_are_the_defaults(read):
    year = settings.load().assignments[0].term
    assert read("") == read(f"term: {year}\nnotebooks:\npoints:\n") == settings.load()


def test_what_is_written_counts(read):
    text = """
    term: spring
    late: 0.2
    points: {functions: 10, bugs: 20, verdict: 10, written: 0}
    notebooks:
      01:
        due: 2026-10-12
        exercises: [normalized_linear_attention, softmax_attention]
      "02": {due: 2026-10-12 18:00+02:00, late: 0, points: {functions: 5, written: 5}}
      03: {exercises: []}
    """
    read_ = read(text)
    first, second, third = map(read_.assignment, ("01", "02", "03"))
    assert [item.asks for item in first.items[:2]] == ["normalized_linear_attention", "softmax_attention"]
    assert [item.points for item in first.items[:2]] == [6, 4]  # 15 and 10 minutes
    assert {item.kind for item in first.items} == {"function", "bug", "verdict"}
    assert first.points == 40
    assert first.due.replace(tzinfo=None) == datetime(2026, 10, 12, 23, 59)
    assert first.due.tzinfo
    assert second.due == datetime(2026, 10, 12, 16, tzinfo=UTC)
    assert second.due.utcoffset() == timedelta(hours=2)
    assert (first.term, first.late, second.late, second.points) == ("spring", 0.2, 0, 40)
    assert points(third)["function"] == 0
    assert third.points == 30


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("terms: 2026", 1, "Did you mean `term`?"),
        ("term: 1\nterm: 2", 2, "a second time"),
        ("term: [1]", 1, "one value"),
        ('term: a"b', 1, "letters, digits"),
        ("points:\n  function: 3", 2, "Did you mean `functions`?"),
        ("points:\n  bugs: -1", 2, "can't be -1"),
        ("points:\n  bugs: many", 2, "can't be many"),
        ("points:\n  bugs: nan", 2, "can't be nan"),
        ("points:\n  functions: 60", 2, "functions have 60 of 135 points; 30% is the most"),
        ("points:\n  functions: 25\n  written: 0", 2, "Write `functions: 23` or less"),
        ("points: {functions: 0, bugs: 0, verdict: 0, written: 0}", 1, "no kind has points"),
        ("points: 100", 1, "names and values"),
        ("late: 2", 1, "from 0 to 1"),
        ("notebooks:\n  07: {due: none}", 2, "`07` is not known here"),
        ("notebooks:\n  01: {due: tomorrow}", 2, "that is no date"),
        ("notebooks:\n  01: {due: 2026-02-30}", 2, "that is no date"),
        ("notebooks:\n  01: {due: [1]}", 2, "that is no date"),
        ("notebooks:\n  01: {dues: none}", 2, "Did you mean `due`?"),
        ("notebooks:\n  01:\n    exercises:\n    - linear_atention", 4, "Did you mean `linear_attention`?"),
        ("notebooks:\n  01:\n    exercises: [weight_update]", 3, "notebook 01 has no exercise `weight_update`"),
        ("notebooks:\n  01:\n    exercises: [linear_attention, linear_attention]", 3, "in the list twice"),
        ("notebooks:\n  01:\n    exercises: linear_attention", 3, "must be a list"),
        ("notebooks:\n  01:\n   due: none\n  due: [", 4, "can't be read"),
        ("notebooks:\n  01:\n    due:2026-10-12\n    exercises: []", 3, "a blank is missing behind `due:`"),
        ("term:2026\nlate: 0", 1, "Write `term: 2026`"),
        ("term: a\nlate: 'b", 2, "can't be read"),
        ("term: \x00", 1, "can't be read"),
    ],
)
def test_a_slip_is_answered_with_its_line(read, text, line, told):
    with pytest.raises(CourseError) as error:
        read(text)
    assert str(error.value).startswith(f"homework.yaml, line {line}")
    assert told in str(error.value)
    assert len(str(error.value).splitlines()) == 2


def test_a_kind_without_points_is_left_out(read):
    """Functions, where nothing is said of them, take what they may."""
    first = read("points: {written: 0}").assignment("01")
    assert points(first) == {"function": 23, "bug": 30, "verdict": 25, "written": 0}


def test_a_file_in_another_encoding_is_told(read, tmp_path):
    (tmp_path / "homework.yaml").write_bytes("term: Frühling".encode("latin-1"))
    with pytest.raises(CourseError, match="can't be read"):
        settings.load()


def test_an_unknown_assignment_is_told_what_there_is(read):
    with pytest.raises(CourseError, match="Choose: 01, 02"):
        settings.load().assignment("1")


@pytest.mark.parametrize(("total", "weights"), [(25.0, [10, 10, 15]), (0.05, [1, 1, 1]), (0.0, [1])])
def test_parts_sum_to_the_whole(total, weights):
    assert sum(settings.shared(total, weights)) == pytest.approx(total, abs=1e-12)


def test_the_key_is_made_once_for_its_owner_only(read, tmp_path):
    made = settings.key("01")
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert settings.key("01") == made
    assert settings.key("02") != made  # one is published while the other's homework still runs
    assert made not in (tmp_path / "key").read_text()
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    (tmp_path / "key").write_text(made[:-1])
    with pytest.raises(CourseError, match="backup"):
        settings.key("01")
