"""A small class through the real nbgrader: its gradebook has marks.of's points, its pages say what was wrong."""

import contextlib
import html
import io
import json
import os
import re
import shutil
import subprocess
import sys

import nbformat
import pandas as pd
import pytest
from handed_in import FORGED, LAST, NO_MASK, RIGHT, YAML, answered, id_of, made, write
from nbgrader.api import Gradebook

from helpers.homework import allowed, grade, hunted, kept, release, sandbox, settings, tables, with_nbgrader
from helpers.homework.gradebook import Course
from helpers.support import ROOT, CourseError

WHY = {"why_1": "Because the mask is gone.", "paragraph": "It allows little.", "q_1": "Yes.", "q_2": "No."}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The folder of a small class, graded; what was printed."""
    folder = tmp_path_factory.mktemp("class") / "homework"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_HOMEWORK", str(folder))
        with contextlib.redirect_stdout(io.StringIO()):
            blank = made(folder)
        inbox = folder.parent / "inbox"
        hand_in(blank, inbox)
        told = io.StringIO()
        with contextlib.redirect_stdout(told):
            assert grade.main([str(inbox), "--workers", "2"]) == 0
        yield folder, inbox, told.getvalue()


def hand_in(blank, inbox):
    """Right, half right, nothing done, hostile, late and with umlauts, and with cells taken out."""

    def one(student, code, **texts):
        return answered(blank, student, code, **texts)

    write(one("right", RIGHT, **WHY), inbox / "right.ipynb")
    write(one("wrong", NO_MASK), inbox / "wrong.ipynb")
    write(blank, inbox / "empty" / "homework_01.ipynb")
    write(hostile(one("hostile", FORGED)), inbox / "hostile.ipynb")
    write(one("grüße jörg", RIGHT, **WHY), inbox / "grüße jörg" / "homework_01.ipynb")
    (inbox / "grüße jörg" / "timestamp.txt").write_text("2026-03-03 13:00:00 UTC")
    write(without(one("cut", RIGHT), "f-linear_attention", "why-1", LAST), inbox / "cut.ipynb")
    about = json.loads((inbox / "cut.ipynb").read_text())
    for cell in about["cells"]:
        cell["metadata"].get("nbgrader", {})["schema_version"] = 1  # nbgrader would end here, for the whole class
    (inbox / "cut.ipynb").write_text(json.dumps(about))


def hostile(own):
    """Graded cells that look graded, with points of the student's own choice, and an id twice."""
    for cell in own.cells:
        if id_of(cell).startswith("f-"):
            cell.metadata.nbgrader.points = 1000
            cell.source = "1000"
            cell.outputs = [nbformat.v4.new_output("execute_result", data={"text/plain": "1000"})]
    twice = next(cell for cell in own.cells if id_of(cell) == "why-1")
    own.cells.append(nbformat.v4.new_markdown_cell("Again.", metadata=twice.metadata))
    own.metadata["graded"] = "yes"
    return own


def without(own, *names):
    """A notebook in which these cells were deleted, and an answer stands in a cell of the student's own."""
    code = next(cell.source for cell in own.cells if id_of(cell) == LAST)
    own.cells = [cell for cell in own.cells if id_of(cell) not in names]
    own.cells.append(nbformat.v4.new_code_cell(code))
    return own


def points(folder, student):
    """What the gradebook has, by item."""
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}", "") as book:
        submission = book.find_submission("01", student)
        return {own.name: own.auto_score for notebook in submission.notebooks for own in notebook.grades}


STUDENTS = ["right", "wrong", "empty", "hostile", "grüße jörg", "cut"]


@pytest.mark.parametrize("student", STUDENTS)
def test_the_gradebook_has_the_points_of_marks(course, student):
    folder, *_ = course
    homework = settings.load().assignment("01")
    job = with_nbgrader.submitted(folder / "submitted" / student / "01" / "homework_01.ipynb", student, homework)
    given = {mark.item: mark.points for mark in kept.of(*job).marks if mark.points is not None}
    assert points(folder, student).items() >= given.items()


def test_the_points_are_those_that_each_deserves(course):
    folder, *_ = course
    functions = {student: points(folder, student)["f-linear_attention"] for student in STUDENTS}
    full = functions.pop("right")
    assert full > 0
    assert functions.pop("wrong") < full
    assert {functions.pop(name) for name in ("empty", "hostile")} == {0.0}
    assert set(functions.values()) == {full}  # umlauts, cells taken out, late, an old nbgrader's metadata


