"""No false zero: honest ways of writing all earn full marks. What is wrong never does, and its mistake is named."""

import inspect

import pytest
from classroom import written
from submissions import KEY, STUDENT, TERM, assignment, attempts, bank, enclosed, functions, named, notebook, solved
from test_bugs import EXPOSING

from helpers.check import EXERCISES, run, verdict
from helpers.homework import allowed, bugs, draws, marks, tables
from helpers.homework.settings import Item

FIRST = [name for name, exercise in EXERCISES.items() if exercise.number.startswith("1.")]
WRONG = [wrong for wrong in bank() if wrong[2] and "helpers" not in inspect.getsource(wrong[1])]
NEEDS_MORE = {"layers_of_attention"}  # of the course than exercises


def graded(path, code, *names, student=STUDENT, texts=None):
    return marks.of(
        notebook(path / "submission.ipynb", code, texts), student, assignment("01", *functions(*names)), KEY
    )


def assert_full(found):
    for mark in found.marks:
        assert (mark.status, mark.points, mark.held) == ("passed", 10.0, mark.of), mark


@pytest.mark.parametrize("name", EXERCISES)
def test_every_honest_style_of_the_bank_earns_all(name, tmp_path):
    for attempt in attempts(name, right=True):
        if attempt.__name__ not in NEEDS_MORE:
            assert_full(graded(tmp_path, [*solved(attempt), *named(attempt, name)], name))


@pytest.mark.parametrize(("name", "attempt", "said"), WRONG[::14])
def test_what_is_wrong_never_earns_all_and_is_named_as_in_the_course(name, attempt, said, tmp_path):
    (mark,) = graded(tmp_path, [*solved(attempt), *named(attempt, name)], name).marks
    assert (mark.held < mark.of, mark.points < 10) == (True, True)
    assert mark.status in ("failed", "partly", "crashed")
    assert said in mark.message
    assert bool(mark.mistake) == bool(verdict(attempt, name).mistake)


IMPORTS = "import math\nimport numpy as np\nimport torch\nfrom torch import Tensor"
STYLES = {
    "no imports": lambda cells: cells,
    "everything in one cell": lambda cells: ["\n\n".join(cells)],
    "names last, definitions after": lambda cells: cells[::-1],
    "a stub before": lambda cells: [f"def {name}(*args):\n    raise NotImplementedError" for name in FIRST] + cells,
    "a stub that is tried": lambda cells: ["def tried(q):\n    raise NotImplementedError\ntried(1)", *cells],
    "a cell that crashes": lambda cells: [cells[0], "1 / 0", "x = [", *cells[1:], "undefined"],
    "a cell that ends Python": lambda cells: [cells[0], "import os\nos._exit(0)", *cells[1:]],
    "the course, checks and figures": lambda cells: [
        "%matplotlib inline\n!pip install this\nfrom helpers import attention\nfrom helpers.check import *\n"
        "from helpers.check import check\nimport homework, not_installed.at_all as other\nhelp?",
        *cells,
        *(f"check({name})" for name in FIRST),
        "%%time\nx = attention.anything(1)[0].more",
        "display(student)\nget_ipython().run_line_magic('who', '')",
    ],
    "an assertion of its own": lambda cells: [*cells, "assert torch.equal(torch.ones(1), torch.zeros(1))"],
}


@pytest.mark.parametrize("style", STYLES)
def test_a_notebook_in_any_order_and_state_earns_all(style, tmp_path):
    cells = [IMPORTS, *(enclosed(attempts(name, right=True)[-1], name) for name in FIRST)]
    assert_full(graded(tmp_path, STYLES[style](cells), *FIRST))


