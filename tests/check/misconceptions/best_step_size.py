import numpy as np
import torch

from . import right, wrong

NAME = "best_step_size"


def reach(inputs, targets, x):
    """What a step of rate one predicts for each query."""
    return torch.stack([t @ (a @ q) for a, t, q in zip(inputs, targets, x, strict=True)])


@right(NAME)
def python_sums(inputs, targets, x, y):
    above = below = 0.0
    for a, t, q, answer in zip(inputs, targets, x, y, strict=True):
        p = sum(float(t[i] * (a[i] @ q)) for i in range(len(t)))
        above, below = above + float(answer) * p, below + p**2
    return above / below


@right(NAME)
def a_tensor_without_dimensions(inputs, targets, x, y):
    p = torch.einsum("bi,bid,bd->b", targets, inputs, x)
    return torch.dot(y, p) / torch.dot(p, p)


@right(NAME)
def a_numpy_scalar(inputs, targets, x, y):
    p = np.einsum("bi,bid,bd->b", targets.numpy(), inputs.numpy(), x.numpy())
    return y.numpy() @ p / (p @ p)


@right(NAME)
def least_squares(inputs, targets, x, y):
    return torch.linalg.lstsq(reach(inputs, targets, x)[:, None], y[:, None]).solution.item()


@right(NAME)
def newton_by_autograd(inputs, targets, x, y):
    """A parabola: one step of Newton's from anywhere is its lowest point."""
    p = reach(inputs, targets, x)
    with torch.enable_grad():
        lr = torch.zeros((), dtype=y.dtype, requires_grad=True)
        loss = (lr * p - y).square().mean()
        (slope,) = torch.autograd.grad(loss, lr, create_graph=True)
        (bend,) = torch.autograd.grad(slope, lr)
    return (-slope / bend).item()


@right(NAME)
def through_real_steps(inputs, targets, x, y):
    """Weights after a step of rate one from zero, task by task, with exercise 2.2."""
    from helpers.dual import gradient_step

    start = torch.zeros(1, x.shape[1], dtype=x.dtype)
    w = torch.cat([gradient_step(start, a, t[:, None], 1.0)[1] for a, t in zip(inputs, targets, strict=True)])
    p = (w * x).sum(1)
    return (y * p).mean() / p.square().mean()


@wrong(NAME, "n times too large")
def of_a_mean_loss(inputs, targets, x, y):
    p = reach(inputs, targets, x) / inputs.shape[1]
    return ((y * p).sum() / (p * p).sum()).item()


@wrong(NAME, "p must be squared below")
def no_square(inputs, targets, x, y):
    p = reach(inputs, targets, x)
    return float((y * p).sum() / p.sum())


@wrong(NAME, "Squared after the sum")
def squared_late(inputs, targets, x, y):
    p = reach(inputs, targets, x)
    return float((y * p).sum() / p.sum() ** 2)


@wrong(NAME, "A best rate for each task")
def a_rate_per_task(inputs, targets, x, y):
    rates = [
        float(answer * (t @ (a @ q)) / (t @ (a @ q)) ** 2)
        for a, t, q, answer in zip(inputs, targets, x, y, strict=True)
    ]
    return sum(rates) / len(rates)


@wrong(NAME, "summed before they meet")
def ratio_of_means(inputs, targets, x, y):
    return float(y.mean() / reach(inputs, targets, x).mean())


@wrong(NAME, "Upside down")
def upside_down(inputs, targets, x, y):
    p = reach(inputs, targets, x)
    return float((p @ p) / (p @ y))


@wrong(NAME, "Divided by Σ y²")
def regresses_the_other_way(inputs, targets, x, y):
    p = reach(inputs, targets, x)
    return float((p @ y) / (y @ y))


@wrong(NAME, "covariance over variance")
def slope_of_a_line(inputs, targets, x, y):
    p = reach(inputs, targets, x)
    both = torch.cov(torch.stack([y, p]))
    return float(both[0, 1] / both[1, 1])


@wrong(NAME, "Half of it")
def loss_without_a_half(inputs, targets, x, y):
    p = 2 * reach(inputs, targets, x)
    return float((p @ y) / (p @ p))


@wrong(NAME, "The sign")
def against_the_gradient_twice(inputs, targets, x, y):
    p = -reach(inputs, targets, x)
    return float((p @ y) / (p @ p))


@wrong(NAME, "fits the demonstrations best")
def for_the_demonstrations(inputs, targets, x, y):
    w = torch.einsum("bj,bjd->bd", targets, inputs)
    said = torch.einsum("bid,bd->bi", inputs, w)
    return float((said * targets).sum() / (said**2).sum())


@wrong(NAME, "in expectation, for gaussian inputs")
def the_formula(inputs, targets, x, y):
    _, n, d = inputs.shape
    return 1 / (n + d + 1)


@wrong(NAME, "one number is asked for")
def one_for_each_task(inputs, targets, x, y):
    return y / reach(inputs, targets, x)


@wrong(NAME, "one number is asked for")
def a_vector_of_one(inputs, targets, x, y):
    return torch.linalg.lstsq(reach(inputs, targets, x)[:, None], y).solution


@wrong(NAME, "must be a number")
def text(inputs, targets, x, y):
    p = reach(inputs, targets, x)
    return f"{(p @ y) / (p @ p):.3f}"


@wrong(NAME, "is None")
def printed_only(inputs, targets, x, y):
    p = reach(inputs, targets, x)
    print((p @ y) / (p @ p))


@wrong(NAME, "calls `best_step_size`")
def the_courses_own(inputs, targets, x, y):
    from helpers.regression import best_step_size

    return best_step_size(inputs, targets, x, y)


@wrong(NAME, "targets are missing from p")
def without_targets(inputs, targets, x, y):
    p = (inputs @ x[:, :, None]).sum((1, 2))
    return (y @ p / (p @ p)).item()