def test_written_answers_wait_for_a_person_and_empty_ones_do_not(course):
    folder, _, told = course
    assert points(folder, "right")["why-1"] is None
    assert points(folder, "empty")["why-1"] == 0.0
    assert points(folder, "cut")["why-1"] is None  # it may be elsewhere in the notebook
    waiting = sum(points(folder, student)[id] is None for student in STUDENTS for id in ("why-1", "paragraph", "q-1"))
    assert f"{waiting + 2} written answers wait" in told  # q-2 of two


def test_late_points_are_taken_off_by_day(course):
    result = Course(settings.load().assignment("01")).results()["grüße jörg"]
    assert result.penalty == pytest.approx(0.2 * sum(filter(None, result.items.values())))  # two days have begun


def test_pages_say_what_was_wrong(course):
    folder, *_ = course
    page = (folder / "feedback" / "wrong" / "01" / "homework_01.html").read_text(encoding="utf-8")
    assert "partly right" in page or "✗ failed" in page
    assert "mask" in page
    assert "HIDDEN" not in page
    assert [file.name for file in (folder / "feedback" / "wrong" / "01").iterdir()] == ["homework_01.html"]


def test_a_page_shows_what_was_drawn(course):
    """The functions, the reasons of those not exposed (the deadline is over), and the table, as HTML."""
    folder, *_ = course
    homework = settings.load().assignment("01")
    page = (folder / "feedback" / "wrong" / "01" / "homework_01.html").read_text(encoding="utf-8")
    text = " ".join(html.unescape(re.sub("<[^>]*>", "", page)).split())
    for bug in hunted.wrong(homework, "wrong").values():
        assert " ".join(bug.source.split()) in text
        assert bug.why.split(".")[0] in text.replace("`", "")
    table = tables.table(homework.term, "01", "wrong")
    assert f"<td>{table.rows[0].name}</td>" in page
    assert all(sentence in text for sentence in table.sentences.values())
    assert "Test cell" not in page


def test_what_a_person_has_not_read_is_no_lost_point(course):
    folder, *_ = course
    page = (folder / "feedback" / "right" / "01" / "homework_01.html").read_text(encoding="utf-8")
    assert "Not read yet: 4 written answers, 6 points together." in page
    assert re.search(r"homework_01 \(Score: [\d.]+ / 23.0\)", page)
    assert 'href="#why-1"' not in page


def test_whoever_reads_the_answers_has_reasons_and_keys(course):
    folder, *_ = course
    file = folder / "grades" / "01" / "drawn.md"
    part = file.read_text(encoding="utf-8").split("## right\n")[1].split("\n## ")[0]
    homework = settings.load().assignment("01")
    assert all(bug.why in part for bug in hunted.wrong(homework, "right").values())
    table = tables.table(homework.term, "01", "right")
    for letter, right in allowed.key(table).items():
        assert f"- **{letter}: {right}.** {table.sentences[letter]}" in part
    assert file.stat().st_mode & 0o077 == 0


def test_nothing_is_marked_or_asked_for_again(course, monkeypatch, capsys):
    """A person's points stay, the page is made anew with them, and only that one."""
    folder, inbox, _ = course
    book = Gradebook(f"sqlite:///{folder / 'gradebook.db'}", "")
    own = book.find_grade("why-1", "homework_01", "01", "right")
    own.manual_score, own.needs_manual_grade = 0.5, False
    book.db.commit()
    book.close()
    shown = []
    monkeypatch.setattr(Course, "feedback", lambda self, student: shown.append(student) or "")
    monkeypatch.setattr(kept, "given", None)  # no mark is given
    assert grade.main([str(inbox)]) == 0
    assert shown == ["right"]
    result = Course(settings.load().assignment("01")).results()["right"]
    assert (result.items["why-1"], result.items["q-1"]) == (0.5, None)


