"""What stands in the book: the notebooks, and which of the repository's other files are pages."""

import shutil
from pathlib import Path

from helpers.course.book import notebook_pages
from helpers.course.book.links import PICTURES, Book, turned
from helpers.support import ROOT

PARTS = {  # caption in the book's list of pages: file of the repository and its name in the book
    "Results": {"data/results/README.md": "results", "data/results/plan.md": "plan", "data/README.md": "data"},
    "The project": {
        "TROUBLESHOOTING.md": "troubleshooting",
        "TEACHING.md": "teaching",
        "helpers/README.md": "code",
        "CONTRIBUTING.md": "contributing",
        "CHANGELOG.md": "changelog",
    },
}
HERE = """
```{note}
Here every notebook is solved and executed. A solution opens with a click: try the exercise first. What moves or asks
needs a running notebook, in JupyterLab.
```
"""


def write(source: Path, repo: str | None) -> None:
    """Write everything that Sphinx reads into the folder `source`."""
    book = Book(source, repo, _places())
    (source / PICTURES).mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("course.css"), source / "_static")
    for path in notebooks():
        notebook_pages.write(path, book)
    for file, name in texts().items():
        (source / f"{name}.md").write_text(turned(_read(file), file, book), encoding="utf-8")
    (source / "index.md").write_text(_start(book), encoding="utf-8")


def notebooks() -> list[Path]:
    """The executed notebooks, in the order of the course."""
    return sorted(notebook_pages.SOLVED.glob("*.ipynb"))


def texts() -> dict[str, str]:
    """Pages that are no notebooks: file and name; those that this copy has."""
    return {file: name for part in PARTS.values() for file, name in part.items() if (ROOT / file).exists()}


def _places() -> dict[str, str]:
    """For each file of the repository that is a page of the book, the page's file; the student's notebooks too."""
    folders = [folder.relative_to(ROOT).as_posix() for folder in (notebook_pages.STUDENT, notebook_pages.SOLVED)]
    places = {f"{folder}/{path.name}": path.name for folder in folders for path in notebooks()}
    return places | {"README.md": "index.md"} | {file: f"{name}.md" for file, name in texts().items()}


def _start(book: Book) -> str:
    """The first page: README, and the list of pages."""
    lists = {"The course": [path.stem for path in notebooks()]}
    lists |= {caption: [name for file, name in part.items() if file in texts()] for caption, part in PARTS.items()}
    trees = (_tree(caption, names) for caption, names in lists.items() if names)
    return "\n".join([turned(_read("README.md"), "README.md", book), HERE, *trees])


def _tree(caption: str, names: list[str]) -> str:
    return "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *names, "```", ""])


def _read(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")
