"""Everything that is written from the course's address: `make publish REPO=owner/name`, and `REPO=none` takes it back.

Clone line, badges, citation, and in every notebook the links and the set-up cell.
"""

import re
from pathlib import Path

import nbformat

from helpers.course import build, lint, setup
from helpers.course.address import FIRST, binder, book, colab, repository, setup_cell, titled
from helpers.support import ROOT, CourseError, cache

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})/[A-Za-z0-9._-]{1,100}")
MARKED = re.compile(r"((?:<!--|#) publish: (\w+)(?: -->)?\n).*?((?:<!--|#) /publish(?: -->)?\n)", re.S)
FILES = ("README.md", "CITATION.cff")


def _badges(repo: str | None) -> str:
    if not repo:
        return ""
    pictures = (
        ("Launch on Binder", "https://mybinder.org/badge_logo.svg", binder(repo, FIRST)),
        ("Open in Colab", "https://colab.research.google.com/assets/colab-badge.svg", colab(repo, FIRST)),
        ("Read the book", "https://img.shields.io/badge/read-the_book-blue", book(repo)),
    )
    return "\n".join(f"[![{text}]({picture})]({link})" for text, picture, link in pictures) + "\n"


def _clone(repo: str | None) -> str:
    fetch = f"git clone https://github.com/{repo} course && cd course\n" if repo else ""
    return f"```\n{fetch}make lab\n```\n"


def _citation(repo: str | None) -> str:
    return f"repository-code: https://github.com/{repo}\nurl: {book(repo)}\n" if repo else ""


PARTS = {"badges": _badges, "clone": _clone, "citation": _citation}


def filled(text: str, repo: str | None) -> str:
    """A page with its marked parts as this address has them."""
    return MARKED.sub(lambda found: found[1] + PARTS[found[2]](repo) + found[3], text)


def pages() -> dict[Path, str]:
    """Every file that speaks of the address, as it should be for the one that is set."""
    repo = repository()
    texts = {ROOT / name: filled((ROOT / name).read_text(encoding="utf-8"), repo) for name in FILES}
    return texts | {path: _notebook(path, repo) for path, _ in lint.notebooks()}


def _notebook(path: Path, repo: str | None) -> str:
    """A notebook for this address, with the outputs that it has: nothing is built or executed."""
    made = nbformat.read(path, as_version=4)
    made.cells[0].source = titled(made.cells[0].source, repo, path.relative_to(ROOT).as_posix())
    made.cells[1].source = setup_cell(repo)
    return build.text(build.identified(made))


def main(rest: list[str]) -> int:
    """Show the address, set it, or take it back ("none")."""
    if not rest:
        print(f"The course's address: {repository() or 'none yet'}. Set it: make publish REPO=owner/name (or none)")
        return 0
    changed = _set(None if rest[0].lower() == "none" else _named(" ".join(rest)))
    changed += sum(_write(path, text) for path, text in pages().items())
    name = repository() or "a copy without an address"
    print(f"{changed} files written for {name}. Look at them, then commit." if changed else f"All is so for {name}.")
    return 0


def _set(repo: str | None) -> bool:
    """The setting itself, first: whatever stops what follows, the same command does it again."""
    project = setup.ADDRESS.sub("", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    setting = f'\n[project.urls]\nRepository = "https://github.com/{repo}"\n' if repo else ""
    return _write(ROOT / "pyproject.toml", project.replace("\n[tool.", f"{setting}\n[tool.", 1))


def _named(given: str) -> str:
    """owner/name out of what was given. Raises CourseError."""
    name = given.removeprefix("https://github.com/").removeprefix("git@github.com:")
    name = name.removesuffix("/").removesuffix(".git")
    if not NAME.fullmatch(name):
        raise CourseError(
            f"{given!r} has not the form owner/name, so nothing was written.\n"
            "For example: make publish REPO=ada/course; or REPO=none to take the address back."
        )
    return name


def _write(path: Path, text: str) -> bool:
    """Write a file, whole or not at all; False if it is so already."""
    if path.read_text(encoding="utf-8") == text:
        return False
    with cache.whole(path) as scratch:
        scratch.write_text(text, encoding="utf-8")
    return True
