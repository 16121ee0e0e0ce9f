"""Shapes in annotations are checked while the tests run: an annotation that lies fails a test."""

import os
import shutil
import subprocess

from jaxtyping import install_import_hook

install_import_hook("helpers", "beartype.beartype")

import pytest  # noqa: E402
import torch  # noqa: E402
from tiny import FAMILIES, tiny  # noqa: E402

from helpers import gpt  # noqa: E402
from helpers.support import cache  # noqa: E402

CHROMIUMS = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
QUIET = ("gpu", "quic", "background-networking", "component-update", "sync")  # what a test's browser does without


@pytest.fixture(scope="session")
def real():
    """The course's own GPT, loaded once."""
    return gpt.load()


@pytest.fixture(params=FAMILIES)
def model(request):
    """A tiny random model of each family, in float32."""
    return tiny(request.param, torch.float32)


@pytest.fixture(autouse=True)
def fresh_evaluations(request, tmp_path, monkeypatch):
    """Unit tests never read what an earlier run remembered; notebooks and the real model do."""
    if not request.node.get_closest_marker("real") and not request.node.get_closest_marker("notebook"):
        folder = tmp_path / "evaluations"
        monkeypatch.setattr(cache, "evaluation", lambda key: folder / f"{cache.digest(*key)}.safetensors")


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
    """A browser for the tests of one file: two can't be driven at a time, and an event loop runs as long as one is."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        flags = ["--no-first-run", *(f"--disable-{name}" for name in QUIET)]
        browser = play.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        browser.close()
