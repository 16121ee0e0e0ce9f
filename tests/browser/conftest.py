"""One JupyterLab for all tests of a file; a page of its own for each."""

import pytest
from lab import make_lab


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
