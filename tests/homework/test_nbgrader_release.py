"""nbgrader's own command makes of the exported assignment what students got."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat

from helpers.homework import release, settings


def test_generate_assignment_gives_the_students_notebook(tmp_path, monkeypatch):
    made, again = tmp_path / "made", tmp_path / "again"
    monkeypatch.setenv("COURSE_HOMEWORK", str(made))
    release.main(["06"])
    for name in ("source", "nbgrader_config.py", "homework.yaml"):
        (shutil.copytree if name == "source" else shutil.copy)(made / name, again / name)
    given = handed_out(made / "release" / "homework_06.zip")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "COURSE_HOMEWORK": str(again)}
    command = ["nbgrader", "generate_assignment", "06"]
    done = subprocess.run(command, cwd=again, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (again / "release" / "06" / "homework_06.ipynb").read_text(encoding="utf-8") == given
    assert "### BEGIN" not in given
    named = {cell.metadata.nbgrader.grade_id: cell for cell in nbformat.reads(given, 4).cells if cell.metadata}
    assert named["student"].source.startswith('student = ""')
    assert named["write-momentum_attention"].source.endswith("    raise NotImplementedError  # your code here")
    assert named["f-momentum_attention"].metadata.editable is False
    assert {item.id for item in settings.load().assignment("06").items} <= set(named)


def handed_out(archive: Path) -> str:
    with zipfile.ZipFile(archive) as opened:
        return opened.read("homework_06.ipynb").decode()
