"""Exercises that are no functions of the course: each kind is what it says, and every choice has its own answer."""

import re
from dataclasses import replace

import jupytext
import pytest
import torch

from helpers.check import EXERCISES, claims, engine, seeds, verdict
from helpers.course import build
from helpers.support import ROOT

DIAGNOSES = [exercise for exercise in EXERCISES.values() if exercise.kind == "diagnose"]
FIXED = {"transfer_words"}  # whose inputs are words


def ids(exercise):
    return exercise.name


def parts(answer):
    return answer if isinstance(answer, tuple) else (answer,)


def read(exercise, answer):
    """The claims about one answer."""
    return list(exercise.claims(engine.Attempt(lambda *_: answer, engine.unwatched(exercise))))


def wrong_answers(exercise):
    """Every answer in which one part is another of its choices; the part's place, and what was chosen there."""
    right = parts(exercise.course())
    asked = [claim.choices for claim in read(exercise, exercise.course()) if claim.choices]
    assert len(asked) == len(right)
    for place, choices in enumerate(asked):
        for chosen in choices:
            if chosen != str(right[place]):
                answer = (*right[:place], chosen, *right[place + 1 :])
                yield place, chosen, answer if len(answer) > 1 else answer[0]


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=ids)
def test_numbers_and_titles_fit_the_kind(exercise):
    letters = {engine.WRITE: "", "derive": "D1", "diagnose": "D2", "design": "D3"}
    own = exercise.number.split(".")[1]
    assert own.isdigit() if exercise.kind == engine.WRITE else own == letters[exercise.kind]
    assert bool(exercise.title) == (exercise.kind != engine.WRITE)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind 'guess' is none of write, derive, diagnose, design"):
        replace(EXERCISES["linear_attention"], kind="guess")


@pytest.mark.parametrize("exercise", DIAGNOSES, ids=ids)
def test_every_wrong_choice_is_answered_by_a_sentence_of_its_own(exercise):
    said = {}
    for place, chosen, answer in wrong_answers(exercise):
        found = verdict(lambda answer=answer: answer, exercise.name)
        assert (found.status, found.details) == ("failed", f"Chosen: {chosen}.")
        assert found.diagnosis == found.mistake
        assert len(found.mistake) > 30
        said[place, chosen] = found.mistake
    assert len(said) >= 6
    assert len(set(said.values())) == len(said)


@pytest.mark.parametrize("exercise", DIAGNOSES, ids=ids)
def test_no_answer_to_a_wrong_choice_names_the_right_one(exercise):
    right = "|".join(re.escape(str(part)) for part in parts(exercise.course()))
    for _, _, answer in wrong_answers(exercise):
        told = verdict(lambda answer=answer: answer, exercise.name).mistake
        assert not re.search(rf"\b(line|reason|step) ({right})\b", told, re.IGNORECASE), told


@pytest.mark.parametrize("exercise", DIAGNOSES, ids=ids)
def test_a_right_part_earns_its_share(exercise):
    for _, _, answer in wrong_answers(exercise):
        held, of = engine.credit(exercise, engine.Attempt(lambda answer=answer: answer, exercise))
        assert (held, of) == (len(parts(exercise.course())) - 1, len(parts(exercise.course())))


@pytest.mark.parametrize("exercise", DIAGNOSES, ids=ids)
def test_an_analysis_is_in_the_notebook_line_by_line(exercise):
    """In the cell that asks, or in the one before: there homework takes it from."""
    text = build_text(exercise)
    for choices in (claim.choices for claim in read(exercise, exercise.course()) if claim.choices):
        for choice in choices:
            assert re.search(rf"^\W*{choice}\b", text, re.MULTILINE), choice


def build_text(exercise):
    source = next((ROOT / "notebooks" / "source").glob(f"{exercise.number.split('.')[0].zfill(2)}_*.py"))
    cells = jupytext.read(source).cells
    place = next(n for n, cell in enumerate(cells) if f"{{exercise:{exercise.name}}}" in cell.source)
    return "\n".join(cell.source for cell in cells[place - 1 : place + 1] if cell.cell_type == "markdown")


