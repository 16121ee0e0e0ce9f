"""A prediction is kept before the answer is shown, with buttons and without; the microscope's two views agree."""

import base64
import re
import subprocess
import sys
from dataclasses import replace

import matplotlib.pyplot as plt
import pytest
import torch

from helpers import widgets
from helpers.attention import linear_attention, softmax_attention
from helpers.support import ROOT, progress
from helpers.widgets import live, look, predictions
from helpers.widgets import valley_film as valley
from helpers.widgets.head import READINGS
from helpers.widgets.two_views import Microscope, Triptych

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


def test_a_choice_before_its_question_says_what_to_run():
    with pytest.raises(
        ValueError, match=r"No question 'later' was asked on this page yet\.\nRun the cell that asks it"
    ):
        widgets.predict("later", choose=1)


def test_that_no_prediction_was_made_is_shown(capsys):
    widgets.reveal("cost", "none at all")
    assert "nothing (no prediction made)" in capsys.readouterr().out


def test_buttons_keep_what_is_chosen_and_why(capsys):
    _, choice, reason, kept = predictions._buttons(*ASK).children
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
    monkeypatch.setattr(predictions, "in_jupyter", lambda: True)
    monkeypatch.setattr(predictions, "display", lambda bundle, raw: shown.append(bundle))
    widgets.predict("cost", "How many < 3?", ["none", "one & more"])
    (bundle,) = shown
    assert "How many &lt; 3?" in bundle["text/html"]
    assert "<li>one &amp; more</li>" in bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle


TOY = widgets.toy_head()
LINES = ["ab -> cd", "e -> f", "gh ->"]


def scope(**heads):
    """The widget itself, at all demonstrations and the last query of the first head."""
    heads = heads or {"toy": TOY}
    name, first = next(iter(heads.items()))
    return Microscope(heads, name, len(first.demos), list(first.queries)[-1])


def png_of(page):
    return base64.b64decode(re.search(r'src="data:image/png;base64,([^"]+)"', page)[1])


@pytest.mark.parametrize("query", TOY.queries)
@pytest.mark.parametrize("count", range(7))
def test_relaxed_attention_adds_what_dw_does_and_softmax_does_not(count, query):
    relaxed, softmax = (look(TOY, count, query, reading) for reading in ("relaxed", "softmax"))
    if not count:
        assert not any(x.any() for view in (relaxed, softmax) for x in (view.dw, view.by_weights, view.by_attention))
        assert "no demonstrations" in relaxed.residual()
        assert "no demonstrations" in softmax.residual()
        return
    assert relaxed.difference < 1e-12
    assert relaxed.residual() == "relative difference < 1e-12"
    assert softmax.difference > 0.05
    assert "1e-12" not in softmax.residual()


def test_what_is_not_in_context_is_as_if_absent():
    """Against a head that was made without it: outputs, weights, ΔW."""
    rows = [0, 1, 6, 7, 8]
    q, k, v = (x[rows] for x in (TOY.q, TOY.k, TOY.v))
    places = {name: place - 4 for name, place in TOY.queries.items()}
    fewer = widgets.Head(q, k, v, [range(1), range(1, 2)], places, [TOY.tokens[row] for row in rows])
    for reading in READINGS:
        one, other = (look(head, 2, "query 3", reading) for head in (TOY, fewer))
        assert torch.equal(one.weights[rows], other.weights)
        assert not one.weights[2:6].any()
        assert torch.equal(one.dw, other.dw)
        assert torch.equal(one.by_attention, other.by_attention)
    weights = (k @ q[-1] / 2).softmax(0)
    torch.testing.assert_close(other.weights, weights)
    added = weights @ v - (k[2:] @ q[-1] / 2).softmax(0) @ v[2:]
    torch.testing.assert_close(other.by_attention, added / added.norm())


