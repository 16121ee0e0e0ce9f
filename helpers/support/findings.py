"""What a page keeps back until its reader has predicted: titles of figures, explanations, the right answer.

A source keeps a finding beside its question. The build lifts its text into notebooks/findings, and the student's
notebook names only the question: what has no text is looked up, and seen once a prediction was made or skipped.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from helpers.support import ROOT, CourseError, progress

FOLDER = ROOT / "notebooks" / "findings"
Kind = Literal["reveal", "right", "title", "explanation"]
WAITING: dict[str, list[Callable[[], None]]] = {}  # by question: what is drawn again once it is answered


@dataclass(frozen=True)
class Finding:
    """A text that belongs to a question; as a string it is empty until that was answered."""

    key: str
    text: str
    given: bool = False  # the page says it anyway, as solved notebooks do

    @property
    def is_open(self) -> bool:
        """Whether the reader may see it: the question was answered or skipped."""
        return self.given or answered(self.key)

    def __str__(self) -> str:
        return self.text if self.is_open else ""


def finding(key: str, text: str | int = 1, **values: int | float | str) -> Finding:
    """A figure's title that belongs to the question `key`: its text, or in a student's notebook its number.

    `values` fill in the braces. Raises CourseError where that question has no such text.
    """
    return lookup(key, "title", text, **values)


def lookup(key: str, kind: Kind, text: str | int = 1, **values: int | float | str) -> Finding:
    """A finding of this kind, by its text or, from 1, its number. Raises CourseError where there is none."""
    if isinstance(text, str):
        return Finding(key, text.format(**values) if values else text, given=True)
    kept = _kept().get(key, {}).get(kind, [])
    if not 1 <= text <= len(kept):
        raise CourseError(
            f"Nothing is kept for the question {key!r} ({kind} {text}): the notebook and notebooks/findings differ.\n"
            "Fetch both from the same version of the course."
        )
    return Finding(key, kept[text - 1].format(**values) if values else kept[text - 1])


def _kept() -> dict[str, dict[str, list[str]]]:
    """All findings of all notebooks, by question and kind."""
    files = sorted(FOLDER.glob("*.json"))
    return {key: texts for file in files for key, texts in json.loads(file.read_text(encoding="utf-8")).items()}


def answered(key: str) -> bool:
    """Whether a prediction was made under this key, or skipped."""
    return key in progress.read()["predictions"]


def when_answered(key: str, draw: Callable[[], None]) -> None:
    """Call `draw` once the question is answered."""
    WAITING.setdefault(key, []).append(draw)


def open_all(key: str) -> None:
    """The question was answered: draw again what waited for that."""
    for draw in WAITING.pop(key, []):
        draw()
