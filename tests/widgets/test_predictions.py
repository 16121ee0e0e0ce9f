"""A prediction is kept before its answer is shown; what waits for it is shown once it was made or skipped."""

import json

import pytest

from helpers import widgets
from helpers.support import CourseError, findings, progress
from helpers.widgets import live, predictions

ASK = ("cost", "How many?", ["none", "one", "all"])
KEPT = {
    "cost": {
        "right": ["none"],
        "reveal": ["It is {share:.0%}."],
        "title": ["First title", "Second, {n}"],
        "explanation": ["**What you should see.** Nothing."],
    }
}


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.setattr(findings, "FOLDER", tmp_path)
    monkeypatch.setattr(findings, "WAITING", {})
    (tmp_path / "01.json").write_text(json.dumps(KEPT))


@pytest.fixture
def page(monkeypatch):
    """What is displayed, as a page with widgets keeps it: the latest bundle of every place."""
    shown = []

    class Place:
        def __init__(self, bundle):
            self.at = len(shown)
            shown.append(bundle)

        def update(self, bundle, raw):
            shown[self.at] = bundle

    for module in (predictions, live):
        monkeypatch.setattr(module, "in_jupyter", lambda: True)
        monkeypatch.setattr(module, "display", lambda bundle, raw, display_id=False: Place(bundle))
    return shown


@pytest.mark.parametrize("choose", ["one", "B", "b"])
def test_without_widgets_a_prediction_is_a_call(choose, capsys):
    widgets.predict(*ASK)
    assert "Without buttons: predict('cost', choose='A'), or choose='skip'" in capsys.readouterr().out
    widgets.predict("cost", choose=choose)
    widgets.reveal("cost", share=0.5)
    shown = "Kept: one.\nNot as you predicted.\nYou predicted: ✗ one\nWhat happens: none. It is 50%.\n"
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("choose", [1, "D", "two", True, "AB", ""])
def test_a_choice_that_is_none_is_refused(choose):
    with pytest.raises(ValueError, match=r"none of the answers: 'none', 'one', 'all'.*\n.*from 'A' to 'C', or 'skip'"):
        widgets.predict(*ASK, choose=choose)


def test_a_choice_before_its_question_says_what_to_run(monkeypatch):
    monkeypatch.setattr(predictions, "ASKED", {})
    with pytest.raises(
        ValueError, match=r"No question 'later' was asked on this page yet\.\nRun the cell that asks it"
    ):
        widgets.predict("later", choose="A")


def test_nothing_is_shown_before_a_choice_or_a_skip(capsys):
    for show in (lambda: widgets.reveal("cost", share=0.5), lambda: widgets.explain("cost")):
        show()
        assert capsys.readouterr().out.startswith("Predict first")
    assert [str(widgets.finding("cost")), str(widgets.finding("cost", 2, n=3))] == ["", ""]
    widgets.predict(*ASK, choose="skip")
    capsys.readouterr()
    widgets.reveal("cost", share=0.5)
    assert capsys.readouterr().out == "What happens.\nWhat happens: none. It is 50%.\n"
    widgets.explain("cost")
    assert capsys.readouterr().out == "**What you should see.** Nothing.\n"
    assert [str(widgets.finding("cost")), str(widgets.finding("cost", 2, n=3))] == ["First title", "Second, 3"]


def test_what_waits_on_a_page_is_shown_when_the_choice_is_made(page):
    widgets.reveal("cost", share=0.5)
    widgets.explain("cost")
    assert ["Predict first" in place["text/plain"] for place in page] == [True, True]
    widgets.predict(*ASK, choose="none")
    assert "As you predicted" in page[0]["text/html"]
    assert "✓ none" in page[0]["text/html"]
    assert page[1]["text/markdown"] == KEPT["cost"]["explanation"][0]


def test_a_solved_notebook_which_says_its_findings_shows_them_and_nothing_that_was_not_predicted(capsys):
    widgets.reveal("cost", "none", "Because of {n}.", n=2)
    assert capsys.readouterr().out == "What happens.\nWhat happens: none. Because of 2.\n"
    assert str(widgets.finding("cost", "A title")) == "A title"
    assert progress.read()["predictions"] == {}


def test_another_choice_after_the_answer_stands_beside_the_first(capsys):
    widgets.predict(*ASK, choose="one")
    widgets.predict("cost", choose="all")  # the answer was not seen: the later one counts
    widgets.reveal("cost", share=0.5)
    widgets.predict("cost", choose="none")
    widgets.reveal("cost", share=0.5)
    shown = capsys.readouterr().out
    assert f"Kept: none. {predictions.LATE}" in shown
    assert "You predicted: ✗ all; after the answer was seen: none" in shown


def test_a_question_that_the_findings_do_not_know_is_told():
    with pytest.raises(CourseError, match=r"question 'cost' \(title 3\).*\nFetch both"):
        widgets.finding("cost", 3)


def test_buttons_keep_what_is_chosen_and_why(capsys):
    _, choice, reason, skip, kept = predictions._form(*ASK).children
    reason.value = "because it adds up"
    assert progress.read()["predictions"] == {}
    choice.value = "none"
    assert progress.read()["predictions"]["cost"] == {"chosen": "none", "reason": "because it adds up"}
    assert "Kept: none" in kept.value
    widgets.reveal("cost", share=0.5)
    assert "You predicted: ✓ none; because it adds up" in capsys.readouterr().out
    assert predictions._form(*ASK).children[1].value == "none"  # a page that is opened again
    skip.click()
    assert progress.read()["predictions"]["cost"]["chosen"] == "none"


def test_a_page_without_a_kernel_still_shows_the_question(page):
    widgets.predict("cost", "How many < 3?", ["none", "one & more"])
    assert "How many &lt; 3?" in page[0]["text/html"]
    assert "<b>B</b> · one &amp; more" in page[0]["text/html"]
