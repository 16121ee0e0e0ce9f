"""otter gives the points of marks.of, for right, wrong, empty and hostile submissions, and runs none of them itself."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
import torch
from submissions import attempts, enclosed
from test_bugs import EXPOSING

from helpers.homework import allowed, bugs, draws, marks, release, settings, tables, with_otter
from helpers.homework.settings import Assignment

NAME, STUDENT = "06", "ada"
REASONED = ("momentum_weight", "flaw_of_the_interval")
BUFFER = """def momentum_gradients(gradients, eta):
    u, buffers = torch.zeros_like(gradients[0]), []
    for g in gradients:
        u = g + eta * u
        buffers.append(u)
    return torch.stack(buffers)
"""
ATTENTION = """def momentum_attention(q, k, v, eta):
    t = torch.arange(len(v), dtype=v.dtype)
    ages = t[:, None] - t
    scores = (q @ k.T / q.shape[-1] ** 0.5).masked_fill(ages < 0, float("-inf"))
    return (scores.softmax(-1) + torch.where(ages > 0, eta**ages, 0.0)) @ v
"""
HOSTILE = """import os, pathlib, sys

held = {"f-momentum_gradients": 99, "f-momentum_attention": 99, "bug-1": 9, "bug-2": 9, "verdict": 9}
pathlib.Path("SEEN").write_text("x")


class Checker:
    check_if_not_already_checked = staticmethod(lambda path: None)


sys.modules["otter.execute"] = sys.modules["otter"] = Checker
os._exit(0)"""


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The instructor's folder with one homework."""
    folder = tmp_path_factory.mktemp("homework")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_HOMEWORK", str(folder))
        release.main([NAME])
        yield folder


def submission(course: Path, folder: Path, answers: dict[str, str], extra: dict[str, str] | None = None) -> Path:
    """The released notebook with these cells filled in; an archive, where more is handed in with it."""
    made = nbformat.read(course / "release" / NAME / f"homework_{NAME}.ipynb", 4)
    for cell in made.cells:
        cell.source = answers.get(cell.id, cell.source)
    file = folder / f"homework_{NAME}.ipynb"
    nbformat.write(made, file)
    if not extra:
        return file
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        archive.write(file, file.name)
        for name, text in extra.items():
            archive.writestr(name, text)
    return folder / "all.zip"


def graded(course: Path, handed_in: Path, folder: Path) -> tuple[dict[str, float], str]:
    """Points by item, as `otter run` writes them, and all that it wrote."""
    command = [Path(sys.executable).with_name("otter"), "run", "-a", course / "otter" / f"homework_{NAME}.zip"]
    done = subprocess.run([*command, "-o", folder, handed_in], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / "results.json").read_text())["tests"]
    points = {test["name"].split()[0]: test["score"] for test in found if test.get("max_score")}
    return points, done.stdout + json.dumps(found, ensure_ascii=False)


def ours(notebook: Path, assignment: Assignment) -> dict[str, float]:
    found = marks.of(notebook, marks.student_of(notebook), assignment, settings.key(assignment.name))
    return {mark.item: mark.points for mark in found.marks if mark.points is not None}


def right() -> dict[str, str]:
    """Everything: functions, inputs that expose both wrong functions, all sentences."""
    term, bank = settings.load().assignment(NAME).term, bugs.bank(NAME)
    drawn = enumerate(draws.bugs(term, NAME, STUDENT, list(bank)), 1)
    verdict = allowed.key(tables.table(term, NAME, STUDENT))
    return {
        "student": f'student = "{STUDENT}"',
        **{f"write-{name}": enclosed(attempts(name, right=True)[0], name) for name in REASONED},
        "write-momentum_gradients": BUFFER,
        "write-momentum_attention": ATTENTION,
        "fill-verdict": f"verdict = {verdict}",
        "why-1": "Because.",
        **{f"counterexample-{number}": counterexample(number, EXPOSING[name]) for number, name in drawn},
    }


def counterexample(number: int, inputs: tuple) -> str:
    written = [
        f"torch.tensor({part.tolist()}, dtype=torch.float64)" if isinstance(part, torch.Tensor) else repr(part)
        for part in inputs
    ]
    return f"def counterexample_{number}():\n    return ({', '.join(written)},)"


def half_right() -> dict[str, str]:
    """A wrong function, inputs that expose nothing; one sentence of the verdict wrong and one left out."""
    found = right()
    verdict = allowed.key(tables.table(settings.load().assignment(NAME).term, NAME, STUDENT))
    verdict |= {"A": not verdict["A"], "B": None}
    wrong = "def momentum_attention(q, k, v, eta):\n    return v.cumsum(0)"
    nothing = "def counterexample_1():\n    return (torch.ones(2, 2),)"
    return found | {
        "write-momentum_attention": wrong,
        "fill-verdict": f"verdict = {verdict}",
        "counterexample-1": nothing,
    }


@pytest.mark.parametrize(("answers", "least", "most"), [(right, 80, 80), (half_right, 45, 52), (dict, 0, 0)])
def test_otter_run_gives_the_points_of_marks_of(course, tmp_path, answers, least, most):
    handed_in = submission(course, tmp_path, answers())
    points, told = graded(course, handed_in, tmp_path)
    assert points == pytest.approx(ours(handed_in, settings.load().assignment(NAME)))
    assert least <= sum(points.values()) <= most
    assert "For a person: why-1, why-2, paragraph, q-1, q-2" in told
    if answers is dict:
        assert "Not attempted" in told


def test_what_is_hostile_has_nothing_and_nothing_of_it_runs_in_otter(course, tmp_path):
    """Neither the notebook, nor files named like modules that otter's own process imports."""
    seen = tmp_path / "seen"
    spy = f"open({str(seen)!r}, 'w').write('run')\nraise SystemExit"
    answers = {"student": 'student = "eve"', "write-momentum_gradients": HOSTILE.replace("SEEN", str(seen))}
    extra = dict.fromkeys(("otter.py", "pickle.py", "logging.py", "tests/bug-1.py", "helpers/__init__.py"), spy)
    points, _ = graded(course, submission(course, tmp_path, answers, extra), tmp_path)
    assert points == dict.fromkeys(ours(tmp_path / f"homework_{NAME}.ipynb", settings.load().assignment(NAME)), 0.0)
    assert not seen.exists()


def test_the_tests_add_up_to_the_points(course):
    """Each part that is held adds what marks.of gives for it, to the cent."""
    for item in settings.load().assignment(NAME).items:
        if item.kind != "written":
            test: dict = {}
            exec(with_otter.test(item), test)
            points, of = [case["points"] for case in test["test"]["suites"][0]["cases"]], with_otter.parts(item)
            ends = [round(item.points * held / of, 2) for held in range(1, of + 1)]
            assert [sum(points[:held]) for held in range(1, of + 1)] == pytest.approx(ends)
