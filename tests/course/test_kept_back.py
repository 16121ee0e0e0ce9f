"""What a student's page keeps back is not on it, and is found by the calls that are left there."""

import ast
import json

import jupytext
import nbformat
import pytest

from helpers.course import build, kept_back
from helpers.support import CourseError, findings

SOURCE = """# %%
from helpers.widgets import finding, predict, reveal

# %%
predict("size", "How large?", ["small", "large"])

# %%
lines(finding("size", "Größe is {x:.1f}", x=1 + 1))
lines(title=finding("size", "A second title"))

# %% [markdown] tags=["after-size"]
# **What you should see.** It is large.

# %%
reveal(
    "size",
    "large",
    "It is "
    "{n} long.",
    n=f(3),
)
"""
STUDENT = [
    "from helpers.widgets import explain, finding, predict, reveal",
    'predict("size", "How large?", ["small", "large"])',
    'lines(finding("size", x=1 + 1))\nlines(title=finding("size", 2))',
    'explain("size")',
    'reveal("size", n=f(3))',
]


def lifted(source):
    made = jupytext.reads(source, fmt="py:percent")
    return made, kept_back.lift(made)


def test_texts_are_lifted_and_numbers_stay():
    made, kept = lifted(SOURCE)
    assert [cell.source for cell in made.cells] == STUDENT
    assert kept["size"]["title"] == ["Größe is {x:.1f}", "A second title"]
    assert kept["size"]["explanation"] == ["**What you should see.** It is large."]
    assert (kept["size"]["right"], kept["size"]["reveal"]) == (["large"], ["It is {n} long."])


def test_a_text_that_is_computed_is_refused():
    with pytest.raises(CourseError, match="takes plain strings"):
        lifted('# %%\nreveal("size", options[1], "Because.")\n')


def test_a_cell_that_waits_needs_the_import():
    with pytest.raises(CourseError, match="nothing is imported"):
        lifted('# %% [markdown] tags=["after-size"]\n# It is large.\n')


def calls(notebook, *names):
    """All calls of these functions in a notebook: name and arguments."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and not cell.source.startswith(("if __import__", "%", "!")):
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in names:
                    yield node.func.id, [ast.literal_eval(part) for part in node.args]


@pytest.mark.parametrize("source", build.sources(), ids=lambda source: source.stem)
def test_the_committed_findings_are_those_of_the_source(source):
    kept = json.loads(build.kept_path(source).read_text(encoding="utf-8"))
    assert kept == build.kept_of(source)


@pytest.mark.parametrize("source", build.sources(), ids=lambda source: source.stem)
def test_no_kept_text_is_on_the_students_page(source):
    page = nbformat.read(build.STUDENT / f"{source.stem}.ipynb", as_version=4)
    kept = build.kept_of(source)
    texts = [text for kinds in kept.values() for kind, said in kinds.items() if kind != "right" for text in said]
    assert not [text for text in texts if any(text in cell.source for cell in page.cells)]


@pytest.mark.parametrize("source", build.sources(), ids=lambda source: source.stem)
def test_every_question_is_asked_before_its_answer_and_has_the_right_one_among_its_options(source):
    asked, answered = {}, []
    for name, arguments in calls(build.notebook(source, solved=True), "predict", "reveal", "finding"):
        key = arguments[0]
        if name == "predict":
            assert key not in asked
            asked[key] = arguments[2]
        else:
            assert key in asked, f"{key} is answered before it is asked"
        if name == "reveal":
            answered.append(key)
            assert arguments[1] in asked[key]
    assert sorted(answered) == sorted(asked)


def test_no_key_is_asked_in_two_notebooks():
    kept = [key for source in build.sources() for key in build.kept_of(source)]
    assert len(kept) == len(set(kept))
    assert build.kept_path(build.sources()[0]).parent == findings.FOLDER
