"""What `make lab` opens, on a laptop and on a phone; and what readers set themselves, which wins."""

import json
import shutil
import urllib.request
from urllib.parse import urlsplit

import pytest
from lab import Notebook
from looks import CUT, SIDEWAYS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

NOTEBOOK = "notebooks/00_start_here.ipynb"
COLUMN = """() => Math.max(...[...document.querySelectorAll('.jp-Notebook .jp-RenderedMarkdown')].map(x =>
  x.getBoundingClientRect().width / parseFloat(getComputedStyle(x).fontSize)))"""
THEMES = "@jupyterlab/apputils-extension:themes"


@pytest.fixture
def landing(page, lab):
    """Follows the server's own address to where it leads, as on a first day, at a width."""
    shutil.rmtree(lab.folder / "workspaces", ignore_errors=True)

    def go(width=1280):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"{lab.address}/?token={lab.token}")
        page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=120_000)
        page.wait_for_timeout(4000)
        return Notebook(page, lab, NOTEBOOK)

    return go


def set_(lab, plugin, settings):
    """A reader's own settings, as JupyterLab's editor of settings writes them."""
    address, body = f"{lab.address}/lab/api/settings/{plugin}?token={lab.token}", {"raw": json.dumps(settings)}
    urllib.request.urlopen(urllib.request.Request(address, json.dumps(body).encode(), method="PUT"), timeout=10)


def test_a_first_day_begins_with_the_contents_beside_a_column_that_can_be_read(landing, lab):
    assert [entry["path"] for entry in lab.ask("contents")["content"]] == ["notebooks"]  # copies, not the course's own
    page = landing().page
    assert urlsplit(page.url).path.endswith(f"/lab/tree/{NOTEBOOK}")
    assert page.locator(".jp-TableOfContents").is_visible()
    assert not page.locator(".jp-FileBrowser").first.is_visible()
    assert page.evaluate(COLUMN) <= 46.5
    assert not page.get_by_text("Jupyter news").count()


def test_on_a_phone_the_page_has_the_room(landing):
    notebook = landing(390)
    assert notebook.page.locator(".jp-Notebook").bounding_box()["width"] > 0.75 * 390
    assert notebook.page.evaluate(SIDEWAYS) == []
    assert notebook.all(CUT) == []


def test_how_readers_leave_it_is_how_they_find_it(landing):
    page = landing().page
    page.keyboard.press("ControlOrMeta+Shift+f")
    page.locator(".jp-FileBrowser").first.wait_for()
    page.wait_for_timeout(2000)
    page = landing().page
    assert page.locator(".jp-FileBrowser").first.is_visible()
    assert not page.locator(".jp-TableOfContents").is_visible()


def test_a_theme_and_letters_of_ones_own_win_and_nothing_is_cut(landing, lab):
    set_(lab, THEMES, {"theme": "JupyterLab Dark High Contrast", "overrides": {"content-font-size1": "22px"}})
    try:
        notebook = landing()
        assert notebook.page.locator("body").get_attribute("data-jp-theme-name") == "JupyterLab Dark High Contrast"
        letters = "x => parseFloat(getComputedStyle(x).fontSize)"
        assert notebook.page.locator(".jp-RenderedMarkdown p").first.evaluate(letters) >= 22
        assert notebook.all(CUT) == []
    finally:
        set_(lab, THEMES, {})


def test_without_the_fonts_it_asks_for_nothing_is_cut(landing):
    notebook = landing(640)
    notebook.page.add_style_tag(content=".jp-Notebook * { font-family: 'No such font' !important }")
    notebook.page.wait_for_timeout(1000)
    assert notebook.page.evaluate(SIDEWAYS) == []
    assert notebook.all(CUT) == []
