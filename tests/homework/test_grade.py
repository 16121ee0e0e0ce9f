"""What is handed in, in every layout and shape, is sorted by student; what can't be graded is a line, and no more."""

import dataclasses
import functools
import io
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from submissions import TERM, assignment, functions, notebook

from helpers.homework import collect, grade, kept, marks, settings
from helpers.homework import inbox as files
from helpers.homework.collect import Flag
from helpers.homework.lms import Person, Roster
from helpers.homework.marks import Mark, Marks
from helpers.support import CourseError, scheduler

FIRST = assignment("01", *functions("linear_attention"))
SECOND = assignment("02", *functions("weight_update"))
KNOWN = {"01": FIRST, "02": SECOND}
NAME = "homework_01.ipynb"


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def one(file: Path, student: str = "ada", code: str = "x = 1", name: str = "01", term: str = TERM) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    made = notebook(file, [f'homework.start("{name}", "{term}", student)', code])
    made.write_text(made.read_text().replace('student = \\"ada\\"', f'student = \\"{student}\\"'))
    return made


def content(student: str = "ada", code: str = "x = 1", *, folder: Path) -> bytes:
    return one(folder / "scratch" / NAME, student, code).read_bytes()


def packed(members: dict[str, bytes]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, inside in members.items():
            archive.writestr(name, inside)
    return whole.getvalue()


def collected(inbox: Path, roster: Roster | None = None, asked=None):
    found, flags = collect.collected(inbox, asked, KNOWN, roster or Roster(), inbox.parent / "into")
    return {own.student: own for own in found}, {flag.student: flag.what for flag in flags}


CANVAS = "müllerjörg_LATE_101_556_homework_01.ipynb"
LAYOUTS = {
    "canvas": (CANVAS, "müllerjörg"),
    "canvas with spaces": ("müller jörg_101_556_homework_01-2.ipynb", "müller jörg"),
    "canvas decomposed": ("mu\u0308llerjo\u0308rg_101_556_homework_01.ipynb", "müllerjörg"),
    "canvas archive": ("müllerjörg_101_556_homework.zip", "müllerjörg"),
    "moodle folders": (f"Jörg Müller_7001_assignsubmission_file_/{NAME}", "Jörg Müller"),
    "moodle 4 folders": (f"Jörg Müller_7001_assignsubmission_file/{NAME}", "Jörg Müller"),
    "moodle flat": (f"Jörg Müller_7001_assignsubmission_file_{NAME}", "Jörg Müller"),
    "moodle archive": ("Jörg Müller_7001_assignsubmission_file_/my homework.zip", "Jörg Müller"),
    "folders": (f"jm1/{NAME}", "jm1"),
    "nbgrader": (f"jm1/01/{NAME}", "jm1"),
    "loose": ("jm1.ipynb", "jm1"),
    "loose, named": ("jm1_homework_01.ipynb", "jm1"),
    "archive": ("jm1.zip", "jm1"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("whole", [False, True], ids=["folder", "zip"])
def test_layouts(inbox, layout, whole):
    name, student = LAYOUTS[layout]
    raw = content("jm1", folder=inbox.parent)
    inside = packed({f"homework_01/{NAME}": raw}) if name.endswith(".zip") else raw
    if whole:  # the LMS's own archive of the class
        (inbox / "submissions.zip").write_bytes(packed({name: inside, f"other/{NAME}": raw}))
    else:
        (inbox / name).parent.mkdir(parents=True, exist_ok=True)
        (inbox / name).write_bytes(inside)
        one(inbox / "other" / NAME)
    found, _ = collected(inbox)
    assert set(found) == {student, "other"}
    assert found[student].file.read_bytes() == raw
    assert (found[student].drawn, found[student].assignment) == ("jm1", FIRST)


def test_the_roster_knows_a_student_by_number_and_by_name(inbox):
    known = Roster((Person("jm1", "Müller, Jörg", canvas="101"), Person("ao2", "Ada Öz", moodle="7001")))
    one(inbox / CANVAS, "jm1")
    one(inbox / f"Ada Oz_7001_assignsubmission_file_/{NAME}", "somebody else")
    found, flags = collected(inbox, known)
    assert {student: own.drawn for student, own in found.items()} == {"jm1": "jm1", "ao2": "ao2"}
    assert "late" in flags["jm1"]


def test_of_resubmissions_the_latest_counts(inbox):
    for place, name in enumerate(["homework_01", "homework_01-2", "homework_01-10", "homework_01-1"]):
        one(inbox / f"öz_5_{60 + place}_{name}.ipynb", code=f"x = {name!r}")
    assert b"homework_01-10" in collected(inbox)[0]["öz"].file.read_bytes()


def test_a_time_is_the_instructors_and_not_the_students(inbox):
    one(inbox / "ada" / NAME)
    (inbox / "ada" / "timestamp.txt").write_text("2026-03-03 13:00:00 +0100")
    raw = content("bob", folder=inbox.parent)
    (inbox / "bob.zip").write_bytes(packed({NAME: raw, "timestamp.txt": b"2020-01-01 00:00:00"}))
    one(inbox / "eve" / NAME, "eve")
    (inbox / "eve" / "timestamp.txt").write_text("yesterday evening")
    found, flags = collected(inbox)
    assert str(found["ada"].when) == "2026-03-03 12:00:00"
    assert found["bob"].when is None
    assert "can't be read" in flags["eve"]


BAD = {
    "an empty zip": ("bad.zip", packed({}), "empty"),
    "no zip": ("bad.zip", b"PK\x03\x04 and no more", "not a whole zip"),
    "a PDF": ("bad_9_9_homework_01.pdf", b"%PDF-1.7", "no notebook was handed in"),
    "an empty file": (f"bad/{NAME}", b"", "empty file"),
    "corrupt JSON": (f"bad/{NAME}", b'{"cells": [', "damaged"),
    "JSON without cells": (f"bad/{NAME}", b"[1, 2]", "damaged"),
    "JSON without end": (f"bad/{NAME}", b"[" * 100_000, "damaged"),
    "bytes": (f"bad/{NAME}", b"\xff\xfe\x00", "damaged"),
    "an unknown homework": ("bad/homework_77.ipynb", b"{}", "no homework 77"),
    "a name that climbs": ("bad.zip", packed({"../../../evil.ipynb": b"{}"}), "leads out"),
    "a name from the root": ("bad.zip", packed({"/tmp/evil.ipynb": b"{}"}), "leads out"),
    "a name of a drive": ("bad.zip", packed({"C:\\evil.ipynb": b"{}"}), "leads out"),
    "a bomb": ("bad.zip", packed({NAME: bytes(files.MOST + 1)}), "MB"),
    "a crowd of files": ("bad.zip", packed({f"{n}.txt": b"" for n in range(files.MEMBERS + 1)}), "files"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_graded_is_one_line_and_everyone_else_is_graded(inbox, what):
    name, raw, told = BAD[what]
    (inbox / name).parent.mkdir(parents=True, exist_ok=True)
    (inbox / name).write_bytes(raw)
    one(inbox / "good" / NAME)
    before = {path for path in inbox.parent.rglob("*") if path != inbox.parent / "into"}
    found, flags = collected(inbox)
    assert list(found) == ["good"]
    assert list(flags) == ["bad"]
    assert told in flags["bad"]
    assert "\n" not in flags["bad"]
    written = {path for path in inbox.parent.rglob("*") if path.is_file()} - before
    assert written == {found["good"].file}


def test_a_member_that_lies_about_its_size_is_not_unpacked_whole(inbox):
    raw = packed({NAME: bytes(files.MOST + 1)})
    true, false = ((files.MOST + size).to_bytes(4, "little") for size in (1, -files.MOST + 100))
    assert raw.count(true) == 2
    (inbox / "bad.zip").write_bytes(raw.replace(true, false))
    one(inbox / "good" / NAME)
    found, flags = collected(inbox)
    assert (list(found), list(flags)) == (["good"], ["bad"])


def test_two_gigabytes_are_not_read(inbox, monkeypatch):
    (inbox / "bad").mkdir()
    with (inbox / "bad" / NAME).open("wb") as file:
        os.truncate(file.fileno(), 2 << 30)
    one(inbox / "good" / NAME)
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) if "bad" not in path.parts else pytest.fail("read"))
    found, flags = collected(inbox)
    assert list(found) == ["good"]
    assert "2,147 MB and was not read" in flags["bad"]


def test_two_different_notebooks_are_a_persons_choice_and_two_equal_ones_are_one(inbox):
    for student, codes in {"two": ("x = 1", "x = 2"), "same": ("x = 1", "x = 1")}.items():
        for name, code in zip(("a", "b"), codes, strict=True):
            one(inbox / student / f"homework_01{name}.ipynb", student, code)
    found, flags = collected(inbox)
    assert list(found) == ["same"]
    assert "2 notebooks: two/homework_01a.ipynb, two/homework_01b.ipynb" in flags["two"]


def test_of_a_notebook_and_another_version_it_is_said_which_was_taken(inbox):
    for student, other in {"ada": "homework_01 (1)", "bob": "solution_final"}.items():
        one(inbox / student / NAME, student)
        one(inbox / student / f"{other}.ipynb", student, "x = 2")
    one(inbox / "eve" / NAME, "eve")
    one(inbox / "eve" / "homework_02.ipynb", "eve", name="02")
    found, flags = collected(inbox, asked=FIRST)
    assert set(found) == {"ada", "bob", "eve"}
    assert flags == {
        "ada": "ada/homework_01 (1).ipynb was taken, and not ada/homework_01.ipynb",
        "bob": "bob/homework_01.ipynb was taken, and not bob/solution_final.ipynb",
    }


def test_two_who_name_the_same_student_are_told(inbox):
    one(inbox / "ada" / NAME)
    one(inbox / "bob" / NAME, " ADA")
    found, flags = collected(inbox)
    assert set(found) == {"ada", "bob"}
    assert "bob" in flags["ada"]
    assert "ada" in flags["bob"]


def test_two_students_of_one_name_stay_two(inbox):
    one(inbox / f"nali_1_5_{NAME}", "nl1")
    one(inbox / f"nali_2_6_{NAME}", "nl2")
    assert {own.drawn for own in collected(inbox)[0].values()} == {"nl1", "nl2"}


def test_an_archive_speaks_for_its_owner_only(inbox):
    raw = content("bob", folder=inbox.parent)
    (inbox / "bob.zip").write_bytes(packed({f"ada_1_2_{NAME}": raw}))
    one(inbox / "ada" / NAME)
    assert set(collected(inbox)[0]) == {"ada", "bob"}
    assert collected(inbox)[0]["bob"].file.read_bytes() == raw


def test_the_homework_is_told_by_name_by_the_one_asked_for_and_by_its_cells(inbox):
    one(inbox / "ada" / "homework_02.ipynb", name="02")
    one(inbox / "bob.ipynb", "bob", name="02")
    notebook(inbox / "eve.ipynb", ["x = 1"])
    one(inbox / "odd" / NAME, name="02")
    found, flags = collected(inbox)
    assert {student: own.assignment.name for student, own in found.items()} == {"ada": "02", "bob": "02"}
    assert "neither" in flags["eve"]
    assert "has the cells of homework 02" in flags["odd"]
    found, flags = collected(inbox, asked=FIRST)
    assert {student: own.assignment.name for student, own in found.items()} == {"eve": "01"}
    assert "is homework 02, not 01" in flags["ada"]


def test_last_terms_version_is_recognised(inbox):
    one(inbox / "ada" / NAME, term="2025")
    made = nbformat.read(one(inbox / "bob" / NAME), 4)
    made.metadata.homework = {"name": "01", "term": "2024"}
    nbformat.write(made, inbox / "bob" / NAME)
    found, flags = collected(inbox)
    assert not found
    assert "another term, '2025'" in flags["ada"]
    assert "another term, '2024'" in flags["bob"]


def test_nothing_there_is_said(inbox):
    with pytest.raises(CourseError, match="Nothing was handed in"):
        collected(inbox)
    with pytest.raises(CourseError, match="There is no"):
        collected(inbox / "nowhere")


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", "..", "", "x*[1]", " . "])
def test_a_students_folder_is_a_plain_name(name):
    assert not set(collect.safe(name)) & set("/\\*[]?")
    assert collect.safe(name).strip(". ")


Here = functools.partial(ThreadPoolExecutor, 1)


@pytest.fixture
def marking(inbox, monkeypatch):
    """Three submissions, and marks that are counted as they are given."""
    monkeypatch.setenv("COURSE_HOMEWORK", str(inbox.parent / "homework"))
    for student in ("ada", "bob", "eve"):
        one(inbox / student / NAME, student)
    given = []

    def of(file, student, homework, key):
        given.append(student)
        return Marks(student, homework.name, (Mark("f-linear_attention", 1, 1, 10.0, "passed"),))

    monkeypatch.setattr(marks, "of", of)
    return list(collected(inbox)[0].values()), given


def test_a_second_run_gives_no_mark_again(marking):
    submissions, given = marking
    first = grade.marked(submissions, "0" * 32, Here)
    assert grade.marked(submissions, "0" * 32, Here) == first
    assert sorted(given) == ["ada", "bob", "eve"]


def test_another_key_or_other_points_do(marking, monkeypatch):
    submissions, given = marking
    grade.marked(submissions, "0" * 32, Here)
    grade.marked(submissions, "1" * 32, Here)
    monkeypatch.setattr(kept, "version", lambda: "another")
    grade.marked(submissions, "1" * 32, Here)
    assert len(given) == 9


def test_a_run_that_was_stopped_goes_on(marking, monkeypatch):
    submissions, given = marking
    whole, rest = kept.given, iter([None, KeyboardInterrupt, KeyboardInterrupt])

    def stopped(*job):
        if error := next(rest):
            raise error
        return whole(*job)

    monkeypatch.setattr(kept, "given", stopped)
    with pytest.raises(KeyboardInterrupt):
        grade.marked(submissions, "0" * 32, Here)
    monkeypatch.setattr(kept, "given", whole)
    assert len(grade.marked(submissions, "0" * 32, Here)[0]) == 3
    assert len(given) == 3


def test_one_that_cannot_be_marked_is_a_line(marking, monkeypatch):
    submissions, _ = marking
    whole = kept.given
    monkeypatch.setattr(kept, "given", lambda c, s, *job: whole(c, s, *job) if s != "bob" else 1 / 0)
    found, flags = grade.marked(submissions, "0" * 32, Here)
    assert set(found) == {"ada", "eve"}
    assert flags == [Flag("bob", "not graded: marking it ended with ZeroDivisionError: division by zero")]


def test_marks_from_a_cluster_are_the_same(inbox, monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setenv("COURSE_HOMEWORK", str(inbox.parent / "homework"))
    one(inbox / "ada" / NAME, code="def linear_attention(q, k, v):\n    return (q @ k.T).tril() @ v")
    submissions = list(collected(inbox)[0].values())
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        found, flags = grade.marked(submissions, "0" * 32, lambda: grade.pool(1, cluster.scheduler_address))
    assert not flags
    assert found["ada"] == kept.given(submissions[0].file.read_bytes(), "ada", FIRST, "0" * 32)
    assert found["ada"].marks[0].status == "passed"


def test_no_cluster_there_is_said(monkeypatch):
    monkeypatch.setattr(scheduler, "PATIENCE", 0.5)
    with pytest.raises(CourseError, match="No Dask scheduler answers"), grade.pool(1, "tcp://127.0.0.1:9"):
        pass


@pytest.fixture
def own(inbox, monkeypatch):
    """A notebook as it was released with points of the instructor's own choice, on a machine without homework.yaml."""
    monkeypatch.setenv("COURSE_HOMEWORK", str(inbox.parent / "nowhere"))
    file = one(inbox / NAME, code="def linear_attention(q, k, v):\n    return q @ k.T @ v", term="1999")
    made = nbformat.read(file, 4)
    for id, points in {"f-linear_attention": 6.0, "verdict": 8.0, "q-1": 7.0}.items():
        about = {"grade_id": id, "grade": True, "points": points}
        made.cells.append(nbformat.v4.new_markdown_cell("An answer.", metadata={"nbgrader": about}))
    nbformat.write(made, file)
    return file


def test_ones_own_mark_again(own, capsys):
    """With the published key, on any machine: what the instructor's run gave, by the points that were released."""
    assert grade.main(["--mine", str(own), "--key", "0" * 32]) == 0
    told = capsys.readouterr().out.splitlines()
    items = settings.load().assignment("01").items
    homework = dataclasses.replace(
        FIRST,
        term="1999",
        items=tuple(
            dataclasses.replace(item, points={"verdict": 8.0, "q-1": 7.0}.get(item.id, 6.0))
            for item in items
            if item.id in ("f-linear_attention", "verdict", "q-1")
        ),
    )
    expected = marks.of(own, "ada", homework, "0" * 32).marks
    assert 0 < expected[0].points < 6.0
    assert f"{expected[0].points:g} of 6" in told[0]
    assert expected[0].mistake in told[0]
    assert "by a person" in told[2]
    assert f"{sum(mark.points or 0.0 for mark in expected):g}" == told[3].split()[-1]


def test_a_key_that_is_none_is_said(own):
    with pytest.raises(CourseError, match="32 hex digits"):
        grade.main(["--mine", str(own), "--key", "nonsense"])
