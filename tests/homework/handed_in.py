"""A course folder with a small homework in it, and what a class hands in."""

import copy
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from helpers.homework import release

LAST = "write-recurrent_linear_attention"
YAML = """
term: "2026"
points: {functions: 8, bugs: 6, verdict: 8, written: 7}
notebooks:
  "01":
    due: 2026-03-02 12:00+00:00
    exercises: [linear_attention, recurrent_linear_attention]
"""
RIGHT = """import torch


def linear_attention(q, k, v):
    return (q @ k.T).tril() @ v


def recurrent_linear_attention(q, k, v):
    state, outs = torch.zeros(v.shape[1], k.shape[1], dtype=q.dtype), []
    for q_t, k_t, v_t in zip(q, k, v):
        state = state + torch.outer(v_t, k_t)
        outs.append(state @ q_t)
    return torch.stack(outs), state"""
NO_MASK = RIGHT.replace(".tril()", "")
FORGED = """
class Everything:
    def __eq__(self, other):
        return True


def linear_attention(q, k, v):
    return Everything()


import os
os._exit(0)"""


def made(folder: Path) -> NotebookNode:
    """Homework 01 in the course folder; its release."""
    folder.mkdir()
    (folder / "homework.yaml").write_text(YAML)
    assert release.main(["01"]) == 0
    return nbformat.read(folder / "release" / "01" / "homework_01.ipynb", 4)


def answered(blank: NotebookNode, student: str, code: str, **texts: str) -> NotebookNode:
    """The release with a student's answers; `texts` are written answers, by "why-1" as why_1."""
    answers = {"student": f'student = "{student}"', "write-linear_attention": "# Both are below.", LAST: code}
    answers |= {name.replace("_", "-"): text for name, text in texts.items()}
    own = copy.deepcopy(blank)
    for cell in own.cells:
        cell.source = answers.get(id_of(cell), cell.source)
    return own


def id_of(cell: NotebookNode) -> str:
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def write(made: NotebookNode, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(made, file)
