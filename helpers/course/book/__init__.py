"""The course as a web site: Sphinx over the executed notebooks, with nothing fetched to make it or to read it."""

import tempfile
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

from helpers.course import address
from helpers.course.book import pages
from helpers.support import ROOT, CourseError, cache

TARGET = ROOT / "build" / "book"
TITLE = "In-context learning and gradient descent"
NEEDED = ("sphinx", "myst_nb", "sphinx_book_theme", "sphinx-mathjax-offline")
BINDER, COLAB = "https://mybinder.org", "https://colab.research.google.com"
FORMULAS = {  # of MathJax: what it can't read is marked as an error; no larger than the text, for phones
    "tex": {"packages": {"[-]": ["noerrors", "noundefined"]}},
    "chtml": {"matchFontHeight": False, "scale": 1.1},
}


def main() -> int:
    """Write the site into build/book, whole or not at all."""
    make(TARGET)
    print(f"The book is in {TARGET.relative_to(ROOT)}: open {TARGET.relative_to(ROOT) / 'index.html'} in a browser.")
    return 0


def make(target: Path) -> None:
    """Write the site into the folder `target`. Raises CourseError; what was there before stays then."""
    absent = [name for name in NEEDED if not find_spec(name)]
    if absent:
        raise CourseError(f"The book needs {', '.join(absent)}: not installed here.\nRun: python -m helpers setup")
    repo = address.repository()
    with tempfile.TemporaryDirectory() as scratch, cache.whole(target) as site:
        source = Path(scratch) / "source"
        pages.write(source, repo)
        warnings = _sphinx(source, site, Path(scratch) / "doctrees", repo)
        if warnings:
            raise CourseError(
                f"The book was not written; of {len(warnings)} warnings the first is: {warnings[0]}\n"
                "Mend that page (links, headings and formulas are what Sphinx looks at), then run: make book"
            )


def _sphinx(source: Path, site: Path, doctrees: Path, repo: str | None) -> list[str]:
    """Run Sphinx; returns its warnings."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    heard = StringIO()
    with patch_docutils(), docutils_namespace():
        app = Sphinx(source, None, site, doctrees, "html", settings(repo), status=None, warning=heard)
        app.build()
    return [line for line in heard.getvalue().splitlines() if line.strip()]


def settings(repo: str | None) -> dict:
    """What a conf.py would hold."""
    return {
        "project": TITLE,
        "html_title": TITLE,
        "language": "en",
        "extensions": ["myst_nb", "sphinx-mathjax-offline", "helpers.course.book.equations"],
        "nb_execution_mode": "off",
        "nb_merge_streams": True,
        "myst_enable_extensions": ["dollarmath"],
        "myst_heading_anchors": 4,
        "mathjax4_config": FORMULAS,  # Sphinx's name for the setting; the file in the page is MathJax 3
        "html_theme": "sphinx_book_theme",
        "html_theme_options": _theme(repo),
        "html_context": {"default_mode": "auto"},  # light or dark as the reader's machine is
        "html_static_path": ["_static"],
        "html_css_files": ["course.css"],
        "html_copy_source": False,
        "html_use_index": False,
        "html_show_sphinx": False,
        "html_show_copyright": False,
    }


def _theme(repo: str | None) -> dict:
    """The theme's options; with an address, buttons that lead to the repository and to machines that run a notebook."""
    options = {
        "use_download_button": False,
        "show_toc_level": 2,
        "navbar_persistent": [],  # the search is in the list of pages and in the page's head
        "footer_content_items": ["extra-footer.html"],
        "extra_footer": "Text and figures: CC BY 4.0. Code: MIT.",
    }
    if repo:
        options |= {
            "repository_url": f"https://github.com/{repo}",
            "repository_branch": address.BRANCH,
            "path_to_docs": "notebooks",
            "use_repository_button": True,
            "launch_buttons": {"notebook_interface": "jupyterlab", "binderhub_url": BINDER, "colab_url": COLAB},
        }
    return options
