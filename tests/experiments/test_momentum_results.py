"""The tasks of the recorded experiments by hand, and what is made of recorded lines."""

import numpy as np
import pytest
import torch

from helpers.experiments import momentum
from helpers.lm import LanguageModel


def rows(values):
    """Recorded lines as the language experiment writes them, from {variant: {seed: loss}}."""
    return [
        {"cell": {"variant": name, "seed": seed}, "result": {"256": {"loss": loss, "by position": {"16": loss + 1}}}}
        for name, losses in values.items()
        for seed, loss in losses.items()
    ]


RECORDED = rows({"plain": {0: 3.0, 1: 3.5, 2: 3.2}, "recency": {1: 3.4, 0: 2.9}, "linear": {}})


def test_differences_are_paired_by_seed_not_by_order():
    assert momentum.differences(RECORDED, "recency") == pytest.approx([-0.1, -0.1])
    assert momentum.differences(RECORDED, "recency", read=momentum.by_position) == pytest.approx(
        np.array([[-0.1], [-0.1]])
    )
    with pytest.raises(ValueError, match="no seed is recorded for both 'linear' and 'plain'"):
        momentum.differences(RECORDED, "linear")


def test_the_table_says_mean_difference_and_how_often():
    table = momentum.seeds_table(RECORDED)
    assert "| plain | 3.233 | | | |" in table
    assert "| recency | 3.150 | −0.100 | −0.100 to −0.100 | 2 of 2 seeds |" in table


def test_the_grid_is_seed_by_seed():
    cells = list(momentum.cells(("plain", "recency"))())
    assert [cell["seed"] for cell in cells[:4]] == [0, 0, 1, 1]
    assert len(cells) == 2 * len(momentum.SEEDS) >= 16


def test_what_is_asked_was_shown():
    tokens = momentum.recalled(50, 4, torch.Generator().manual_seed(0))
    assert tokens.shape == (50, 16)
    for row in tokens.tolist():
        shown, asked = (dict(zip(part[::2], part[1::2], strict=True)) for part in (row[:8], row[8:]))
        assert shown == asked
        assert len(shown) == 4
        assert all(key < momentum.KEYS <= value for key, value in shown.items())
    assert any(row[:8] != row[8:] for row in tokens.tolist())


def test_the_logits_of_recall_are_those_behind_the_keys_asked():
    """A model that says the next number is right where the numbers go on one by one."""

    class SaysTheNext(LanguageModel):
        def forward(self, ids):
            return torch.nn.functional.one_hot((ids + 1) % 8, 8).float()

    tokens = torch.arange(16)[None] % 8
    logits, values = momentum.recall_logits(SaysTheNext(momentum.RECALL_SHAPE), tokens)
    assert values.tolist() == [[1, 3, 5, 7]]
    assert logits.argmax(-1).tolist() == values.tolist()


def test_a_regressor_sees_no_target_before_it_has_predicted_it():
    model = momentum.build(momentum.REGRESSION_SHAPE, "plain", 0, momentum.Regressor)
    model.leave.data += 1
    x, y = momentum.lines(2, torch.Generator().manual_seed(0))
    other = y.clone()
    other[:, 3:] += 1
    assert torch.allclose(model(x, other)[:, :4], model(x, y)[:, :4])
    assert not torch.allclose(model(x, other)[:, 4:], model(x, y)[:, 4:])


def test_ranges_of_positions():
    losses = torch.arange(1.0, 257.0)
    assert momentum.binned(losses) == {"16": 8.5, "32": 24.5, "64": 48.5, "128": 96.5, "256": 192.5}
