"""A layer of linear attention is a gradient step: by construction to the last digit, in theory, and when trained."""

import inspect

import numpy as np
import pytest
import torch
from scipy import optimize
from torch.testing import assert_close

from helpers import dual, regression
from helpers.experiments import one_step


def draw(*shapes, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes]


def some_tasks(b=30, n=6, d=4, seed=0):
    return regression.random_problems(b, n, d, seed, dtype=torch.float64)


def layer_of_numbers(e, seed=0):
    return dict(zip(("w_q", "w_k", "w_v", "p"), draw(*[(e, e)] * 4, seed=seed), strict=True))


@pytest.mark.parametrize("n", [0, 1, 6])
def test_attend_by_its_formula(n):
    """e + P Σ_j (W_V e_j)(W_K e_j · W_Q e), with nothing but loops over tokens."""
    layer = layer_of_numbers(4)
    demos, tokens = draw((n, 4), (3, 4), seed=1)
    moved = regression.attend(layer, demos, tokens)
    for token, found in zip(tokens, moved, strict=True):
        update = torch.zeros(4, dtype=torch.float64)
        for demo in demos:
            update += (layer["w_v"] @ demo) * ((layer["w_k"] @ demo) @ (layer["w_q"] @ token))
        assert_close(found, token + layer["p"] @ update)


def test_each_task_of_a_batch_is_attended_to_on_its_own():
    layer = layer_of_numbers(4)
    demos, tokens = draw((2, 5, 6, 4), (2, 5, 3, 4), seed=1)
    together = regression.attend(layer, demos, tokens)
    assert_close(together[1, 2], regression.attend(layer, demos[1, 2], tokens[1, 2]))


@pytest.mark.parametrize("m", [1, 3])
def test_the_layer_is_one_gradient_step(m):
    """(eq. 3.6): from any W₀: the query turns from −W₀x into −W₁x, demonstrations into (x, y − ΔW x), inputs stay."""
    w0, inputs, targets, x = draw((m, 4), (6, 4), (6, m), (4,))
    layer = regression.gd_as_attention(w0, 0.1)
    w1 = dual.gradient_step(w0, inputs, targets, 0.1)[1]
    demos, query = torch.cat([inputs, targets], 1), torch.cat([x, -(w0 @ x)])
    assert_close(regression.attend(layer, demos, query[None])[0], torch.cat([x, -(w1 @ x)]))
    left = targets - inputs @ (w1 - w0).T
    assert_close(regression.attend(layer, demos, demos), torch.cat([inputs, left], 1))


@pytest.mark.parametrize("m", [1, 3])
def test_stacked_layers_are_several_steps(m):
    w0, inputs, targets, x = draw((m, 4), (6, 4), (6, m), (4,))
    layer, w = regression.gd_as_attention(w0, 0.1), w0
    demos, query = torch.cat([inputs, targets], 1), torch.cat([x, -(w0 @ x)])[None]
    for _ in range(5):
        query, demos = regression.attend(layer, demos, query), regression.attend(layer, demos, demos)
        w = dual.gradient_step(w, inputs, targets, 0.1)[1]
        assert_close(-query[0, 4:], w @ x)


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_predictions_are_those_of_the_layer_trained_from_zero(layers):
    tasks = some_tasks()
    stack = [regression.gd_as_attention(torch.zeros(1, 4, dtype=torch.float64), 0.1)] * layers
    w = dual.trained(torch.zeros(30, 1, 4, dtype=torch.float64), tasks.inputs, tasks.targets[..., None], 0.1, layers)[1]
    assert_close(regression.predict(stack, tasks), torch.einsum("bd,bd->b", w[:, 0], tasks.x))


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("layers", [1, 2, 6])
def test_layers_with_momentum_are_torchs_sgd_with_momentum(layers, beta):
    """(eq. 6.4): against another's."""
    inputs, targets, x = draw((6, 4), (6,), (4,))
    w = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], 0.05, momentum=beta)
    for _ in range(layers):
        optimizer.zero_grad()
        (0.5 * (inputs @ w - targets).square().sum()).backward()
        optimizer.step()
    assert regression.heavy_ball_layers(inputs, targets, x, 0.05, beta, layers) == pytest.approx((w @ x).item())


