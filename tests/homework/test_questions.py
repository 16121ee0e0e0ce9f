"""Questions for people: complete, in the right number, and their points add up."""

import re

import pytest
import torch

from helpers.homework import bugs, draws, questions, settings
from helpers.homework.studies import THEMES
from helpers.support import ROOT

NOTEBOOKS = "01", "02", "03", "04", "05", "06"
WRITTEN = list(settings.WRITTEN)

each = pytest.mark.parametrize("notebook", NOTEBOOKS)


@each
def test_every_written_item_has_a_rubric(notebook):
    assert sorted(questions.written(notebook)) == sorted(WRITTEN)


@each
def test_points_add_up(notebook):
    for id, question in questions.written(notebook).items():
        full, half, little = question.samples
        assert [sample.level for sample in question.samples] == ["full", "half", "little"]
        assert full.points == question.points == settings.WRITTEN[id][1]
        assert half.points == full.points / 2
        assert 0 < little.points <= full.points / 4
        assert all(criterion.points >= 1 for criterion in question.rubric)


@each
def test_nothing_is_empty(notebook):
    for id, question in questions.written(notebook).items():
        assert bool(question.text) == id.startswith("q-")
        texts = [criterion.what for criterion in question.rubric]
        texts += [text for sample in question.samples for text in (sample.answer, sample.why)]
        assert all(len(text) > 20 for text in texts)
        assert len({sample.answer for sample in question.samples}) == 3


@each
def test_they_ask_for_the_students_own(notebook):
    """Or the answer could be pasted."""
    for id in ("q-1", "q-2"):
        text = questions.written(notebook)[id].text.lower()
        assert any(word in text for word in ("your bug hunt", "your student id", "of your own", "your table")), id


@each
def test_oral_questions(notebook):
    asked = questions.face_to_face(notebook)
    assert len(asked) == 6
    for question in asked.values():
        assert question.question.rstrip('"”').endswith(("?", ".", "!"))
        assert len(question.answer) > 60
        assert question.further.endswith(("?", "."))
    assert set(draws.oral("2026", notebook, "ada", questions.oral(notebook))) < set(asked)


@each
def test_the_sheet_holds_everything(notebook):
    sheet = questions.sheet(notebook)
    for question in questions.written(notebook).values():
        assert question.text in sheet
        assert all(sample.answer in sheet for sample in question.samples)
    assert all(question.further in sheet for question in questions.face_to_face(notebook).values())


@each
def test_a_section_is_named_in_full_and_is_there(notebook):
    """A sheet stands alone: "section 4" alone would say nothing."""
    for id in ("q-1", "q-2"):
        text = " ".join(questions.written(notebook)[id].text.split())
        assert len(re.findall("section", text)) == len(re.findall(r"course's notebook \*[^*]+\*, section \*", text))
        for name in re.findall(r"\*(\d+ · [^*]+)\*", text):
            source = next((ROOT / "notebooks" / "source").glob(f"{notebook}_*.py")).read_text(encoding="utf-8")
            assert re.search(rf"^# ##? {re.escape(name)}$", source, re.MULTILINE), name


@each
def test_no_gpt_is_needed(notebook):
    for id in ("q-1", "q-2"):
        assert not re.search(r"gpt\.|icl\.|patches\.", questions.written(notebook)[id].text)


def test_remember_runs_with_torch_alone():
    """And gives the numbers of the sample answer."""
    code = questions.written("01")["q-2"].text.split("```")[1].removeprefix("python\n")
    names = {}
    exec(code, names)
    errors = [sum(names["remember"](count, 39, seed)[1] for seed in range(20)) / 20 for count in (11, 22)]
    assert errors == pytest.approx([0.49, 0.72], abs=0.005)


@pytest.mark.parametrize("d", range(10))
def test_a_patch_of_your_own(d):
    """What the rubric says of the three queries holds for every student."""
    w, by_prompt, x, y, z = (
        torch.tensor(numbers, dtype=torch.float64) for numbers in ([[1, 2], [0, 1]], [1, 0], [1, d], [d, -1], [0, 1])
    )
    patch = torch.outer(w @ by_prompt, x) / (x @ x)
    assert torch.allclose((w + patch) @ x, w @ (x + by_prompt))
    assert torch.allclose(patch @ y, torch.zeros(2, dtype=torch.float64))
    assert not torch.allclose(patch @ z, w @ by_prompt)
    assert (patch @ z).any() == (d > 0)
    both = patch + torch.outer(w @ by_prompt, y) / (y @ y)
    assert torch.allclose(both @ x, w @ by_prompt)
    assert torch.allclose(both @ y, w @ by_prompt)


@pytest.mark.parametrize("id", ["why-1", "paragraph"])
def test_sample_answers_in_every_homework_are_about_none(id):
    answers = " ".join(sample.answer for sample in questions.written("01")[id].samples).lower()
    for theme in THEMES.values():
        names = (theme.none, theme.idea, theme.rival, theme.undone, theme.units)
        assert not any(re.search(rf"\b{re.escape(name)}\b", answers) for name in names)


@pytest.mark.parametrize("notebook", ["01", "02", "03", "06"])
def test_sample_answers_speak_of_bugs_that_exist(notebook):
    full = questions.written(notebook)["q-1"].samples[0].answer
    name = full[full.index("(") + 1 : full.index(".)")].lower()
    assert name in bugs.bank(notebook)


def test_a_notebook_without_questions():
    assert questions.oral("99") == {}
    assert sorted(questions.written("99")) == ["paragraph", "why-1", "why-2"]