WAYS = {
    "a lambda": "linear_attention = lambda q, k, v: (q @ k.T).tril() @ v",
    "numpy inside": """
import numpy as np
def linear_attention(q, k, v):
    return torch.from_numpy(np.tril(q.numpy() @ k.numpy().T) @ v.numpy())""",
    "shapes checked": """
from beartype import beartype
from jaxtyping import Float, jaxtyped
@jaxtyped(typechecker=beartype)
def linear_attention(q: Float[torch.Tensor, "n d"], k: Float[torch.Tensor, "n d"], v: Float[torch.Tensor, "n m"]):
    return (q @ k.T).tril() @ v""",
    "shapes by a library that is not here": """
from shapes_of_mine import Shape, checked
@checked
def linear_attention(q: Shape["n d"], k: Shape["n d"], v) -> Shape["n m"]:
    return (q @ k.T).tril() @ v""",
    "a global, a helper": """
DIAGONAL = 0
def weights(q, k):
    return torch.tril(q @ k.T, DIAGONAL)
def linear_attention(q, k, v):
    return weights(q, k) @ v""",
    "an object": """
class Attention(torch.nn.Module):
    def forward(self, q, k, v):
        return (q @ k.T).tril() @ v
linear_attention = Attention()""",
    "talkative": """
def linear_attention(q, k, v):
    print(q)
    return (q @ k.T).tril() @ v""",
    "more threads": """
torch.set_num_threads(8)
def linear_attention(q, k, v):
    return (q @ k.T).tril() @ v""",
    "defaults, and a dataclass": """
from dataclasses import dataclass
@dataclass
class Part:
    x: "torch.Tensor"
def linear_attention(q, k, v, scale=1.0):
    return Part((q @ k.T).tril() @ v * scale).x""",
    "figures and tables": """
import matplotlib.pyplot as plt, ipywidgets, pandas
from tqdm.auto import tqdm
plt.plot([1, 2])
plt.show()
for _ in tqdm(range(3)):
    pass
ipywidgets.IntSlider()
def linear_attention(q, k, v):
    return (q @ k.T).tril() @ v""",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_function_in_any_form_earns_all(way, tmp_path):
    assert_full(graded(tmp_path, ["import torch", WAYS[way]], "linear_attention"))


def test_what_is_not_there_costs_itself_only(tmp_path):
    here = enclosed(attempts("linear_attention", right=True)[0], "linear_attention")
    stub = "def softmax_attention(q, k, v):\n    raise NotImplementedError"
    found = graded(tmp_path, [here, stub], "linear_attention", "softmax_attention", "normalized_linear_attention")
    assert [mark.status for mark in found.marks] == ["passed", "not attempted", "not attempted"]
    assert [mark.points for mark in found.marks] == [10.0, 0.0, 0.0]


def test_partly_right_earns_part_and_the_last_definition_counts(tmp_path):
    right = "import torch\ndef linear_attention(q, k, v):\n    return (q @ k.T).tril() @ v"
    unmasked = "def linear_attention(q, k, v):\n    return q @ k.T @ v"
    found = graded(tmp_path, [right, unmasked], "linear_attention")
    assert (found.marks[0].status, found.marks[0].points) == ("partly", 3.33)
    assert "no mask" in found.marks[0].mistake
    assert any("defined 2 times" in flag for flag in found.flags)
    assert_full(graded(tmp_path, [unmasked, right], "linear_attention"))
    assert_full(graded(tmp_path, ["later\n" + unmasked, right, "later = 1"], "linear_attention"))


def test_a_right_line_earns_its_half(tmp_path):
    def mark(answer):
        code = [f"def flaw_of_the_interval():\n    return {answer}"]
        return graded(tmp_path, code, "flaw_of_the_interval").marks[0]

    right = EXERCISES["flaw_of_the_interval"].course()
    half = mark((right[0], "A"))
    assert (half.status, half.points, half.mistake != "") == ("partly", 5.0, True)
    assert [mark(answer).points for answer in (right, (1, right[1]), (1, "A"), "'all'")] == [10.0, 5.0, 0.0, 0.0]
    assert mark(right).status == "passed"


def test_a_crash_is_told_with_the_notebook_s_own_lines(tmp_path):
    mark = graded(tmp_path, ["def linear_attention(q, k, v):\n    return q @ k"], "linear_attention").marks[0]
    assert (mark.status, "return q @ k" in mark.message) == ("crashed", True)
    assert "mat1 and mat2" in mark.message
    assert "helpers" not in mark.message
    mark = graded(tmp_path, ["def linear_attention(q, k):\n    return q"], "linear_attention").marks[0]
    assert (mark.status, "can't be called as the exercise asks" in mark.message) == ("failed", True)


def test_the_same_submission_gets_the_same_marks_and_another_student_other_inputs(tmp_path):
    cells = [enclosed(attempts(name, right=True)[0], name) for name in FIRST]
    cells += ["import torch\ndef linear_attention(q, k, v):\n    return q @ k.T @ v"]
    first, again = (graded(tmp_path, cells, *FIRST) for _ in range(2))
    assert first == again == marks.Marks.from_json(first.to_json())
    other = graded(tmp_path, cells, *FIRST, student="Grace")
    assert [m.points for m in other.marks] == [m.points for m in first.marks]
    assert other.marks[1].message != first.marks[1].message
    assert "The notebook says student = 'ada'." in other.flags


def test_a_written_answer_goes_to_a_person_with_its_text(tmp_path):
    item = Item("why-1", "written", 6.0, "Why", "why-1")
    for said in ("*Your answer:* Because the mask is missing.", "Because the mask is missing."):
        found = marks.of(notebook(tmp_path / "a.ipynb", [], {"why-1": said}), STUDENT, assignment("01", item), KEY)
        assert found.marks == (marks.Mark("why-1", 0, 1, None, "for a person", "Because the mask is missing."),)
        assert found.flags == ()


HUNT = Item("bug-2", "bug", 15.0, "Bug hunt 2", "2")
NAMED = draws.bugs(TERM, "01", STUDENT, list(bugs.bank("01")))[1]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("return None", "failed", "Return the"),
        ("return object(), object(), object()", "failed", ""),
        ("raise NotImplementedError", "not attempted", "Not attempted"),
        ("return undefined", "crashed", "undefined"),
    ],
)
def test_a_bug_that_is_not_exposed_earns_nothing(body, status, said, tmp_path):
    path = notebook(tmp_path / "a.ipynb", [f"def counterexample_2():\n    {body}"])
    (mark,) = marks.of(path, STUDENT, assignment("01", HUNT), KEY).marks
    assert (mark.status, mark.points, said in mark.message) == (status, 0.0, True), mark


