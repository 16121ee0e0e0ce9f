"""From a figure to the page: a card with a title that waits for its question, pictures stored once, and words."""

import base64
import html
import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.display import DisplayHandle
from matplotlib.figure import Figure
from PIL import Image

from helpers import plots
from helpers.plots import page
from helpers.support import findings

X = np.arange(1.0, 6.0)


@pytest.fixture
def shown(monkeypatch):
    """What is displayed, in order."""
    bundles = []

    class Place(DisplayHandle):
        def update(self, bundle, raw):
            bundles.append(bundle)

    monkeypatch.setattr(page, "display", lambda bundle, raw, display_id: bundles.append(bundle) or Place())
    return bundles


def pictures(bundle):
    return re.findall(r'<img alt="([^"]*)" width="(\d+)"[^>]*src="data:image/png;base64,([^"]+)">', bundle["text/html"])


def test_a_figure_reaches_the_page_with_its_words_and_is_closed(shown):
    before = plt.get_fignums()
    plots.lines({"<b>": (X, X), "c": (X, 2 * X)}, "x", "y", "A <title>")
    assert plt.get_fignums() == before
    (bundle,) = shown
    assert set(bundle) == {"text/html", "text/plain"}  # the picture is stored once
    assert bundle["text/plain"] == "A <title>\ny against x: <b> from 1 to 5; c from 2 to 10."
    assert ">A &lt;title&gt;</div><img" in bundle["text/html"]
    ((words, width, picture),) = pictures(bundle)
    assert words == html.escape("y against x: <b> from 1 to 5; c from 2 to 10.")
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    assert image.mode == "P"  # few colours, few bytes
    assert abs(image.width - 2 * int(width)) <= 1  # two dots a pixel: sharp on any screen


def test_panels_are_pictures_of_their_own_that_can_stand_below_each_other(shown):
    plots.matrices({name: np.eye(3) for name in "abcdef"}, "x", "y", "title")
    (bundle,) = shown
    images = pictures(bundle)
    assert len(images) == 6
    assert all(len(words) > 15 for words, _, _ in images)
    most = int(re.search(r"max-width: (\d+)px", bundle["text/html"])[1])
    widths = [int(width) for _, width, _ in images]
    assert max(widths) < 422
    assert most == sum(widths[3:])  # two lines of three


def test_the_picture_lies_on_its_card_without_a_seam():
    figure, axes = page.canvas(2, 2)
    axes.imshow(np.random.default_rng(0).normal(size=(40, 40)), cmap="viridis")
    corner = Image.open(io.BytesIO(page.png(figure, 96))).convert("RGB").getpixel((0, 0))
    plt.close(figure)
    assert f"background-color: #{bytes(corner).hex()}" in page.CARD


def test_a_finding_is_kept_back_until_its_question_is_answered(shown, monkeypatch):
    done = set()
    monkeypatch.setattr(findings, "answered", lambda key: key in done)
    plots.lines({"a": (X, X)}, "x", "y", findings.Finding("age", "The newest are held back"))
    assert "held back" not in str(shown)
    assert "predict first" in shown[0]["text/html"]
    done.add("age")
    findings.open_all("age")
    assert len(shown) == 2
    assert "The newest are held back" in shown[1]["text/html"]
    assert "predict first" not in shown[1]["text/html"]


def test_a_figure_drawn_again_takes_the_place_of_the_one_before(shown):
    there = plots.place()
    plots.lines({"a": (X, X)}, "x", "y", "title", into=there)
    assert [set(bundle) for bundle in shown] == [{"text/plain"}, {"text/html", "text/plain"}]


def test_a_saved_figure_is_whole_and_alone(tmp_path):
    target = tmp_path / "figure.png"
    for _ in range(2):
        plots.lines({"a": (X, X)}, "x", "y", "title", save=target)
    assert Image.open(target).size == (int(6.4 * 192), int(3.4 * 192))
    assert list(tmp_path.iterdir()) == [target]


def test_the_style_sheet_leaves_no_trace():
    before = plt.rcParams["axes.facecolor"]
    plots.lines({"a": (X, X)}, "x", "y", "title")
    assert plt.rcParams["axes.facecolor"] == before != page.STYLE["axes.facecolor"]
    assert isinstance(page.canvas()[0], Figure)
    plt.close("all")
