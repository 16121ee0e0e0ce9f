"""What was recorded is complete, says where it comes from, and is what the course's choices rest on."""

from collections import defaultdict

import numpy as np
import pytest

from helpers import tasks
from helpers.course import ROOT, results


@pytest.mark.parametrize("name", results.EXPERIMENTS)
def test_every_cell_is_recorded_once_with_its_origin(name):
    rows = results.read(name)
    cells = [row["cell"] for row in rows]
    assert all(cell in cells for cell in results.EXPERIMENTS[name].cells())
    assert len(cells) == len({str(cell) for cell in cells})
    for row in rows:
        assert {"model", "weights", "code", "versions", "device", "date", "command", "seconds"} <= set(row["from"])


def dev_scores():
    """Per task and (pattern, labels): in-context accuracy on the development split, raw and bias removed, averaged."""
    scores = defaultdict(lambda: defaultdict(list))
    for row in results.read("templates"):
        cell, found = row["cell"], row["result"]["in_context"]
        both = np.mean([results.share(found["right"]), results.share(found["calibrated"])])
        scores[cell["task"]][cell["pattern"], tuple(cell["labels"])].append(both)
    return {task: {tried: np.mean(values) for tried, values in found.items()} for task, found in scores.items()}


@pytest.mark.parametrize("name", results.CLASSIFIED)
def test_template_and_labels_are_the_best_on_development_sentences(name):
    recipe, scores = tasks.TASKS[name], dev_scores()[name]
    assert scores[recipe.template.pattern, tuple(recipe.labels.values())] == max(scores.values())


def test_the_word_pairs_share_the_template_that_is_best_on_the_three_together():
    scores = dev_scores()
    together = {tried: sum(scores[name][tried] for name in results.FREE) for tried in scores["past"]}
    assert {(tasks.TASKS[name].template.pattern, ()) for name in results.FREE} == {max(together, key=together.get)}


def test_in_context_beats_zero_shot_where_the_course_says_so():
    """On at least two classification tasks, and on every word-pair task, with an interval that excludes 0."""
    better = [name for name in results.CLASSIFIED if results.gain(name, "calibrated")[1] > 0]
    assert len(better) >= 2
    assert all(results.gain(name)[1] > 0 for name in results.FREE)


@pytest.mark.parametrize("name", [*results.CLASSIFIED, *results.FREE])
def test_a_rate_at_the_edge_of_what_was_tried_is_said_to_be(name):
    note = (results.FOLDER / "README.md").read_text(encoding="utf-8").split("At the edge of what was tried:")[1]
    edge = results.best_rate(name) in (min(results.RATES["sgd"]), max(results.RATES["sgd"]))
    assert edge == (f"`{name}`" in note.split(".")[0])


def test_a_fact_is_a_number_with_its_interval():
    assert results.fact("gain past").count("to") == 1
    assert results.fact("estimate past in_context").startswith("0.")


def test_the_readme_shows_what_was_recorded():
    assert results.table() in (ROOT / "README.md").read_text(encoding="utf-8")