def test_a_rate_or_weights_that_do_not_fit_are_one_sentence():
    with pytest.raises(ValueError, match=r"^gd_as_attention: lr = -0.1 must be at least 0: .*gradient\.$"):
        regression.gd_as_attention(torch.zeros(1, 3), -0.1)
    with pytest.raises(ValueError, match=r"^gd_as_attention: w0 has shape \[3\]; it must be \[m d\]\.$"):
        regression.gd_as_attention(torch.zeros(3), 0.1)


def test_gd_plus_plus_by_its_formula():
    """x ← x − γ Σ_j x_j (x_j·x) for every input, the query's too, and a step of gradient descent, layer after layer."""
    tasks, rates, gammas = some_tasks(b=1), (0.1, 0.05), (0.03, 0.02)
    inputs, targets, x, answer = tasks.inputs[0], tasks.targets[0], tasks.x[0], 0.0
    layers = [regression.gd_plus_plus(4, lr, gamma) for lr, gamma in zip(rates, gammas, strict=True)]
    for lr, gamma in zip(rates, gammas, strict=True):
        w = dual.weight_update(lr * targets[:, None], inputs)[0]  # the step that the remaining targets ask for
        shrink = torch.eye(4, dtype=torch.float64) - gamma * inputs.T @ inputs
        answer, targets = answer + w @ x, targets - inputs @ w
        inputs, x = inputs @ shrink, shrink @ x
    single = regression.Problems(*(part.float() for part in vars(tasks).values()))
    assert_close(regression.predict(layers, single)[0].double(), answer, rtol=1e-5, atol=1e-5)


def test_gd_plus_plus_without_the_plus_is_a_step():
    tasks = regression.random_problems(30, 6, 4)
    plain = regression.gd_as_attention(torch.zeros(1, 4), 0.1)
    assert_close(
        regression.predict([regression.gd_plus_plus(4, 0.1, 0.0)] * 2, tasks), regression.predict([plain] * 2, tasks)
    )


def after_one_step(lr, tasks):
    """Mean squared query error after one step from W = 0."""
    w = torch.zeros(len(tasks.y), 1, tasks.x.shape[1], dtype=torch.float64)
    w = dual.gradient_step(w, tasks.inputs, tasks.targets[..., None], lr)[1]
    return ((w[:, 0] * tasks.x).sum(1) - tasks.y).square().mean().item()


@pytest.mark.parametrize("seed", range(3))
def test_the_best_step_size_is_a_minimisers(seed):
    """(eq. 3.7): against scipy's."""
    tasks = some_tasks(b=200, seed=seed)
    found = optimize.minimize_scalar(
        after_one_step, bounds=(0, 1), args=(tasks,), method="bounded", options={"xatol": 1e-9}
    )
    best = regression.best_step_size(tasks.inputs, tasks.targets, tasks.x, tasks.y)
    assert isinstance(best, float)
    assert best == pytest.approx(found.x, rel=1e-5)
    step = [regression.gd_as_attention(torch.zeros(1, 4, dtype=torch.float64), best)]
    assert regression.loss(regression.predict(step, tasks), tasks) == pytest.approx(found.fun, rel=1e-9)


@pytest.mark.parametrize("zero", ["inputs", "targets", "x"])
def test_where_every_rate_does_the_same_there_is_no_best(zero):
    parts = dict(vars(some_tasks()))
    parts[zero] = 0 * parts[zero]
    with pytest.raises(ValueError, match=r"^best_step_size: every prediction is 0 whatever the rate.*\?$"):
        regression.best_step_size(**parts)


def test_without_demonstrations_there_is_no_best_rate():
    with pytest.raises(ValueError, match="every prediction is 0"):
        regression.best_step_size(**vars(some_tasks(n=0)))


