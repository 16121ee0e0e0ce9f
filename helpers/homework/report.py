"""The class report: one page for the instructor, with nothing in it that a student may see."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from pathlib import Path
from statistics import fmean, median

from scipy.stats import pearsonr

from helpers.homework.collect import NOT_GRADED, Flag
from helpers.homework.marks import Marks
from helpers.homework.settings import Assignment, Item
from helpers.support import cache

FEWEST = 5  # over fewer students a statistic is about persons
STATES = ("passed", "partly", "failed", "crashed", "not attempted")


@dataclass(frozen=True)
class Class:
    """All that the report tells."""

    assignment: Assignment
    marks: Mapping[str, Marks]
    points: Mapping[str, Mapping[str, float | None]]  # of every item, by student; None: waits for a person
    flags: Sequence[Flag] = ()
    missing: Sequence[str] = ()  # in the roster, with nothing handed in
    oral: Mapping[str, Sequence[str]] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)  # seconds of each part of the grading
    names: Mapping[str, str] = field(default_factory=dict)  # by student, where the roster or the LMS has one
    earlier: int = 0  # how many were handed in with an earlier download
    notes: Sequence[str] = ()  # on the class as a whole

    def who(self, student: str) -> str:
        """A student's id, with the name where that is another."""
        name = self.names.get(student, "")
        return escape(f"{student} ({name})" if name not in ("", student) else student)


def shares(item: Item, about: Class) -> dict[str, float]:
    """Each student's share of an item's points, where it is known."""
    known = {student: points.get(item.id) for student, points in about.points.items()}
    return {student: points / item.points for student, points in known.items() if points is not None}


def discrimination(item: Item, about: Class) -> float | None:
    """Correlation of an item with the sum of all others; None over too few, or where one of the two is constant."""
    own, rest = [], []
    for student, share in shares(item, about).items():
        own.append(share)
        rest.append(sum(points or 0.0 for name, points in about.points[student].items() if name != item.id))
    if len(own) < FEWEST or len(set(own)) < 2 or len(set(rest)) < 2:
        return None
    found = float(pearsonr(own, rest).statistic)
    return found if math.isfinite(found) else None


def mistakes(about: Class) -> list[tuple[int, str, str]]:
    """How many students made each named mistake, the commonest first, with its item's title."""
    titles = {item.id: item.title for item in about.assignment.items}
    each = ((own.item, own.mistake) for marks in about.marks.values() for own in marks.marks if own.mistake)
    order = [*titles]
    found = sorted(Counter(each).items(), key=lambda pair: (-pair[1], order.index(pair[0][0]), pair[0][1]))
    return [(number, titles[item], mistake) for (item, mistake), number in found]


def write(text: str, file: Path) -> None:
    """A file that only its owner can read."""
    with cache.whole(file) as scratch:
        scratch.touch(0o600)
        scratch.write_text(text, encoding="utf-8")


def page(about: Class) -> str:
    title = f"Homework {about.assignment.name}: {about.assignment.title}"
    parts = [_summary(about), _flags(about), _items(about), _mistakes(about), _oral(about), _times(about)]
    return PAGE.format(title=escape(title), body="\n".join(filter(None, parts)))


def _summary(about: Class) -> str:
    graded, flagged = len(about.marks), len({flag.student for flag in about.flags})
    waiting = sum(points is None for items in about.points.values() for points in items.values())
    before = f" ({about.earlier} of them earlier)" if about.earlier else ""
    lines = [f"<b>{graded}</b> graded{before}, <b>{flagged}</b> flagged for a person."]
    lines[0] += f" <b>{waiting}</b> written answers wait."
    if about.missing:
        lines.append(f"Nothing was handed in by {len(about.missing)}: {'; '.join(map(about.who, about.missing))}.")
    lines += map(escape, about.notes)
    by_machine = [sum(p or 0.0 for p in items.values()) for items in about.points.values()]
    if len(by_machine) >= FEWEST:
        machine = "" if not waiting else " so far, without the written answers that wait"
        lines.append(
            f"Points of {about.assignment.points:g}{machine}: median {median(by_machine):.1f}, "
            f"mean {fmean(by_machine):.1f}, from {min(by_machine):g} to {max(by_machine):g}."
        )
    else:
        lines.append(f"Fewer than {FEWEST} were graded: no statistics, they would be about persons.")
    when = datetime.now().astimezone()
    return (
        "".join(f"<p>{line}</p>" for line in lines) + f'<p class="small">{when:%Y-%m-%d %H:%M}. Not for students.</p>'
    )


