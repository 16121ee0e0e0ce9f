"""Questions for people: complete, in the right number, and their points add up."""

import pytest

from helpers.homework import bugs, draws, questions, settings

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


@pytest.mark.parametrize("notebook", ["01", "02", "03", "06"])
def test_sample_answers_speak_of_bugs_that_exist(notebook):
    full = questions.written(notebook)["q-1"].samples[0].answer
    name = full[full.index("(") + 1 : full.index(".)")].lower()
    assert name in bugs.bank(notebook)


def test_a_notebook_without_questions():
    assert questions.oral("99") == {}
    assert sorted(questions.written("99")) == ["paragraph", "why-1", "why-2"]
