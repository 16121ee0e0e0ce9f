"""Finetuning a pretrained GPT with momentum: only what should learn does, and the tables say what was recorded."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import free_task, tiny

from helpers import icl
from helpers.experiments import pretrained
from helpers.gpt import momentum as gpt_momentum


@pytest.fixture
def small(monkeypatch):
    """A tiny model, short windows, few steps, and bytes to read."""
    letters = torch.randint(2, 258, (400,), generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(pretrained, "text", lambda name, split: letters)
    monkeypatch.setattr(pretrained, "RECIPE", replace(pretrained.RECIPE, steps=3))
    monkeypatch.setattr(pretrained, "WINDOW", 24)
    return tiny("llama", torch.float32)


@pytest.mark.parametrize(
    ("variant", "moves"),
    [
        ("keys and values", ("k_proj.weight", "v_proj.weight")),
        ("eta", (".eta",)),
        ("eta, keys and values", ("k_proj.weight", "v_proj.weight", ".eta")),
    ],
)
def test_only_what_should_learn_does(small, variant, moves):
    gpt_momentum.add_momentum(small.network)
    before = {name: weight.clone() for name, weight in small.network.named_parameters()}
    losses = pretrained.finetune(small, {name: pretrained.RATE[name] for name in pretrained.LEARN[variant]}, seed=0)
    moved = {name for name, weight in small.network.named_parameters() if not torch.equal(weight, before[name])}
    assert moved == {name for name in before if name.endswith(moves)}
    assert len(losses) == 3
    assert all((eta >= 0).all() for eta in gpt_momentum.etas(small.network))


@torch.no_grad()
def test_answers_are_those_of_a_plain_pass(small, monkeypatch):
    """The demonstrations are read once and the query goes on from their cache, momentum included."""
    task = free_task()
    monkeypatch.setattr(pretrained.tasks, "load", lambda *_, **__: task)
    gpt_momentum.add_momentum(small.network)
    for eta in gpt_momentum.etas(small.network):
        eta.fill_(0.5)
    losses = []
    for query in task.queries:
        logits = small.network(torch.tensor([icl.prompt_ids(small, task, query)])).logits[0, -1]
        firsts = list({ids[0] for ids in icl.answer_ids(small, task, query)})
        losses.append(-logits.log_softmax(-1)[firsts].logsumexp(0).item())
    assert pretrained.answers(small, "free", 0)["losses"] == pytest.approx(losses, abs=1e-3)


def made_up():
    """Two seeds of two variants, three windows and four queries, and η of ten layers of two heads."""
    rows = []
    for seed in range(2):
        for variant, loss, right in (("untrained", 3.0, "0101"), ("eta", 2.5, "0111")):
            asked = {task: {"right": right, "losses": [1.0] * 4} for task in pretrained.ASKED}
            etas = [[0.0, 0.05 * (layer >= 5)] for layer in range(10)] if variant == "eta" else []
            result = {"test": [loss + seed, loss, loss], "etas": etas} | asked
            rows.append({"cell": {"variant": variant, "seed": seed}, "result": result})
    return rows


def test_differences_are_paired_by_window_and_query():
    assert pretrained.difference(made_up(), "eta", "untrained") == pytest.approx((-0.5, -0.5, -0.5))
    mean, low, high = pretrained.difference(made_up(), "eta", "untrained", "past right")
    assert (mean, low) == (0.25, 0.0)
    assert high > 0.25
    with pytest.raises(ValueError, match="no seed"):
        pretrained.difference(made_up(), "eta, keys and values", "untrained")


def test_the_tables():
    assert "| eta | 2.667 [2.500, 2.833] | −0.500 (−0.500 to −0.500) |" in pretrained.differences_table(
        made_up(), bases=("untrained",)
    )
    assert "| eta | 6–10 | 0.025 | 0.050 | 50% | 50% |" in pretrained.eta_table(made_up(), 2)


def test_the_rates_are_the_best_on_the_development_split():
    for group, rate in pretrained.RATE.items():
        rows = pretrained.PRETRAINED_RATES.rows(group=group)
        assert min(rows, key=lambda row: np.mean(row["result"]["dev"]))["cell"]["lr"] == rate