@pytest.mark.parametrize("exercise", [e for e in EXERCISES.values() if e not in DIAGNOSES], ids=ids)
def test_another_salt_asks_for_other_inputs(exercise):
    """What could be guessed by trying is asked with other numbers where it is graded."""

    def heard(salt):
        calls = []

        class Heard(engine.Attempt):
            def once(self, args):
                calls.append(args)
                return super().once(args)

        with seeds.salted(salt):
            list(exercise.claims(Heard(exercise.course, engine.unwatched(exercise))))
        return calls

    one, two = heard("one"), heard("two")
    same = [engine.run.same(a, b) for a, b in zip(one, two, strict=True)]
    assert all(same) if exercise.name in FIXED else sum(same) <= len(same) / 2


CHOICE = {"B": "No B.", "C": "No C."}


@pytest.mark.parametrize("chosen", ["A", "a", " a "])
def test_a_right_choice_in_either_case(chosen):
    claim = claims.is_choice(chosen, "A", CHOICE)
    assert (claim.broken, claim.mistake, claim.counts, claim.choices) == ("", "", True, ("A", "B", "C"))


@pytest.mark.parametrize("chosen", ["B", "b", " b\n"])
def test_a_wrong_choice_has_its_own_sentence(chosen):
    assert claims.is_choice(chosen, "A", CHOICE).told == ("No B.", "Chosen: B.")


@pytest.mark.parametrize(
    "chosen", ["D", "", "AB", "A or B", None, True, False, 1, 1.0, ["A"], ("A",), {"A": 1}, torch.tensor(1), object]
)
def test_what_is_no_choice_is_told_what_there_is(chosen):
    claim = claims.is_choice(chosen, "A", CHOICE, "the reason")
    first, _ = claim.told
    assert first.startswith("The reason must be one of A, B, C; this is ")
    assert (claim.mistake, bool(claim.broken)) == ("", True)


@pytest.mark.parametrize(
    ("chosen", "right"), [(2, True), ("2", True), (3, False), (True, None), (2.0, None), (-2, None)]
)
def test_a_line_is_a_number_or_its_text(chosen, right):
    claim = claims.is_choice(chosen, "2", {"1": "Not 1.", "3": "Not 3."}, "the line")
    assert (not claim.broken, claim.mistake) == (bool(right), "Not 3." if right is False else "")


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=ids)
def test_three_hints_and_none_is_the_solution(exercise):
    assert len(exercise.hints) == len(set(exercise.hints)) == 3
    assert all(len(hint) > 20 for hint in exercise.hints)
    told = "".join("".join(exercise.hints).split())
    assert [line for line in solution(exercise.name) if "".join(line.split()) in told] == []


def solution(name):
    """The lines of a solution, and what stands behind their `=` or `return`; not what is shorter than a thought."""
    source = (ROOT / "notebooks" / "source").glob(f"{EXERCISES[name].number.split('.')[0].zfill(2)}_*.py")
    lines = build._solutions(jupytext.read(next(source)))[name].splitlines()
    behind = [re.sub(r"^\s*(return |[\w, ]+ = )", "", line.partition("  #")[0]).strip() for line in lines]
    return [line for line in behind if len(line) > 25]


def test_the_heading_says_title_and_kind():
    page = build.asked(EXERCISES["flaw_of_the_interval"])
    assert page.startswith("### Exercise 6.D2 ★ · What is wrong with this analysis?\n")
    assert "diagnose · difficulty" in page
    assert [f"Hint {number}" in page for number in (1, 2, 3, 4)] == [True, True, True, False]
    page = build.asked(EXERCISES["linear_attention"])
    assert page.startswith("### Exercise 1.2 ★ · linear_attention\n")
    assert f"{engine.WRITE} ·" not in page
