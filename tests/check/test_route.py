"""The route at the top of a notebook: its links lead somewhere, in the book too, and it says what is done."""

import json
import re

import pytest

from helpers.check import EXERCISES, route
from helpers.check.route import ROUTE, Route
from helpers.course.book import links, pages
from helpers.support import ROOT, CourseError

LINK = re.compile(r'<a href="([^"]+)"><b>(\d\d)</b>')


def exercises(number):
    return sum(exercise.number.startswith(f"{int(number)}.") for exercise in EXERCISES.values())


def test_links_lead_to_the_other_notebooks_of_the_folder_and_what_is_planned_has_none():
    found = dict(reversed(pair) for pair in LINK.findall(Route("02")._repr_html_()))
    there = {path.name[:2]: path.name for path in (ROOT / "notebooks").glob("*.ipynb") if path.name[:2] != "02"}
    assert found == there
    assert all((ROOT / "notebooks" / "solutions" / name).exists() for name in found.values())
    assert set(ROUTE) >= {*found, "02"}


def test_what_passed_is_counted(tmp_path, monkeypatch):
    kept = {"1.1": "passed", "1.2": "failed"} | {f"3.{n}": "passed" for n in range(1, exercises("03") + 1)}
    kept |= {e.number: "passed" for e in EXERCISES.values() if e.number.startswith("3.")}
    rows = {number: {"name": "", "latest": "failed", "best": best} for number, best in kept.items()}
    (tmp_path / "kept.json").write_text(json.dumps({"exercises": rows, "predictions": {}}))
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "kept.json"))
    said = str(Route("01"))
    assert f"01 linear attention (here, 1 of {exercises('01')} ✓)" in said
    assert f"02 dual form ({exercises('02')} exercises)" in said
    assert f"03 meta-gradients ({exercises('03')} of {exercises('03')} ✓)" in said
    assert f"{exercises('03')} of {exercises('03')} ✓" in Route("01")._repr_html_()


def test_in_a_terminal_it_is_one_line(capsys):
    route("04")
    assert capsys.readouterr().out.count("\n") == 1


def test_a_notebook_that_is_not_there_is_refused():
    with pytest.raises(CourseError, match="no notebook '07'"):
        route("07")


def test_in_the_book_its_links_lead_to_pages_and_others_are_text(tmp_path):
    book = links.Book(tmp_path, None, pages._places())
    page = Route("02")._repr_html_() + '<a href="nowhere.txt">x</a>'
    turned = links.turned_output(page, "notebooks/solutions/02_dual_form.ipynb", book)
    targets = re.findall('href="([^"]+)"', turned)
    assert targets == [target.replace(".ipynb", ".html") for target, _ in LINK.findall(page)]
    assert turned.endswith("</div>x")
