"""Figures: every series is drawn and looks like no other, or is refused; texts that can be read and fit."""

import subprocess
import sys
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.legend import Legend
from matplotlib.text import Text

from helpers import plots
from helpers.plots import curves, labels, page
from helpers.support import ROOT

pytestmark = [  # the last one is asked first
    pytest.mark.filterwarnings("error"),  # of a layout without room, above all
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pyparsing"),  # an old matplotlib under a new pyparsing
    pytest.mark.filterwarnings("ignore::DeprecationWarning:matplotlib"),
]

X = np.arange(1.0, 6.0)
BAND = X, X - 1, X + 1
ESTIMATE = 0.5, 0.4, 0.6


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were shown."""
    figures = []

    def draw(shown, alt, dpi):
        for figure in page._several(shown):
            figure.draw_without_rendering()
            figures.append(figure)
        return "", 0

    monkeypatch.setattr(page, "_images", draw)
    return figures


def names(count, form="series {}"):
    return [form.format(i) for i in range(count)]


def accuracies(count):
    table = {task: dict.fromkeys(names(count), ESTIMATE) for task in ("mr", "source-letters")}
    plots.accuracies(table, table, {"mr": 0.5}, "title")


WITH_NAMES = {
    "lines": lambda count: plots.lines(dict.fromkeys(names(count), (X, X)), "x", "y", "title"),
    "bands": lambda count: plots.lines(dict.fromkeys(names(count), (X, *BAND)), "x", "y", "title"),
    "points": lambda count: plots.points(dict.fromkeys(names(count), (X, X)), "x", "y", "title"),
    "losses": lambda count: plots.losses({name: ([0, 1, 2], np.ones((2, 3))) for name in names(count)}, X, "title"),
    "by_layer": lambda count: plots.by_layer({"mr": dict.fromkeys(names(count), BAND)}, "y", "title"),
    "nulls": lambda count: plots.by_layer({"mr": {f"null: {name}": BAND for name in names(count)}}, "y", "title"),
    "answers": lambda count: plots.answers({"a": [0.7] * count}, names(count), ["review"], "review", "title"),
    "accuracies": accuracies,
    "shares": lambda count: plots.shares(
        {"panel": {row: dict.fromkeys(names(count), ESTIMATE) for row in ("the mean of sixteen", "no")}}, "x", "title"
    ),
}
ONE_EACH = {  # panels or rows: how many there are
    "matrices": (
        lambda count: plots.matrices({name: np.eye(3) for name in names(count)}, "x", "y", "title"),
        lambda figures: len(figures),
    ),
    "numbers": (
        lambda count: plots.matrices(
            {name: np.eye(3) - 0.5 for name in names(count)}, "x", "y", "title", numbers=".1f"
        ),
        lambda figures: len(figures),
    ),
    "maps": (
        lambda count: plots.maps(dict.fromkeys(names(count), np.arange(50)), list("abcde") * 10, "title"),
        lambda figures: len(figures[0].axes[0].images[0].get_array()),
    ),
    "bars": (
        lambda count: plots.bars(dict.fromkeys(names(count), (4.31, -0.01)), "x", "title"),
        lambda figures: len(figures[0].axes[0].patches) / 2,
    ),
    "differences": (
        lambda count: plots.differences(dict.fromkeys(names(count), (X, ESTIMATE)), "x", "title"),
        lambda figures: len(figures[0].axes[0].get_yticklabels()),
    ),
    "forest": (
        lambda count: plots.forest({name: {"a": ESTIMATE} for name in names(count)}, "x", "title"),
        lambda figures: len(figures[0].axes[0].get_yticklabels()) / 2,
    ),
    "pictures": (
        lambda count: plots.pictures({name: [(np.eye(3), "a\n-0.1")] for name in names(count)}, "title"),
        lambda figures: len(figures[0].axes),
    ),
    "tasks": (
        lambda count: plots.by_layer({task: {"τ": BAND} for task in names(count)}, "y", "title"),
        lambda figures: sum(bool(axes.get_title("left")) for axes in figures[0].axes),
    ),
}
OTHERS = {
    "slopes": lambda: plots.lines({"softmax attention, as torch has it": (X, X**2)}, "x", "y", "title", log="xy"),
    "equal": lambda: plots.points({"one step": (X, X)}, "x", "y", "title", diagonal=True),
    "label_bias": lambda: plots.label_bias(
        np.random.default_rng(0).normal(size=(9, 2)), np.eye(9)[:, :2], np.arange(9) % 2, ("no", "yes"), "title"
    ),
    "recovered": lambda: plots.recovered(X > 2, X > 1, X > 3, "title"),
    "one wide map": lambda: plots.matrices({"relaxed": np.arange(270).reshape(9, 30)}, "layer", "head", "title"),
    "small numbers": lambda: plots.matrices({"a": -np.eye(2) / 3000, "b": np.eye(2)}, "layer", "head", "title"),
}


def look(artist):
    """What tells a series apart: colour, mark, dashes."""
    if hasattr(artist, "get_paths"):  # a scatter
        return tuple(artist.get_facecolor()[0]), artist.get_paths()[0].vertices.tobytes()
    return artist.get_color(), artist.get_marker(), str(artist._dash_pattern)


def named(figure):
    """The mark of every name in a figure."""
    for legend in figure.findobj(Legend):
        yield from zip(legend.legend_handles, (text.get_text() for text in legend.get_texts()), strict=True)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 12])
@pytest.mark.parametrize("name", WITH_NAMES)
def test_every_series_is_drawn_and_looks_like_no_other(drawn, name, count):
    WITH_NAMES[name](count)
    for figure in drawn:
        shown = [look(handle) for handle, said in named(figure) if "series" in said]
        assert len(shown) == len(set(shown)) == count


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 12])
@pytest.mark.parametrize("name", ONE_EACH)
def test_every_panel_and_row_is_drawn(drawn, name, count):
    draw, number_of = ONE_EACH[name]
    draw(count)
    assert number_of(drawn) == count


@pytest.mark.parametrize("name", [*WITH_NAMES, *ONE_EACH])
def test_no_series_at_all_is_a_sentence(name):
    with pytest.raises(ValueError, match=r"^There is nothing to draw: no series was given\.\nGive at least one\.$"):
        (WITH_NAMES.get(name) or ONE_EACH[name][0])(0)


@pytest.mark.parametrize(("name", "most"), [("lines", 40), ("points", 40), ("losses", 16), ("nulls", 12)])
def test_more_series_than_can_be_told_apart_are_refused(drawn, name, most):
    WITH_NAMES[name](most)
    with pytest.raises(
        ValueError, match=rf"^{most + 1} .* more than can be told apart.*\nDraw at most {most} at a time"
    ):
        WITH_NAMES[name](most + 1)


def test_what_does_not_fit_is_refused_before_a_figure_is_made():
    before = plt.get_fignums()
    with pytest.raises(ValueError, match="another number of shares than there are steps, 2"):
        plots.answers({"a": [0.1, 0.2], "b": [0.1, 0.2, 0.3]}, ["0", "8"], ["review"] * 2, "review", "title")
    with pytest.raises(ValueError, match="the difference of two labels' scores, and there are 3"):
        plots.label_bias(np.ones((4, 3)), np.ones((4, 3)), np.arange(4) % 3, ("a", "b", "c"), "title")
    assert plt.get_fignums() == before


@pytest.mark.parametrize("name", [*WITH_NAMES, *ONE_EACH, *OTHERS])
def test_every_text_is_eight_points_or_more_on_the_page_and_inside_its_picture(drawn, monkeypatch, name):
    texts, draw = [], Text.draw
    monkeypatch.setattr(Text, "draw", lambda text, renderer: texts.append(text) or draw(text, renderer))
    OTHERS[name]() if name in OTHERS else (WITH_NAMES.get(name) or ONE_EACH[name][0])(4)
    shown = [text for text in texts if text.get_visible() and text.get_text()]
    assert {text.get_figure() for text in shown} == set(drawn)
    for text in shown:
        picture, box = text.get_figure().bbox.padded(1), text.get_window_extent()
        assert text.get_size() >= 8, text  # a picture is shown 96 pixels an inch: one point is one point
        assert picture.contains(*box.min) and picture.contains(*box.max), text  # noqa: PT018
    assert all(figure.get_figwidth() <= page.WIDTH for figure in drawn)


@pytest.mark.parametrize("name", ["lines", "losses"])
def test_names_at_the_ends_of_lines_do_not_touch(drawn, name):
    WITH_NAMES[name](12)
    boxes = sorted(
        legend.get_texts()[0].get_window_extent().extents[[1, 3]].tolist() for legend in drawn[0].findobj(Legend)
    )
    assert all(above[0] >= below[1] for below, above in pairwise(boxes))


def test_names_stay_where_their_lines_end_unless_they_would_touch():
    np.testing.assert_allclose(labels.spread(np.array([90.0, 10.0]), [13.0, 13.0], 100.0), [90, 10])
    np.testing.assert_allclose(labels.spread(np.array([50.0, 50.0, 80.0]), [10.0, 10.0, 10.0], 100.0), [45, 55, 80])
    np.testing.assert_allclose(labels.spread(np.array([1.0, 0.0]), [10.0, 20.0], 100.0), [25, 10])


@pytest.mark.parametrize(("log", "label"), [("xy", "cubic: $n^{3.0}$"), ("x", "cubic"), ("", "cubic")])
def test_where_both_axes_are_logarithmic_a_line_says_its_slope(drawn, log, label):
    plots.lines({"cubic": (X, X**3)}, "x", "y", "title", log=log)
    assert [said for _, said in named(drawn[0])] == [label]


def test_zero_is_white_on_one_scale_for_all_panels_and_what_is_masked_stays_blank(drawn):
    masked = np.array([[0.0, np.nan], [-2.0, 1.0]])
    plots.matrices({"a": masked, "b": np.full((2, 2), 4.0)}, "x", "y", "title")
    first, second = (figure.axes[0].images[0] for figure in drawn)
    assert first.get_clim() == second.get_clim() == (-4, 4)
    colours = first.cmap(first.norm(first.get_array()))
    assert colours[0, 0].tolist() == [1, 1, 1, 1]
    assert colours[0, 1, 3] == 0
    map_, bar = drawn[-1].axes
    assert bar.get_position().height == pytest.approx(map_.get_position().height)


def test_panels_with_scales_of_their_own_have_hues_of_their_own_and_say_so(drawn):
    plots.matrices({"scores": np.eye(2), "weights": 3 * np.eye(2)}, "x", "y", "title", numbers=".1f")
    assert len({figure.axes[0].images[0].cmap.name for figure in drawn}) == 2
    assert [figure.axes[0].get_title("left") for figure in drawn] == [
        "scores\nwhite 0, darkest 1",
        "weights\nwhite 0, darkest 3",
    ]


def test_figures_load_no_model_and_no_exercise():
    code = "import sys, helpers.plots; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"transformers", "helpers.icl", "helpers.gpt", "helpers.lm", "helpers.check", "helpers.widgets"}
    assert not any(name.startswith(("helpers.experiments", "helpers.course")) for name in loaded)


def test_many_points_are_told_by_their_ranges(monkeypatch):
    said = []
    monkeypatch.setattr(curves, "show", lambda figure, title, alt: said.append(alt))
    plots.points({"few": (X, X), "many": (np.arange(60.0), np.arange(60.0) / 4)}, "x", "y", "title")
    assert said[0].startswith("y against x: few: (1.0, 1.00), (2.0, 2.00), ")
    assert said[0].endswith("; many: 60 points, 0 to 15 against 0 to 59.")
