"""The course's address on GitHub, one setting in pyproject.toml, and what a notebook says of it.

Without an address no page shows a link that leads nowhere.
"""

import re
import tomllib

from helpers.support import ROOT

BRANCH = "main"
FIRST = "notebooks/00_start_here.ipynb"
LINKS = re.compile(r"\n\nRun this page on \[Binder\]\([^)]*\) or \[Colab\]\([^)]*\)\.\n")
NOWHERE = "echo 'This copy has no public address: upload its folder as course, beside the notebook.'"


def repository() -> str | None:
    """The address that is set, as "owner/name"; None while the course is not published."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    address = project.get("urls", {}).get("Repository", "")
    return address.removeprefix("https://github.com/") or None


def binder(repo: str, page: str) -> str:
    return f"https://mybinder.org/v2/gh/{repo}/{BRANCH}?urlpath=lab/tree/{page}"


def colab(repo: str, page: str) -> str:
    return f"https://colab.research.google.com/github/{repo}/blob/{BRANCH}/{page}"


def book(repo: str) -> str:
    owner, name = repo.split("/")
    return f"https://{owner.lower()}.github.io/{name}/"


def setup_cell(repo: str | None) -> str:
    """The first code cell of every notebook, the same on all machines: it does something on Colab only."""
    fetch = f"git clone -q --depth 1 https://github.com/{repo} course" if repo else NOWHERE
    return (
        'if __import__("os").getenv("COLAB_RELEASE_TAG"):  # on Colab only: fetch the course and what it lacks there\n'
        f"    !test -d course || {fetch}\n"
        "    %run course/binder/colab.py"
    )


def links(repo: str | None, page: str) -> str:
    """The line under a notebook's title; empty without an address."""
    if not repo:
        return ""
    return f"Run this page on [Binder]({binder(repo, page)}) or [Colab]({colab(repo, page)})."


def titled(source: str, repo: str | None, page: str) -> str:
    """A notebook's first cell with its links under the title, in the place of those that were there."""
    title, _, rest = LINKS.sub("\n", source).partition("\n")
    line = links(repo, page)
    return f"{title}\n\n{line}\n{rest}" if line else f"{title}\n{rest}"