def test_every_control_changes_the_picture_and_its_words():
    shown = scope(toy=TOY, other=widgets.toy_head(1))
    seen = {(png_of(shown.image.value), shown.words.value)}
    for control, value in (
        (shown.demos, 5),
        (shown.query, "query 1"),
        (shown.reading, "softmax"),
        (shown.demos, 0),
        (shown.head, "other"),
    ):
        assert control.description
        control.value = value
        assert png_of(shown.image.value).startswith(b"\x89PNG")
        seen.add((png_of(shown.image.value), shown.words.value))
    assert len({picture for picture, _ in seen}) == 6
    assert "no demonstrations: ΔW = 0" in shown.words.value
    assert 'role="status"' in shown.words.value
    assert re.search('alt="Softmax attention, 0 of 6', shown.image.value)


def test_another_head_brings_its_own_choices_and_one_redraw(monkeypatch):
    small = widgets.Head(TOY.q[4:], TOY.k[4:], TOY.v[4:], [range(1), range(1, 2)], {"end": 4}, TOY.tokens[4:])
    shown, drawn = scope(toy=TOY, small=small), []
    draw = Triptych.draw
    monkeypatch.setattr(Triptych, "draw", lambda self, view: drawn.append(view) or draw(self, view))
    shown.head.value = "small"
    assert (shown.demos.max, shown.demos.value, shown.query.options) == (2, 2, ("end",))
    assert len(drawn) == 1
    shown.demos.value, shown.head.value = 1, "toy"
    assert (shown.demos.max, shown.demos.value, shown.query.value) == (6, 6, "query 3")
    assert len(drawn) == 3


def test_artists_are_moved_not_made_anew_and_no_figure_stays_open():
    shown, before = scope(toy=TOY, other=widgets.toy_head(1)), plt.get_fignums()
    artists = shown.figure.findobj()
    for count in range(7):
        shown.demos.value = count
    assert {type(x) for x in shown.figure.findobj() if x not in artists} <= {type(x) for x in artists}
    assert shown.triptych.bars[0] in artists
    assert len(shown.triptych.attention.patches) == 7  # six bars, one grey field
    for name in ("other", "toy") * 3:
        shown.head.value = name
    assert plt.get_fignums() == before


@pytest.fixture
def page(monkeypatch):
    """What is displayed, as on a page with a kernel."""
    shown = []
    monkeypatch.setattr(live, "in_jupyter", lambda: True)
    monkeypatch.setattr(live, "display", lambda bundle, raw: shown.append(bundle))
    return shown


def test_without_a_kernel_there_is_a_still_of_both_readings(page):
    widgets.microscope({"toy <1>": TOY})
    still, live = page
    words = 'alt="Two rows .*Relaxed attention, 6 of 6.*&lt; 1e-12.*Softmax attention, 6 of 6'
    assert re.search(words, still["text/html"])
    assert png_of(still["text/html"]) == base64.b64decode(still["image/png"])
    assert still["text/plain"].startswith("Two rows of three panels")
    assert "application/vnd.jupyter.widget-view+json" not in still
    assert "application/vnd.jupyter.widget-view+json" in live
    assert "<img" not in live["text/html"]


def test_without_sliders_the_microscope_is_a_call(page, monkeypatch, capsys):
    widgets.microscope({"toy": TOY}, demos=2, query="query 1")
    assert "2 of 6 demonstrations, query “query 1”" in page[0]["text/plain"]
    monkeypatch.setattr(live, "in_jupyter", lambda: False)
    widgets.microscope({"toy": TOY}, demos=3)
    assert len(page) == 2
    assert re.search("3 of 6(.|\n)*Without sliders", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"demos": 7}, "0 to 6"), ({"query": "demo 1"}, "one of 'query 1'"), ({"head": "x"}, "one of 'toy'")],
)
def test_a_state_that_is_none_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        widgets.microscope({"toy": TOY}, **wrong)
    with pytest.raises(ValueError, match="at least one"):
        widgets.microscope({})