def _flags(about: Class) -> str:
    if not about.flags:
        return ""
    lines: dict[str, list[str]] = {}
    for flag in sorted(about.flags, key=lambda flag: not flag.what.startswith(NOT_GRADED)):
        lines.setdefault(flag.student, []).append(escape(flag.what))
    rows = ((about.who(student), "<br>".join(own)) for student, own in lines.items())
    return "<h2>For a person to look at</h2>" + _table(("Student", "What"), rows)


def _items(about: Class) -> str:
    """A bar for each item: passed, partly, the rest; beside it difficulty and discrimination."""
    if len(about.marks) < FEWEST:
        return ""
    rows = [_item(item, about) for item in about.assignment.items]
    key = " ".join(f'<span class="key {state.replace(" ", "-")}"></span>{state}' for state in STATES)
    return (
        f'<h2>Success by item</h2><p class="small">{key}</p>'
        + _table(("Item", "Points", "Students", "Mean share", "Goes with the rest"), rows)
        + '<p class="small">Mean share: of the points, 1 is easy. Goes with the rest: correlation of the item with the '
        "sum of all others; near 0 or below, look at the item: it may be misunderstood, or asked unclearly.</p>"
    )


def _item(item: Item, about: Class) -> tuple[str, ...]:
    found = shares(item, about)
    mean = f"{fmean(found.values()):.2f}" if len(found) >= FEWEST else "–"
    goes = discrimination(item, about)
    states = [_mark(marks, item) for marks in about.marks.values()]
    bar = _bar(Counter(states)) if item.kind != "written" else _written(about, item)
    return escape(item.title), f"{item.points:g}", bar, mean, "–" if goes is None else f"{goes:+.2f}"


def _mark(marks: Marks, item: Item) -> str:
    return next((mark.status for mark in marks.marks if mark.item == item.id), "not attempted")


def _bar(count: Counter) -> str:
    whole = sum(count.values())
    parts = (
        f'<span class="{state.replace(" ", "-")}" style="width:{100 * count[state] / whole:.1f}%" '
        f'title="{count[state]} {state}">{count[state]}</span>'
        for state in STATES
        if count[state]
    )
    return f'<div class="bar">{"".join(parts)}</div>'


def _written(about: Class, item: Item) -> str:
    waiting = sum(points.get(item.id, 0.0) is None for points in about.points.values())
    return f'<span class="small">{waiting} wait for a person</span>' if waiting else "graded by a person"


def _mistakes(about: Class) -> str:
    found = mistakes(about)
    if len(about.marks) < FEWEST or not found:
        return ""
    rows = ((str(number), escape(title), escape(mistake)) for number, title, mistake in found)
    return "<h2>Commonest misconceptions</h2>" + _table(("Students", "Item", "What it means"), rows)


def _oral(about: Class) -> str:
    if not about.oral:
        return ""
    rows = ((about.who(student), "<br>".join(map(escape, asked))) for student, asked in sorted(about.oral.items()))
    return "<h2>Three minutes, face to face</h2>" + _table(("Student", "Two questions, drawn for each"), rows)


def _times(about: Class) -> str:
    if not about.times:
        return ""
    told = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in about.times.items())
    return f'<p class="small">How long it took: {escape(told)}.</p>'


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table; cells are HTML already."""
    top = "".join(f"<th>{name}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a;
  background: #fff }}
h1 {{ font-size: 1.5rem }} h2 {{ font-size: 1.15rem; margin-top: 2rem }}
.small {{ color: #555; font-size: .87rem }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid #ddd;
  overflow-wrap: break-word }}
td:last-child {{ overflow-wrap: anywhere }}
th {{ font-weight: 600; white-space: nowrap }}
.bar {{ display: flex; height: 1.25rem; min-width: 14rem; border-radius: 3px; overflow: hidden }}
.bar span {{ font-size: .78rem; line-height: 1.25rem; text-align: center; overflow: hidden }}
.key {{ display: inline-block; width: .8rem; height: .8rem; margin: 0 .3rem 0 .7rem; border-radius: 2px;
  vertical-align: -1px }}
.passed {{ background: #00568f; color: #fff }} .partly {{ background: #7fb2d9; color: #000 }}
.failed {{ background: #e69f00; color: #000 }} .crashed {{ background: #a34700; color: #fff }}
.not-attempted {{ background: #d9d9d9; color: #000 }}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""
