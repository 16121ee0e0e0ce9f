"""Every student notebook in a real browser, as a reader has it: run, answered, predicted, moved, narrowed, reopened.

A notebook is opened once; the tests of it follow each other on the same page, in the order of this file.
"""

import json
import re
import secrets
from dataclasses import replace
from itertools import pairwise

import nbformat
import pytest
from lab import STUDENT, Notebook, until
from looks import CONTRAST, CUT, FAULTS, RULES, SIDEWAYS, TINY, accessible

from helpers.course import build
from helpers.support import ROOT, boxes
from helpers.widgets.live import VIEW

pytestmark = [pytest.mark.browser, pytest.mark.real, pytest.mark.notebook, pytest.mark.timeout(900)]

WRONG = {  # an exercise of each notebook that has some, and a known mistake in it
    "01_linear_attention": ("linear_attention", "return q @ k.T @ v"),
    "02_dual_form": ("weight_update", "return inputs.T @ errors"),
    "03_meta_gradients": ("meta_gradient", "return (demos @ w_k.T).T @ (demos @ w_v.T)"),
    "06_momentum_attention": ("momentum_gradients", "return gradients.cumsum(0)"),
}
STUB = "raise NotImplementedError  # your code here"
WIDGETS = ("leave_out", "memory", "microscope", "valley")
WAITS = "Predict first: choose an answer above"


@pytest.fixture(scope="module", params=STUDENT, ids=lambda path: path.stem)
def opened(request, browser, lab):
    """A notebook that was opened and run to its end."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    notebook = Notebook(context.new_page(), lab, f"notebooks/{request.param.name}").open()
    notebook.run_all()
    yield notebook
    context.close()
    lab.end_kernels()


def test_it_runs(opened):
    assert opened.unrun() == []
    assert opened.all(FAULTS) == []


@pytest.mark.parametrize("pixels", [640, 400, 1280], ids=["at 200 percent", "a phone", "wide"])
def test_nothing_is_cut_and_the_page_does_not_scroll_sideways(opened, pixels):
    opened.width(pixels)
    assert opened.page.evaluate(SIDEWAYS) == []
    assert opened.all(CUT) == []
    assert opened.all(TINY) == []


def test_everybody_can_use_it_on_light_and_on_dark(opened):
    assert accessible(opened.page, RULES) == []
    opened.theme("Dark")
    try:
        assert accessible(opened.page, CONTRAST) == []
    finally:
        opened.theme("Light")


def box(kind):
    """What finds a box of this kind: its colour."""
    return f'[style*="rgb{boxes.COLOURS[kind]}"]'


def source(path, name):
    """The cell of a notebook that defines a function."""
    cells = nbformat.read(path, as_version=4).cells
    return next(cell.source for cell in cells if cell.cell_type == "code" and f"def {name}(" in cell.source)


def calls(notebook, *names):
    """How many cells of a notebook call one of these functions."""
    cells = nbformat.read(ROOT / notebook.path, as_version=4).cells
    called = re.compile(rf"^({'|'.join(names)})\(", re.M)
    return sum(cell.cell_type == "code" and bool(called.search(cell.source)) for cell in cells)


def test_a_check_says_wrong_and_then_right(opened):
    stem = opened.path.removeprefix("notebooks/").removesuffix(".ipynb")
    if stem not in WRONG:
        pytest.skip("it has no exercise")
    name, mistake = WRONG[stem]
    asked = opened.cell(f"def {name}(")
    answers = {"failed": source(build.STUDENT / f"{stem}.ipynb", name).replace(STUB, mistake)}
    answers["passed"] = source(build.SOLVED / f"{stem}.ipynb", name)
    for kind, code in answers.items():
        opened.write(asked, code)
        checked = opened.cell(f"check({name}")
        opened.write(checked, f"check({name})")
        assert checked.locator(box(kind)).first.is_visible(), kind


def test_a_prediction_by_mouse_and_one_by_keyboard_open_what_waits(opened):
    page, asked = opened.page, opened.page.locator(".course-live:visible:has(.widget-text) .widget-radio")
    assert asked.count() == calls(opened, "predict")
    for place in range(min(asked.count(), 2)):
        waiting = page.get_by_text(WAITS).count()
        choice = asked.nth(place).locator("input").first
        if place:
            choice.focus()
            page.keyboard.press("Space")
        else:
            choice.click()
        page.get_by_role("status").filter(has_text="Kept").nth(place).wait_for(timeout=30_000)
        until(lambda: page.get_by_text(WAITS).count() < waiting, 15, "what waited opens")  # noqa: B023
        assert choice.is_checked()


def state(widget):
    """What a widget shows besides where its controls stand."""
    return widget.evaluate("x => [x.innerText, ...[...x.querySelectorAll('img')].map(i => i.src + i.alt)].join('|')")


def on_the_track(page, handle):
    """A click in the other half of a slider's track."""
    track = handle.locator("xpath=ancestor::*[contains(@class, 'noUi-base')]").bounding_box()
    left = handle.bounding_box()["x"] < track["x"] + track["width"] / 2
    page.mouse.click(track["x"] + track["width"] * (0.8 if left else 0.2), track["y"] + track["height"] / 2)


