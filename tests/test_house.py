"""The house keeps its order: which room may import which, what opening a file loads, and how large things grow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.support import ROOT

HELPERS = ROOT / "helpers"
SHELF = ("attention", "dual", "regression", "tasks", "metrics", "icl", "controls")
ROOMS = ("gpt", "lm", "plots", "widgets", "experiments", "check", "homework", "course", "support")
FILES = sorted(HELPERS.rglob("*.py"))
MAY = {  # room or file of the shelf: what of helpers it may import beside itself
    "support": (),
    "attention": ("support",),
    "dual": ("support",),
    "regression": ("support", "dual"),
    "tasks": ("support",),
    "metrics": ("support",),
    "icl": ("support", "gpt", "metrics", "tasks"),
    "controls": ("support", "gpt", "metrics", "tasks", "icl"),
    "gpt": ("support", "attention", "dual"),  # the rank-one patch of a real layer is the dual form's
    "lm": ("support", "attention"),
    "plots": ("support",),
    "widgets": (*SHELF, "gpt", "plots", "support"),
    "experiments": (*SHELF, "gpt", "lm", "support"),
    "check": (*SHELF, "support"),
    "homework": (*SHELF, "check", "support"),
    "course": (*SHELF, *ROOMS),
    "__main__": ("course",),
    "__init__": (),
}
SET_UP = {"notebooks": ("assets", "doctor")}  # what a notebook's set-up cell may take from course


def room(file: Path) -> str:
    """The room that a file lies in, or its own name on the shelf."""
    return file.relative_to(HELPERS).with_suffix("").parts[0]


def imported(file: Path) -> set[str]:
    """The rooms and shelf files of `helpers` that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("helpers.")}
    return {name for name in found if name in (*SHELF, *ROOMS)}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(HELPERS)))
def test_imports_point_one_way(file):
    here = room(file)
    assert imported(file) <= {here, *MAY[here]}


def test_the_rooms_are_those_of_the_plan():
    assert {room(file) for file in FILES} == {*SHELF, *ROOMS, "__init__", "__main__"}


@pytest.mark.parametrize("source", sorted((ROOT / "notebooks" / "source").glob("*.py")), ids=lambda path: path.stem)
def test_a_notebook_takes_no_more_from_course_than_its_set_up(source):
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("helpers.course"):
            assert {alias.name for alias in node.names} <= set(SET_UP["notebooks"])


@pytest.mark.parametrize(
    ("opened", "not_loaded"),
    [
        ("attention", ("transformers", "matplotlib", "IPython", "helpers.check", "helpers.gpt", "pandas")),
        ("dual", ("transformers", "matplotlib", "helpers.check", "helpers.gpt")),
        ("lm", ("transformers", "matplotlib", "helpers.check", "helpers.gpt")),
        ("plots", ("transformers", "helpers.check", "helpers.gpt", "helpers.icl")),
        ("widgets", ("helpers.check", "helpers.course", "helpers.experiments")),
        ("check", ("transformers", "helpers.gpt", "helpers.course", "helpers.experiments")),
        ("experiments.catalogue", ("matplotlib", "helpers.check", "helpers.course", "helpers.plots")),
        ("course.verbs", ("torch", "transformers", "rich", "platformdirs")),
    ],
)
def test_opening_one_file_does_not_load_the_house(opened, not_loaded):
    code = f"import sys, helpers.{opened}; print(*[name for name in {not_loaded!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def lines(*names: str) -> int:
    """Lines of files of the shelf, or of whole rooms."""
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in FILES if room(file) in names)


@pytest.mark.parametrize(
    ("names", "most"), [(SHELF, 1570), (("gpt",), 1250), (("lm",), 450)], ids=["shelf", "gpt", "lm"]
)
def test_what_people_read_stays_small(names, most):
    assert lines(*names) <= most


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(HELPERS)))
def test_no_file_is_over_350_lines_and_no_function_over_40(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 350
    functions = [
        node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    assert [node.name for node in functions if node.end_lineno - node.lineno >= 40] == []
