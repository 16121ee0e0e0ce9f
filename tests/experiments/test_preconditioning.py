"""What training finds beyond a step of one rate: the layers it is compared with, and what was recorded."""

import pytest
import torch
from torch.testing import assert_close

from helpers import regression
from helpers.experiments import facts, one_step, preconditioning


def test_a_preconditioned_step_by_its_formula():
    """Σ y_i x_i · (A x), for a matrix that is neither symmetric nor diagonal."""
    rng = torch.Generator().manual_seed(0)
    matrix, tasks = torch.randn(4, 4, generator=rng), regression.random_problems(20, 6, 4)
    layer = preconditioning.preconditioned_step(matrix)
    for inputs, targets, x, said in zip(
        tasks.inputs, tasks.targets, tasks.x, regression.predict([layer], tasks), strict=True
    ):
        assert_close(said, sum(y * (xi @ (matrix @ x)) for xi, y in zip(inputs, targets, strict=True)))
    assert_close(regression.step_matrix(layer), matrix)


def test_with_equal_scales_the_best_rates_are_the_best_single_rate():
    assert_close(preconditioning.best_rates(7, torch.ones(4)), torch.full((4,), regression.theory(7, 4)[0]))


def test_theorys_rates_are_where_the_loss_of_simulated_tasks_is_least():
    """The derivative of the loss by each rate and by an entry off the diagonal: 0, within four standard errors."""
    scale = torch.tensor([1.0, 0.5, 0.2], dtype=torch.float64)
    tasks = regression.random_problems(200_000, 6, 3, 1, scale=scale, dtype=torch.float64)
    summed = (tasks.targets[..., None] * tasks.inputs).sum(1)
    missed = (summed * preconditioning.best_rates(6, scale) * tasks.x).sum(1) - tasks.y
    slopes = (missed[:, None, None] * summed[:, :, None] * tasks.x[:, None]).flatten(1)
    assert (slopes.mean(0).abs() < 4 * slopes.std(0) / 200_000**0.5).all()


def test_a_preconditioned_step_is_better_than_one_rate_where_inputs_are_unequal():
    scale = preconditioning.scales()
    tasks = regression.random_problems(50_000, 10, 10, scale=scale)
    one = regression.gd_as_attention(torch.zeros(1, 10), regression.best_step_size(**vars(tasks)))
    own = preconditioning.preconditioned_step(preconditioning.best_rates(10, scale).diag())
    single, matrix = (regression.loss(regression.predict([layer], tasks), tasks) for layer in (one, own))
    assert 0.85 < matrix / single < 0.95  # .906 in expectation
    assert (scale[0], scale[-1]) == (pytest.approx(1), pytest.approx(0.2))


@pytest.mark.parametrize("way", ["steps", "GD++"])
def test_the_tuned_layers_are_those_that_were_recorded(way):
    recorded = one_step.LAYERS.rows(way=way, layers=2)[0]["result"]["loss"]
    tasks = regression.random_problems(100_000, 10, 10, 10**6, "uniform")
    assert regression.loss(regression.predict(preconditioning.tuned_layers(way), tasks), tasks) == pytest.approx(
        recorded, rel=1e-3
    )


def test_the_move_matrix_is_gd_plus_pluss_gamma():
    assert_close(preconditioning.move_matrix(regression.gd_plus_plus(4, 0.1, 0.03)), 0.03 * torch.eye(4))


def test_one_trained_layer_is_the_preconditioned_step_and_no_step_of_one_rate():
    best = preconditioning.best_rates(preconditioning.N, preconditioning.scales())
    for row in preconditioning.PRECONDITIONED.rows():
        loss, near = row["result"]["loss"], row["result"]["correlation"]
        assert loss["preconditioned"] < 1.002 * loss["learned"] < loss["one rate"] < row["result"]["zero"]
        assert near["one rate"] < 0.99 < near["preconditioned"]
        rates = torch.tensor(row["result"]["matrix"]).diag()
        assert_close(rates[:8], best[:8], rtol=0.1, atol=0)  # the smallest directions count for little: not all learned
        assert rates[-1] > 2 * rates[0]


def test_two_trained_layers_are_nearer_to_gd_plus_plus_than_to_two_steps():
    for row in preconditioning.TWO_LAYERS.rows():
        same = one_step.LAYERS.rows(way="learned", layers=2, seed=row["cell"]["seed"])[0]["result"]["loss"]
        assert row["result"]["loss"] == pytest.approx(same, rel=5e-3)
        assert row["result"]["correlation"]["steps"] < 0.95 < row["result"]["correlation"]["GD++"]


@pytest.mark.parametrize("key", ["unequal inputs", "two layers", "two tuned steps"])
def test_its_facts_can_be_printed(key):
    assert facts.fact(key)