def test_a_bug_hunt_that_is_missing_was_not_attempted(tmp_path):
    (mark,) = marks.of(notebook(tmp_path / "a.ipynb", []), STUDENT, assignment("01", HUNT), KEY).marks
    assert mark.status == "not attempted"


def test_inputs_that_expose_the_students_own_bug_earn_all_and_those_of_another_none(tmp_path):
    """The function as the student's module shows it is the one that is graded."""
    shown = f"import homework\nhomework.start('01', '{TERM}', student)\nwrong = homework.bug(2)"
    for name, points in ((NAMED, 15.0), ("noise floor" if NAMED != "noise floor" else "merged", 0.0)):
        given = ", ".join(written(value) for value in EXPOSING[name])
        finds = f"import torch\ndef counterexample_2():\n    wrong({given})\n    return ({given})"
        path = notebook(tmp_path / "a.ipynb", [shown, finds])
        (mark,) = marks.of(path, STUDENT, assignment("01", HUNT), KEY).marks
        assert mark.points == points, mark


VERDICT = Item("verdict", "verdict", 24.0, "The table", "")
TRUTH = allowed.key(tables.table(TERM, "01", STUDENT))


@pytest.mark.parametrize(
    ("answers", "held", "status"),
    [
        (TRUTH, 8, "passed"),
        ({letter: not truth for letter, truth in TRUTH.items()}, 0, "failed"),
        (TRUTH | {"A": not TRUTH["A"]}, 6, "partly"),
        (TRUTH | {"A": None}, 7, "partly"),
        (TRUTH | {"A": None, "B": not TRUTH["B"]}, 5, "partly"),
        (dict.fromkeys(TRUTH, True), max(0, 2 * sum(TRUTH.values()) - 8), None),
        (dict.fromkeys(TRUTH), 0, "not attempted"),
        (dict.fromkeys(TRUTH, "True"), 0, "not attempted"),
        ({}, 0, "not attempted"),
        (["A"], 0, "not attempted"),
    ],
)
def test_right_sentences_earn_and_wrong_ones_take(answers, held, status, tmp_path):
    path = notebook(tmp_path / "a.ipynb", [f"verdict = {answers!r}"])
    (mark,) = marks.of(path, STUDENT, assignment("01", VERDICT), KEY).marks
    assert (mark.held, mark.of, mark.points) == (held, 8, 3.0 * held)
    assert status in (None, mark.status)


