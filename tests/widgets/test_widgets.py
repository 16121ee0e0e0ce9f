"""Every widget follows its still, whatever front end shows it; nothing heavy is loaded for them."""

import subprocess
import sys

import ipywidgets
import pytest

from helpers.support import ROOT
from helpers.widgets import controls, live


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))


class Place:
    """Where a still stands."""

    def __init__(self, shown):
        self.update = lambda bundle, raw: shown.append(bundle)


@pytest.fixture
def stills(monkeypatch):
    """The still as it was first, and all that it became."""
    shown = []
    monkeypatch.setattr(live, "in_jupyter", lambda: True)
    monkeypatch.setattr(live, "display", lambda bundle, **_: shown.append(bundle) or Place(shown))
    return shown


def test_a_still_becomes_what_the_widget_showed_last(stills):
    rate, kind = controls.slider("rate", 2, 0, 5), controls.choice("kind <1>", ["a", "b & c"], "a")
    seen = ipywidgets.HTML("<i>at first</i>")
    live.still_or_live("<p>drawn</p>", "words", "a hint", lambda: ipywidgets.VBox([rate, kind, seen]))
    assert "<p>drawn</p>" in stills[0]["text/html"]
    assert (len(stills), stills[0]["text/plain"]) == (2, "words\na hint")
    rate.value, kind.value = 4, "b & c"
    seen.value = "<i>in the end</i>"
    last = stills[-1]
    for text in ("rate: <b>4</b>", "kind &lt;1&gt;: a · <b>✓ b &amp; c</b>", "<i>in the end</i>", "a hint"):
        assert text in last["text/html"]
    assert "drawn" not in last["text/html"]
    assert last["text/plain"] == "rate: 4 kind <1>: a · ✓ b & c in the end\na hint"


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
        ("widgets.predict('cost', 'How many?', ['none', 'one'])", "Predict first. How many?"),
        ("widgets.microscope({'toy': widgets.toy_head()})", "The prompt tinted by attention"),
        ("widgets.valley()", "Rate 0.045, η = 0.8: swings, and converges"),
    ],
)
def test_without_ipywidgets_the_picture_and_a_message_remain(call, words):
    out = run(WITHOUT_IPYWIDGETS.format(call=call))
    assert words in out
    assert "ipywidgets is not installed.\nRun `python -m helpers setup`, then restart the kernel" in out


@pytest.mark.parametrize("module", ["helpers.widgets", "helpers.widgets.valley"])
def test_widgets_load_no_exercise_and_no_model(module):
    loaded = set(run(f"import sys, {module}; print(*sys.modules)").split())
    assert not loaded & {"transformers", "helpers.check", "helpers.gpt", "helpers.icl", "helpers.lm"}
    assert not any(name.startswith(("helpers.experiments", "helpers.course")) for name in loaded)


def run(code):
    """What a Python of its own prints."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
