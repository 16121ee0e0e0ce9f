"""A prediction is kept before the answer is shown, with buttons and without."""

import pytest

from helpers import widgets
from helpers.check import progress

ASK = ("cost", "How many?", ["none", "one", "all"])


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))


@pytest.mark.parametrize("choose", ["one", 2])
def test_without_widgets_a_prediction_is_a_call(choose, capsys):
    widgets.predict(*ASK)
    assert "Without buttons: predict('cost', choose=1)" in capsys.readouterr().out
    widgets.predict("cost", choose=choose)
    widgets.reveal("cost", "none at all")
    assert capsys.readouterr().out == "Kept: one\nYou predicted: one\nWhat happens: none at all\n"


@pytest.mark.parametrize("choose", [0, 4, "two", True])
def test_a_choice_that_is_none_is_refused(choose):
    with pytest.raises(ValueError, match="one of 'none', 'one', 'all', or a number from 1 to 3"):
        widgets.predict(*ASK, choose=choose)


def test_no_prediction_is_said(capsys):
    widgets.reveal("cost", "none at all")
    assert "nothing (no prediction made)" in capsys.readouterr().out


def test_buttons_keep_what_is_chosen_and_why(capsys):
    _, choice, reason, kept = widgets._buttons(*ASK).children
    assert progress.read()["predictions"] == {}
    reason.value = "because it adds up"
    assert progress.read()["predictions"] == {}
    choice.value = "none"
    assert progress.read()["predictions"]["cost"] == {"chosen": "none", "reason": "because it adds up"}
    assert "Kept" in kept.value
    widgets.reveal("cost", "none at all")
    assert "You predicted: none, because it adds up" in capsys.readouterr().out


def test_a_page_without_a_kernel_still_shows_the_question(monkeypatch):
    shown = []
    monkeypatch.setattr(widgets, "in_jupyter", lambda: True)
    monkeypatch.setattr(widgets, "display", lambda bundle, raw: shown.append(bundle))
    widgets.predict("cost", "How many < 3?", ["none", "one & more"])
    (bundle,) = shown
    assert "How many &lt; 3?" in bundle["text/html"]
    assert "<li>one &amp; more</li>" in bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle
