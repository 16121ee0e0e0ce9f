"""requirements.txt as packages with ranges, and which of them the notebooks themselves need."""

import importlib.metadata

from packaging.requirements import Requirement

from helpers.support import ROOT

AUTHORS = {  # for those who change the course: the notebooks run without them
    *("jupytext", "nbformat", "nbclient", "pytest", "pytest-timeout", "nbval", "playwright", "ruff", "pre-commit"),
    *("setuptools", "uv", "distributed", "pyarrow", "sphinx", "myst-nb", "sphinx-book-theme"),
    *("sphinx-mathjax-offline", "beautifulsoup4", "pyyaml", "nbgrader", "otter-grader"),
    *("axe-playwright-python", "colorspacious"),
}
DISPENSABLE = AUTHORS | {"jupyterlab", "ipywidgets"}  # nor do they need these, in another editor


def requirements() -> list[Requirement]:
    """The packages in requirements.txt, each with its range."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(wanted) for line in lines if (wanted := line.partition("#")[0].strip())]


def installed(name: str) -> str | None:
    """The version of a package in this environment; None where it is not there."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def missing() -> list[Requirement]:
    """What the notebooks need and this environment lacks."""
    return [wanted for wanted in requirements() if wanted.name not in DISPENSABLE and not installed(wanted.name)]


def out_of_range() -> list[str]:
    """What is here in a version that the course is not tested with, as "name version (range)"."""
    here = ((wanted, installed(wanted.name)) for wanted in requirements())
    return [
        f"{wanted.name} {version} ({wanted.specifier})"
        for wanted, version in here
        if version and not wanted.specifier.contains(version, prereleases=True)
    ]
