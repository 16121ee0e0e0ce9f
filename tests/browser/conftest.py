"""One JupyterLab and one browser for all tests of a file; a page of its own for each.

Not for the whole session: the book's tests have a browser of their own, and two can't be driven at a time.
"""

import os
import shutil
import subprocess

import pytest
from lab import make_lab
from playwright.sync_api import sync_playwright

CHROMIUMS = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
QUIET = ("gpu", "quic", "background-networking", "component-update", "sync")  # what a test's browser does without


@pytest.fixture(scope="session")
def chromium():
    """Where Chromium is; CI installs it on the way, elsewhere the test says what is missing."""
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if not found and os.environ.get("CI") == "true" and shutil.which("apt-get") and os.geteuid() == 0:
        for step in (["update", "-qq"], ["install", "-y", "-qq", "chromium"]):
            subprocess.run(["apt-get", *step], check=True, env=dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive"})
        found = shutil.which("chromium")
    if not found:
        pytest.skip("no browser: install Chromium (Debian: apt-get install chromium) or set CHROMIUM to its path")
    return found


@pytest.fixture(scope="module")
def browser(chromium):
    with sync_playwright() as play:
        flags = ["--no-first-run", *(f"--disable-{name}" for name in QUIET)]
        browser = play.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with make_lab(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture
def page(browser, lab):
    """A new page, as wide as a small laptop's; its kernels end with it."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()
    lab.end_kernels()