def test_a_head_that_shows_nothing_is_refused():
    for queries, message in (
        ({}, "none is given"),
        ({"early": 5}, "'early'"),
        ({"query 3": 8, "beyond": 9}, "'beyond'"),
    ):
        with pytest.raises(ValueError, match=f"after all demonstrations, .* Not so: {message}"):
            replace(TOY, queries=queries)
    with pytest.raises(ValueError, match="nan or infinity in this head's k"):
        replace(TOY, k=TOY.k.clone().index_fill(0, torch.tensor([3]), float("nan")))
    with pytest.raises(ValueError, match="no demonstrations"):
        replace(TOY, demos=[])
    with pytest.raises(ValueError, match="there are 8 tokens, but 9 q"):
        replace(TOY, tokens=TOY.tokens[1:])


def test_a_head_of_a_gpt_has_a_demonstration_a_line(model):
    head = widgets.gpt_head(model, LINES, 1, 2)
    assert ["".join(head.tokens[i] for i in demo) for demo in head.demos] == ["ab -> cd↵", "e -> f↵"]
    assert "".join(head.tokens[place] for place in head.queries.values()) == "gh ->"
    assert list(head.queries) == ["1: g", "2: h", "3: ", "4: -", "5: >"]
    for query, place in head.queries.items():
        assert look(head, 2, query, "relaxed").difference < 1e-12
        view, upto = look(head, 2, query, "softmax"), slice(place + 1)
        every = softmax_attention(head.q[upto], head.k[upto], torch.eye(place + 1).double())[-1]
        torch.testing.assert_close(view.weights[upto], every)
    raw = linear_attention(head.q, head.k, torch.eye(len(head.q)).double())[-1]
    torch.testing.assert_close(look(head, 2, query, "relaxed").weights, raw)
    with pytest.raises(ValueError, match="layers 0 to 2 with heads 0 to 3: not 3, 0"):
        widgets.gpt_head(model, LINES, 3, 0)


def test_a_descent_in_the_valley_is_torchs():
    """(eq. 6.1): against another's."""
    for eta in valley.COLOURS:
        w = torch.tensor(valley.START, requires_grad=True)
        sgd = torch.optim.SGD([w], lr=valley.RATE, momentum=eta)
        for place in valley.path(eta):
            torch.testing.assert_close(w.detach(), place)
            sgd.zero_grad()
            (0.5 * (w[0] ** 2 + valley.STEEP * w[1] ** 2)).backward()
            sgd.step()


def test_the_film_follows_its_slider_and_says_what_is_seen():
    film = valley.Film()
    seen = {film.image.value}
    for step in (1, 12, valley.STEPS):
        film.step.value = step
        seen.add(film.image.value)
        assert f"After {step} steps" in film.words.value
    assert len(seen) == 4


def test_without_a_kernel_the_valley_is_a_strip(page):
    widgets.valley()
    assert page[0]["text/plain"].startswith("Momentum swings across the valley")
    assert "After 40 steps" in page[0]["text/html"]


WITHOUT_IPYWIDGETS = """
import sys
from IPython.testing.globalipapp import start_ipython
sys.modules["ipywidgets"] = None  # whoever imports it is told that there is none
start_ipython().kernel = "a page is there"
from helpers import widgets
{call}
"""


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("widgets.predict('cost', 'How many?', ['none', 'one'])", "Without buttons: predict('cost', choose=1)"),
        ("widgets.microscope({'toy': widgets.toy_head()})", "Two rows of three panels"),
        ("widgets.valley()", "Momentum swings across the valley"),
    ],
)
def test_without_ipywidgets_the_picture_and_a_message_remain(call, words):
    out = run(WITHOUT_IPYWIDGETS.format(call=call))
    assert words in out
    assert "ipywidgets is not installed.\nRun `python -m helpers setup`, then restart the kernel" in out


@pytest.mark.parametrize("module", ["helpers.widgets", "helpers.widgets.valley_film"])
def test_widgets_load_no_exercise_and_no_model(module):
    loaded = set(run(f"import sys, {module}; print(*sys.modules)").split())
    assert not loaded & {"transformers", "helpers.check", "helpers.gpt", "helpers.icl", "helpers.lm"}
    assert not any(name.startswith(("helpers.experiments", "helpers.course")) for name in loaded)


def run(code):
    """What a Python of its own prints."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
