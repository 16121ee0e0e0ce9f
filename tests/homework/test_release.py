"""What `make homework` makes: for students nothing that gives an answer away, and the same bytes at every run."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import jupytext
import nbformat
import pytest
import torch
from nbgrader.converters import GenerateAssignment
from nbgrader.converters.base import NbGraderException

from helpers.check import EXERCISES, verdict
from helpers.check.engine import WRITE
from helpers.homework import (
    allowed,
    bugs,
    bundle,
    draws,
    examples,
    inputs,
    notebook,
    questions,
    release,
    settings,
    student,
)
from helpers.support import ROOT, CourseError

BARE = """import sys


class Bare:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"helpers", "numpy", "pandas", "jaxtyping", "transformers", "nbgrader", "yaml"}:
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, Bare())
"""


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The instructor's folder after `python -m helpers homework`, and what it printed."""
    folder = tmp_path_factory.mktemp("homework")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_HOMEWORK", str(folder))
        assert release.main([]) == 0
        yield folder


def archive(folder: Path, name: str) -> Path:
    return folder / "release" / f"homework_{name}.zip"


def texts(file: Path) -> dict[str, str]:
    """The files of an archive, all of them text."""
    with zipfile.ZipFile(file) as opened:
        return {name: opened.read(name).decode() for name in opened.namelist()}


def cells(text: str) -> list[str]:
    return [cell.source for cell in nbformat.reads(text, 4).cells]


def solutions() -> set[str]:
    """The lines of every solution in the course's notebooks, but those that stand in any program."""
    found = set()
    for path in sorted((ROOT / "notebooks" / "source").glob("*.py")):
        for cell in jupytext.read(path).cells:
            for part in re.findall(r"# BEGIN SOLUTION\n(.*?)# END SOLUTION", cell.source, re.DOTALL):
                found |= {line.strip() for line in part.splitlines() if len(line.strip()) > 12}
    return found


def answers(key: str) -> set[str]:
    """What no student may read: reasons, whys, the key, marks of what is hidden."""
    reasons = {text for rule in allowed.RULES.values() for text in (rule.yes, rule.no)}
    pieces = {piece.strip() for text in reasons for piece in re.split(r"\{.*?\}", text)}
    whys = {bug.why for name in settings.names() for bug in bugs.bank(name).values()}
    asked = [question for name in settings.names() for question in questions.written(name).values()]
    samples = {sample.answer for question in asked for sample in question.samples}
    names = {f'"{name}"' for assignment in settings.names() for name in bugs.bank(assignment)}
    hidden = {key, "HIDDEN", "SOLUTION", "import grade"}
    return {piece for piece in pieces if len(piece) > 20} | whys | samples | names | hidden


