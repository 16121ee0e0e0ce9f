"""CONTRIBUTING.md: its commands are those that there are; its recipes do what they say, in a copy of the course."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.course import verbs
from helpers.support import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^## (Add a.*?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
BLOCK = re.compile(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", re.M | re.S)  # language, where, text
BUILD = """
from helpers.course import build
from helpers.course.lint import faults
for solved in (False, True):
    made = build.notebook(build.sources(["02"])[0], solved)
    print(*(fault for fault in faults(made, build.STUDENT / "x.ipynb", solved) if "not executed" not in fault))
    print(*(line for cell in made.cells for line in cell.source.splitlines() if "largest_rate" in line), sep="\\n")
"""


def targets():
    """The Makefile's targets."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return {name for line in re.findall(r"^([a-z][^:=\n]*):", makefile, re.M) for name in line.split()}


def test_every_command_is_listed_and_is_a_verb():
    assert set(re.findall(r"^\| `make ([\w-]+)` \|", PAGE, re.M)) == targets()
    assert targets() <= {name.rstrip("_") for name in (*verbs.OUTSIDE, *verbs.INSIDE)}


@pytest.fixture
def copy(tmp_path):
    """The course's own files in a folder of their own."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: git does not say which files are the course's")
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def run(folder, *command, stdin=None):
    """What a command prints in the copy; its `python` is this one."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=env, input=stdin, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def edit(file, text):
    """Change what a diff says, where it says."""
    old, new = ("".join(f"{line[1:]}\n" for line in text.splitlines() if line[:1] != sign) for sign in ("+", "-"))
    there = file.read_text(encoding="utf-8") if file.exists() else ""
    assert there.count(old) == 1, f"{file.name} has {there.count(old)} times:\n{old}"
    file.write_text(there.replace(old, new), encoding="utf-8")


def perform(recipe, folder):
    """Do what every block of a recipe says; what runs must print the text block behind it, what is written be clean."""
    printed, written = "", set()
    for block in BLOCK.finditer(recipe):
        language, where, text = block.groups()
        if language == "text":
            assert printed == text
        elif where == "run":
            command = ("bash", "-euc", text) if language == "sh" else (sys.executable, "-")
            printed = run(folder, *command, stdin=text if language == "python" else None)
        else:
            before = recipe[: block.start()].rstrip().rpartition("\n\n")[2]
            assert f"`{where}`" in before, "the paragraph before a block names its file"
            (edit if language == "diff" else append)(folder / where, text)
            written |= {where} if where.endswith(".py") else set()
    for how in (["check"], ["format", "--check"]):
        run(folder, sys.executable, "-m", "ruff", *how, *written)
    return printed


def append(file, text):
    """Two empty lines and the block at the end of a file; a new file is the block."""
    there = f"{file.read_text(encoding='utf-8')}\n\n" if file.exists() else ""
    file.write_text(there + text, encoding="utf-8")


def test_there_are_four_recipes():
    assert list(RECIPES) == ["Add an exercise", "Add a task", "Add a model", "Add a control"]


@pytest.mark.notebook
def test_an_exercise_is_added(copy):
    printed = perform(RECIPES["Add an exercise"], copy)
    wrong, right = (RECIPES["Add an exercise"].count(f"@{kind}(NAME") for kind in ("wrong", "right"))
    passed = int(re.search(r"(\d+) passed", printed)[1])
    assert wrong >= 6
    assert passed == wrong + right + 9  # attempts; time, mistakes, mutants, salts, sentences, task, kind, inputs, hints
    student, solved = run(copy, sys.executable, "-c", BUILD).split("\n\n")
    assert "### Exercise 2.6 · largest_rate" in student
    assert "check(largest_rate)" in solved


def test_a_task_is_added(copy):
    perform(RECIPES["Add a task"], copy)
    assert len((copy / "data/tasks/roman.jsonl").read_text().splitlines()) == 240


@pytest.mark.real
def test_a_model_is_added(copy):
    perform(RECIPES["Add a model"], copy)


def test_a_control_is_added(copy):
    perform(RECIPES["Add a control"], copy)
    lines = (copy / "data/results/nearest.jsonl").read_text().splitlines()
    assert len(lines) == 15
    assert all('"code": "' in line for line in lines)
