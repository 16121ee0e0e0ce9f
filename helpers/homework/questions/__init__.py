"""Questions that a person grades or asks: a YAML file a notebook, and `common.yaml` for what every homework has.

Rubrics count their own points; a mark is their share of the item's.
"""

from dataclasses import dataclass
from pathlib import Path

import yaml

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Criterion:
    """What earns points in an answer."""

    points: float
    what: str


@dataclass(frozen=True)
class Sample:
    """An answer as students give it, what it earns, and why."""

    level: str  # "full", "half", "little"
    points: float
    answer: str
    why: str


@dataclass(frozen=True)
class Question:
    """A written question with its rubric and sample answers."""

    id: str
    text: str  # empty where the notebook has its own words for it
    rubric: tuple[Criterion, ...]
    samples: tuple[Sample, ...]

    @property
    def points(self) -> float:
        return sum(criterion.points for criterion in self.rubric)


@dataclass(frozen=True)
class Oral:
    """Three minutes, face to face: what is asked, what a good answer contains, what to ask then."""

    id: str
    question: str
    answer: str
    further: str


def written(assignment: str) -> dict[str, Question]:
    """The written questions of a homework, by the ids of its items."""
    found = {**_read("common"), **_read(assignment).get("written", {})}
    return {id: _question(id, **about) for id, about in found.items()}


def face_to_face(assignment: str) -> dict[str, Oral]:
    """The oral questions of a homework."""
    return {id: Oral(id, **about) for id, about in _read(assignment).get("oral", {}).items()}


def oral(assignment: str) -> dict[str, str]:
    """What is asked in each, by id: what is drawn from."""
    return {id: question.question for id, question in face_to_face(assignment).items()}


def sheet(assignment: str) -> str:
    """Rubrics, sample answers and oral questions on one Markdown page, for whoever grades."""
    parts = [f"# Homework {assignment}: what people grade", *map(_rubric, written(assignment).values())]
    asked = face_to_face(assignment).values()
    parts += ["## Three minutes, face to face"] * bool(asked)
    parts += [f"**{q.question}**\n\nA good answer: {q.answer}\n\nThen: {q.further}" for q in asked]
    return "\n\n".join(parts) + "\n"


def _rubric(question: Question) -> str:
    criteria = "\n".join(f"- {criterion.points:g}: {criterion.what}" for criterion in question.rubric)
    samples = "\n\n".join(f"*{s.level}, {s.points:g}:* “{s.answer}” ({s.why})" for s in question.samples)
    return "\n\n".join(filter(None, (f"## {question.id}", question.text, criteria, samples)))


def _question(id: str, rubric: list[list], samples: dict[str, dict], text: str = "") -> Question:
    criteria = tuple(Criterion(float(points), what) for points, what in rubric)
    answers = (Sample(level, float(s["points"]), s["answer"], s["why"]) for level, s in samples.items())
    return Question(id, text, criteria, tuple(answers))


def _read(name: str) -> dict[str, dict]:
    """A file's content; nothing where there is none."""
    file = HERE / f"{name}.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}
