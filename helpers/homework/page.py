"""A student's feedback page, made by nbgrader: what is not read yet is no lost point, and items have their names."""

import html
import re

import nbformat
from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.preprocessors import NbGraderPreprocessor

from helpers.homework import settings

WAITING = """**Not read yet: {count} written {answers}, {points:g} points together.** {They} not in the score above; \
you get this page again with them."""


class ForStudents(NbGraderPreprocessor):
    """Takes out what is for machines, and what a person has not read yet."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        about = resources["nbgrader"]
        with Gradebook(about["db_url"]) as book:
            own = book.find_submission_notebook(about["notebook"], about["assignment"], about["student"])
            left = {grade.name: (grade.score, grade.max_score) for grade in own.grades if grade.needs_manual_grade}
        for cell in nb.cells:
            _plain(cell, left)
        if left:
            about["score"] -= sum(score for score, _ in left.values())
            about["max_score"] -= sum(most for _, most in left.values())
            nb.cells.insert(0, _note(left))
        return nb, resources


def _plain(cell: NotebookNode, left: dict[str, tuple]) -> None:
    """A cell without the result that nbgrader reads, without "No response." to code, and without points that wait."""
    about = cell.metadata.get("nbgrader", {})
    if cell.cell_type == "code":
        cell.outputs = [output for output in cell.outputs if output.output_type != "execute_result"]
        if about.get("comment") == "No response.":
            about.comment = None
    if about.get("grade_id") in left:
        about.grade = False


def _note(left: dict[str, tuple]) -> NotebookNode:
    one = len(left) == 1
    words = {"answers": "answer" if one else "answers", "They": "It is" if one else "They are"}
    points = sum(most for _, most in left.values())
    return nbformat.v4.new_markdown_cell(WAITING.format(count=len(left), points=points, **words))


class StudentsPage(HTMLExporter):
    """nbgrader's page, with the items' titles where it says "Test cell"."""

    def from_notebook_node(self, nb: NotebookNode, resources: dict | None = None, **more: object) -> tuple[str, dict]:
        page, resources = super().from_notebook_node(nb, resources, **more)
        items = settings.load().assignment(resources["nbgrader"]["assignment"]).items
        titles = {item.id: html.escape(item.title) for item in items}
        link = r'(?<=<a href="#)([\w-]+)">(?:Test cell|Written response)(?=</a>)'
        return re.sub(link, lambda found: f'{found[1]}">{titles.get(found[1], found[1])}', page), resources