def along(page, handle):
    at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
    press(page, handle, "ArrowLeft" if at_end else "ArrowRight")


def press(page, control, key):
    control.focus()
    page.keyboard.press(key)


def along_the_choices(page, group):
    press(page, group.locator("input:checked"), "ArrowRight")


MOVES = {  # what one can move: how by keyboard, how by mouse
    ".noUi-handle": (along, on_the_track),
    ".widget-radio-box": (along_the_choices, lambda page, x: x.locator("input:not(:checked)").first.click()),
    ".widget-checkbox input": (lambda page, x: press(page, x, "Space"), lambda page, x: x.click()),
    "select": (lambda page, x: press(page, x, "ArrowDown"), lambda page, x: x.select_option(index=0)),
}


def test_every_widget_moves_by_keyboard_and_by_mouse(opened):
    """Every slider, menu and group of choices, and of each group's ticks the first: picture or words change."""
    page, widgets = opened.page, opened.page.locator(".course-live:visible:not(:has(.widget-text))")
    assert widgets.count() == calls(opened, *WIDGETS)
    for widget in widgets.all():
        for kind, moves in MOVES.items():
            for control in widget.locator(kind).all()[: 1 if "checkbox" in kind else None]:
                control.scroll_into_view_if_needed()
                for by, move in zip(("keyboard", "mouse"), moves, strict=True):
                    before = state(widget)
                    move(page, control)
                    until(lambda: state(widget) != before, 15, f"{kind} of {widget.inner_text()[:40]!r} by {by}")  # noqa: B023


STILL = ".course-still"


def opened_again(browser, notebook):
    """A notebook in a new window, whose kernel knows nothing of its widgets."""
    notebook.lab.end_kernels()
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    return Notebook(context.new_page(), notebook.lab, notebook.path).open()


def test_saved_and_opened_again_it_shows_what_it_showed(opened, browser):
    """Each widget is a picture or words now; only the bars of trainings that have ended are gone."""
    opened.save()
    saved = json.loads((opened.lab.folder / "content" / opened.path).read_text(encoding="utf-8"))
    pairs = [pair for cell in saved["cells"] for pair in pairwise([{}, *cell.get("outputs", [])])]
    widgets = [(before.get("data", {}), now["data"]) for before, now in pairs if VIEW in now.get("data", {})]
    bars = [now for _, now in widgets if "%|" in "".join(now["text/plain"])]
    assert sum(STILL[1:] in "".join(before.get("text/html", "")) for before, _ in widgets) == len(widgets) - len(bars)
    again = opened_again(browser, opened)
    assert again.unrun() == []
    assert again.all(FAULTS) == []
    assert again.all(CUT) == []
    assert again.page.locator(f"{STILL}:visible").count() == len(widgets) - len(bars)
    again.page.context.close()


def test_a_copy_that_is_not_trusted_is_whole(opened, browser):
    """As from the net: JupyterLab takes scripts and much of the styles out. The notebook with the most to show."""
    if "03" not in opened.path:
        pytest.skip("one is enough")
    saved = json.loads((opened.lab.folder / "content" / opened.path).read_text(encoding="utf-8"))
    saved["metadata"]["copy"] = secrets.token_hex(4)  # what is not known is not trusted
    copy = opened_again(browser, replace(opened, path=opened.lab.add("copy.ipynb", saved)))
    assert copy.all(FAULTS) == []
    assert copy.all(CUT) == []
    assert accessible(copy.page, RULES) == []
    copy.page.context.close()
