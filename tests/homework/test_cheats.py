"""Cheats: each earns nothing, harms nothing, and the next submission is graded as ever."""

import json
import os
import socket
import time

import psutil
import pytest
from cheats import ANSWERS, EASY, ENDLESS, ENDS, FORGED, HONEST, LIES, NAME, NOT_STOPPED, REACHES, TOOLS, WRONG
from submissions import KEY, STUDENT, TERM, assignment, functions, notebook

from helpers.homework import allowed, marks, sandbox, settings, tables
from helpers.homework.settings import Item
from helpers.support import ROOT


def graded(path, *code, name=NAME):
    return marks.of(notebook(path / "a.ipynb", code), STUDENT, assignment("01", *functions(name)), KEY)


def left(before):
    """Processes under this one that are new, but the warm interpreter itself."""
    warm = sandbox._interpreter(os.getpid()).process.pid
    return [child for child in psutil.Process().children(recursive=True) if child.pid not in {warm, *before}]


@pytest.fixture(autouse=True)
def no_harm(tmp_path):
    """Afterwards nothing is left running, and an honest submission earns all."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    assert graded(tmp_path, HONEST).marks[0].points == 10.0
    deadline = time.monotonic() + 5
    while left(before) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left(before) == []


def earns_nothing(found):
    (mark,) = found.marks
    assert (mark.held, mark.points) == (0, 0.0), mark
    assert mark.status in ("failed", "crashed", "not attempted")
    return mark


@pytest.mark.parametrize("cheat", EASY)
def test_nothing_that_is_changed_in_the_own_process_counts(cheat, tmp_path):
    earns_nothing(graded(tmp_path, EASY[cheat], WRONG))
    earns_nothing(graded(tmp_path, WRONG, EASY[cheat]))


@pytest.mark.parametrize("cheat", ANSWERS)
def test_no_answer_but_the_right_one_counts(cheat, tmp_path):
    earns_nothing(graded(tmp_path, f"import torch\nROOT = {str(ROOT)!r}", ANSWERS[cheat]))


@pytest.mark.parametrize("what", REACHES)
def test_nothing_is_in_reach(what, tmp_path, monkeypatch):
    """Each would earn all points where it is."""
    if sandbox.isolation().startswith("Not stopped here"):
        pytest.skip(sandbox.isolation())
    monkeypatch.setenv("COURSE_HOMEWORK", str(settings.folder()))
    with socket.create_server(("127.0.0.1", 0)) as server:
        facts = {"folder": str(settings.folder()), "key": KEY, "pid": os.getpid(), "port": server.getsockname()[1]}
        reached = f"REACHED = bool({REACHES[what].format(**facts)})"
        mark = earns_nothing(graded(tmp_path, TOOLS.format(root=str(ROOT)), reached))
    assert mark.status == "failed", mark
    assert "where" in mark.message


def indented(code):
    return "\n".join(f"    {line}" for line in code.splitlines())


@pytest.mark.parametrize("end", ENDS)
def test_what_ends_the_process_in_a_call_costs_that_item_only(end, tmp_path):
    bad = f"import torch\ndef softmax_attention(q, k, v):\n{indented(ENDS[end])}\n    return 0 * v"
    path = notebook(tmp_path / "a.ipynb", [bad, HONEST])
    found = marks.of(path, STUDENT, assignment("01", *functions("softmax_attention", NAME)), KEY)
    assert found.marks[0].points == 0.0
    assert found.marks[0].status in ("failed", "crashed")
    assert found.marks[1].points == 10.0, found.marks[1]


@pytest.mark.parametrize("end", ENDS)
def test_what_ends_the_process_in_a_cell_costs_that_cell_only(end, tmp_path):
    assert graded(tmp_path, HONEST, ENDS[end], "x = 1").marks[0].points == 10.0


@pytest.mark.parametrize("loop", ENDLESS)
def test_a_loop_without_end_costs_a_cell_or_a_call(loop, tmp_path):
    in_a_call = f"def softmax_attention(q, k, v):\n{indented(ENDLESS[loop])}"
    where = ENDLESS[loop] if loop in ("in the open", "many at a time") else in_a_call
    path = notebook(tmp_path / "a.ipynb", [where, HONEST])
    found = marks.of(path, STUDENT, assignment("01", *functions("softmax_attention", NAME)), KEY)
    assert [mark.points for mark in found.marks] == [0.0, 10.0], found


@pytest.mark.parametrize("answer", LIES)
def test_an_answer_that_is_forged_is_no_answer(answer, tmp_path):
    earns_nothing(graded(tmp_path, FORGED.format(answer=answer)))


def test_a_notebook_that_looks_graded_is_graded_by_what_it_does(tmp_path):
    path = notebook(tmp_path / "a.ipynb", [WRONG])
    content = json.loads(path.read_text())
    for cell in content["cells"]:
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "✓ passed 10/10"}]
        cell["metadata"]["nbgrader"] |= {
            "points": 10,
            "score": 10,
            "max_score": 10,
            "auto_score": 10,
            "grade_id": "f-" + NAME,
        }
    content["metadata"] |= {"nbgrader": {"score": 10}, "otter": {"passed": True}, "graded": True}
    path.write_text(json.dumps(content))
    earns_nothing(marks.of(path, STUDENT, assignment("01", *functions(NAME)), KEY))


def test_deleted_and_edited_test_cells_change_nothing(tmp_path):
    path = notebook(tmp_path / "a.ipynb", [HONEST, "assert False, 'edited'"])
    content = json.loads(path.read_text())
    content["cells"] = [cell | {"metadata": {}} for cell in content["cells"]]
    path.write_text(json.dumps(content))
    found = marks.of(path, STUDENT, assignment("01", *functions(NAME)), KEY)
    assert found.marks[0].points == 10.0
    assert found.flags == ("The notebook has no cell of homework 01.",)


def test_the_verdict_and_the_bugs_of_another_student_earn_no_more_than_chance(tmp_path):
    """They are drawn by the roster's id, whatever the notebook says it is."""
    other = "grace"
    key = allowed.key(tables.table(TERM, "01", other))
    item = Item("verdict", "verdict", 24.0, "The table", "")
    path = notebook(tmp_path / "a.ipynb", [f"student = {other!r}", f"verdict = {key}"])
    mine = allowed.key(tables.table(TERM, "01", STUDENT))
    right = sum(key[letter] == mine[letter] for letter in key)
    found = marks.of(path, STUDENT, assignment("01", item), KEY)
    assert found.marks[0].held == max(0, 2 * right - 8)
    assert "student = 'grace'" in found.flags[0]


def test_an_object_in_place_of_a_verdict_says_nothing(tmp_path):
    cheat = "class All(dict):\n    def __eq__(self, _): return True\nverdict = All(A=All(), B=1, C='True')"
    item = Item("verdict", "verdict", 24.0, "The table", "")
    found = marks.of(notebook(tmp_path / "a.ipynb", [cheat]), STUDENT, assignment("01", item), KEY)
    assert (found.marks[0].status, found.marks[0].points) == ("not attempted", 0.0)


@pytest.mark.parametrize(("what", "name"), [*zip(NOT_STOPPED, (NAME, "softmax_attention"), strict=True)])
def test_what_is_not_stopped_and_why_functions_count_so_little(what, name, tmp_path):
    """Right values are right values, wherever they come from. The guide says so; a change here must change it too."""
    assert graded(tmp_path, NOT_STOPPED[what], name=name).marks[0].points == 10.0
