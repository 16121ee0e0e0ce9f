"""`python -m helpers grade FOLDER`: collect, mark, and let nbgrader keep and return it; and one's own mark, again."""

import argparse
import functools
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

import nbformat
import torch
from tqdm.auto import tqdm

from helpers.homework import collect, draws, hunted, kept, lms, marks, questions, report, sandbox, settings
from helpers.homework.collect import Flag, Submission
from helpers.homework.gradebook import Course, Result
from helpers.homework.lms import Grade, Roster
from helpers.homework.marks import Marks
from helpers.homework.report import Class
from helpers.homework.settings import Assignment, Item
from helpers.support import CourseError

Pool = Callable[[], AbstractContextManager[Executor]]
TOGO = """Homework {name}: {graded}, {flagged} flagged for a person, {seconds:.0f} s.
  For you     {folder}/report.html
  Students    {feedback}/STUDENT/{name}/*.html
  Canvas      {canvas}
  Moodle      {moodle}
  Its key     {key}: publish it after the deadline, for python -m helpers grade --mine FILE --key KEY"""
WRITTEN = """

{waiting} written answers wait for a person. Rubrics: {rubrics}; functions, tables and
their keys, by student: {drawn}. Open nbgrader's formgrader:
  cd {root} && {python} -m jupyterlab --LabApp.default_url=/formgrader/gradebook/{name} \\
    --ServerApp.jpserver_extensions nbgrader.server_extensions.formgrader=True
then give the same command again: pages and tables then have these points; nothing is marked twice."""


def main(rest: list[str]) -> int:
    """The verb `grade`."""
    asked = _arguments(rest)
    made = settings.load()
    known = {assignment.name: assignment for assignment in made.assignments}
    chosen = made.assignment(asked.notebook) if asked.notebook else None
    if asked.mine:
        return mine(asked.mine, asked.key, asked.student, chosen, known)
    roster = lms.roster(settings.folder() / lms.ROSTER)
    submissions, flags = collect.collected(
        asked.folder, chosen, known, roster, settings.folder() / "downloaded" / "extracted"
    )
    names = sorted({submission.assignment.name for submission in submissions})
    if names and not asked.scheduler:
        print(sandbox.isolation())
    for name in names:
        Course(known[name]).ready()
    for name in names:
        own = [submission for submission in submissions if submission.assignment.name == name]
        graded(known[name], own, flags, roster, functools.partial(pool, asked.workers, asked.scheduler))
    if not submissions:
        print("\n".join(f"{flag.student}: {flag.what}" for flag in flags))
        raise CourseError(
            f"Nothing in {asked.folder} can be graded: see the lines above.\n"
            "Name the folder or zip with the LMS's download; a notebook's name must contain homework_01 or the like."
        )
    return 0


def _arguments(rest: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m helpers grade", description="Grade what was handed in.")
    parser.add_argument("folder", nargs="?", type=Path, help="the LMS's download: a folder or a zip")
    parser.add_argument("--notebook", metavar="01", help="which homework, where names don't say it")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="submissions at a time (default: the cores)"
    )
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster that marks in place of this machine")
    parser.add_argument("--mine", type=Path, metavar="FILE", help="one's own notebook: its mark again")
    parser.add_argument("--key", help="the assignment's key, published after the deadline")
    parser.add_argument("--student", metavar="ID", help="one's id, where the notebook doesn't say it")
    asked = parser.parse_args(rest)
    if bool(asked.mine) == bool(asked.folder) or bool(asked.mine) != bool(asked.key):
        raise CourseError(
            "What is to be graded is a folder, or one's own notebook together with the key: one of the two.\n"
            "Run: python -m helpers grade FOLDER; or, for one's own mark: python -m helpers grade --mine FILE --key KEY"
        )
    return asked


def mine(file: Path, key: str, student: str | None, chosen: Assignment | None, known: dict[str, Assignment]) -> int:
    """Print each item of one's own mark and the sum."""
    name = collect.HOMEWORK.search(file.name)
    homework = chosen or known.get(name[1] if name else "")
    if not file.is_file() or homework is None:
        raise CourseError(
            f"{file} is not there, or its name doesn't say which homework it is.\n"
            "Name your notebook as it was handed in, and say --notebook 01 where the name has no number."
        )
    student = student or marks.student_of(file)
    if not re.fullmatch("[0-9a-f]{32}", key) or not student:
        raise CourseError(
            'The key must have 32 hex digits, and the notebook must say student = "…".\n'
            "Copy the key as your instructor published it, and say --student ID where the notebook has none."
        )
    homework = _released(homework, file)
    found = {mark.item: mark for mark in marks.of(file, student, homework, key).marks}
    for item in homework.items:
        mark = found[item.id]
        told = "by a person" if mark.points is None else f"{mark.points:g} of {item.points:g}"
        message = "" if mark.points is None else mark.message.partition("\n")[0]
        print(f"{item.title:42} {told:>14}  {message}")
    print(f"{'Sum, without what a person reads':42} {sum(mark.points or 0.0 for mark in found.values()):>14g}")
    return 0


