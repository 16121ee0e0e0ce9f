"""TROUBLESHOOTING.md: what it quotes is what the course says, and every entry is provoked by a test that exists."""

import ast
import functools
import os
import re
import subprocess
import sys

import pytest

from helpers import gpt, tasks
from helpers.lm.text import corpus
from helpers.support import ROOT

PAGE, HOSTS = (ROOT / "TROUBLESHOOTING.md").read_text(encoding="utf-8").split("\n## Binder, Colab and other hosts\n")
ENTRIES = re.findall(r"^### (.*)\n(.*)", PAGE, re.M)
TEST = re.compile(r"<!-- (tests/[\w/]+\.py)::(test_\w+) -->")


def strings(file):
    """Every string that stands in a file, the filled-in parts of one left out."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@functools.cache
def said():
    """What the course may say."""
    return [text for file in (ROOT / "helpers").rglob("*.py") for text in strings(file)]


def test_there_are_entries():
    assert 20 <= len(ENTRIES) == PAGE.count("\n### ")
    assert len({heading for heading, _ in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize(("heading", "below"), ENTRIES, ids=[heading for heading, _ in ENTRIES])
def test_an_entry_quotes_the_course_and_names_the_test_that_provokes_it(heading, below):
    file, name = TEST.fullmatch(below).groups()
    functions = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    assert name in {node.name for node in functions if isinstance(node, ast.FunctionDef)}
    assert re.fullmatch(r"`[^`]+`(, `[^`]+`)*", heading)
    for quoted in re.findall(r"`([^`]+)`", heading):
        pattern = re.compile(".*".join(map(re.escape, quoted.split("…"))), re.S)
        assert any(map(pattern.search, said())) or any(map(pattern.search, strings(ROOT / file)))


def test_what_no_test_provokes_stands_with_the_hosts():
    assert "could not be tried here" in HOSTS.partition("###")[0]
    assert not TEST.search(HOSTS)


def test_another_python_does_not_know_the_course(tmp_path):
    code = [sys.executable, "-I", "-S", "-c", "import helpers"]
    done = subprocess.run(code, cwd=tmp_path, capture_output=True, text=True)
    assert "No module named 'helpers'" in done.stderr


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (gpt.load, r"The course's model is not here yet \(.*\)\.\nFetch it once"),
        (lambda: tasks.load("mr"), r"The sentences are not here yet \(.*\)\.\nFetch them once"),
        (lambda: corpus.__wrapped__("train"), r"The manual is not here yet \(.*\)\.\nFetch it once"),
    ],
    ids=["model", "sentences", "manual"],
)
def test_what_was_not_fetched_says_how_to_fetch_it(tmp_path, monkeypatch, ask, words):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=rf"{words} \(\d+ MB\): python -m helpers setup$"):
        ask()
    assert os.listdir(tmp_path) == []
