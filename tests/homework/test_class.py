"""A class whose marks are known beforehand: every mark is what it must be. (All 200: make bench ARGS=homework.)"""

from collections import Counter

import pytest
from classroom import KINDS, hand_in

from helpers.homework import marks, notebook, settings

KEY = "00112233445566778899aabbccddeeff"


@pytest.fixture(autouse=True)
def instructor(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOMEWORK", str(tmp_path / "homework"))


@pytest.mark.parametrize("name", settings.names())
def test_every_mark_is_what_it_must_be(tmp_path, name):
    assignment = settings.load().assignment(name)
    whole = hand_in(notebook.made(assignment), assignment, 2 * len(KINDS), tmp_path / "handed in")
    found = {made.id: marks.of(made.file(tmp_path / "handed in"), made.id, assignment, KEY) for made in whole}
    assert [line for made in whole for line in made.disagreements(found[made.id])] == []
    assert [flag for own in found.values() for flag in own.flags] == []
    statuses = Counter(mark.status for own in found.values() for mark in own.marks)
    assert min(statuses[status] for status in ("passed", "partly", "failed", "not attempted")) > 0  # all were tried


def test_a_hidden_claim_is_drawn_for_each_student(tmp_path):
    """Whoever hands in what a neighbour's inputs give has handed in nothing."""
    assignment = settings.load().assignment("02")
    made, neighbour = hand_in(notebook.made(assignment), assignment, 2, tmp_path / "handed in")
    own = marks.of(made.file(tmp_path / "handed in"), made.id, assignment, KEY)
    swapped = marks.of(made.file(tmp_path / "handed in"), neighbour.id, assignment, KEY)
    by_item = {mark.item: mark.points for mark in swapped.marks}
    assert sum(mark.points for mark in own.marks if mark.points) == 80
    assert by_item["bug-1"] == by_item["bug-2"] == 0
    assert by_item["verdict"] < 25
    assert any("student = " in flag for flag in swapped.flags)
