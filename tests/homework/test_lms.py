"""What Canvas and Moodle export is read, and what they import is written, in their columns."""

import pandas as pd
import pytest

from helpers.homework import lms
from helpers.homework.lms import Grade, Person, Roster
from helpers.homework.settings import Assignment, Item
from helpers.support import CourseError

ITEMS = (Item("verdict", "verdict", 25.0, "What the table allows", ""),)
HOMEWORK = Assignment("01", "Linear attention", "2026", None, 0.1, ITEMS)
CANVAS = """Student,ID,SIS User ID,SIS Login ID,Section,Homework_01 First one (98765),Current Score
    Points Possible,,,,,25,(read only)
"Müller, Jörg",101,S1,jm1,"A, ""8"" h",,
"Öz, Ada",102,S2,ao2,B,,
"""
MOODLE = """\ufeffIdentifier,Full name,Email address,Status,Grade,Last modified (submission),Last modified (grade)
Participant 7001,Jörg Müller,jm@uni.example,Submitted,,"Tuesday, 3 March 2026, 10:15 AM",-
"""


@pytest.fixture
def written(tmp_path):
    """Write a roster, and read it."""

    def write(text: str) -> Roster:
        file = tmp_path / lms.ROSTER
        file.write_text(text, encoding="utf-8")
        return lms.roster(file)

    return write


def table(file):
    return pd.read_csv(file, dtype=str, keep_default_na=False)


def test_canvas_export_is_a_roster(written):
    known = written(CANVAS)
    assert [person.id for person in known.people] == ["jm1", "ao2"]
    assert known.find("whoever", "101", "canvas").name == "Müller, Jörg"


@pytest.mark.parametrize("name", ["müllerjörg", "mu\u0308llerjo\u0308rg", "Jörg Müller", "JM1", "s1", "101"])
def test_a_student_is_found_by_any_name_that_canvas_makes_of_them(written, name):
    assert written(CANVAS).find(name).id == "jm1"


def test_two_students_of_one_name_are_not_guessed_at():
    both = Roster((Person("a", "Li, Na"), Person("b", "Na Li")))
    assert both.find("lina") is None


def test_moodle_worksheet_is_a_roster(written):
    person = written(MOODLE).find("anything", "7001", "moodle")
    assert (person.id, person.name, person.submitted[:7]) == ("jm@uni.example", "Jörg Müller", "Tuesday")


def test_columns_of_our_own_with_semicolons(written):
    assert written("Id;Name;Email\n007;Ada;a@b.c\n").people == (Person("007", "Ada", "a@b.c"),)


def test_a_roster_without_ids_is_refused(written):
    with pytest.raises(CourseError, match="no column `id`"):
        written("Name,Mail\nAda,a@b.c\n")


def test_canvas_columns(written, tmp_path):
    known = written(CANVAS)
    grades = [Grade(known.people[0], 12.5), Grade(known.people[1], None)]
    lms.canvas(grades, HOMEWORK, known, tmp_path / "canvas.csv")
    found = table(tmp_path / "canvas.csv")
    assert list(found) == [*lms.CANVAS, "Homework_01 First one (98765)"]
    assert found.iloc[0].tolist() == ["    Points Possible", "", "", "", "", "25"]
    assert found.iloc[1].tolist() == ["Müller, Jörg", "101", "S1", "jm1", 'A, "8" h', "12.5"]
    assert found.iloc[2].tolist()[-1] == ""  # Canvas changes nothing there


def test_moodle_columns(written, tmp_path):
    lms.moodle([Grade(written(MOODLE).people[0], 12.0, ('3 < 4, "so"', "second"))], HOMEWORK, tmp_path / "moodle.csv")
    row = table(tmp_path / "moodle.csv").iloc[0]
    assert list(row.index) == lms.MOODLE
    assert (row["Identifier"], row["Full name"], row["Grade"]) == ("Participant 7001", "Jörg Müller", "12")
    assert row["Feedback comments"] == '3 &lt; 4, "so"<br>second'


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", " =1"])
def test_a_name_is_never_a_formula(tmp_path, name):
    grades = [Grade(Person("x", name, canvas="1", moodle="2"), 1.0)]
    lms.canvas(grades, HOMEWORK, Roster(), tmp_path / "canvas.csv")
    lms.moodle(grades, HOMEWORK, tmp_path / "moodle.csv")
    assert table(tmp_path / "canvas.csv")["Student"][1] == f"'{name}"
    assert table(tmp_path / "moodle.csv")["Full name"][0] == f"'{name}"
    assert table(tmp_path / "moodle.csv")["Identifier"][0] == "Participant 2"


def test_without_a_roster_canvas_makes_the_assignment(tmp_path):
    lms.canvas([Grade(Person("ada", "ada"), 1.0)], HOMEWORK, Roster(), tmp_path / "canvas.csv")
    assert list(table(tmp_path / "canvas.csv"))[-1] == "homework_01"