def test_other_points_and_dates_ask_for_no_written_answer_again(course, monkeypatch):
    """But an item of other points is asked for; and nothing is graded while the release has still the former ones."""
    folder, inbox, _ = course
    yaml, before = folder / "homework.yaml", points(folder, "right")
    yaml.write_text(YAML.replace("bugs: 6", "bugs: 8").replace("03-02", "03-03"))
    with pytest.raises(CourseError, match="bug-1, bug-2 differ"):
        grade.main([str(inbox)])
    assert points(folder, "right") == before
    assert release.main(["01"]) == 0
    monkeypatch.setattr(Course, "feedback", lambda self, student: "")
    assert grade.main([str(inbox), "--workers", "2"]) == 0
    results = Course(settings.load().assignment("01")).results()
    assert (results["right"].items["why-1"], results["right"].items["q-1"]) == (0.5, None)
    assert results["grüße jörg"].penalty == pytest.approx(0.1 * sum(filter(None, results["grüße jörg"].items.values())))
    yaml.write_text(YAML)
    assert release.main(["01"]) == 0
    assert grade.main([str(inbox), "--workers", "2"]) == 0
    assert Course(settings.load().assignment("01")).results()["right"].items["why-1"] == 0.5


def test_tables_are_called_incomplete_while_answers_wait(course):
    folder, *_ = course
    table = pd.read_csv(folder / "grades" / "01" / "canvas-incomplete.csv", dtype=str)
    assert set(table["Student"].str.strip()) == {"Points Possible", *STUDENTS}
    assert not (folder / "grades" / "01" / "canvas.csv").exists()


def test_nbgrader_of_its_own_gives_the_same(course, tmp_path):
    """`nbgrader autograde` in the course folder, with the configuration that `grade` uses."""
    folder, *_ = course
    (folder / "nbgrader_config.py").write_text(
        "from helpers.homework import with_nbgrader\nwith_nbgrader.configure(get_config())\n"
    )
    before = points(folder, "wrong")
    shutil.rmtree(folder / "autograded" / "wrong")
    command = [sys.executable, "-m", "nbgrader", "autograde", "01", "--student", "wrong", "--force"]
    path = os.pathsep.join([str(ROOT), *sys.path])
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert points(folder, "wrong") == before


def test_tables_are_complete_once_a_person_has_read_everything(course, monkeypatch):
    """With what written answers brought, less the share for being late."""
    folder, inbox, _ = course
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}", "") as book:
        for submission in book.assignment_submissions("01"):
            for own in (own for notebook in submission.notebooks for own in notebook.grades if own.needs_manual_grade):
                own.manual_score, own.needs_manual_grade = 1.0, False
        book.db.commit()
    monkeypatch.setattr(Course, "feedback", lambda self, student: "")
    assert grade.main([str(inbox)]) == 0
    table = pd.read_csv(folder / "grades" / "01" / "canvas.csv", dtype={"homework_01": float}).set_index("Student")
    items = points(folder, "grüße jörg")
    machine = sum(filter(None, items.values()))
    by_person = sum(score is None for score in items.values())
    assert table["homework_01"]["grüße jörg"] == pytest.approx(0.8 * (machine + by_person))
    assert not (folder / "grades" / "01" / "canvas-incomplete.csv").exists()


def test_one_who_comes_later_joins_the_class(course, capsys):
    """Tables and report are of all that are in the gradebook; who has another id since there is a roster is told."""
    folder, *_ = course
    blank = nbformat.read(folder / "release" / "01" / "homework_01.ipynb", 4)
    write(answered(blank, "somebody", RIGHT, **WHY), folder.parent / "later" / "new.ipynb")
    (folder / "roster.csv").write_text("id,name\nw1,Wrong\nnew,Ny\n")
    try:
        assert grade.main([str(folder.parent / "later"), "--workers", "1"]) == 0
    finally:
        (folder / "roster.csv").unlink()
    told = capsys.readouterr().out
    assert told.startswith(sandbox.isolation())  # what this machine stops, and what not
    assert "6 graded (5 of them earlier)" in told
    assert "No time of handing in is known for 1 of 1" in told
    table = pd.read_csv(folder / "grades" / "01" / "canvas-incomplete.csv", dtype=str)
    assert set(table["Student"].str.strip()) == {"Points Possible", "Ny", "Wrong", *STUDENTS} - {"wrong"}
    report = (folder / "grades" / "01" / "report.html").read_text(encoding="utf-8")
    assert "the roster has them as &#x27;w1&#x27;" in report
    assert "<td>new (Ny)</td>" in report
    page = (folder / "feedback" / "new" / "01" / "homework_01.html").read_text(encoding="utf-8")
    assert "names another id ('somebody'): functions and table here are those of 'new'." in html.unescape(page)
