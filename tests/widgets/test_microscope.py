"""The microscope: both readings of a head agree where they should, every control is seen, and so is the still."""

import base64
import re
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from helpers import widgets
from helpers.attention import linear_attention, softmax_attention
from helpers.plots.page import STYLE
from helpers.widgets import live, look
from helpers.widgets.head import READINGS
from helpers.widgets.microscope import Microscope, Pictures
from helpers.widgets.prompt_text import ABSENT, FRAMED, prompt_text, strongest, tint

INK, TOY = STYLE["text.color"], widgets.toy_head()
LINES = ["ab -> cd", "e -> f", "gh ->"]


def scope(**heads):
    """The widget itself, at all demonstrations and the last query of the first head."""
    heads = heads or {"toy": TOY}
    name, first = next(iter(heads.items()))
    return Microscope(heads, name, len(first.demos), list(first.queries)[-1])


def pngs(page):
    return re.findall(r'src="data:image/png;base64,([^"]+)"', page)


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
    assert relaxed.residual() == "the same to rounding (< 1e-12)"
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


def spans(text):
    """The style and the words of every token of a prompt."""
    return re.findall(r'<span style="([^"]*)" title[^>]*>([^<]+)', text.partition("</div>")[0])


def test_the_prompt_is_tinted_by_what_the_query_attends_to():
    for reading in READINGS:
        view = look(TOY, 4, "query 2", reading)
        seen = spans(prompt_text(view))
        assert "".join(token for _, token in seen) == "".join(TOY.tokens)
        assert [ABSENT in style for style, _ in seen] == [False] * 4 + [True] * 2 + [False] * 3
        assert [FRAMED in style for style, _ in seen] == [i == 7 for i in range(9)]
        for i in (0, 1, 2, 3, 6, 7):
            assert tint(view.weights[i].item() / strongest(view)) in seen[i][0]
    assert "background" not in seen[8][0]  # comes after the query token, which does not see it


def contrast(*colours):
    """WCAG's: from 1 to 21."""
    parts = (np.array(to_rgb(colour)) for colour in colours)
    linear = (np.where(part < 0.04, part / 12.92, ((part + 0.055) / 1.055) ** 2.4) for part in parts)
    dark, light = sorted(float(part @ (0.2126, 0.7152, 0.0722)) for part in linear)
    return (light + 0.05) / (dark + 0.05)


def test_a_tint_is_white_at_nothing_and_legible_at_most():
    for share in (-3, -1, -0.5, 0, 0.5, 1, 3):
        red, _, blue = to_rgb(tint(share))
        assert contrast(tint(share), INK) > 4.5
        assert (red > blue) == (share > 0) or not share
    assert contrast(tint(0), "white") < 1.1 < 1.8 < contrast(tint(1), "white")


def test_every_control_changes_what_is_seen_and_its_words():
    shown = scope(toy=TOY, other=widgets.toy_head(1))
    seen = {(shown.page.value, shown.words.value)}
    for control, value in (
        (shown.demos, 5),
        (shown.query, "query 1"),
        (shown.reading, "softmax"),
        (shown.head, "other"),
        (shown.demos, 0),
    ):
        assert control.description
        control.value = value
        assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in pngs(shown.page.value))
        seen.add((shown.page.value, shown.words.value))
    assert len({page for page, _ in seen}) == len({words for _, words in seen}) == 6
    assert "no demonstrations: ΔW = 0" in shown.words.value
    assert "Softmax attention, 0 of 6" in shown.words.value


def test_another_head_brings_its_own_choices_and_one_redraw(monkeypatch):
    small = widgets.Head(TOY.q[4:], TOY.k[4:], TOY.v[4:], [range(1), range(1, 2)], {"end": 4}, TOY.tokens[4:])
    shown, drawn = scope(toy=TOY, small=small), []
    draw = Pictures.effect_block
    monkeypatch.setattr(Pictures, "effect_block", lambda self, view: drawn.append(view) or draw(self, view))
    shown.head.value = "small"
    assert (shown.demos.max, shown.demos.value, shown.query.options) == (2, 2, ("end",))
    assert len(drawn) == 1
    shown.demos.value, shown.head.value = 1, "toy"
    assert (shown.demos.max, shown.demos.value, shown.query.value) == (6, 6, "query 3")
    assert len(drawn) == 3


def test_artists_are_moved_not_made_anew_and_no_figure_stays_open():
    shown, before = scope(toy=TOY, other=widgets.toy_head(1)), plt.get_fignums()
    figures = shown.pictures.matrix, shown.pictures.effect
    kinds = [[type(x) for x in figure.findobj()] for figure in figures]
    dots = shown.pictures.dots
    for count in range(7):
        shown.demos.value = count
    assert shown.pictures.dots is dots
    assert [set(map(type, figure.findobj())) for figure in figures] == [set(kind) for kind in kinds]
    assert len(figures[1].axes[0].lines) == 2  # the dots and the line on which both are equal
    for name in ("other", "toy") * 3:
        shown.head.value = name
    assert plt.get_fignums() == before


def test_dw_is_drawn_on_a_scale_that_one_large_entry_does_not_set():
    large = widgets.Head(*(x.repeat(1, 16) for x in (TOY.q, TOY.k, TOY.v)), TOY.demos, TOY.queries, TOY.tokens)
    large.k[0, 0] = 1e4
    pictures = Pictures(large)
    low, high = pictures.image.get_clim()
    assert -low == high < 100
    assert pictures.image.get_cmap()(0.5)[:3] == pytest.approx((1, 1, 1), abs=0.04)
    assert f"colours end at ±{high:.0f}" in pictures.matrix_block(look(large, 6, "query 3", "relaxed"))


@pytest.fixture
def page(monkeypatch):
    """What is displayed, as on a page with a kernel."""
    shown = []
    monkeypatch.setattr(live, "in_jupyter", lambda: True)
    monkeypatch.setattr(live, "display", lambda bundle, **_: shown.append(bundle))
    return shown


def test_without_a_kernel_there_is_a_still_of_both_readings(page):
    widgets.microscope({"toy <1>": TOY})
    still, live = page
    text = still["text/html"]
    assert text.count("<img") == 3
    assert text.count(FRAMED) == 2
    assert "the same to rounding (&lt; 1e-12)" in text
    assert re.search("cosine 0.35, not the same", text)
    assert re.search("Relaxed attention, 6 of 6.*< 1e-12.*Softmax attention, 6 of 6", still["text/plain"])
    assert "application/vnd.jupyter.widget-view+json" not in still
    assert "application/vnd.jupyter.widget-view+json" in live
    assert "<img" not in live["text/html"]


def test_without_controls_the_microscope_is_a_call(page, monkeypatch, capsys):
    widgets.microscope({"toy": TOY}, demos=2, query="query 1")
    assert "2 of 6 demonstrations, query “query 1”" in page[0]["text/plain"]
    monkeypatch.setattr(live, "in_jupyter", lambda: False)
    widgets.microscope({"toy": TOY}, demos=3)
    assert len(page) == 2
    assert re.search("3 of 6(.|\n)*Without controls", capsys.readouterr().out)


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