def test_a_page_says_how_many_are_right_wrong_and_open(tmp_path):
    path = notebook(tmp_path / "a.ipynb", [f"verdict = {TRUTH | {'C': None, 'F': None, 'G': not TRUTH['G']}}"])
    (mark,) = marks.of(path, STUDENT, assignment("01", VERDICT), KEY).marks
    assert mark.message.startswith("5 right, 1 wrong, 2 open (C, F). G: ")


def test_what_was_not_attempted_is_told_without_orders(tmp_path):
    """The page is read after the deadline."""
    code = [f"def {name}(*args):\n    raise NotImplementedError" for name in ("linear_attention", "counterexample_2")]
    found = marks.of(
        notebook(tmp_path / "a.ipynb", code), STUDENT, assignment("01", HUNT, *functions("linear_attention")), KEY
    )
    assert {mark.message for mark in found.marks} == {marks.NO_ANSWER}


def test_another_homework_or_term_and_another_student_are_flagged(tmp_path):
    def flags(code, **metadata):
        path = notebook(tmp_path / "a.ipynb", code, {"verdict": ""}, **metadata)
        return marks.of(path, STUDENT, assignment("01", VERDICT), KEY).flags

    assert flags([], homework={"name": "01", "term": TERM}) == ()
    assert "term '2025'" in flags([], homework={"name": "01", "term": "2025"})[0]
    assert "homework '02'" in flags(['homework.start("02", "2026", student)'])[0]
    assert "student = 'grace'" in flags(["student = 'grace'"])[0]
    assert "has no `student" in flags(["student = ''"])[0]
    assert marks.of(notebook(tmp_path / "a.ipynb", []), STUDENT, assignment("01", VERDICT), KEY).flags == (
        "The notebook has no cell of homework 01.",
    )


BROKEN = {
    "text": b"not JSON {",
    "a PDF": b"%PDF-1.7 \xff\xfe",
    "a list": b"[1, 2]",
    "cells of nothing": b'{"cells": [{"cell_type": "code", "source": 3}, 4, null]}',
    "very deep": b"[" * 100_000,
    "empty": b"",
    "an old notebook": b'{"worksheets": [], "nbformat": 3}',
    "large": b" " * (marks.SIZE + 1),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_flagged_and_nothing_of_it_attempted(what, tmp_path):
    file = tmp_path / "submission.ipynb"
    file.write_bytes(BROKEN[what])
    found = marks.of(file, STUDENT, assignment("01", *functions(*FIRST)), KEY)
    assert {mark.status for mark in found.marks} == {"not attempted"}
    assert len(found.flags) == 1
    assert marks.student_of(file) == ""


def test_a_missing_file_is_flagged(tmp_path):
    assert marks.of(tmp_path / "none.ipynb", STUDENT, assignment("01"), KEY).flags == ("There is no such file.",)


def test_claims_that_change_their_mind_are_not_the_students_fault(monkeypatch):
    monkeypatch.setattr(marks.Submission, "call", lambda *_, **__: run.Call(None, "", 0, 0))
    attempt = marks.Remote(marks.Submission([]), EXERCISES["linear_attention"])
    attempt.once((1,))
    with pytest.raises(RuntimeError, match="another call"):
        attempt.again().once((2,))