@pytest.mark.parametrize("name", settings.names())
def test_a_bundle_gives_nothing_away(course, name):
    found, key = texts(archive(course, name)), settings.key(name)
    made = nbformat.reads(found[f"homework_{name}.ipynb"], 4)
    code = [cell for cell in made.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    for file, text in found.items():
        text = "\n".join(cells(text)) if file.endswith(".ipynb") else text
        assert [line for line in answers(key) if line in html.unescape(text)] == [], file
        if not file.startswith("bugs_"):  # wrong functions have right lines
            assert [line for line in solutions() if line in text] == [], file
    right = {"".join(lines.split()) for lines in whole_solutions()}
    for bug in json.loads(found[f"bugs_{name}.json"])["bugs"].values():
        assert "".join(bug["source"].partition("\n")[2].split()) not in right


def whole_solutions() -> list[str]:
    found = []
    for path in sorted((ROOT / "notebooks" / "source").glob("*.py")):
        found += re.findall(r"# BEGIN SOLUTION\n(.*?)# END SOLUTION", path.read_text(encoding="utf-8"), re.DOTALL)
    return found


def test_the_search_would_find_it(course):
    """The instructor's version holds what the search looks for."""
    text = (course / "source" / "01" / "homework_01.ipynb").read_text(encoding="utf-8")
    source = "\n".join(cells(text))
    assert [line for line in solutions() if line in source]
    assert {"HIDDEN", "SOLUTION", "import grade"} <= {line for line in answers(settings.key("01")) if line in source}


def test_a_bundle_is_small_and_says_what_counts(course, capsys):
    found = texts(archive(course, "02"))
    assert archive(course, "02").stat().st_size < 100_000
    assert set(found) == {*bundle.files("02"), "homework_02.ipynb", "start_here.html"}
    assignment = settings.load().assignment("02")
    for item in assignment.items:
        assert f"<td>{html.escape(item.title)}<td>{item.points:g}</tr>" in found["start_here.html"]
    named = [cell.metadata.nbgrader for cell in nbformat.reads(found["homework_02.ipynb"], 4).cells if cell.metadata]
    graded = {about.grade_id: about.points for about in named if about.grade}
    assert graded == {item.id: item.points for item in assignment.items}
    for rule in ("earns an eighth", "takes an eighth away", "Six right, one wrong, one *None*: five eighths"):
        assert rule in cells(found["homework_02.ipynb"])[0]


def test_two_runs_give_the_same_bytes(course, tmp_path, monkeypatch):
    files = [course / kind / "homework_06.zip" for kind in ("release", "otter")]
    before = [file.read_bytes() for file in files]
    release.main(["06"])
    assert [file.read_bytes() for file in files] == before
    monkeypatch.setenv("COURSE_HOMEWORK", str(tmp_path))
    shutil.copy(course / "homework.yaml", tmp_path)
    release.main(["06"])
    assert [(tmp_path / file.relative_to(course)).read_bytes() for file in files] == before


def test_dates_and_points_are_told(course, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_HOMEWORK", str(tmp_path))
    (tmp_path / "homework.yaml").write_text(
        'late: 0.2\nnotebooks:\n  "06": {due: 2026-10-12 18:00, points: {written: 0, bugs: 40}}'
    )
    release.main(["06"])
    told = capsys.readouterr().out
    assert "90 points" in told
    assert "due 2026-10-12 18:00" in told
    found = texts(archive(tmp_path, "06"))
    made = "\n".join(cells(found["homework_06.ipynb"]))
    for text in (found["start_here.html"], made):
        assert "Monday 12 October 2026, 18:00" in text
        assert "costs 20% of the points" in text
    assert "**bug hunts, 40 points**" in made
    assert "written answers" not in made
    assert "of the course, “" not in made


@pytest.mark.parametrize("name", settings.names())
def test_students_are_told_what_of_the_course_they_need(name):
    assignment = settings.load().assignment(name)
    for text in (notebook.head(assignment), html.unescape(release.sheet(assignment))):
        assert f"build on notebook {name} of the course, “{assignment.title}”" in text
    assert "with the whole course and not with these files alone" in " ".join(release.sheet(assignment).split())


def executed(folder: Path, name: str, path: str) -> list[nbformat.NotebookNode]:
    """A notebook's code cells after a run in a real kernel, beside its files; errors don't stop it."""
    command = [sys.executable, "-m", "jupyter", "execute", "--allow-errors", "--inplace", f"homework_{name}.ipynb"]
    subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": path}, check=True, capture_output=True)
    ran = nbformat.read(folder / f"homework_{name}.ipynb", 4)
    return [cell for cell in ran.cells if cell.cell_type == "code"]


def named(folder: Path, name: str, student: str, archived: Path) -> None:
    """A student's folder: unpacked, the id filled in."""
    with zipfile.ZipFile(archived) as opened:
        opened.extractall(folder)
    file = folder / f"homework_{name}.ipynb"
    file.write_text(file.read_text(encoding="utf-8").replace('student = \\"\\"', f'student = \\"{student}\\"'))


def said(cell: nbformat.NotebookNode) -> str:
    return "".join(out.get("text", "") or out.get("data", {}).get("text/markdown", "") for out in cell.outputs)


def test_an_unanswered_notebook_runs_with_torch_and_jupyter_alone(course, tmp_path):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "sitecustomize.py").write_text(BARE)
    named(tmp_path, "02", "ada", archive(course, "02"))
    ran = {cell.id: cell for cell in executed(tmp_path, "02", str(tmp_path / "bare"))}
    assert [cell for cell in ran.values() if any(out.output_type == "error" for out in cell.outputs)] == []
    quiet = [id for id, cell in ran.items() if said(cell).startswith("○ Not attempted")]
    assert quiet == [item.id for item in settings.load().assignment("02").items if item.kind in ("function", "bug")]
    bank = bugs.bank("02")
    drawn = draws.bugs(settings.load().assignment("02").term, "02", "ada", list(bank))
    for number, name in enumerate(drawn, 1):
        assert bank[name].source.strip() in said(ran[f"show-bug-{number}"])
    assert all(f"**{letter}.**" in said(ran["show-table"]) for letter in "ABCDEFGH")


def test_without_a_student_id_it_says_what_to_do(course, tmp_path):
    named(tmp_path, "06", " ", archive(course, "06"))
    for cell in executed(tmp_path, "06", ""):
        errors = [out for out in cell.outputs if out.output_type == "error"]
        if cell.id == "start":
            assert errors[0].ename == "Told"
            assert "first" in errors[0].evalue
            assert len(errors[0].traceback) == 1
        else:
            assert errors == [], cell.id
        if cell.id in ("show-bug-1", "bug-1", "show-table"):
            assert said(cell).startswith("○ Your student id comes first")


def test_the_instructors_version_passes_its_own_checks(course, tmp_path, monkeypatch, capsys):
    """Solutions, examples and hidden tests agree, for every exercise there is."""
    for name in settings.names():
        own = [exercise.name for exercise in EXERCISES.values() if number(exercise.number) == name]
        every = tmp_path / f"{name}.yaml"
        every.write_text(f'notebooks: {{"{name}": {{exercises: [{", ".join(own)}]}}}}')
        source = notebook.made(settings.load(every).assignment(name))
        names = {"homework": student, "torch": torch}
        for cell in source.cells:
            if cell.id.startswith(("write-", "f-")):
                exec(compile(cell.source, cell.id, "exec"), names)
        told = capsys.readouterr().out
        shown = [name for name in own if "there is no example" not in notebook._visible(EXERCISES[name])]
        assert told.count("✓") + told.count("Several answers") == len(shown) >= len(own) - 1


def number(exercise: str) -> str:
    return exercise.split(".")[0].zfill(2)


def test_what_was_changed_by_hand_is_not_overwritten(course):
    file = course / "source" / "03" / "homework_03.ipynb"
    before = file.read_text(encoding="utf-8")
    changed = nbformat.reads(before, 4)
    changed.cells[0].source += "\nMine."
    file.write_text(nbformat.writes(changed), encoding="utf-8")
    with pytest.raises(CourseError, match="changed by hand"):
        release.main(["03"])
    assert "Mine." in file.read_text(encoding="utf-8")
    file.write_text(before, encoding="utf-8")


def test_what_breaks_off_leaves_the_old_archives(course, monkeypatch):
    before = {file: file.read_bytes() for file in course.glob("*/*.zip")}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OSError, match="No space"):
        release.write(archive(course, "01"), {"a": b""})
    assert {file: file.read_bytes() for file in course.glob("*/*.zip")} == before
    assert list(course.rglob(".unfinished*")) == []