def _released(homework: Assignment, file: Path) -> Assignment:
    """The homework with the term and the points that the notebook was released with: a student has no homework.yaml."""
    made = nbformat.read(file, 4)
    titles = {item.id: item.title for item in homework.items}
    items = tuple(_item(id, worth, titles.get(id, id)) for id, worth in collect.points(made).items())
    return replace(homework, term=collect.about(made).get("term", homework.term), items=items or homework.items)


def _item(id: str, points: float, title: str) -> Item:
    start, _, rest = id.partition("-")
    kind = {"f": "function", "bug": "bug", "verdict": "verdict"}.get(start, "written")
    return Item(id, kind, points, title, id if kind == "written" else rest)


@dataclass
class Times:
    """Seconds that each part took."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start


def graded(
    assignment: Assignment, submissions: list[Submission], flags: list[Flag], roster: Roster, pool: Pool
) -> None:
    """A class's submissions of one homework: marks, gradebook, pages, tables, report; then what is left to do."""
    times, course = Times(), Course(assignment)
    earlier, renamed = course.earlier(submissions, roster)
    whole = [*submissions, *earlier]
    with times("marks"):
        found, failed = marked(whole, settings.key(assignment.name), pool)
    results, stopped = _returned(course, [own for own in whole if own.student in found], earlier, times)
    said = [Flag(student, line) for student, own in found.items() for line in own.flags]
    flags = [*dict.fromkeys([*flags, *renamed, *collect.same(whole), *failed, *stopped, *said])]
    people = {submission.student: submission.person for submission in whole if submission.student in results}
    course.keep_people(people)
    there = {person.id for person in people.values()}
    absent = [person for person in roster.people if person.id not in there]
    grades = [
        Grade(people[name], results[name].points, _comments(assignment, found[name], results[name])) for name in people
    ]
    waiting = any(result.waiting for result in results.values())
    tables = _tables(assignment, [*grades, *(Grade(person, None) for person in absent)], roster, waiting)
    points = {student: result.items for student, result in results.items()}
    handed_in = {flag.student for flag in flags}
    missing = [person.id for person in absent if collect.safe(person.id) not in handed_in]
    names = {collect.safe(person.id): person.name for person in roster.people}
    names |= {student: person.name for student, person in people.items()}
    about = Class(
        *(assignment, found, points, flags, missing, _oral(assignment, whole), times.seconds),
        names=names,
        earlier=len(results.keys() & {own.student for own in earlier}),
        notes=_timeless(assignment, submissions),
    )
    report.write(report.page(about), _folder(assignment) / "report.html")
    report.write(hunted.for_graders(assignment, {own.student: own.drawn for own in whole}), drawn_file(assignment))
    _tell(about, results, tables)


def _timeless(assignment: Assignment, submissions: list[Submission]) -> list[str]:
    """A line where nobody can know who was late; Canvas says it in the names of files."""
    without = [own for own in submissions if own.when is None and not own.person.canvas]
    if not (without and assignment.due and assignment.late):
        return []
    return [
        f"No time of handing in is known for {len(without)} of {len(submissions)}: they lost no points for being late. "
        f"Moodle's grading worksheet as {lms.ROSTER} has the times; or lay a timestamp.txt beside a notebook."
    ]


def _returned(
    course: Course, submissions: list[Submission], earlier: list[Submission], times: Times
) -> tuple[dict[str, Result], list[Flag]]:
    """nbgrader's part: the gradebook and a page for each student; `earlier` ones are in its folders already."""
    with times("gradebook"):
        if new := [own for own in submissions if own not in earlier]:
            course.collect(new, new[0].file.parents[2])
        students = [own.student for own in submissions]
        stopped = _each(course.grade, "gradebook", [student for student in students if not course.is_graded(student)])
    with times("pages"):
        known = course.results()
        results = {student: known[student] for student in students if student not in {flag.student for flag in stopped}}
        failed = _each(course.feedback, "pages", course.stale(results))
        course.keep_shown({name: results[name] for name in results.keys() - {flag.student for flag in failed}})
    return results, [*stopped, *failed]


def marked(submissions: Iterable[Submission], key: str, pool: Pool) -> tuple[dict[str, Marks], list[Flag]]:
    """Every submission's marks, each kept as soon as it is there; and a line for those that could not be marked."""
    jobs = {own.student: (own.file.read_bytes(), own.drawn, own.assignment, key) for own in submissions}
    found = {student: had for student, job in jobs.items() if (had := kept.find(*job))}
    left, flags = {student: job for student, job in jobs.items() if student not in found}, []
    with tqdm(total=len(jobs), initial=len(found), desc="marks", unit="submission") as bar:
        for student, future in _submitted(pool, left):
            try:
                found[student] = Marks.from_json(future.result())
            except Exception as error:
                flags.append(
                    Flag(student, f"{collect.NOT_GRADED}: marking it ended with {type(error).__name__}: {error}")
                )
                continue
            kept.keep(found[student], *left[student])
            bar.update()
    return {student: found[student] for student in jobs if student in found}, flags


