"""Right answers with one small change each, handed in as attempts: what is wrong is refused.

They are the course's own versions; or, where those are made of dtypes and chunks, the notebook's solutions. Asked are
exercises whose answer is computed, and is one: a choice has its own tests, and what is designed has many right forms.
"""

from dataclasses import replace

import pytest
from misconceptions import heavy_ball_layers, momentum_attention, momentum_gradients, momentum_scan, momentum_weight
from mutants import mutants

from helpers.check import EXERCISES, verdict
from helpers.check.engine import WRITE

COMPUTED = [name for name, exercise in EXERCISES.items() if exercise.kind in (WRITE, "derive")]
ANSWERS = {name: exercise.course for name, exercise in EXERCISES.items()} | {
    "momentum_gradients": momentum_gradients.carried,
    "momentum_attention": momentum_attention.a_table_of_ages,
    "momentum_scan": momentum_scan.carried,
    "heavy_ball_layers": heavy_ball_layers.the_last_two,
    "momentum_weight": momentum_weight.geometric,
}
HARMLESS = {  # a change that leaves what is asked of students, unbatched tokens and at least one, exactly as it was
    "recurrent_linear_attention": {
        "q.new_zeros(*q.shape[:-2], v.shape[-1], q.shape[-1]) if state is None else state: always": "no state is given",
        "torch.stack(outputs, -2) if outputs else torch.zeros_like(v): always": "there is at least one token",
        "torch.zeros_like(v): dropped": "there is at least one token",
        "0 → -1": "the last of one is the first of one",
        "x.unbind(-2): dropped": "without a batch the tokens are the first dimension",
        "2 → 3": "there is no batch dimension to lose",
    },
    "chunked_linear_attention": {"2 → 3": "there is no batch dimension to lose"},
    "invisible_change": {"k - k.mean(0): Add": "the mean added to every key is one vector for all, too"},
    "dual_forward": {"0 → -1": "the only column is the last one too"},
    "icl_decomposition": {"0 → -1": "the only column is the last one too"},
    "softmax_decomposition": {
        "0 → -1": "the only row is the last one too",
        "1 → 0": "a vector has one dimension, the first and the last",
        "2 → 1": "in the text of an error that isn't raised",
        "2 → 3": "in the text of an error that isn't raised",
    },
    "delta_rule": {
        "2 → 1": "the width is not 0 either",
        "2 → 3": "there is no batch dimension to lose",
        "torch.cat(outputs, -2) if q.shape[-2] else torch.zeros_like(v): always": "there is at least one token",
        "torch.zeros_like(v): dropped": "there is at least one token",
    },
    "gd_as_attention": {"looks.clone(): dropped": "w_q and w_k may be one tensor"},
    "best_step_size": {
        "0 → -1": "the only column is the last one too",
        "((y * p).sum() / (p * p).sum()).item(): dropped": "a tensor without dimensions is a number too",
    },
    "rank_one_patch": {
        "0 → -1": "the only column is the last one too",
        "1 → 0": "a vector has one dimension, the first and the last",
        "length.all(): dropped": "there is one length, and it isn't 0",
    },
    "momentum_gradients": {"0 → -1": "the last gradient is as long as the first"},
    "momentum_scan": {"0 → -1": "the last value is as wide as the first"},
    "heavy_ball_layers": {
        "w @ x: swapped": "the product of two vectors is the same either way",
        "(w @ x).item(): dropped": "a tensor without dimensions is a number too",
    },
}


@pytest.mark.parametrize("name", COMPUTED)
def test_mutants_are_refused(name, monkeypatch):
    """For what they answer: the course's own version may call the functions that an attempt may not."""
    monkeypatch.setitem(EXERCISES, name, replace(EXERCISES[name], watched={}))
    assert verdict(EXERCISES[name].course, name).status == "passed"
    tried = [(said, verdict(mutant, name).status) for said, mutant in mutants(ANSWERS[name])]
    assert {said for said, status in tried if status == "passed"} == set(HARMLESS.get(name, {}))
    assert len(tried) >= 7  # one short line has no more


def test_nearly_all_mutants_are_refused():
    counts = {name: sum(1 for _ in mutants(ANSWERS[name])) for name in COMPUTED}
    harmless = sum(len(survivors) for survivors in HARMLESS.values())
    assert sum(counts.values()) >= 15 * len(counts)
    assert harmless <= 0.05 * sum(counts.values())