def test_what_nbgrader_cannot_make_leaves_the_old_release(course, monkeypatch):
    def broken(self):
        shutil.rmtree(course / "release" / "03")
        self.log.error("Traceback\nRuntimeError: Cannot add or remove cells")
        raise NbGraderException("See above")

    before = {file: file.read_bytes() for file in course.glob("*/03/*")}
    monkeypatch.setattr(GenerateAssignment, "start", broken)
    with pytest.raises(CourseError, match="Cannot add or remove cells"):
        release.main(["3"])
    assert {file: file.read_bytes() for file in course.glob("*/03/*")} == before


def test_an_unknown_notebook_is_told_what_there_is(course):
    with pytest.raises(CourseError, match="Choose: 01"):
        release.main(["07"])


@pytest.mark.parametrize("name", settings.names())
def test_numbers_in_place_of_names_draw_the_same_bugs(name):
    bank, told = bugs.bank(name), json.loads(bundle.bank(name))["bugs"]
    for place in range(40):
        by_name = draws.bugs("2026", name, f"s{place}", list(bank))
        by_number = draws.bugs("2026", name, f"s{place}", list(told))
        assert [bank[one].source for one in by_name] == [told[one]["source"] for one in by_number]


def test_an_example_is_none_of_what_is_graded():
    """Several answers to 3.5 and to what is designed are right, so their examples ask for none."""
    assert examples.of(EXERCISES["gd_as_attention"]).expected is None
    assert examples.of(EXERCISES["telling_valley"]).expected is None
    asked = [exercise for exercise in EXERCISES.values() if exercise.kind in (WRITE, "derive")]
    assert all(examples.of(exercise).expected for exercise in asked if exercise.name != "gd_as_attention")


DIAGNOSES = [exercise for exercise in EXERCISES.values() if exercise.kind == "diagnose"]


@pytest.mark.parametrize("exercise", DIAGNOSES, ids=lambda exercise: exercise.name)
def test_a_flaw_is_looked_for_with_the_analysis_at_hand_and_without_the_answer(exercise):
    text = "\n\n".join(notebook._posed(exercise, 4.0))
    for choices in examples.choices(exercise):
        assert all(re.search(rf"^\W*{choice}\b", text, re.M) for choice in choices)
    assert not re.search(r"^#|\{\w+:", text, re.M)
    assert len(text.split()) > 100
    visible = notebook._visible(exercise)
    answers = {"right": exercise.course(), "first": tuple(choices[0] for choices in examples.choices(exercise))}
    for answer in answers.values():  # the check says the same of a right answer as of a wrong one
        names = {"homework": student, exercise.name: lambda answer=answer: answer}
        assert exec(visible, names) is None
    assert str(answers["right"]) not in visible


def attempted(answer):
    """A function that answers this."""

    def guess():
        return answer

    return guess