def _submitted(pool: Pool, jobs: dict[str, kept.Job]) -> Iterator[tuple[str, Future]]:
    if not jobs:
        return
    with pool() as executor:
        futures = {executor.submit(kept.elsewhere, *job): student for student, job in jobs.items()}
        for future in as_completed(futures):
            yield futures[future], future


@contextmanager
def pool(workers: int, scheduler: str | None) -> Iterator[Executor]:
    """Processes of this machine, or the workers of a Dask cluster; what has not begun is dropped at Ctrl-C."""
    with _cluster(scheduler) if scheduler else _processes(max(workers, 1)) as executor:
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _processes(workers: int) -> Executor:
    return ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,))


@contextmanager
def _cluster(address: str) -> Iterator[Executor]:
    from helpers.support import scheduler  # loads Dask, a second that only this way of grading needs

    with scheduler.connect(address) as client, client.get_executor(pure=False) as executor:
        if set(client.run(kept.version).values()) - {kept.version()}:
            raise CourseError("A worker has another version of the course than this.\nBring all to the same one.")
        yield executor


def _each(do: Callable[[str], str], name: str, students: list[str]) -> list[Flag]:
    """nbgrader's part for each student, in this process: starting nbgrader once for each would take longer."""
    problems = ((student, do(student)) for student in tqdm(students, desc=name, unit="submission"))
    return [Flag(student, f"nbgrader stopped at it: {problem}") for student, problem in problems if problem]


def _folder(assignment: Assignment) -> Path:
    return settings.folder() / "grades" / assignment.name


def drawn_file(assignment: Assignment) -> Path:
    """For whoever reads the written answers: what each is about."""
    return _folder(assignment) / "drawn.md"


def _tables(assignment: Assignment, grades: list[Grade], roster: Roster, waiting: bool) -> dict[str, Path]:
    """Canvas' and Moodle's files; their names say so while written answers wait for a person."""
    files = {}
    for system, write in (("canvas", functools.partial(lms.canvas, roster=roster)), ("moodle", lms.moodle)):
        complete, partial = (_folder(assignment) / f"{system}{end}.csv" for end in ("", "-incomplete"))
        files[system], other = (partial, complete) if waiting else (complete, partial)
        other.unlink(missing_ok=True)
        write(grades, assignment, file=files[system])
    return files


def _comments(assignment: Assignment, found: Marks, result: Result) -> tuple[str, ...]:
    """A line for each item: what a student reads in Moodle beside the points."""
    messages = {
        mark.item: mark.message.splitlines()[0] for mark in found.marks if mark.message and mark.points is not None
    }
    lines = []
    for item in assignment.items:
        points = result.items.get(item.id)
        told = "a person still reads this" if points is None else f"{points:g} of {item.points:g}"
        lines.append(f"{item.title}: {told}" + (f". {messages[item.id]}" if item.id in messages else ""))
    late = [f"Late: {result.penalty:g} points taken off"] if result.penalty else []
    return (*lines, *late)


def _oral(assignment: Assignment, submissions: Iterable[Submission]) -> dict[str, list[str]]:
    """Two questions for each student to answer aloud."""
    asked = questions.oral(assignment.name)
    term, name = assignment.term, assignment.name
    return {own.student: [asked[id] for id in draws.oral(term, name, own.drawn, asked)] for own in submissions}


def _tell(about: Class, results: dict[str, Result], tables: dict[str, Path]) -> None:
    """What was done, where it lies and what a person still has to do."""
    left = [flag for flag in about.flags if flag.what.startswith(collect.NOT_GRADED)]
    for flag in left:
        print(f"  {flag.student}: {flag.what}")
    if more := len(about.flags) - len(left):
        print(f"  {more} more {'line' if more == 1 else 'lines'} to look at in the report")
    for note in about.notes:
        print(f"  {note}")
    root, name = settings.folder(), about.assignment.name
    told = {
        "name": name,
        "graded": f"{len(about.marks)} graded" + (f" ({about.earlier} of them earlier)" if about.earlier else ""),
        "flagged": len({flag.student for flag in about.flags}),
        "waiting": sum(result.waiting for result in results.values()),
        "seconds": sum(about.times.values()),
        "folder": _folder(about.assignment),
        "key": settings.key(name),
        "feedback": root / "feedback",
        "rubrics": root / "rubrics" / f"{about.assignment.notebook_name}.md",
        "drawn": drawn_file(about.assignment),
        "root": shlex.quote(str(root)),
        "python": shlex.quote(sys.executable),
    }
    print((TOGO + (WRITTEN if told["waiting"] else "")).format(**told, **tables))
