"""The progress file: kept, carried along and merged; nothing that a person has in it is ever lost."""

import json
import os
import subprocess
import sys

import pytest
import torch
from filelock import FileLock

from helpers import widgets
from helpers.check import EXERCISES, CheckFailed, check, report
from helpers.support import ROOT, CourseError, progress

NAME = "linear_attention"
OTHER_SHAPES = {
    "an empty file": "",
    "not JSON": "not json",
    "a list": "[]",
    "a number": "3",
    "exercises as a list": '{"exercises": []}',
    "an exercise as text": '{"exercises": {"1.2": "passed"}}',
    "an unknown status": '{"exercises": {"1.2": {"name": "x", "latest": "done", "best": "done"}}}',
    "a status that is no text": '{"exercises": {"1.2": {"latest": [], "best": "passed"}}}',
    "half an exercise": '{"exercises": {"1.2": {"best": "passed"}}}',
    "predictions as text": '{"predictions": "none"}',
    "a prediction as text": '{"predictions": {"cost": "one"}}',
    "lists without end": "[" * 100_000,
}


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    return tmp_path / "progress.json"


def right(q, k, v):
    return torch.tril(q @ k.T) @ v


def verb(*arguments, **environment):
    """`python -m helpers progress`, as a person types it."""
    command = [sys.executable, "-m", "helpers", "progress", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True)


def two_lines(error):
    lines = str(error).strip().splitlines()
    assert len(lines) == 2
    return lines


def test_progress_is_kept_merged_and_printed(tmp_path):
    check(right, NAME)
    with pytest.raises(CheckFailed):
        check(lambda q, k, v: None, NAME)
    kept = progress.read()["exercises"]["1.2"]
    assert (kept["latest"], kept["best"]) == ("failed", "passed")
    other = tmp_path / "other.json"
    row = {"name": "softmax_attention", "latest": "passed", "best": "passed"}
    other.write_text(json.dumps({"exercises": {"1.1": row}}))
    progress.merge(other)
    printed = report.progress_table()
    assert f"2 of {len(EXERCISES)} passed" in printed
    assert "1.1  ★ softmax_attention" in printed


@pytest.mark.parametrize("text", OTHER_SHAPES.values(), ids=OTHER_SHAPES)
def test_a_file_of_another_shape_stays_as_it_is_and_the_verdict_is_shown_first(file, text, capsys):
    file.write_text(text)
    check(right, NAME)
    out = capsys.readouterr().out
    assert -1 < out.index("passed") < out.index("Note: ") < out.index("can't be read as progress")
    with pytest.raises(CheckFailed, match="is the `return` missing"):
        check(lambda q, k, v: None, NAME)
    assert file.read_text() == text
    with pytest.raises(CourseError, match="can't be read as progress") as caught:
        report.progress_table()
    two_lines(caught.value)


def test_a_folder_in_the_place_of_the_file_stays(file, capsys):
    (file / "inside").mkdir(parents=True)
    check(right, NAME)
    assert "Is a directory" in capsys.readouterr().out
    assert (file / "inside").is_dir()


def test_what_we_do_not_know_is_kept(file):
    row = {"name": NAME, "latest": "failed", "best": "failed", "mark": 7}
    file.write_text(json.dumps({"exercises": {"1.2": row}, "course": "a later edition"}), encoding="utf-8-sig")
    check(right, NAME)
    kept = json.loads(file.read_text())
    assert kept["course"] == "a later edition"
    assert kept["exercises"]["1.2"] == row | {"latest": "passed", "best": "passed"}


def test_kept_is_said_only_when_it_was(file, capsys):
    file.write_text("")
    widgets.predict("cost", "How many?", ["none", "one"], choose="A")
    out = capsys.readouterr().out
    assert "Kept" not in out
    assert "nothing is kept" in out
    form = widgets.predictions._form("cost", "How many?", ["none", "one"])
    form.children[1].value = "one"
    assert "Not kept" in form.children[-1].value


def test_progress_that_cannot_be_written_costs_nothing_else(monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("helpers.support.cache.tempfile.mkdtemp", full)
    check(right, NAME)
    out = capsys.readouterr().out
    assert "could not be kept (No space left on device)" in out
    assert "passed" in out


def test_a_folder_that_cannot_be_made_is_a_note(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "file" / "progress.json"))
    check(right, NAME)
    assert "Note: " in capsys.readouterr().out


def test_of_two_writers_at_once_no_update_is_lost(file):
    code = (
        "import sys; from helpers.support import progress\n"
        "for n in range(40): assert progress.predict(f'{sys.argv[1]} {n}', 'one')"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(n)], cwd=ROOT) for n in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(json.loads(file.read_text())["predictions"]) == 120


def test_a_lock_that_is_held_is_a_note(file, monkeypatch, capsys):
    monkeypatch.setattr(progress, "PATIENCE", 0.1)
    with FileLock(file.with_name(f".{file.name}.lock")):
        check(right, NAME)
    out = capsys.readouterr().out
    assert out.index("passed") < out.index("Note: progress could not be kept (another program")


def test_a_killed_writer_leaves_the_old_file(file):
    check(right, NAME)
    before = file.read_text()
    code = (
        "import os, json; from helpers.support import progress\n"
        "json.dumps = lambda *a, **k: os.kill(os.getpid(), 9)\n"
        "progress.predict('cost', 'one')"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == -9
    assert file.read_text() == before
    assert progress.predict("cost", "one")


def test_a_relative_name_is_one_place_whatever_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_PROGRESS", "mine.json")
    monkeypatch.chdir(tmp_path)
    assert progress.path() == ROOT / "mine.json"
    monkeypatch.setenv("COURSE_PROGRESS", "")
    assert progress.path() == ROOT / "progress.json"


@pytest.mark.parametrize("text", [None, "[]"])
def test_a_file_that_cannot_be_merged_is_two_lines_and_status_1(file, tmp_path, text):
    check(right, NAME)
    before, other = file.read_text(), tmp_path / "other.json"
    if text:
        other.write_text(text)
    done = verb(other)
    assert done.returncode == 1
    assert str(other) in two_lines(done.stderr.decode())[0]
    assert file.read_text() == before


TERMINALS = {
    "a Windows pipe": {"PYTHONIOENCODING": "cp1252"},
    "a plain locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.mark.parametrize("environment", TERMINALS.values(), ids=TERMINALS)
def test_a_terminal_that_lacks_our_characters(environment):
    done = verb(**environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"1.1  ? softmax_attention" in done.stdout
    code = (
        "import torch; from helpers.check import break_it, check\n"
        "check(lambda q, k, v: torch.tril(q @ k.T) @ v, '1.2')\n"
        "break_it(lambda x: 2 * x, lambda x: x, lambda: torch.ones(2))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ | environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"? 1.2 linear_attention: passed" in done.stdout
    assert b"? Broken" in done.stdout
