"""The repository's links turned towards the book: to a page of it, to the repository's address, or to nothing."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from os.path import normpath
from pathlib import Path

from helpers.course import address
from helpers.support import ROOT, CourseError

PICTURES = "_static/pictures"
CODE = r"```.*?```"
BADGE = re.compile(
    r'\[!\[[^\]]*\]\(https?:[^)]*\)\]\([^)]*\)|!\[[^\]]*\]\(https?:[^)]*\)|<img[^>]*src="https?:[^>]*>'
)  # a picture from another machine, with its link
LINK = re.compile(rf"{CODE}|(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)", re.S)
ATTRIBUTE = re.compile(rf'{CODE}|\b(href|src|srcset)="([^"]+)"', re.S)
ANCHOR = re.compile(r'<a href="([^"]+)">(.*?)</a>', re.S)


@dataclass(frozen=True)
class Book:
    """What a page must know of the whole: where Sphinx reads, the repository's address, and which files are pages."""

    source: Path
    repo: str | None
    pages: dict[str, str]  # file of the repository: file of the page


def turned(text: str, file: str, book: Book) -> str:
    """The text of a file with links that lead somewhere from the book; no picture comes from another machine."""
    base = Path(file).parent

    def link(found: re.Match) -> str:
        target = _picture(found[3], base, book) if found[1] else _target(found[3], base, book)
        return f"{found[1]}[{found[2]}]({target})" if target else found[2]

    def attribute(found: re.Match) -> str:
        if found[1] != "href":
            return f'{found[1]}="{_picture(found[2], base, book)}"'
        target = _target(found[2], base, book)
        return f'href="{_html(target)}"' if target else ""

    return ATTRIBUTE.sub(_but_code(attribute), LINK.sub(_but_code(link), BADGE.sub("", text)))


def turned_output(page: str, file: str, book: Book) -> str:
    """The html that a notebook's cell made, its links turned; one that leads nowhere is plain text."""
    base = Path(file).parent

    def link(found: re.Match) -> str:
        target = _target(found[1], base, book)
        return f'<a href="{_html(target)}">{found[2]}</a>' if target else found[2]

    return ANCHOR.sub(link, page)


def _but_code(change: Callable[[re.Match], str]) -> Callable[[re.Match], str]:
    """`change`, but code stays as it is."""
    return lambda found: found[0] if found[0].startswith("```") else change(found)


def _target(target: str, base: Path, book: Book) -> str | None:
    """Where a link leads from the book: a page, the repository, another site; None if nowhere."""
    path, mark, anchor = target.partition("#")
    if ":" in path or not path:
        return target
    here = Path(normpath(base / path)).as_posix()
    if here in book.pages:
        return f"{book.pages[here]}{mark}{anchor}"
    return f"https://github.com/{book.repo}/blob/{address.BRANCH}/{here}{mark}{anchor}" if book.repo else None


def _html(target: str) -> str:
    """A link in html, which Sphinx leaves as it is: it names a page as the site does."""
    return target if ":" in target else re.sub(r"\.(md|ipynb)(?=#|$)", ".html", target)


def _picture(target: str, base: Path, book: Book) -> str:
    """A picture of the repository, copied into the book. Raises CourseError where there is none."""
    picture = ROOT / base / target
    if not picture.is_file():
        raise CourseError(
            f"A page in {base.as_posix()}/ shows {target}, which is not there, so the book was not written.\n"
            "Put the picture there or take it out of the page, then run: make book"
        )
    shutil.copy(picture, book.source / PICTURES)
    return f"{PICTURES}/{picture.name}"
