import torch

from . import right, wrong

NAME = "hat_matrix"


def left(inputs, lr):
    return torch.eye(len(inputs), dtype=inputs.dtype) - lr * inputs @ inputs.T


@right(NAME)
def step_after_step(inputs, lr, steps):
    """Each column is what the layer says when one example alone has target 1."""
    said = torch.zeros(len(inputs), len(inputs), dtype=inputs.dtype)
    for _ in range(steps):
        said = said + lr * inputs @ inputs.T @ (torch.eye(len(inputs), dtype=inputs.dtype) - said)
    return said


@right(NAME)
def by_eigenvalues(inputs, lr, steps):
    values, vectors = torch.linalg.eigh(inputs @ inputs.T)
    return vectors @ torch.diag(1 - (1 - lr * values) ** steps) @ vectors.T


@right(NAME)
def a_geometric_series(inputs, lr, steps):
    powers = [torch.linalg.matrix_power(left(inputs, lr), t) for t in range(steps)]
    return lr * inputs @ inputs.T @ sum(powers)


@right(NAME)
def a_layer_is_trained(inputs, lr, steps):
    w, one = torch.zeros(len(inputs), inputs.shape[1], dtype=inputs.dtype), torch.eye(len(inputs), dtype=inputs.dtype)
    for _ in range(steps):
        w = w + lr * (one - inputs @ w.T).T @ inputs
    return inputs @ w.T


@wrong(NAME, "what is left of the targets")
def the_residuals(inputs, lr, steps):
    return torch.linalg.matrix_power(left(inputs, lr), steps)


@wrong(NAME, "The power is missing")
def one_step(inputs, lr, steps):
    return torch.eye(len(inputs), dtype=inputs.dtype) - left(inputs, lr)


@wrong(NAME, "errors at W₀ in every step")
def one_step_many_times(inputs, lr, steps):
    return sum(lr * inputs @ inputs.T for _ in range(steps))


@wrong(NAME, "identity in the bracket is missing")
def no_identity(inputs, lr, steps):
    return torch.eye(len(inputs), dtype=inputs.dtype) - torch.linalg.matrix_power(lr * inputs @ inputs.T, steps)


@wrong(NAME, "The sign")
def it_grows(inputs, lr, steps):
    one = torch.eye(len(inputs), dtype=inputs.dtype)
    return one - torch.linalg.matrix_power(left(inputs, -lr), steps)


@wrong(NAME, "learning rate is missing")
def no_rate(inputs, lr, steps):
    return step_after_step(inputs, 1, steps)


@wrong(NAME, "not a mean")
def a_mean(inputs, lr, steps):
    return by_eigenvalues(inputs, lr / inputs.shape[0], steps)


@wrong(NAME, "One step fewer")
def too_early(inputs, lr, steps):
    return step_after_step(inputs, lr, steps - 1)


@wrong(NAME, "One step more")
def too_late(inputs, lr, steps):
    return step_after_step(inputs, lr, steps + 1)


@wrong(NAME, "raises every entry by itself")
def entry_by_entry(inputs, lr, steps):
    return torch.eye(len(inputs), dtype=inputs.dtype) - left(inputs, lr).pow(steps)


@wrong(NAME, "limit of endless steps")
def least_squares(inputs, lr, steps):
    return inputs @ torch.linalg.pinv(inputs)


@wrong(NAME, "continuous time")
def gradient_flow(inputs, lr, steps):
    return torch.eye(len(inputs), dtype=inputs.dtype) - torch.matrix_exp(-lr * steps * inputs @ inputs.T)


@wrong(NAME, "compares entries of x")
def over_the_entries(inputs, lr, steps):
    one = torch.eye(inputs.shape[1], dtype=inputs.dtype)
    return one - torch.linalg.matrix_power(one - lr * inputs.T @ inputs, steps)


@wrong(NAME, "acts on the targets of n examples")
def on_the_inputs(inputs, lr, steps):
    return step_after_step(inputs, lr, steps) @ inputs
