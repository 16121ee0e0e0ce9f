"""The thin front end for otter: marks.of decides about points, otter's tests look at its numbers.

Before otter runs a submission, the plugin marks it and hands otter another notebook in its place, which holds nothing
but how many parts of each item are held. Nothing of the submission runs in otter's processes.
It needs the course and the instructor's folder with homework.yaml and the key: `otter run` where the instructor works.
"""

import contextlib
import io
import json
import shutil
import tempfile
import zipfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from otter import generate
from otter.plugins import AbstractOtterPlugin
from otter.run import AutograderConfig
from otter.test_files import GradingResults

from helpers.check import engine
from helpers.homework import marks, settings, tables
from helpers.homework.settings import Assignment, Item

PLUGIN = "helpers.homework.with_otter.MarksFirst"
KEPT = ("tests", "__init__.py")  # otter's own, in the folder with what was handed in


class MarksFirst(AbstractOtterPlugin):
    """Marks a submission before otter sees it."""

    def before_grading(self, config: AutograderConfig) -> None:
        """Take away all that was handed in but the notebook: a file named like a module would be run by otter."""
        notebook = Path(self.submission_path)
        for path in notebook.parent.iterdir():
            if path != notebook and path.name not in KEPT:
                path.unlink() if path.is_file() or path.is_symlink() else shutil.rmtree(path)

    def before_execution(self, submission: NotebookNode) -> NotebookNode:
        """The notebook that otter runs in place of the submission's."""
        notebook = Path(self.submission_path)
        assignment = settings.load().assignment(self.plugin_config["assignment"])
        self.marks = marks.of(notebook, marks.student_of(notebook), assignment, settings.key(assignment.name))
        held = {mark.item: mark.held for mark in self.marks.marks if mark.points is not None}
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        return nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(f"held = {held!r}")], metadata={"kernelspec": kernel}
        )

    def after_grading(self, results: GradingResults) -> None:
        """Students read what marks.of says, not which number was compared."""
        told = {mark.item: mark.message for mark in self.marks.marks}
        for name, test in results.results.items():
            for case in test.test_case_results:
                case.message = case.message if case.passed else told[name]

    def generate_report(self) -> str:
        """What is left for a person."""
        written = [mark.item for mark in self.marks.marks if mark.points is None]
        return "\n".join([*self.marks.flags, f"For a person: {', '.join(written) or 'nothing'}."])


def autograder(assignment: Assignment) -> dict[str, bytes]:
    """The files of otter's autograder archive, made by otter itself."""
    with tempfile.TemporaryDirectory() as scratch:
        tests, config, archive = (Path(scratch, name) for name in ("tests", "otter_config.json", "autograder.zip"))
        tests.mkdir()
        for item in assignment.items:
            if item.kind != "written":
                (tests / f"{item.id}.py").write_text(test(item), encoding="utf-8")
        config.write_text(json.dumps({"plugins": [{PLUGIN: {"assignment": assignment.name}}]}))
        with contextlib.redirect_stdout(io.StringIO()):
            generate.main(
                tests_dir=str(tests),
                output_path=str(archive),
                config=str(config),
                no_requirements=True,
                no_environment=True,
            )
        with zipfile.ZipFile(archive) as made:
            return {name: made.read(name) for name in made.namelist()}


def test(item: Item) -> str:
    """A test file: a case for each part, worth what that part adds to the points."""
    of = parts(item)
    ends = [round(item.points * held / of, 2) for held in range(of + 1)]
    cases = [
        {
            "name": f"{item.title}, part {part} of {of}",
            "code": f">>> held[{item.id!r}] >= {part}\nTrue",
            "points": round(ends[part] - ends[part - 1], 2),
            "hidden": False,
            "locked": False,
        }
        for part in range(1, of + 1)
    ]
    suite = {"cases": cases, "scored": True, "setup": "", "teardown": "", "type": "doctest"}
    return f"OK_FORMAT = True\n\ntest = { ({'name': item.id, 'points': None, 'suites': [suite]})!r}\n"


def parts(item: Item) -> int:
    """How many parts an item has; marks.of counts the same."""
    if item.kind == "function":
        return engine.worth(item.asks)
    return len(tables.LETTERS) if item.kind == "verdict" else 1
