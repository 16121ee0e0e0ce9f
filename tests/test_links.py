"""No page of the repository sends a reader where nothing is: files, headings, equations, exercises, notebooks."""

import pytest

from helpers.course import links
from helpers.support import ROOT

FOLDERS = ("binder", "data", "helpers", "notebooks", "tests")
PAGES = [*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))]
NOTEBOOKS = [page for page in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in page.parts]


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=lambda page: str(page.relative_to(ROOT)))
def test_nothing_leads_nowhere(page):
    assert list(links.dead(links.markdown(page), page)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a](nowhere.md)", "dead link nowhere.md"),
        ("[![a](nowhere.png)](README.md)", "dead link nowhere.png"),
        ("[a][b]\n\n[b]: nowhere.md", "dead link nowhere.md"),
        ('<a href="nowhere.md"><img src="data/results/attention.png"></a>', "dead link nowhere.md"),
        ("[a](data/results/README.md#nothing-of-that-name)", "dead anchor data/results/README.md#nothing-of-that-name"),
        ("# One\n\n[a](#two)", "dead anchor #two"),
        ("# One\n\n```\n# Two\n```\n\n[a](#two)", "dead anchor #two"),
        ("by (eq. 1.99)", "no equation (1.99)"),
        ("by (eqs. 1.1 and 7.1)", "no equation (7.1)"),
        ("as in exercise 1.99", "no exercise 1.99"),
        ("Exercises 1.1 and 9.D1", "no exercise 9.D1"),
        ("as notebooks 01 and 07 say", "no notebook 07"),
    ],
)
def test_what_leads_nowhere_is_named(text, said):
    assert list(links.dead(text, ROOT / "x.md")) == [said]


@pytest.mark.parametrize(
    "text",
    [
        "# A `b`: c, d & é-f\n\n# A\n\n# A\n\n[x](#a-b-c-d--é-f) [y](#a) [z](#a-1)",
        '[x](README.md "title") [y](<README.md>) [z](https://example.org/nowhere) [m](mailto:a@b)',
        "<!-- [x](nowhere.md) --> `[x](nowhere.md)`\n\n```\n[x](nowhere.md), exercise 9.9\n```",
        "(eq. 1.1), (eqs. 1.1, 2.1), Exercise 1.2, notebooks 00 to 06",
        "[x](notebooks/01_linear_attention.ipynb#1-·-Attention-is-a-table-★)",
    ],
)
def test_what_leads_somewhere_is_left_alone(text):
    assert list(links.dead(text, ROOT / "x.md")) == []


def test_in_a_notebook_an_anchor_is_jupyters(tmp_path):
    assert list(links.dead("## 1 · The Sum\n\n[x](#1-·-The-Sum)", tmp_path / "x.ipynb")) == []
    assert list(links.dead("## 1 · The Sum\n\n[x](#1--the-sum)", tmp_path / "x.ipynb")) == ["dead anchor #1--the-sum"]
