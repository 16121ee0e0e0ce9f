"""Figures: every series is drawn and looks like no other, or is refused; one way to the page, with words."""

import base64
import html
import re
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.display import DisplayHandle

from helpers import plots
from helpers.plots import page
from helpers.support import ROOT, findings

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
    """The figure that was shown last, which stays open for looking at."""
    close = plt.close
    monkeypatch.setitem(page.SHARP, "dpi", 30)  # faster
    monkeypatch.setattr(plt, "close", lambda *_: None)
    yield plt.gcf
    close("all")


def names(count):
    return [f"series {i}" for i in range(count)]


def accuracies(count):
    table = {task: dict.fromkeys(names(count), ESTIMATE) for task in ("mr", "past")}
    plots.accuracies(table, table, {"mr": 0.5}, "title")


WITH_LEGEND = {
    "lines": lambda count: plots.lines(dict.fromkeys(names(count), (X, X)), "x", "y", "title"),
    "bands": lambda count: plots.lines(dict.fromkeys(names(count), (X, *BAND)), "x", "y", "title"),
    "points": lambda count: plots.points(dict.fromkeys(names(count), (X, X)), "x", "y", "title"),
    "losses": lambda count: plots.losses({name: ([0, 1, 2], np.ones((2, 3))) for name in names(count)}, X, "title"),
    "by_layer": lambda count: plots.by_layer({"mr": dict.fromkeys(names(count), BAND)}, "y", "title"),
    "nulls": lambda count: plots.by_layer({"mr": {f"null: {name}": BAND for name in names(count)}}, "y", "title"),
    "answers": lambda count: plots.answers({"a": [0.7] * count}, names(count), ["review"], "review", "title"),
    "accuracies": accuracies,
}
ONE_EACH = {  # panels or rows instead of a legend: how many there are
    "matrices": (
        lambda count: plots.matrices({name: np.eye(3) for name in names(count)}, "x", "y", "title", numbers=True),
        lambda figure: len(figure.axes),
    ),
    "maps": (
        lambda count: plots.maps(dict.fromkeys(names(count), X), list("abcde"), "title"),
        lambda figure: len(figure.axes[0].images[0].get_array()),
    ),
    "differences": (
        lambda count: plots.differences(dict.fromkeys(names(count), (X, ESTIMATE)), "x", "title"),
        lambda figure: len(figure.axes[0].get_yticklabels()),
    ),
    "pictures": (
        lambda count: plots.pictures({name: [(np.eye(3), "caption")] for name in names(count)}, "title"),
        lambda figure: len(figure.axes),
    ),
    "tasks": (
        lambda count: plots.by_layer({task: {"τ": BAND} for task in names(count)}, "y", "title"),
        lambda figure: sum(bool(axes.get_title()) for axes in figure.axes),
    ),
}


def look(artist):
    """What tells a series apart: colour, mark, dashes."""
    artist = artist[0] if isinstance(artist, tuple) else artist
    if hasattr(artist, "get_paths"):  # a scatter
        return tuple(artist.get_facecolor()[0]), artist.get_paths()[0].vertices.tobytes()
    return artist.get_color(), artist.get_marker(), str(artist._dash_pattern)


@pytest.mark.parametrize("count", range(1, 13))
@pytest.mark.parametrize("name", WITH_LEGEND)
def test_every_series_is_drawn_and_looks_like_no_other(drawn, name, count):
    WITH_LEGEND[name](count)
    legends = [axes.get_legend() for axes in drawn().axes if axes.get_legend()]
    handles, labels = legends[0].axes.get_legend_handles_labels()
    shown = [look(handle) for handle, label in zip(handles, labels, strict=True) if "series" in label]
    assert len(shown) == len(set(shown)) == count


@pytest.mark.parametrize("count", range(1, 13))
@pytest.mark.parametrize("name", ONE_EACH)
def test_every_panel_and_row_is_drawn(drawn, name, count):
    draw, number_of = ONE_EACH[name]
    draw(count)
    assert number_of(drawn()) == count


@pytest.mark.parametrize("name", [*WITH_LEGEND, *ONE_EACH])
def test_no_series_at_all_is_a_sentence(name):
    with pytest.raises(ValueError, match=r"^There is nothing to draw: no series was given\.\nGive at least one\.$"):
        (WITH_LEGEND.get(name) or ONE_EACH[name][0])(0)


