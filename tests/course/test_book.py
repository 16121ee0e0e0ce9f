"""The book, built once without a network: its pages, folds, links, equations, search, and what a browser shows."""

import re
import shutil
import subprocess
import sys
from urllib.parse import unquote

import nbformat
import pytest
from bs4 import BeautifulSoup, NavigableString
from no_network import refused, without_network

from helpers.course import book
from helpers.course.book import links, notebook_pages, pages
from helpers.course.equations import TAG
from helpers.support import ROOT, CourseError

MENTION = re.compile(r"\(eq\. (\d\.\d+)\)")
NO_PROSE = ["a", "h1", "h2", "h3", "pre", "code", "script", "title"]
MAKE = "import sys; from pathlib import Path; from helpers.course import book; book.make(Path(sys.argv[1]))"
SEEN = """async () => {
  if (window.MathJax) await MathJax.startup.promise;
  const all = selector => document.querySelectorAll(selector).length;
  return {
    formulas: all('.math'), drawn: all('.math mjx-container'), wrong: all('[data-mml-node=merror], mjx-merror'),
    unread: document.querySelector('main').innerText.match(/\\$\\$|\\\\tag|\\\\frac/g),
    wide: document.documentElement.scrollWidth - innerWidth, dark: document.documentElement.dataset.theme,
    empty: [...document.images].filter(x => !x.naturalWidth).map(x => x.src),
  };
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The whole book, made in a network namespace of its own where the machine allows one."""
    folder = tmp_path_factory.mktemp("made") / "book"
    command = [sys.executable, "-c", MAKE, str(folder)]
    done = subprocess.run(
        command if refused() else without_network(*command), cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr  # a warning of Sphinx would have stopped it
    return folder


@pytest.fixture(scope="module")
def html(site):
    """Every page of it, parsed."""
    return {file.name: BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser") for file in site.glob("*.html")}


@pytest.mark.parametrize("notebook", pages.notebooks(), ids=lambda path: path.stem)
def test_every_notebook_is_a_page_with_its_exercises_folded(html, notebook):
    cells = nbformat.read(notebook, as_version=4).cells
    solutions = [cell.source for cell in cells if "exercise" in cell.metadata.get("tags", ())]
    page = html[f"{notebook.stem}.html"]
    folds = [fold for fold in page.select("details.hide") if "Show the solution" in fold.summary.text]
    assert [fold.pre.text.strip() for fold in folds] == [solution.strip() for solution in solutions]
    assert not any(fold.has_attr("open") for fold in page.select("details"))
    for fold in folds:
        fold.decompose()
    assert page.text.count("raise NotImplementedError") >= len(solutions)
    assert not any(solution in page.text for solution in solutions)
    for name in re.findall(r"^# (.+)", cells[0].source, re.M):
        assert page.h1.text.startswith(name)


def test_every_text_is_a_page_and_the_route_leads_to_every_notebook(html):
    assert {f"{name}.html" for name in pages.texts().values()} <= set(html)
    links = {link["href"] for link in html["index.html"].article.select("a[href]")}
    assert {f"{notebook.stem}.html" for notebook in pages.notebooks()} <= links


def test_no_link_and_no_anchor_is_dead(site, html):
    places = {name: {tag["id"] for tag in page.select("[id]")} for name, page in html.items()}
    dead = []
    for name, page in html.items():
        for tag in page.select("a[href], img[src], script[src], link[href]"):
            file, _, anchor = unquote(tag.get("href") or tag.get("src")).partition("#")
            file = file.partition("?")[0]
            if not re.match(r"(https?|mailto|data):", file):
                target = file or name
                alive = (site / target).is_file() and (not anchor or anchor in places.get(target, ()))
                dead += [] if alive else [f"{name}: {file}#{anchor}"]
    assert dead == []


def test_every_equation_that_prose_mentions_is_a_link_to_it(html):
    tags = {
        number: f"{notebook.stem}.html"
        for notebook in pages.notebooks()
        for number in TAG.findall(notebook.read_text(encoding="utf-8").replace("\\\\", "\\"))
    }
    links = 0
    for name, page in html.items():
        for text in page.find_all(string=MENTION):
            assert type(text) is not NavigableString or text.find_parent(NO_PROSE), f"{name}: {text}"
        for link in page.find_all("a", string=MENTION):
            number = MENTION.search(link.text)[1]
            page_of_it = "" if tags[number] == name else tags[number]
            assert link["href"] == f"{page_of_it}#eq-{number.replace('.', '-')}"
            links += 1
    assert links > len(tags) > 20


def test_no_page_loads_anything_from_another_machine(site, html):
    for page in html.values():
        loaded = page.select("[src], [srcset], link[rel=stylesheet], link[rel=preload], link[rel=icon]")
        assert not [tag for tag in loaded if "//" in (tag.get("src") or tag.get("srcset") or tag["href"])]
        assert not re.search(r"url\(\W?(https?:)?//", str(page))
    for style in (site / "_static").rglob("*.css"):
        assert not re.search(r"(url\(|@import)\W{0,2}(https?:)?//", style.read_text(encoding="utf-8")), style


def test_figures_are_files_with_a_text_alternative(site, html):
    figures = [image for page in html.values() for image in page.select("article img")]
    assert len(figures) > 30
    for image in figures:
        assert len(image["alt"]) > 15
        assert (site / image["src"]).read_bytes().startswith(b"\x89PNG")


def test_the_search_knows_a_word_of_notebook_03(site):
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    names = re.search(r'"docnames":\[(.*?)\]', index)[1].replace('"', "").split(",")
    found = re.search(r'"microscop":(\d+|\[[\d,]+\])', index)[1]
    assert "03_meta_gradients" in {names[int(number)] for number in re.findall(r"\d+", found)}


@pytest.mark.browser
def test_on_a_phone_every_formula_is_drawn_nothing_is_fetched_and_no_page_scrolls_sideways(site, html, browser):
    page = browser.new_page(viewport={"width": 400, "height": 800}, color_scheme="dark")
    asked, failed = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: failed.append(request.url))
    for name in sorted(html):
        page.goto((site / name).as_uri())
        seen = page.evaluate(SEEN)
        formulas = len(html[name].select(".math"))
        assert (seen["formulas"], seen["drawn"], seen["wrong"], seen["unread"]) == (formulas, formulas, 0, None), name
        assert (seen["wide"], seen["dark"], seen["empty"]) == (0, "dark", []), name
    assert failed == []
    assert not [address for address in asked if not address.startswith((site.as_uri(), "data:"))]


@pytest.mark.browser
def test_in_a_browser_a_search_finds_a_page_and_a_click_opens_a_solution(site, browser):
    page = browser.new_page()
    page.goto(f"{(site / 'search.html').as_uri()}?q=microscope")
    page.locator("#search-results a", has_text="03").first.click()
    assert "03_meta_gradients.html" in page.url
    solution = page.locator("details.hide").first
    assert not solution.locator("pre").is_visible()
    solution.locator("summary").click()
    assert solution.locator("pre").is_visible()


def test_without_javascript_questions_widgets_and_findings_are_there(site, browser):
    """Words and pictures need no script, not even a formula's text."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    for notebook in pages.notebooks():
        page.goto((site / f"{notebook.stem}.html").as_uri())
        code = "\n".join(
            cell.source for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"
        )
        still = len(re.findall(r"^(?:predict|leave_out|memory|microscope|valley)\(", code, re.M))
        assert page.locator(".course-still:visible").count() == still, notebook
        assert "model not found" not in page.inner_text("main")
        assert all(image.is_visible() for image in page.locator("main .cell_output img").all())
    context.close()


def two_lines(error):
    assert len(str(error).splitlines()) == 2
    return str(error)


def test_without_sphinx_it_is_two_lines_and_nothing_is_written(monkeypatch, tmp_path):
    monkeypatch.setattr(book, "NEEDED", ("sphinx", "sphinx_of_no_such_name"))
    with pytest.raises(CourseError, match="needs sphinx_of_no_such_name") as caught:
        book.make(tmp_path / "book")
    assert two_lines(caught.value).endswith("Run: python -m helpers setup")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the course with a short README and the notebooks that a test names; what is there can be changed."""

    def make(*names, **texts):
        for folder in (notebook_pages.STUDENT, notebook_pages.SOLVED):
            (tmp_path / folder.relative_to(ROOT)).mkdir(exist_ok=True, parents=True)
            for name in names:
                shutil.copy(folder / name, tmp_path / folder.relative_to(ROOT))
        for name, text in ({"README": "# A course\n"} | texts).items():
            (tmp_path / f"{name}.md").write_text(text, encoding="utf-8")
        for module in (pages, notebook_pages, links):
            monkeypatch.setattr(module, "ROOT", tmp_path)
        monkeypatch.setattr(notebook_pages, "STUDENT", tmp_path / "notebooks")
        monkeypatch.setattr(notebook_pages, "SOLVED", tmp_path / "notebooks" / "solutions")
        return tmp_path

    return make


def test_a_page_with_a_fault_stops_the_book_and_the_old_one_stays(copy):
    folder = copy(CHANGELOG="# Changes\n\nAs (eq. 9.9) says.\n")
    (folder / "book").mkdir()
    (folder / "book" / "index.html").write_text("the old one")
    with pytest.raises(CourseError, match=r"changelog\.md.*eq-9-9") as caught:
        book.make(folder / "book")
    two_lines(caught.value)
    assert [path.name for path in (folder / "book").iterdir()] == ["index.html"]


def test_a_picture_that_is_not_there_is_two_lines(copy):
    folder = copy(README="# A course\n\n![Digits](data/digits.png)\n")
    with pytest.raises(CourseError, match=r"data/digits\.png") as caught:
        book.make(folder / "book")
    two_lines(caught.value)
    assert not (folder / "book").exists()


def test_notebooks_that_do_not_fit_together_are_two_lines(copy):
    folder = copy("00_start_here.ipynb")
    student = nbformat.read(notebook_pages.STUDENT / "00_start_here.ipynb", as_version=4)
    student.cells.pop()
    nbformat.write(student, notebook_pages.STUDENT / "00_start_here.ipynb")
    with pytest.raises(CourseError, match="00_start_here") as caught:
        book.make(folder / "book")
    two_lines(caught.value)


def test_with_an_address_there_are_buttons_and_links_to_the_repository(copy, monkeypatch):
    monkeypatch.setattr(book.address, "repository", lambda: "ada/course")
    folder = copy("00_start_here.ipynb", README="# A course\n\n[Code](helpers/icl.py)\n")
    for file in (folder / "notebooks").rglob("*.ipynb"):
        notebook = nbformat.read(file, as_version=4)
        notebook.cells.insert(1, nbformat.v4.new_code_cell(book.address.setup_cell("ada/course")))
        nbformat.write(notebook, file)
    book.make(folder / "book")
    start, page = ((folder / "book" / name).read_text() for name in ("index.html", "00_start_here.html"))
    assert 'href="https://github.com/ada/course/blob/main/helpers/icl.py"' in start
    assert 'href="https://github.com/ada/course"' in page
    assert "COLAB_RELEASE_TAG" not in page  # the cell that does something on Colab only
    assert "https://mybinder.org/v2/gh/ada/course/main?urlpath=lab/tree/notebooks/00_start_here.ipynb" in page
    assert "https://colab.research.google.com/github/ada/course/blob/main/notebooks/00_start_here.ipynb" in page


@pytest.mark.parametrize(
    ("text", "without", "with_address"),
    [
        ("[a](notebooks/00_start_here.ipynb)", "[a](00_start_here.ipynb)", None),
        ("[a](notebooks/solutions/00_start_here.ipynb#x)", "[a](00_start_here.ipynb#x)", None),
        ("[a](data/results/plan.md)", "[a](plan.md)", None),
        ("[`a`](helpers/icl.py)", "`a`", "[`a`](https://github.com/ada/course/blob/main/helpers/icl.py)"),
        ("[a](https://arxiv.org/abs/1)", "[a](https://arxiv.org/abs/1)", None),
        ("[a](#below)", "[a](#below)", None),
        ("```\n[a](helpers/icl.py)\n```", "```\n[a](helpers/icl.py)\n```", None),
        ("[![Badge](https://a.b/c.svg)](https://a.b) x", " x", None),
        ("![Curves](data/results/attention.png)", "![Curves](_static/pictures/attention.png)", None),
        ('<a href="data/README.md"><b>x</b></a>', '<a href="data.html"><b>x</b></a>', None),
        ('<a href="helpers">x</a>', "<a >x</a>", '<a href="https://github.com/ada/course/blob/main/helpers">x</a>'),
        ('<img src="data/results/attention.png">', '<img src="_static/pictures/attention.png">', None),
        ('<img alt="b" src="https://a.b/c.svg">', "", None),
    ],
)
def test_links_are_turned_towards_the_book(tmp_path, text, without, with_address):
    (tmp_path / links.PICTURES).mkdir(parents=True)
    for repo, wanted in ((None, without), ("ada/course", with_address or without)):
        assert links.turned(text, "README.md", links.Book(tmp_path, repo, pages._places())) == wanted


def test_a_link_is_read_from_the_folder_of_its_file(tmp_path):
    here = links.Book(tmp_path, None, pages._places())
    assert links.turned("[a](results/plan.md#units)", "data/README.md", here) == "[a](plan.md#units)"
    assert links.turned("[a](../README.md)", "data/results/README.md", here) == "[a](data.md)"
    assert links.turned("[a](../README.md)", "data/README.md", here) == "[a](index.md)"
