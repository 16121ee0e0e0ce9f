"""What a reader sees of a verdict, in a real kernel and as text: boxes of one look, typeset, nothing said twice."""

import re

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from helpers.check import EXERCISES, CheckFailed, break_it, check, claims, engine
from helpers.support import boxes
from helpers.support.typeset import in_html, in_markdown, number

ATTEMPTS = {
    "passed": "return torch.tril(q @ k.T) @ v",
    "not yet": "raise NotImplementedError",
    "failed": "return q @ k.T @ v",
    "crashed": "read = lambda x: x @ k\n    return read(q) @ v",
}


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The outputs of one cell for each kind of attempt."""
    source = (
        "import torch\nfrom helpers.check import check\ndef linear_attention(q, k, v):\n    {}\ncheck(linear_attention)"
    )
    cells = [nbformat.v4.new_code_cell(source.format(body)) for body in ATTEMPTS.values()]
    client = NotebookClient(nbformat.v4.new_notebook(cells=cells), kernel_name="python3", allow_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_PROGRESS", str(tmp_path_factory.mktemp("shown") / "progress.json"))
        executed = client.execute()
    return dict(zip(ATTEMPTS, (cell.outputs for cell in executed.cells), strict=True))


@pytest.mark.parametrize("kind", ATTEMPTS)
def test_every_verdict_is_a_box_of_its_kind_with_all_of_it_as_text_too(shown, kind):
    data = shown[kind][0].data
    assert data["text/html"].startswith(f'<div style="{boxes.style(kind)}"><b>{boxes.MARKS[kind]} ')
    assert "`" not in data["text/html"]
    assert "1.2 linear_attention" in data["text/plain"]


def test_a_wrong_answer_is_named_first_and_its_numbers_are_said_once(shown):
    page, error = shown["failed"]
    told = page.data["text/html"]
    places = [told.index(part) for part in ("<b>✗ There is no mask", "is expected", "o<sub>t</sub> = Σ<sub>i≤t</sub>")]
    assert places == sorted(places)
    assert "is expected" in page.data["text/plain"]
    assert (error.ename, error.traceback) == ("CheckFailed", ["✗ 1.2 linear_attention", "See the box above."])


def test_a_crash_shows_the_readers_lines_alone(shown):
    page, error = shown["crashed"]
    told = page.data["text/html"]
    assert "<b>⚠ [5, 3] <code" in told
    assert '→  4      read = lambda x: <span style="' in told
    assert ">x @ k</span>" in told
    assert ">read(q)</span> @ v" in told
    assert "RuntimeError: mat1 and mat2 shapes cannot be multiplied (5x3 and 5x3)" in told
    for text in (told, page.data["text/plain"]):
        assert "helpers" not in text
        assert "site-packages" not in text
    assert (error.ename, error.traceback) == ("RuntimeError", ["✗ 1.2 linear_attention", "See the box above."])


def test_outside_jupyter_a_crash_has_its_cause_as_a_note(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    with pytest.raises(RuntimeError) as caught:
        check(lambda q, k, v: q @ k, "1.2")
    assert "With `.T` behind the second" in "".join(caught.value.__notes__)


def test_break_it_tells_a_crash_of_the_inputs_from_inputs_that_break_nothing():
    with pytest.raises(IndexError) as caught:
        break_it(abs, abs, lambda: torch.ones(3)[3])
    assert "Position 3 of 3" in "".join(caught.value.__notes__)
    with pytest.raises(CheckFailed, match="both say the same"):
        break_it(abs, abs, lambda: torch.ones(3))


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("o_t = Σ_(i≤t) v_i (k_i·q_t)", "o<sub>t</sub> = Σ<sub>i≤t</sub> v<sub>i</sub> (k<sub>i</sub>·q<sub>t</sub>)"),
        (
            "η^(t−i) W_ICL x'_i F̃_ICL p_b²",
            "η<sup>t−i</sup> W<sub>ICL</sub> x'<sub>i</sub> F̃<sub>ICL</sub> p<sub>b</sub>²",
        ),
        ("3.3 gd_as_attention: passed", "3.3 gd_as_attention: passed"),
        ("mse_loss < zero_shot", "mse_loss &lt; zero_shot"),
        ("from -0.5 to -inf, x-1", "from −0.5 to −inf, x-1"),
        ("`a_t - 1 < 2`", "<code style='padding: 0 2px'>a_t - 1 &lt; 2</code>"),
    ],
)
def test_sentences_are_typeset(text, page):
    assert in_html(text) == page


def test_markdown_keeps_its_own_sign_for_code():
    assert in_markdown("`q_t - 1` of q_t") == "`q_t - 1` of q<sub>t</sub>"


def test_numbers_have_one_kind_of_minus():
    assert [number(x, form) for x, form in ((-0.5, ".4f"), (3e-8, ".0e"), (1e12, ".4g"))] == ["−0.5000", "3e−8", "1e12"]


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=lambda exercise: exercise.name)
def test_no_sentence_of_an_exercise_keeps_a_sign_of_its_source(exercise):
    """Neither in the head nor in what is said of a right answer or of a known mistake."""
    told = [exercise.task, exercise.passed, *exercise.hints]
    for claim in exercise.claims(engine.Attempt(exercise.course, engine.unwatched(exercise))):
        told += [claim.says, *claim.mistakes]
    for page in map(in_html, told):
        assert not {"`", "_", "^"} & set(re.sub("<code.*?</code>", "", page)), page


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=lambda exercise: exercise.name)
def test_a_task_is_one_sentence(exercise):
    assert claims.sentence(exercise.task) == (exercise.task, "")
    assert exercise.task.endswith(".")
