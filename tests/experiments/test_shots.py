"""Lines of three kinds, answers read as the model gives them, and what the recorded marks say."""

import numpy as np
import pytest
import torch
from tiny import tiny

from helpers import gpt, tasks
from helpers.experiments import facts, shots

VERBS = ["go", "fly", "hope"]


@pytest.mark.parametrize("count", [2, 3, 16])
def test_dealt_words_are_the_same_and_none_is_in_its_place(count):
    words = [f"word {place}" for place in range(count)]
    for seed in range(20):
        dealt = shots.dealt(words, seed)
        assert sorted(dealt) == sorted(words)
        assert all(new != old for new, old in zip(dealt, words, strict=True))


def test_kinds_keep_verbs_and_change_what_stands_behind_the_arrow():
    true = tasks.load("past", 8, 3, queries=2)
    identity, shuffled = (shots.shown(true, kind, 3) for kind in ("identity", "shuffled"))
    assert shots.shown(true, "true", 3) == true
    verbs, pasts = ([getattr(demo, part) for demo in true.demos] for part in ("text", "label"))
    assert all([demo.text for demo in made.demos] == verbs for made in (identity, shuffled))
    assert [demo.label for demo in identity.demos] == verbs
    assert sorted(demo.label for demo in shuffled.demos) == sorted(pasts)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_answers_are_the_first_words_of_what_the_model_goes_on_with(family):
    model, lines = tiny(family, torch.float32), ["see -> saw", "walk -> walked"]
    found = shots.completed(model, lines, VERBS)
    for verb, word in zip(VERBS, found, strict=True):
        text = gpt.complete(model, "\n".join([*lines, f"{verb} ->"]), tokens=shots.TOKENS)
        assert text.removeprefix(" ").startswith(word)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (" went\n", ("went", "\n")),
        (" went", ("went", "")),
        ("\n\nThe", ("", "\n\nThe")),
        (" guess_right", ("guess", "_right")),
        ("", ("", "")),
        (" ", ("", "")),
        (' "The', ("", '"The')),
    ],
)
def test_a_word_ends_where_no_letter_follows(text, word):
    model = tiny("gpt2", torch.float32)
    assert shots._word(model, model.encode(text) if text else []) == word


def test_recorded_marks_are_those_of_the_recorded_answers():
    for row in shots.SHOTS_STUDY.rows():
        cell, found = row["cell"], row["result"]
        task = shots.shown(
            tasks.load("past", cell["shots"], cell["seed"], queries=shots.VERBS), cell["kind"], cell["seed"]
        )
        shown = {demo.label for demo in task.demos}
        for place, (word, query) in enumerate(zip(found["answers"], task.queries, strict=True)):
            said = word in query.answers, word == query.text, word in shown
            assert [found[what][place] for what in shots.ANSWERS] == ["01"[mark] for mark in said]
            assert sum(said) <= 1  # so that shares add up


def test_an_interval_holds_its_mean_and_one_draw_varies_by_verbs_alone():
    for kind, count in (("true", 4), ("shuffled", 16), ("none", 0)):
        mean, low, high = shots.estimate(kind, count)
        assert low <= mean <= high
    table = shots.marks("true", 4)
    assert table.shape == (len(shots.DRAWS), shots.VERBS)
    mean, low, high = shots.estimate("true", 4)
    over_draws = table.mean(1).std(ddof=1) / np.sqrt(len(table))
    assert high - low > 2 * 1.9 * over_draws * 0.9  # wider than what draws alone explain


def test_a_fact_of_shots_is_a_share_with_its_interval():
    assert facts.fact("shots true 16 right").startswith("0.")
    assert "identity lines" in facts.fact("shots 16")
    assert "shuffled" not in facts.fact("shots 1")