@pytest.mark.parametrize(
    ("part", "shape", "said"),
    [
        ("targets", (30, 5), r"targets has shape \[30, 5\], which doesn't fit inputs of shape \[30, 6, 4\]"),
        ("targets", (30, 6, 1), r"targets has shape \[30, 6, 1\], which doesn't fit inputs|it must be \[b n\]"),
        ("x", (30, 3), r"x has shape \[30, 3\], which doesn't fit inputs of shape \[30, 6, 4\]"),
        ("y", (29,), r"y has shape \[29\], which doesn't fit inputs of shape \[30, 6, 4\]"),
    ],
)
def test_tasks_that_do_not_fit_are_one_sentence(part, shape, said):
    with pytest.raises(ValueError, match=rf"^best_step_size: .*{said}") as caught:
        regression.best_step_size(**vars(some_tasks()) | {part: torch.zeros(shape, dtype=torch.float64)})
    assert len(str(caught.value).splitlines()) == 1


DESIGNS = ("gaussian", 10, 10, 0.476, 5.238), ("gaussian", 20, 5, 0.769, 1.1538), ("uniform", 10, 10, 1.515, 1.6498)


@pytest.mark.parametrize(("inputs", "n", "d", "eta", "loss"), DESIGNS)
def test_theory_gives_the_closed_figures(inputs, n, d, eta, loss):
    lr, expected = regression.theory(n, d, inputs)
    assert n * lr == pytest.approx(eta, abs=5e-4)
    assert expected == pytest.approx(loss, abs=5e-5 if loss < 2 else 5e-4)


@pytest.mark.parametrize(("n", "d"), [(1, 1), (3, 8), (100, 2)])
def test_gaussian_theory_in_closed_form(n, d):
    assert regression.theory(n, d) == pytest.approx((1 / (n + d + 1), d * (d + 1) / (n + d + 1)))


@pytest.mark.parametrize("inputs", ["gaussian", "uniform"])
def test_without_demonstrations_the_loss_is_the_targets_variance(inputs):
    assert regression.theory(0, 6, inputs)[1] == pytest.approx({"gaussian": 6, "uniform": 2}[inputs])


@pytest.mark.parametrize(("inputs", "n", "d"), [*(design[:3] for design in DESIGNS), ("uniform", 3, 8)])
def test_theory_is_what_simulation_finds(inputs, n, d):
    """The best rate of 100,000 tasks and the loss at the expected best, both within four standard errors."""
    tasks = regression.random_problems(100_000, n, d, 1, inputs, dtype=torch.float64)
    lr, expected = regression.theory(n, d, inputs)
    p = regression.predict([regression.gd_as_attention(torch.zeros(1, d, dtype=torch.float64), 1.0)], tasks)
    errors = (lr * p - tasks.y).square()
    unsure = errors.std().item() / 100_000**0.5
    assert unsure < 0.01 * expected
    assert abs(errors.mean().item() - expected) < 4 * unsure
    slope = p * (tasks.y - lr * p)  # 0 in the mean where the rate is best
    unsure = slope.std().item() / 100_000**0.5 / p.square().mean().item()
    assert unsure < 0.01 * lr
    assert abs(regression.best_step_size(**vars(tasks)) - lr) < 4 * unsure


