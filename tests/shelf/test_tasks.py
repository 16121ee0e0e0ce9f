"""Word pairs, and how demonstrations and queries are chosen; the fetched sentences are tested in test_assets.py."""

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from helpers import tasks
from helpers.support import examples

WORDS = {"past": 240, "antonym": 140, "capital": 140}
CLASSIFIED = [name for name, recipe in tasks.TASKS.items() if recipe.labels]


def rows(name):
    return [json.loads(line) for line in (examples.WORDS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("name", "least"), WORDS.items())
def test_word_pairs_are_many_distinct_and_complete(name, least):
    texts = [row["text"].casefold() for row in rows(name)]
    assert len(texts) == len(set(texts)) >= least
    for row in rows(name):
        assert row["answers"], row
        assert all(answer == answer.strip() and answer for answer in (row["text"], *row["answers"]))
        assert row["text"].casefold() not in {answer.casefold() for answer in row["answers"]}  # copying never pays


def test_an_antonym_stands_in_one_direction_only():
    texts = {row["text"] for row in rows("antonym")}
    both_ways = [(r["text"], a) for r in rows("antonym") for a in r["answers"] if a in texts and a != r["text"]]
    back = {(r["text"], a) for r in rows("antonym") for a in r["answers"]}
    assert not [pair for pair in both_ways if pair[::-1] in back]


@pytest.mark.parametrize("name", WORDS)
def test_splits_share_no_word_and_test_has_a_hundred(name):
    parts = examples.examples(name)
    texts = [row["text"] for part in parts.values() for row in part]
    assert len(texts) == len(set(texts)) == len(rows(name))
    assert len(parts["test"]) == 100
    assert min(len(parts["train"]), len(parts["dev"])) >= 45


@pytest.mark.parametrize("name", tasks.TASKS)
def test_queries_are_the_same_for_every_seed_and_demonstrations_are_not(name):
    first, again, other = (tasks.load(name, shots=8, seed=seed, queries=20) for seed in (0, 0, 1))
    assert first == again
    assert first.queries == other.queries
    assert first.demos != other.demos
    assert not {d.text for d in first.demos} & {q.text for q in first.queries}
    assert tasks.load(name, shots=8, queries=10).queries == first.queries[:10]


@pytest.mark.parametrize("name", CLASSIFIED)
@pytest.mark.parametrize("shots", [0, 1, 5, 32])
def test_demonstrations_and_queries_are_balanced(name, shots):
    task = tasks.load(name, shots=shots, queries=40)
    for shown in (task.demos, task.queries):
        counts = [Counter(e.label for e in shown)[label] for label in task.labels]
        assert max(counts) - min(counts) <= 1


def test_demonstrations_of_one_label_are_not_in_a_row():
    """Their order is random, not label by label."""
    orders = [[d.label for d in tasks.load("mr", seed=seed).demos] for seed in range(5)]
    changes = [sum(a != b for a, b in pairwise(order)) for order in orders]
    assert min(changes) > 5


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "mrr"}, "mr"),
        ({"name": "antonyms"}, "antonym"),
        ({"shots": -1}, "shots=-1"),
        ({"shots": 10**6}, r"between 0 and \d+"),
        ({"queries": 10**6}, "queries"),
        ({"split": "train set"}, "train, dev, test"),
    ],
)
def test_what_cannot_be_had_is_said_before_any_computing(wrong, said):
    with pytest.raises(ValueError, match=said):
        tasks.load(**({"name": "mr"} | wrong))


def test_an_empty_query_is_refused():
    task = tasks.load("past", shots=2, queries=2)
    with pytest.raises(ValueError, match="empty text"):
        tasks.replace(task, queries=(tasks.Example(" ", "x", ("x",)),))


def test_a_label_that_cannot_be_answered_is_refused():
    task = tasks.load("mr", shots=2, queries=2)
    with pytest.raises(ValueError, match="only"):
        tasks.replace(task, labels=("yes", "no"))


def test_relabel_changes_words_and_nothing_else():
    task = tasks.load("mr", shots=4, queries=4)
    new = tasks.relabel(task, ("B", "A"))
    assert [task.labels.index(d.label) for d in task.demos] == [new.labels.index(d.label) for d in new.demos]
    assert [d.text for d in task.queries] == [d.text for d in new.queries]
    assert {d.label for d in new.demos} == {"A", "B"}


@pytest.mark.parametrize(
    "pattern",
    ["Review: {text}", "{label}: {text}", "{text} -> {Label}", "{label}", "", "{text} {label} {label}", "{text"],
)
def test_a_template_without_text_or_with_its_label_elsewhere_is_refused(pattern):
    with pytest.raises(ValueError, match=r"it must have \{text\}, then \{label\} once"):
        tasks.Template(pattern)


def test_a_template_may_show_its_text_twice_and_go_on_after_the_label():
    assert tasks.Template("{text}\n{text} {{so}} -> {label}.").separator == "\n"


def test_equal_labels_are_refused_and_so_are_too_few():
    task = tasks.load("mr", shots=4, queries=4)
    with pytest.raises(ValueError, match="two that are equal can't be told apart"):
        tasks.relabel(task, ("good", "good"))
    with pytest.raises(ValueError, match="has 2 labels; 1 new words were given"):
        tasks.relabel(task, ("good",))


def test_numbers_of_numpy_are_numbers():
    made = tasks.load("past", shots=np.int64(4), seed=np.int64(3), queries=np.int32(5))
    assert made == tasks.load("past", shots=4, seed=3, queries=5)
    with pytest.raises(ValueError, match="shots=True"):
        tasks.load("past", shots=True)
