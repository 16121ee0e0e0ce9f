"""One setting, and every page that speaks of the address follows it, there and back."""

import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest

from helpers.course import address, publish
from helpers.support import ROOT, CourseError


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The files of this checkout, in a folder of their own."""
    folder = tmp_path_factory.mktemp("copy") / "course"
    left_out = shutil.ignore_patterns(".*", "build", "tests", "__pycache__", "*.jsonl", "*.egg-info")
    return shutil.copytree(ROOT, folder, ignore=left_out)


def published(folder, *arguments):
    """`python -m helpers publish`, as a person types it, in that folder."""
    env = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "helpers", "publish", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def texts(folder):
    names = ("*.md", "*.cff", "pyproject.toml", "notebooks/*.ipynb", "notebooks/solutions/*.ipynb")
    return {path: path.read_text(encoding="utf-8") for name in names for path in folder.glob(name)}


def test_every_page_is_as_the_setting_has_it():
    assert all(path.read_text(encoding="utf-8") == text for path, text in publish.pages().items())


def test_an_address_goes_everywhere_and_comes_back(copy):
    before = texts(copy)
    done = published(copy, "https://github.com/ada/icl-course.git")
    assert done.returncode == 0, done.stderr
    after = texts(copy)
    assert after.keys() == before.keys()
    assert 'Repository = "https://github.com/ada/icl-course"' in after[copy / "pyproject.toml"]
    assert "git clone https://github.com/ada/icl-course course" in after[copy / "README.md"]
    assert "https://mybinder.org/v2/gh/ada/icl-course/main" in after[copy / "README.md"]
    assert "repository-code: https://github.com/ada/icl-course\n" in after[copy / "CITATION.cff"]
    for path in (*copy.glob("notebooks/*.ipynb"), *copy.glob("notebooks/solutions/*.ipynb")):
        page, old = nbformat.reads(after[path], 4), nbformat.reads(before[path], 4)
        place = str(path.relative_to(copy))
        assert f"https://colab.research.google.com/github/ada/icl-course/blob/main/{place}" in page.cells[0].source
        assert "git clone -q --depth 1 https://github.com/ada/icl-course course" in page.cells[1].source
        assert [c.get("outputs") for c in page.cells] == [c.get("outputs") for c in old.cells]
    assert published(copy, "none").returncode == 0
    assert texts(copy) == before


@pytest.mark.parametrize(
    "wrong", ["course", "ada/", "ada/my course", "https://gitlab.com/ada/course", "ada/b/c", "-a/b"]
)
def test_a_wrong_address_is_two_lines_and_nothing_is_written(wrong):
    before = texts(ROOT)
    with pytest.raises(CourseError) as error:
        publish.main([wrong])
    assert len(str(error.value).splitlines()) == 2
    assert texts(ROOT) == before


def test_the_address_that_github_shows_is_taken_in_each_of_its_forms():
    for given in ("ada/c", "https://github.com/ada/c", "https://github.com/ada/c.git", "git@github.com:ada/c.git"):
        assert publish._named(given) == "ada/c"


def test_without_an_address_no_page_has_a_link_to_nowhere():
    """Neither badges nor a placeholder; with one, no page says that there is none."""
    for path, text in texts(ROOT).items():
        assert not re.search(r"ADDRESS-OF|OWNER/|example\.com", text), path
        if address.repository() is None and path.suffix != ".toml":
            assert "mybinder.org/v2" not in text, path