def test_tasks_are_drawn_by_the_seed():
    one, again, other = (regression.random_problems(5, 3, 2, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(vars(one).values(), vars(again).values(), strict=True))
    assert not torch.equal(one.inputs, other.inputs)
    assert [tuple(part.shape) for part in vars(one).values()] == [(5, 3, 2), (5, 3), (5, 2), (5,)]
    rng = torch.Generator().manual_seed(1)
    first, second = regression.random_problems(5, 3, 2, rng), regression.random_problems(5, 3, 2, rng)
    assert torch.equal(first.inputs, one.inputs)
    assert not torch.equal(second.inputs, one.inputs)


def test_scale_multiplies_inputs_and_targets_and_leaves_teachers():
    plain, scaled = (regression.random_problems(5, 3, 2, 1, scale=scale) for scale in (1.0, 3.0))
    for a, b in zip(vars(plain).values(), vars(scaled).values(), strict=True):
        assert_close(b, 3 * a)


@pytest.mark.parametrize("inputs", regression.MOMENTS)
def test_inputs_have_the_moments_that_theory_uses(inputs):
    x = regression.random_problems(20_000, 4, 3, 0, inputs, dtype=torch.float64).inputs.flatten()
    second, fourth = regression.MOMENTS[inputs]
    for power, expected in ((1, 0), (2, second), (3, 0), (4, fourth)):
        values = x**power
        assert abs(values.mean() - expected) < 4 * values.std() / len(x) ** 0.5
    assert (x.abs().max() < 1) == (inputs == "uniform")


@pytest.mark.parametrize("inputs", regression.MOMENTS)
def test_every_task_has_a_gaussian_teacher_of_its_own_and_no_noise(inputs):
    tasks = regression.random_problems(5_000, 6, 3, 0, inputs, dtype=torch.float64)
    w = torch.linalg.lstsq(tasks.inputs, tasks.targets[..., None]).solution[..., 0]
    assert_close((w[:, None] * tasks.inputs).sum(-1), tasks.targets)
    assert_close((w * tasks.x).sum(-1), tasks.y)
    for power, expected in ((1, 0), (2, 1), (4, 3)):
        values = w.flatten() ** power
        assert abs(values.mean() - expected) < 4 * values.std() / len(values) ** 0.5


def test_tokens_are_inputs_with_targets_and_the_query_with_none():
    tasks = some_tasks(b=2, n=3)
    assert_close(tasks.demos[1, 2], torch.cat([tasks.inputs[1, 2], tasks.targets[1, 2, None]]))
    assert_close(tasks.query[1], torch.cat([tasks.x[1], torch.zeros(1, dtype=torch.float64)]))


def test_inputs_of_no_known_kind_are_refused():
    with pytest.raises(ValueError, match=r"inputs='normal': there are gaussian, uniform\."):
        inspect.unwrap(regression.random_problems)(
            2, 3, 4, inputs="normal"
        )  # as it is where annotations aren't checked


def test_tuning_finds_the_best_step():
    tasks = regression.random_problems(2_000, 6, 4)
    (lr,), loss = one_step.tuned(lambda lr: [regression.gd_plus_plus(4, abs(lr), 0.0)], [0.02], tasks)
    best = regression.best_step_size(**vars(tasks))
    step = [regression.gd_as_attention(torch.zeros(1, 4), best)]
    assert lr == pytest.approx(best, rel=0.01)
    assert loss == pytest.approx(regression.loss(regression.predict(step, tasks), tasks), rel=1e-4)


def test_the_step_matrix_of_a_gradient_step_is_its_rate():
    layer = regression.gd_as_attention(torch.zeros(1, 4, dtype=torch.float64), 0.3)
    assert_close(regression.step_matrix(layer), 0.3 * torch.eye(4, dtype=torch.float64))


def test_the_step_matrix_is_what_happens_to_the_query():
    """Where targets neither look nor are looked at, and inputs stay: prediction = Σ y_i x_i · (A x)."""
    layer, tasks = layer_of_numbers(5), some_tasks()
    for name, kept in (("w_q", (slice(4),) * 2), ("w_k", (slice(4),) * 2), ("w_v", (4, 4)), ("p", (4, 4))):
        whole, layer[name] = layer[name], torch.zeros(5, 5, dtype=torch.float64)
        layer[name][kept] = whole[kept]
    prediction = ((tasks.inputs @ regression.step_matrix(layer) @ tasks.x[..., None])[..., 0] * tasks.targets).sum(1)
    assert_close(regression.predict([layer], tasks), prediction)


def test_a_short_training_lowers_the_loss_and_is_the_seeds():
    one, again, other = (regression.learn(5, 3, seed=seed, steps=150, batch=256) for seed in (0, 0, 1))
    for learned in (one, other):
        assert learned.losses.shape == (150,)
        assert learned.losses[-20:].mean() < 0.8 * learned.losses[:20].mean()
    assert torch.equal(one.losses, again.losses)
    assert all(torch.equal(one.layers[0][name], again.layers[0][name]) for name in one.layers[0])
    assert not torch.equal(one.losses, other.losses)
    assert not any(weight.requires_grad for weight in one.layers[0].values())


@pytest.fixture
def seen(monkeypatch):
    """The inputs of every batch that is drawn."""
    batches, draw_one = [], regression.random_problems

    def keep(*arguments):
        tasks = draw_one(*arguments)
        batches.append(tasks.inputs)
        return tasks

    monkeypatch.setattr(regression, "random_problems", keep)
    return batches


@pytest.mark.parametrize("inputs", regression.MOMENTS)
def test_every_step_of_a_training_has_fresh_tasks_of_the_kind_asked_for(seen, inputs):
    regression.learn(5, 3, steps=4, batch=64, inputs=inputs)
    assert [tuple(x.shape) for x in seen] == [(64, 5, 3)] * 4
    assert len({x[0, 0, 0].item() for x in seen}) == 4
    assert (torch.stack(seen).abs().max() < 1) == (inputs == "uniform")


def test_a_training_with_a_scale_sees_inputs_of_that_scale(seen):
    """One scale a dimension; a scale of one is the training without it, bit for bit."""
    plain, ones, scaled = (
        regression.learn(5, 3, steps=4, batch=64, **how)
        for how in ({}, {"scale": torch.ones(3)}, {"scale": torch.tensor([1.0, 0.5, 0.1])})
    )
    assert torch.equal(plain.losses, ones.losses)
    assert all(torch.equal(plain.layers[0][name], ones.layers[0][name]) for name in plain.layers[0])
    assert not torch.equal(plain.losses, scaled.losses)
    for unscaled, inputs in zip(seen[:4], seen[8:], strict=True):
        assert_close(inputs, unscaled * torch.tensor([1.0, 0.5, 0.1]))


@pytest.mark.parametrize(("n", "d"), [(6, 4), (4, 4), (3, 5), (1, 3)])
def test_least_squares_is_numpys(n, d):
    """With fewer examples than dimensions too: the shortest w, so that the query's part outside the inputs adds 0."""
    tasks = some_tasks(b=20, n=n, d=d)
    found = regression.least_squares(tasks)
    for inputs, targets, x, prediction in zip(tasks.inputs, tasks.targets, tasks.x, found, strict=True):
        w = np.linalg.lstsq(inputs.numpy(), targets.numpy(), rcond=None)[0]
        assert prediction.item() == pytest.approx(w @ x.numpy(), abs=1e-9)


def test_least_squares_is_exact_without_noise_and_with_enough_examples():
    tasks = some_tasks(n=6, d=4)
    assert_close(regression.least_squares(tasks), tasks.y)
    assert regression.loss(regression.least_squares(some_tasks(n=3, d=4)), some_tasks(n=3, d=4)) > 0.1


@pytest.mark.parametrize("steps", [0, 1, 2, 9, 10, 11, 12])
def test_a_training_may_be_as_short_as_one_likes(steps):
    learned = regression.learn(3, 2, layers=2, steps=steps, batch=8)
    assert len(learned.layers) == 2
    assert learned.losses.shape == (steps,)
    assert learned.losses.isfinite().all()


def test_a_rate_that_is_too_high_is_said_to_be():
    message = r"^After \d+ steps the loss is (nan|inf): the learning rate, now .*, is too high\.\nStart again"
    with pytest.raises(ArithmeticError, match=message):
        regression.learn(3, 2, steps=50, batch=8, lr=1e12)


def test_a_trained_layer_is_the_best_single_step():
    """On fresh tasks: loss within 0.1 %, predictions correlated at 0.999 and more, its matrix near lr · I."""
    layer, tasks = regression.learn(10, 10).layers[0], regression.random_problems(100_000, 10, 10, seed=10**6)
    lr = regression.best_step_size(**vars(tasks))
    step = regression.gd_as_attention(torch.zeros(1, 10), lr)
    learned, best = (regression.predict([each], tasks) for each in (layer, step))
    assert regression.loss(learned, tasks) == pytest.approx(regression.loss(best, tasks), rel=1e-3)
    assert torch.corrcoef(torch.stack([learned, best]))[0, 1] > 0.999
    assert_close(regression.step_matrix(layer), lr * torch.eye(10), atol=0.05 * lr, rtol=0)