def test_a_choice_is_told_to_be_one_and_not_whether_it_is_right(capsys):
    for answer in ((1, "b"), ("2", "A"), [2, " B "]):
        student.chosen(attempted(answer), "1 2", "A B")
        assert re.match(r"✓ Chosen: [12], [AB]\. Whether it is right, grading says\.", capsys.readouterr().out)
    for answer, told in (
        ((3, "A"), r"3 can't be chosen; choose one of 1, 2\."),
        ((1, "one"), "'one' can't be chosen; choose one of A, B"),
        ((True, "A"), "True can't be chosen"),
        ((1.0, "A"), "1.0 can't be chosen"),
        ((1, ["A"]), "can't be chosen"),
        (1, "2 things are asked for; this returns 1"),
        ((1, "A", "B"), "this returns 3"),
        (None, "is the `return` missing"),
    ):
        with pytest.raises(student.Told, match=told):
            student.chosen(attempted(answer), "1 2", "A B")


def test_what_has_many_forms_is_shown_as_it_is(capsys):
    student.gives(lambda words, shown: [word for word in words if word not in shown], words={"a": "b"}, shown=["c"])
    assert "gives ['a']" in capsys.readouterr().out
    with pytest.raises(student.Told, match="is the `return` missing"):
        student.gives(lambda words: None, words=["a"])


def test_a_flaw_s_title_stands_in_the_list_of_what_counts():
    items = settings.load().assignment("06").items
    assert "Exercise 6.D2: What is wrong with this analysis?" in [item.title for item in items]
    assert {"f-momentum_weight", "f-flaw_of_the_interval"} <= {item.id for item in items}
    assert "f-telling_valley" not in {item.id for item in items}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("lambda q: q[:1]", "shape"),
        ("lambda q: q + 1e-3", "where"),
        ("lambda q: (q, q)", "2 things"),
        ("lambda q: q.float()", "torch.float32 for float64 inputs and would not count"),
        ("lambda q: q.numpy()", "must be a tensor"),
        ("lambda q: q / 0", "inf or nan"),
        ("lambda q: q.tolist()", "must be a tensor"),
    ],
)
def test_a_wrong_answer_to_an_example_is_told(wrong, told):
    with pytest.raises(student.Told, match=told):
        student.example(eval(wrong), expected=[[0.5, 1.5], [2.5, 0.0]], q=[[0.5, 1.5], [2.5, 0.0]])


def test_a_loop_into_zeros_of_another_kind_is_told_before_it_is_graded():
    """`torch.zeros(n, m)` is float32: the grader refuses it, and so does the example on the sheet."""

    def linear_attention(q, k, v):
        out = torch.zeros(len(q), v.shape[1])
        for t in range(len(q)):
            out[t] = v[: t + 1].T @ (k[: t + 1] @ q[t])
        return out

    with pytest.raises(student.Told) as told:
        exec(
            notebook._visible(EXERCISES["linear_attention"]),
            {"homework": student, "linear_attention": linear_attention},
        )
    assert "torch.float32" in str(told.value)
    assert "torch.float32" in verdict(linear_attention).message


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("lambda x: x.sum().reshape(1)", r"shape \[1\]"),
        ("lambda x: '3'", "of type str"),
        ("lambda x: 4.0", "4 where 3"),
    ],
)
def test_a_number_is_one_number(wrong, told):
    with pytest.raises(student.Told, match=told):
        student.example(eval(wrong), expected=3.0, x=[1.0, 2.0])
    student.example(torch.sum, expected=3.0, x=[1.0, 2.0])


def test_two_results_are_two(capsys):
    student.example(lambda x: (x, x), expected=([1.5], [1.5]), x=[1.5])
    with pytest.raises(student.Told, match="1 results where 2"):
        student.example(lambda x: x, expected=([1.5], [1.5]), x=[1.5])


def test_several_right_answers_still_have_a_form():
    with pytest.raises(student.Told, match=r"w_q is torch\.float32"):
        student.runs(lambda x: {"w_q": x.float()}, x=[1.5])


@pytest.mark.parametrize("name", settings.names())
def test_every_wrong_function_is_shown_with_what_it_should_do(name, capsys, monkeypatch):
    """Also where the homework asks for another exercise."""
    monkeypatch.setitem(student.BUGS, name, json.loads(bundle.bank(name)))
    for place in range(20):
        student.drawn_for.update(name=name, term="2026", student=f"s{place}")
        function = student.bug(1 + place % 2)
        shown = capsys.readouterr().out
        assert EXERCISES[function.__name__].equation in shown
        assert bundle.WHAT[function.__name__] in shown
        assert inputs.described(function.__name__) in shown
    student.drawn_for.clear()


def test_the_student_is_asked_to_compare_the_id(capsys):
    student.start("01", "2026", "E1009")
    assert "drawn for e1009" in capsys.readouterr().out
    student.drawn_for.clear()