@pytest.mark.parametrize(("name", "most"), [("lines", 40), ("points", 40), ("losses", 16), ("nulls", 12)])
def test_more_series_than_can_be_told_apart_are_refused(drawn, name, most):
    WITH_LEGEND[name](most)
    with pytest.raises(
        ValueError, match=rf"^{most + 1} .* more than can be told apart.*\nDraw at most {most} at a time"
    ):
        WITH_LEGEND[name](most + 1)


def test_what_does_not_fit_is_refused_before_a_figure_is_made():
    before = plt.get_fignums()
    with pytest.raises(ValueError, match="another number of shares than there are steps, 2"):
        plots.answers({"a": [0.1, 0.2], "b": [0.1, 0.2, 0.3]}, ["0", "8"], ["review"] * 2, "review", "title")
    with pytest.raises(ValueError, match="the difference of two labels' scores, and there are 3"):
        plots.label_bias(np.ones((4, 3)), np.ones((4, 3)), np.arange(4) % 3, ("a", "b", "c"), "title")
    assert plt.get_fignums() == before


def test_the_words_name_every_series(capsys):
    WITH_LEGEND["lines"](9)
    out = capsys.readouterr().out
    assert all(f"series {i} from 1 to 5" in out for i in range(9))


@pytest.mark.parametrize(("log", "label"), [("xy", "cubic: n^3.0"), ("x", "cubic"), ("", "cubic")])
def test_where_both_axes_are_logarithmic_a_line_says_its_slope(drawn, log, label):
    plots.lines({"cubic": (X, X**3)}, "x", "y", "title", log=log)
    (text,) = drawn().axes[0].get_legend().get_texts()
    assert text.get_text() == label


@pytest.fixture
def shown(monkeypatch):
    """What is displayed, in order."""
    bundles = []

    class Place(DisplayHandle):
        def update(self, bundle, raw):
            bundles.append(bundle)

    monkeypatch.setattr(page, "display", lambda bundle, raw, display_id: bundles.append(bundle) or Place())
    return bundles


def test_a_figure_reaches_the_page_with_its_words_and_is_closed(shown):
    before = plt.get_fignums()
    plots.lines({"<b>": (X, X)}, "x", "y", "A <title>")
    assert plt.get_fignums() == before
    (bundle,) = shown
    assert set(bundle) == {"text/html", "text/plain"}  # the picture is stored once
    title, words = bundle["text/plain"].split("\n")
    assert (title, words) == ("A <title>", "y against x: <b> from 1 to 5.")
    assert f">{html.escape(title)}</div><img" in bundle["text/html"]
    assert f'alt="{html.escape(words)}"' in bundle["text/html"]
    picture = base64.b64decode(re.search('src="data:image/png;base64,([^"]+)"', bundle["text/html"])[1])
    assert picture.startswith(b"\x89PNG")


def test_a_finding_is_kept_back_until_its_question_is_answered(shown, monkeypatch):
    monkeypatch.setattr(findings, "answered", lambda key: key in done)
    done = set()
    plots.lines({"a": (X, X)}, "x", "y", findings.Finding("age", "The newest are held back"))
    assert "held back" not in str(shown)
    assert "predict first" in shown[0]["text/html"]
    done.add("age")
    findings.open_all("age")
    assert len(shown) == 2
    assert "The newest are held back" in shown[1]["text/html"]
    assert "predict first" not in shown[1]["text/html"]


def test_a_saved_figure_is_whole_and_alone(tmp_path):
    target = tmp_path / "figure.png"
    for _ in range(2):
        plots.lines({"a": (X, X)}, "x", "y", "title", save=target)
    assert plt.imread(target).shape[:2] == (round(3.6 * 110), 8 * 110)
    assert list(tmp_path.iterdir()) == [target]


def test_figures_load_no_model_and_no_exercise():
    code = "import sys, helpers.plots; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"transformers", "helpers.icl", "helpers.gpt", "helpers.lm", "helpers.check", "helpers.widgets"}
    assert not any(name.startswith(("helpers.experiments", "helpers.course")) for name in loaded)
