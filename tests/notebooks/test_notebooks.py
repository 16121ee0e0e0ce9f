"""The notebooks are clean, say what their sources say, and run: solved ones with their outputs, student ones too."""

import os
import re
import subprocess
import sys
import tempfile

import nbformat
import numpy as np
import pytest

from helpers.course import address, build, lint
from helpers.support import ROOT, boxes

BUILT = [(source, solved) for source in build.sources() for solved in (False, True)]


def committed(source, solved):
    return (build.SOLVED if solved else build.STUDENT) / f"{source.stem}.ipynb"


def without_outputs(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


@pytest.mark.parametrize(("path", "solved"), list(lint.notebooks()), ids=str)
def test_nothing_is_wrong(path, solved):
    assert list(lint.faults(nbformat.read(path, as_version=4), path, solved)) == []


@pytest.mark.parametrize(("source", "solved"), BUILT, ids=str)
def test_what_is_committed_is_what_would_be_built(source, solved, tmp_path):
    build.write(build.notebook(source, solved), tmp_path / "built.ipynb")
    build.write(without_outputs(nbformat.read(committed(source, solved), as_version=4)), tmp_path / "committed.ipynb")
    assert (tmp_path / "built.ipynb").read_text() == (tmp_path / "committed.ipynb").read_text()


def test_every_notebook_has_the_same_set_up_in_three_lines():
    """And it is the first code that runs."""
    for source, solved in BUILT:
        first = next(c for c in nbformat.read(committed(source, solved), as_version=4).cells if c.cell_type == "code")
        assert first.source == address.setup_cell(address.repository())
        assert len(first.source.splitlines()) <= 3


def test_pictures_outside_are_those_of_the_notebooks():
    found = {}
    for source in build.sources():
        found |= build.pictures(nbformat.read(committed(source, True), as_version=4))
    assert found
    assert all(path.read_bytes() == picture for path, picture in found.items())


def test_the_route_in_the_readme_has_the_minutes_that_the_notebooks_say():
    readme, total = (ROOT / "README.md").read_text(encoding="utf-8"), np.zeros(2, int)
    for source in build.sources():
        said = re.search(r"About (\d+) minutes(?:, (\d+) of them)?", source.read_text(encoding="utf-8"))
        minutes = [int(said[1]), int(said[2] or said[1])]
        (shown,) = re.findall(rf"notebooks/{source.stem}\.ipynb\).*\| (\d+) \((\d+)\) \|", readme)
        assert list(map(int, shown)) == minutes
        total += minutes
    assert "About thirteen and a half hours for what is there, nine of them on the core path" in readme
    assert total.tolist() == [815, 560]


def test_no_notebook_is_without_a_source():
    assert {path for path, _ in lint.notebooks()} == {committed(*pair) for pair in BUILT}


def nbval(path, *options):
    """Execute a notebook under nbval in this environment; one test for the whole, so that its cells report at once."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:timeout",
        "--nbval-current-env",
        "--nbval-cell-timeout=900",
    ]
    sanitise = ["--nbval-sanitize-with", ROOT / "tests" / "notebooks" / "nbval.cfg"]
    with tempfile.TemporaryDirectory() as scratch:  # a reader who has done nothing yet
        env = os.environ | {"COURSE_PROGRESS": f"{scratch}/progress.json"}
        done = subprocess.run([*command, *sanitise, *options, path], cwd=ROOT, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


@pytest.mark.notebook
@pytest.mark.real
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("solved", [True, False], ids=["solved", "student"])
@pytest.mark.parametrize("source", build.sources(), ids=lambda source: source.stem)
def test_it_runs_and_says_what_it_said(source, solved):
    """Solved, strict: every output is compared; it fills the evaluation cache. Then the student's, to its end."""
    nbval(committed(source, solved), "--nbval" if solved else "--nbval-lax")


def faulty(cells, **metadata):
    return list(
        lint.faults(nbformat.v4.new_notebook(cells=cells, metadata=metadata), ROOT / "notebooks" / "x.ipynb", True)
    )


def figure(**data):
    data = {name.replace("_", "/"): what for name, what in data.items()}
    return nbformat.v4.new_code_cell("1", execution_count=1, outputs=[nbformat.v4.new_output("display_data", data)])


def ran(source, *outputs):
    return nbformat.v4.new_code_cell(source, execution_count=1, outputs=list(outputs))


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([ran("x = 1\n" * 16)], "16 lines"),
        ([nbformat.v4.new_markdown_cell("word " * 161)], "161 words"),
        ([nbformat.v4.new_markdown_cell("# a\n\n### b")], "heading jumps"),
        ([nbformat.v4.new_markdown_cell("[a](nowhere.ipynb)")], "dead link"),
        ([nbformat.v4.new_markdown_cell("$\\mathcal{L}$")], "maths"),
        ([nbformat.v4.new_markdown_cell("![](x.png)")], "alternative text"),
        ([figure(text_html='<img src="data:image/png;base64,aa">')], "alternative text"),
        ([figure(text_html='<img alt="Two lines that fall." src="a"><img alt="" src="b">')], "alternative text"),
        ([figure(image_png="aa")], "alternative text"),
        ([ran("open('/home/ada/x')")], "machine's path"),
        ([ran("1", nbformat.v4.new_output("stream", name="stdout", text="saved in /root/x"))], "machine's path"),
        ([ran("1", nbformat.v4.new_output("stream", name="stderr", text="warning"))], "stderr"),
        ([ran("1", nbformat.v4.new_output("error", ename="E", evalue="", traceback=[]))], "error"),
        ([nbformat.v4.new_code_cell("1")], "not executed"),
        ([ran("# BEGIN SOLUTION")], "solution mark"),
    ],
)
def test_the_lint_sees(cells, said):
    assert any(said in fault for fault in faulty(cells))


def test_the_lint_sees_widget_state_and_outputs_of_students():
    assert faulty([], widgets={}) == ["keeps widget state"]
    notebook = nbformat.v4.new_notebook(cells=[ran("1")])
    assert "outputs in a student notebook" in "".join(lint.faults(notebook, ROOT / "notebooks" / "x.ipynb", False))


def test_an_exercise_has_its_head_hints_and_solution_behind_folds(tmp_path):
    source = tmp_path / "x.py"
    source.write_text(
        "# %% [markdown]\n# # Title\n\n# %% [markdown]\n"
        "# {exercise:linear_attention}\n\n# %%\ndef linear_attention(q, k, v):\n    # BEGIN SOLUTION\n"
        "    return q\n    # END SOLUTION\n\n# %% [markdown]\n# {solution:linear_attention}\n"
    )
    _, _, head, _, answer = (cell.source for cell in build.notebook(source, solved=False).cells)
    assert head.startswith(f'### Exercise 1.2 ★ · linear_attention\n\n<div style="{boxes.style("exercise")}">\n\n**✎ ')
    assert "\n\ndifficulty ●●○○○ · importance ●●●●● · 10 minutes\n\n" in head
    assert head.count("\n\n<details><summary>Hint ") == head.count("\n\n</details>\n\n") == 3
    assert "```python\ndef linear_attention(q, k, v):\n    return q\n```" in answer


def test_a_solution_becomes_a_stub(tmp_path):
    source = tmp_path / "x.py"
    source.write_text(
        "# %% [markdown]\n# # Title\n\n# %%\ndef f(x):\n    # BEGIN SOLUTION\n    return x\n    # END SOLUTION\n"
    )
    student, solved = (build.notebook(source, kind).cells[-1].source for kind in (False, True))
    assert student == "def f(x):\n    raise NotImplementedError  # your code here"
    assert solved == "def f(x):\n    return x"
